//! Tests without the fake kernel: the helper's refusals, the lock file, messages.

use super::fake::Kernel;
use crate::host::lease::{Lease, Mark, write_attribute};
use crate::host::tests::fake::{CARD, bdf};
use nix::libc;
use std::fs;
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
    for slot in ["a", "b"] {
        let path = kernel.host().journal_dir().join(format!("{CARD}.{slot}"));
        fs::write(path, "junk").unwrap();
    }
    let pending = Lease::pending(&kernel.host()).unwrap();
    assert!(pending[0].problem.is_some());
    assert!(kernel.take().is_err() && kernel.adopt().is_err());
}
