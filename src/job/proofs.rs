//! What this card has shown, kept between jobs: one small file per card.
//!
//! Nothing here ever fails a job: a file that cannot be read is no proof, one that cannot be written
//! means that the card proves it again.

use super::stage::{StageId, StageRecord};
use super::store::digest;
use crate::card::Chip;
use crate::escape;
use crate::flash::ChainVerdict;
use crate::host::{Host, InputDir, MadeDir, NewFile, UserDirs};
use crate::image::Version;
use crate::words::now;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Records of another version are not believed. 1 had chained reads only.
const SCHEMA: u32 = 2;
/// Hex digits of the file's name.
const NAME_DIGITS: usize = 16;
/// Bytes of the file; it has some thousand.
const MAX_LEN: u64 = 64 << 10;

/// Where the proofs of one card are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ProofStore {
    dir: PathBuf,
    serial: String,
    /// Release of the kernel.
    kernel: String,
    /// What a trace has recorded about chained reads: then nothing is read or stored.
    recorded: Option<Option<ChainVerdict>>,
}

/// What the proof is about: another chip, board or firmware proves it for itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct BoardKey<'a> {
    pub(super) chip: Chip,
    /// The firmware that runs.
    pub(super) running: Option<Version>,
    /// The flash chip; `None` = not known, then any.
    pub(super) jedec: Option<u32>,
    /// PSID of the image that boots; `None` as for `jedec`.
    pub(super) psid: Option<&'a str>,
}

/// The key as the file has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct RecordKey {
    serial: String,
    chip: String,
    /// Running version; `None` in recovery mode.
    firmware: Option<String>,
    kernel: String,
    jedec: Option<String>,
    board: Option<String>,
}

impl RecordKey {
    /// Both are about the same, as far as each of them knows.
    fn fits(&self, other: &Self) -> bool {
        let agree = |a: &Option<String>, b: &Option<String>| a.is_none() || b.is_none() || a == b;
        (&self.serial, &self.chip, &self.firmware, &self.kernel)
            == (&other.serial, &other.chip, &other.firmware, &other.kernel)
            && agree(&self.jedec, &other.jedec)
            && agree(&self.board, &other.board)
    }
}

/// What the boot ROM of this card makes of the boot address register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum AddressFact {
    /// With two complete images, it started the one that the register named.
    Honoured,
    /// It starts an image that a trial did not.
    Ignored,
    /// A trial of this version ended in the old one. Why is not known.
    Refused { new: Version },
}

/// [`AddressFact`], and how it was seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct AddressRecord {
    pub(super) fact: AddressFact,
    pub(super) how: String,
    /// UTC, RFC 3339.
    pub(super) time: String,
}

impl AddressRecord {
    pub(super) fn now(fact: AddressFact, how: String) -> Self {
        Self { fact, how, time: now() }
    }
}

/// The register at 0x41270 did not change while firmware ran.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StillRecord {
    pub(super) how: String,
    /// UTC, RFC 3339.
    pub(super) time: String,
}

/// The file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct CardRecord {
    schema: u32,
    key: RecordKey,
    /// UTC, RFC 3339.
    pub(super) time: String,
    /// Chained reads compared with single reads.
    pub(super) chains: Option<ChainVerdict>,
    /// Results of the self-test, or of its quick stages.
    pub(super) stages: Vec<StageRecord>,
    /// Of the card's boot ROM: believed whatever firmware, board or kernel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    boot_address: Option<AddressRecord>,
    /// Of the card, as above.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    register_still: Option<StillRecord>,
}

impl CardRecord {
    /// The result of a stage, where it was run.
    pub(super) fn result(&self, id: StageId) -> Option<&StageRecord> {
        self.stages.iter().find(|stage| stage.id == id)
    }
}

impl ProofStore {
    pub(super) fn serial(&self) -> String {
        self.serial.clone()
    }

    /// The store of a card with this serial number.
    pub(super) fn of(host: &Host, serial: String) -> Self {
        let kernel = host.kernel_release();
        Self { kernel, ..Self::at(&UserDirs::new(host).state.join("cards"), serial) }
    }

    /// A store in `dir`.
    pub(super) fn at(dir: &Path, serial: String) -> Self {
        Self { dir: dir.to_owned(), serial, kernel: String::new(), recorded: None }
    }

