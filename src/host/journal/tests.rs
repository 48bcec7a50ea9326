//! Journals that are torn, damaged, or another card's.

use super::encode;
use super::record::JournalRecord;
use super::{HostStep, Journal, JournalError, Marks, OriginalState, cards};
use crate::host::{Bdf, Host};
use std::fs;
use std::path::PathBuf;
use tempfile::TempDir;

fn bdf() -> Bdf {
    "0000:05:00.0".parse().unwrap()
}

fn record(step: HostStep) -> JournalRecord {
    JournalRecord {
        bdf: bdf(),
        device_id: 0x1003,
        subsystem: (0x15b3, 0x0055),
        serial: Some(0x0002_c903_00ab_cdef),
        boot_id: "first".into(),
        pid: 1000,
        original: OriginalState {
            driver: Some("mlx4_core".into()),
            port_types: vec!["eth".into()],
            ..OriginalState::default()
        },
        step,
        bridge: None,
        marks: Marks::default(),
    }
}

fn empty_host() -> (TempDir, Host) {
    let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let host = Host::at(dir.path());
    (dir, host)
}

fn file(host: &Host, slot: &str) -> PathBuf {
    host.journal_dir().join(format!("{}.{slot}", bdf()))
}

fn newest(host: &Host) -> Option<HostStep> {
    Journal::read(host, bdf()).unwrap().map(|r| r.step)
}

#[test]
fn the_newest_record_is_used() {
    let (_dir, host) = empty_host();
    let (mut journal, none) = Journal::open(&host, bdf()).unwrap();
    assert_eq!(none, None);
    for step in [HostStep::Begin, HostStep::Override, HostStep::Unbind, HostStep::Bind] {
        journal.write(&record(step)).unwrap();
        assert_eq!(Journal::read(&host, bdf()).unwrap(), Some(record(step)));
    }
    assert_eq!(cards(&host).unwrap(), [bdf()]);
    // A new process goes on counting.
    let (mut journal, _) = Journal::open(&host, bdf()).unwrap();
    journal.write(&record(HostStep::Borrowed)).unwrap();
    assert_eq!(newest(&host), Some(HostStep::Borrowed));
    journal.remove().unwrap();
    assert_eq!(newest(&host), None);
    assert_eq!(cards(&host).unwrap(), []);
    journal.remove().unwrap();
}

#[test]
fn a_torn_record_leaves_the_one_before() {
    let (_dir, host) = empty_host();
    let (mut journal, _) = Journal::open(&host, bdf()).unwrap();
    journal.write(&record(HostStep::Begin)).unwrap();
    journal.write(&record(HostStep::Override)).unwrap();
    let bytes = encode(3, &record(HostStep::Unbind)).unwrap();
    assert!(bytes.len() > 200);
    for length in 0..bytes.len() {
        fs::write(file(&host, "a"), &bytes[..length]).unwrap();
        assert_eq!(newest(&host), Some(HostStep::Override), "{length} bytes");
    }
    fs::write(file(&host, "a"), &bytes).unwrap();
    assert_eq!(newest(&host), Some(HostStep::Unbind));
    // The torn one is written over, not the good one.
    fs::write(file(&host, "a"), &bytes[..40]).unwrap();
    let (mut journal, _) = Journal::open(&host, bdf()).unwrap();
    journal.write(&record(HostStep::Bind)).unwrap();
    fs::remove_file(file(&host, "a")).unwrap();
    assert_eq!(newest(&host), Some(HostStep::Override));
}

#[test]
fn a_first_record_torn_at_any_byte_means_nothing_was_changed() {
    let (_dir, host) = empty_host();
    let bytes = encode(1, &record(HostStep::Begin)).unwrap();
    fs::create_dir_all(host.journal_dir()).unwrap();
    for length in 0..bytes.len() {
        fs::write(file(&host, "a"), &bytes[..length]).unwrap();
        assert_eq!(newest(&host), None);
        // Reading changes nothing: another process may be writing it at this moment.
        assert!(file(&host, "a").exists());
    }
    assert_eq!(Journal::open(&host, bdf()).unwrap().1, None);
    assert!(!file(&host, "a").exists());
}

#[test]
fn a_record_with_a_flipped_bit_is_not_used() {
    let (_dir, host) = empty_host();
    let (mut journal, _) = Journal::open(&host, bdf()).unwrap();
    journal.write(&record(HostStep::Begin)).unwrap();
    journal.write(&record(HostStep::Override)).unwrap();
    let good = fs::read(file(&host, "b")).unwrap();
    for bit in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        fs::write(file(&host, "b"), &bad).unwrap();
        assert_eq!(newest(&host), Some(HostStep::Begin), "bit {bit}");
    }
}

#[test]
fn two_damaged_records_are_an_error() {
    let (_dir, host) = empty_host();
    let (mut journal, _) = Journal::open(&host, bdf()).unwrap();
    journal.write(&record(HostStep::Begin)).unwrap();
    journal.write(&record(HostStep::Override)).unwrap();
    for slot in ["a", "b"] {
        let mut bytes = fs::read(file(&host, slot)).unwrap();
        bytes.truncate(60);
        fs::write(file(&host, slot), bytes).unwrap();
    }
    for result in [Journal::read(&host, bdf()).map(drop), Journal::open(&host, bdf()).map(drop)] {
        assert!(matches!(result, Err(JournalError::Damaged { .. })), "{result:?}");
    }
    assert_eq!(cards(&host).unwrap(), [bdf()], "and still listed");
}

#[test]
fn a_journal_of_another_card_or_version_is_refused() {
    let (_dir, host) = empty_host();
    let (mut journal, _) = Journal::open(&host, bdf()).unwrap();
    let mut other = record(HostStep::Begin);
    other.bdf = "0000:06:00.0".parse().unwrap();
    journal.write(&other).unwrap();
    let error = Journal::read(&host, bdf()).unwrap_err().to_string();
    assert!(error.contains("0000:06:00.0"), "{error}");
    let mut bytes = encode(1, &record(HostStep::Begin)).unwrap();
    bytes[4] = 2;
    let end = bytes.len() - 4;
    let crc = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC).checksum(&bytes[..end]);
    bytes[end..].copy_from_slice(&crc.to_le_bytes());
    for slot in ["a", "b"] {
        fs::write(file(&host, slot), &bytes).unwrap();
    }
    let error = Journal::read(&host, bdf()).unwrap_err().to_string();
    assert!(error.contains("version 2"), "{error}");
}
