//! Card files: layout, lock, reads and writes.
//!
//! | bytes | contents |
//! |---|---|
//! | 0..4096 | head: magic, version, flash size, CRC; at 64 the holder's process id in text |
//! | 4096.., 34816.. | two slots for a record: counter, length, CRC, JSON. The newest valid one counts, the other one is overwritten next, so a torn write loses one step at most |
//! | 65536.. | flash contents, raw |
//!
//! Numbers are little-endian. CRC is CRC-32/ISO-HDLC.

use super::records::LARGEST;
use crate::escape;
use crc::{CRC_32_ISO_HDLC, Crc};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

/// The version of card files that this program reads and writes.
pub(super) const VERSION: u32 = 1;
const HEAD_LEN: usize = 28;
const PID_AT: u64 = 64;
pub(super) const SLOTS_AT: [u64; 2] = [4096, 34816];
pub(super) const SLOT_LEN: usize = 30720;
const FLASH_AT: u64 = 65536;
const MAGIC: &[u8; 16] = b"CX3FLASH SIMCARD";
const RECORD_HEAD: usize = 16;
/// Bytes of the largest flash that a file may hold; a card addresses 16 MiB.
const LARGEST_FLASH: u32 = 16 << 20;

static CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);

/// Why a card file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CardFileError {
    #[error("card file {path}")]
    Io {
        path: String,
        #[source]
        source: io::Error,
    },
    #[error("{0} is not a card file")]
    NotOne(String),
    #[error("{path} is a card file of version {found}, this program reads {known}")]
    Version { path: String, found: u32, known: u32 },
    #[error("{0} is damaged: {1}")]
    Damaged(String, String),
    /// Another process has it open.
    #[error("{path} is in use by process {pid}")]
    Busy {
        path: String,
        /// 0 when not known.
        pid: u32,
    },
    #[error("{0} exists already")]
    Exists(String),
}

pub(super) fn io_error(path: &Path) -> impl Fn(io::Error) -> CardFileError + '_ {
    move |source| CardFileError::Io { path: escape::path(path), source }
}

/// An open card file, locked until it is dropped.
pub(super) struct CardFile {
    file: Flock<File>,
    /// Of the newest record.
    counter: u64,
}

impl CardFile {
    /// Makes a file with these flash contents. It is no card file until [`CardFile::write_head`].
    pub(super) fn create(path: &Path, flash: &[u8]) -> Result<Self, CardFileError> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(path).map_err(
            |source| match source.kind() {
                io::ErrorKind::AlreadyExists => CardFileError::Exists(escape::path(path)),
                _ => io_error(path)(source),
            },
        )?;
        file.set_len(FLASH_AT + flash.len() as u64)
            .and_then(|()| file.write_all_at(flash, FLASH_AT))
            .map_err(io_error(path))?;
        let file = lock(file, path)?;
        Ok(Self { file, counter: 0 })
    }

    pub(super) fn write_head(&self, flash_size: u32) -> io::Result<()> {
        self.file.write_all_at(&head(flash_size), 0)
    }

    /// Opens a file; its newest record in JSON and its flash contents.
    pub(super) fn open(path: &Path) -> Result<(Self, Vec<u8>, Vec<u8>), CardFileError> {
        let name = escape::path(path);
        let damaged = |why: &str| CardFileError::Damaged(name.clone(), why.into());
        // Opening a device waits for nothing and makes no terminal ours; it is refused below.
        let flags = (OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits();
        let mut options = OpenOptions::new();
        options.read(true).write(true).custom_flags(flags);
        let file = options.open(path).map_err(io_error(path))?;
        let about = file.metadata().map_err(io_error(path))?;
        if !about.is_file() {
            return Err(CardFileError::NotOne(name));
        }
        let mut start = vec![0; about.len().min(HEAD_LEN as u64) as usize];
        file.read_exact_at(&mut start, 0).map_err(io_error(path))?;
        let size = parse_head(&start, &name)?;
        if size > LARGEST_FLASH {
            return Err(damaged("no chip has a flash of that size"));
        }
        if about.len() != FLASH_AT + u64::from(size) {
            return Err(damaged("it is cut short, or something was added"));
        }
        let file = lock(file, path)?;
        let newest = newest_record(&file).map_err(io_error(path))?;
        let (counter, json) = newest.ok_or_else(|| damaged("neither record is valid"))?;
        let mut flash = vec![0; size as usize];
        file.read_exact_at(&mut flash, FLASH_AT).map_err(io_error(path))?;
        Ok((Self { file, counter }, json, flash))
    }

    pub(super) fn write_flash(&self, at: usize, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, FLASH_AT + at as u64)
    }

    pub(super) fn write_record(&mut self, json: &[u8]) -> io::Result<()> {
        let counter = self.counter + 1;
        let bytes = record(counter, json).ok_or_else(|| io::Error::from(Errno::EFBIG))?;
        self.file.write_all_at(&bytes, SLOTS_AT[(counter % 2) as usize])?;
        self.counter = counter;
        Ok(())
    }
}

