//! `backup`: everything a card needs to become itself again, in one directory.

use super::readings::{UnsteadyRange, report};
use super::second_reading::second_reading;
use super::session::{CardFacts, psid_of, snapshot};
use super::store::{BackupFile, NewDir, remove_backup};
use super::{CardReport, Device, JobError};
use crate::escape::{self, ForeignText};
use crate::flash::{ChainVerdict, Event, Events, Locked, Phase};
use crate::image::{Contents, Version};
use crate::plan::{CardSnapshot, ImageSlot};
use crate::words::{self, counted};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::path::{Path, PathBuf};

/// The whole flash.
pub(super) const FLASH: &str = "flash.bin";
/// The image that would boot, contiguous.
pub(super) const IMAGE: &str = "image.bin";
/// Its ini.
const INI: &str = "config.ini";
/// Its expansion ROM.
const ROM: &str = "rom.bin";
/// Its identity.
pub(super) const IDENTITY: &str = "identity.json";
/// What belongs to what, and the digests.
pub(super) const MANIFEST: &str = "manifest.json";
/// Version of the manifest's form.
pub(super) const SCHEMA: u32 = 1;

/// `manifest.json` of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// 1.
    pub schema: u32,
    /// UTC, RFC 3339.
    pub time: String,
    /// Program and version that made it.
    pub made_by: String,
    /// What the user called the card.
    pub device: String,
    pub bdf: Option<String>,
    /// Hardware id of the chip, 0x1f5 or 0x1f7.
    pub hw_id: u16,
    pub revision: u8,
    /// JEDEC id of the flash chip, six hex digits.
    pub jedec: String,
    /// Bytes of the flash chip.
    pub flash_size: u32,
    /// PSID of the image that would boot, if there is one.
    pub psid: Option<ForeignText>,
    pub version: Option<Version>,
    /// Firmware running at that time.
    pub running: Option<Version>,
    /// Bytes that read differently each time: an interrupted erase or write left them. The last reading is
    /// stored. Absent where there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub wavering: Vec<UnsteadyRange>,
    /// Every other file of the directory.
    pub files: Vec<BackupFile>,
}

/// Answer of `backup`.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct BackupOutcome {
    pub card: CardReport,
    pub backup: Backup,
}

/// A backup that is on disk: synced, read back, digests compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(into = "BackupReport")]
pub struct Backup {
    pub dir: PathBuf,
    pub manifest: Manifest,
    /// Where two readings of the flash differed; what two consecutive readings agreed on is stored.
    pub unsteady: Vec<UnsteadyRange>,
}

/// A backup in a result. The manifest on disk has a form of its own.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Backup")]
struct BackupReport {
    /// The directory.
    dir: String,
    /// UTC, RFC 3339.
    time: String,
    /// PSID of the image that would boot.
    psid: Option<ForeignText>,
    /// Version of the image that would boot.
    fw_version: Option<Version>,
    /// Every file of the directory but the manifest.
    files: Vec<BackupFile>,
    /// Where two readings of the flash differed; what two consecutive readings agreed on is stored.
    unsteady: Vec<UnsteadyRange>,
    /// What reads differently each time, as an interrupted erase or write leaves it; the last reading is
    /// stored.
    wavering: Vec<UnsteadyRange>,
}

impl JsonSchema for Backup {
    fn schema_name() -> Cow<'static, str> {
        BackupReport::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        BackupReport::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        BackupReport::json_schema(generator)
    }
}

impl From<Backup> for BackupReport {
    fn from(backup: Backup) -> Self {
        let Backup { dir, manifest, unsteady } = backup;
        Self {
            dir: escape::file_name(dir),
            time: manifest.time,
            psid: manifest.psid,
            fw_version: manifest.version,
            files: manifest.files,
            unsteady,
            wavering: manifest.wavering,
        }
    }
}

/// Reads the whole flash, writes it and what is in it to a new directory inside `out`, and reads again
/// what no valid CRC covers.
/// On an error nothing is left behind in `out`.
pub fn backup(
    device: &mut Device,
    out: &Path,
    events: &mut dyn Events,
) -> Result<BackupOutcome, JobError> {
    let facts = CardFacts::of(device)?;
    let mut locked = device.lock()?;
    let described = facts.report(&locked);
    let (card, unsteady) = snapshot(&facts, &mut locked, Phase::Read, events)?;
    drop(locked);
    let place = reserve(&card, out)?;
    let mut backup = store(place, &facts, &card, unsteady)?;
    let (locked, chains) = confirm(&mut backup, device, &facts, &card, events)?;
    drop(locked);
    remember(chains, &facts, &card);
    Ok(BackupOutcome { card: described, backup })
}

impl Backup {
    pub(super) fn announce(&self, events: &mut dyn Events) {
        events.emit(Event::Note {
            text: format!(
                "backup in {}: {}, read back and compared with the card",
                escape::path(&self.dir),
                counted(self.manifest.files.len() + 1, "file")
            ),
        });
    }
}

