//! A refusal changes nothing, leaves nothing and names its check.

use super::bench::*;
use crate::image::{Half, Recipe, SectionKind, build};
use crate::job::*;
use crate::plan::tests::bench::rom;
use crate::plan::{BurnOptions, CheckId, RomChoice};
use crate::sim::{CardSpec, Fault, SimCard, SimChip};

/// One way to be refused.
struct Case {
    id: CheckId,
    card: SimCard,
    image: Vec<u8>,
    options: BurnOptions,
}

fn case(id: CheckId, card: SimCard, recipe: &Recipe) -> Case {
    Case { id, card, image: build(recipe).unwrap(), options: BurnOptions::default() }
}

fn spoiled(recipe: &Recipe, kind: SectionKind) -> Vec<u8> {
    let contents = own(recipe);
    let mut bytes = contents.bytes().to_vec();
    let mut sections = contents.image().sections.iter();
    let section = sections.find(|s| s.kind == kind).unwrap();
    bytes[section.body_at.0 as usize + 5] ^= 4;
    bytes
}

fn cases() -> Vec<Case> {
    let new = || cx3("2.42.5000");
    let protected = owner_card();
    protected.inject(Fault::Protected { status: 0x1C });
    let a0 = CardSpec { revision: 0, ..CardSpec::default() };
    let mixed = own(&Recipe {
        device_id: 4103,
        supported_hw: vec![(0x1F7, 0)],
        psid: "MT_1200111023".into(),
        rom: None,
        size: 0,
        ..cx3("2.35.5100")
    });
    let mut used = card_of(pro_spec(), &[(&own(&pro("2.36.5150")), Half::Even)]).flash();
    for start in [0x1_0000_usize, 0x3_0000] {
        used[start..start + 0x1_0000].fill(0);
    }
    let tight = Recipe {
        config_area: Some((2, 0, Some(2))),
        size: (1 << 20) - 0x2000,
        chunk_log2: Some(19),
        ..pro("2.36.5150")
    };
    let mut full = card_of(pro_spec(), &[(&own(&tight), Half::Even)]).flash();
    for start in [0x8_0000_usize, 0x18_0000] {
        full[start..start + 0x8_0000].fill(0);
    }
    vec![
        Case {
            image: spoiled(&new(), SectionKind::Ddr),
            ..case(CheckId::ImageValid, owner_card(), &new())
        },
        case(CheckId::RomDevice, owner_card(), &Recipe { rom: Some(rom(752, 0x1007)), ..new() }),
        // Whole images of two layouts; the firmware that runs is of neither version.
        case(
            CheckId::Signatures,
            {
                let card = card_of(
                    pro_spec(),
                    &[(&mixed, Half::Even), (&own(&pro("2.35.5100")), Half::Odd)],
                );
                card.power_cycle();
                card
            },
            &pro("2.42.5000"),
        ),
        case(CheckId::OldImage, SimCard::new(CardSpec::default(), &[]), &new()),
        case(
            CheckId::Identity,
            SimCard::new(CardSpec::default(), &spoiled(&cx3("2.35.5100"), SectionKind::Guid)),
            &new(),
        ),
        case(CheckId::IdentityFits, owner_card(), &Recipe { vsd: None, ..new() }),
        case(CheckId::Layout, owner_card(), &Recipe { chunk_log2: Some(19), ..new() }),
        case(
            CheckId::ChunkSize,
            pro_card(Half::Even),
            &Recipe { chunk_log2: Some(17), ..pro("2.42.5000") },
        ),
        case(CheckId::Psid, owner_card(), &Recipe { psid: "MT_1170110099".into(), ..new() }),
        Case {
            options: BurnOptions {
                change_psid: Some(("MT_1170110023".into(), "MT_117011009".into())),
                ..BurnOptions::default()
            },
            ..case(CheckId::Psid, owner_card(), &Recipe { psid: "MT_1170110099".into(), ..new() })
        },
        case(
            CheckId::ConfigPad,
            owner_card(),
            &Recipe { config_area: Some((1, 2, Some(2))), ..new() },
        ),
        case(
            CheckId::Silicon,
            SimCard::new(
                a0,
                own(&Recipe { supported_hw: vec![(0x1F5, 0)], ..cx3("2.35.5100") }).bytes(),
            ),
            &new(),
        ),
        Case {
            options: BurnOptions { rom: Some(RomChoice::Device), ..BurnOptions::default() },
            ..case(
                CheckId::Rom,
                SimCard::new(
                    CardSpec::default(),
                    own(&Recipe { rom: None, ..cx3("2.35.5100") }).bytes(),
                ),
                &new(),
            )
        },
        case(
            CheckId::Fits,
            pro_card(Half::Even),
            &Recipe { size: (1 << 20) - 0x1000, ..pro("2.42.5000") },
        ),
        case(CheckId::FlashSize, on(SimChip::W25q80, own(&cx3("2.35.5100")).bytes()), &new()),
        case(
            CheckId::NvArea,
            SimCard::new(CardSpec { chip: SimChip::M25p16, ..pro_spec() }, &full),
            &Recipe { version: version("2.42.5000"), seed: 5, ..tight },
        ),
        case(CheckId::Protection, protected, &new()),
    ]
}

