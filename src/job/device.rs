//! The card a job works on, and its time.

use super::JobError;
use crate::card::{Card, Clock};
use crate::sim::SimCard;
use std::path::Path;
use std::rc::Rc;

/// An opened card with its clock and the name the user gave it.
pub struct Device {
    /// The card.
    pub card: Card,
    /// Its time.
    pub clock: Rc<dyn Clock>,
    /// What the user called it (`sim:FILE`, a BDF).
    pub name: String,
    /// PCI address, when it is known.
    pub bdf: Option<String>,
    /// Board name, when it is known.
    pub board: Option<String>,
}

/// Open what the user named.
///
/// # Errors
/// [`JobError::NoSuchCard`] for anything but `sim:FILE`; else what the card says.
pub fn open(selector: &str) -> Result<Device, JobError> {
    let Some(path) = selector.strip_prefix("sim:") else {
        return Err(JobError::NoSuchCard {
            selector: selector.to_owned(),
            why:
                "only simulated cards (sim:FILE) can be opened; real cards come with VFIO support, \
                  which is not in this version"
                    .into(),
        });
    };
    let sim = SimCard::open(Path::new(path))?;
    open_sim(&sim, selector)
}

/// Open a simulated card through its BAR0.
///
/// # Errors
/// What the card says.
pub fn open_sim(sim: &SimCard, name: &str) -> Result<Device, JobError> {
    let clock = sim.clock();
    Ok(Device {
        card: Card::open(sim.bar0(), Rc::clone(&clock))?,
        clock,
        name: name.to_owned(),
        bdf: Some(sim.spec().bdf),
        board: Some(sim.spec().board),
    })
}
