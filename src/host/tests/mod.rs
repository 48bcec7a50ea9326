//! Tests with hosts that are directories.

mod discover;
pub(in crate::host) mod fake;
mod findings;
mod in_use_net;
mod in_use_users;
mod net;
mod port;
mod select;

/// Whether this is the process that the test `name` is to run in: limits and the umask are those of
/// a whole process. Otherwise runs that test in one, and fails unless it passes there.
pub(in crate::host) fn in_child(name: &str) -> bool {
    const CHILD: &str = "CX3FLASH_TEST_CHILD";
    if std::env::var_os(CHILD).is_some() {
        return true;
    }
    let run = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name])
        .env(CHILD, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success() && text.contains("1 passed"), "{name}: {text}");
    false
}
