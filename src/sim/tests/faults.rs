//! Each fault has its effect, and the same one every time.

use super::driver::{COMMAND, DATA, FLUSH, SEMAPHORE, TestDriver, spec};
use crate::sim::{BootOutcome, Fault, SimCard, SimChip, WrongRead};
use std::collections::BTreeSet;

fn blank() -> TestDriver {
    TestDriver::on(SimChip::M25px16, &[])
}

const RAMP: [u8; 16] = *b"0123456789abcdef";

fn torn_page(seed: u64) -> Vec<u8> {
    let mut driver = TestDriver::on(SimChip::M25px16, &[0xFF; 0x100]);
    driver.card.inject(Fault::PowerCut { op: 2, seed });
    assert!(driver.program16(0x100, &RAMP));
    assert!(!driver.card.is_silent());
    driver.program_page(0, &[0xA5; 256]);
    assert!(driver.card.is_silent());
    assert_eq!(driver.raw_read(0xf0014), u32::MAX);
    assert_eq!(driver.card.config_read(0), u32::MAX);
    driver.write(SEMAPHORE, 0);
    driver.assert_clean();
    let flash = driver.card.flash();
    assert_eq!(flash[0x100..0x110], RAMP, "the page before is complete");
    assert!(flash[0x110..].iter().all(|b| *b == 0xFF));
    driver.card.power_cycle();
    assert_eq!(driver.card.boot_outcome(), BootOutcome::Recovery);
    assert_eq!(TestDriver::with(&driver.card).read(0xf0014), 0x0001_01f5);
    flash[..0x100].to_vec()
}

#[test]
fn a_power_cut_tears_a_program_somewhere_between_nothing_and_all() {
    let pages: Vec<_> = (0..64).map(torn_page).collect();
    assert_eq!(pages[5], torn_page(5), "a seed gives the same tear");
    assert!(pages.contains(&vec![0xFF; 256]), "nothing done");
    assert!(pages.contains(&vec![0xA5; 256]), "all done");
    for page in &pages {
        assert!(page.iter().all(|b| b & 0xA5 == 0xA5), "no bit went wrong");
    }
    let kinds: BTreeSet<_> = pages.iter().collect();
    assert!(kinds.len() > 30, "{} kinds of tear", kinds.len());
    assert!(pages.iter().any(|p| p.iter().any(|b| *b != 0xFF && *b != 0xA5)), "bytes half done");
}

#[test]
fn a_power_cut_tears_an_erase_into_old_blank_and_garbage() {
    let old: Vec<u8> = (0..0x1000_u32).map(|i| (i % 251) as u8).collect();
    let mut seen = [false; 4];
    for seed in 0..64 {
        let mut driver = TestDriver::on(SimChip::M25px16, &old);
        driver.card.inject(Fault::PowerCut { op: 1, seed });
        driver.erase(0x20, 0);
        let new = driver.card.flash()[..0x1000].to_vec();
        let blank = new.iter().filter(|b| **b == 0xFF).count();
        let kept = new.iter().zip(&old).filter(|(a, b)| a == b).count();
        seen[0] |= kept == 0x1000;
        seen[1] |= blank == 0x1000;
        seen[2] |= kept > 0x200 && blank > 0x200;
        seen[3] |= new.iter().zip(&old).any(|(new, old)| *new != 0xFF && new != old);
    }
    assert_eq!(seen, [true; 4], "old, blank, mixed, garbage");
}

#[test]
fn a_power_cut_at_0_changes_nothing() {
    let mut driver = TestDriver::on(SimChip::M25px16, &RAMP);
    driver.card.inject(Fault::PowerCut { op: 0, seed: 1 });
    assert_eq!(driver.read16(0), RAMP, "reading is no operation");
    driver.erase(0x20, 0);
    assert!(driver.card.is_silent());
    assert_eq!(driver.card.flash()[..16], RAMP);
    assert_eq!(driver.card.mutations(), 0);
}

#[test]
fn a_flipped_bit_stays_wrong() {
    let mut driver = blank();
    driver.card.inject(Fault::FlippedBit { op: 2, bit: 10 });
    driver.card.inject(Fault::FlippedBit { op: 3, bit: 0x8001 });
    assert!(driver.program16(0, &RAMP));
    assert!(driver.program16(0x10, &RAMP));
    assert!(driver.erase(0x20, 0x1000));
    let flash = driver.card.flash();
    assert_eq!(flash[..16], RAMP);
    assert_eq!((flash[0x10], flash[0x11]), (RAMP[0], RAMP[1] ^ 4));
    assert_eq!(flash[0x1000], 0xFD, "bit 0x8001 of a 0x8000 bit sector");
    assert_eq!(driver.card.faults(), []);
}

