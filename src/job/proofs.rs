//! What this card has shown about chained reads, kept between jobs: one small file per card.
//!
//! Nothing here ever fails a job: a file that cannot be read is no proof, one that cannot be written
//! means that the card proves it again.

use super::store::digest;
use crate::escape;
use crate::flash::ChainVerdict;
use crate::host::{Host, InputDir, MadeDir, NewFile, UserDirs};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

const SCHEMA: u32 = 1;
/// Hex digits of the file's name.
const NAME_DIGITS: usize = 16;
/// Bytes of the file; it has some hundred.
const MAX_LEN: u64 = 64 << 10;

/// Where the proofs of one card are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ProofStore {
    dir: PathBuf,
    serial: String,
}

/// Which flash chip on which board the proof is about.
#[derive(Clone, Copy, Debug)]
pub(super) struct BoardKey<'a> {
    pub(super) jedec: u32,
    /// PSID of the image that boots.
    pub(super) psid: &'a str,
}

/// The file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ChainRecord {
    schema: u32,
    serial: String,
    jedec: String,
    board: String,
    /// UTC, RFC 3339.
    pub(super) time: String,
    pub(super) shown: ChainVerdict,
}

impl ProofStore {
    /// The store of a card with this serial number.
    pub(super) fn of(host: &Host, serial: String) -> Self {
        Self::at(&UserDirs::new(host).state.join("cards"), serial)
    }

    /// A store in `dir`.
    pub(super) fn at(dir: &Path, serial: String) -> Self {
        Self { dir: dir.to_owned(), serial }
    }

    fn path(&self, board: BoardKey<'_>) -> PathBuf {
        let key = format!("{}\n{:06x}\n{}", self.serial, board.jedec, board.psid);
        let mut name = digest(key.as_bytes());
        name.truncate(NAME_DIGITS);
        self.dir.join(format!("{name}.json"))
    }

    /// The stored verdict about this board; `None` also for a file that is not exactly ours.
    pub(super) fn load(&self, board: BoardKey<'_>) -> Option<ChainRecord> {
        let path = self.path(board);
        let never = || false;
        let name = path.file_name()?.to_str()?;
        let bytes = InputDir::open(&self.dir, &never).ok()??.read(name, MAX_LEN, &never).ok()?;
        let record: ChainRecord = match serde_json::from_slice(&bytes) {
            Ok(record) => record,
            Err(error) => {
                tracing::warn!(path = %escape::path(path), %error, "not used");
                return None;
            }
        };
        let ours = record.schema == SCHEMA
            && record.serial == self.serial
            && record.jedec == format!("{:06x}", board.jedec)
            && record.board == board.psid;
        let holds = match &record.shown {
            ChainVerdict::Proven(proof) => proof.holds(),
            ChainVerdict::Contradicted { .. } => true,
            ChainVerdict::TooLittle { .. } => false,
        };
        (ours && holds).then_some(record)
    }

    /// Stores a verdict; one that settles nothing is not stored.
    pub(super) fn save(&self, board: BoardKey<'_>, verdict: &ChainVerdict) {
        if matches!(verdict, ChainVerdict::TooLittle { .. }) {
            return;
        }
        let record = ChainRecord {
            schema: SCHEMA,
            serial: self.serial.clone(),
            jedec: format!("{:06x}", board.jedec),
            board: board.psid.to_owned(),
            time: OffsetDateTime::now_utc()
                .replace_nanosecond(0)
                .ok()
                .and_then(|t| t.format(&Rfc3339).ok())
                .unwrap_or_default(),
            shown: *verdict,
        };
        let path = self.path(board);
        match self.replace(&path, &record) {
            Ok(()) => tracing::info!(path = %escape::path(path), ?verdict, "stored"),
            Err(error) => tracing::warn!(path = %escape::path(path), %error, "not stored"),
        }
    }

