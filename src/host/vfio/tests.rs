//! The VFIO module without VFIO: a device made of memory, files laid out like one.

mod errors;
mod files;
mod transports;

use super::gateway::{ADDRESS, DATA, HARMLESS};
use super::regions::{COMMAND, Raw};
use super::space::{Bar, Open};
use super::{BarAccess, BarFault, VfioCard, VfioError};
use crate::card::BAD_ACCESS;
use crate::card::{Clock, CrError, CrOffset, CrSpace};
use crate::host::Bdf;
use nix::libc;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;
use std::time::Duration;

const BDF: Bdf = Bdf { domain: 0, bus: 5, device: 0, function: 0 };
const DEVICE_ID: u32 = 0xf_0014;
const GOOD: u32 = 0x0001_01f5;

/// A device: its registers behind BAR0 and behind the gateway, and what was done to it.
#[derive(Default)]
struct FakeDevice {
    registers: BTreeMap<u32, u32>,
    config: BTreeMap<u16, u32>,
    write_only: bool,
    /// Data waiting for its address (write-only variant).
    waiting: u32,
    /// What BAR0 shows instead of its registers.
    bar_shows: Option<u32>,
    /// Reads of BAR0 that are answered by all ones first: the chip boots.
    boots_for: u32,
    /// Errno of every access to BAR0.
    bar_fails: Option<i32>,
    /// Errno of making a mapping.
    map_fails: Option<i32>,
    /// Configuration space answers all ones.
    silent: bool,
    maps: u32,
    config_writes: Vec<(u16, u32)>,
}

impl FakeDevice {
    fn live() -> Self {
        Self {
            registers: [(DEVICE_ID, GOOD), (0xf_0380, 7)].into(),
            config: [(COMMAND, 0x0010_0002), (0x08, 0x0200_0000)].into(),
            ..Self::default()
        }
    }
}

#[derive(Clone)]
struct FakeRegions(Rc<RefCell<FakeDevice>>);

impl FakeRegions {
    fn of(device: FakeDevice) -> Self {
        Self(Rc::new(RefCell::new(device)))
    }
}

impl Raw for FakeRegions {
    fn bar_read(&mut self, at: u32) -> io::Result<u32> {
        let mut device = self.0.borrow_mut();
        if device.boots_for > 0 {
            device.boots_for -= 1;
            return Ok(u32::MAX);
        }
        match device.bar_fails {
            Some(errno) => Err(io::Error::from_raw_os_error(errno)),
            None => Ok(device
                .bar_shows
                .unwrap_or_else(|| device.registers.get(&at).copied().unwrap_or(0))),
        }
    }

    fn bar_pread(&mut self, at: u32) -> io::Result<u32> {
        self.bar_read(at)
    }

    fn bar_write(&mut self, at: u32, value: u32) -> io::Result<()> {
        let mut device = self.0.borrow_mut();
        if let Some(errno) = device.bar_fails {
            return Err(io::Error::from_raw_os_error(errno));
        }
        device.registers.insert(at, value);
        Ok(())
    }

    fn map(&mut self) -> io::Result<()> {
        let mut device = self.0.borrow_mut();
        if let Some(errno) = device.map_fails {
            return Err(io::Error::from_raw_os_error(errno));
        }
        device.maps += 1;
        Ok(())
    }

    fn config_read(&mut self, at: u16) -> io::Result<u32> {
        let device = self.0.borrow();
        if device.silent {
            return Ok(u32::MAX);
        }
        let address = device.config.get(&ADDRESS).copied().unwrap_or(0);
        let register = |at: u32| device.registers.get(&at).copied().unwrap_or(0);
        Ok(match at {
            ADDRESS if device.write_only => BAD_ACCESS,
            DATA if device.write_only && address & 1 == 0 => BAD_ACCESS,
            DATA => register(address & !1),
            _ => device.config.get(&at).copied().unwrap_or(0),
        })
    }

    fn config_write(&mut self, at: u16, value: u32) -> io::Result<()> {
        let mut device = self.0.borrow_mut();
        device.config_writes.push((at, value));
        match at {
            DATA if device.write_only => device.waiting = value,
            DATA => {
                let address = device.config.get(&ADDRESS).copied().unwrap_or(0);
                device.registers.insert(address, value);
            }
            ADDRESS => {
                device.config.insert(ADDRESS, value);
                // The device id takes no writes.
                if device.write_only && value & 1 == 0 && value != DEVICE_ID {
                    let waiting = device.waiting;
                    device.registers.insert(value, waiting);
                }
            }
            _ => {
                device.config.insert(at, value);
            }
        }
        Ok(())
    }

    fn command_write(&mut self, value: u16) -> io::Result<()> {
        let mut device = self.0.borrow_mut();
        device.config_writes.push((COMMAND, value.into()));
        let status = device.config.get(&COMMAND).copied().unwrap_or(0) & 0xffff_0000;
        device.config.insert(COMMAND, status | u32::from(value));
        Ok(())
    }
}

const USABLE: Bar = Bar { usable: Ok(()), mappable: true };

fn open(fake: &FakeRegions, bar: Bar, request: Option<BarAccess>) -> Result<VfioCard, VfioError> {
    let clock = SteppedClock::default();
    Open::new(Box::new(fake.clone()), BDF, bar, request, &clock).map(VfioCard::from_open)
}

/// A clock that only sleeping moves.
#[derive(Default)]
struct SteppedClock(Cell<Duration>);

impl Clock for SteppedClock {
    fn now(&self) -> Duration {
        self.0.get()
    }
    fn sleep(&self, time: Duration) {
        self.0.set(self.0.get() + time);
    }
}

fn read(card: &VfioCard, at: u32) -> Result<u32, CrError> {
    card.space().read(CrOffset(at))
}

fn access(card: &VfioCard) -> BarAccess {
    card.0.borrow().as_ref().unwrap().access
}

/// Registers that a test brings, behind BAR0.
struct SpaceRegions(Box<dyn CrSpace>);

impl Raw for SpaceRegions {
    fn bar_read(&mut self, at: u32) -> io::Result<u32> {
        self.0.read(CrOffset(at)).map_err(io::Error::other)
    }

    fn bar_pread(&mut self, at: u32) -> io::Result<u32> {
        self.bar_read(at)
    }

    fn bar_write(&mut self, at: u32, value: u32) -> io::Result<()> {
        self.0.write(CrOffset(at), value).map_err(io::Error::other)
    }

    fn map(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn config_read(&mut self, at: u16) -> io::Result<u32> {
        let id = self.0.pci_device_id().map_err(io::Error::other)?;
        Ok(match (id, at) {
            (u16::MAX, _) => u32::MAX,
            (id, 0) => u32::from(id) << 16 | 0x15b3,
            (_, COMMAND) => 0x0010_0002,
            _ => 0,
        })
    }

    fn config_write(&mut self, _: u16, _: u32) -> io::Result<()> {
        Ok(())
    }

    fn command_write(&mut self, _: u16) -> io::Result<()> {
        Ok(())
    }
}

impl VfioCard {
    /// An open card with these registers.
    pub(in crate::host) fn over(space: Box<dyn CrSpace>) -> Self {
        let bar = Bar { usable: Ok(()), mappable: false };
        let (access, clock) = (Some(BarAccess::Pread), Still);
        Self::from_open(Open::new(Box::new(SpaceRegions(space)), BDF, bar, access, &clock).unwrap())
    }
}

/// Time that stands still.
struct Still;

impl Clock for Still {
    fn now(&self) -> Duration {
        Duration::ZERO
    }

    fn sleep(&self, _: Duration) {}
}
