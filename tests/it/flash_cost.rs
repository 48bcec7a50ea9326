//! What a job costs on the card, by the simulator's model: 1 µs a register read, 0.15 µs a write,
//! SPI at 25 MHz, the chip's typical erase and program times.

use crate::support::flash::{NO_PROBE, card_of, job, noise, signature};
use cx3flash::card::Card;
use cx3flash::flash::{Flash, Job, Phase, plan_sectors};
use cx3flash::sim::{CardSpec, Counters, SimCard, SimChip};

/// Bytes of the image mstflint was measured with.
const IMAGE: usize = 802_908;
const HALF: u32 = 0x10_0000;

/// Backup of the whole flash, burn into the odd half, verification, commit.
fn backup_burn_verify(flash: &[u8], body: &[u8]) -> Counters {
    let (sim, mut card) = card_of(SimChip::M25px16, flash);
    let clock = sim.clock();
    // Waiting until the card is ready is no part of the job.
    let _ = sim.take_counters();
    let mut locked = Flash::lock(&mut card, clock.as_ref()).unwrap();
    let now = locked.source().read_all(Phase::Backup, &mut ()).unwrap();
    let after_backup = sim.counters();
    let job = Job {
        protected: vec![0..HALF, 0x1F_0000..0x20_0000],
        disposable: std::iter::once(HALF + IMAGE as u32..0x1F_0000).collect(),
        ..job(HALF, body.to_vec())
    };
    let plan = plan_sectors(&now, &locked.chip().geometry, &job).unwrap();
    let erased = locked.erase(plan, &NO_PROBE, &mut ()).unwrap();
    let after_erase = sim.counters();
    let written = erased.write(&mut ()).unwrap();
    let after_write = sim.counters();
    let verified = written.verify(&mut ()).unwrap();
    let signature = signature(Some(HALF << 8), &[]);
    let committed = verified.commit(&signature, &mut ()).unwrap();
    drop(committed.untried().invalidate_old(&mut ()).unwrap());
    assert_eq!(sim.misuse(), []);
    let all = sim.counters();
    let ms = |a: Counters, b: Counters| (b.card_time_ns - a.card_time_ns) / 1_000_000;
    println!(
        "backup {} ms, erase {} ms, write {} ms, verify and commit {} ms; {all:?}",
        after_backup.card_time_ns / 1_000_000,
        ms(after_backup, after_erase),
        ms(after_erase, after_write),
        ms(after_write, all),
    );
    all
}

/// Card time of mstflint 4.21's burn of an image of that size into a used half, in ms.
const MSTFLINT_BURN_MS: u64 = 10_200;

#[test]
fn backup_burn_and_verify_of_a_used_half_cost_at_most_1_3_of_mstflints_burn() {
    let counters = backup_burn_verify(&noise(0x20_0000, 3), &noise(IMAGE - 16, 4));
    // A mix that costs the chip no more than mstflint's 13 erases of 64K, 0.47 s each.
    let erasing = counters.chip_time_ns - counters.programs * 800_000;
    assert!(erasing <= 13 * 468_750_000, "{counters:?}");
    assert!(counters.erases_64k >= 11, "{counters:?}");
    let limit = MSTFLINT_BURN_MS * 1_000_000 * 13 / 10;
    assert!(counters.card_time_ns <= limit, "{counters:?}");
}

#[test]
fn a_page_program_is_polled_at_most_twenty_times() {
    let mut flash = noise(0x20_0000, 3);
    flash[HALF as usize..].fill(0xFF);
    let counters = backup_burn_verify(&flash, &noise(IMAGE - 16, 4));
    assert!(counters.polls <= counters.programs * 20, "{counters:?}");
    // Polling overlaps the work of the chip: nothing waits past its end for long.
    assert!(counters.time_ns <= counters.card_time_ns, "{counters:?}");
}

#[test]
fn opening_a_session_costs_next_to_nothing() {
    let sim = SimCard::new(CardSpec::default(), &noise(0x20_0000, 3));
    let clock = sim.clock();
    let mut card = Card::open(sim.bar0(), sim.clock()).unwrap();
    // Waiting until the card is ready is no part of the session.
    let _ = sim.take_counters();
    drop(Flash::lock(&mut card, clock.as_ref()).unwrap());
    let counters = sim.counters();
    // mstflint's query has 59,566 reads.
    assert!(counters.bar_reads < 120, "{counters:?}");
    assert_eq!(sim.misuse(), []);
}

#[test]
fn backup_burn_and_verify_of_a_blank_half_cost_at_most_0_7_of_mstflints_burn() {
    let mut flash = noise(0x20_0000, 3);
    flash[HALF as usize..].fill(0xFF);
    let counters = backup_burn_verify(&flash, &noise(IMAGE - 16, 4));
    assert_eq!(counters.erases_64k + counters.erases_4k, 0);
    let limit = MSTFLINT_BURN_MS * 1_000_000 * 7 / 10;
    assert!(counters.card_time_ns <= limit, "{counters:?}");
}
