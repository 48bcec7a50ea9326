//! The differences between the chips.

use super::driver::{DATA, TestDriver};
use crate::sim::{Fault, SimChip};

#[test]
fn every_chip_reports_its_id_and_erases_its_sectors() {
    for part in SimChip::ALL {
        let size = part.size() as usize;
        let mut driver = TestDriver::on(part, &vec![0; size]);
        let [a, b, c] = part.jedec();
        driver.run(0x409F_2215);
        assert_eq!(driver.read(DATA).to_be_bytes()[..3], [a, b, c], "{part}");
        if part == SimChip::Sst25vf016b {
            unprotect(&mut driver);
        }
        assert!(driver.erase(0xD8, 0x1_2345), "{part}");
        let at = 0x1_0000;
        let flash = driver.card.flash();
        assert_eq!(flash.len(), size);
        assert!(flash[at..at + 0x1_0000].iter().all(|b| *b == 0xFF));
        assert_eq!((flash[at - 1], flash[at + 0x1_0000]), (0, 0));
        assert_eq!(driver.card.counters().erases_64k, 1);
        driver.assert_clean();
    }
}

#[test]
fn four_k_erase_is_not_for_the_m25p16_and_the_s25fl032p() {
    for part in SimChip::ALL {
        let mut driver = TestDriver::on(part, &[0; 0x3000]);
        if part == SimChip::Sst25vf016b {
            unprotect(&mut driver);
        }
        driver.erase(0x20, 0x1fff);
        let flash = driver.card.flash();
        if matches!(part, SimChip::M25p16 | SimChip::S25fl032p) {
            driver.assert_misuse("does not know opcode 20");
            assert_eq!(flash[0x1000], 0);
        } else {
            assert!(flash[0x1000..0x2000].iter().all(|b| *b == 0xFF), "{part}");
            assert_eq!((flash[0xfff], flash[0x2000]), (0, 0), "{part}");
            assert_eq!(driver.card.counters().erases_4k, 1);
            driver.assert_clean();
        }
    }
}

/// WREN and WRSR 0, as for SST (docs/hardware.md#sequences step 5, with no bits left).
fn unprotect(driver: &mut TestDriver) {
    driver.run(0x4006_2004);
    driver.write(DATA, 0);
    driver.run(0x4001_2014);
    assert!(driver.wait(100));
}

#[test]
fn sst_powers_up_protected_and_takes_one_byte() {
    let mut driver = TestDriver::on(SimChip::Sst25vf016b, &[]);
    assert_eq!(driver.status(), 0x1C);
    program_byte(&mut driver, 0, 0x12);
    assert_eq!(driver.card.flash()[0], 0xFF, "protected: nothing happens");
    unprotect(&mut driver);
    program_byte(&mut driver, 0, 0x12);
    assert_eq!(driver.card.flash()[0], 0x12);
    assert_eq!(driver.card.counters().programs, 1);
    driver.assert_clean();
    driver.program16(0x10, b"0123456789abcdef");
    driver.assert_misuse("byte-program chip");
    assert_eq!(driver.card.flash()[0x10..0x12], *b"0\xFF");
    driver.card.power_cycle();
    let mut driver = TestDriver::with(&driver.card);
    assert_eq!(driver.status(), 0x1C, "protected again");
}

fn program_byte(driver: &mut TestDriver, at: u32, byte: u8) {
    driver.run(0x4006_2004);
    driver.write(DATA, u32::from(byte) << 24);
    driver.at(at, 0x4002_201C);
    assert!(driver.wait(1));
}

