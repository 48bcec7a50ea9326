//! Taking a card from its driver.

use super::actions::{Actions, SystemActions};
use super::{
    BIND_LIMIT, HostStep, Journal, JournalRecord, Lease, LeaseError, MLX4, Marks, OriginalState,
    QUICK_LIMIT, UNBIND_LIMIT, VFIO_PCI, boot_id, lock, same_card,
};
use crate::host::journal::{JournalError, MovedSibling};
use crate::host::{Bdf, Host, PciCard, Sibling, UseId, sysfs};
use std::io;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

impl Lease {
    /// Take a card: lock, journal, siblings, override, unbind, bind (docs/linux.md#sequence-of-a-job). A card that a
    /// dead process left borrowed is adopted: what its journal says of the host is what counts.
    /// Siblings that spoil the group are moved only when `allow` has [`UseId::Siblings`].
    ///
    /// # Errors
    /// [`LeaseError`]; the host is as it was unless [`LeaseError::host_changed`].
    pub fn take(host: &Host, card: &PciCard, allow: &[UseId]) -> Result<Self, LeaseError> {
        let siblings = allow.contains(&UseId::Siblings);
        Self::take_by(host, card, siblings, Rc::new(SystemActions::default()))
    }

    /// A card from its journal alone; `None` when it has none.
    ///
    /// # Errors
    /// [`LeaseError::Held`], [`LeaseError::Journal`], [`LeaseError::OtherCard`].
    pub fn adopt(host: &Host, bdf: Bdf) -> Result<Option<Self>, LeaseError> {
        Self::adopt_by(host, bdf, Rc::new(SystemActions::default()))
    }

    pub(super) fn adopt_by(
        host: &Host,
        bdf: Bdf,
        actions: Rc<dyn Actions>,
    ) -> Result<Option<Self>, LeaseError> {
        let lock = lock::take(host, bdf)?;
        let (journal, record) = Journal::open(host, bdf)?;
        let Some(record) = record else {
            return Ok(None);
        };
        let card = host.card(bdf).ok();
        if let Some(card) = card.as_ref().filter(|card| !same_card(&record, card)) {
            return Err(other_card(&record, card));
        }
        if lock.is_none() {
            let driver = card.and_then(|card| card.driver);
            return Err(LeaseError::NotRoot { bdf, driver });
        }
        let rebooted = record.boot_id != boot_id(host);
        Ok(Some(Self {
            host: host.clone(),
            actions,
            lock,
            journal: Some(journal),
            record,
            rebooted,
            done: false,
        }))
    }

    pub(super) fn take_by(
        host: &Host,
        card: &PciCard,
        move_siblings: bool,
        actions: Rc<dyn Actions>,
    ) -> Result<Self, LeaseError> {
        let lock = lock::take(host, card.bdf)?;
        // Whoever had the lock before may have moved it since the caller looked.
        let card = &host.card(card.bdf)?;
        let (journal, pending) = Journal::open(host, card.bdf)?;
        let mut lease = Self {
            host: host.clone(),
            actions,
            lock,
            journal: Some(journal),
            record: fresh(host, card),
            rebooted: false,
            done: false,
        };
        if let Some(old) = pending {
            if !same_card(&old, card) {
                return Err(other_card(&old, card));
            }
            lease.record.marks = old.marks;
            if old.boot_id == lease.record.boot_id {
                lease.record.original = old.original;
            } else if card.driver.is_none() && old.marks.flash_touched {
                // The machine was started anew with what the dead process left on the flash, and the
                // driver did not get along with it: it is still where the card belongs.
                lease.record.original.driver = old.original.driver.filter(|driver| driver == MLX4);
                lease.record.original.port_types = old.original.port_types;
                lease.record.original.netdevs = old.original.netdevs;
            }
        }
        let on_vfio = card.driver.as_deref() == Some(VFIO_PCI);
        match lease.step(HostStep::Begin) {
            Ok(()) => {}
            Err(LeaseError::Journal(JournalError::Io { source, .. }))
                if source.kind() == io::ErrorKind::PermissionDenied =>
            {
                if !on_vfio {
                    return Err(LeaseError::NotRoot {
                        bdf: card.bdf,
                        driver: card.driver.clone(),
                    });
                }
                // Nothing of the host will be changed, so nothing need be remembered.
                lease.journal = None;
                lease.record.original = OriginalState::of(host, card, None);
            }
            Err(error) => return Err(error),
        }
        spare_from_oom(host);
        if on_vfio {
            lease.step(HostStep::Borrowed)?;
            return Ok(lease);
        }
        match lease.bring(card, move_siblings) {
            Ok(()) => Ok(lease),
            Err(error @ LeaseError::Stuck { .. }) => {
                lease.leave();
                Err(error)
            }
            Err(error) => {
                tracing::warn!(%error, "the card cannot be taken: putting the host back");
                match lease.give_back() {
                    Ok(_) => Err(error),
                    Err(back) => Err(LeaseError::NotUndone {
                        first: Box::new(error),
                        back: Box::new(back),
                    }),
                }
            }
        }
    }

