//! Saves a card to its file, and restores it.

use super::boot::RunningFirmware;
use super::bus::KEPT_SEMAPHORES;
use super::file::{CardFile, io_error, record_of};
use super::records::LARGEST;
use super::state::{CardState, SemaphoreHolder};
use super::{CardFileError, CardSpec, Counters, Fault, FirmwareDefect, Misuse};
use crate::escape;
use nix::errno::Errno;
use serde::{Deserialize, Serialize};
use std::io;
use std::ops::Range;
use std::path::Path;

/// Misuse kept in a file.
const MISUSE_KEPT: usize = 16;

/// A card without its flash contents.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredCard {
    spec: CardSpec,
    running: RunningFirmware,
    boot_address: u32,
    held: Vec<u8>,
    status: u8,
    second: u8,
    off: bool,
    gone: bool,
    stuck_busy: bool,
    stuck_wip: bool,
    mutations: u64,
    faults: Vec<Fault>,
    counters: Counters,
    misuse_count: u64,
    misuse: Vec<Misuse>,
    /// Not in files of earlier versions.
    #[serde(default)]
    serial: Option<String>,
    /// Cells that read differently each time; the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    marginal: Vec<(u32, u8)>,
    #[serde(default)]
    hw_access: bool,
}

/// Marginal bytes kept in a file: its head has 64 KiB.
const MARGINAL_KEPT: usize = 1000;

impl StoredCard {
    fn of(card: &CardState) -> Self {
        Self {
            spec: card.spec.clone(),
            running: card.running.clone(),
            boot_address: card.boot_address,
            held: KEPT_SEMAPHORES
                .into_iter()
                // A boot ends with free semaphores.
                .filter(|n| {
                    card.booting.is_none()
                        && card.semaphores[usize::from(*n)] != SemaphoreHolder::Free
                })
                .collect(),
            status: card.nor.status,
            second: card.nor.second,
            off: card.off,
            gone: card.gone,
            stuck_busy: card.gateway.stuck,
            stuck_wip: card.nor.is_stuck(),
            mutations: card.mutations,
            faults: card.armed.list(),
            counters: card.counters(),
            misuse_count: card.misuse_count,
            misuse: card.misuse.iter().take(MISUSE_KEPT).cloned().collect(),
            serial: card.serial.clone(),
            hw_access: card.hw_access,
            marginal: {
                let cells = card.nor.marginal().iter().take(MARGINAL_KEPT);
                cells.map(|(at, bits)| (*at, *bits)).collect()
            },
        }
    }

    /// The card as the last process left it. An erase or a reset is over by now, the holder of a
    /// semaphore is gone, and firmware that dies is dead.
    fn restore(self, flash: &[u8], file: CardFile) -> CardState {
        let mut card = CardState::with_running(self.spec, flash, self.running);
        card.boot_address = self.boot_address;
        for n in self.held {
            if let Some(hold) = card.semaphores.get_mut(usize::from(n)) {
                *hold = SemaphoreHolder::Dead;
            }
        }
        card.nor.status = self.status;
        card.nor.second = self.second;
        card.off = self.off;
        card.gone = self.gone;
        card.gateway.stuck = self.stuck_busy;
        if self.stuck_wip {
            card.nor.stick();
        }
        card.mutations = self.mutations;
        for fault in self.faults {
            card.arm(fault);
        }
        card.time.add(self.counters.time_ns);
        card.counters = self.counters;
        card.misuse_count = self.misuse_count;
        card.misuse = self.misuse;
        card.serial = self.serial;
        card.hw_access = self.hw_access;
        for (at, bits) in self.marginal {
            card.nor.waver(at, bits);
        }
        if matches!(card.running.defect, Some(FirmwareDefect::Dies { .. })) {
            card.dies_at = 0;
        }
        card.file = Some(file);
        card
    }
}

/// What the card in a file is, also while another process has it open; `None` for any other file.
pub fn spec_in(path: &Path) -> Option<CardSpec> {
    let card: StoredCard = serde_json::from_slice(&record_of(path)?).ok()?;
    Some(card.spec)
}

impl CardState {
    /// Makes a file for this card, which is saved there from then on.
    pub(super) fn create_file(mut self, path: &Path) -> Result<Self, CardFileError> {
        let file = CardFile::create(path, self.nor.mem())?;
        self.file = Some(file);
        self.save();
        let head = self.answer(0, ()).map_err(io::Error::other).and_then(|()| {
            // The head comes last: without it the file is no card file.
            self.file.as_ref().map_or(Ok(()), |file| file.write_head(self.nor.size()))
        });
        if let Err(error) = head {
            // The file is ours and unfinished.
            let _ = std::fs::remove_file(path);
            return Err(io_error(path)(error));
        }
        Ok(self)
    }

    /// The card in an existing file.
    pub(super) fn open_file(path: &Path) -> Result<Self, CardFileError> {
        let damaged = |why: &str| CardFileError::Damaged(escape::path(path), why.into());
        let (file, json, flash) = CardFile::open(path)?;
        let record: StoredCard =
            serde_json::from_slice(&json).map_err(|error| damaged(&error.to_string()))?;
        if record.spec.chip.size() as usize != flash.len() {
            return Err(damaged("its flash is not the size of its chip"));
        }
        let counts = [record.counters.largest(), record.mutations, record.misuse_count];
        if counts.into_iter().any(|count| count > LARGEST) {
            return Err(damaged("a count is beyond its limit"));
        }
        Ok(record.restore(&flash, file))
    }

    /// Writes everything but flash contents to the card's file, if it has one.
    pub(super) fn save(&mut self) {
        if self.file.is_none() {
            return;
        }
        let record = serde_json::to_vec(&StoredCard::of(self));
        if let Some(file) = &mut self.file {
            let written = record.map_err(io::Error::from).and_then(|json| file.write_record(&json));
            self.check_written(written);
        }
    }

    /// Writes flash contents to the card's file, if it has one.
    pub(super) fn save_flash(&mut self, range: Range<usize>) {
        if let Some(file) = &self.file {
            let written = file.write_flash(range.start, &self.nor.mem()[range]);
            self.check_written(written);
        }
    }

    /// Keeps the first error of a write to the file: every access fails from then on, since the
    /// file would show another state.
    fn check_written(&mut self, written: io::Result<()>) {
        if let Err(error) = written
            && self.file_error.is_none()
        {
            tracing::error!(%error, "card file");
            self.file_error = Some(error.raw_os_error().unwrap_or(Errno::EIO as i32));
        }
    }

    pub(super) fn load_flash(&mut self, at: usize, bytes: &[u8]) {
        let size = self.nor.mem().len();
        let start = at.min(size);
        let len = bytes.len().min(size - start);
        self.nor.mem_mut()[start..start + len].copy_from_slice(&bytes[..len]);
        self.nor.forget_marginal(&(start..start + len));
        self.save_flash(start..start + len);
    }
}

impl Drop for CardState {
    /// Saves the counters, which moved since the last change of state.
    fn drop(&mut self) {
        self.save();
    }
}
