//! Block protection (flash-hardware §5.3).

use serde::Serialize;
use std::ops::Range;

/// What the status register says of protection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Protection {
    /// Status register 1.
    pub status: u8,
    /// Protected range as far as the bits can be decoded for this part; `None` = none.
    pub range: Option<Range<u32>>,
}
