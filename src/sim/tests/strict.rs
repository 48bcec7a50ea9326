//! Every access a real card would not like is noticed, and does what a real card would do.

use super::driver::{ADDRESS, COMMAND, DATA, FLUSH, SEMAPHORE, TestDriver, spec};
use crate::card::{CrError, CrOffset};
use crate::image::{Recipe, build};
use crate::sim::{CardSpec, SimCard, SimChip};

fn blank() -> TestDriver {
    TestDriver::on(SimChip::M25px16, &[])
}

const RAMP: [u8; 16] = *b"0123456789abcdef";

#[test]
fn bit_13_clear_does_nothing_on_spi() {
    let mut driver = blank();
    driver.run(0x4006_0004);
    driver.assert_misuse("FLASH_ENABLE");
    assert_eq!(driver.status(), 0, "WREN did not reach the chip");
}

#[test]
fn more_than_16_bytes_are_refused() {
    let mut driver = blank();
    driver.at(0, 0x4003_251D);
    driver.assert_misuse("DATA_SIZE");
}

#[test]
fn reserved_bits_are_misuse() {
    for bit in [1, 6, 7, 14, 15, 24, 29, 31] {
        let mut driver = blank();
        driver.run(0x4005_2215 | 1 << bit);
        driver.assert_misuse("must be 0");
    }
}

#[test]
fn a_command_while_busy_is_lost() {
    let mut driver = blank();
    driver.write(COMMAND, 0x4003_241D);
    driver.write(COMMAND, 0x4006_2004);
    driver.assert_misuse("busy");
    driver.sleep(10);
    assert_eq!(driver.status(), 0, "the second command was dropped");
}

#[test]
fn data_read_too_early_is_old_data() {
    let mut driver = TestDriver::on(SimChip::M25px16, &RAMP);
    driver.write(COMMAND, 0x4003_241D);
    assert_eq!(driver.read(DATA), 0, "6 us of SPI are not over");
    driver.assert_misuse("data read while the gateway is busy");
    driver.sleep(10);
    assert_eq!(driver.read(DATA), 0x3031_3233);
}

#[test]
fn in_a_hurry_the_gateway_is_busy_until_it_is_polled() {
    let mut unpolled = TestDriver::on(SimChip::M25px16, &RAMP);
    unpolled.card.set_hurry(true);
    unpolled.write(COMMAND, 0x4003_241D);
    assert_eq!(unpolled.read(DATA), 0);
    unpolled.assert_misuse("data read while the gateway is busy");

    let mut polled = TestDriver::on(SimChip::M25px16, &RAMP);
    polled.card.set_hurry(true);
    polled.write(COMMAND, 0x4003_241D);
    assert_eq!(polled.read(COMMAND) & 0x4000_0000, 0);
    assert_eq!(polled.read(DATA), 0x3031_3233);
    polled.assert_clean();
}

#[test]
fn opcode_in_a_held_chain_goes_out_as_data() {
    let mut driver = blank();
    driver.run(0x4006_2004);
    driver.at(0, 0x4002_243C);
    driver.run(0x4005_2215);
    driver.assert_misuse("CMD_PHASE while chip-select is held");
    // 16 zeros of the first chunk, then the opcode and what was clocked.
    assert_eq!(driver.card.flash()[..17], [[0; 16].as_slice(), &[5]].concat());
}

#[test]
fn a_chain_needs_a_start() {
    let mut driver = blank();
    driver.run(0x4000_2411);
    let misuse = driver.card.misuse();
    assert!(misuse[0].what.contains("no CMD_PHASE"), "{misuse:?}");
    assert!(misuse[1].what.contains("opcode 00"), "{misuse:?}");
}

#[test]
fn the_gateway_needs_semaphore_63() {
    let card = SimCard::new(spec(SimChip::M25px16), &[]);
    let mut driver = TestDriver::idle(&card);
    driver.run(0x409F_2215);
    driver.assert_misuse("without holding semaphore 63");
    driver.read(DATA);
    driver.write(ADDRESS, 0);
    assert_eq!(card.misuse_count(), 3, "command, data and address");
}

