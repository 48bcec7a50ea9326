//! Faults of register accesses, of answers of the chip, and of time.

use super::driver::{ADDRESS, COMMAND, DATA, SEMAPHORE, TestDriver};
use crate::sim::{Fault, Op, SimCard, SimChip, WrongRegister};

const ID: u32 = 0xf_0014;
const CHIP: u32 = 0x0001_01f5;
const OLD: [u8; 16] = *b"0123456789abcdef";

fn driver() -> TestDriver {
    TestDriver::on(SimChip::M25px16, &OLD)
}

fn reads_of_the_id(kind: WrongRegister, reads: u32) -> Vec<u32> {
    let mut driver = driver();
    driver.card.inject(Fault::WrongRegister { after: 1, at: None, reads, kind });
    let values = (0..4).map(|_| driver.raw_read(ID)).collect();
    assert_eq!(driver.card.faults(), []);
    values
}

#[test]
fn a_register_read_goes_wrong_as_often_as_asked() {
    let ones = u32::MAX;
    assert_eq!(reads_of_the_id(WrongRegister::RequestLost, 1), [CHIP, ones, CHIP, CHIP]);
    assert_eq!(reads_of_the_id(WrongRegister::AnswerLost, 2), [CHIP, ones, ones, CHIP]);
    assert_eq!(reads_of_the_id(WrongRegister::Locked, 1), [CHIP, 0xbad0_cafe, CHIP, CHIP]);
    assert_eq!(reads_of_the_id(WrongRegister::Filtered, 1), [CHIP, 0xbada_cce5, CHIP, CHIP]);
    assert_eq!(
        reads_of_the_id(WrongRegister::Flipped { bit: 4 }, 1),
        [CHIP, CHIP ^ 16, CHIP, CHIP]
    );
}

#[test]
fn a_lost_answer_has_taken_the_semaphore_and_a_lost_request_has_not() {
    for (kind, then) in [(WrongRegister::AnswerLost, 1), (WrongRegister::RequestLost, 0)] {
        let mut driver = TestDriver::idle(&driver().card.fork());
        driver.write(SEMAPHORE, 0);
        driver.card.inject(Fault::WrongRegister { after: 0, at: Some(SEMAPHORE), reads: 1, kind });
        assert_eq!(driver.read(SEMAPHORE), u32::MAX);
        assert_eq!(driver.read(SEMAPHORE), then, "{kind:?}");
    }
}

#[test]
fn a_lost_write_never_arrives_and_a_doubled_one_arrives_twice() {
    let mut driver = driver();
    driver.card.inject(Fault::LostWrite { after: 0, at: Some(ADDRESS) });
    driver.write(ADDRESS, 0x40);
    assert_eq!(driver.read(ADDRESS), 0);
    driver.write(ADDRESS, 0x40);
    assert_eq!(driver.read(ADDRESS), 0x40);
    driver.card.start_trace();
    driver.card.inject(Fault::DoubledWrite { after: 0, at: Some(COMMAND) });
    assert_eq!(driver.read16(0), OLD);
    let reads = driver.card.trace().iter().filter(|op| matches!(op, Op::Read { .. })).count();
    assert_eq!((reads, driver.card.data_reads()), (2, 2));
    driver.assert_clean();
}

#[test]
fn a_doubled_write_on_its_way_does_not_overtake_itself_and_those_before_it() {
    let mut driver = driver();
    driver.card.start_trace();
    driver.card.inject(Fault::DelayedWrites { depth: 4 });
    driver.card.inject(Fault::DoubledWrite { after: 0, at: Some(COMMAND) });
    driver.write(ADDRESS, 0x40);
    driver.write(COMMAND, 0x4003_241D);
    // Both have arrived by then.
    for _ in 0..100 {
        driver.read(COMMAND);
        driver.sleep(100);
    }
    let reads: Vec<Op> =
        driver.card.trace().into_iter().filter(|op| matches!(op, Op::Read { .. })).collect();
    assert_eq!(reads, [Op::Read { at: 0x40, len: 16 }, Op::Read { at: 0x40, len: 16 }]);
    driver.assert_clean();
}

