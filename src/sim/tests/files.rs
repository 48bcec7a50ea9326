//! Card files: state lasts, also that of a process that was killed.

use super::driver::{SEMAPHORE, TestDriver, spec};
use crate::sim::{CardFileError, CardSpec, Fault, SimCard, SimChip};
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

const RAMP: [u8; 16] = *b"0123456789abcdef";

fn temporary() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("temporary directory");
    let path = dir.path().join("card");
    (dir, path)
}

fn create(path: &Path) -> SimCard {
    SimCard::create(path, spec(SimChip::M25px16), &RAMP).expect("new file")
}

fn open(path: &Path) -> SimCard {
    SimCard::open(path).expect("card file")
}

/// What the file holds at this moment, as if the process that has it open were killed now.
fn killed(path: &Path) -> SimCard {
    let copy = path.with_extension("killed");
    let _ = fs::remove_file(&copy);
    fs::copy(path, &copy).expect("copy");
    open(&copy)
}

#[test]
fn a_reopened_card_is_in_its_last_state() {
    let (_dir, path) = temporary();
    let board = CardSpec::named("mcx312b").expect("known");
    let card = SimCard::create(&path, board.clone(), &RAMP).expect("new file");
    let mut driver = TestDriver::with(&card);
    assert!(driver.erase(0x20, 0x1000));
    assert!(driver.program16(0x1000, &RAMP));
    driver.write(0xf0000, 0x1000_0000);
    driver.write(SEMAPHORE, 0);
    let (counters, flash) = (card.counters(), card.flash());
    drop((driver, card));

    let card = open(&path);
    assert_eq!(card.spec(), board);
    assert!(card.flash() == flash);
    assert_eq!(card.counters(), counters);
    assert_eq!(card.mutations(), 2);
    assert_eq!(card.semaphores_held(), [0_u8; 0]);
    let mut driver = TestDriver::with(&card);
    assert_eq!(driver.read(0xf0000), 0x1000_0000);
    assert_eq!(driver.read16(0x1000), RAMP);
    driver.assert_clean();
}

#[test]
fn a_killed_process_leaves_flash_and_semaphores() {
    let (_dir, path) = temporary();
    let card = create(&path);
    let mut driver = TestDriver::with(&card);
    driver.read(0xf03a0);
    assert!(driver.program16(0x100, &RAMP));
    driver.run(0x4006_2004);
    driver.at(0x1_0000, 0x40D8_200C);

    let left = killed(&path);
    assert!(left.flash() == card.flash());
    assert_eq!(left.mutations(), 2);
    assert_eq!(left.semaphores_held(), [40, 63]);
    let mut next = TestDriver::idle(&left);
    assert_eq!(next.read(SEMAPHORE), 1);
    next.run(0x409F_2215);
    next.assert_misuse("without holding semaphore 63");
    next.write(SEMAPHORE, 0);
    assert_eq!(next.read(SEMAPHORE), 0, "no owner takes it back");
}

#[test]
fn a_card_dropped_without_release_keeps_its_semaphores() {
    let (_dir, path) = temporary();
    drop(TestDriver::with(&create(&path)));
    assert_eq!(open(&path).semaphores_held(), [63]);
    open(&path).power_cycle();
    assert_eq!(open(&path).semaphores_held(), [0_u8; 0]);
}

