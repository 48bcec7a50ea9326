//! Chained reads: used only after this card has shown that they return what single reads return.

use crate::support::flash::{card_of, noise};
use cx3flash::flash::{ChainProof, ChainVerdict, Events, Flash, FlashError, Phase};
use cx3flash::sim::{Fault, SimChip};

const HOLDS: ChainProof = ChainProof { chain: 4096, bytes: 1 << 20 };

#[test]
fn reads_are_single_until_chains_are_proven() {
    let flash = noise(0x20_0000, 78);
    let (sim, mut card) = card_of(SimChip::M25px16, &flash);
    sim.inject(Fault::BrokenChainedRead);
    let clock = sim.clock();
    let mut locked = Flash::lock(&mut card, clock.as_ref()).unwrap();
    assert!(!locked.chained_reads());
    assert!(locked.source().read_all(Phase::Read, &mut ()).unwrap() == flash);
    drop(locked);
    assert_eq!(sim.misuse(), []);
}

#[test]
fn chains_that_agree_over_a_mebibyte_are_proven_and_used() {
    let flash = noise(0x20_0000, 78);
    let (sim, mut card) = card_of(SimChip::M25px16, &flash);
    let clock = sim.clock();
    let mut locked = Flash::lock(&mut card, clock.as_ref()).unwrap();
    let known = locked.source().read_all(Phase::Read, &mut ()).unwrap();
    let verdict = locked.prove_chains(&known, &mut ()).unwrap();
    let ChainVerdict::Proven(proof) = verdict else {
        panic!("{verdict:?}");
    };
    assert!(proof.holds(), "{proof:?}");
    assert!(locked.chained_reads());
    locked.source().forget();
    let _ = sim.take_counters();
    assert!(locked.source().read_all(Phase::Read, &mut ()).unwrap() == flash);
    // Opcode and address once per 4 KiB instead of once per 16 bytes.
    assert_eq!(sim.counters().spi_bytes, 0x20_0000 + 0x20_0000 / 4096 * 4);
    drop(locked);
    assert_eq!(sim.misuse(), []);
}

#[test]
fn a_small_image_is_compared_again_and_again_until_it_is_enough() {
    let mut flash = vec![0xFF; 0x20_0000];
    flash[0x1_0000..0x1_8000].copy_from_slice(&noise(0x8000, 5));
    let (sim, mut card) = card_of(SimChip::M25px16, &flash);
    let clock = sim.clock();
    let mut locked = Flash::lock(&mut card, clock.as_ref()).unwrap();
    let _ = sim.take_counters();
    let verdict = locked.prove_chains(&flash, &mut ()).unwrap();
    assert!(matches!(verdict, ChainVerdict::Proven(proof) if proof.holds()), "{verdict:?}");
    // One pass over everything, and not many more bytes than a mebibyte over the image.
    assert!(sim.counters().spi_bytes < 0x20_0000 + 0x12_0000);
}

#[test]
fn a_blank_or_uniform_flash_proves_nothing() {
    for fill in [0xFF, 0x00] {
        let flash = vec![fill; 0x20_0000];
        let (sim, mut card) = card_of(SimChip::M25px16, &flash);
        let clock = sim.clock();
        let mut locked = Flash::lock(&mut card, clock.as_ref()).unwrap();
        let verdict = locked.prove_chains(&flash, &mut ()).unwrap();
        assert_eq!(verdict, ChainVerdict::TooLittle { bytes: 0 });
        assert!(!locked.chained_reads());
    }
}

#[test]
fn chains_that_differ_from_single_reads_are_never_used() {
    let flash = noise(0x20_0000, 78);
    let (sim, mut card) = card_of(SimChip::M25px16, &flash);
    sim.inject(Fault::BrokenChainedRead);
    let clock = sim.clock();
    let mut locked = Flash::lock(&mut card, clock.as_ref()).unwrap();
    locked.trust_chains(&HOLDS);
    let verdict = locked.prove_chains(&flash, &mut ()).unwrap();
    assert_eq!(verdict, ChainVerdict::Contradicted { at: 0x10 });
    assert!(!locked.chained_reads(), "trusted before, and wrong now");
}

#[test]
fn a_first_reading_that_was_wrong_is_reported_and_no_verdict_on_chains() {
    let flash = noise(0x20_0000, 78);
    let (sim, mut card) = card_of(SimChip::M25px16, &flash);
    let clock = sim.clock();
    let mut locked = Flash::lock(&mut card, clock.as_ref()).unwrap();
    let mut known = flash.clone();
    known[0x5_0023] ^= 4;
    let error = locked.prove_chains(&known, &mut ()).unwrap_err();
    let (right, wrong) = (flash[0x5_0023], known[0x5_0023]);
    assert!(
        matches!(error, FlashError::Differs { at: 0x5_0023, found, wanted } if (found, wanted) == (right, wrong)),
        "{error:?}"
    );
    assert!(!locked.chained_reads());
}

#[test]
fn only_a_proof_that_holds_switches_chains_on() {
    let (sim, mut card) = card_of(SimChip::M25px16, &noise(0x20_0000, 78));
    let clock = sim.clock();
    let mut locked = Flash::lock(&mut card, clock.as_ref()).unwrap();
    for (chain, bytes) in [(4096, (1 << 20) - 1), (64, 1 << 20), (8192, 1 << 20)] {
        locked.trust_chains(&ChainProof { chain, bytes });
        assert!(!locked.chained_reads(), "{chain} {bytes}");
    }
    locked.trust_chains(&HOLDS);
    assert!(locked.chained_reads());
}

struct StopAtOnce;

impl Events for StopAtOnce {
    fn emit(&mut self, _: cx3flash::flash::Event) {}

    fn stop_requested(&self) -> bool {
        true
    }
}

#[test]
fn a_request_to_stop_ends_the_comparison() {
    let flash = noise(0x20_0000, 78);
    let (sim, mut card) = card_of(SimChip::M25px16, &flash);
    let clock = sim.clock();
    let mut locked = Flash::lock(&mut card, clock.as_ref()).unwrap();
    let error = locked.prove_chains(&flash, &mut StopAtOnce).unwrap_err();
    assert!(matches!(error, FlashError::Interrupted), "{error:?}");
}
