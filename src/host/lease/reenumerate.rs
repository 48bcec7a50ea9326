//! A card that left recovery mode has other PCI ids: the kernel must remove it and enumerate it
//! again (docs/linux.md#configuration-space).

use super::LeaseError;
use super::actions::UNBIND_LIMIT;
use super::steps::{Lease, MLX4};
use crate::card::{Patience, wait_until};
use crate::host::journal::HostStep;
use crate::host::{Function, PciCard};
use std::io;
use std::time::Duration;

/// A rescan enumerates before it returns; the wait is for drivers that probe late.
const APPEARS: Patience = Patience::every(Duration::from_secs(60), Duration::from_millis(100));

impl Lease {
    /// Removes the function, rescans the bus above it, and binds a driver: the original one, also vfio-pci,
    /// or mlx4_core for a card that had none in recovery mode. Then gives back the rest. On an error
    /// the journal is kept. Returns warnings as [`Lease::give_back`] does.
    pub fn reenumerate(&mut self) -> Result<Vec<String>, LeaseError> {
        let mut warnings = Vec::new();
        let mut failures = Vec::new();
        match self.remove_and_rescan() {
            Ok(()) => {
                self.restore_siblings(&mut failures);
                failures.extend(self.restore_error_reset().err());
            }
            Err(stuck @ LeaseError::Stuck { .. }) => return Err(stuck),
            Err(error) => {
                failures.push(error);
                failures.extend(self.restore(&mut warnings).err());
            }
        }
        self.all_done(failures)?;
        self.forget();
        warnings.append(&mut self.take_warnings());
        Ok(warnings)
    }

    fn remove_and_rescan(&mut self) -> Result<(), LeaseError> {
        let bdf = self.bdf();
        let device = self.host.device(bdf);
        // A rescan of the bridge above it disturbs no other device.
        self.record.bridge = std::fs::canonicalize(&device)
            .ok()
            .and_then(|real| real.parent()?.file_name()?.to_str()?.parse().ok());
        self.record.reenumerated = true;
        self.step_back(HostStep::Reenumerate);
        if device.exists() {
            let doing = "removing the function";
            self.slow_write(&device.join("remove"), "1", UNBIND_LIMIT, doing)?;
        }
        self.rescan()?;
        let card = self.await_card()?;
        let original = &self.record.original;
        match (original.driver.clone(), original.driver_override.clone()) {
            // Also away from the driver that the kernel has chosen: it may be another one.
            (Some(driver), _) if card.driver.as_ref() != Some(&driver) => {
                self.bind_if_present(&driver)?;
            }
            (None, forced) if card.driver.is_none() => {
                self.bind_if_present(forced.as_deref().unwrap_or(MLX4))?;
            }
            _ => {}
        }
        let original = self.record.original.driver_override.clone();
        self.set_override(bdf, original.as_deref())
    }

    fn await_card(&self) -> Result<PciCard, LeaseError> {
        let card = || self.host.card(self.bdf());
        let appeared = wait_until(self.actions.clock(), APPEARS, || {
            let card = card().ok();
            card.filter(|card| card.function == Function::Physical)
        });
        appeared.ok_or_else(|| {
            let what = match card() {
                Ok(card) => format!("it is 15b3:{:04x}", card.device_id),
                Err(error) => error.to_string(),
            };
            LeaseError::NotBack {
                bdf: self.bdf(),
                doing: "the card did not appear after the rescan".to_owned(),
                source: io::Error::other(what),
            }
        })
    }

    /// A host without the driver is not an error: the card had none before.
    fn bind_if_present(&mut self, driver: &str) -> Result<(), LeaseError> {
        if let Err(error) = self.need_driver(driver) {
            tracing::warn!(%error, "the card stays without a driver");
            return Ok(());
        }
        if driver != MLX4 {
            self.set_override(self.bdf(), Some(driver))?;
        }
        self.unbind(self.bdf())?;
        self.bind(self.bdf(), driver)
    }
}
