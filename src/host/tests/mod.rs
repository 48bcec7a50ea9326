//! Tests with hosts that are directories.

mod discover;
pub(in crate::host) mod fake;
mod findings;
mod in_use_net;
mod in_use_users;
mod net;
mod port;
mod select;

use std::process::Command;

const CHILD: &str = "CX3FLASH_TEST_CHILD";

/// Whether this is the process that the test `name` is to run in: limits and the umask are those of
/// a whole process. Otherwise runs that test in one, and fails unless it passes there.
pub(in crate::host) fn in_child(name: &str) -> bool {
    if std::env::var_os(CHILD).is_some() {
        return true;
    }
    start(&[], name);
    false
}

/// Whether this is the process that the test `name` is to run in, which has mounts of its own. There
/// is none where this user cannot have that.
pub(in crate::host) fn with_own_mounts(name: &str) -> bool {
    const UNSHARE: [&str; 4] = ["unshare", "--mount", "--propagation", "private"];
    if std::env::var_os(CHILD).is_some() {
        return true;
    }
    let possible = Command::new(UNSHARE[0]).args(&UNSHARE[1..]).arg("true").output();
    if possible.is_ok_and(|ran| ran.status.success()) {
        start(&UNSHARE, name);
    }
    false
}

fn start(below: &[&str], name: &str) {
    let program = std::env::current_exe().unwrap();
    let mut words = below.iter().map(std::ffi::OsStr::new).chain([program.as_os_str()]);
    let run = Command::new(words.next().unwrap())
        .args(words)
        .args(["--exact", name])
        .env(CHILD, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success() && text.contains("1 passed"), "{name}: {text}");
}