    /// The store of the card of a trace.
    pub(super) fn recorded(known: Option<ChainVerdict>) -> Self {
        Self { recorded: Some(known), ..Self::at(Path::new(""), String::new()) }
    }

    fn key(&self, board: BoardKey<'_>) -> RecordKey {
        RecordKey {
            serial: self.serial.clone(),
            chip: format!("{:#x} {}", board.chip.hw_id, board.chip.revision),
            firmware: board.running.map(|version| version.to_string()),
            kernel: self.kernel.clone(),
            jedec: board.jedec.map(|jedec| format!("{jedec:06x}")),
            board: board.psid.map(str::to_owned),
        }
    }

    /// The file of this card.
    fn path(&self) -> PathBuf {
        let mut name = digest(self.serial.as_bytes());
        name.truncate(NAME_DIGITS);
        self.dir.join(format!("{name}.json"))
    }

    /// What is stored about this board; `None` also for a file that is not exactly ours.
    pub(super) fn load(&self, board: BoardKey<'_>) -> Option<CardRecord> {
        if let Some(known) = self.recorded {
            return Some(self.record(board, Some(known?), Vec::new()));
        }
        let record = self.read()?;
        let ours = record.key.fits(&self.key(board));
        let holds = match &record.chains {
            Some(ChainVerdict::Proven(proof)) => proof.holds(),
            Some(ChainVerdict::Contradicted { .. }) | None => true,
            Some(ChainVerdict::TooLittle { .. }) => false,
        };
        (ours && holds).then_some(record)
    }

    /// PSID of the card when it was last read, whatever firmware and kernel run now.
    pub(super) fn last_psid(&self) -> Option<String> {
        self.of_serial()?.key.board
    }

    fn of_serial(&self) -> Option<CardRecord> {
        self.read().filter(|record| record.key.serial == self.serial)
    }

    /// Stores the PSID of this board for lists of cards, where it is not known yet.
    pub(super) fn note(&self, board: BoardKey<'_>) {
        if self.recorded.is_some() || board.psid.is_none() {
            return;
        }
        if self.last_psid().as_deref() != board.psid {
            let known = self.load(board);
            let stages = known.as_ref().map(|record| record.stages.clone()).unwrap_or_default();
            self.store(board, known.and_then(|record| record.chains), stages);
        }
    }

    fn read(&self) -> Option<CardRecord> {
        let path = self.path();
        let never = || false;
        let name = path.file_name()?.to_str()?;
        let bytes = InputDir::open(&self.dir, &never).ok()??.read(name, MAX_LEN, &never).ok()?;
        match serde_json::from_slice::<CardRecord>(&bytes) {
            Ok(record) => (record.schema == SCHEMA).then_some(record),
            Err(error) => {
                tracing::warn!(path = %escape::path(path), %error, "not used");
                None
            }
        }
    }

    /// What the boot ROM of this card makes of the boot address register.
    pub(super) fn address(&self, board: BoardKey<'_>) -> Option<AddressRecord> {
        if self.recorded.is_some() {
            return None;
        }
        self.of_card(board)?.boot_address
    }

    /// That the register at 0x41270 of this card does not change.
    pub(super) fn still(&self, board: BoardKey<'_>) -> Option<StillRecord> {
        if self.recorded.is_some() {
            return None;
        }
        self.of_card(board)?.register_still
    }

    /// The record, whatever the firmware, board or kernel.
    fn of_card(&self, board: BoardKey<'_>) -> Option<CardRecord> {
        let key = self.key(board);
        let same = |record: &CardRecord| {
            (&record.key.serial, &record.key.chip) == (&key.serial, &key.chip)
        };
        self.read().filter(same)
    }

    /// Stores that, or withdraws it with `None`; whether it could be written.
    pub(super) fn save_still(&self, board: BoardKey<'_>, how: Option<String>) -> bool {
        let known = self.load(board);
        let mut record = known.unwrap_or_else(|| self.record(board, None, Vec::new()));
        record.register_still = how.map(|how| StillRecord { how, time: now() });
        self.keep(&record).is_some()
    }

