//! What a server needs of a card beyond register access: [`super::serve`] and [`super::firmware`]
//! are on the card's side of the bus.

use super::fs2::LoadedImage;
use super::state::CardState;
use super::{BootOutcome, SimCard};
use crate::image::{Guid, Mac};

/// The identity that the running image reports to the network driver.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ImageIdentity {
    /// Node GUID, port 1, port 2, system image.
    pub(super) guids: Vec<Guid>,
    /// Port 1, port 2.
    pub(super) macs: Vec<Mac>,
    pub(super) psid: String,
}

impl SimCard {
    /// Records misuse.
    pub(super) fn note(&self, what: impl Into<String>) {
        self.state.borrow_mut().note(what);
    }

    /// A register without behaviour as the firmware sees it: no access, nothing counted.
    pub(super) fn peek(&self, at: u32) -> u32 {
        self.state.borrow().plain.get(&at).copied().unwrap_or(0)
    }

    /// The firmware writes a register without behaviour.
    pub(super) fn poke(&self, at: u32, value: u32) {
        self.state.borrow_mut().plain.insert(at, value);
    }

    /// A configuration register as it is: no access, no side effect.
    pub(super) fn config_peek(&self, at: u16) -> u32 {
        let state = self.state.borrow();
        state.config.read(at, &state.spec, &state.shown())
    }

    /// CR-space by way of a capability: no BAR, so memory decode does not matter. Counted by the
    /// configuration accesses around it. A read answers; a write answers 0.
    pub(super) fn cr_access(&self, at: u32, write: Option<u32>) -> u32 {
        let mut state = self.state.borrow_mut();
        if state.check_offset(at).is_err() {
            return u32::MAX;
        }
        match write {
            None => state.cr_read(at),
            Some(value) => {
                state.cr_write(at, value);
                0
            }
        }
    }

    /// Answers on BAR0: powered, present, not in reset, memory decode on.
    pub(super) fn answers(&self) -> bool {
        self.state.borrow().bar_answers()
    }

    /// Firmware runs and answers commands.
    pub(super) fn firmware_runs(&self) -> bool {
        let mut state = self.state.borrow_mut();
        state.settle();
        state.running.runs()
    }

    /// Identity of the running image; empty in recovery mode.
    pub(super) fn named(&self) -> ImageIdentity {
        self.state.borrow().named()
    }
}

impl CardState {
    fn named(&self) -> ImageIdentity {
        let BootOutcome::Image { start, .. } = self.running.outcome else {
            return ImageIdentity::default();
        };
        let Ok(image) = LoadedImage::at(self.nor.mem(), start.0) else {
            return ImageIdentity::default();
        };
        let entries = image.guids();
        ImageIdentity {
            guids: entries.iter().take(4).copied().map(Guid).collect(),
            macs: entries.iter().skip(4).take(2).copied().map(Mac).collect(),
            psid: image.psid(),
        }
    }

    /// The node GUID of the running image as a serial number; where it is blank, the GUID that Mellanox makes
    /// of the first MAC (INFERRED for blank GUIDs).
    pub(super) fn running_serial(&self) -> Option<String> {
        let named = self.named();
        let mac = named.macs.first().map(|mac| mac.0).filter(|mac| Mac(*mac).is_valid());
        let of_mac = mac.map(|mac| mac >> 24 << 40 | 0x0300 << 24 | mac & 0xff_ffff);
        let node = named.guids.first().map(|guid| guid.0);
        let node = node.filter(|node| *node != 0 && *node != u64::MAX).or(of_mac)?;
        Some(format!("{node:016x}"))
    }
}
