//! Which silicon it is and what runs on it (flash-hardware §1.2, §7.4).

use serde::Serialize;

/// The hardware device id register, decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Chip {
    /// 0x1f5 or 0x1f7.
    pub hw_id: u16,
    /// Revision, 0 or 1 on known cards.
    pub revision: u8,
}

/// The version block at 0x1f064.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct RunningVersion {
    /// First number.
    pub major: u16,
    /// Second number.
    pub minor: u16,
    /// Third number.
    pub subminor: u16,
}

impl Chip {
    /// `ConnectX-3 A0`, `ConnectX-3 A1`, `ConnectX-3Pro`, or flint's `MT501-02` form for others
    /// (fs2-image §5).
    #[must_use]
    pub fn name(self) -> String {
        match (self.hw_id, self.revision) {
            (0x1f5, 0) => "ConnectX-3 A0".into(),
            (0x1f5, 1) => "ConnectX-3 A1".into(),
            (0x1f7, 0) => "ConnectX-3Pro".into(),
            (id, rev) => format!("MT{id}-{rev:02X}"),
        }
    }
}
