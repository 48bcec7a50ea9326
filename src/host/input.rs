//! Files that a user names: opened once, bounded, and abandoned when a stop is requested.
//!
//! A path may lead to anything: a FIFO without a writer, `/dev/zero`, a name that another process
//! exchanges. It is resolved once, to a descriptor that opens neither device nor FIFO (`O_PATH`). What it
//! is, and its bytes, come from that descriptor.

use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::Mode;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, FileType};
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

/// Why a file was not read.
#[derive(Debug)]
pub enum InputError {
    /// Neither a regular file nor a pipe; holds what it is, as `a directory`.
    NotAFile(&'static str),
    /// It has at least this many bytes.
    TooLarge(u64),
    /// A stop was requested.
    Stopped,
    Io(io::Error),
}

impl From<io::Error> for InputError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Reads a regular file or a pipe of at most `max` bytes. Symbolic links are followed.
pub fn read_input(path: &Path, max: u64, stop: &dyn Fn() -> bool) -> Result<Vec<u8>, InputError> {
    let path = path.to_owned();
    unless_stopped(stop, move || read(&resolve(&path)?, true, max))?.ok_or(InputError::Stopped)?
}

/// Reads stdin, whatever it is, up to `max` bytes.
pub fn read_stdin(max: u64, stop: &dyn Fn() -> bool) -> Result<Vec<u8>, InputError> {
    let work = move || {
        let mut bytes = Vec::new();
        io::stdin().lock().take(max).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    unless_stopped(stop, work)?.ok_or(InputError::Stopped)?
}

/// What [`read_input_or_member`] read.
#[derive(Debug)]
pub struct NamedInput {
    /// The file: the path, or the part of it that is a file.
    pub file: PathBuf,
    /// What follows the file in the path: the name of a member of an archive.
    pub member: Option<OsString>,
    pub bytes: Vec<u8>,
}

/// As [`read_input`]; of a path that leads into a regular file (`fw.tgz/dir/fw.bin`) the file is read.
pub fn read_input_or_member(
    path: &Path,
    max: u64,
    stop: &dyn Fn() -> bool,
) -> Result<NamedInput, InputError> {
    let path = path.to_owned();
    let work = move || {
        let (file, member) = match resolve(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
                split_at_file(&path).ok_or(error)?
            }
            _ => (path, None),
        };
        let bytes = read(&resolve(&file)?, true, max)?;
        Ok(NamedInput { file, member, bytes })
    };
    unless_stopped(stop, work)?.ok_or(InputError::Stopped)?
}

/// The beginning of a path that is a regular file, and what follows it.
fn split_at_file(path: &Path) -> Option<(PathBuf, Option<OsString>)> {
    let bytes = path.as_os_str().as_bytes();
    let slashes = (0..bytes.len()).filter(|at| bytes[*at] == b'/');
    let parts = slashes.map(|at| (&bytes[..at], &bytes[at + 1..]));
    let mut parts = parts.map(|(file, rest)| (OsStr::from_bytes(file), OsStr::from_bytes(rest)));
    let (file, rest) =
        parts.find(|(file, _)| fs::metadata(file).is_ok_and(|about| about.is_file()))?;
    Some((file.into(), Some(rest.to_owned())))
}

/// A directory of files that belong together.
#[derive(Debug)]
pub struct InputDir(File);

impl InputDir {
    /// Opens the directory; `None` when `path` is something else. Symbolic links are followed.
    pub fn open(path: &Path, stop: &dyn Fn() -> bool) -> Result<Option<Self>, InputError> {
        let path = path.to_owned();
        let opened = unless_stopped(stop, move || resolve(&path))?;
        let dir = opened.ok_or(InputError::Stopped)??;
        Ok(dir.metadata()?.is_dir().then_some(Self(dir)))
    }

    /// Reads the regular file of this name, which is not a path, in the directory. Symbolic links are not followed.
    pub fn read(
        &self,
        name: &str,
        max: u64,
        stop: &dyn Fn() -> bool,
    ) -> Result<Vec<u8>, InputError> {
        let dir = Self(self.0.try_clone()?);
        let name = PathBuf::from(name);
        let work = move || read(&dir.resolve(name)?, false, max);
        unless_stopped(stop, work)?.ok_or(InputError::Stopped)?
    }
}

/// The beginning of a file, or all of it.
#[derive(Debug)]
pub struct FileStart {
    pub bytes: Vec<u8>,
    /// All of it was read.
    pub complete: bool,
}

impl InputDir {
    /// As [`InputDir::read`], of a file whose first bytes are `wanted`; of another one these bytes alone.
    pub fn read_wanted(
        &self,
        name: &OsStr,
        max: u64,
        wanted: fn(&[u8]) -> bool,
        stop: &dyn Fn() -> bool,
    ) -> Result<FileStart, InputError> {
        let file = self.resolve(name.into())?;
        unless_stopped(stop, move || start(&file, max, wanted))?.ok_or(InputError::Stopped)?
    }

