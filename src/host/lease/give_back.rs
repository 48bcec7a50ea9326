//! Giving a card back: compares the host with its original state and changes what differs
//! (docs/linux.md#failures-of-a-rebind, docs/linux.md#state-to-keep,
//! docs/linux.md#journal-and-restore).

use super::LeaseError;
use super::actions::UNBIND_LIMIT;
use super::follow::NO_BOOT;
use super::presence::Presence;
use super::steps::{Lease, MLX4};
use crate::card::{Patience, wait_until};
use crate::escape;
use crate::host::journal::{HostStep, OriginalFunction};
use crate::host::{Bdf, NetDev, PciIds, VFIO_PCI, sysfs};
use nix::libc;
use std::time::Duration;

/// udev renames network devices after the driver has made them.
const NETDEVS: Patience = Patience::every(Duration::from_secs(60), Duration::from_millis(100));

impl Lease {
    /// Gives back a card that is closed. The second time does nothing. Every step is tried, also
    /// after one that failed; on an error the journal is kept. Returns what differs from the
    /// original state and cannot be restored here, and what is wrong with the journal.
    pub fn give_back(&mut self) -> Result<Vec<String>, LeaseError> {
        let mut warnings = Vec::new();
        if self.done {
            return Ok(warnings);
        }
        let mut failures = Vec::new();
        if !self.rebooted && self.is_removed() {
            failures.extend(self.rescan().err());
        }
        let bdf = self.bdf();
        match self.presence().map_err(|error| error.not_back(bdf))? {
            Presence::Card => {}
            Presence::Moved(_) => self.follow().map_err(|error| error.not_back(bdf))?,
            Presence::Unclear(cards) => {
                self.restore_rest(&mut failures);
                self.all_done(failures)?;
                return Err(LeaseError::Unclear { bdf, cards });
            }
            absent => return self.give_back_rest(&absent, failures),
        }
        if self.must_stay() {
            let bdf = self.bdf();
            return Err(match self.record.marks.no_firmware {
                true => LeaseError::NoFirmware { bdf },
                false => LeaseError::NotBootable { bdf },
            });
        }
        if self.changed_host() {
            if let Err(error) = self.restore(&mut warnings) {
                // A card that was pulled refuses every step.
                return match self.presence() {
                    Ok(gone) if gone == Presence::Gone => self.give_back_rest(&gone, Vec::new()),
                    _ => Err(error),
                };
            }
        } else if self.rebooted && self.record.boot_id != NO_BOOT {
            warnings.push("the machine was rebooted since: bindings are the boot's own".into());
        }
        self.forget();
        warnings.append(&mut self.take_warnings());
        Ok(warnings)
    }

    /// Whether its driver must not get the card: nothing on its flash boots, or no firmware runs. The journal's
    /// knowledge of the flash is still valid after a reboot, that of the firmware is not; a driver that has bound
    /// the card shows more.
    pub fn must_stay(&self) -> bool {
        let marks = self.record.marks;
        (marks.boots == Some(false) || marks.no_firmware && !self.rebooted)
            && self.record.original.driver.as_deref() == Some(MLX4)
            && !self.driver_at(self.bdf()).is_ok_and(|now| now.as_deref() == Some(MLX4))
    }

    /// Whether the machine was rebooted in a change of the flash, and the driver did not bind the
    /// card since: only the flash shows whether it boots.
    pub fn is_unknown_since_reboot(&self) -> bool {
        let marks = self.record.marks;
        self.rebooted
            && marks.flash_touched
            && marks.boots.is_none()
            && self.record.original.driver.as_deref() == Some(MLX4)
            && self.card_is_here()
            && self.driver_at(self.bdf()).is_ok_and(|now| now.is_none())
    }

    /// Whether we made the kernel forget the card, and were killed before the rescan.
    fn is_removed(&self) -> bool {
        self.record.step == HostStep::Reenumerate && !self.host.device(self.bdf()).exists()
    }

    /// Gives back what is not the card's own, and keeps the journal beside: nothing else can be
    /// restored from it.
    fn give_back_rest(
        &mut self,
        presence: &Presence,
        mut failures: Vec<LeaseError>,
    ) -> Result<Vec<String>, LeaseError> {
        self.restore_rest(&mut failures);
        self.all_done(failures)?;
        self.done = true;
        match self.set_aside(presence) {
            Ok(kept) => self.warn(kept),
            Err(error) => self.complain("kept aside", &error),
        }
        Ok(self.take_warnings())
    }

