//! Tests without the fake kernel: the helper's refusals, the lock file, messages.

use super::fake::{Kernel, differences};
use crate::host::lease::lock::{acquire, release};
use crate::host::lease::{Lease, LeaseError, Mark, write_attribute};
use crate::host::tests::fake::{CARD, bdf};
use crate::host::tests::with_own_mounts;
use nix::libc;
use rustix::fs::FlockOperation;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

#[test]
fn the_helper_writes_below_sys_only() {
    for path in ["/etc/hostname", "sys/x", "/sys/../etc/hostname", "/sysx/y", ""] {
        assert_eq!(write_attribute(Path::new(path)), libc::EPERM, "{path}");
    }
}

#[test]
fn a_lock_file_of_a_dead_process_does_not_lock() {
    let kernel = Kernel::new();
    let dir = kernel.host().lock_dir();
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join(format!("{CARD}.lock")), "pid 1 (cx3flash burn something very long)\n")
        .unwrap();
    let lease = kernel.take().unwrap();
    let holder = fs::read_to_string(dir.join(format!("{CARD}.lock"))).unwrap();
    assert!(holder.starts_with(&format!("pid {} (", std::process::id())), "{holder}");
    assert!(!holder.contains("very long"), "{holder}");
    drop(lease);
}

#[test]
fn pending_reports_what_is_to_be_restored() {
    let kernel = Kernel::new();
    assert!(Lease::pending(&kernel.host()).unwrap().is_empty());
    let mut lease = kernel.take().unwrap();
    lease.mark(Mark::SemaphoresHeld(true)).unwrap();
    lease.mark(Mark::FlashTouched).unwrap();
    let pending = Lease::pending(&kernel.host()).unwrap();
    assert_eq!(pending.len(), 1);
    assert_eq!(pending[0].bdf, bdf(CARD));
    assert_eq!(pending[0].pid, Some(std::process::id()));
    assert!(pending[0].this_boot && pending[0].marks.semaphores_held);
    let text = pending[0].to_string();
    assert!(text.contains("mlx4_core (enp5s0, enp5s0d1)"), "{text}");
    drop(lease);
    fs::write(kernel.host().journal_dir().join(format!("{CARD}.json")), "junk").unwrap();
    let pending = Lease::pending(&kernel.host()).unwrap();
    assert!(pending[0].problem.is_some());
    assert!(kernel.take().is_err() && kernel.adopt().is_err());
}

#[test]
fn a_lock_file_that_was_unlinked_or_replaced_is_not_believed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.lock");
    let exclusive = FlockOperation::NonBlockingLockExclusive;
    let first = acquire(&path, exclusive, 0o600).unwrap().unwrap();
    assert!(acquire(&path, exclusive, 0o600).unwrap().is_none(), "it is held");
    // The holder's loss: nothing can be done about it. The next two see each other.
    fs::remove_file(&path).unwrap();
    let second = acquire(&path, exclusive, 0o600).unwrap().unwrap();
    drop(first);
    assert!(acquire(&path, exclusive, 0o600).unwrap().is_none(), "the new file is held");
    drop(second);
    // Replaced while it is being locked: the lock is one of the file that is there.
    let lock = acquire(&path, exclusive, 0o600).unwrap().unwrap();
    assert_eq!(lock.metadata().unwrap().ino(), fs::metadata(&path).unwrap().ino());
}

#[test]
fn anything_but_a_regular_file_in_the_place_of_a_lock_is_an_error_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.lock");
    let refused = |words: &str| {
        let error = acquire(&path, FlockOperation::NonBlockingLockExclusive, 0o600).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
    };
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    refused("not a regular file");
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    refused("directory");
    fs::remove_dir(&path).unwrap();
    let target = dir.path().join("target");
    std::os::unix::fs::symlink(&target, &path).unwrap();
    refused("symbolic link");
    assert!(!target.exists());
}

#[test]
fn lock_files_are_made_for_their_users_only() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("new/x.lock");
    acquire(&path, FlockOperation::NonBlockingLockExclusive, 0o600).unwrap().unwrap();
    let beyond = |path: &Path, allowed: u32| fs::metadata(path).unwrap().mode() & 0o777 & !allowed;
    assert_eq!(beyond(&path, 0o600), 0);
    assert_eq!(beyond(path.parent().unwrap(), 0o755), 0);
}

