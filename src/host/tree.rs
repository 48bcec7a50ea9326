//! The files of a directory tree, such as an image store. Symbolic links in it are not followed, so that no loop
//! and no other tree is met; what cannot be read is passed on with its error.

use super::input::{FileStart, InputDir, InputError};
use std::io;
use std::ops::ControlFlow;
use std::path::Path;

/// How much of a tree is read.
#[derive(Clone, Copy, Debug)]
pub struct TreeLimits {
    /// Directories inside each other.
    pub depth: usize,
    /// Files and directories.
    pub entries: usize,
    /// Bytes of a file.
    pub file: u64,
    /// Bytes of all files.
    pub bytes: u64,
}

/// Why a walk through a tree ended before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// A stop was requested, or the visitor ended the walk.
    #[error("the walk was ended")]
    Stopped,
    #[error("it holds more than {0} files and directories")]
    TooMany(usize),
    #[error("its images and archives have more than {} MiB", .0 >> 20)]
    TooLarge(u64),
}

/// Receives the path and the bytes of each file of a tree, and the error of what was not read.
pub(super) type TreeVisit<'a> =
    &'a mut dyn FnMut(&Path, Result<FileStart, InputError>) -> ControlFlow<()>;

/// Visits every file below `root`, whose path is `path`, in the order of names. Files are read in full when their
/// first bytes are `wanted`.
pub fn walk_tree(
    root: &InputDir,
    path: &Path,
    limits: TreeLimits,
    wanted: fn(&[u8]) -> bool,
    stop: &dyn Fn() -> bool,
    visit: TreeVisit<'_>,
) -> Result<(), TreeError> {
    TreeWalk { limits, wanted, stop, visit, entries: 0, bytes: 0 }.enter(root, path, 1)
}

struct TreeWalk<'a> {
    limits: TreeLimits,
    wanted: fn(&[u8]) -> bool,
    stop: &'a dyn Fn() -> bool,
    visit: TreeVisit<'a>,
    entries: usize,
    bytes: u64,
}

impl TreeWalk<'_> {
    fn enter(&mut self, dir: &InputDir, path: &Path, depth: usize) -> Result<(), TreeError> {
        let left = self.limits.entries - self.entries;
        let names = match dir.names(left + 1) {
            Ok(names) => names,
            Err(error) => return self.pass_on(path, Err(error.into())),
        };
        if names.len() > left {
            return Err(TreeError::TooMany(self.limits.entries));
        }
        self.entries += names.len();
        for name in names {
            if (self.stop)() {
                return Err(TreeError::Stopped);
            }
            let inner = path.join(&name);
            match dir.enter(&name) {
                Ok(_) if depth == self.limits.depth => {
                    let error = io::Error::other("directories are nested too deep");
                    self.pass_on(&inner, Err(error.into()))?;
                }
                Ok(sub) => self.enter(&sub, &inner, depth + 1)?,
                Err(InputError::NotAFile(_)) => {
                    let read = dir.read_wanted(&name, self.limits.file, self.wanted, self.stop);
                    if matches!(read, Err(InputError::Stopped)) {
                        return Err(TreeError::Stopped);
                    }
                    self.bytes += read.as_ref().map_or(0, |start| start.bytes.len() as u64);
                    if self.bytes > self.limits.bytes {
                        return Err(TreeError::TooLarge(self.limits.bytes));
                    }
                    self.pass_on(&inner, read)?;
                }
                Err(error) => self.pass_on(&inner, Err(error))?,
            }
        }
        Ok(())
    }

    fn pass_on(
        &mut self,
        path: &Path,
        read: Result<FileStart, InputError>,
    ) -> Result<(), TreeError> {
        match (self.visit)(path, read) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(TreeError::Stopped),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::stat::Mode;
    use std::fs;
    use std::os::unix::fs::symlink;

    const LIMITS: TreeLimits = TreeLimits { depth: 3, entries: 20, file: 4096, bytes: 1 << 20 };

    /// Paths below `dir`, and what was read of each: the bytes, `...` behind a beginning, or the error.
    fn seen(dir: &Path, limits: TreeLimits) -> Result<Vec<(String, String)>, TreeError> {
        let root = InputDir::open(dir, &|| false).unwrap().unwrap();
        let mut seen = Vec::new();
        let wanted = |start: &[u8]| start.starts_with(b"yes");
        walk_tree(&root, dir, limits, wanted, &|| false, &mut |path, read| {
            let text = match read {
                Ok(start) => {
                    let tail = if start.complete { "" } else { "..." };
                    format!("{}{tail}", String::from_utf8_lossy(&start.bytes[..3]))
                }
                Err(InputError::NotAFile(what)) => what.to_owned(),
                Err(InputError::TooLarge(len)) => format!("{len} bytes"),
                Err(other) => format!("{other:?}"),
            };
            seen.push((path.strip_prefix(dir).unwrap().display().to_string(), text));
            ControlFlow::Continue(())
        })?;
        Ok(seen)
    }

    #[test]
    fn each_file_is_visited_once_and_links_and_pipes_are_not_entered() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir_all(at("a/b")).unwrap();
        fs::write(at("a/b/deep"), b"yes").unwrap();
        fs::write(at("large"), [b"yes".as_slice(), &[0; 5000]].concat()).unwrap();
        fs::write(at("other"), [b"no!".as_slice(), &[0; 5000]].concat()).unwrap();
        symlink("..", at("a/loop")).unwrap();
        symlink("../large", at("a/link")).unwrap();
        nix::unistd::mkfifo(&at("pipe"), Mode::S_IRWXU).unwrap();
        let expected = [
            ("a/b/deep", "yes"),
            ("a/link", "a symbolic link"),
            ("a/loop", "a symbolic link"),
            ("large", "5003 bytes"),
            ("other", "no!..."),
            ("pipe", "a pipe"),
        ];
        let seen = seen(dir.path(), LIMITS).unwrap();
        let seen: Vec<_> = seen.iter().map(|(path, text)| (&**path, &**text)).collect();
        assert_eq!(seen, expected);
    }

    #[test]
    fn a_tree_beyond_a_limit_is_an_error_and_too_deep_directories_are_named() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("1/2/3/4")).unwrap();
        fs::write(dir.path().join("1/yes"), b"yes").unwrap();
        let deep = seen(dir.path(), LIMITS).unwrap();
        assert_eq!(deep[0].0, "1/2/3");
        assert!(deep[0].1.contains("nested too deep"), "{deep:?}");
        let many = seen(dir.path(), TreeLimits { entries: 3, ..LIMITS });
        assert_eq!(many, Err(TreeError::TooMany(3)));
        let large = seen(dir.path(), TreeLimits { bytes: 2, ..LIMITS });
        assert_eq!(large, Err(TreeError::TooLarge(2)));
    }
}
