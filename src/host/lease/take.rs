//! Taking a card from its driver.

use super::actions::{Actions, SystemActions};
use super::error::in_full;
use super::follow::moved;
use super::presence::Presence;
use super::steps::{Lease, MLX4};
use super::{LeaseError, Pending, lock};
use crate::host::journal::{
    self, HostStep, Journal, JournalError, JournalRecord, Marks, MovedSibling, OriginalFunction,
    OriginalState,
};
use crate::host::{Host, PciCard, Sibling, UseId, VFIO_PCI, card, is_root, sysfs};
use std::cell::RefCell;
use std::error::Error;
use std::io;
use std::path::Path;
use std::rc::Rc;

impl Lease {
    /// Takes a card: lock, journal, siblings, override, unbind, bind. If a dead process left the
    /// card borrowed, the original state comes from its journal. Siblings that block the group are
    /// unbound only when `allow` has [`UseId::Siblings`]. On an error the host is as it was unless
    /// [`LeaseError::host_changed`].
    pub fn take(host: &Host, card: &PciCard, allow: &[UseId]) -> Result<Self, LeaseError> {
        let siblings = allow.contains(&UseId::Siblings);
        Self::take_by(host, card, siblings, Rc::new(SystemActions::default()))
    }

    /// A lease from a journal alone, at the address that its card has now; `None` when the journal is
    /// gone.
    pub fn adopt(host: &Host, pending: &Pending) -> Result<Option<Self>, LeaseError> {
        Self::adopt_by(host, &pending.journal, Rc::new(SystemActions::default()))
    }

    pub(super) fn adopt_by(
        host: &Host,
        journal: &Journal,
        actions: Rc<dyn Actions>,
    ) -> Result<Option<Self>, LeaseError> {
        let bdf = journal.bdf();
        let lock = lock::take(host, bdf, |path, arg, mode| actions.lock(path, arg, mode))?;
        let Some(record) = journal.read_after(&|operation| actions.before_disk(operation))? else {
            return Ok(None);
        };
        if lock.is_none() && !is_root() {
            let driver = host.driver_of(bdf);
            return Err(LeaseError::NotRoot { bdf, driver });
        }
        let boot_id = host.try_boot_id().map_err(|source| LeaseError::Refused {
            bdf,
            doing: "reading the boot id".to_owned(),
            source,
        })?;
        let mut lease = Self {
            host: host.clone(),
            actions,
            lock,
            journal: Some(journal.clone()),
            rebooted: record.boot_id != boot_id,
            record,
            done: false,
            warnings: RefCell::default(),
            unended: RefCell::default(),
            complaint: None,
        };
        lease.follow()?;
        Ok(Some(lease))
    }

    pub(super) fn take_by(
        host: &Host,
        card: &PciCard,
        move_siblings: bool,
        actions: Rc<dyn Actions>,
    ) -> Result<Self, LeaseError> {
        let lock = lock::take(host, card.bdf, |path, arg, mode| actions.lock(path, arg, mode))?;
        // The last holder of the lock may have moved the card since the caller read its state.
        let card = &host.card(card.bdf)?;
        let mut lease = Self {
            host: host.clone(),
            actions,
            lock,
            journal: None,
            record: first_record(host, card).map_err(|source| LeaseError::Refused {
                bdf: card.bdf,
                doing: "reading its state".to_owned(),
                source,
            })?,
            rebooted: false,
            done: false,
            warnings: RefCell::default(),
            unended: RefCell::default(),
            complaint: None,
        };
        lease.record.original.internal_err_reset = lease.original_error_reset();
        let (pending, superseded) = lease.own_record()?;
        let new = pending.is_none();
        let found = lease.record.original.clone();
        if let Some(old) = pending {
            lease.record.marks = old.marks;
            lease.record.new_serials.clone_from(&old.new_serials);
            // A card that was left on vfio-pci and has another driver now was given it by others.
            let moved = !old.changed_host() && !found.on_vfio();
            if old.boot_id == lease.record.boot_id && !moved {
                lease.record.original = old.original;
                lease.record.reenumerated = old.reenumerated;
            } else if card.driver.is_none() && old.marks.flash_touched {
                // The machine was rebooted with what the dead process left on the flash, and
                // mlx4_core failed to bind. It is still the driver of the card.
                let original = &mut lease.record.original;
                original.driver = old.original.driver.filter(|driver| driver == MLX4);
                original.port_types = old.original.port_types;
                original.netdevs = old.original.netdevs;
            }
        }
        let on_vfio = found.on_vfio();
        match lease.step(if on_vfio { HostStep::Borrowed } else { HostStep::Begin }) {
            Ok(()) => lease.remove_all(&superseded),
            Err(LeaseError::Journal(JournalError::NotRoot { .. })) => {
                if !on_vfio {
                    return Err(LeaseError::NotRoot { bdf: card.bdf, driver: card.driver.clone() });
                }
                // The host will not be changed, so no journal is needed.
                lease.journal = None;
                lease.record.original = found;
            }
            Err(error) => {
                if new {
                    // The record may have been written, and its directory not synced.
                    lease.forget();
                }
                let warnings = lease.take_warnings();
                if warnings.is_empty() {
                    return Err(error);
                }
                return Err(LeaseError::Undone { first: in_full(&error), warnings });
            }
        }
        exempt_from_oom_killer(host);
        if on_vfio {
            return Ok(lease);
        }
        match lease.move_to_vfio(card, move_siblings) {
            Ok(()) => Ok(lease),
            Err(error @ LeaseError::Stuck { .. }) => {
                lease.leave();
                Err(error)
            }
            Err(error) => Err(lease.undo(error)),
        }
    }

