//! Stand-in for the lease while it is being written.
#![allow(missing_docs, unused)]
use super::*;
use serde::Serialize;
use std::io::Write;
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    #[error("x")]
    NotBootable { bdf: Bdf },
    #[error("{0}: {1}")]
    Io(String, std::io::Error),
    #[error(transparent)]
    Look(#[from] LookError),
}
impl LeaseError {
    pub fn host_changed(&self) -> bool {
        false
    }
}
pub enum Mark {
    SemaphoresHeld(bool),
    FlashTouched,
    Boots(bool),
}
#[derive(Clone, Copy, Default)]
pub struct Marks {
    pub semaphores_held: bool,
    pub flash_touched: bool,
    pub boots: Option<bool>,
}
#[derive(Clone, Debug, Serialize)]
pub struct Pending {
    pub bdf: Bdf,
}
impl std::fmt::Display for Pending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.bdf.fmt(f)
    }
}
#[derive(Debug)]
pub struct GivenBack {
    pub driver: Option<String>,
    pub netdevs: Vec<String>,
    pub warnings: Vec<String>,
}
pub struct Lease {
    host: Host,
    found: PciCard,
    marks: Marks,
}
fn put(path: std::path::PathBuf, text: &str) -> Result<(), LeaseError> {
    std::fs::OpenOptions::new()
        .write(true)
        .open(&path)
        .and_then(|mut f| f.write_all(text.as_bytes()))
        .map_err(|e| LeaseError::Io(path.display().to_string(), e))
}
impl Lease {
    pub fn take(host: &Host, card: &PciCard, _: &[UseId]) -> Result<Self, LeaseError> {
        let lease = Self {
            host: host.clone(),
            found: card.clone(),
            marks: Marks::default(),
        };
        if card.driver.as_deref() != Some(VFIO_PCI) {
            lease.bind(VFIO_PCI)?;
        }
        Ok(lease)
    }
    fn bind(&self, driver: &str) -> Result<(), LeaseError> {
        let bdf = self.found.bdf;
        put(
            self.host.device(bdf).join("driver_override"),
            &format!("{driver}\n"),
        )?;
        if self.host.device(bdf).join("driver").exists() {
            put(
                self.host.device(bdf).join("driver/unbind"),
                &bdf.to_string(),
            )?;
        }
        put(self.host.driver(driver).join("bind"), &bdf.to_string())
    }
    pub fn adopt(_: &Host, _: Bdf) -> Result<Option<Self>, LeaseError> {
        Ok(None)
    }
    pub fn pending(_: &Host) -> Result<Vec<Pending>, LeaseError> {
        Ok(Vec::new())
    }
    pub fn bdf(&self) -> Bdf {
        self.found.bdf
    }
    pub fn as_found(&self) -> &PciCard {
        &self.found
    }
    pub fn changed_host(&self) -> bool {
        self.found.driver.as_deref() != Some(VFIO_PCI)
    }
    pub fn mark(&mut self, mark: Mark) -> Result<(), LeaseError> {
        match mark {
            Mark::SemaphoresHeld(x) => self.marks.semaphores_held = x,
            Mark::FlashTouched => self.marks.flash_touched = true,
            Mark::Boots(x) => self.marks.boots = Some(x),
        }
        Ok(())
    }
    pub fn marks(&self) -> Marks {
        self.marks
    }
    pub fn give_back(&mut self) -> Result<GivenBack, LeaseError> {
        if self.changed_host() {
            match self.found.driver.clone() {
                Some(driver) => self.bind(&driver)?,
                None => put(
                    self.host.device(self.found.bdf).join("driver/unbind"),
                    &self.found.bdf.to_string(),
                )?,
            }
            put(
                self.host.device(self.found.bdf).join("driver_override"),
                &format!(
                    "{}\n",
                    self.found.driver_override.clone().unwrap_or_default()
                ),
            )?;
        }
        let card = self.host.card(self.found.bdf)?;
        Ok(GivenBack {
            driver: card.driver,
            netdevs: card.netdevs.into_iter().map(|n| n.name).collect(),
            warnings: Vec::new(),
        })
    }
    pub fn reenumerate(&mut self) -> Result<PciCard, LeaseError> {
        put(self.host.device(self.found.bdf).join("remove"), "1")?;
        put(self.host.path("sys/bus/pci/rescan"), "1")?;
        Ok(self.host.card(self.found.bdf)?)
    }
    pub fn leave(self) {}
}
pub fn write_attribute(_: &std::path::Path) -> i32 {
    1
}