#[test]
fn a_lying_write_reports_success() {
    let mut driver = blank();
    driver.card.inject(Fault::LyingWrite { op: 1 });
    driver.run(0x4006_2004);
    driver.at(0, 0x4002_241C);
    assert_eq!(driver.status(), 3, "WIP as if it worked");
    assert!(driver.wait(100));
    assert_eq!(driver.card.flash()[0], 0xFF);
    assert!(driver.program16(0, &RAMP));
    assert_eq!(driver.card.flash()[..16], RAMP);
    assert_eq!(driver.card.mutations(), 2);
}

#[test]
fn a_short_read_leaves_old_bytes() {
    let mut driver = TestDriver::on(SimChip::M25px16, b"ABCDEFGHIJKLMNOPabcdefghijklmnop");
    driver.card.inject(Fault::ShortRead { after: 1 });
    assert_eq!(driver.read16(0), *b"ABCDEFGHIJKLMNOP");
    assert_eq!(driver.read16(16), *b"abcdefghIJKLMNOP");
    assert_eq!(driver.read16(16), *b"abcdefghijklmnop", "once");
}

fn wrong(after: u64, kind: WrongRead) -> Fault {
    Fault::WrongRead { after, kind, at: None }
}

#[test]
fn a_wrong_read_is_wrong_once_and_keeps_the_flash() {
    const FLASH: &[u8; 32] = b"ABCDEFGHIJKLMNOPabcdefghijklmnop";
    let kinds = [
        (WrongRead::Stale, *b"ABCDEFGHIJKLMNOP"),
        (WrongRead::AllOnes, [0xFF; 16]),
        (WrongRead::Flipped { bit: 8 }, *b"accdefghijklmnop"),
        (WrongRead::Flipped { bit: 128 + 9 }, *b"a`cdefghijklmnop"),
    ];
    for (kind, got) in kinds {
        let mut driver = TestDriver::on(SimChip::M25px16, FLASH);
        driver.card.inject(wrong(1, kind));
        assert_eq!(driver.read16(0), FLASH[..16], "{kind:?}");
        assert_eq!(driver.read16(16), got, "{kind:?}");
        assert_eq!(driver.read16(16), FLASH[16..], "{kind:?}: once");
        assert_eq!(driver.card.flash()[..32], *FLASH);
        assert_eq!(driver.card.faults(), []);
        driver.assert_clean();
    }
}

#[test]
fn a_wrong_read_waits_for_its_address() {
    let mut driver = TestDriver::on(SimChip::M25px16, &[7; 64]);
    driver.card.inject(Fault::WrongRead { after: 1, kind: WrongRead::AllOnes, at: Some(0x2f) });
    assert_eq!(driver.read16(0x20), [7; 16], "behind `after` only");
    assert_eq!(driver.read16(0x10), [7; 16]);
    assert_eq!(driver.read16(0x30), [7; 16]);
    assert_eq!(driver.status(), 0, "a status read covers no address");
    assert_eq!(driver.read16(0x20), [0xFF; 16]);
    assert_eq!(driver.read16(0x20), [7; 16]);
}

#[test]
fn read_id_and_status_are_data_reads() {
    let mut driver = blank();
    assert_eq!(driver.card.data_reads(), 0);
    driver.run(0x409F_2215);
    driver.status();
    driver.run(0x4006_2004);
    assert_eq!(driver.card.data_reads(), 2);
    driver.card.inject(wrong(0, WrongRead::AllOnes));
    driver.run(0x409F_2215);
    assert_eq!(driver.read(DATA), u32::MAX);
    driver.run(0x409F_2215);
    assert_eq!(driver.read(DATA) >> 8, 0x20_7115);
}