#[test]
fn a_lock_that_is_released_excludes_no_other_also_while_a_child_has_the_open_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.lock");
    let shared = acquire(&path, FlockOperation::NonBlockingLockShared, 0o600).unwrap().unwrap();
    let _child = shared.try_clone().unwrap();
    let alone = || acquire(&path, FlockOperation::NonBlockingLockExclusive, 0o600).unwrap();
    assert!(alone().is_none());
    release(shared);
    assert!(alone().is_some());
}

fn mount(words: &[&str], place: &Path) {
    let ran = std::process::Command::new("mount").args(words).arg(place).output().unwrap();
    assert!(ran.status.success(), "{ran:?}");
}

/// The journals on a file system of their own.
fn journals_on(kernel: &Kernel, size: &str) -> std::path::PathBuf {
    let dir = kernel.host().journal_dir();
    fs::create_dir_all(&dir).unwrap();
    mount(&["-t", "tmpfs", "-o", size, "none"], &dir);
    dir
}

#[test]
fn a_card_goes_back_when_its_journal_becomes_read_only() {
    let me = "host::lease::tests::real::a_card_goes_back_when_its_journal_becomes_read_only";
    if !with_own_mounts(me) {
        return;
    }
    let kernel = Kernel::crowded();
    let was = kernel.sys();
    let dir = journals_on(&kernel, "size=64k");
    let mut lease = kernel.take().unwrap();
    lease.mark(Mark::FlashTouched).unwrap();
    mount(&["-o", "remount,ro"], &dir);
    lease.note(Mark::Boots(true));
    let warnings = lease.give_back().unwrap();
    drop(lease);
    println!("{warnings:?}");
    let path = dir.join(format!("{CARD}.json"));
    let [warning] = &warnings[..] else { panic!("{warnings:?}") };
    for words in [path.to_str().unwrap(), "Read-only file system", "cx3flash host restore"] {
        assert!(warning.contains(words), "{warning}");
    }
    assert_eq!(differences(&was, &kernel.sys()), [""; 0]);
    // Nor does `host restore` need a disk.
    assert_eq!(kernel.restore().unwrap().unwrap().len(), 1);
    mount(&["-o", "remount,rw"], &dir);
    assert_eq!(kernel.restore().unwrap().unwrap(), [""; 0]);
    assert_eq!(differences(&was, &kernel.sys()), [""; 0]);
    assert_eq!(kernel.names_of_journals(), [""; 0]);
    std::process::Command::new("umount").arg(&dir).output().unwrap();
}

#[test]
fn a_full_disk_stops_a_job_before_it_changes_more() {
    let me = "host::lease::tests::real::a_full_disk_stops_a_job_before_it_changes_more";
    if !with_own_mounts(me) {
        return;
    }
    // Space for one record, and a second one is written beside it.
    let kernel = Kernel::crowded();
    let was = kernel.sys();
    let dir = journals_on(&kernel, "size=4k");
    let error = kernel.take().err().unwrap();
    println!("{error:?}");
    assert!(matches!(error, LeaseError::Journal(_)) && !error.host_changed(), "{error:?}");
    assert_eq!(differences(&was, &kernel.sys()), [""; 0]);
    assert_eq!(kernel.names_of_journals(), [""; 0]);
    std::process::Command::new("umount").arg(&dir).output().unwrap();
    // Full in mid-job: the flash is not touched.
    let dir = journals_on(&kernel, "size=12k");
    let mut lease = kernel.take().unwrap();
    fs::write(dir.join(".filler"), [0; 8192]).unwrap();
    let error = lease.mark(Mark::FlashTouched).unwrap_err();
    println!("{error:?}");
    assert!(matches!(error, LeaseError::Journal(_)), "{error:?}");
    assert!(!lease.marks().flash_touched);
    let error = lease.undo(error);
    assert!(!error.host_changed(), "{error:?}");
    assert_eq!(differences(&was, &kernel.sys()), [""; 0]);
    assert_eq!(kernel.names_of_journals(), [".filler"]);
    std::process::Command::new("umount").arg(&dir).output().unwrap();
}
