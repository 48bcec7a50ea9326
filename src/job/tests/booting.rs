//! What boots after a job, by the rule of docs/fs2.md#what-boots, on cards that start an image with a wrong
//! full CRC and on cards that do not.

use super::bench::*;
use crate::image::{Contents, FlashAddr, Half, Recipe, SectionKind, build};
use crate::job::*;
use crate::sim::{BootOutcome, CardSpec, Fault, SimCard};

/// Flash of a failsafe card whose only image has a wrong full CRC and nothing else; the other half holds
/// remains that have to be erased.
fn wrong_crc() -> Vec<u8> {
    let (old, third) = (own(&pro("2.36.5150")), own(&pro("2.30.3000")));
    let mut flash = pro_flash(&[(&old, Half::Even), (&third, Half::Odd)]);
    flash[0x1_0000..0x1_0004].fill(0);
    flash[0x23] ^= 1;
    flash
}

fn pro_flash(images: &[(&Contents, Half)]) -> Vec<u8> {
    card_of(pro_spec(), images).flash()
}

fn boots(card: &SimCard) -> [bool; 2] {
    let outcomes = card.boot_outcomes();
    [outcomes.lowest_first, outcomes.highest_first].map(|o| o != BootOutcome::Recovery)
}

#[test]
fn a_failed_burn_beside_an_image_with_a_wrong_full_crc_leaves_what_the_card_showed() {
    for (ignores_full_crc, exit) in [(true, Exit::StillBoots), (false, Exit::NeedsRecover)] {
        let spec = CardSpec { ignores_full_crc, ..pro_spec() };
        let card = SimCard::new(spec, &wrong_crc());
        assert_eq!(boots(&card), [ignores_full_crc; 2]);
        let bench = Bench::new();
        card.inject(Fault::LyingWrite { op: 2 });
        let error = bench.burn(&card, &pro("2.42.5000")).unwrap_err();
        assert_eq!(error.outcome().exit, exit, "{error}");
        assert_eq!(boots(&card), [ignores_full_crc; 2]);
        // Again, to its end.
        bench.burn(&card, &pro("2.42.5000")).unwrap();
        card.power_cycle();
        assert_eq!(boots(&card), [true; 2]);
    }
}

#[test]
fn a_signature_that_reads_differently_each_time_is_never_reported_to_boot() {
    for (original, recipe) in
        [(owner_card(), cx3("2.42.5000")), (pro_card(Half::Even), pro("2.42.5000"))]
    {
        let total = {
            let card = original.fork();
            Bench::new().burn(&card, &recipe).unwrap();
            card.mutations()
        };
        let mut wavered = 0;
        for op in total - 1..=total {
            for seed in 0..3 {
                let card = original.fork();
                card.inject(Fault::BrownOut { op, commands: 1, seed });
                let ended = Bench::new().burn(&card, &recipe);
                wavered += usize::from(!card.marginal_cells().is_empty());
                let exit = ended.as_ref().map_or_else(|e| e.outcome().exit, |_| Exit::Done);
                let what = format!("{op} of {total}, seed {seed}: {ended:?}");
                match exit {
                    Exit::Done | Exit::StillBoots => assert_eq!(boots(&card), [true; 2], "{what}"),
                    Exit::NeedsRecover => assert_eq!(boots(&card), [false; 2], "{what}"),
                    _ => assert_eq!(exit, Exit::OutcomeUnknown, "{what}"),
                }
            }
        }
        assert!(wavered > 0);
    }
}

#[test]
fn a_restore_that_equals_its_backup_is_done_whatever_lies_beside_the_image_that_boots() {
    let (lower, higher) = (own(&pro("2.30.3000")), own(&pro("2.36.5150")));
    let both = pro_flash(&[(&lower, Half::Even), (&higher, Half::Odd)]);
    let code = lower.image().sections.iter().find(|s| s.kind == SectionKind::Ddr).unwrap();
    // A quick reading passes over both.
    for (at, name) in [(code.body_at.0 as usize, "damaged code"), (0x23, "a wrong full CRC")] {
        let bench = Bench::new();
        let mut flash = both.clone();
        flash[at] ^= 1;
        let card = SimCard::new(pro_spec(), &flash);
        let backup = bench.backup(&card).unwrap();
        bench.burn(&card, &pro("2.42.5000")).unwrap();
        let outcome = bench.restore(&card, &backup.dir).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(card.flash() == flash, "{name}");
        assert_eq!(outcome.boots.unwrap().start, Some(FlashAddr(0x1_0000)), "{name}");
    }
    // Nothing in the backup is sure to boot.
    let bench = Bench::new();
    let card = SimCard::new(pro_spec(), &wrong_crc());
    let backup = bench.backup(&card).unwrap();
    bench.burn(&card, &pro("2.42.5000")).unwrap();
    let outcome = bench.restore(&card, &backup.dir).unwrap();
    assert!(card.flash() == wrong_crc());
    assert_eq!(outcome.boots.unwrap().start, None);
}

