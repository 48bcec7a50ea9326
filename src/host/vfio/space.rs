//! An open device as CR-space.

use super::error::{BarFault, VfioError};
use super::gateway::{ADDRESS, ConfigCycles};
use super::regions::{COMMAND, Raw};
use super::session::VfioSession;
use crate::card::{
    BAD_ACCESS, BarAccess, Clock, CrError, CrOffset, CrSpace, DeviceType, Patience, Reg, WallClock,
    wait_for,
};
use crate::host::Bdf;
use crate::host::config_space::SysfsConfig;
use nix::libc;
use std::cell::RefCell;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

/// Length of CR-space (drivers/net/ethernet/mellanox/mlx4/crdump.c dumps all of BAR0).
pub(super) const CR_SPACE: u32 = 0x10_0000;

/// COMMAND bit 1, memory decode.
const MEMORY: u16 = 1 << 1;
/// COMMAND bit 2, bus mastering: only ever cleared (P9).
const MASTER: u16 = 1 << 2;
/// Vendor and device id.
const IDS: u16 = 0x00;
/// Revision and class: passed through by VFIO, unlike the ids, which are those seen at open
/// (drivers/vfio/pci/vfio_pci_config.c).
const CLASS: u16 = 0x08;

/// A chip that boots after VFIO's reset does not answer through BAR0 yet.
const BAR0_ANSWERS: Patience = Patience::every(Duration::from_secs(10), Duration::from_millis(20));

/// An open card: where its registers are, and by which transport they are reached.
pub(super) struct Open {
    // Before `session`: mapping and duplicated descriptor keep the device open.
    io: Box<dyn Raw>,
    pub(super) access: BarAccess,
    /// Set while the transport is [`BarAccess::Config`].
    gateway: Option<ConfigCycles>,
    /// The kernel offers all of CR-space in BAR0.
    bar_usable: bool,
    pub(super) session: Option<VfioSession>,
    bdf: Bdf,
    /// Its directory in sysfs, whose file `config` shows configuration space as it is.
    pub(super) sysfs: Option<PathBuf>,
    /// Started before VFIO opened the card, which resets it.
    pub(super) opening: WallClock,
}

/// The open card, shared by its [`Space`]s; `None` once closed.
pub(super) type SharedCard = Rc<RefCell<Option<Open>>>;

/// What the kernel reports of BAR0.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bar {
    pub(super) usable: Result<(), BarFault>,
    pub(super) mappable: bool,
}

fn config_error(bdf: Bdf, at: u16) -> impl Fn(io::Error) -> VfioError {
    move |source| VfioError::Config { bdf, at, source }
}

fn answers(value: u32) -> bool {
    value != u32::MAX && value != BAD_ACCESS
}

fn is_family(value: u32) -> bool {
    DeviceType::with_hw_id((value & 0xffff) as u16).is_some()
}

/// Whether BAR0 is mapped unless another transport is chosen. mstflint v4.21 does not map it on ARM
/// (mtcr_ul_com.c), so on all but x86-64 no known tool shows that a mapping is safe.
pub(super) fn maps_by_default(arch: &str) -> bool {
    arch == "x86_64"
}

impl Open {
    /// Chooses the transport. Unless one is requested: BAR0 mapped on x86-64, since a read is then
    /// one load instead of a system call around one (a burn makes a million of them), and a SIGBUS
    /// is caught; `pread` elsewhere and where BAR0 cannot be mapped; configuration cycles where
    /// BAR0 is missing, too small or does not answer while they do.
    pub(super) fn new(
        mut io: Box<dyn Raw>,
        bdf: Bdf,
        bar: Bar,
        request: Option<BarAccess>,
        clock: &dyn Clock,
    ) -> Result<Self, VfioError> {
        let command = io.config_read(COMMAND).map_err(config_error(bdf, COMMAND))? as u16;
        if command != u16::MAX && command & MASTER != 0 {
            // VFIO switches it off at open (drivers/vfio/pci/vfio_pci_core.c).
            tracing::warn!(%bdf, "bus mastering was on; switched off");
            io.command_write(command & !MASTER).map_err(config_error(bdf, COMMAND))?;
        }
        let mut open = Self {
            io,
            access: BarAccess::Pread,
            gateway: None,
            bar_usable: bar.usable.is_ok(),
            session: None,
            bdf,
            sysfs: None,
            opening: WallClock::default(),
        };
        match request {
            Some(BarAccess::Config) => open.use_gateway()?,
            Some(BarAccess::Pread) => bar.usable.map_err(|fault| open.bad_bar(fault))?,
            Some(BarAccess::Mmap) => {
                bar.usable.map_err(|fault| open.bad_bar(fault))?;
                if !bar.mappable {
                    return Err(open.bad_bar(BarFault::NotMappable));
                }
                open.use_mapping()?;
            }
            None => match bar.usable {
                Ok(()) => open.choose(bar.mappable, clock)?,
                Err(fault) => {
                    tracing::warn!(%bdf, %fault, "BAR0 is not usable: configuration cycles are used");
                    open.use_gateway()?;
                }
            },
        }
        Ok(open)
    }

