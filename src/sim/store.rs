//! Keeping a card in its file, step by step.

use super::boot::RunningFirmware;
use super::bus::KEPT_SEMAPHORES;
use super::file::{
    FLASH_AT, HEAD_LEN, PID_AT, SLOT_LEN, SLOTS_AT, head, parse_head, parse_record, record,
};
use super::state::{SemaphoreHolder, CardState};
use super::{CardFileError, CardSpec, Counters, Fault, Misuse};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Misuse kept in a file: enough to see what went wrong.
const MISUSE_KEPT: usize = 16;

/// An open card file. The lock goes with it.
pub(super) struct Store {
    file: Flock<File>,
    counter: u64,
}

/// Everything of a card but its flash contents.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CardRecord {
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
}

fn io_error(path: &Path) -> impl Fn(io::Error) -> CardFileError + '_ {
    |source| CardFileError::Io {
        path: path.display().to_string(),
        source,
    }
}

fn lock(file: File, path: &Path) -> Result<Flock<File>, CardFileError> {
    let locked = Flock::lock(file, FlockArg::LockExclusiveNonblock);
    let locked = locked.map_err(|(file, errno)| {
        if errno == Errno::EWOULDBLOCK {
            CardFileError::Busy {
                path: path.display().to_string(),
                pid: read_pid(&file),
            }
        } else {
            io_error(path)(errno.into())
        }
    })?;
    let pid = format!("{:<12}", std::process::id());
    locked
        .write_all_at(pid.as_bytes(), PID_AT)
        .map_err(io_error(path))?;
    Ok(locked)
}

fn read_pid(file: &File) -> u32 {
    let mut text = [0; 12];
    file.read_exact_at(&mut text, PID_AT)
        .ok()
        .and_then(|()| std::str::from_utf8(&text).ok()?.trim().parse().ok())
        .unwrap_or(0)
}

impl Store {
    /// A new file for a card in memory, which lives in it from then on.
    pub(super) fn create(path: &Path, mut card: CardState) -> Result<CardState, CardFileError> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(path)
            .map_err(|source| match source.kind() {
                io::ErrorKind::AlreadyExists => CardFileError::Exists(path.display().to_string()),
                _ => io_error(path)(source),
            })?;
        let written = (|| {
            file.set_len(FLASH_AT + u64::from(card.nor.size()))?;
            file.write_all_at(card.nor.mem(), FLASH_AT)
        })();
        let filled = written.map_err(io_error(path)).and_then(|()| {
            card.store = Some(Store {
                file: lock(file, path)?,
                counter: 0,
            });
            card.save();
            card.answer(0, ())
                .map_err(|error| io_error(path)(io::Error::other(error)))?;
            // The head comes last: without it the file is none.
            card.store.as_ref().map_or(Ok(()), |store| {
                store
                    .file
                    .write_all_at(&head(card.nor.size()), 0)
                    .map_err(io_error(path))
            })
        });
        match filled {
            Ok(()) => Ok(card),
            Err(error) => {
                // Ours and unfinished; the error told is the first one.
                let _ = std::fs::remove_file(path);
                Err(error)
            }
        }
    }

    /// The card in an existing file.
    pub(super) fn open(path: &Path) -> Result<CardState, CardFileError> {
        let shown = path.display().to_string();
        let damaged = |why: &str| CardFileError::Damaged(shown.clone(), why.into());
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(path)
            .map_err(io_error(path))?;
        let about = file.metadata().map_err(io_error(path))?;
        if !about.is_file() {
            return Err(CardFileError::NotOne(shown));
        }
        let mut start = vec![0; about.len().min(HEAD_LEN as u64) as usize];
        file.read_exact_at(&mut start, 0).map_err(io_error(path))?;
        let size = parse_head(&start, &shown)?;
        if about.len() != FLASH_AT + u64::from(size) {
            return Err(damaged("it is cut short, or something was added"));
        }
        let file = lock(file, path)?;
        let mut newest: Option<(u64, Vec<u8>)> = None;
        for at in SLOTS_AT {
            let mut slot = vec![0; SLOT_LEN];
            file.read_exact_at(&mut slot, at).map_err(io_error(path))?;
            if let Some((counter, json)) = parse_record(&slot)
                && newest.as_ref().is_none_or(|(best, _)| counter > *best)
            {
                newest = Some((counter, json.to_vec()));
            }
        }
        let (counter, json) = newest.ok_or_else(|| damaged("neither record is whole"))?;
        let record: CardRecord =
            serde_json::from_slice(&json).map_err(|error| damaged(&error.to_string()))?;
        if record.spec.chip.size() != size {
            return Err(damaged("its flash is not the size of its chip"));
        }
        let mut flash = vec![0; size as usize];
        file.read_exact_at(&mut flash, FLASH_AT)
            .map_err(io_error(path))?;
        Ok(record.restore(&flash, Store { file, counter }))
    }

    /// Flash bytes to their place.
    pub(super) fn write_flash(&self, at: usize, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, FLASH_AT + at as u64)
    }

    fn write_record(&mut self, record_: &CardRecord) -> io::Result<()> {
        let json = serde_json::to_vec(record_)?;
        let counter = self.counter + 1;
        let bytes = record(counter, &json).ok_or_else(|| io::Error::from(Errno::EFBIG))?;
        self.file
            .write_all_at(&bytes, SLOTS_AT[(counter % 2) as usize])?;
        self.counter = counter;
        Ok(())
    }
}

impl CardRecord {
    fn of(card: &CardState) -> Self {
        Self {
            spec: card.spec.clone(),
            running: card.running.clone(),
            boot_address: card.boot_address,
            held: KEPT_SEMAPHORES
                .into_iter()
                // What is taken in a boot is lost at its end.
                .filter(|n| {
                    card.booting.is_none() && card.semaphores[usize::from(*n)] != SemaphoreHolder::Free
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
        }
    }

    /// The card as the last process left it. What takes time (an erase, a reset) is over by now;
    /// whoever held a semaphore then is dead.
    fn restore(self, flash: &[u8], store: Store) -> CardState {
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
        card.store = Some(store);
        card
    }
}

impl CardState {
    /// Bring the file up to date with everything but flash contents.
    pub(super) fn save(&mut self) {
        if self.store.is_none() {
            return;
        }
        let record = CardRecord::of(self);
        if let Some(store) = &mut self.store {
            let done = store.write_record(&record);
            self.stored(done);
        }
    }

    /// Remember that the file could not be written: no access succeeds from then on, so that
    /// nobody believes in a state that is not there.
    pub(super) fn stored(&mut self, done: io::Result<()>) {
        if let Err(error) = done
            && self.store_error.is_none()
        {
            tracing::error!(%error, "card file");
            self.store_error = Some(error.raw_os_error().unwrap_or(Errno::EIO as i32));
        }
    }

    pub(super) fn load_flash(&mut self, at: usize, bytes: &[u8]) {
        let size = self.nor.mem().len();
        let start = at.min(size);
        let len = bytes.len().min(size - start);
        self.nor.mem_mut()[start..start + len].copy_from_slice(&bytes[..len]);
        if let Some(store) = &self.store {
            let done = store.write_flash(start, &bytes[..len]);
            self.stored(done);
        }
    }
}

impl Drop for CardState {
    /// Counters that moved since the last change of state.
    fn drop(&mut self) {
        self.save();
    }
}
