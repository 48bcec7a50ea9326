//! A card that left recovery mode has other PCI ids: the kernel must forget it and find it anew
//! (docs/linux.md#configuration-space).

use super::give_back::not_back;
use super::{HostStep, Lease, LeaseError, MLX4, UNBIND_LIMIT};
use crate::card::{Patience, wait_for};
use crate::host::{Function, PciCard};
use std::convert::Infallible;
use std::io;
use std::time::Duration;

/// A rescan enumerates before it returns; the wait is for drivers that probe late.
const FOUND: Patience = Patience::every(Duration::from_secs(60), Duration::from_millis(100));

impl Lease {
    /// Remove the function, rescan the bus above it, and see that a driver gets it: the one it had,
    /// or mlx4_core for a card that had none in recovery mode.
    ///
    /// # Errors
    /// [`LeaseError::Stuck`], [`LeaseError::NotBack`]; the journal is kept.
    pub fn reenumerate(&mut self) -> Result<PciCard, LeaseError> {
        self.find_anew().map_err(not_back)
    }

    fn find_anew(&mut self) -> Result<PciCard, LeaseError> {
        let bdf = self.bdf();
        let device = self.host.device(bdf);
        // The bridge above it; a rescan of that disturbs nobody else.
        let bridge = std::fs::canonicalize(&device)
            .ok()
            .and_then(|real| real.parent()?.file_name()?.to_str()?.parse().ok());
        self.record.bridge = bridge;
        self.step(HostStep::Reenumerate)?;
        if device.exists() {
            let doing = "removing the function";
            self.slow_write(&device.join("remove"), "1", UNBIND_LIMIT, doing)?;
        }
        self.rescan()?;
        let card = self.await_card()?;
        let wish = self
            .record
            .original
            .driver
            .clone()
            .or_else(|| self.record.original.driver_override.clone())
            .unwrap_or_else(|| MLX4.to_owned());
        if card.driver.is_none() {
            self.drive(&wish)?;
        }
        let was = self.record.original.driver_override.clone();
        if was.is_some() {
            self.set_override(was.as_deref())?;
        }
        self.forget()?;
        Ok(self.host.card(bdf)?)
    }

    /// Look for cards below the bridge the card hung from, or everywhere.
    pub(super) fn rescan(&self) -> Result<(), LeaseError> {
        let everywhere = self.host.path("sys/bus/pci/rescan");
        let path = self
            .record
            .bridge
            .map(|b| self.host.device(b).join("rescan"));
        let path = path.filter(|p| p.exists()).unwrap_or(everywhere);
        self.slow_write(&path, "1", UNBIND_LIMIT, "rescanning the bus")
    }

    fn await_card(&self) -> Result<PciCard, LeaseError> {
        let card = || self.host.card(self.bdf());
        let found = wait_for(self.actions.clock(), FOUND, || {
            let card = card().ok();
            Ok::<_, Infallible>(card.filter(|card| card.function == Function::Physical))
        });
        let Ok(found) = found;
        found.ok_or_else(|| {
            let what = match card() {
                Ok(card) => format!("it is 15b3:{:04x}", card.device_id),
                Err(error) => error.to_string(),
            };
            self.not_back("the card was not found anew", io::Error::other(what))
        })
    }

    /// A host without the driver is no failure: the card is as it came, without one.
    fn drive(&mut self, driver: &str) -> Result<(), LeaseError> {
        if let Err(error) = self.need_driver(driver) {
            tracing::warn!(%error, "the card stays without a driver");
            return Ok(());
        }
        let overridden = driver != MLX4;
        if overridden {
            self.set_override(Some(driver))?;
        }
        self.bind_guarded(driver)
    }
}