    /// Stores that beside what is known.
    pub(super) fn save_address(&self, board: BoardKey<'_>, address: AddressRecord) {
        let known = self.load(board);
        let mut record = known.unwrap_or_else(|| self.record(board, None, Vec::new()));
        record.boot_address = Some(address);
        self.keep(&record);
    }

    /// Stores a verdict about chained reads beside what is known; one that settles nothing is not stored.
    pub(super) fn save(&self, board: BoardKey<'_>, verdict: &ChainVerdict) {
        if !matches!(verdict, ChainVerdict::TooLittle { .. }) {
            let stages = self.load(board).map(|record| record.stages).unwrap_or_default();
            self.store(board, Some(*verdict), stages);
        }
    }

    /// Stores the results of stages beside what is known, and a verdict about chained reads. Where the file
    /// is, when it could be written.
    pub(super) fn save_stages(
        &self,
        board: BoardKey<'_>,
        chains: Option<ChainVerdict>,
        stages: Vec<StageRecord>,
    ) -> Option<PathBuf> {
        let known = self.load(board).and_then(|record| record.chains);
        let settled = chains.filter(|v| !matches!(v, ChainVerdict::TooLittle { .. }));
        self.store(board, settled.or(known), stages)
    }

    fn store(
        &self,
        board: BoardKey<'_>,
        chains: Option<ChainVerdict>,
        stages: Vec<StageRecord>,
    ) -> Option<PathBuf> {
        self.keep(&self.record(board, chains, stages))
    }

    fn keep(&self, record: &CardRecord) -> Option<PathBuf> {
        if self.recorded.is_some() {
            return None;
        }
        let path = self.path();
        match self.replace(&path, record) {
            Ok(()) => {
                tracing::info!(path = %escape::path(&path), chains = ?record.chains, "stored");
                Some(path)
            }
            Err(error) => {
                tracing::warn!(path = %escape::path(&path), %error, "not stored");
                None
            }
        }
    }

    fn record(
        &self,
        board: BoardKey<'_>,
        chains: Option<ChainVerdict>,
        stages: Vec<StageRecord>,
    ) -> CardRecord {
        CardRecord {
            schema: SCHEMA,
            key: self.key(board),
            time: now(),
            chains,
            stages,
            boot_address: self.address(board),
            register_still: self.still(board),
        }
    }

    /// Withdraws the verdict about chained reads: the next job compares again.
    pub(super) fn forget(&self, board: BoardKey<'_>) {
        let Some(mut record) = self.load(board).filter(|record| record.chains.is_some()) else {
            return;
        };
        tracing::warn!(path = %escape::path(self.path()), "verdict on chained reads withdrawn");
        record.stages.retain(|stage| !stage.id.is_about_chains());
        self.store(board, None, record.stages);
    }

    fn replace(&self, path: &Path, record: &CardRecord) -> std::io::Result<()> {
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
    use crate::job::stage::StageResult;

    const PROOF: ChainProof = ChainProof { chain: 4096, bytes: 1 << 20 };
    const BOARD: BoardKey<'static> = BoardKey {
        chip: Chip { hw_id: 0x1F5, revision: 1 },
        running: Some(Version { major: 2, minor: 42, subminor: 5000 }),
        jedec: Some(0x20_7115),
        psid: Some("MT_1200111023"),
    };

    fn store(dir: &Path) -> ProofStore {
        ProofStore::at(&dir.join("cards"), "e4-1d-2d-03-00-ab-cd-ef".into())
    }

    #[test]
    fn a_record_is_believed_for_its_card_chip_board_firmware_and_kernel_alone() {
        let dir = tempfile::tempdir().unwrap();
        let ours = store(dir.path());
        assert_eq!(ours.load(BOARD), None);
        ours.save(BOARD, &ChainVerdict::Proven(PROOF));
        assert_eq!(ours.load(BOARD).unwrap().chains, Some(ChainVerdict::Proven(PROOF)));
        let other = ProofStore::at(&dir.path().join("cards"), "00-00".into());
        assert_eq!(other.load(BOARD), None);
        let kernel = ProofStore { kernel: "6.1".into(), ..ours.clone() };
        assert_eq!(kernel.load(BOARD), None);
        let older = Version { major: 2, minor: 36, subminor: 5150 };
        for other in [
            BoardKey { jedec: Some(0xC2_2015), ..BOARD },
            BoardKey { psid: Some("MT_1090110018"), ..BOARD },
            BoardKey { running: None, ..BOARD },
            BoardKey { running: Some(older), ..BOARD },
            BoardKey { chip: Chip { hw_id: 0x1F5, revision: 0 }, ..BOARD },
        ] {
            assert_eq!(ours.load(other), None, "{other:?}");
        }
        // A test that did not get as far as the flash is about the card with any.
        assert!(ours.load(BoardKey { jedec: None, psid: None, ..BOARD }).is_some());
    }