#[test]
fn protected_sectors_do_not_change_and_clear_the_latch() {
    let mut driver = TestDriver::on(SimChip::M25px16, &vec![0; 0x20_0000]);
    // BP 1: the topmost 64 KiB.
    driver.card.inject(Fault::Protected { status: 0x04 });
    assert_eq!(driver.status(), 0x04);
    assert!(driver.erase(0xD8, 0x1F_0000));
    assert!(driver.erase(0x20, 0x1E_F000));
    let flash = driver.card.flash();
    assert!(flash[0x1F_0000..].iter().all(|b| *b == 0));
    assert!(flash[0x1E_F000..0x1F_0000].iter().all(|b| *b == 0xFF));
    assert_eq!(driver.card.mutations(), 1, "only the one that happened");
    assert_eq!(driver.status(), 0x04, "WEL is clear");
    driver.run(0x4006_2004);
    driver.run(0x40C7_2004);
    assert_eq!(driver.card.mutations(), 1, "no chip erase either");
    driver.card.power_cycle();
    let mut driver = TestDriver::with(&driver.card);
    assert_eq!(driver.status(), 0x04, "the bits are non-volatile");
    driver.assert_clean();
}

#[test]
fn winbond_has_a_second_register_and_loses_it_to_a_short_write() {
    let mut driver = TestDriver::on(SimChip::W25q16, &[]);
    driver.run(0x4006_2004);
    driver.write(DATA, 0x4402_0000);
    driver.run(0x4001_2114);
    assert!(driver.wait(1000));
    assert_eq!(driver.status(), 0x44);
    driver.run(0x4035_2215);
    assert_eq!(driver.read(DATA), 0x0202_0202, "SR2 with QE, repeated");
    unprotect(&mut driver);
    driver.run(0x4035_2215);
    assert_eq!(driver.read(DATA), 0);
    assert_eq!(driver.card.counters().status_writes, 2);
    driver.assert_clean();
}

/// WREN and WRSR of two bytes.
fn write_status(driver: &mut TestDriver, first: u8, second: u8) {
    driver.run(0x4006_2004);
    driver.write(DATA, u32::from_be_bytes([first, second, 0, 0]));
    driver.run(0x4001_2114);
    assert!(driver.wait(1000));
}

#[test]
fn cmp_protects_the_complement() {
    for part in [SimChip::W25q16, SimChip::Gd25q16, SimChip::W25q16jvim] {
        let mut driver = TestDriver::on(part, &vec![0; 0x20_0000]);
        write_status(&mut driver, 0x04, 0x40);
        driver.erase(0xD8, 0x1E_0000);
        assert_eq!(driver.card.flash()[0x1E_0000], 0, "{part}");
        driver.erase(0xD8, 0x1F_0000);
        assert_eq!(driver.card.flash()[0x1F_0000], 0xFF, "{part}");
        // No bit set: everything is protected.
        write_status(&mut driver, 0, 0x40);
        driver.erase(0x20, 0);
        assert_eq!(driver.card.flash()[0], 0, "{part}");
        write_status(&mut driver, 0, 0);
        driver.erase(0x20, 0);
        assert_eq!(driver.card.flash()[0], 0xFF, "{part}");
        driver.assert_clean();
    }
}

#[test]
fn a_short_status_write_keeps_the_second_register_of_the_jv() {
    for (part, left) in [(SimChip::W25q16, 0), (SimChip::W25q16jvim, 0x40)] {
        let mut driver = TestDriver::on(part, &[]);
        write_status(&mut driver, 0x04, 0x40);
        unprotect(&mut driver);
        driver.run(0x4035_2215);
        assert_eq!(driver.read(DATA) >> 24, left, "{part}");
    }
}

#[test]
fn spansion_answers_its_extended_id() {
    let mut driver = TestDriver::on(SimChip::S25fl032p, &[]);
    driver.run(0x409F_2315);
    assert_eq!(driver.read(DATA), 0x0102_154D);
    assert_eq!(driver.read(DATA + 4), 0);
    assert_eq!(driver.card.flash().len(), 4 << 20);
}

#[test]
fn read_id_during_an_erase_answers_ones_and_status_answers() {
    let mut driver = TestDriver::on(SimChip::M25px16, &[]);
    driver.run(0x4006_2004);
    driver.at(0x1_0000, 0x40D8_200C);
    assert_eq!(driver.status(), 3);
    driver.assert_clean();
    driver.run(0x409F_2215);
    assert_eq!(driver.read(DATA), u32::MAX);
    driver.assert_clean();
    assert!(driver.wait(1000));
    driver.run(0x409F_2215);
    assert_eq!(driver.read(DATA) >> 8, 0x20_7115);
}

