//! Giving a card back: compare what is with what was, change what differs (linux-vfio §6.3, §6.5, §9).

use super::{BIND_LIMIT, Lease, LeaseError, MLX4, Step, VFIO_PCI};
use crate::host::{Bdf, Host, sysfs};
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Network devices come back under their names within this time (linux-vfio §6.6).
const NETDEV_LIMIT: Duration = Duration::from_secs(30);
const NETDEV_STEP: Duration = Duration::from_millis(100);

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
            if self.changed_host() {
                self.put_back(&mut warnings)?;
            } else if self.rebooted {
                warnings
                    .push("the machine was started anew since: bindings are the boot's own".into());
            }
            if let Some(journal) = &mut self.journal {
                journal.remove()?;
            }
            self.done = true;
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
        let home = self.record.found.driver.clone();
        if self.record.marks.boots == Some(false) && home.as_deref() == Some(MLX4) {
            return Err(LeaseError::NotBootable { bdf });
        }
        self.step(Step::GiveBack)?;
        if !self.host.device(bdf).exists() {
            warnings.push(format!("{bdf} is not there any more"));
            return Ok(());
        }
        if self.driver_now() != home {
            match &home {
                Some(driver) => self.bind_home(driver)?,
                None => self.unbind(bdf).map_err(not_back)?,
            }
        }
        let was = self.record.found.driver_override.clone();
        let now = sysfs::text(self.host.device(bdf).join("driver_override"));
        if now.filter(|text| text != "(null)" && !text.is_empty()) != was {
            self.set_override(was.as_deref())
                .map_err(|source| self.not_back("putting driver_override back", source))?;
        }
        self.siblings_home(warnings);
        self.restore_error_reset()?;
        self.port_types(warnings);
        self.await_netdevs(warnings);
        Ok(())
    }

    /// To its own driver, by name: `drivers/NAME/bind` says what the probe said (linux-vfio §3.1).
    fn bind_home(&mut self, driver: &str) -> Result<(), LeaseError> {
        let bdf = self.bdf();
        self.need_driver(driver).map_err(not_back)?;
        self.set_override(Some(driver))
            .map_err(|source| self.not_back("setting driver_override", source))?;
        self.unbind(bdf).map_err(not_back)?;
        let guarded = driver == MLX4 && self.guard_error_reset()?;
        let bound = self.bind(bdf, driver);
        if guarded {
            self.restore_error_reset()?;
        }
        bound?;
        if self.driver_now().as_deref() != Some(driver) {
            return Err(self.not_back(
                &format!("binding to {driver}"),
                io::Error::other("the kernel took the order, and the card is not bound"),
            ));
        }
        Ok(())
    }

    pub(super) fn bind(&self, bdf: Bdf, driver: &str) -> Result<(), LeaseError> {
        let path = self.host.driver(driver).join("bind");
        let doing = format!("binding {bdf} to {driver}");
        match self.slow_write(&path, &bdf.to_string(), BIND_LIMIT, &doing) {
            Err(LeaseError::Refused { source, .. }) => {
                let doing = format!("{doing}{}", probe_said(driver, &source));
                Err(self.not_back(&doing, source))
            }
            other => other,
        }
    }

    /// mlx4_core's way out of a failing probe can take the kernel down; this parameter turns it off
    /// for as long as the probe lasts (linux-vfio §6.3). The journal knows what it was. True: turned
    /// off, so it must be put back.
    pub(super) fn guard_error_reset(&mut self) -> Result<bool, LeaseError> {
        let path = error_reset(&self.host);
        let Some(now) = sysfs::text(&path) else {
            return Ok(false);
        };
        if self.record.found.internal_err_reset.is_none() {
            self.record.found.internal_err_reset = Some(now.clone());
            self.write()?;
        }
        if now == "N" || now == "0" {
            return Ok(true);
        }
        if let Err(error) = self.actions.write(&path, "0\n") {
            // A guard that cannot be put up is no reason to keep the card.
            tracing::warn!(%error, "internal_err_reset stays on during the probe");
        }
        Ok(true)
    }

    pub(super) fn restore_error_reset(&self) -> Result<(), LeaseError> {
        let path = error_reset(&self.host);
        let (Some(was), Some(now)) = (&self.record.found.internal_err_reset, sysfs::text(&path))
        else {
            return Ok(());
        };
        if now == *was {
            return Ok(());
        }
        self.actions
            .write(&path, &format!("{was}\n"))
            .map_err(|source| self.not_back("putting internal_err_reset back", source))
    }

    fn siblings_home(&self, warnings: &mut Vec<String>) {
        for sibling in &self.record.found.siblings {
            if self.driver_of(sibling.bdf).as_deref() == Some(sibling.driver.as_str()) {
                continue;
            }
            if let Err(error) = self.bind(sibling.bdf, &sibling.driver) {
                warnings.push(format!(
                    "{} is not back on {}: {error}",
                    sibling.bdf, sibling.driver
                ));
            }
        }
    }

    /// Port types are lost with the driver unless a module option sets them (linux-vfio §6.5). The
    /// kernel compares the newline too.
    fn port_types(&self, warnings: &mut Vec<String>) {
        for (number, was) in (1..).zip(&self.record.found.port_types) {
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
            if let Err(error) = self.actions.write(&path, &format!("{}\n", asked(was))) {
                warnings.push(format!("port {number} is {now}, it was {was}: {error}"));
            }
        }
    }

    /// Wait until the network devices are there again. What was configured on them by hand nobody
    /// puts back.
    fn await_netdevs(&self, warnings: &mut Vec<String>) {
        let was = &self.record.found.netdevs;
        if was.is_empty() || self.record.found.driver.as_deref() == Some(VFIO_PCI) {
            return;
        }
        let mut waited = Duration::ZERO;
        let missing = loop {
            let now = self.host.card(self.bdf()).map(|card| card.netdevs);
            let now = now.unwrap_or_default();
            let missing: Vec<_> = was
                .iter()
                .filter(|net| !now.iter().any(|n| n.name == net.name && n.mac == net.mac))
                .collect();
            if missing.is_empty() || waited >= NETDEV_LIMIT {
                break missing
                    .into_iter()
                    .map(|net| {
                        let other = now.iter().find(|n| n.mac == net.mac);
                        match other {
                            Some(other) => format!("{} is called {} now", net.name, other.name),
                            None => format!("{} ({}) did not come back", net.name, net.mac),
                        }
                    })
                    .collect::<Vec<_>>();
            }
            self.actions.pause(NETDEV_STEP);
            waited += NETDEV_STEP;
        };
        warnings.extend(missing);
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

/// What mlx4_core's errno means (linux-vfio §6.3).
fn probe_said(driver: &str, error: &io::Error) -> &'static str {
    if driver != MLX4 {
        return "";
    }
    match error.raw_os_error() {
        Some(libc::EAGAIN) => " (a semaphore of the card is still taken: `unlock` frees it)",
        Some(libc::EINVAL) => " (the card's ownership register is taken)",
        Some(libc::EIO) => " (the firmware does not answer)",
        Some(libc::EBUSY) => " (its IOMMU group is still in use)",
        Some(libc::ENODEV) => " (the card did not come back from its reset)",
        _ => "",
    }
}
