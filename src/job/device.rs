//! The card a job works on, and its time.

use crate::card::{Card, Clock};
use std::rc::Rc;

/// An opened card with its clock and the name the user gave it.
pub struct Device {
    /// The card.
    pub card: Card,
    /// Its time.
    pub clock: Rc<dyn Clock>,
    /// What the user called it (`sim:FILE`, a BDF).
    pub name: String,
}