#[test]
fn refused_burn_writes_nothing() {
    for Case { id, card, image, options } in cases() {
        let bench = Bench::new();
        let file = read_image(&bench.file("image.bin", &image), &()).unwrap();
        let before = card.flash();
        let mut device = opened(&card);
        let mut asked = false;
        let error = write(
            &mut device,
            &WriteRequest::Burn(&file, &options),
            WriteOptions::later(&bench.backups()),
            &mut |_| {
                asked = true;
                true
            },
            &mut (),
        )
        .expect_err(&format!("{id:?}"));
        assert!(error.refused_by().contains(&id), "{id:?}: {error}");
        assert_eq!(error.outcome().exit, Exit::Refused);
        assert!(error.to_string().starts_with("refused: "), "{error}");
        assert!(!asked, "{id:?}: asked about a refused plan");
        untouched(&card.counters());
        assert!(card.flash() == before);
        assert!(!bench.backups().exists(), "{id:?}: something on the disk");
        clean(&card);
    }
}

#[test]
fn refusals_name_the_cause_and_no_consequence() {
    // One cause, one id, except where two rows of the reference overlap.
    for Case { id, card, image, options } in cases() {
        let bench = Bench::new();
        let file = read_image(&bench.file("image.bin", &image), &()).unwrap();
        let mut device = opened(&card);
        let planned = super::super::plan(&mut device, &file, &options, &mut ()).unwrap();
        let refusing: Vec<CheckId> =
            planned.plan.checks.iter().filter(|c| !c.ok && !c.skipped).map(|c| c.id).collect();
        let also: &[CheckId] = match id {
            CheckId::Fits => &[CheckId::NvArea, CheckId::Fits],
            CheckId::Signatures => &[CheckId::Signatures, CheckId::Layout],
            _ => &[],
        };
        assert!(
            refusing == [id] || refusing.iter().all(|r| also.contains(r)),
            "{id:?}: {refusing:?}"
        );
        assert!(planned.plan.refused && planned.plan.action.is_none());
    }
}

#[test]
fn foreign_files_are_refused() {
    let bench = Bench::new();
    let good = build(&cx3("2.42.5000")).unwrap();
    let dump = card_of(pro_spec(), &[(&own(&pro("2.36.5150")), Half::Odd)]).flash();
    let zip = [b"PK\x03\x04".as_slice(), &[0; 64]].concat();
    for (name, bytes) in [
        ("empty", Vec::new()),
        ("zip", zip),
        ("text", b"not an image at all, only words and more words".repeat(4)),
        ("odd", good[..good.len() - 1].to_vec()),
        ("dump", dump),
    ] {
        let path = bench.file(name, &bytes);
        let error = read_image(&path, &()).expect_err(name);
        assert_eq!(error.outcome().exit, Exit::Failed, "{name}");
        assert!(error.to_string().contains(name), "{error}");
        assert!(!error.to_string().contains('\n'));
    }
    let missing = read_image(&bench.path("missing"), &()).unwrap_err();
    assert!(matches!(missing, JobError::ReadFile { .. }));
    let directory = read_image(bench.dir.path(), &()).unwrap_err();
    assert!(matches!(directory, JobError::NotAFile { .. }));
}

#[test]
fn a_device_is_refused_as_a_file() {
    let error = read_image(std::path::Path::new("/dev/zero"), &()).unwrap_err();
    assert!(matches!(error, JobError::NotAFile { what: "a character device", .. }));
}

#[test]
fn truncated_image_is_refused() {
    let bench = Bench::new();
    let card = owner_card();
    let good = build(&cx3("2.42.5000")).unwrap();
    for len in [0x40, 0x1000, good.len() / 2, good.len() - 4] {
        let Ok(file) = read_image(&bench.file("short", &good[..len]), &()) else {
            continue;
        };
        let mut device = opened(&card);
        let error = bench
            .burn_asked(&mut device, &file, &mut |_| true, &mut ())
            .expect_err("a truncated image");
        assert_eq!(error.outcome().exit, Exit::Refused, "{len:#x}: {error}");
    }
    untouched(&card.counters());
}

#[test]
fn trailing_bytes_never_reach_the_card() {
    let bench = Bench::new();
    let card = owner_card();
    let mut bytes = build(&cx3("2.42.5000")).unwrap();
    let len = bytes.len();
    bytes.extend([0xA5; 0x400]);
    let file = read_image(&bench.file("long", &bytes), &()).unwrap();
    let mut device = opened(&card);
    bench.burn_asked(&mut device, &file, &mut |_| true, &mut ()).unwrap();
    assert!(card.flash()[len..len + 0x400].iter().all(|b| *b == 0xFF));
    let verify = verify_card(&mut device, &mut ()).unwrap();
    assert!(verify.ok, "{:?}", verify.images[0].image.as_ref().unwrap().findings);
}