/// Reads the card a second time, under the semaphores that are returned. A backup with which that
/// reading does not agree is removed.
pub(super) fn confirm<'c>(
    backup: &mut Backup,
    device: &'c mut Device,
    facts: &CardFacts,
    card: &CardSnapshot,
    events: &mut dyn Events,
) -> Result<(Locked<'c>, Option<ChainVerdict>), JobError> {
    let (locked, second) = match second_reading(device, facts, card, events) {
        Ok(agreed) => agreed,
        Err(error) => {
            discard(backup, events);
            return Err(error);
        }
    };
    report(&second.unsteady, events);
    backup.unsteady.extend(second.unsteady);
    if let Some(ChainVerdict::Contradicted { at }) = second.chains {
        events.emit(Event::Note {
            text: format!(
                "chained reads differ from single reads at {at:#x}: this card is read block by block"
            ),
        });
    }
    Ok((locked, second.chains))
}

/// Stores what the card has shown about chained reads. Called when the semaphores are free: the file
/// is synced.
pub(super) fn remember(chains: Option<ChainVerdict>, facts: &CardFacts, card: &CardSnapshot) {
    if let (Some(verdict), Some(store), Some(psid)) = (chains, &facts.proofs, psid_of(card)) {
        store.save(facts.board(card.flash_chip.jedec, psid), &verdict);
    }
}

/// Shows that a backup can be made in `out`, before a card is taken for it: a file is created there, written,
/// synced, read back and removed. A directory that is missing is made and removed.
pub fn prove_backup_dir(out: &Path) -> Result<(), JobError> {
    let name = format!(".cx3flash-{}", std::process::id());
    NewDir::create(out, &name)?.write(MANIFEST, b"{}\n").map(drop)
}

/// Take a directory for the backup of `card`, before anything is asked or done.
pub(super) fn reserve(card: &CardSnapshot, out: &Path) -> Result<NewDir, JobError> {
    let stamp = words::stamp();
    let image = card.active().and_then(|a| a.slot.image());
    let psid = image
        .and_then(|i| Some(i.info.as_ref()?.psid.as_ref()?.as_str()))
        .filter(|p| !p.is_empty())
        .unwrap_or("no-psid");
    let mac = image
        .and_then(|i| i.guids.as_ref()?.macs.first().copied())
        .filter(|mac| mac.is_valid())
        .map_or_else(|| "no-mac".to_owned(), |mac| mac.to_string());
    // A PSID comes from the card: it must not lead out of the directory.
    let psid: String = psid
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '_' || c == '-' { c } else { '_' })
        .collect();
    NewDir::create(out, &format!("{psid}_{mac}_{stamp}"))
}

/// Write what was read of a card into its directory.
pub(super) fn store(
    mut place: NewDir,
    facts: &CardFacts,
    card: &CardSnapshot,
    unsteady: Vec<UnsteadyRange>,
) -> Result<Backup, JobError> {
    let active = card.active().map(|a| a.slot);
    let contents = active.and_then(|f| f.contents.as_ref().ok());
    let mut files = vec![place.write(FLASH, &card.flash)?];
    if let Some(contents) = contents {
        files.push(place.write(IMAGE, contents.bytes())?);
    }
    if let Some(ini) = contents.and_then(|c| c.image().ini.as_ref()) {
        files.push(place.write(INI, &ini.bytes)?);
    }
    if let Some(rom) = contents.and_then(Contents::rom) {
        files.push(place.write(ROM, rom)?);
    }
    if let Some(identity) = active.and_then(ImageSlot::identity) {
        files.push(place.write(IDENTITY, &json(&identity, IDENTITY)?)?);
    }
    let info = contents.and_then(|c| c.image().info.as_ref());
    let manifest = Manifest {
        schema: SCHEMA,
        time: words::now(),
        made_by: concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION")).into(),
        device: facts.name.clone(),
        bdf: facts.bdf.clone(),
        hw_id: card.chip.hw_id,
        revision: card.chip.revision,
        jedec: format!("{:06x}", card.flash_chip.jedec),
        flash_size: card.flash_chip.geometry.size,
        psid: info.and_then(|i| i.psid.clone()),
        version: info.and_then(|i| i.fw_version),
        running: card.running,
        wavering: card.wavering.iter().cloned().map(UnsteadyRange::from).collect(),
        files,
    };
    // Last: a directory without a manifest is no backup.
    place.write(MANIFEST, &json(&manifest, MANIFEST)?)?;
    let dir = place.finish()?;
    tracing::info!(dir = %escape::path(&dir), "backup on disk, read back and compared");
    Ok(Backup { dir, manifest, unsteady })
}

fn json(value: &impl Serialize, name: &str) -> Result<Vec<u8>, JobError> {
    let mut bytes = serde_json::to_vec_pretty(value)
        .map_err(|error| JobError::BadFile { path: name.into(), why: error.to_string() })?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// Removes a backup that is not known to be what the card held.
pub(super) fn discard(backup: &Backup, events: &mut dyn Events) {
    // The manifest first: without it a directory is no backup.
    let names = std::iter::once(MANIFEST);
    let names: Vec<&str> =
        names.chain(backup.manifest.files.iter().map(|f| f.name.as_str())).collect();
    let removed = remove_backup(&backup.dir, &names);
    let dir = escape::path(&backup.dir);
    events.emit(Event::Note {
        text: match removed {
            Ok(()) => format!("the backup in {dir} was removed: no second reading has confirmed it"),
            Err(error) => format!(
                "the backup in {dir} is not confirmed by a second reading, and could not be removed: {error}"
            ),
        },
    });
}