    fn bad_bar(&self, fault: BarFault) -> VfioError {
        let bdf = self.bdf;
        VfioError::Bar { bdf, fault }
    }

    fn use_mapping(&mut self) -> Result<(), VfioError> {
        let bdf = self.bdf;
        self.io.map().map_err(|source| VfioError::Map { bdf, source })?;
        self.access = BarAccess::Mmap;
        Ok(())
    }

    fn use_gateway(&mut self) -> Result<(), VfioError> {
        let gateway = ConfigCycles::open(self.io.as_mut());
        self.gateway = Some(gateway.map_err(config_error(self.bdf, ADDRESS))?);
        self.access = BarAccess::Config;
        Ok(())
    }

    /// BAR0 is usable; checks whether the card answers through it. Reads by `pread`, which returns
    /// an error where a mapping raises a signal. The gateway is written to only when BAR0 does not
    /// answer for longer than a chip needs to boot.
    fn choose(&mut self, mappable: bool, clock: &dyn Clock) -> Result<(), VfioError> {
        let bdf = self.bdf;
        let device_id = Reg::DeviceId.offset().0;
        let mut value = Ok(u32::MAX);
        let answered = wait_for(clock, BAR0_ANSWERS, || {
            value = self.io.bar_read(device_id);
            let answered = matches!(value, Ok(value) if answers(value));
            Ok(answered.then_some(()))
        })?;
        if answered.is_none() {
            self.use_gateway()?;
            let gateway = self.gateway;
            let other = gateway.and_then(|g| g.read(self.io.as_mut(), device_id).ok());
            let value = value.map_or_else(|e| e.to_string(), |v| format!("{v:#010x}"));
            if let Some(id) = other.filter(|id| is_family(*id)) {
                tracing::warn!(
                    %bdf, bar0 = %value, config = format_args!("{id:#010x}"),
                    "BAR0 does not answer, configuration cycles do: they are used"
                );
                return Ok(());
            }
            // Neither answers: the card module decides what that means.
            self.leave_gateway()?;
            self.access = BarAccess::Pread;
        }
        if mappable
            && maps_by_default(std::env::consts::ARCH)
            && let Err(error) = self.use_mapping()
        {
            tracing::warn!(%bdf, %error, "BAR0 is used by pread");
            self.access = BarAccess::Pread;
        }
        Ok(())
    }

    fn leave_gateway(&mut self) -> Result<(), VfioError> {
        let Some(gateway) = self.gateway.take() else {
            return Ok(());
        };
        gateway.leave(self.io.as_mut()).map_err(config_error(self.bdf, ADDRESS))
    }

    fn read(&mut self, at: u32) -> io::Result<u32> {
        match self.gateway {
            Some(gateway) => gateway.read(self.io.as_mut(), at),
            None => self.io.bar_read(at),
        }
    }

    /// Whether this transport can be used beside the one that was chosen. BAR0 is not mapped for that, and
    /// where configuration cycles were chosen it may not answer.
    fn offers(&self, by: BarAccess) -> bool {
        match by {
            BarAccess::Mmap => self.access == BarAccess::Mmap,
            BarAccess::Pread => self.bar_usable,
            BarAccess::Config => true,
        }
    }

    /// One read by a transport that it offers.
    fn read_by(&mut self, by: BarAccess, at: u32) -> io::Result<u32> {
        match (by, self.gateway) {
            (BarAccess::Pread, _) => self.io.bar_pread(at),
            (BarAccess::Config, None) => {
                let gateway = ConfigCycles::open(self.io.as_mut())?;
                let value = gateway.read(self.io.as_mut(), at);
                gateway.leave(self.io.as_mut())?;
                value
            }
            _ => self.read(at),
        }
    }

    fn write(&mut self, at: u32, value: u32) -> io::Result<()> {
        match self.gateway {
            Some(gateway) => gateway.write(self.io.as_mut(), at, value),
            None => self.io.bar_write(at, value),
        }
    }