#[test]
fn a_read_of_the_command_register_needs_no_semaphore() {
    let card = SimCard::new(spec(SimChip::M25px16), &[]);
    TestDriver::idle(&card).read(COMMAND);
    assert_eq!(card.misuse(), []);
}

#[test]
fn a_read_without_flush_is_misuse() {
    let mut driver = blank();
    driver.write(ADDRESS, 0);
    driver.raw_read(ADDRESS);
    driver.assert_misuse("not flushed");
}

#[test]
fn a_flush_is_the_write_and_the_read_of_zero() {
    let mut driver = blank();
    driver.write(ADDRESS, 0);
    driver.raw_read(FLUSH);
    driver.assert_misuse("0xf0380 read without writing 0");
    driver.write(FLUSH, 0);
    driver.raw_read(ADDRESS);
    assert_eq!(driver.card.misuse_count(), 2, "written but not read back");
}

#[test]
fn the_device_id_may_be_read_before_the_first_flush() {
    let card = SimCard::new(spec(SimChip::M25px16), &[]);
    let mut first = TestDriver::idle(&card);
    first.write(0xf3834, 0x1000_0000);
    assert_eq!(TestDriver::idle(&card).read(0xf0014), 0x0001_01f5);
    assert_eq!(card.misuse(), []);
}

#[test]
fn program_without_erase_clears_bits_only() {
    let mut driver = TestDriver::on(SimChip::M25px16, &[0x0F; 16]);
    assert!(driver.program16(0, &[0x55; 16]));
    driver.assert_misuse("without erase");
    assert_eq!(driver.card.flash()[..17], [[5; 16].as_slice(), &[0xFF]].concat());
}

#[test]
fn padding_with_ff_needs_no_erase() {
    let mut driver = TestDriver::on(SimChip::M25px16, &RAMP);
    let mut void = [0xFF; 16];
    void[..4].fill(0);
    assert!(driver.program16(0, &void));
    driver.assert_clean();
    assert_eq!(driver.card.flash()[..16], *b"\x00\x00\x00\x00456789abcdef");
}

#[test]
fn changes_without_write_enable_do_not_happen() {
    let mut driver = TestDriver::on(SimChip::M25px16, &RAMP);
    driver.at(0, 0x40D8_200C);
    driver.assert_misuse("without write enable");
    driver.at(0, 0x4002_241C);
    driver.run(0x4001_2014);
    assert_eq!(driver.card.misuse_count(), 3);
    assert_eq!(driver.card.flash()[..16], RAMP);
    assert_eq!(driver.card.mutations(), 0);
    // The latch holds for one change only.
    assert!(driver.program16(0x100, &RAMP));
    driver.at(0x200, 0x4002_241C);
    assert_eq!(driver.card.misuse_count(), 4);
}

#[test]
fn write_disable_clears_the_latch() {
    let mut driver = blank();
    driver.run(0x4006_2004);
    assert_eq!(driver.status(), 2);
    driver.run(0x4004_2004);
    assert_eq!(driver.status(), 0);
    driver.assert_clean();
}

#[test]
fn commands_during_wip_are_ignored() {
    let mut driver = TestDriver::on(SimChip::M25px16, &RAMP);
    driver.run(0x4006_2004);
    driver.at(0x1_0000, 0x40D8_200C);
    assert_eq!(driver.status(), 3);
    driver.assert_clean();
    assert_eq!(driver.read16(0), [0xFF; 16]);
    driver.assert_misuse("opcode 03 while WIP");
    assert!(driver.wait(1000));
    assert_eq!(driver.read16(0), RAMP);
    assert_eq!(driver.card.misuse_count(), 1);
}

#[test]
fn a_page_program_wraps_in_its_page() {
    let mut driver = blank();
    assert!(driver.program16(0x2f8, &RAMP));
    driver.assert_misuse("end of its page");
    let flash = driver.card.flash();
    assert_eq!(flash[0x2f8..0x300], RAMP[..8]);
    assert_eq!(flash[0x200..0x208], RAMP[8..]);
    assert_eq!(flash[0x300], 0xFF);
}

