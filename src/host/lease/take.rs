//! Taking a card from its driver.

use super::actions::{Actions, Machine};
use super::{
    AsFound, BIND_LIMIT, Journal, Lease, LeaseError, MLX4, Marks, Record, Step, UNBIND_LIMIT,
    VFIO_PCI, boot_id, lock, same_card,
};
use crate::host::journal::{JournalError, SiblingFound};
use crate::host::{Bdf, Host, PciCard, Sibling, UseId, sysfs};
use std::io;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

impl Lease {
    /// Take a card: lock, journal, siblings, override, unbind, bind (linux-vfio §1). A card that a
    /// dead process left borrowed is adopted: what its journal says of the host is what counts.
    /// Siblings that spoil the group are moved only when `allow` has [`UseId::Siblings`].
    ///
    /// # Errors
    /// [`LeaseError`]; the host is as it was unless [`LeaseError::host_changed`].
    pub fn take(host: &Host, card: &PciCard, allow: &[UseId]) -> Result<Self, LeaseError> {
        let siblings = allow.contains(&UseId::Siblings);
        Self::take_by(host, card, siblings, Rc::new(Machine))
    }

    /// A card from its journal alone; `None` when it has none.
    ///
    /// # Errors
    /// [`LeaseError::Held`], [`LeaseError::Journal`], [`LeaseError::OtherCard`].
    pub fn adopt(host: &Host, bdf: Bdf) -> Result<Option<Self>, LeaseError> {
        Self::adopt_by(host, bdf, Rc::new(Machine))
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
        if let Ok(card) = host.card(bdf)
            && !same_card(&record, &card)
        {
            return Err(other_card(&record, &card));
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
                lease.record.found = old.found;
            }
        }
        let on_vfio = card.driver.as_deref() == Some(VFIO_PCI);
        match lease.step(Step::Begin) {
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
                lease.record.found = AsFound::of(card, None);
            }
            Err(error) => return Err(error),
        }
        spare_from_oom(host);
        if on_vfio {
            lease.step(Step::Borrowed)?;
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
                    Err(back) => {
                        tracing::error!(%error, "and this was what failed first");
                        Err(back)
                    }
                }
            }
        }
    }

    /// From the card's driver to vfio-pci.
    fn bring(&mut self, card: &PciCard, move_siblings: bool) -> Result<(), LeaseError> {
        let bdf = self.bdf();
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
            let moved = SiblingFound {
                bdf: sibling.bdf,
                driver,
            };
            if !self.record.found.siblings.contains(&moved) {
                self.record.found.siblings.push(moved);
            }
            self.step(Step::Siblings)?;
            self.unbind(sibling.bdf)?;
        }
        self.step(Step::Override)?;
        self.set_override(Some(VFIO_PCI))
            .map_err(|source| self.refused("setting driver_override", source))?;
        if self.driver_now().is_some() {
            self.step(Step::Unbind)?;
            self.unbind(bdf)?;
        }
        self.step(Step::Bind)?;
        let path = self.host.driver(VFIO_PCI).join("bind");
        let doing = format!("binding to {VFIO_PCI}");
        self.slow_write(&path, &bdf.to_string(), BIND_LIMIT, &doing)?;
        match self.driver_now() {
            Some(driver) if driver == VFIO_PCI => self.step(Step::Borrowed),
            other => Err(self.refused(
                &doing,
                io::Error::other(format!(
                    "the card is on {} afterwards",
                    other.as_deref().unwrap_or("no driver")
                )),
            )),
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

    /// Set or clear the override and see that it is set. A write of nothing would do nothing: a
    /// newline clears it (linux-vfio §3.1).
    pub(super) fn set_override(&self, driver: Option<&str>) -> io::Result<()> {
        let path = self.host.device(self.bdf()).join("driver_override");
        self.actions
            .write(&path, &format!("{}\n", driver.unwrap_or_default()))?;
        let now = sysfs::text(&path).filter(|text| text != "(null)" && !text.is_empty());
        if now.as_deref() == driver {
            return Ok(());
        }
        Err(io::Error::other(format!(
            "driver_override reads {}",
            now.as_deref().unwrap_or("(null)")
        )))
    }
}

fn fresh(host: &Host, card: &PciCard) -> Record {
    let reset = sysfs::text(super::give_back::error_reset(host));
    Record {
        bdf: card.bdf,
        device_id: card.device_id,
        subsystem: card.subsystem,
        serial: card.serial,
        boot_id: boot_id(host),
        pid: std::process::id(),
        found: AsFound::of(card, reset.filter(|_| card.driver.as_deref() == Some(MLX4))),
        step: Step::Begin,
        marks: Marks::default(),
    }
}

fn other_card(record: &Record, card: &PciCard) -> LeaseError {
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
/// (linux-vfio §8). It ends with this process.
fn spare_from_oom(host: &Host) {
    if host.is_system()
        && let Err(error) = std::fs::write("/proc/self/oom_score_adj", "-1000\n")
    {
        tracing::debug!(%error, "not spared from the out-of-memory killer");
    }
}