#[test]
fn a_pause_lets_time_pass_behind_its_access() {
    let mut driver = TestDriver::on(SimChip::M25px16, &RAMP);
    driver.run(0x4006_2004);
    driver.at(0x1_0000, 0x40D8_200C);
    let before = driver.card.accesses();
    driver.card.inject(Fault::Away { after: 1, ms: 500 });
    let start = driver.card.clock().now();
    let gone = |d: &TestDriver| (d.card.clock().now() - start).as_millis();
    assert_eq!(driver.raw_read(0xf0014), 0x0001_01f5);
    assert_eq!(gone(&driver), 0);
    assert_eq!(driver.raw_read(0xf0014), 0x0001_01f5);
    assert_eq!(gone(&driver), 500);
    assert_eq!(driver.card.accesses(), before + 2);
    assert_eq!(driver.status(), 0, "the erase went on and ended");
    assert_eq!(gone(&driver), 500, "once");
    driver.assert_clean();
}

#[test]
fn a_pause_at_a_busy_poll_still_reads_busy() {
    let mut driver = blank();
    driver.write(COMMAND, 0x4003_241D);
    driver.read(FLUSH);
    driver.card.inject(Fault::Away { after: 0, ms: 500 });
    assert_eq!(driver.read(COMMAND), 0x4003_241D, "6 us are not over");
    assert_eq!(driver.read(COMMAND), 0x0003_241D);
}

#[test]
fn a_pause_happens_with_every_register_access() {
    let card = SimCard::new(spec(SimChip::M25px16), &[]);
    let mut config = card.config_gateway();
    card.inject(Fault::Away { after: 1, ms: 7 });
    let start = card.clock().now();
    let at = crate::card::CrOffset(0xf_0014);
    assert_eq!(config.read(at).expect("read"), 0x0001_01f5);
    assert_eq!((card.clock().now() - start).as_millis(), 7);
}

#[test]
fn stuck_busy_stays() {
    let mut driver = blank();
    driver.card.inject(Fault::StuckBusy { after: 2 });
    driver.status();
    driver.status();
    driver.write(COMMAND, 0x4005_2215);
    driver.sleep(10_000_000);
    assert_eq!(driver.read(COMMAND), 0x4005_2215);
    driver.assert_clean();
    driver.write(SEMAPHORE, 0);
    driver.card.power_cycle();
    assert_eq!(TestDriver::with(&driver.card).status(), 0);
}

#[test]
fn stuck_wip_stays() {
    let mut driver = blank();
    driver.card.inject(Fault::StuckWip { op: 2 });
    assert!(driver.program16(0, &RAMP));
    assert!(!driver.erase(0x20, 0), "never ready");
    assert_eq!(driver.status() & 1, 1);
    driver.card.power_cycle();
    assert_eq!(TestDriver::with(&driver.card).status(), 0);
}

#[test]
fn a_held_semaphore_is_free_after_its_reads() {
    let card = SimCard::new(spec(SimChip::M25px16), &[]);
    let held = |reads, owner_alive| Fault::SemaphoreHeld { number: 63, reads, owner_alive };
    card.inject(held(Some(3), false));
    assert_eq!(card.semaphores_held(), [63]);
    let mut driver = TestDriver::idle(&card);
    let got: Vec<u32> = (0..5).map(|_| driver.read(SEMAPHORE)).collect();
    assert_eq!(got, [1, 1, 1, 0, 1]);
    driver.write(SEMAPHORE, 0);

    card.inject(held(None, false));
    assert!((0..5000).all(|_| driver.read(SEMAPHORE) == 1));
    driver.run(0x4006_2004);
    driver.assert_misuse("without holding semaphore 63");
    driver.write(SEMAPHORE, 0);
    assert_eq!(driver.read(SEMAPHORE), 0, "the owner was dead");
    driver.write(SEMAPHORE, 0);

    card.inject(held(None, true));
    driver.write(SEMAPHORE, 0);
    assert_eq!(driver.read(SEMAPHORE), 1, "the owner is alive");
    assert_eq!(card.semaphores_held(), [63]);
}

#[test]
fn a_removed_card_reads_all_ones_until_power_is_cycled() {
    let mut driver = blank();
    driver.card.inject(Fault::Removed { after: 2 });
    assert_eq!(driver.raw_read(0xf0014), 0x0001_01f5);
    assert_eq!(driver.raw_read(0xf0014), 0x0001_01f5);
    assert_eq!(driver.raw_read(0xf0014), u32::MAX);
    driver.sleep(100_000_000);
    assert_eq!(driver.raw_read(FLUSH), u32::MAX);
    driver.card.power_cycle();
    assert_eq!(driver.raw_read(0xf0014), 0x0001_01f5);
}

