//! Mapping and `pread` on a memory file laid out like a VFIO device; SIGBUS for real.

use super::super::regions::Regions;
use super::super::session::reset_of;
use super::super::sys::{self, Region};
use super::*;
use nix::sys::memfd::{MFdFlags, memfd_create};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, MutexGuard, PoisonError};
use vm_memory::{Bytes, FileOffset, MmapRegion, VolatileMemory};

const MIB: u64 = 0x10_0000;
const CONFIG: u64 = 4 * MIB;

/// One of these tests uses up all places for mappings: they run one after the other.
fn in_turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn device_file() -> File {
    let file = File::from(memfd_create(c"cx3flash-test", MFdFlags::MFD_CLOEXEC).unwrap());
    file.set_len(CONFIG + 0x1000).unwrap();
    file
}

fn regions(file: &File) -> Regions {
    let region = |offset, size| Region { flags: 7, size, offset };
    Regions::new(file.try_clone().unwrap(), region(2 * MIB, MIB), region(CONFIG, 0x1000))
}

#[test]
fn bar0_is_big_endian_and_configuration_space_little() {
    let _turn = in_turn();
    let file = device_file();
    for mapped in [false, true] {
        let mut io = regions(&file);
        if mapped {
            io.map().unwrap();
        }
        file.write_all_at(&[0x00, 0x01, 0x01, 0xf5], 2 * MIB + 0xf_0014).unwrap();
        assert_eq!(io.bar_read(DEVICE_ID).unwrap(), GOOD);
        io.bar_write(0xf_fffc, 0x1122_3344).unwrap();
        let mut bytes = [0; 4];
        file.read_exact_at(&mut bytes, 3 * MIB - 4).unwrap();
        assert_eq!(bytes, [0x11, 0x22, 0x33, 0x44], "mapped: {mapped}");

        file.write_all_at(&[0xb3, 0x15, 0x03, 0x10], CONFIG).unwrap();
        assert_eq!(io.config_read(0).unwrap(), 0x1003_15b3);
        io.config_write(ADDRESS, 0x000f_0014).unwrap();
        file.read_exact_at(&mut bytes, CONFIG + 0x58).unwrap();
        assert_eq!(bytes, [0x14, 0x00, 0x0f, 0x00]);
    }
}

#[test]
fn writing_command_leaves_status_alone() {
    let file = device_file();
    file.write_all_at(&[0, 0, 0x10, 0xf9], CONFIG + 4).unwrap();
    regions(&file).command_write(0x0142).unwrap();
    let mut bytes = [0; 4];
    file.read_exact_at(&mut bytes, CONFIG + 4).unwrap();
    assert_eq!(bytes, [0x42, 0x01, 0x10, 0xf9]);
}

#[test]
fn the_end_of_the_file_is_an_error_not_zeros() {
    let file = device_file();
    file.set_len(2 * MIB + 0x2002).unwrap();
    let mut io = regions(&file);
    assert!(io.bar_read(0x1ffc).is_ok());
    let cut = io.bar_read(0x2000).unwrap_err();
    assert_eq!(cut.kind(), io::ErrorKind::UnexpectedEof);
}

#[test]
fn a_bus_error_is_an_error_and_other_mappings_still_work() {
    let _turn = in_turn();
    let short = device_file();
    short.set_len(2 * MIB + 0x1000).unwrap();
    let (mut broken, mut reader) = (regions(&short), regions(&short));
    broken.map().unwrap();
    reader.map().unwrap();
    let other_file = device_file();
    let mut other = regions(&other_file);
    other.map().unwrap();

    broken.bar_write(0xffc, 5).unwrap();
    // A page that the file does not have: SIGBUS, by store and by load.
    assert!(broken.bar_write(DEVICE_ID, 1).is_err());
    assert!(reader.bar_read(DEVICE_ID).is_err());
    // It stays broken, also where the file still is: nothing it returns can be trusted.
    assert!(broken.bar_read(0xffc).is_err());

    other.bar_write(DEVICE_ID, GOOD).unwrap();
    assert_eq!(other.bar_read(DEVICE_ID).unwrap(), GOOD);

    // Mapped again after the cause is gone, it works.
    short.set_len(CONFIG + 0x1000).unwrap();
    broken.map().unwrap();
    assert_eq!(broken.bar_read(0xffc).unwrap(), 5);
    assert_eq!(broken.bar_read(DEVICE_ID).unwrap(), 0);
}

