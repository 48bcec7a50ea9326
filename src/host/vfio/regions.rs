//! The two regions that are used: BAR0 and configuration space.
//!
//! BAR0 by `pread`/`pwrite` of exactly 4 aligned bytes is exactly one 32-bit access
//! (drivers/vfio/pci/vfio_pci_rdwr.c); by mapping it is one load or store. Numbers in BAR0 are
//! big-endian, those in configuration space little-endian.
//!
//! `pread` reads ff from the MSI-X table at 0x7c000..0x7c800 and drops writes to it, with success
//! (drivers/vfio/pci/vfio_pci_rdwr.c); a mapping does not. No register of ours lies there.

use super::sys::{BusWatch, Region};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use vm_memory::{Bytes, FileOffset, MmapRegion, VolatileMemory};

/// Accesses to the regions of one device. Offsets are aligned and in range.
pub(super) trait Raw {
    /// One 32-bit read of BAR0.
    fn bar_read(&mut self, at: u32) -> io::Result<u32>;
    /// One 32-bit read of BAR0 by a system call, also where it is mapped.
    fn bar_pread(&mut self, at: u32) -> io::Result<u32>;
    /// One 32-bit write of BAR0.
    fn bar_write(&mut self, at: u32, value: u32) -> io::Result<()>;
    /// Maps BAR0 and uses the mapping from now on; each call makes a new one.
    fn map(&mut self) -> io::Result<()>;
    /// One 32-bit read of configuration space.
    fn config_read(&mut self, at: u16) -> io::Result<u32>;
    /// One 32-bit write of configuration space.
    fn config_write(&mut self, at: u16, value: u32) -> io::Result<()>;
    /// Writes COMMAND alone: STATUS, its neighbour, is cleared by writing ones.
    fn command_write(&mut self, value: u16) -> io::Result<()>;
}

/// COMMAND and STATUS.
pub(super) const COMMAND: u16 = 0x04;

/// BAR0 in our address space.
struct Mapping {
    // Before `region`: see `BusWatch`.
    watch: BusWatch,
    region: MmapRegion<()>,
}

fn bus_error() -> io::Error {
    io::Error::other("BAR0 faulted (SIGBUS): memory decode is off or the card is in D3")
}

impl Mapping {
    fn new(file: &Arc<File>, bar: Region) -> io::Result<Self> {
        let length = usize::try_from(bar.size).map_err(io::Error::other)?;
        let place = FileOffset::from_arc(Arc::clone(file), bar.offset);
        let region = MmapRegion::<()>::from_file(place, length).map_err(|error| match error {
            vm_memory::mmap::MmapRegionError::Mmap(source) => source,
            other => io::Error::other(other),
        })?;
        let watch = BusWatch::over(region.as_ptr() as usize, length)?;
        Ok(Self { watch, region })
    }

    /// After a fault empty memory is in the mapping's place: nothing read through it from then on comes
    /// from the card.
    fn intact(&self) -> io::Result<()> {
        if self.watch.hit() {
            return Err(bus_error());
        }
        Ok(())
    }

    // Relaxed: with SeqCst a store would be a locked exchange on a register. Accesses to one
    // uncached BAR need no fence.
    fn read(&self, at: u32) -> io::Result<u32> {
        self.intact()?;
        let slice = self.region.as_volatile_slice();
        let value = slice.load::<u32>(at as usize, Ordering::Relaxed);
        self.intact()?;
        value.map(u32::from_be).map_err(io::Error::other)
    }

    fn write(&self, at: u32, value: u32) -> io::Result<()> {
        self.intact()?;
        let slice = self.region.as_volatile_slice();
        let done = slice.store::<u32>(value.to_be(), at as usize, Ordering::Relaxed);
        self.intact()?;
        done.map_err(io::Error::other)
    }
}

/// Regions of a VFIO device file, or of any file with this layout.
pub(super) struct Regions {
    // Before `file`: a mapping keeps the device open.
    mapping: Option<Mapping>,
    file: Arc<File>,
    bar0: Region,
    config: Region,
}

impl Regions {
    pub(super) fn new(file: File, bar0: Region, config: Region) -> Self {
        Self { mapping: None, file: Arc::new(file), bar0, config }
    }

    /// One system call; anything but all bytes is an error.
    fn read_bytes<const N: usize>(&self, at: u64) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        match self.file.read_at(&mut bytes, at)? {
            n if n == N => Ok(bytes),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    fn write_bytes(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        match self.file.write_at(bytes, at)? {
            n if n == bytes.len() => Ok(()),
            _ => Err(io::ErrorKind::WriteZero.into()),
        }
    }
}

impl Raw for Regions {
    fn bar_read(&mut self, at: u32) -> io::Result<u32> {
        match &self.mapping {
            Some(mapping) => mapping.read(at),
            None => self.bar_pread(at),
        }
    }

    fn bar_pread(&mut self, at: u32) -> io::Result<u32> {
        self.read_bytes(self.bar0.offset + u64::from(at)).map(u32::from_be_bytes)
    }

    fn bar_write(&mut self, at: u32, value: u32) -> io::Result<()> {
        match &self.mapping {
            Some(mapping) => mapping.write(at, value),
            None => self.write_bytes(self.bar0.offset + u64::from(at), &value.to_be_bytes()),
        }
    }

    fn map(&mut self) -> io::Result<()> {
        self.mapping = None;
        self.mapping = Some(Mapping::new(&self.file, self.bar0)?);
        Ok(())
    }

    fn config_read(&mut self, at: u16) -> io::Result<u32> {
        self.read_bytes(self.config.offset + u64::from(at)).map(u32::from_le_bytes)
    }

    fn config_write(&mut self, at: u16, value: u32) -> io::Result<()> {
        self.write_bytes(self.config.offset + u64::from(at), &value.to_le_bytes())
    }

    fn command_write(&mut self, value: u16) -> io::Result<()> {
        self.write_bytes(self.config.offset + u64::from(COMMAND), &value.to_le_bytes())
    }
}
