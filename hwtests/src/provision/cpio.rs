//! The archive that a kernel unpacks as its first root: cpio, format "newc" (kernel documentation,
//! driver-api/early-userspace/buffer-format).
//!
//! Uncompressed: unpacking in an emulated guest costs more than reading (docs/lab.md#fast-boot).
//! Archives may be concatenated, so each set of files is written once and joined per guest.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::{fs, io};

/// File types, in the bits of `st_mode`.
const DIRECTORY: u32 = 0o040_000;
const REGULAR: u32 = 0o100_000;
const SYMLINK: u32 = 0o120_000;
const CHARACTER: u32 = 0o020_000;

#[derive(Debug, Default)]
pub(super) struct Archive {
    bytes: Vec<u8>,
    inode: u32,
    directories: BTreeSet<String>,
}

impl Archive {
    /// Adds a directory and those above it, each once.
    pub(super) fn directory(&mut self, path: &str) {
        let path = path.trim_matches('/');
        for (at, _) in path.match_indices('/').chain([(path.len(), "")]) {
            let dir = &path[..at];
            if !dir.is_empty() && self.directories.insert(dir.to_owned()) {
                self.entry(dir, DIRECTORY | 0o755, (0, 0), b"");
            }
        }
    }

    /// Adds a regular file with the lower bits of its mode (`0o755`), and the directories above it.
    pub(super) fn file(&mut self, path: &str, mode: u32, data: &[u8]) {
        self.above(path);
        self.entry(path, REGULAR | (mode & 0o7777), (0, 0), data);
    }

    /// Adds a symbolic link.
    pub(super) fn link(&mut self, path: &str, target: &str) {
        self.above(path);
        self.entry(path, SYMLINK | 0o777, (0, 0), target.as_bytes());
    }

    /// Adds a character device: the kernel opens `/dev/console` before anything is mounted.
    pub(super) fn character(&mut self, path: &str, mode: u32, major: u32, minor: u32) {
        self.above(path);
        self.entry(path, CHARACTER | (mode & 0o7777), (major, minor), b"");
    }

    /// Adds a file of this machine with its mode; links are followed.
    pub(super) fn copy(&mut self, path: &str, from: &Path) -> io::Result<()> {
        let mode = fs::metadata(from)?.permissions().mode();
        self.file(path, mode, &fs::read(from)?);
        Ok(())
    }

    /// The archive with its trailer.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.inode = 0;
        self.entry("TRAILER!!!", 0, (0, 0), b"");
        // Archives are joined at 512 bytes, as cpio(1) pads them.
        self.pad(512);
        self.bytes
    }

    fn above(&mut self, path: &str) {
        if let Some((dir, _)) = path.trim_start_matches('/').rsplit_once('/') {
            self.directory(dir);
        }
    }

    fn entry(&mut self, path: &str, mode: u32, device: (u32, u32), data: &[u8]) {
        let name = path.trim_start_matches('/');
        self.inode += 1;
        let links = if mode & DIRECTORY == DIRECTORY { 2 } else { 1 };
        let size = u32::try_from(data.len()).unwrap_or(u32::MAX);
        let length = u32::try_from(name.len() + 1).unwrap_or(u32::MAX);
        // inode, mode, uid, gid, links, mtime, size, device of the file system (2), device of the
        // node (2), length of the name with its NUL, checksum (unused in this format).
        let fields = [self.inode, mode, 0, 0, links, 0, size, 0, 0, device.0, device.1, length, 0];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes.extend_from_slice(format!("{field:08X}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad(4);
        self.bytes.extend_from_slice(data);
        self.pad(4);
    }

    fn pad(&mut self, to: usize) {
        let length = self.bytes.len().next_multiple_of(to);
        self.bytes.resize(length, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Name, mode and data of every entry.
    fn entries(mut bytes: &[u8]) -> Vec<(String, u32, Vec<u8>)> {
        let mut out = Vec::new();
        loop {
            assert_eq!(&bytes[..6], b"070701");
            let field = |n: usize| {
                let text = std::str::from_utf8(&bytes[6 + 8 * n..14 + 8 * n]).unwrap();
                u32::from_str_radix(text, 16).unwrap()
            };
            let (mode, size, length) = (field(1), field(6) as usize, field(11) as usize);
            let name = String::from_utf8(bytes[110..110 + length - 1].to_vec()).unwrap();
            let start = (110 + length).next_multiple_of(4);
            if name == "TRAILER!!!" {
                return out;
            }
            out.push((name, mode, bytes[start..start + size].to_vec()));
            bytes = &bytes[start + size.next_multiple_of(4)..];
        }
    }

    #[test]
    fn files_links_and_directories_are_archived() {
        let mut archive = Archive::default();
        archive.file("/usr/bin/tool", 0o755, b"12345");
        archive.file("usr/bin/other", 0o4755, b"");
        archive.link("/bin", "usr/bin");
        let bytes = archive.finish();
        assert_eq!(bytes.len() % 512, 0);
        let got = entries(&bytes);
        assert_eq!(
            got,
            vec![
                ("usr".into(), 0o040_755, vec![]),
                ("usr/bin".into(), 0o040_755, vec![]),
                ("usr/bin/tool".into(), 0o100_755, b"12345".to_vec()),
                ("usr/bin/other".into(), 0o104_755, vec![]),
                ("bin".into(), 0o120_777, b"usr/bin".to_vec()),
            ]
        );
    }

    #[test]
    fn a_device_node_has_its_numbers() {
        let mut archive = Archive::default();
        archive.character("dev/console", 0o600, 5, 1);
        let bytes = archive.finish();
        let at = (110 + "dev".len() + 1).next_multiple_of(4);
        let text = std::str::from_utf8(&bytes[at..at + 110]).unwrap();
        assert_eq!(&text[14..22], "00002180");
        assert_eq!(&text[78..94], "0000000500000001");
    }
}