#[test]
fn a_bus_error_reaches_cr_space_and_a_reset_makes_a_new_mapping() {
    let _turn = in_turn();
    let file = device_file();
    file.write_all_at(&[0x00, 0x01, 0x01, 0xf5], 2 * MIB + 0xf_0014).unwrap();
    let io = Box::new(regions(&file));
    let open = Open::new(io, BDF, USABLE, Some(BarAccess::Mmap), &SteppedClock::default()).unwrap();
    let card = VfioCard::from_open(open);
    assert_eq!(access(&card), BarAccess::Mmap);
    assert_eq!(read(&card, DEVICE_ID).unwrap(), GOOD);
    file.set_len(2 * MIB).unwrap();
    assert!(matches!(read(&card, DEVICE_ID), Err(CrError::Io { at: DEVICE_ID, .. })));
    file.set_len(CONFIG + 0x1000).unwrap();
    assert!(card.space().back_after_reset().unwrap());
    assert_eq!(read(&card, DEVICE_ID).unwrap(), 0);
    card.close().unwrap();
}

#[test]
fn more_mappings_than_can_be_watched_are_refused_not_unwatched() {
    let _turn = in_turn();
    let file = device_file();
    let mut kept = Vec::new();
    let refused = loop {
        let mut io = regions(&file);
        match io.map() {
            Ok(()) => kept.push(io),
            Err(error) => break error,
        }
        assert!(kept.len() < 1000, "no limit");
    };
    assert_eq!(refused.raw_os_error(), Some(libc::ENOMEM));
    // A place that is given back can be taken again.
    kept.pop();
    regions(&file).map().unwrap();
}

/// In a process of its own: it must die of it, as without our handler.
#[test]
fn a_bus_error_outside_of_bar0_still_ends_the_process() {
    const CHILD: &str = "CX3FLASH_TEST_BUS_ERROR";
    if std::env::var_os(CHILD).is_some() {
        let _turn = in_turn();
        let file = device_file();
        regions(&file).map().unwrap();
        file.set_len(0).unwrap();
        let place = FileOffset::new(file, 0);
        let outside = MmapRegion::<()>::from_file(place, 0x1000).unwrap();
        let value = outside.as_volatile_slice().load::<u32>(0, Ordering::Relaxed);
        panic!("the fault was swallowed: {value:?}");
    }
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--test-threads=1"])
        .arg("host::vfio::tests::files::a_bus_error_outside_of_bar0_still_ends_the_process")
        .env(CHILD, "1")
        .output()
        .unwrap();
    assert_eq!(child.status.signal(), Some(libc::SIGBUS), "{child:?}");
}

#[test]
fn a_device_without_a_reset_and_a_reset_that_failed_are_two_findings() {
    let answer = sys::device_reset(&File::open("/dev/null").unwrap());
    assert_eq!(answer.as_ref().unwrap_err().raw_os_error(), Some(libc::ENOTTY));
    assert!(reset_of(answer).is_none());
    let errno = |errno| reset_of(Err(io::Error::from_raw_os_error(errno)));
    assert!(errno(libc::EINVAL).is_none());
    for other in [libc::EAGAIN, libc::EIO, libc::ENODEV] {
        assert_eq!(errno(other).unwrap().unwrap_err().raw_os_error(), Some(other));
    }
    assert!(reset_of(Ok(())).unwrap().is_ok());
}