#[test]
fn an_image_that_runs_is_reported_as_the_one_that_boots_although_it_does_not_list_the_chip() {
    for list in [vec![(0x1F5, 0)], vec![(0, 0)]] {
        let card = owner_card();
        let odd = own(&Recipe { supported_hw: list, ..cx3("2.35.5100") });
        card.load_flash(0, odd.bytes());
        let mut device = opened(&card);
        let query = query_card(&mut device).unwrap();
        assert!(query.images[0].boots);
        assert_eq!(query.images[0].wrong_silicon, None);
        assert!(query.images[0].unsure.is_some());
        let identity = identity_show(&mut device).unwrap();
        assert_eq!(
            (identity.identity.macs, identity.wrong_silicon),
            (crate::plan::tests::bench::identity().macs, None)
        );
        assert!(rom_info(&mut device).unwrap().rom.is_some());
        // Not running, it does not count.
        card.power_cycle();
        let query = query_card(&mut opened(&card)).unwrap();
        assert!(!query.images[0].boots);
        assert!(query.images[0].wrong_silicon.is_some());
    }
}

#[test]
fn query_and_identity_show_choose_the_image_that_a_plan_chooses() {
    // For other silicon, below one of the card's own with damaged code.
    let other = build(&Recipe { chunk_log2: Some(16), ..cx3("2.36.5150") }).unwrap();
    let other = Contents::from_file(&other).unwrap();
    let damaged = own(&pro("2.36.5150"));
    let mut flash = pro_flash(&[(&other, Half::Even), (&damaged, Half::Odd)]);
    flash[0x1_0060] ^= 1;
    let card = SimCard::new(pro_spec(), &flash);
    let mut device = opened(&card);
    let query = query_card(&mut device).unwrap();
    assert_eq!(query.active, Some(1));
    let shown = identity_show(&mut device).unwrap();
    assert_eq!(shown.psid, damaged.image().psid().cloned());
    assert_eq!(shown.wrong_silicon, None);
    // Alone, it is named.
    let card = SimCard::new(pro_spec(), &pro_flash(&[(&other, Half::Even)]));
    let shown = identity_show(&mut opened(&card)).unwrap();
    assert!(shown.wrong_silicon.unwrap().contains("ConnectX-3 A1"));
}

#[test]
fn a_config_reset_is_done_on_a_card_that_runs_the_higher_of_two_images() {
    let image = |text: &str| {
        let area = Some((2, 0, Some(2)));
        own(&Recipe { config_area: area, chunk_log2: Some(19), ..pro(text) })
    };
    let (even, odd) = (image("2.42.5000"), image("2.36.5150"));
    let mut flash = pro_flash(&[(&even, Half::Even), (&odd, Half::Odd)]);
    flash[0x17_E000..0x18_0000].fill(0x42);
    let card = SimCard::new(CardSpec { boots_highest_first: true, ..pro_spec() }, &flash);
    let bench = Bench::new();
    let mut device = opened(&card);
    let outcome = bench.write(&mut device, &WriteRequest::ConfigReset).unwrap();
    assert_eq!(outcome.boots.unwrap().start, Some(FlashAddr(0x8_0000)));
    flash[0x17_E000..0x18_0000].fill(0xFF);
    assert!(card.flash() == flash);
}

#[test]
fn query_and_activate_agree_on_an_image_with_a_wrong_full_crc_that_does_not_run() {
    let card = pro_card(Half::Even);
    let new = own(&pro("2.42.5000"));
    let mut flash = pro_flash(&[(&new, Half::Even)]);
    flash[0x23] ^= 1;
    card.load_flash(0, &flash);
    let mut device = opened(&card);
    let query = query_card(&mut device).unwrap();
    assert!(!query.images[0].boots && !query.reset_pending);
    assert!(query.images[0].unsure.is_some());
    let error = activate(&mut device, &mut ()).unwrap_err();
    assert!(error.to_string().contains("whether it boots is not known"), "{error}");
    let hint = error.hint(&HintContext::default()).unwrap();
    assert!(hint.contains("identity set") && hint.contains("burn IMAGE"), "{hint}");
}