#[test]
fn faults_wait_in_the_file_and_are_used_once() {
    let (_dir, path) = temporary();
    let card = create(&path);
    assert!(TestDriver::with(&card).program16(0x100, &RAMP));
    card.inject(Fault::LyingWrite { op: 2 });
    card.inject(Fault::PowerCut { op: 3, seed: 4 });
    card.inject(Fault::Protected { status: 0 });
    card.power_cycle();
    assert_eq!(card.faults(), [], "power takes faults along");
    card.inject(Fault::LyingWrite { op: 2 });
    card.inject(Fault::PowerCut { op: 3, seed: 4 });
    drop(card);

    let card = open(&path);
    assert_eq!(card.faults().len(), 2);
    let mut driver = TestDriver::with(&card);
    for at in [0x200, 0x300] {
        assert!(driver.program16(at, &RAMP));
    }
    assert_eq!(card.flash()[0x200..0x210], RAMP);
    assert_eq!(card.flash()[0x300], 0xFF, "operation 2 lied");
    drop((driver, card));

    let card = open(&path);
    assert_eq!(card.faults(), [Fault::PowerCut { op: 3, seed: 4 }]);
    let mut driver = TestDriver::idle(&card);
    driver.write(SEMAPHORE, 0);
    driver.read(SEMAPHORE);
    driver.program16(0x400, &RAMP);
    assert!(card.is_silent());
    let torn = card.flash();
    drop((driver, card));

    let card = open(&path);
    assert!(card.is_silent(), "power stays off");
    assert!(card.flash() == torn);
    card.power_cycle();
    assert!(!card.is_silent());
    assert_eq!(card.faults(), []);
}

#[test]
fn a_removed_or_stuck_card_stays_so() {
    let (_dir, path) = temporary();
    let card = create(&path);
    card.inject(Fault::Removed { after: 0 });
    TestDriver::idle(&card).raw_read(0xf0014);
    drop(card);
    assert!(open(&path).is_silent());
    open(&path).power_cycle();
    let card = open(&path);
    card.inject(Fault::StuckWip { op: 1 });
    TestDriver::with(&card).program16(0x200, &RAMP);
    drop(card);
    let card = open(&path);
    let mut driver = TestDriver::idle(&card);
    driver.write(SEMAPHORE, 0);
    driver.read(SEMAPHORE);
    assert_eq!(driver.status() & 1, 1);
}

#[test]
fn misuse_is_kept_for_the_next_process() {
    let (_dir, path) = temporary();
    let card = create(&path);
    TestDriver::idle(&card).read(0xf0010);
    drop(card);
    let card = open(&path);
    assert_eq!((card.misuse_count(), card.misuse().len()), (1, 1));
}

#[test]
fn a_second_process_on_a_card_file_is_refused() {
    let (_dir, path) = temporary();
    let card = create(&path);
    match SimCard::open(&path).map(drop) {
        Err(CardFileError::Busy { pid, .. }) => assert_eq!(pid, std::process::id()),
        other => panic!("{other:?}"),
    }
    drop(card);
    open(&path);
}

#[test]
fn an_existing_file_is_never_overwritten() {
    let (_dir, path) = temporary();
    fs::write(&path, "precious").expect("write");
    let made = SimCard::create(&path, CardSpec::default(), &[]).map(drop);
    assert!(matches!(made, Err(CardFileError::Exists(_))), "{made:?}");
    assert_eq!(fs::read(&path).expect("read"), b"precious");
    let nowhere = SimCard::create(&path.join("x"), CardSpec::default(), &[]).map(drop);
    assert!(matches!(nowhere, Err(CardFileError::Io { .. })));
}

#[test]
fn a_file_that_is_no_card_is_refused_with_its_reason() {
    let (dir, path) = temporary();
    drop(create(&path));
    let good = fs::read(&path).expect("read");
    let try_bytes = |bytes: &[u8]| {
        let path = dir.path().join("other");
        fs::write(&path, bytes).expect("write");
        let error = SimCard::open(&path).map(drop).expect_err("no card");
        (format!("{error:?}"), error.to_string())
    };
    for bytes in [b"".as_slice(), b"PK\x03\x04", &[0; 0x30_0000]] {
        assert!(try_bytes(bytes).0.starts_with("NotOne"));
    }
    for len in [20, 28, 4096, 65536, good.len() - 1] {
        let (kind, text) = try_bytes(&good[..len]);
        assert!(kind.starts_with("Damaged"), "cut to {len}: {text}");
    }
    let mut long = good.clone();
    long.push(0);
    assert!(try_bytes(&long).0.starts_with("Damaged"));
    let mut later = good.clone();
    later[16] = 9;
    let (kind, text) = try_bytes(&later);
    assert!(kind.starts_with("Version"), "{kind}");
    assert!(text.contains("version 9"), "{text}");
    let mut size = good.clone();
    size[22] ^= 1;
    assert!(try_bytes(&size).0.starts_with("Damaged"));
    let mut records = good;
    records[4096..65536].fill(0x20);
    assert!(try_bytes(&records).1.contains("neither record is valid"));
    let missing = SimCard::open(&dir.path().join("none")).map(drop);
    assert!(matches!(missing, Err(CardFileError::Io { .. })));
    let folder = SimCard::open(dir.path()).map(drop);
    assert!(folder.is_err());
}

