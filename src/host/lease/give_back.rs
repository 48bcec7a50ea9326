//! Giving a card back: compare what is with what was, change what differs (docs/linux.md#failures-of-a-rebind, docs/linux.md#state-to-keep, docs/linux.md#journal-and-restore).

use super::lock::{self, Lock};
use super::{HostStep, Lease, LeaseError, MLX4, QUICK_LIMIT, UNBIND_LIMIT, VFIO_PCI};
use crate::card::{Patience, wait_for};
use crate::host::{Host, NetDev, sysfs};
use std::convert::Infallible;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// udev renames network devices after the driver has made them.
const NETDEVS: Patience = Patience::every(Duration::from_secs(60), Duration::from_millis(100));

/// Longer than another process's probe may take ([`super::BIND_LIMIT`]).
const ALONE: Patience = Patience::every(Duration::from_secs(300), Duration::from_millis(100));

/// What came of giving back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GivenBack {
    /// Driver of the card now.
    pub driver: Option<String>,
    /// Its network devices now.
    pub netdevs: Vec<String>,
    /// What is not as it was, and that nobody here can put back.
    pub warnings: Vec<String>,
}

/// Switch of mlx4_core's recovery of cards whose firmware died.
pub(super) fn error_reset(host: &Host) -> PathBuf {
    host.path("sys/module/mlx4_core/parameters/internal_err_reset")
}

impl Lease {
    /// Give the card back; it is closed already. Done twice, the second time does nothing.
    ///
    /// # Errors
    /// [`LeaseError::NotBootable`], [`LeaseError::Stuck`], [`LeaseError::NotBack`]; the journal is
    /// kept.
    pub fn give_back(&mut self) -> Result<GivenBack, LeaseError> {
        let mut warnings = Vec::new();
        if !self.done {
            let home = self.record.original.driver.as_deref();
            if self.record.marks.boots == Some(false) && home == Some(MLX4) {
                // Also after a reboot: what the journal knows of the flash outlives it.
                return Err(LeaseError::NotBootable { bdf: self.bdf() });
            }
            if self.changed_host() {
                self.put_back(&mut warnings).map_err(not_back)?;
            } else if self.rebooted {
                warnings
                    .push("the machine was started anew since: bindings are the boot's own".into());
            }
            self.forget()?;
        }
        let now = self.host.card(self.bdf()).ok();
        Ok(GivenBack {
            driver: now.as_ref().and_then(|card| card.driver.clone()),
            netdevs: now
                .map(|card| card.netdevs.into_iter().map(|net| net.name).collect())
                .unwrap_or_default(),
            warnings,
        })
    }

    fn put_back(&mut self, warnings: &mut Vec<String>) -> Result<(), LeaseError> {
        let bdf = self.bdf();
        let home = self.record.original.driver.clone();
        if !self.host.device(bdf).exists() && self.record.step == HostStep::Reenumerate {
            // Told to forget it, and killed before it was told to look again.
            self.rescan()?;
        }
        self.step(HostStep::GiveBack)?;
        if self.host.device(bdf).exists() {
            match &home {
                Some(driver) if self.driver_now().as_ref() != Some(driver) => {
                    self.bind_home(driver)?;
                }
                // What somebody else has bound it to since is not ours to undo.
                None if self.driver_now().as_deref() == Some(VFIO_PCI) => self.unbind(bdf)?,
                _ => {}
            }
            let was = self.record.original.driver_override.clone();
            self.set_override(was.as_deref())?;
        } else {
            warnings.push(format!("{bdf} is not there any more"));
        }
        self.siblings_home()?;
        self.restore_error_reset()?;
        self.port_types(warnings)?;
        self.virtual_functions(warnings)?;
        self.await_netdevs(warnings);
        Ok(())
    }

    /// To its own driver. The override keeps others from it until it is there.
    fn bind_home(&mut self, driver: &str) -> Result<(), LeaseError> {
        let bdf = self.bdf();
        // Loaded while the override still says vfio-pci: a module that loads probes what it may
        // have, and this probe has to be guarded.
        self.need_driver(driver)?;
        self.set_override(Some(driver))?;
        self.unbind(bdf)?;
        self.bind_guarded(driver)
    }

    /// Bind; mlx4_core with its parameter off as long as the probe lasts. The parameter is one for all
    /// cards: of two processes that give back, the second would take the first one's guard for the
    /// value to put back. So one waits for the other.
    pub(super) fn bind_guarded(&mut self, driver: &str) -> Result<(), LeaseError> {
        let bdf = self.bdf();
        if driver != MLX4 {
            return self.bind(bdf, driver);
        }
        let _alone = self.alone_with_the_parameter();
        let guarded = self.guard_error_reset()?;
        let bound = self.bind(bdf, driver);
        if guarded {
            self.restore_error_reset()?;
        }
        bound
    }

    /// Wait until no other process is between guarding and putting back. One that hangs in its probe
    /// must not keep this card from going home for good.
    fn alone_with_the_parameter(&self) -> Option<Lock> {
        let alone = wait_for(self.actions.clock(), ALONE, || {
            let (done, lock) = lock::try_shared(&self.host, "internal_err_reset");
            Ok::<_, Infallible>(done.then_some(lock))
        });
        let Ok(alone) = alone;
        alone.unwrap_or_else(|| {
            tracing::warn!("another process holds internal_err_reset for long; going on");
            None
        })
    }

