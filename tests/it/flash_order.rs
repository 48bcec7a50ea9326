//! What the card sees of a session, in order: the commit, permissions, what dead programs left.

use crate::support::flash::{
    NoteLog, START, SignatureProbe, card_of, execute, job, old_flash,
    reading_ends_with_a_card_that_is_gone, signature,
};
use cx3flash::card::{Card, CardError, Reg, Semaphore};
use cx3flash::flash::{Boots, Events, Flash, FlashError, Job, Phase, Stopped, plan_sectors};
use cx3flash::image::{Half, MAGIC, Recipe, build, striped};
use cx3flash::sim::{BootOutcome, CardSpec, Fault, Op, SimCard, SimChip};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A card with an old image at 0.
fn old_card(chip: SimChip) -> (SimCard, Card) {
    card_of(chip, &old_flash(chip))
}

/// A small body behind a signature at [`START`]; the old signature at 0 is invalidated.
fn burn(card: &mut Card, sim: &SimCard, events: &mut dyn Events) -> Result<(), Stopped> {
    let clock = sim.clock();
    let mut locked = Flash::lock(card, clock.as_ref()).unwrap();
    let now = locked.source().read_all(Phase::Backup, &mut ()).unwrap();
    let job = Job { protected: std::iter::once(0..START).collect(), ..job(START, vec![0x42; 700]) };
    let plan = plan_sectors(&now, &locked.chip().geometry, &job).unwrap();
    let probe = SignatureProbe { new: Some(START), old: Some(0) };
    execute(locked, plan, &probe, &signature(Some(START << 8), &[0]), events)
}

#[test]
fn the_commit_is_words_1_to_3_then_word_0_then_the_boot_address_then_the_old_signature() {
    let (sim, mut card) = old_card(SimChip::M25px16);
    sim.start_trace();
    burn(&mut card, &sim, &mut ()).unwrap();
    let read = |at| Op::Read { at, len: 16 };
    let program = |at, bytes: &[u8]| Op::Program { at, bytes: bytes.to_vec() };
    let (mut words_1_to_3, mut word_0) = (MAGIC, MAGIC);
    words_1_to_3[..4].fill(0xFF);
    word_0[4..].fill(0xFF);
    let mut nothing = [0xFF; 16];
    nothing[..4].fill(0);
    let wanted = [
        program(START, &words_1_to_3),
        read(START),
        read(START),
        program(START, &word_0),
        read(START),
        read(START),
        Op::Register { at: 0xF_0000, value: START << 8 },
        program(0, &nothing),
        read(0),
        read(0),
    ];
    let trace = sim.trace();
    let first = trace.iter().position(|op| *op == wanted[0]).unwrap();
    assert_eq!(trace[first..][..wanted.len()], wanted);
    // The whole body was read after its last program and before the signature.
    let last_body = trace[..first].iter().rposition(|op| matches!(op, Op::Program { .. })).unwrap();
    let read_back: u32 = trace[last_body..first]
        .iter()
        .filter_map(|op| match op {
            Op::Read { at, len } if *at >= START => Some(*len),
            _ => None,
        })
        .sum();
    assert!(read_back >= 716, "{read_back} bytes read back");
    assert_eq!(sim.misuse(), []);
    assert_eq!(sim.flash()[..4], [0; 4]);
}

#[test]
fn an_old_signature_that_cannot_be_invalidated_is_found_before_the_new_one() {
    let (sim, mut card) = old_card(SimChip::M25px16);
    // The lowest 64 KiB.
    sim.inject(Fault::Protected { status: 0x24 });
    let stopped = burn(&mut card, &sim, &mut ()).unwrap_err();
    assert!(matches!(stopped.source, FlashError::Protected { status: 0x24, .. }), "{stopped:?}");
    assert_eq!(stopped.phase, Phase::Commit);
    assert_eq!(stopped.boots, Boots::OldImage);
    assert_eq!(sim.flash()[START as usize..][..16], [0xFF; 16]);
}

#[test]
fn protection_bits_are_cleared_only_as_permitted() {
    let cases = [
        (SimChip::W25q16, 0x1C, 0x00, Some(0)),
        (SimChip::M25px16, 0x1C, 0x00, None),
        (SimChip::N25q032, 0x5C, 0x00, None),
        // Bit 6 is quad enable on this one and stays.
        (SimChip::Mx25l1606, 0x5C, 0x40, None),
    ];
    for (part, status, left, second) in cases {
        let (sim, mut card) = old_card(part);
        sim.inject(Fault::Protected { status });
        let clock = sim.clock();
        let mut locked = Flash::lock(&mut card, clock.as_ref()).unwrap();
        let other = locked.clear_protection(0x04);
        assert!(matches!(other, Err(FlashError::Protected { .. })), "{part}: {other:?}");
        assert_eq!(sim.counters().status_writes, 0, "{part}");

        sim.start_trace();
        let permission = locked.protection().status;
        locked.clear_protection(permission).unwrap();
        assert_eq!(locked.protection().range, None, "{part}");
        assert_eq!(locked.protection().status, left, "{part}");
        drop(locked);
        let written = Op::WriteStatus { first: left, second };
        assert!(sim.trace().contains(&written), "{part}: {:?}", sim.trace());
        burn(&mut card, &sim, &mut ()).unwrap();
        assert_eq!(sim.misuse(), [], "{part}");
    }
}

