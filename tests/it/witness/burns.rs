//! mstflint reads the chip after our burn: the dump of each simulated card, both halves and the
//! non-failsafe layout, must verify and carry the card's identity.

use crate::support::flint::witness;
use crate::support::flint_text::VerifyEnd;
use crate::support::two_readers::TwoReaders;
use cx3flash::image::{Contents, Form, Guid, Half, Identity, Mac, Recipe, build, striped};
use cx3flash::job::{self, WriteRequest};
use cx3flash::plan::BurnOptions;
use cx3flash::sim::{CardSpec, SimCard};

fn identity() -> Identity {
    Identity {
        guids: [u64::MAX; 4].map(Guid),
        macs: [Mac(0xE41D_2DDD_7850), Mac(0xE41D_2DDD_7851)],
        vsd: b"shelf 3".to_vec(),
    }
}

/// A card that holds `old`, in `half` when it is failsafe.
fn card(old: &Recipe, half: Half) -> SimCard {
    let own =
        Contents::from_file(&build(old).unwrap()).unwrap().with_identity(&identity()).unwrap();
    if old.chunk_log2.is_none() {
        return SimCard::new(CardSpec::default(), own.bytes());
    }
    let spec = CardSpec::named("mcx312b").expect("the preset exists");
    let flash = striped(own.bytes(), half, spec.chip.size()).unwrap();
    SimCard::new(spec, &flash)
}

#[test]
fn flash_after_our_burns_is_accepted_by_mstflint() {
    let Some(flint) = witness() else { return };
    let bench = TwoReaders::new(flint);
    let pro = (Recipe::mcx312b_2_36_5150(), Recipe::mcx312b_2_42_5000());
    let cx3 = (Recipe::mcx311a_2_35_5100(), Recipe::mcx311a_2_42_5000());
    for ((old, new), half, form, flags) in [
        (&pro, Half::Even, Form::Striped, &["-striped_image"][..]),
        (&pro, Half::Odd, Form::Striped, &["-striped_image"][..]),
        (&cx3, Half::Even, Form::Contiguous, &[][..]),
    ]
    .map(|(pair, half, form, flags)| ((&pair.0, &pair.1), half, form, flags))
    {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("new.bin");
        std::fs::write(&file, build(new).unwrap()).unwrap();
        let card = card(old, half);
        let mut device = job::open_sim(&card, "sim").unwrap();
        let image = job::read_image(&file, &()).unwrap();
        let options = BurnOptions::default();
        let request = WriteRequest::Burn(&image, &options);
        job::write(
            &mut device,
            &request,
            job::WriteOptions::later(dir.path()),
            &mut |_| true,
            &mut (),
        )
        .unwrap();
        drop(device);

        let dump = card.flash();
        bench.put(&dump);
        let at = format!("{:?} {half:?}", new.device_id);
        let end = bench.same_verify(&dump, flags, form).unwrap_or_else(|e| panic!("{at}: {e}"));
        assert_eq!(end, VerifyEnd::Bootable, "{at}");
        bench.same_query(&dump, flags, form).unwrap_or_else(|e| panic!("{at}: {e}"));
        let report = flint.run(&bench.image(), flags, &["query", "full"]).text;
        for word in ["2.42.5000", "e41d2ddd7850", "e41d2ddd7851", "ffffffffffffffff", "shelf 3"] {
            assert!(report.contains(word), "{at}: mstflint does not see {word}: {report}");
        }
    }
}