    /// The device id of the chip at this moment. VFIO shows the id it noted when it opened the card
    /// (drivers/vfio/pci/vfio_pci_config.c), so sysfs is read, which is allowed under lockdown too;
    /// VFIO only where sysfs cannot be read.
    fn pci_device_id(&mut self) -> io::Result<u16> {
        let live = self.sysfs.as_deref().map(|dir| SysfsConfig::open(dir)?.dword(IDS));
        let ids = match live {
            Some(Ok(ids)) => ids,
            _ => self.io.config_read(IDS)?,
        };
        Ok((ids >> 16) as u16)
    }

    /// After a software reset, which the kernel has not seen: COMMAND and the BARs are empty.
    /// Writing COMMAND with the memory bit makes the kernel notice and put the BARs back
    /// (drivers/vfio/pci/vfio_pci_config.c, `vfio_bar_restore`). DEVCTL and LNKCTL come back when
    /// it restores its saved state at close.
    fn back_after_reset(&mut self) -> io::Result<bool> {
        if self.io.config_read(CLASS)? == u32::MAX {
            return Ok(false);
        }
        if let Some(gateway) = &mut self.gateway {
            gateway.after_reset(self.io.as_mut())?;
            return Ok(true);
        }
        let command = self.io.config_read(COMMAND)? as u16;
        if command & MEMORY == 0 {
            self.io.command_write((command | MEMORY) & !MASTER)?;
            if self.io.config_read(COMMAND)? as u16 & MEMORY == 0 {
                return Ok(false);
            }
        }
        if self.access == BarAccess::Mmap {
            // A mapping that faulted meanwhile no longer belongs to the card.
            self.io.map()?;
        }
        Ok(true)
    }

    /// Closes everything: first what keeps the device open, then the session. Returns the first
    /// error, after all else has been closed too.
    pub(super) fn close(mut self) -> Result<(), VfioError> {
        let left = self.leave_gateway();
        let session = self.session.take();
        drop(self);
        let closed = session.map_or(Ok(()), VfioSession::close);
        // A card that was removed does not answer; closing it resets one that is there.
        if let Err(error) = left {
            tracing::warn!(%error, "the register gateway was not left");
        }
        closed
    }
}

/// The registers of an open card.
pub(super) struct Space(pub(super) SharedCard);

impl Space {
    fn with<T>(
        &self,
        at: u32,
        access: impl FnOnce(&mut Open) -> io::Result<T>,
    ) -> Result<T, CrError> {
        if !at.is_multiple_of(4) || at >= CR_SPACE {
            return Err(CrError::BadOffset { at });
        }
        let mut open = self.0.borrow_mut();
        open.as_mut()
            .ok_or_else(|| io::Error::from_raw_os_error(libc::ENODEV))
            .and_then(access)
            .map_err(|source| CrError::Io { at, source })
    }
}

impl CrSpace for Space {
    fn read(&mut self, at: CrOffset) -> Result<u32, CrError> {
        self.with(at.0, |open| open.read(at.0))
    }

    fn write(&mut self, at: CrOffset, value: u32) -> Result<(), CrError> {
        self.with(at.0, |open| open.write(at.0, value))
    }

    fn posts_writes(&self) -> bool {
        // A closed card has nothing to flush, and the next access is an error.
        let open = self.0.borrow();
        open.as_ref().is_some_and(|open| open.gateway.is_none())
    }

    fn transport(&self) -> Option<BarAccess> {
        self.0.borrow().as_ref().map(|open| open.access)
    }

    fn read_by(&mut self, by: BarAccess, at: CrOffset) -> Option<Result<u32, CrError>> {
        let there = self.0.borrow().as_ref().is_none_or(|open| open.offers(by));
        there.then(|| self.with(at.0, |open| open.read_by(by, at.0)))
    }

    fn pci_device_id(&mut self) -> Result<u16, CrError> {
        self.with(Reg::DeviceId.offset().0, Open::pci_device_id)
    }

    fn back_after_reset(&mut self) -> Result<bool, CrError> {
        self.with(Reg::SoftwareReset.offset().0, Open::back_after_reset)
    }

    fn reset_function(&mut self) -> Option<Result<(), CrError>> {
        let mut open = self.0.borrow_mut();
        let reset = open.as_mut()?.session.as_ref()?.reset()?;
        Some(reset.map_err(|error| {
            let source = io::Error::new(error.kind(), format!("VFIO_DEVICE_RESET: {error}"));
            CrError::Io { at: Reg::SoftwareReset.offset().0, source }
        }))
    }

    fn since_reset(&self) -> Duration {
        let open = self.0.borrow();
        open.as_ref().map_or(Duration::ZERO, |open| open.opening.now())
    }
}