    /// Siblings and the parameter of the driver.
    pub(super) fn restore_rest(&self, failures: &mut Vec<LeaseError>) {
        if self.changed_host() {
            self.restore_siblings(failures);
            failures.extend(self.restore_error_reset().err());
        }
    }

    /// Keeps the journal of a card that is not there beside; returns a message for the user.
    pub(super) fn set_aside(&self, presence: &Presence) -> Result<String, LeaseError> {
        let bdf = self.bdf();
        let Some(journal) = &self.journal else {
            return Ok(format!("{bdf}: {presence}"));
        };
        let kept =
            journal.set_aside(&self.host, &|operation| self.actions.before_disk(operation))?;
        Ok(format!(
            "{bdf}: {presence}; the journal is kept in {} (to drop it: cx3flash host forget {bdf})",
            escape::path(&kept)
        ))
    }

    pub(super) fn restore(&mut self, warnings: &mut Vec<String>) -> Result<(), LeaseError> {
        let mut failures = Vec::new();
        let bdf = self.bdf();
        if self.is_removed() {
            failures.extend(self.rescan().err());
        }
        if self.host.device(bdf).exists() {
            self.step_back(HostStep::GiveBack);
            self.restore_driver(&mut failures);
        } else {
            warnings.push(format!("{bdf} is gone"));
        }
        self.restore_siblings(&mut failures);
        failures.extend(self.restore_error_reset().err());
        // A write to the card waits behind the one that has not returned.
        if !failures.iter().any(|failure| matches!(failure, LeaseError::Stuck { .. })) {
            failures.extend(self.restore_port_types(warnings).err());
            self.restore_virtual_functions(warnings, &mut failures);
        }
        if failures.is_empty() {
            self.await_netdevs(warnings);
        }
        self.all_done(failures)
    }

    /// The error of these failures, if there are any.
    pub(super) fn all_done(&self, failures: Vec<LeaseError>) -> Result<(), LeaseError> {
        let not_back = |failure: LeaseError| failure.not_back(self.bdf());
        let mut failures: Vec<LeaseError> = failures.into_iter().map(not_back).collect();
        match failures.len() {
            0 => Ok(()),
            1 => Err(failures.swap_remove(0)),
            _ => Err(LeaseError::Several { failures }),
        }
    }

    /// Driver and override.
    fn restore_driver(&mut self, failures: &mut Vec<LeaseError>) {
        let bdf = self.bdf();
        match self.rebind() {
            Err(stuck @ LeaseError::Stuck { .. }) => {
                failures.push(stuck);
                return;
            }
            bound => failures.extend(bound.err()),
        }
        let original = self.record.original.driver_override.clone();
        failures.extend(self.set_override(bdf, original.as_deref()).err());
    }

    fn rebind(&mut self) -> Result<(), LeaseError> {
        let bdf = self.bdf();
        let now = self.driver_at(bdf)?;
        match self.record.original.driver.clone() {
            Some(driver) if now.as_ref() != Some(&driver) => {
                // Loaded while the override still names vfio-pci: a module probes every device it
                // matches when it is loaded, and this probe must be guarded.
                self.need_driver(&driver)?;
                // Keeps other drivers away until this one is bound.
                self.set_override(bdf, Some(&driver))?;
                self.unbind(bdf)?;
                self.bind(bdf, &driver)
            }
            // A driver that was bound by others since stays.
            None if now.as_deref() == Some(VFIO_PCI) => self.unbind(bdf),
            _ => Ok(()),
        }
    }

    pub(super) fn restore_siblings(&self, failures: &mut Vec<LeaseError>) {
        for sibling in &self.record.original.siblings {
            let back = self.driver_at(sibling.bdf).and_then(|now| {
                // One that has a driver again, even another one, stays there.
                if now.is_some() || !self.is_still(sibling.bdf, sibling.ids)? {
                    return Ok(());
                }
                self.need_driver(&sibling.driver)?;
                self.bind(sibling.bdf, &sibling.driver)
            });
            failures.extend(back.err());
        }
    }

    /// Whether the function at this address is the one that was there; a warning when it is not.
    fn is_still(&self, bdf: Bdf, was: Option<PciIds>) -> Result<bool, LeaseError> {
        let read = self.host.try_ids(bdf);
        let is =
            read.map_err(|source| self.refused(&format!("reading the ids of {bdf}"), source))?;
        match (was, is) {
            (_, None) => self.warn(format!("{bdf} is gone")),
            (Some(was), Some(is)) if was != is => {
                self.warn(format!(
                    "{bdf} is another device now ({is}; it was {was}): it stays as it is"
                ));
            }
            _ => return Ok(true),
        }
        Ok(false)
    }