    /// From the card's driver to vfio-pci.
    fn bring(&mut self, card: &PciCard, move_siblings: bool) -> Result<(), LeaseError> {
        let bdf = self.bdf();
        if card.iommu_group.is_none() {
            // vfio-pci's probe would say EINVAL (docs/linux.md#binding), after the driver is gone.
            let none = io::Error::from_raw_os_error(libc::EINVAL);
            return Err(self.refused("binding to vfio-pci (the card has no IOMMU group)", none));
        }
        let blocking: Vec<&Sibling> = card.siblings.iter().filter(|s| s.blocks).collect();
        if !blocking.is_empty() && !move_siblings {
            let said: Vec<String> = blocking
                .iter()
                .map(|s| {
                    format!(
                        "{} is on {}",
                        s.bdf,
                        s.driver.as_deref().unwrap_or("a driver")
                    )
                })
                .collect();
            return Err(LeaseError::Siblings(said.join(", ")));
        }
        // Loaded before anything is taken away: a host without it must not lose its network.
        self.need_driver(VFIO_PCI)?;
        self.need_container()?;
        for sibling in blocking {
            let Some(driver) = sibling.driver.clone() else {
                continue;
            };
            let moved = MovedSibling {
                bdf: sibling.bdf,
                driver,
            };
            if !self.record.original.siblings.contains(&moved) {
                self.record.original.siblings.push(moved);
            }
            self.step(HostStep::Siblings)?;
            self.unbind(sibling.bdf)?;
        }
        self.step(HostStep::Override)?;
        self.set_override(Some(VFIO_PCI))?;
        if self.driver_now().is_some() {
            self.step(HostStep::Unbind)?;
            self.unbind(bdf)?;
        }
        self.step(HostStep::Bind)?;
        self.bind(bdf, VFIO_PCI)?;
        self.step(HostStep::Borrowed)
    }

    /// To a driver, by name: `drivers/NAME/bind` says what the probe said (docs/linux.md#binding).
    pub(super) fn bind(&self, bdf: Bdf, driver: &str) -> Result<(), LeaseError> {
        let path = self.host.driver(driver).join("bind");
        let doing = format!("binding {bdf} to {driver}");
        let bound = self.slow_write(&path, &bdf.to_string(), BIND_LIMIT, &doing);
        match (self.driver_of(bdf), bound) {
            // Whatever else may have bound it to this driver in between (udev): it is there.
            (Some(now), Ok(()) | Err(LeaseError::Refused { .. })) if now == driver => Ok(()),
            (_, Err(LeaseError::Refused { source, .. })) => {
                let doing = format!("{doing}{}", probe_said(driver, &source));
                Err(self.refused(&doing, source))
            }
            (_, Err(other)) => Err(other),
            (now, Ok(())) => {
                let now = now.as_deref().unwrap_or("no driver");
                let said = format!("the kernel took the order, and it is on {now}");
                Err(self.refused(&doing, io::Error::other(said)))
            }
        }
    }

    /// vfio-pci asks for the IOMMU half of VFIO by a soft dependency only, which not every modprobe
    /// follows (seen with busybox). A kernel with iommufd does without it; where it is built in,
    /// modprobe says yes.
    fn need_container(&self) -> Result<(), LeaseError> {
        const TYPE1: &str = "vfio_iommu_type1";
        let there = self.host.path("sys/module").join(TYPE1).is_dir()
            || self.host.path("dev/iommu").exists();
        if there {
            return Ok(());
        }
        self.actions
            .modprobe(TYPE1)
            .map_err(|source| LeaseError::NoDriver {
                driver: TYPE1.to_owned(),
                source,
            })
    }

    /// Take a function from its driver.
    pub(super) fn unbind(&self, bdf: Bdf) -> Result<(), LeaseError> {
        let Some(driver) = self.driver_of(bdf) else {
            return Ok(());
        };
        let path = self.host.driver(&driver).join("unbind");
        let doing = format!("unbinding {bdf} from {driver}");
        self.slow_write(&path, &bdf.to_string(), UNBIND_LIMIT, &doing)
    }

