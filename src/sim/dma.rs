//! Guest memory, as the client hands it out (`DMA_MAP`).
//!
//! With an IOMMU in the guest every mapping a driver makes is a message with a descriptor of its
//! own, thousands for one bind of `mlx4_core` (docs/lab.md#vfio-user-client-of-qemu). They are all
//! the same few files, so one descriptor is kept for each device and inode, and reached by
//! `pread`/`pwrite`: no mapping, no `unsafe`, and memory that shrinks under us is an error instead
//! of a signal.

use nix::errno::Errno;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, MetadataExt};

/// Ranges of one client; what `VERSION` announces.
pub(super) const MAX_RANGES: usize = 65535;

/// Device and inode.
type FileKey = (u64, u64);

#[derive(Clone, Copy, Debug)]
pub(super) struct Range {
    len: u64,
    /// Key in `files`.
    file: FileKey,
    at: u64,
}

/// What a card can reach.
#[derive(Debug, Default)]
pub(super) struct GuestMemory {
    /// Each with the number of its ranges.
    files: BTreeMap<FileKey, (File, usize)>,
    /// By bus address.
    pub(super) ranges: BTreeMap<u64, Range>,
}

/// Nothing is mapped there.
fn unmapped(address: u64) -> io::Error {
    io::Error::new(
        io::ErrorKind::NotFound,
        format!("no memory is mapped at bus address {address:#x}"),
    )
}

impl GuestMemory {
    /// `len` bytes at bus address `address` are those at `at` of the file. What was mapped at the
    /// same address before is replaced.
    pub(super) fn map(&mut self, address: u64, len: u64, at: u64, fd: OwnedFd) -> io::Result<()> {
        // A file has no bytes beyond the largest signed offset.
        let in_file = at.checked_add(len).is_some_and(|end| end <= i64::MAX as u64);
        if !in_file || address.checked_add(len).is_none() {
            return Err(Errno::EINVAL.into());
        }
        if self.ranges.len() >= MAX_RANGES && !self.ranges.contains_key(&address) {
            return Err(Errno::ENOSPC.into());
        }
        let file = File::from(fd);
        let meta = file.metadata()?;
        let key = (meta.dev(), meta.ino());
        self.files.entry(key).or_insert((file, 0)).1 += 1;
        if let Some(replaced) = self.ranges.insert(address, Range { len, file: key, at }) {
            self.release(replaced.file);
        }
        Ok(())
    }

    /// One range fewer in this file, which is closed with its last one.
    fn release(&mut self, key: FileKey) {
        if let Entry::Occupied(mut file) = self.files.entry(key) {
            file.get_mut().1 -= 1;
            if file.get().1 == 0 {
                file.remove();
            }
        }
    }

    /// Removes the ranges inside; QEMU also unmaps ranges that were never mapped
    /// (docs/lab.md#vfio-user-client-of-qemu).
    pub(super) fn unmap(&mut self, address: u64, len: u64) {
        let end = u128::from(address) + u128::from(len);
        let inside: Vec<u64> = self
            .ranges
            .range(address..)
            .take_while(|(start, r)| u128::from(**start) + u128::from(r.len) <= end)
            .map(|(start, _)| *start)
            .collect();
        for start in inside {
            if let Some(range) = self.ranges.remove(&start) {
                self.release(range.file);
            }
        }
    }

    fn each(
        &self,
        address: u64,
        len: usize,
        mut act: impl FnMut(&File, u64, std::ops::Range<usize>) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut done = 0;
        while done < len {
            let here = address.checked_add(done as u64).ok_or_else(|| unmapped(address))?;
            let (start, range) = self
                .ranges
                .range(..=here)
                .next_back()
                .filter(|(start, r)| here - **start < r.len)
                .ok_or_else(|| unmapped(here))?;
            let inside = here - start;
            let left = usize::try_from(range.len - inside).unwrap_or(usize::MAX);
            let part = left.min(len - done);
            let (file, _) = self.files.get(&range.file).ok_or_else(|| unmapped(here))?;
            act(file, range.at + inside, done..done + part)?;
            done += part;
        }
        Ok(())
    }