    /// Withdraws the verdict: the next job compares again.
    pub(super) fn forget(&self, board: BoardKey<'_>) {
        let path = self.path(board);
        match std::fs::remove_file(&path) {
            Ok(()) => {
                tracing::warn!(path = %escape::path(path), "verdict on chained reads withdrawn")
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => tracing::warn!(path = %escape::path(path), %error, "not withdrawn"),
        }
    }

    fn replace(&self, path: &Path, record: &ChainRecord) -> std::io::Result<()> {
        let mut made = MadeDir::create(&self.dir)?;
        made.keep();
        let name = path.file_name().unwrap_or_default();
        let mut temp = name.to_owned();
        temp.push(".part");
        // Of a process that died.
        let _ = made.dir().remove_file(&temp);
        if !NewFile::private(made.dir(), &temp)?.write(&serde_json::to_vec_pretty(record)?)? {
            return Err(std::io::Error::other("it does not read back as it was written"));
        }
        made.dir().rename(&temp, name)?;
        made.dir().sync()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flash::ChainProof;

    const PROOF: ChainProof = ChainProof { chain: 4096, bytes: 1 << 20 };
    const BOARD: BoardKey<'static> = BoardKey { jedec: 0x20_7115, psid: "MT_1200111023" };

    fn store(dir: &Path) -> ProofStore {
        ProofStore::at(&dir.join("cards"), "e4-1d-2d-03-00-ab-cd-ef".into())
    }

    #[test]
    fn a_proof_is_kept_for_this_card_chip_and_board_alone() {
        let dir = tempfile::tempdir().unwrap();
        let ours = store(dir.path());
        assert_eq!(ours.load(BOARD), None);
        ours.save(BOARD, &ChainVerdict::Proven(PROOF));
        assert_eq!(ours.load(BOARD).unwrap().shown, ChainVerdict::Proven(PROOF));
        let other = ProofStore::at(&dir.path().join("cards"), "00-00".into());
        assert_eq!(other.load(BOARD), None);
        let jedec = 0xC2_2015;
        assert_eq!(ours.load(BoardKey { jedec, ..BOARD }), None);
        let psid = "MT_1090110018";
        assert_eq!(ours.load(BoardKey { psid, ..BOARD }), None);
    }

    #[test]
    fn a_contradiction_is_stored_and_too_little_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let ours = store(dir.path());
        ours.save(BOARD, &ChainVerdict::TooLittle { bytes: 16 });
        assert_eq!(ours.load(BOARD), None);
        ours.save(BOARD, &ChainVerdict::Contradicted { at: 0x40 });
        assert_eq!(ours.load(BOARD).unwrap().shown, ChainVerdict::Contradicted { at: 0x40 });
    }

    #[test]
    fn a_withdrawn_proof_is_gone_for_this_board_alone() {
        let dir = tempfile::tempdir().unwrap();
        let ours = store(dir.path());
        let psid = "MT_1090110018";
        ours.forget(BOARD);
        ours.save(BOARD, &ChainVerdict::Proven(PROOF));
        ours.save(BoardKey { psid, ..BOARD }, &ChainVerdict::Proven(PROOF));
        ours.forget(BOARD);
        assert_eq!(ours.load(BOARD), None);
        assert!(ours.load(BoardKey { psid, ..BOARD }).is_some());
    }

    #[test]
    fn a_malformed_or_short_proof_is_not_trusted() {
        let dir = tempfile::tempdir().unwrap();
        let ours = store(dir.path());
        let little = ChainProof { bytes: 64, ..PROOF };
        ours.save(BOARD, &ChainVerdict::Proven(little));
        assert_eq!(ours.load(BOARD), None);
        for bytes in [&b""[..], b"{}", b"\xFF\xFE", b"{\"schema\":1}"] {
            std::fs::write(ours.path(BOARD), bytes).unwrap();
            assert_eq!(ours.load(BOARD), None);
        }
        // Another card's file under this name.
        let other = ProofStore::at(&dir.path().join("cards"), "00-00".into());
        other.save(BOARD, &ChainVerdict::Proven(PROOF));
        std::fs::copy(other.path(BOARD), ours.path(BOARD)).unwrap();
        assert_eq!(ours.load(BOARD), None);
    }

    #[test]
    fn a_directory_that_cannot_be_written_is_no_error() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("cards");
        std::fs::write(&file, b"a file").unwrap();
        let ours = store(dir.path());
        ours.save(BOARD, &ChainVerdict::Proven(PROOF));
        assert_eq!(ours.load(BOARD), None);
    }
}