    pub(super) fn slow_write(
        &self,
        path: &Path,
        value: &str,
        limit: Duration,
        doing: &str,
    ) -> Result<(), LeaseError> {
        match self.actions.write_within(path, value, limit) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => Err(LeaseError::Stuck {
                bdf: self.bdf(),
                doing: doing.to_owned(),
                seconds: limit.as_secs(),
            }),
            Err(source) => Err(self.refused(doing, source)),
        }
    }

    pub(super) fn refused(&self, doing: &str, source: io::Error) -> LeaseError {
        LeaseError::Refused {
            bdf: self.bdf(),
            doing: doing.to_owned(),
            source,
        }
    }

    pub(super) fn set_override(&self, driver: Option<&str>) -> Result<(), LeaseError> {
        self.set_override_of(self.bdf(), driver)
    }

    /// Set or clear an override and see that it is so; nothing is written when it is already. A
    /// write of nothing would do nothing: a newline clears it (docs/linux.md#binding).
    pub(super) fn set_override_of(&self, bdf: Bdf, driver: Option<&str>) -> Result<(), LeaseError> {
        let path = self.host.device(bdf).join("driver_override");
        let now = || sysfs::text(&path).filter(|text| text != "(null)" && !text.is_empty());
        if now().as_deref() == driver {
            return Ok(());
        }
        let doing = match driver {
            Some(driver) => format!("setting driver_override of {bdf} to {driver}"),
            None => format!("clearing driver_override of {bdf}"),
        };
        let value = format!("{}\n", driver.unwrap_or_default());
        self.slow_write(&path, &value, QUICK_LIMIT, &doing)?;
        let now = now();
        if now.as_deref() == driver {
            return Ok(());
        }
        let said = format!("it reads {}", now.as_deref().unwrap_or("(null)"));
        Err(self.refused(&doing, io::Error::other(said)))
    }
}

/// What a probe's errno means (vfio-pci: docs/linux.md#binding; mlx4_core: docs/linux.md#vfio-errors, docs/linux.md#failures-of-a-rebind).
fn probe_said(driver: &str, error: &io::Error) -> &'static str {
    match (driver, error.raw_os_error()) {
        (VFIO_PCI, Some(libc::EINVAL)) => " (the card has no IOMMU group)",
        (VFIO_PCI, Some(libc::EBUSY)) => " (the card has virtual functions)",
        (MLX4, Some(libc::EAGAIN)) => " (a semaphore of the card is still taken)",
        (MLX4, Some(libc::EINVAL)) => " (the card's ownership register is taken)",
        (MLX4, Some(libc::EIO)) => " (the firmware does not answer)",
        (MLX4, Some(libc::EBUSY)) => " (its IOMMU group is still in use)",
        (MLX4, Some(libc::ENODEV)) => " (the card did not come back from its reset)",
        _ => "",
    }
}

fn fresh(host: &Host, card: &PciCard) -> JournalRecord {
    let reset = sysfs::text(super::give_back::error_reset(host));
    JournalRecord {
        bdf: card.bdf,
        device_id: card.device_id,
        subsystem: card.subsystem,
        serial: card.serial,
        boot_id: boot_id(host),
        pid: std::process::id(),
        original: OriginalState::of(
            host,
            card,
            reset.filter(|_| card.driver.as_deref() == Some(MLX4)),
        ),
        step: HostStep::Begin,
        bridge: None,
        marks: Marks::default(),
    }
}

fn other_card(record: &JournalRecord, card: &PciCard) -> LeaseError {
    let said = |id: u16, subsystem: (u16, u16), serial: Option<u64>| {
        let serial = serial.map_or_else(String::new, |s| format!(", serial {s:016x}"));
        format!(
            "15b3:{id:04x}, subsystem {:04x}:{:04x}{serial}",
            subsystem.0, subsystem.1
        )
    };
    LeaseError::OtherCard {
        bdf: card.bdf,
        was: said(record.device_id, record.subsystem, record.serial),
        is: said(card.device_id, card.subsystem, card.serial),
    }
}

/// The kernel's killer of processes shall take another one: being killed resets the card
/// (docs/linux.md#signals-and-inhibitors). It ends with this process.
fn spare_from_oom(host: &Host) {
    if host.is_system()
        && let Err(error) = std::fs::write("/proc/self/oom_score_adj", "-1000\n")
    {
        tracing::debug!(%error, "not spared from the out-of-memory killer");
    }
}