/// The newest record of a file, read without its lock; `None` when it has none.
pub(super) fn record_of(path: &Path) -> Option<Vec<u8>> {
    let flags = (OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).ok()?;
    let mut start = [0; HEAD_LEN];
    file.metadata().ok().filter(fs::Metadata::is_file)?;
    file.read_exact_at(&mut start, 0).ok()?;
    parse_head(&start, "").ok()?;
    Some(newest_record(&file).ok()??.1)
}

/// Counter and JSON of the newest valid record.
fn newest_record(file: &File) -> io::Result<Option<(u64, Vec<u8>)>> {
    let mut newest: Option<(u64, Vec<u8>)> = None;
    for at in SLOTS_AT {
        let mut slot = vec![0; SLOT_LEN];
        file.read_exact_at(&mut slot, at)?;
        if let Some((counter, json)) = parse_record(&slot)
            && newest.as_ref().is_none_or(|(best, _)| counter > *best)
        {
            newest = Some((counter, json.to_vec()));
        }
    }
    Ok(newest)
}

fn lock(file: File, path: &Path) -> Result<Flock<File>, CardFileError> {
    let locked = Flock::lock(file, FlockArg::LockExclusiveNonblock);
    let locked = locked.map_err(|(file, errno)| {
        if errno == Errno::EWOULDBLOCK {
            CardFileError::Busy { path: escape::path(path), pid: read_pid(&file) }
        } else {
            io_error(path)(errno.into())
        }
    })?;
    let pid = format!("{:<12}", std::process::id());
    locked.write_all_at(pid.as_bytes(), PID_AT).map_err(io_error(path))?;
    Ok(locked)
}

fn read_pid(file: &File) -> u32 {
    let mut text = [0; 12];
    file.read_exact_at(&mut text, PID_AT)
        .ok()
        .and_then(|()| std::str::from_utf8(&text).ok()?.trim().parse().ok())
        .unwrap_or(0)
}

pub(super) fn head(size: u32) -> [u8; HEAD_LEN] {
    let mut head = [0; HEAD_LEN];
    head[..16].copy_from_slice(MAGIC);
    head[16..20].copy_from_slice(&VERSION.to_le_bytes());
    head[20..24].copy_from_slice(&size.to_le_bytes());
    let crc = CRC.checksum(&head[..24]);
    head[24..].copy_from_slice(&crc.to_le_bytes());
    head
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_le_bytes)
}

/// The flash size in a head, which may be cut short.
fn parse_head(head: &[u8], path: &str) -> Result<u32, CardFileError> {
    if head.get(..16) != Some(MAGIC.as_slice()) {
        return Err(CardFileError::NotOne(path.into()));
    }
    let damaged = |why: &str| CardFileError::Damaged(path.into(), why.into());
    if head.len() < HEAD_LEN {
        return Err(damaged("it is cut short"));
    }
    // Later versions may change everything but magic and version.
    let found = word(head, 16);
    if found != VERSION {
        return Err(CardFileError::Version { path: path.into(), found, known: VERSION });
    }
    if word(head, 24) != CRC.checksum(&head[..24]) {
        return Err(damaged("the checksum of its head is wrong"));
    }
    Ok(word(head, 20))
}

/// A record for a slot; `None` when it is too long.
pub(super) fn record(counter: u64, json: &[u8]) -> Option<Vec<u8>> {
    let len = u32::try_from(json.len()).ok()?;
    if json.len() > SLOT_LEN - RECORD_HEAD {
        return None;
    }
    let mut out = Vec::with_capacity(RECORD_HEAD + json.len());
    out.extend_from_slice(&counter.to_le_bytes());
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(&record_crc(counter, json).to_le_bytes());
    out.extend_from_slice(json);
    Some(out)
}

fn record_crc(counter: u64, json: &[u8]) -> u32 {
    let mut digest = CRC.digest();
    digest.update(&counter.to_le_bytes());
    digest.update(json);
    digest.finalize()
}

/// Counter and JSON of a slot, if its record is valid.
pub(super) fn parse_record(slot: &[u8]) -> Option<(u64, &[u8])> {
    let counter = u64::from(word(slot, 0)) | u64::from(word(slot, 4)) << 32;
    let json = slot.get(RECORD_HEAD..)?.get(..word(slot, 8) as usize)?;
    let counts = (1..=LARGEST).contains(&counter);
    (counts && word(slot, 12) == record_crc(counter, json)).then_some((counter, json))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_cut_or_changed_anywhere_is_rejected() {
        let complete = record(7, b"{\"a\":1}").expect("fits");
        assert_eq!(parse_record(&complete), Some((7, b"{\"a\":1}".as_slice())));
        for len in 0..complete.len() {
            assert_eq!(parse_record(&complete[..len]), None, "cut to {len}");
        }
        for at in 0..complete.len() {
            let mut bad = complete.clone();
            bad[at] ^= 0x10;
            assert_eq!(parse_record(&bad), None, "byte {at} changed");
        }
        assert_eq!(parse_record(&[0; 64]), None, "a slot never written");
        assert!(record(1, &[b' '; SLOT_LEN]).is_none());
    }
}
