//! cx3flash on a served card, with the frames and the socket that mstflint uses through its shim: a
//! register access costs both programs the same.

use crate::fixture::SERIAL;
use crate::jobs::BenchJob;
use cx3flash::card::{Card, Clock, CrError, CrOffset, CrSpace, WallClock};
use cx3flash::job::Device;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::rc::Rc;

const READ: u8 = 1;
const WRITE: u8 = 2;
/// Configuration gateway: register address, then data.
const ADDRESS: u16 = 0x58;
const DATA: u16 = 0x5c;

/// Runs one job and ends.
pub(crate) fn run(socket: &Path, job: BenchJob, dir: &Path, proofs: &Path) {
    let space =
        ConfigCycleDriver { stream: UnixStream::connect(socket).unwrap(), waiting: Vec::new() };
    let clock: Rc<dyn Clock> = Rc::new(WallClock::default());
    let card = Card::open(Box::new(space), Rc::clone(&clock)).unwrap();
    let device = Device::new(card, clock, "served");
    job.run(&mut device.keeping_proofs(proofs, SERIAL.into()), dir);
}

/// Configuration cycles over the socket. Writes are buffered until the next read, as in the shim.
struct ConfigCycleDriver {
    stream: UnixStream,
    waiting: Vec<u8>,
}

impl ConfigCycleDriver {
    fn frame(&mut self, operation: u8, at: u16, value: u32) {
        self.waiting.extend([operation, 0]);
        self.waiting.extend(at.to_le_bytes());
        self.waiting.extend(value.to_le_bytes());
    }

    fn push(&mut self) -> io::Result<()> {
        self.stream.write_all(&self.waiting)?;
        self.waiting.clear();
        Ok(())
    }

    fn config_read(&mut self, at: u16) -> io::Result<u32> {
        self.frame(READ, at, 0);
        self.push()?;
        let mut answer = [0; 4];
        self.stream.read_exact(&mut answer)?;
        Ok(u32::from_le_bytes(answer))
    }
}

impl CrSpace for ConfigCycleDriver {
    fn read(&mut self, at: CrOffset) -> Result<u32, CrError> {
        self.frame(WRITE, ADDRESS, at.0);
        self.config_read(DATA).map_err(|source| CrError::Io { at: at.0, source })
    }

    fn write(&mut self, at: CrOffset, value: u32) -> Result<(), CrError> {
        self.frame(WRITE, ADDRESS, at.0);
        self.frame(WRITE, DATA, value);
        Ok(())
    }

    fn posts_writes(&self) -> bool {
        false
    }

    fn pci_device_id(&mut self) -> Result<u16, CrError> {
        self.config_read(0)
            .map(|ids| (ids >> 16) as u16)
            .map_err(|source| CrError::Io { at: 0, source })
    }
}

impl Drop for ConfigCycleDriver {
    fn drop(&mut self) {
        let _ = self.push();
    }
}