#[test]
fn a_foreign_reset_frees_the_semaphores() {
    let mut driver = blank();
    driver.card.inject(Fault::Reset { after: 1 });
    assert_eq!(driver.raw_read(0xf0014), 0x0001_01f5);
    assert_eq!(driver.raw_read(0xf0014), u32::MAX);
    driver.sleep(1_000_000);
    assert_eq!(driver.raw_read(0xf0014), 0x0001_01f5);
    driver.assert_clean();
    driver.run(0x4006_2004);
    driver.assert_misuse("without holding semaphore 63");
}

#[test]
fn an_erase_outlives_a_foreign_reset() {
    let mut driver = TestDriver::on(SimChip::M25px16, &RAMP);
    driver.card.set_reset_time(std::time::Duration::from_micros(10));
    driver.run(0x4006_2004);
    driver.at(0, 0x40D8_200C);
    driver.card.inject(Fault::Reset { after: 0 });
    driver.raw_read(0xf0014);
    driver.sleep(10);
    let mut driver = TestDriver::with(&driver.card);
    assert_eq!(driver.status(), 3);
}

#[test]
fn broken_chaining_inverts_everything_after_the_first_chunk() {
    let image: Vec<u8> = (0..64).collect();
    let mut driver = TestDriver::on(SimChip::M25px16, &image);
    driver.card.inject(Fault::BrokenChainedRead);
    let got = driver.read_chain(0, 64);
    assert_eq!(got[..16], image[..16]);
    assert!((16..64).all(|i| got[i] != image[i]));
    assert_eq!(driver.read16(32), image[32..48], "single reads are right");
    let page: Vec<u8> = (0..=255).collect();
    assert!(driver.program_page(0x1000, &page), "programs still chain");
    assert_eq!(driver.card.flash()[0x1000..0x1100], page);
}

#[test]
fn delayed_writes_are_overtaken_without_the_flush() {
    let mut driver = blank();
    driver.read(FLUSH);
    driver.card.inject(Fault::DelayedWrites { depth: 4 });
    driver.write(0xf3834, 5);
    assert_eq!(driver.raw_read(0xf3834), 0, "the read was faster");
    driver.assert_misuse("not flushed");
    assert_eq!(driver.raw_read(0xf3834), 5);
    for i in 1..10 {
        driver.write(0xf3834, i);
        driver.write(0xf0040, i);
        assert_eq!(driver.read(0xf0040), i, "with the flush it is there");
        assert_eq!(driver.read(0xf3834), i);
    }
    let image = [7; 256];
    assert!(driver.program_page(0, &image));
    assert_eq!(driver.card.flash()[..256], image);
    assert_eq!(driver.card.misuse_count(), 2, "the two raw reads above");
}

#[test]
fn several_faults_at_a_time_each_happen() {
    let mut driver = blank();
    let all = [
        Fault::LyingWrite { op: 1 },
        Fault::FlippedBit { op: 2, bit: 0 },
        Fault::ShortRead { after: 100_000 },
        Fault::PowerCut { op: 3, seed: 9 },
    ];
    all.iter().for_each(|f| driver.card.inject(f.clone()));
    assert_eq!(driver.card.faults(), all);
    assert!(driver.program16(0, &RAMP));
    assert!(driver.program16(0x10, &RAMP));
    assert_eq!(driver.card.faults().len(), 2);
    driver.program16(0x20, &RAMP);
    let flash = driver.card.flash();
    assert_eq!((flash[0], flash[0x10]), (0xFF, RAMP[0] ^ 1));
    assert!(driver.card.is_silent());
    driver.card.power_cycle();
    assert_eq!(driver.card.faults(), [], "power takes them along");
    assert_eq!(driver.card.mutations(), 0);
}

#[test]
fn a_fork_is_independent() {
    let mut driver = blank();
    let fork = driver.card.fork();
    driver.card.inject(Fault::PowerCut { op: 1, seed: 1 });
    driver.program16(0, &RAMP);
    assert!(driver.card.is_silent() && !fork.is_silent());
    assert!(fork.flash().iter().all(|b| *b == 0xFF));
    assert!(fork.clock().now() < driver.card.clock().now());
    assert_eq!(fork.semaphores_held(), [63], "state goes along");
    let mut other = TestDriver::idle(&fork);
    other.read(DATA);
    other.assert_clean();
}
