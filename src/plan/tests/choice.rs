//! The choice of an image from a store.

use super::bench::{A0, A1, PRO, cx3};
use crate::image::{Contents, Image, Recipe, build};
use crate::plan::{ImageStatus, LeftOutReason, NoChoice, OfferedImage, choose_image};

const PSID: &str = "MT_1170110023";

fn image(recipe: &Recipe) -> Image {
    Contents::from_file(&build(recipe).unwrap()).unwrap().image().clone()
}

fn offers<'a>(images: &'a [(Image, &'a str)]) -> Vec<OfferedImage<'a>> {
    let offer = |(image, sha256): &'a (Image, &'a str)| {
        let status = ImageStatus::of(image).0;
        OfferedImage { status, image: Some(image), sha256 }
    };
    images.iter().map(offer).collect()
}

fn owners(version: &str) -> Image {
    let recipe = Recipe { psid: PSID.into(), ..cx3(version) };
    image(&recipe.matching_ini())
}

#[test]
fn the_newest_valid_image_of_the_psid_and_the_silicon_is_chosen() {
    let mut damaged = owners("2.50.1000");
    damaged.findings.push(crate::image::Finding {
        id: crate::image::FindingId::SectionCrc,
        severity: crate::image::Severity::Error,
        at: None,
        detail: "x".into(),
    });
    let other = Recipe { psid: "DEL_1".into(), ..cx3("2.60.1000") };
    let pro = Recipe { psid: PSID.into(), supported_hw: vec![(0x1F7, 0)], ..cx3("2.70.1000") };
    let images = [
        (owners("2.36.5000"), "a"),
        (owners("2.42.5000"), "b"),
        (damaged, "c"),
        (image(&other.matching_ini()), "d"),
        (image(&pro.matching_ini()), "e"),
        (owners("2.42.5000"), "b"),
    ];
    let choice = choose_image(&offers(&images), PSID, A1).unwrap();
    assert_eq!(choice.chosen, 1);
    let left_out = [
        (0, LeftOutReason::Older),
        (5, LeftOutReason::Same),
        (2, LeftOutReason::Damaged),
        (4, LeftOutReason::OtherSilicon),
        (3, LeftOutReason::OtherPsid),
    ];
    assert_eq!(choice.left_out, left_out);
}

#[test]
fn different_images_of_the_newest_version_are_refused() {
    let images =
        [(owners("2.42.5000"), "a"), (owners("2.36.5000"), "b"), (owners("2.42.5000"), "c")];
    assert_eq!(choose_image(&offers(&images), PSID, A1), Err(NoChoice::Several(vec![0, 2])));
    // Copies of one count once.
    let copies =
        [(owners("2.42.5000"), "a"), (owners("2.42.5000"), "a"), (owners("2.42.5000"), "c")];
    assert_eq!(choose_image(&offers(&copies), PSID, A1), Err(NoChoice::Several(vec![0, 2])));
    // An older pair does not matter.
    let images =
        [(owners("2.36.5000"), "a"), (owners("2.36.5000"), "b"), (owners("2.42.5000"), "c")];
    assert_eq!(choose_image(&offers(&images), PSID, A1).unwrap().chosen, 2);
}

#[test]
fn without_a_fit_nothing_is_chosen() {
    let images = [(owners("2.42.5000"), "a")];
    let offers = offers(&images);
    let none = |reason| Err(NoChoice::NoneFits(vec![(0, reason)]));
    assert_eq!(choose_image(&offers, "MT_1", A1), none(LeftOutReason::OtherPsid));
    assert_eq!(choose_image(&offers, PSID, PRO), none(LeftOutReason::OtherSilicon));
    assert_eq!(choose_image(&[], PSID, A0), Err(NoChoice::NoneFits(Vec::new())));
    let unread = OfferedImage { status: ImageStatus::Damaged, image: None, sha256: "" };
    assert_eq!(choose_image(&[unread], PSID, A1), none(LeftOutReason::Damaged));
}