    /// A name of the directory, not followed where it is a symbolic link.
    fn resolve(&self, name: PathBuf) -> io::Result<File> {
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        Ok(openat(&self.0, &name, flags, Mode::empty())?.into())
    }

    /// The directory of this name inside; a symbolic link is none.
    pub fn enter(&self, name: &OsStr) -> Result<Self, InputError> {
        let dir = self.resolve(name.into())?;
        match dir.metadata()?.file_type() {
            kind if kind.is_dir() => Ok(Self(dir)),
            kind => Err(InputError::NotAFile(name_of(kind))),
        }
    }

    /// The names inside, sorted, at most `most` of them.
    pub fn names(&self, most: usize) -> io::Result<Vec<OsString>> {
        let entries = fs::read_dir(format!("/proc/self/fd/{}", self.0.as_raw_fd()))?;
        let mut names = Vec::new();
        for entry in entries.take(most) {
            names.push(entry?.file_name());
        }
        names.sort();
        Ok(names)
    }
}

/// Reads the beginning of a file, and the rest if it is wanted.
fn start(resolved: &File, max: u64, wanted: fn(&[u8]) -> bool) -> Result<FileStart, InputError> {
    let about = resolved.metadata()?;
    if !about.is_file() {
        return Err(InputError::NotAFile(name_of(about.file_type())));
    }
    let mut file = reopened(resolved)?;
    let mut bytes = Vec::new();
    (&mut file).take(FILE_START).read_to_end(&mut bytes)?;
    if !wanted(&bytes) {
        let complete = bytes.len() as u64 == about.len();
        return Ok(FileStart { bytes, complete });
    }
    if about.len() > max {
        return Err(InputError::TooLarge(about.len()));
    }
    let left = max.saturating_add(1).saturating_sub(bytes.len() as u64);
    file.take(left).read_to_end(&mut bytes)?;
    let len = bytes.len() as u64;
    if len > max { Err(InputError::TooLarge(len)) } else { Ok(FileStart { bytes, complete: true }) }
}

/// Bytes by which [`InputDir::read_wanted`] asks whether the rest is wanted.
const FILE_START: u64 = 1024;

/// The result of `work`; `None` when a stop is requested before it is there.
///
/// `work` has a thread of its own, because waiting for a FIFO, a terminal or a file server does not end
/// with a signal that is handled. After a stop the thread ends with the process.
pub fn unless_stopped<T: Send + 'static>(
    stop: &dyn Fn() -> bool,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<Option<T>> {
    const INTERVAL: Duration = Duration::from_millis(50);
    let (send, receive) = channel();
    std::thread::Builder::new().spawn(move || {
        // After a stop there is no receiver.
        let _ = send.send(work());
    })?;
    loop {
        match receive.recv_timeout(INTERVAL) {
            Ok(result) => return Ok(Some(result)),
            Err(RecvTimeoutError::Timeout) if stop() => return Ok(None),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                return Err(io::Error::other("the thread that waits has ended"));
            }
        }
    }
}

fn resolve(path: &Path) -> io::Result<File> {
    let flags = OFlag::O_PATH | OFlag::O_CLOEXEC;
    Ok(open(path, flags, Mode::empty())?.into())
}

/// Reads what the descriptor refers to.
fn read(resolved: &File, pipe_allowed: bool, max: u64) -> Result<Vec<u8>, InputError> {
    let about = resolved.metadata()?;
    let kind = about.file_type();
    if !(kind.is_file() || (pipe_allowed && kind.is_fifo())) {
        return Err(InputError::NotAFile(name_of(kind)));
    }
    if about.len() > max {
        return Err(InputError::TooLarge(about.len()));
    }
    let file = reopened(resolved)?;
    let mut bytes = Vec::new();
    // One byte more than allowed, to notice a pipe without an end and a file that grows.
    file.take(max.saturating_add(1)).read_to_end(&mut bytes)?;
    let len = bytes.len() as u64;
    if len > max { Err(InputError::TooLarge(len)) } else { Ok(bytes) }
}

/// The same file for reading, whatever its name leads to by now.
fn reopened(resolved: &File) -> io::Result<File> {
    let this = format!("/proc/self/fd/{}", resolved.as_raw_fd());
    File::open(this).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => io::Error::other("/proc is not mounted"),
        _ => error,
    })
}

fn name_of(kind: FileType) -> &'static str {
    if kind.is_dir() {
        "a directory"
    } else if kind.is_char_device() {
        "a character device"
    } else if kind.is_block_device() {
        "a block device"
    } else if kind.is_socket() {
        "a socket"
    } else if kind.is_fifo() {
        "a pipe"
    } else if kind.is_symlink() {
        "a symbolic link"
    } else {
        "no regular file"
    }
}

#[cfg(test)]
mod tests {
    use super::{InputDir, InputError, read_input, read_input_or_member};
    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;
    use std::cell::Cell;
    use std::fs::{self, File};
    use std::io::Write;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;
    use std::path::Path;

    const MAX: u64 = 1 << 20;

