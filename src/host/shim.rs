//! shim
#![allow(missing_docs, clippy::todo, unused)]
use super::*;
use serde::Serialize;
impl Host {
    pub fn findings(&self, _: Option<&PciCard>) -> Vec<Finding> {
        todo!()
    }
}
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    #[error("x")]
    NotBootable { bdf: Bdf },
    #[error("y")]
    Other,
}
impl LeaseError {
    pub fn host_changed(&self) -> bool {
        todo!()
    }
}
pub struct Lease;
pub enum Mark {
    SemaphoresHeld(bool),
    FlashTouched,
    Boots(bool),
}
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
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        todo!()
    }
}
#[derive(Debug)]
pub struct GivenBack {
    pub driver: Option<String>,
    pub netdevs: Vec<String>,
    pub warnings: Vec<String>,
}
pub struct AsFound {
    pub driver: Option<String>,
}
impl Lease {
    pub fn take(_: &Host, _: &PciCard, _: &[UseId]) -> Result<Self, LeaseError> {
        todo!()
    }
    pub fn adopt(_: &Host, _: Bdf) -> Result<Option<Self>, LeaseError> {
        todo!()
    }
    pub fn pending(_: &Host) -> Result<Vec<Pending>, LeaseError> {
        todo!()
    }
    pub fn bdf(&self) -> Bdf {
        todo!()
    }
    pub fn as_found(&self) -> &AsFound {
        todo!()
    }
    pub fn changed_host(&self) -> bool {
        todo!()
    }
    pub fn mark(&mut self, _: Mark) -> Result<(), LeaseError> {
        todo!()
    }
    pub fn marks(&self) -> Marks {
        todo!()
    }
    pub fn give_back(&mut self) -> Result<GivenBack, LeaseError> {
        todo!()
    }
    pub fn reenumerate(&mut self) -> Result<PciCard, LeaseError> {
        todo!()
    }
    pub fn leave(self) {}
}
pub fn write_attribute(_: &std::path::Path) -> i32 {
    todo!()
}