    /// The record that a dead process left of this card, also at an address that the card had before, and
    /// older journals of the card. Sets the journal of this lease. A journal at this address whose card is
    /// absent is kept beside, after what is not the card's own was restored from it; one whose card may be
    /// elsewhere stays.
    fn own_record(&mut self) -> Result<(Option<JournalRecord>, Vec<Journal>), LeaseError> {
        let bdf = self.bdf();
        let mut own: Vec<(Option<Journal>, JournalRecord)> = Vec::new();
        let journals = match journal::all(&self.host) {
            // The first write decides.
            Err(JournalError::NotRoot { .. }) => Vec::new(),
            journals => journals?,
        };
        for journal in journals {
            let here = journal.bdf() == bdf;
            let Some(mut lease) = self.other(&journal)? else {
                continue;
            };
            match lease.presence() {
                Err(error) if here => return Err(error),
                Ok(Presence::Card) if here => {}
                Ok(Presence::Moved(to)) if to == bdf => {
                    let acquire = |path: &Path, arg, mode| self.actions.lock(path, arg, mode);
                    let _lock = match lock::take(&self.host, journal.bdf(), acquire) {
                        // A job with another card is no reason to wait. What the journal knows counts.
                        Err(held @ LeaseError::Held { .. }) => {
                            self.warn(format!(
                                "the journal of this card stays at its old address for now: {held}"
                            ));
                            own.push((None, moved(&self.host, &lease.record, to, lease.rebooted)));
                            continue;
                        }
                        lock => lock?,
                    };
                    // What is read under the lock counts.
                    match self.other(&journal)? {
                        Some(unchanged) if unchanged.record == lease.record => {}
                        _ => continue,
                    }
                    lease.relocate(to)?;
                }
                Ok(Presence::Unclear(cards)) if !here && !cards.contains(&bdf) => continue,
                Ok(unclear @ Presence::Unclear(_)) => {
                    let was = journal.bdf();
                    self.warn(format!(
                        "the journal of {was} is applied to no card: {unclear} (to drop it: cx3flash host forget {was})"
                    ));
                    continue;
                }
                Ok(absent @ (Presence::Gone | Presence::Other { .. })) if here => {
                    let mut failures = Vec::new();
                    lease.restore_rest(&mut failures);
                    // Its journal is the only record of what is still owed.
                    if let Some(failure) = failures.pop() {
                        return Err(failure.not_back(bdf));
                    }
                    let kept = lease.set_aside(&absent)?;
                    lease.warn(kept);
                    self.warnings.get_mut().append(&mut lease.take_warnings());
                    continue;
                }
                _ => continue,
            }
            self.warnings.get_mut().append(&mut lease.take_warnings());
            own.push((lease.journal, lease.record));
        }
        // A process that was killed while a journal was relocated left two.
        own.sort_by_key(|(_, record)| record.boot_id == self.record.boot_id);
        let (journal, record) = own.pop().unzip();
        self.journal = Some(journal.flatten().unwrap_or_else(|| Journal::unused(&self.host, bdf)));
        Ok((record, own.into_iter().filter_map(|(journal, _)| journal).collect()))
    }

    fn remove_all(&self, journals: &[Journal]) {
        for journal in journals {
            if let Err(error) = journal.remove(&|operation| self.actions.before_disk(operation)) {
                tracing::warn!(%error, "an older journal of the card stays");
            }
        }
    }

    /// The lease of a journal, without a lock. One that cannot be read blocks the card at its address
    /// only.
    fn other(&self, journal: &Journal) -> Result<Option<Self>, LeaseError> {
        let record = match journal.read_after(&|operation| self.actions.before_disk(operation)) {
            Ok(Some(record)) => record,
            Err(error)
                if journal.bdf() == self.bdf()
                    && !matches!(error, JournalError::NotRoot { .. }) =>
            {
                return Err(error.into());
            }
            _ => return Ok(None),
        };
        Ok(Some(Self {
            host: self.host.clone(),
            actions: Rc::clone(&self.actions),
            lock: None,
            journal: Some(journal.clone()),
            rebooted: record.boot_id != self.record.boot_id,
            record,
            done: false,
            warnings: RefCell::default(),
            unended: RefCell::default(),
            complaint: None,
        }))
    }