#[test]
fn unknown_opcodes_answer_nothing() {
    let mut driver = TestDriver::on(SimChip::M25px16, &[]);
    driver.run(0x4035_2215);
    assert_eq!(driver.read(DATA), u32::MAX);
    driver.assert_misuse("does not know opcode 35");
}

#[test]
fn a_bank_without_chip_reads_all_ones() {
    let mut driver = TestDriver::on(SimChip::M25px16, &[0; 16]);
    driver.run(0x409F_2A15);
    assert_eq!(driver.read(DATA), u32::MAX);
    driver.assert_clean();
}

#[test]
fn chained_reads_give_what_single_reads_give() {
    let image: Vec<u8> = (0..0x400_u32).map(|i| (i * 7) as u8).collect();
    let mut driver = TestDriver::on(SimChip::M25px16, &image);
    assert_eq!(driver.read_chain(0x20, 0x300), image[0x20..0x320]);
    driver.assert_clean();
    let chained = driver.card.take_counters();
    for at in (0x20..0x320).step_by(16) {
        driver.read16(at);
    }
    let single = driver.card.counters();
    assert_eq!(chained.spi_bytes, 4 + 0x300);
    assert_eq!(single.spi_bytes, 20 * 0x30);
    assert!(chained.card_time_ns < single.card_time_ns);
}

#[test]
fn command_words_and_chained_reads_are_counted() {
    let mut driver = TestDriver::on(SimChip::M25px16, &[1; 64]);
    driver.read16(0);
    driver.read16(16);
    assert_eq!(driver.card.chained_reads(), 0);
    driver.read_chain(0, 64);
    assert_eq!(driver.card.chained_reads(), 3);
    driver.program_page(0x100, &[1; 48]);
    assert_eq!(driver.card.chained_reads(), 3, "programs are no reads");
    let words = [
        0x4000_2410,
        0x4000_2411,
        0x4000_2430,
        0x4000_2431,
        0x4002_243C,
        0x4003_241D,
        0x4003_243D,
        0x4005_2215,
        0x4006_2004,
    ];
    assert_eq!(driver.card.gateway_words(), words.into());
    let _ = driver.card.take_counters();
    assert!(driver.card.gateway_words().is_empty());
    driver.status();
    assert_eq!(driver.card.gateway_words(), [0x4005_2215].into());
    driver.assert_clean();
}

#[test]
fn a_read_wraps_at_the_end_of_the_chip() {
    let mut image = vec![0xAA; 0x20_0000];
    image[..16].fill(0x11);
    let mut driver = TestDriver::on(SimChip::M25px16, &image);
    let got = driver.read_chain(0x1F_FFF8, 32);
    assert_eq!(got[..8], [0xAA; 8]);
    assert_eq!(got[8..24], [0x11; 16]);
}

#[test]
fn a_read_id_pads_after_three_bytes_and_status_repeats() {
    let mut driver = TestDriver::on(SimChip::W25q16, &[]);
    driver.run(0x409F_2315);
    assert_eq!(driver.read(DATA), 0xEF40_1500);
    assert_eq!(driver.read(DATA + 4), 0);
    driver.run(0x4006_2004);
    driver.run(0x4005_2215);
    assert_eq!(driver.read(DATA), 0x0202_0202);
}

#[test]
fn a_short_transfer_leaves_the_other_data_registers_alone() {
    let mut driver = TestDriver::on(SimChip::M25px16, b"ABCDEFGHIJKLMNOP");
    driver.read16(0);
    driver.at(4, 0x4003_221D);
    assert_eq!(driver.read(DATA), 0x4546_4748);
    assert_eq!(driver.read(DATA + 4), 0x4546_4748);
    assert_eq!(driver.read(DATA + 8), 0x494a_4b4c);
}
