//! Our own files: which directories hold them, and how one is written so that a crash leaves the
//! old content or the new one.

use super::Host;
use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// Whether this process runs as root.
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// The directories of this user's files.
///
/// | | log | state: backups, proofs of chained reads |
/// |---|---|---|
/// | absolute `XDG_STATE_HOME`, also for root | `$XDG_STATE_HOME/cx3flash/log` | `$XDG_STATE_HOME/cx3flash` |
/// | root without it | `/var/log/cx3flash` | `/var/lib/cx3flash` |
/// | others | `~/.local/state/cx3flash/log` | `~/.local/state/cx3flash` |
///
/// Journals and locks are the machine's, not a user's: [`Host::journal_dir`], [`Host::lock_dir`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserDirs {
    /// What is kept between jobs; below the working directory without a home directory.
    pub state: PathBuf,
    /// `None` without a home directory.
    pub log: Option<PathBuf>,
    /// `CX3FLASH_BACKUP_DIR`, or `backups` in the state directory.
    pub backups: PathBuf,
}

impl UserDirs {
    /// The directories of the user who runs this process.
    pub fn new(host: &Host) -> Self {
        Self::of(host, is_root(), |name| std::env::var_os(name))
    }

    /// Those of root without any variable.
    pub(crate) fn of_root(host: &Host) -> Self {
        Self::of(host, true, |_| None)
    }

    fn of(host: &Host, root: bool, variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let path = |name: &str| variable(name).map(PathBuf::from);
        // Relative paths are to be ignored (XDG base directory specification).
        let absolute = |name: &str| path(name).filter(|path| path.is_absolute());
        let home = || absolute("HOME").map(|home| home.join(".local/state"));
        let (state, log) = match absolute("XDG_STATE_HOME") {
            None if root => {
                (Some(host.path("var/lib/cx3flash")), Some(host.path("var/log/cx3flash")))
            }
            xdg => {
                let state = xdg.or_else(home).map(|dir| dir.join("cx3flash"));
                let log = state.as_ref().map(|dir| dir.join("log"));
                (state, log)
            }
        };
        let state = state.unwrap_or_else(|| "cx3flash".into());
        let backups = path("CX3FLASH_BACKUP_DIR").filter(|dir| !dir.as_os_str().is_empty());
        Self { backups: backups.unwrap_or_else(|| state.join("backups")), state, log }
    }
}

/// Writes a file that must not exist yet. A failure leaves no file.
pub fn create_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // Also where the directory may not be written.
    if fs::symlink_metadata(path).is_ok() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    temporary(path, bytes)?.persist_noclobber(path)?;
    sync_dir(parent(path))
}

/// Writes a file, in the place of one that exists: a reader sees the old content or the new one,
/// also after a crash. Through a symbolic link the file changes and the link stays. Permissions
/// stay. On an error the old file is as it was.
pub fn replace_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let path = match fs::canonicalize(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => path.to_owned(),
        other => other?,
    };
    let old = fs::metadata(&path).ok();
    if old.as_ref().is_some_and(|old| !old.is_file()) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "Not a regular file"));
    }
    let file = temporary(&path, bytes)?;
    if let Some(old) = old {
        file.as_file().set_permissions(old.permissions())?;
        file.as_file().sync_all()?;
    }
    file.persist(&path)?;
    sync_dir(parent(&path))
}

/// Waits until names that were added to a directory, or removed, are on the disk.
pub fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// The bytes in a synced file beside `path`, which is removed when dropped.
fn temporary(path: &Path, bytes: &[u8]) -> io::Result<NamedTempFile> {
    let mut file = tempfile::Builder::new()
        .prefix(".cx3flash-")
        // As for any new file; the umask takes its bits away.
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(parent(path))?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    Ok(file)
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dirs(root: bool, variables: &[(&str, &str)]) -> UserDirs {
        UserDirs::of(&Host::system(), root, |name| {
            let found = variables.iter().find(|(known, _)| *known == name)?;
            Some(found.1.into())
        })
    }

    fn shown(dirs: &UserDirs) -> [String; 3] {
        let shown = |path: &PathBuf| path.display().to_string();
        let log = dirs.log.as_ref().map_or_else(String::new, shown);
        [log, shown(&dirs.backups), shown(&dirs.state)]
    }

    #[test]
    fn log_and_backups_follow_the_state_home_for_root_too() {
        for root in [false, true] {
            let dirs = dirs(root, &[("XDG_STATE_HOME", "/s"), ("HOME", "/home/me")]);
            assert_eq!(shown(&dirs), ["/s/cx3flash/log", "/s/cx3flash/backups", "/s/cx3flash"]);
        }
    }

    #[test]
    fn without_a_state_home_root_uses_var_and_others_their_home() {
        // A relative path is no state home.
        let variables = [("XDG_STATE_HOME", "s"), ("HOME", "/home/me")];
        assert_eq!(
            shown(&dirs(true, &variables)),
            ["/var/log/cx3flash", "/var/lib/cx3flash/backups", "/var/lib/cx3flash"]
        );
        assert_eq!(
            shown(&dirs(false, &variables)),
            [
                "/home/me/.local/state/cx3flash/log",
                "/home/me/.local/state/cx3flash/backups",
                "/home/me/.local/state/cx3flash"
            ]
        );
        assert_eq!(shown(&dirs(false, &[]))[0], "", "no home, no log");
    }

    #[test]
    fn the_backup_directory_can_be_named() {
        let dirs = dirs(true, &[("CX3FLASH_BACKUP_DIR", "/b")]);
        assert_eq!(shown(&dirs)[1..], ["/b", "/var/lib/cx3flash"]);
    }

    #[test]
    fn a_file_that_exists_is_not_created_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        create_file(&path, b"first").unwrap();
        let error = create_file(&path, b"second").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"first");
        assert!(create_file(&path.join("y"), b"").is_err());
        let names = fs::read_dir(dir.path()).unwrap().count();
        assert_eq!(names, 1, "nothing is left behind");
    }

    #[test]
    fn a_replaced_file_keeps_its_permissions_and_its_link() {
        let dir = tempfile::tempdir().unwrap();
        let (path, link) = (dir.path().join("x"), dir.path().join("link"));
        replace_file(&path, b"first").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        replace_file(&link, b"second").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"second");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o640);
    }
}
