//! The kernel's messages about the card while it is tested.

use crate::host::KernelLog;
use crate::job::Device;

/// Those since before the card was opened.
#[derive(Default)]
pub(super) struct KernelMessages {
    /// `None` where the log cannot be read.
    log: Option<KernelLog>,
    seen: Vec<String>,
}

impl KernelMessages {
    pub(super) fn of(log: Option<KernelLog>) -> Self {
        Self { log, seen: Vec::new() }
    }

    /// Those since the last call.
    pub(super) fn new_lines(&mut self, device: &Device) -> Vec<String> {
        let card = device.borrowed.as_ref().map(|borrowed| borrowed.card());
        let (Some(log), Some(card)) = (&mut self.log, card) else {
            return Vec::new();
        };
        let lines = log.lines(card.bdf);
        self.seen.extend(lines.iter().cloned());
        lines
    }

    /// All of them.
    pub(super) fn all(mut self, device: &Device) -> Vec<String> {
        self.new_lines(device);
        self.seen
    }
}