#[test]
fn a_record_cut_short_by_a_crash_loses_one_step_only() {
    let (_dir, path) = temporary();
    let card = create(&path);
    let mut driver = TestDriver::with(&card);
    for i in 1..6 {
        assert!(driver.program16(i * 0x100, &RAMP));
    }
    drop((driver, card));
    let all = open(&path).mutations();
    assert_eq!(all, 5);
    let counter = |slot: u64| {
        let mut bytes = [0; 8];
        let file = fs::File::open(&path).expect("open");
        file.read_exact_at(&mut bytes, slot).expect("slot");
        u64::from_le_bytes(bytes)
    };
    let newest = [4096, 34816].into_iter().max_by_key(|slot| counter(*slot)).expect("two");
    let file = fs::OpenOptions::new().write(true).open(&path).expect("open");
    file.write_all_at(&[0; 64], newest + 40).expect("spoil");
    let card = open(&path);
    assert!(card.mutations() >= 4, "{}", card.mutations());
    assert_eq!(card.semaphores_held(), [63]);
}

#[test]
fn a_fork_of_a_card_file_does_not_write_to_it() {
    let (_dir, path) = temporary();
    let card = create(&path);
    let fork = card.fork();
    assert!(TestDriver::with(&fork).program16(0x100, &RAMP));
    drop(fork);
    assert_eq!(killed(&path).mutations(), 0);
}

/// Environment variable that turns the test below into the process to be killed.
const VICTIM: &str = "CX3FLASH_TEST_VICTIM";

#[test]
fn sigkill_during_an_erase_leaves_semaphores_taken_and_the_file_valid() {
    if let Some(path) = std::env::var_os(VICTIM) {
        let mut driver = TestDriver::with(&open(Path::new(&path)));
        assert!(driver.program16(0x100, &RAMP));
        driver.run(0x4006_2004);
        driver.at(0x1_0000, 0x40D8_200C);
        println!("erasing");
        std::thread::sleep(std::time::Duration::from_secs(60));
        panic!("this process was not killed");
    }
    let (_dir, path) = temporary();
    drop(create(&path));
    let (_, module) = module_path!().split_once("::").expect("inside a crate");
    let name =
        format!("{module}::sigkill_during_an_erase_leaves_semaphores_taken_and_the_file_valid");
    let mut victim = Command::new(std::env::current_exe().expect("path"))
        .args(["--exact", &name, "--nocapture", "--test-threads=1"])
        .env(VICTIM, &path)
        .stdout(Stdio::piped())
        .spawn()
        .expect("child");
    let lines = BufReader::new(victim.stdout.take().expect("piped")).lines();
    let reported = lines.map_while(Result::ok).any(|l| l.contains("erasing"));
    let seen = SimCard::open(&path).map(drop);
    victim.kill().expect("SIGKILL");
    victim.wait().expect("gone");
    assert!(reported, "the child did not erase");
    match seen {
        Err(CardFileError::Busy { pid, .. }) => assert_eq!(pid, victim.id()),
        other => panic!("{other:?}"),
    }

    let card = open(&path);
    assert_eq!(card.semaphores_held(), [63]);
    assert_eq!(card.mutations(), 2);
    assert_eq!(card.flash()[0x100..0x110], RAMP);
    let mut driver = TestDriver::idle(&card);
    driver.write(SEMAPHORE, 0);
    assert_eq!(driver.read(SEMAPHORE), 0);
    assert!(driver.program16(0x1_0000, &RAMP));
    driver.assert_clean();
}
