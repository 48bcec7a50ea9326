//! What the vendor's other tools share: cards, the stream, the end of a command line.

use super::Caller;
use super::console::Console;
use crate::card::DeviceType;
use crate::escape;
use crate::host::Borrowed;
use crate::job::{self, CardSelector, Device, HintContext, JobError, ListEntry, error_chain};

/// One command line of a tool.
pub(super) struct ToolCall<'a, 'c> {
    pub(super) caller: &'a mut Caller<'c>,
    pub(super) console: Console,
    /// The card, as named by the user.
    pub(super) card: Option<CardSelector>,
    /// Real cards that were opened.
    pub(super) borrowed: Vec<Borrowed>,
}

impl ToolCall<'_, '_> {
    pub(super) fn print(&mut self, text: &str) {
        self.console.print(text);
    }

    /// Prints an error, and returns the exit code.
    pub(super) fn fail(&mut self, text: &str, exit: u8) -> u8 {
        self.print(&format!("-E- {}\n", escape::line(text)));
        exit
    }

    pub(super) fn version(&mut self) -> u8 {
        let version = env!("CARGO_PKG_VERSION");
        self.print(&format!("{}, cx3flash {version}\n", self.caller.program));
        0
    }

    pub(super) fn open(&mut self, card: &CardSelector) -> Result<Device, JobError> {
        if let Err(error) = (self.caller.catch_signals)() {
            self.console.remark(&format!("signals cannot be caught: {error}"));
        }
        if (self.console.stop_requested)() {
            return Err(JobError::Interrupted);
        }
        let found = card.or_simulated(&self.caller.simulated, self.caller.host);
        self.card = Some(found.clone());
        let mut device = job::open(&found, self.caller.host, self.caller.options)?;
        self.borrowed.extend(device.borrowed());
        (self.caller.opened)(&mut device);
        Ok(device)
    }

    /// The cards of the host, and the simulated ones of the current directory.
    pub(super) fn cards(&mut self) -> Result<Vec<ListEntry>, JobError> {
        let (host, options) = (self.caller.host, self.caller.options);
        Ok(job::list(None, &self.caller.simulated, host, options)?.cards)
    }
}

/// An error, its causes and what to do next on one line.
pub(super) fn with_hint(error: &JobError, card: &CardSelector) -> String {
    let hint = error.hint(&HintContext { card: Some(card), ..HintContext::of_process() });
    match hint {
        Some(hint) => format!("{}; {hint}", error_chain(error)),
        None => error_chain(error),
    }
}

/// What the tools call the chip with this hardware id.
pub(super) fn chip_type(hw_id: u16) -> String {
    device_name(DeviceType::with_hw_id(hw_id))
}

/// What they call the chip of a card that is not opened.
pub(super) fn device_type(card: &ListEntry) -> String {
    device_name(card.device_id.and_then(DeviceType::with_pci_id))
}

fn device_name(device: Option<&DeviceType>) -> String {
    device.map_or_else(|| "--".to_owned(), |device| device.mstflint_name.replace('-', ""))
}