    /// Fill `bytes` from guest memory.
    pub(super) fn read(&self, address: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.each(address, bytes.len(), |file, at, part| file.read_exact_at(&mut bytes[part], at))
    }

    /// Put `bytes` into guest memory.
    pub(super) fn write(&self, address: u64, bytes: &[u8]) -> io::Result<()> {
        self.each(address, bytes.len(), |file, at, part| file.write_all_at(&bytes[part], at))
    }
}

/// The card's side of the bus during one access.
pub(super) struct DeviceBus<'a> {
    /// Bus mastering is on.
    pub(super) masters: bool,
    pub(super) memory: &'a GuestMemory,
    /// MSI-X vectors raised, sent once the access is through.
    pub(super) raised: Vec<u32>,
}

impl DeviceBus<'_> {
    fn check(&self) -> io::Result<()> {
        if self.masters { Ok(()) } else { Err(io::Error::other("bus mastering is off")) }
    }

    /// Reads host memory.
    pub(super) fn read(&self, address: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.check()?;
        self.memory.read(address, bytes)
    }

    /// Writes host memory.
    pub(super) fn write(&self, address: u64, bytes: &[u8]) -> io::Result<()> {
        self.check()?;
        self.memory.write(address, bytes)
    }

    /// Raises an MSI-X vector. A message is a write on the bus.
    pub(super) fn interrupt(&mut self, vector: u32) {
        if self.masters {
            self.raised.push(vector);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::GuestMemory;
    use std::os::fd::OwnedFd;

    #[test]
    fn ranges_of_one_file_share_a_descriptor_and_reads_cross_them() {
        let file = tempfile::tempfile().expect("temp file");
        file.set_len(0x4000).expect("size");
        let mut memory = GuestMemory::default();
        for (address, at) in [(0x1000, 0x2000), (0x2000, 0)] {
            let fd = file.try_clone().expect("clone").into();
            memory.map(address, 0x1000, at, fd).expect("map");
        }
        assert_eq!((memory.files.len(), memory.ranges.len()), (1, 2));
        memory.write(0x1ffe, &[1, 2, 3, 4]).expect("write");
        let mut back = [0; 4];
        memory.read(0x1ffe, &mut back).expect("read");
        assert_eq!(back, [1, 2, 3, 4]);
        let mut raw = [0; 2];
        std::os::unix::fs::FileExt::read_exact_at(&file, &mut raw, 0).expect("raw");
        assert_eq!(raw, [3, 4], "the second range begins the file");
        assert!(memory.read(0x2fff, &mut back).is_err());
        memory.unmap(0, 0x2000);
        assert!(memory.read(0x1000, &mut back).is_err());
        assert!(memory.read(0x2000, &mut back).is_ok());
    }

    #[test]
    fn an_access_beyond_the_last_address_is_refused() {
        let mut memory = GuestMemory::default();
        memory.map(u64::MAX - 0x1000, 0x1000, 0, file()).expect("map");
        let mut bytes = [0; 0x20];
        assert!(memory.read(u64::MAX - 0x10, &mut bytes).is_err());
        assert!(memory.write(u64::MAX - 0x10, &bytes).is_err());
    }

    fn file() -> OwnedFd {
        tempfile::tempfile().expect("temp file").into()
    }

    #[test]
    fn a_range_beyond_the_last_address_or_offset_is_refused() {
        let mut memory = GuestMemory::default();
        for (address, len, at) in [
            (u64::MAX - 0xfff, 0x8000, 0),
            (0, 0x8000, u64::MAX - 0xfff),
            (0, 1, i64::MAX as u64),
            (0, u64::MAX, 1),
        ] {
            let mapped = memory.map(address, len, at, file());
            assert_eq!(mapped.expect_err("refused").raw_os_error(), Some(22), "{address:#x}");
        }
        assert!(memory.ranges.is_empty() && memory.files.is_empty());
    }

    #[test]
    fn a_file_is_closed_with_its_last_range() {
        let mut memory = GuestMemory::default();
        for round in 0..3 {
            memory.map(0x1000, 0x1000, 0, file()).expect("mapped");
            assert_eq!(memory.files.len(), 1, "replaced, round {round}");
        }
        memory.unmap(0, 0x10000);
        assert!(memory.files.is_empty());
    }
}
