//! An opened card: every access goes through here.

use super::{Chip, Clock, CrSpace};
use std::rc::Rc;

/// A card whose identity was read and found good.
pub struct Card {
    space: Box<dyn CrSpace>,
    clock: Rc<dyn Clock>,
    chip: Chip,
    wrote: bool,
}

impl Card {
    /// Open: device id first (P7), flush, recovery test with the link-down fix (§1.3, §1.4).
    ///
    /// # Errors
    /// [`super::CardError`] when the card is gone, locked or no ConnectX-3.
    pub fn open(space: Box<dyn CrSpace>, clock: Rc<dyn Clock>) -> Result<Self, super::CardError> {
        let _ = (&space, &clock);
        todo!()
    }
}