#[test]
fn programs_go_out_in_pieces_that_a_known_tool_sends() {
    // Command words of one program, and what is noted.
    let cases: [(&[u32], &str); 9] = [
        (&[0x4002_241C], ""),
        (&[0x4002_243C, 0x4000_2410], ""),
        (&[0x4002_243C, 0x4000_2430, 0x4000_2410], ""),
        (&[0x4002_221C], ""),
        (&[0x4002_201C], "a program of 1 bytes"),
        (&[0x4002_231C], "a program of 8 bytes"),
        (&[0x4002_233C, 0x4000_2410], "a program of 8 bytes with HOLD"),
        (&[0x4002_223C, 0x4000_2410], "a program of 4 bytes with HOLD"),
        (&[0x4002_243C, 0x4000_2210], "a program of 4 bytes after HOLD"),
    ];
    for (words, noted) in cases {
        let mut driver = blank();
        driver.run(0x4006_2004);
        driver.write(ADDRESS, 0x100);
        words.iter().for_each(|word| driver.run(*word));
        assert!(driver.wait(50));
        assert_eq!(driver.card.counters().programs, 1, "{words:x?}");
        if noted.is_empty() {
            driver.assert_clean();
        } else {
            driver.assert_misuse(noted);
        }
    }
}

#[test]
fn a_status_write_is_no_program() {
    let mut driver = blank();
    driver.run(0x4006_2004);
    driver.write(DATA, 0);
    driver.run(0x4001_2014);
    driver.assert_clean();
}

#[test]
fn a_chain_that_never_ends_programs_nothing() {
    let mut driver = blank();
    driver.run(0x4006_2004);
    driver.at(0, 0x4002_243C);
    driver.run(0x4000_2430);
    assert_eq!(driver.card.mutations(), 0);
    assert!(driver.card.flash().iter().all(|b| *b == 0xFF));
    driver.run(0x4000_2410);
    assert_eq!(driver.card.mutations(), 1);
    driver.assert_clean();
}

#[test]
fn access_to_forbidden_registers_is_misuse() {
    for at in [0xf0010, 0x8069c] {
        let mut driver = blank();
        driver.read(at);
        assert_eq!(driver.card.misuse().len(), 1, "read of {at:#x}");
    }
    for at in [0xf0014, 0x1f064] {
        let mut driver = blank();
        let before = driver.read(at);
        driver.write(at, 0x1234_5678);
        assert_eq!(driver.read(at), before, "{at:#x} cannot be written");
        assert_eq!(driver.card.misuse().len(), 1, "write of {at:#x}");
    }
    let mut driver = blank();
    driver.write(0x41270, 0x1234_5678);
    driver.assert_misuse("written to 0x41270");
    assert_ne!(driver.read(0x41270), 0x1234_5678);
    let mut driver = blank();
    driver.write(SEMAPHORE, 1);
    driver.assert_misuse("semaphore 63");
}

#[test]
fn offsets_that_are_no_register_are_errors() {
    let card = SimCard::new(spec(SimChip::M25px16), &[]);
    for mut access in [card.bar0(), card.config_gateway()] {
        for at in [1, 2, 0xf0015, 0x10_0000, u32::MAX] {
            let read = access.read(CrOffset(at));
            assert!(matches!(read, Err(CrError::BadOffset { at: a }) if a == at));
            assert!(access.write(CrOffset(at), 0).is_err());
        }
    }
    assert_eq!(card.misuse_count(), 20);
}

#[test]
fn unknown_registers_keep_what_is_written_until_reset() {
    let mut driver = blank();
    // 0xe0120: behind the tools' mailbox, which only firmware maps.
    for at in [0xf0000, 0xf0040, 0xf004c, 0xf3834, 0x80680, 0xe0120, 0] {
        assert_eq!(driver.read(at), 0);
        driver.write(at, at | 3);
        assert_eq!(driver.read(at), at | 3);
    }
    driver.write(0xf0010, 1);
    driver.sleep(1_000_001);
    assert_eq!(driver.read(0xf3834), 0);
    assert_eq!(driver.read(0xf0000), 0xf0003, "boot address survives a reset");
    driver.card.power_cycle();
    assert_eq!(driver.read(0xf0000), 0, "but not the power");
    driver.assert_clean();
}