    /// Virtual functions come with the driver, by its module option. Binds each to its original
    /// driver.
    fn restore_virtual_functions(
        &self,
        warnings: &mut Vec<String>,
        failures: &mut Vec<LeaseError>,
    ) {
        for vf in &self.record.original.vfs {
            if !self.host.device(vf.bdf).exists() {
                warnings.push(format!("virtual function {} did not come back", vf.bdf));
                continue;
            }
            match self.is_still(vf.bdf, vf.ids) {
                Ok(true) => {
                    failures.extend(self.rebind_function(vf).err());
                    failures.extend(self.set_override(vf.bdf, vf.driver_override.as_deref()).err());
                }
                Ok(false) => {}
                Err(error) => failures.push(error),
            }
        }
    }

    fn rebind_function(&self, vf: &OriginalFunction) -> Result<(), LeaseError> {
        if self.driver_at(vf.bdf)? == vf.driver {
            return Ok(());
        }
        if let Some(driver) = &vf.driver {
            self.need_driver(driver)?;
            self.set_override(vf.bdf, Some(driver))?;
        }
        self.unbind(vf.bdf)?;
        vf.driver.as_ref().map_or(Ok(()), |driver| self.bind(vf.bdf, driver))
    }

    /// Port types are lost with the driver unless a module option sets them
    /// (docs/linux.md#state-to-keep). The kernel compares the newline too.
    fn restore_port_types(&self, warnings: &mut Vec<String>) -> Result<(), LeaseError> {
        for (number, was) in (1..).zip(&self.record.original.port_types) {
            let path = self.host.device(self.bdf()).join(format!("mlx4_port{number}"));
            let read = sysfs::try_text(&path);
            let read = read.map_err(|source| self.refused("reading a port type", source))?;
            let Some(now) = read else {
                continue;
            };
            // `auto (eth)`: the setting, and the type it resulted in.
            let setting = |text: &str| text.split_whitespace().next().unwrap_or("").to_owned();
            if setting(&now) == setting(was) {
                continue;
            }
            let value = format!("{}\n", setting(was));
            // It removes the network devices and makes new ones.
            match self.slow_write(&path, &value, UNBIND_LIMIT, "setting a port type") {
                // The driver does not take this type, now or later.
                Err(LeaseError::Refused { source, .. })
                    if matches!(source.raw_os_error(), Some(libc::EINVAL | libc::EOPNOTSUPP)) =>
                {
                    warnings.push(format!("port {number} is {now}, it was {was}: {source}"));
                }
                other => other?,
            }
        }
        Ok(())
    }

    /// Waits until the network devices are back. Their configuration is not restored.
    fn await_netdevs(&self, warnings: &mut Vec<String>) {
        let was = &self.record.original.netdevs;
        if was.is_empty() || self.record.original.on_vfio() {
            return;
        }
        let netdevs = || {
            let card = self.host.card(self.bdf());
            card.map(|card| card.netdevs).unwrap_or_default()
        };
        let is_back = |net: &NetDev, now: &[NetDev]| {
            now.iter().any(|n| n.name == net.name && n.mac == net.mac)
        };
        let all = wait_until(self.actions.clock(), NETDEVS, || {
            let now = netdevs();
            let all = was.iter().all(|net| is_back(net, &now));
            all.then_some(())
        });
        if all.is_some() {
            return;
        }
        let now = netdevs();
        let missing = was.iter().filter(|net| !is_back(net, &now));
        warnings.extend(missing.map(|net| match now.iter().find(|n| n.mac == net.mac) {
            Some(other) => format!("{} is called {} now", net.name, other.name),
            None => format!("{} ({}) did not come back", net.name, net.mac),
        }));
    }

    /// Rescans the bus below the bridge the card was on, or all buses. The kernel binds what it finds.
    pub(super) fn rescan(&self) -> Result<(), LeaseError> {
        let bridge = self.record.bridge;
        let path = bridge
            .map(|bdf| self.host.device(bdf).join("rescan"))
            .filter(|path| path.exists())
            .unwrap_or_else(|| self.host.path("sys/bus/pci/rescan"));
        self.guarded(|held| {
            self.slow_write_holding(&path, "1", UNBIND_LIMIT, "rescanning the bus", held)
        })
    }
}