#[test]
fn one_answer_to_an_opcode_is_wrong() {
    let mut driver = driver();
    driver.card.inject(Fault::WrongAnswer { opcode: 0x05, after: 1, flip: 0x0100_0000 });
    driver.run(0x409f_2215);
    assert_eq!(driver.read(DATA) >> 8, 0x20_7115);
    assert_eq!([driver.status(), driver.status()], [1, 0]);
}

#[test]
fn an_operation_and_a_command_that_take_longer_end() {
    let mut driver = driver();
    driver.card.inject(Fault::SlowOp { op: 1, ms: 90_000 });
    driver.card.inject(Fault::SlowGateway { after: 2, ms: 20 });
    driver.run(0x4006_2004);
    driver.at(0, 0x4020_200C);
    driver.write(COMMAND, 0x4005_2215);
    assert_eq!(driver.read(COMMAND) >> 30 & 1, 1);
    driver.sleep(21_000);
    assert_eq!(driver.read(COMMAND) >> 30 & 1, 0);
    driver.sleep(89_000_000);
    assert_eq!(driver.status() & 1, 1);
    driver.sleep(2_000_000);
    assert_eq!(driver.status() & 1, 0);
    assert_eq!(driver.card.flash()[..16], [0xFF; 16]);
    driver.assert_clean();
}

/// The last access before the sleep starts an erase of sector 0.
fn slept_in_an_erase(seed: u64, comes_back: bool) -> (TestDriver, SimCard) {
    let mut driver = TestDriver::on(SimChip::M25px16, &[0x5A; 0x2000]);
    driver.run(0x4006_2004);
    driver.write(ADDRESS, 0);
    let before = driver.card.fork();
    driver.card.inject(Fault::Suspend { after: 0, ms: 300_000, seed, comes_back });
    driver.write(COMMAND, 0x4020_200C);
    assert_eq!(driver.card.faults(), []);
    let slept = driver.card.clock().now() - before.clock().now();
    assert!(slept.as_secs() == 300, "{slept:?}");
    (driver, before)
}

#[test]
fn a_sleep_without_power_tears_what_ran_and_leaves_a_card_that_has_just_started() {
    let mut torn = 0;
    for seed in 0..16 {
        let (mut driver, before) = slept_in_an_erase(seed, true);
        let (old, new) = (before.flash(), driver.card.flash());
        torn += u32::from(new[..0x1000].iter().any(|b| *b != 0xFF));
        assert_eq!(old[0x1000..], new[0x1000..]);
        assert_eq!(driver.raw_read(ID), CHIP);
        assert_eq!([driver.raw_read(COMMAND), driver.raw_read(ADDRESS)], [0, 0]);
        assert_eq!(driver.read(SEMAPHORE), 0, "semaphores are free");
        assert_eq!(driver.status(), 0, "idle, no latch");
    }
    assert!(torn > 8, "{torn} of 16 torn");
}

#[test]
fn a_card_that_does_not_come_back_from_a_sleep_reads_all_ones() {
    let (mut driver, _) = slept_in_an_erase(1, false);
    assert_eq!(driver.raw_read(ID), u32::MAX);
}

#[test]
fn a_usurped_card_was_reset_and_its_semaphores_are_anothers() {
    let mut driver = driver();
    driver.write(ADDRESS, 0x40);
    driver.card.inject(Fault::Usurped { after: 0 });
    assert_eq!(driver.raw_read(ID), CHIP);
    assert_eq!(driver.raw_read(ADDRESS), 0);
    assert_eq!(driver.raw_read(SEMAPHORE), 1);
    assert_eq!(driver.card.semaphores_held(), [40, 63]);
    driver.assert_clean();
    driver.write(SEMAPHORE, 0);
    driver.assert_misuse("another program was freed");
}

#[test]
fn time_that_has_run_out_does_not_overflow() {
    let mut driver = driver();
    driver.card.inject(Fault::Away { after: 0, ms: u64::MAX });
    driver.raw_read(ID);
    driver.write(COMMAND, 0x4003_241D);
    driver.write(COMMAND, 0x4006_2004);
    driver.write(COMMAND, 0x40D8_200C);
}