#[test]
fn a_reset_clears_semaphores_and_is_silent_for_a_second() {
    let mut driver = blank();
    driver.read(0xf03a0);
    driver.write(0xf0010, 1);
    assert_eq!(driver.raw_read(0xf0014), u32::MAX);
    driver.sleep(999_000);
    assert_eq!(driver.raw_read(0xf0014), u32::MAX);
    assert_eq!(driver.card.config_read(0), u32::MAX);
    driver.sleep(1000);
    assert_eq!(driver.raw_read(0xf0014), 0x0001_01f5);
    assert_eq!(driver.card.semaphores_held(), [0_u8; 0]);
    driver.assert_clean();
}

#[test]
fn a_reset_at_the_wrong_time_is_misuse() {
    let mut driver = blank();
    driver.run(0x4006_2004);
    driver.at(0, 0x40D8_200C);
    driver.write(0xf0010, 1);
    driver.assert_misuse("reset while WIP");

    let card = SimCard::new(spec(SimChip::M25px16), &[]);
    let mut other = TestDriver::idle(&card);
    other.write(0xf0010, 1);
    other.assert_misuse("reset without holding semaphore 63");
}

#[test]
fn after_a_reset_a_raw_host_must_restore_config_space() {
    let card = SimCard::new(spec(SimChip::M25px16), &[]);
    card.set_host_restores_config(false);
    let mut driver = TestDriver::with(&card);
    driver.write(0xf0010, 1);
    driver.sleep(1_100_000);
    assert_eq!(card.config_read(0), 0x01f6_15b3);
    assert_eq!(card.config_read(4), 0);
    assert_eq!(card.config_read(0x10), 4, "BAR0 is lost");
    assert_eq!(driver.raw_read(0xf0014), u32::MAX, "memory decode is off");
    driver.write(0xf0000, 0x100);
    card.config_write(0x10, 0xfeb0_0000);
    card.config_write(4, 2);
    assert_eq!(card.config_read(0x10), 0xfeb0_0004);
    assert_eq!(driver.read(0xf0014), 0x0001_01f5);
    assert_eq!(driver.read(0xf0000), 0, "the write was lost");
    card.config_write(0x10, u32::MAX);
    assert_eq!(card.config_read(0x10), 0xfff0_0004, "1 MiB, 64-bit memory");
}

#[test]
fn both_variants_of_the_config_gateway_reach_the_same_card() {
    for write_only_address in [false, true] {
        let spec = CardSpec { write_only_address, ..CardSpec::default() };
        let card = SimCard::new(spec, &RAMP);
        let mut driver = TestDriver::over_config(&card);
        assert_eq!(driver.read(0xf0014), 0x0001_01f5);
        assert_eq!(driver.read16(0), RAMP);
        assert!(driver.erase(0x20, 0));
        driver.write(SEMAPHORE, 0);
        drop(driver);
        assert_eq!(card.flash()[..16], [0xFF; 16]);
        assert_eq!(card.misuse(), [], "write only: {write_only_address}");
        // Left pointing at a harmless register: a dump of config space takes no semaphore.
        assert_eq!(card.config_read(0x5c), 0x0001_01f5);
        assert_eq!(card.semaphores_held(), [0_u8; 0]);
    }
}

#[test]
fn a_dump_of_config_space_takes_the_semaphore_it_points_at() {
    let card = SimCard::new(CardSpec::default(), &[]);
    card.config_write(0x58, SEMAPHORE);
    assert_eq!(card.config_read(0x5c), 0);
    assert_eq!(card.semaphores_held(), [63]);
    assert_eq!(card.config_read(0x58), SEMAPHORE);
}

#[test]
fn a_locked_card_reads_one_word_everywhere() {
    let spec = CardSpec { secure_host: true, ..CardSpec::default() };
    let card = SimCard::new(spec, &build(&Recipe::default()).expect("an image"));
    let mut access = card.bar0();
    for at in [0xf0014, 0xf03fc, COMMAND, 0] {
        assert_eq!(access.read(CrOffset(at)).expect("read"), 0xbad0_cafe);
    }
    assert_eq!(card.semaphores_held(), [0_u8; 0]);
}