    #[test]
    fn a_record_of_another_version_is_not_believed() {
        let dir = tempfile::tempdir().unwrap();
        let ours = store(dir.path());
        ours.save(BOARD, &ChainVerdict::Proven(PROOF));
        let text = std::fs::read_to_string(ours.path()).unwrap();
        let other = text.replace("\"schema\": 2", "\"schema\": 3");
        assert_ne!(text, other);
        std::fs::write(ours.path(), other).unwrap();
        assert_eq!(ours.load(BOARD), None);
    }

    #[test]
    fn the_psid_is_known_to_lists_and_a_known_one_replaces_no_record() {
        let dir = tempfile::tempdir().unwrap();
        let ours = store(dir.path());
        assert_eq!(ours.last_psid(), None);
        ours.note(BoardKey { psid: None, ..BOARD });
        assert_eq!(ours.last_psid(), None);
        ours.save(BOARD, &ChainVerdict::Proven(PROOF));
        // After an update, or under another kernel.
        let kernel = ProofStore { kernel: "6.1".into(), ..ours.clone() };
        kernel.note(BoardKey { running: None, ..BOARD });
        assert_eq!(kernel.last_psid().as_deref(), BOARD.psid);
        assert_eq!(ours.load(BOARD).unwrap().chains, Some(ChainVerdict::Proven(PROOF)));
        ours.note(BoardKey { psid: Some("DEL_1"), ..BOARD });
        assert_eq!(ours.last_psid().as_deref(), Some("DEL_1"));
    }

    #[test]
    fn a_contradiction_is_stored_and_too_little_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let ours = store(dir.path());
        ours.save(BOARD, &ChainVerdict::TooLittle { bytes: 16 });
        assert_eq!(ours.load(BOARD), None);
        ours.save(BOARD, &ChainVerdict::Contradicted { at: 0x40 });
        let stored = ours.load(BOARD).unwrap().chains;
        assert_eq!(stored, Some(ChainVerdict::Contradicted { at: 0x40 }));
    }

    #[test]
    fn a_withdrawn_proof_is_gone_and_the_other_results_stay() {
        let dir = tempfile::tempdir().unwrap();
        let ours = store(dir.path());
        ours.forget(BOARD);
        let stage = |id| StageRecord {
            id,
            result: StageResult::Proved,
            detail: String::new(),
            agreed: None,
        };
        let stages = vec![stage(StageId::Gateway), stage(StageId::Chains64)];
        ours.save_stages(BOARD, Some(ChainVerdict::Proven(PROOF)), stages);
        ours.forget(BOARD);
        let left = ours.load(BOARD).unwrap();
        assert_eq!(left.chains, None);
        assert!(left.result(StageId::Gateway).is_some());
        assert!(left.result(StageId::Chains64).is_none());
    }

    #[test]
    fn a_malformed_or_short_proof_is_not_trusted() {
        let dir = tempfile::tempdir().unwrap();
        let ours = store(dir.path());
        let little = ChainProof { bytes: 64, ..PROOF };
        ours.save(BOARD, &ChainVerdict::Proven(little));
        assert_eq!(ours.load(BOARD), None);
        for bytes in [&b""[..], b"{}", b"\xFF\xFE", b"{\"schema\":1}"] {
            std::fs::write(ours.path(), bytes).unwrap();
            assert_eq!(ours.load(BOARD), None);
        }
        // Another card's file under this name.
        let other = ProofStore::at(&dir.path().join("cards"), "00-00".into());
        other.save(BOARD, &ChainVerdict::Proven(PROOF));
        std::fs::copy(other.path(), ours.path()).unwrap();
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