    /// Restores the host after `error`, and returns the error to report.
    pub(in crate::host) fn undo<E>(&mut self, error: E) -> E
    where
        E: Error + From<LeaseError> + 'static,
    {
        tracing::warn!(%error, "the card cannot be used: restoring the host");
        match self.give_back() {
            Ok(warnings) if warnings.is_empty() => error,
            Ok(warnings) => LeaseError::Undone { first: in_full(&error), warnings }.into(),
            Err(back) => {
                LeaseError::NotUndone { first: in_full(&error), back: Box::new(back) }.into()
            }
        }
    }

    /// Moves the card from its driver to vfio-pci.
    fn move_to_vfio(&mut self, card: &PciCard, move_siblings: bool) -> Result<(), LeaseError> {
        let bdf = self.bdf();
        if card.iommu_group.is_none() {
            // The probe of vfio-pci would fail with EINVAL (docs/linux.md#binding) after the
            // unbind.
            let none = io::Error::from_raw_os_error(nix::libc::EINVAL);
            return Err(self.refused("binding to vfio-pci (the card has no IOMMU group)", none));
        }
        let blocking: Vec<&Sibling> = card.siblings.iter().filter(|s| s.blocks).collect();
        if !blocking.is_empty() && !move_siblings {
            let list: Vec<String> = blocking.iter().map(ToString::to_string).collect();
            return Err(LeaseError::Siblings(list.join(", ")));
        }
        // Loaded before anything is unbound: a host without the driver must not lose its network.
        self.need_driver(VFIO_PCI)?;
        self.need_container()?;
        for sibling in blocking {
            let Some(driver) = sibling.driver.clone() else {
                continue;
            };
            let moved = MovedSibling { bdf: sibling.bdf, ids: self.host.ids(sibling.bdf), driver };
            if !self.record.original.siblings.contains(&moved) {
                self.record.original.siblings.push(moved);
            }
            self.step(HostStep::Siblings)?;
            self.unbind(sibling.bdf)?;
        }
        self.step(HostStep::Override)?;
        self.set_override(bdf, Some(VFIO_PCI))?;
        if self.driver_at(bdf)?.is_some() {
            self.step(HostStep::Unbind)?;
            self.unbind(bdf)?;
        }
        self.step(HostStep::Bind)?;
        self.bind(bdf, VFIO_PCI)?;
        self.step(HostStep::Borrowed)
    }

    /// Loads the IOMMU backend of VFIO. vfio-pci requests it by a soft dependency only, which not
    /// every modprobe follows (seen with busybox). A kernel with iommufd needs no container; where
    /// the backend is built in, modprobe succeeds.
    fn need_container(&self) -> Result<(), LeaseError> {
        const TYPE1: &str = "vfio_iommu_type1";
        let present = self.host.path("sys/module").join(TYPE1).is_dir()
            || self.host.path("dev/iommu").exists();
        if present { Ok(()) } else { self.load(TYPE1) }
    }
}

/// The state before the first change. What is restored from it is read here: a reading that fails
/// must not pass for a driver, an override or a function that is not there.
fn first_record(host: &Host, card: &PciCard) -> io::Result<JournalRecord> {
    let dir = host.device(card.bdf);
    let mut vfs = Vec::new();
    for bdf in card::vfs(&dir)? {
        vfs.push(OriginalFunction {
            bdf,
            ids: host.try_ids(bdf)?,
            driver: host.try_driver_of(bdf)?,
            driver_override: sysfs::try_driver_override(host.device(bdf))?,
        });
    }
    let mut port_types = Vec::new();
    for port in 1..=2 {
        // What is read of the second port alone must not pass for the first one's.
        let Some(text) = sysfs::try_text(dir.join(format!("mlx4_port{port}")))? else {
            break;
        };
        port_types.push(text);
    }
    // Not from `card`, in which an id that could not be read is 0.
    let ids = host.try_ids(card.bdf)?;
    // A serial number that another card shows too identifies neither.
    let cards = host.cards().map_err(io::Error::other)?;
    Ok(JournalRecord {
        bdf: card.bdf,
        device_id: card.device_id,
        subsystem: ids.map_or(card.subsystem, |ids| (ids.subsystem_vendor, ids.subsystem_device)),
        serial: card.serial.filter(|serial| !card::is_shared(&cards, card.bdf, *serial)),
        new_serials: Vec::new(),
        slot: host.slot(card.bdf),
        boot_id: host.try_boot_id()?,
        pid: std::process::id(),
        original: OriginalState {
            driver: host.try_driver_of(card.bdf)?,
            driver_override: sysfs::try_driver_override(&dir)?,
            netdevs: card.netdevs.clone(),
            port_types,
            vfs,
            siblings: Vec::new(),
            internal_err_reset: None,
        },
        step: HostStep::Begin,
        reenumerated: false,
        bridge: None,
        marks: Marks::default(),
    })
}

/// Exempts this process from the OOM killer: being killed resets the card
/// (docs/linux.md#signals-and-inhibitors).
fn exempt_from_oom_killer(host: &Host) {
    if host.is_system()
        && let Err(error) = std::fs::write("/proc/self/oom_score_adj", "-1000\n")
    {
        tracing::debug!(%error, "not exempt from the OOM killer");
    }
}