    /// mlx4_core's way out of a failing probe can take the kernel down; this parameter turns it off
    /// for as long as the probe lasts (docs/linux.md#failures-of-a-rebind). The journal knows what it was. True: turned
    /// off, so it must be put back.
    pub(super) fn guard_error_reset(&mut self) -> Result<bool, LeaseError> {
        let path = error_reset(&self.host);
        let Some(now) = sysfs::text(&path) else {
            return Ok(false);
        };
        if self.record.original.internal_err_reset.is_none() {
            self.record.original.internal_err_reset = Some(now.clone());
            self.write()?;
        }
        if now == "N" || now == "0" {
            return Ok(true);
        }
        let doing = "switching internal_err_reset off";
        match self.slow_write(&path, "0\n", QUICK_LIMIT, doing) {
            // A guard that cannot be put up is no reason to keep the card.
            Err(LeaseError::Refused { source, .. }) => {
                tracing::warn!(error = %source, "internal_err_reset stays on during the probe");
            }
            other => other?,
        }
        Ok(true)
    }

    pub(super) fn restore_error_reset(&self) -> Result<(), LeaseError> {
        let path = error_reset(&self.host);
        let (Some(was), Some(now)) = (&self.record.original.internal_err_reset, sysfs::text(&path))
        else {
            return Ok(());
        };
        if now == *was {
            return Ok(());
        }
        let doing = "putting internal_err_reset back";
        self.slow_write(&path, &format!("{was}\n"), QUICK_LIMIT, doing)
            .map_err(not_back)
    }

    /// Every sibling is tried; the first that does not go back is the error.
    fn siblings_home(&self) -> Result<(), LeaseError> {
        let mut first = Ok(());
        for sibling in &self.record.original.siblings {
            // One that has a driver again, be it another one, is in nobody's way.
            if self.driver_of(sibling.bdf).is_some() {
                continue;
            }
            let back = self
                .need_driver(&sibling.driver)
                .and_then(|()| self.bind(sibling.bdf, &sibling.driver));
            first = first.and(back);
        }
        first
    }

    /// Virtual functions come with the driver, by its module option, and are bound to what takes them;
    /// put them where they were.
    fn virtual_functions(&self, warnings: &mut Vec<String>) -> Result<(), LeaseError> {
        for vf in &self.record.original.vfs {
            if !self.host.device(vf.bdf).exists() {
                warnings.push(format!("virtual function {} did not come back", vf.bdf));
                continue;
            }
            let now = self.driver_of(vf.bdf);
            if now != vf.driver {
                if let Some(driver) = &vf.driver {
                    self.need_driver(driver)?;
                    self.set_override_of(vf.bdf, Some(driver))?;
                }
                self.unbind(vf.bdf)?;
                if let Some(driver) = &vf.driver {
                    self.bind(vf.bdf, driver)?;
                }
            }
            self.set_override_of(vf.bdf, vf.driver_override.as_deref())?;
        }
        Ok(())
    }

    /// Port types are lost with the driver unless a module option sets them (docs/linux.md#state-to-keep). The
    /// kernel compares the newline too.
    fn port_types(&self, warnings: &mut Vec<String>) -> Result<(), LeaseError> {
        for (number, was) in (1..).zip(&self.record.original.port_types) {
            let path = self
                .host
                .device(self.bdf())
                .join(format!("mlx4_port{number}"));
            let Some(now) = sysfs::text(&path) else {
                continue;
            };
            // `auto (eth)`: what was asked for, and what came of it.
            let asked = |text: &str| text.split_whitespace().next().unwrap_or("").to_owned();
            if asked(&now) == asked(was) {
                continue;
            }
            let value = format!("{}\n", asked(was));
            // It takes the network devices down and makes new ones.
            let written = self.slow_write(&path, &value, UNBIND_LIMIT, "setting a port type");
            match written {
                Err(LeaseError::Refused { source, .. }) => {
                    warnings.push(format!("port {number} is {now}, it was {was}: {source}"));
                }
                other => other?,
            }
        }
        Ok(())
    }

    /// Wait until the network devices are there again. What was configured on them by hand nobody
    /// puts back.
    fn await_netdevs(&self, warnings: &mut Vec<String>) {
        let was = &self.record.original.netdevs;
        if was.is_empty() || self.record.original.driver.as_deref() == Some(VFIO_PCI) {
            return;
        }
        let netdevs = || {
            let card = self.host.card(self.bdf());
            card.map(|card| card.netdevs).unwrap_or_default()
        };
        let back = |net: &NetDev, now: &[NetDev]| {
            now.iter().any(|n| n.name == net.name && n.mac == net.mac)
        };
        let all = wait_for(self.actions.clock(), NETDEVS, || {
            let now = netdevs();
            let all = was.iter().all(|net| back(net, &now));
            Ok::<_, Infallible>(all.then_some(()))
        });
        let Ok(all) = all;
        if all.is_some() {
            return;
        }
        let now = netdevs();
        let missing = was.iter().filter(|net| !back(net, &now));
        warnings.extend(
            missing.map(|net| match now.iter().find(|n| n.mac == net.mac) {
                Some(other) => format!("{} is called {} now", net.name, other.name),
                None => format!("{} ({}) did not come back", net.name, net.mac),
            }),
        );
    }

    pub(super) fn not_back(&self, doing: &str, source: io::Error) -> LeaseError {
        LeaseError::NotBack {
            bdf: self.bdf(),
            doing: doing.to_owned(),
            source,
        }
    }
}

/// A refused step on the way back is a host that is not as it was.
pub(super) fn not_back(error: LeaseError) -> LeaseError {
    match error {
        LeaseError::Refused { bdf, doing, source } => LeaseError::NotBack { bdf, doing, source },
        other => other,
    }
}