    fn read(path: &Path) -> Result<Vec<u8>, InputError> {
        read_input(path, MAX, &|| false)
    }

    #[track_caller]
    fn is_no_file(result: Result<Vec<u8>, InputError>, kind: &str) {
        assert!(matches!(result, Err(InputError::NotAFile(what)) if what == kind), "{result:?}");
    }

    #[test]
    fn what_is_neither_file_nor_pipe_is_refused_by_what_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("socket");
        let _listener = UnixListener::bind(&socket).unwrap();
        is_no_file(read(dir.path()), "a directory");
        is_no_file(read(&socket), "a socket");
        for device in ["/dev/zero", "/dev/random", "/dev/null", "/dev/tty"] {
            is_no_file(read(Path::new(device)), "a character device");
        }
    }

    #[test]
    fn a_file_larger_than_the_bound_is_refused_unread() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sparse");
        File::create(&path).unwrap().set_len(10 << 30).unwrap();
        assert!(matches!(read(&path), Err(InputError::TooLarge(len)) if len == 10 << 30));
        fs::write(&path, vec![1; MAX as usize]).unwrap();
        assert_eq!(read(&path).unwrap().len() as u64, MAX);
    }

    #[test]
    fn a_pipe_is_read_to_its_end_or_to_the_bound() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fifo");
        mkfifo(&path, Mode::S_IRWXU).unwrap();
        for (len, fits) in [(100_000, true), (MAX as usize + 1, false)] {
            let path = path.clone();
            let writer = std::thread::spawn({
                let path = path.clone();
                move || {
                    // The reader leaves at the bound.
                    let _ =
                        File::options().write(true).open(path).unwrap().write_all(&vec![7; len]);
                }
            });
            match read(&path) {
                Ok(bytes) => assert!(fits && bytes == vec![7; len]),
                Err(error) => assert!(!fits && matches!(error, InputError::TooLarge(_))),
            }
            writer.join().unwrap();
        }
    }

    #[test]
    fn a_stop_ends_the_wait_for_a_writer_and_for_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fifo");
        mkfifo(&path, Mode::S_IRWXU).unwrap();
        let stopped = |path: &Path| {
            let asked = Cell::new(0);
            let stop = || asked.replace(asked.get() + 1) > 1;
            matches!(read_input(path, MAX, &stop), Err(InputError::Stopped))
        };
        assert!(stopped(&path), "no writer");
        let _silent = File::options().read(true).write(true).open(&path).unwrap();
        assert!(stopped(&path), "a silent writer");
    }

    #[test]
    fn a_link_is_followed_as_an_argument_and_refused_inside_a_directory() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("file"), b"x").unwrap();
        symlink(at("file"), at("link")).unwrap();
        symlink("circle", at("circle")).unwrap();
        mkfifo(&at("fifo"), Mode::S_IRWXU).unwrap();
        assert_eq!(read(&at("link")).unwrap(), b"x");
        assert!(matches!(read(&at("circle")), Err(InputError::Io(_))));
        let never = || false;
        let inside = InputDir::open(dir.path(), &never).unwrap().unwrap();
        assert_eq!(inside.read("file", MAX, &never).unwrap(), b"x");
        is_no_file(inside.read("link", MAX, &never), "a symbolic link");
        is_no_file(inside.read("circle", MAX, &never), "a symbolic link");
        is_no_file(inside.read("fifo", MAX, &never), "a pipe");
        assert!(InputDir::open(&at("file"), &never).unwrap().is_none());
    }

    #[test]
    fn a_path_into_a_file_names_a_member_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("fw.tgz"), b"x").unwrap();
        let named = |path: &Path| read_input_or_member(path, MAX, &|| false);
        let plain = named(&at("fw.tgz")).unwrap();
        assert_eq!((plain.member, plain.bytes), (None, b"x".to_vec()));
        for member in ["a", "dir/a.bin", "../a", "/etc/a", "./a"] {
            let path = format!("{}/{member}", at("fw.tgz").display());
            let inside = named(Path::new(&path)).unwrap();
            assert_eq!((inside.file, inside.bytes), (at("fw.tgz"), b"x".to_vec()));
            assert_eq!(inside.member.unwrap(), *member);
        }
        assert!(matches!(named(&at("none/a")), Err(InputError::Io(_))));
        assert!(matches!(named(dir.path()), Err(InputError::NotAFile("a directory"))));
    }

    #[test]
    fn a_directory_keeps_its_files_when_its_name_leads_elsewhere() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir(at("a")).unwrap();
        fs::write(at("a/file"), b"a").unwrap();
        fs::create_dir(at("b")).unwrap();
        fs::write(at("b/file"), b"b").unwrap();
        let inside = InputDir::open(&at("a"), &|| false).unwrap().unwrap();
        fs::rename(at("a"), at("c")).unwrap();
        symlink("b", at("a")).unwrap();
        assert_eq!(inside.read("file", MAX, &|| false).unwrap(), b"a");
    }
}