#[test]
fn clearing_the_protection_of_power_up_is_reported() {
    let (sim, mut card) = old_card(SimChip::Sst25vf016b);
    let mut notes = NoteLog::default();
    burn(&mut card, &sim, &mut notes).unwrap();
    notes.contains("write protection");
    assert_eq!(sim.misuse(), []);
}

/// Words of the reference (docs/hardware.md#gateway-words): first of a chain of reads, of programs.
const OPEN_CHAINS: [u32; 2] = [0x4003_243D, 0x4002_243C];

#[test]
fn a_chain_left_open_by_a_dead_program_is_ended_without_an_opcode() {
    for word in OPEN_CHAINS {
        let (sim, mut card) = old_card(SimChip::M25px16);
        sim.load_flash(START, &[0xFF; 256]);
        card.acquire(Semaphore::Flash).unwrap();
        if word == OPEN_CHAINS[1] {
            card.write(Reg::GatewayCommand, 0x4006_2004).unwrap();
            while card.read(Reg::GatewayCommand).unwrap() & 1 << 30 != 0 {}
        }
        for n in 0..4 {
            card.write(Reg::GatewayData(n), 0x1122_3344).unwrap();
        }
        card.write(Reg::GatewayAddress, START).unwrap();
        card.write(Reg::GatewayCommand, word).unwrap();
        while card.read(Reg::GatewayCommand).unwrap() & 1 << 30 != 0 {}
        card.release(Semaphore::Flash).unwrap();

        let clock = sim.clock();
        let mut locked = Flash::lock(&mut card, clock.as_ref()).unwrap();
        assert_eq!(locked.chip().jedec, 0x20_7115);
        assert!(locked.source().read_all(Phase::Read, &mut ()).unwrap() == sim.flash());
        drop(locked);
        assert_eq!(sim.misuse(), [], "{word:#010x}");
        let page = &sim.flash()[START as usize..][..32];
        assert_eq!(page[16..], [0xFF; 16], "{word:#010x}: more than was sent");
    }
}

#[test]
fn a_panic_frees_the_semaphores() {
    let (sim, mut card) = old_card(SimChip::M25px16);
    let clock = sim.clock();
    let fell = catch_unwind(AssertUnwindSafe(|| {
        let _locked = Flash::lock(&mut card, clock.as_ref()).unwrap();
        assert_eq!(sim.semaphores_held(), [40, 63]);
        panic!("as if");
    }));
    assert!(fell.is_err());
    assert!(sim.semaphores_held().is_empty());
}

#[test]
fn a_reset_under_a_session_frees_everything_and_is_no_misuse() {
    let (sim, mut card) = old_card(SimChip::M25px16);
    let clock = sim.clock();
    sim.start_trace();
    let locked = Flash::lock(&mut card, clock.as_ref()).unwrap();
    locked.software_reset().unwrap();
    assert!(sim.trace().contains(&Op::Reset));
    assert!(sim.semaphores_held().is_empty());
    card.software_reset().unwrap();
    assert!(sim.semaphores_held().is_empty());
    assert!(Flash::lock(&mut card, clock.as_ref()).is_ok());
    assert_eq!(sim.misuse(), []);
}

#[test]
fn a_card_reset_by_another_program_ends_the_session() {
    for after in [20, 300, 5_000, 200_000] {
        let (sim, mut card) = old_card(SimChip::M25px16);
        sim.inject(Fault::Reset { after });
        reading_ends_with_a_card_that_is_gone(&sim, &mut card, after);
    }
}

#[test]
fn a_card_that_vanishes_while_it_is_opened_is_not_taken_for_one_in_recovery_mode() {
    let image = build(&Recipe::mcx312b_2_42_5000()).unwrap();
    let flash = striped(&image, Half::Even, 0x20_0000).unwrap();
    let card = SimCard::new(CardSpec::named("mcx312b").unwrap(), &flash);
    assert_ne!(card.running(), BootOutcome::Recovery);
    for after in 0.. {
        let sim = card.fork();
        sim.inject(Fault::Removed { after });
        match Card::open(sim.bar0(), sim.clock()) {
            Err(CardError::Gone { .. }) => {}
            Err(other) => panic!("after {after}: {other}"),
            Ok(mut card) => {
                assert!(!card.in_recovery(), "after {after}");
                match card.boot_address() {
                    Err(CardError::Gone { .. }) => {}
                    Err(other) => panic!("after {after}: {other}"),
                    // It outlived everything that opening does.
                    Ok(_) => return,
                }
            }
        }
    }
}

#[test]
fn without_firmware_the_reset_on_link_down_is_turned_off_and_no_version_runs() {
    // Nothing bootable: the old "image" is a signature only.
    let (sim, mut card) = old_card(SimChip::M25px16);
    assert_eq!(sim.pci_device_id(), 0x1F6);
    assert!(card.in_recovery());
    assert_eq!(card.read(Reg::LinkDownReset).unwrap() >> 27 & 3, 2);
    assert_eq!(card.running_version().unwrap(), None);
    assert_eq!(sim.misuse(), []);
}
