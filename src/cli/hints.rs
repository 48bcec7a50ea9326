//! What to type next: one table, one arm per failure worth advice.

use super::exit::Exit;
use serde::Serialize;
use std::path::Path;

/// Stable name of a failure, `error.code` in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// Wrong arguments.
    Usage,
    /// No card was named and none can be guessed.
    NoCardNamed,
    /// Several cards and none named.
    Ambiguous,
    /// No such card in this machine.
    NoSuchCard,
    /// A virtual function was named.
    VirtualFunction,
    /// The card is in use, and that was not waived.
    CardInUse,
    /// The host has no IOMMU, or it is off.
    NoIommu,
    /// VFIO or the card's driver refuses.
    HostNotReady,
    /// The card was borrowed and could not be given back.
    NotPutBack,
    /// The journal of a borrowed card cannot be read.
    JournalDamaged,
    /// No card file at this path.
    CardFileMissing,
    /// A file that is no card file.
    CardFileForeign,
    /// A card file of another version of this program.
    CardFileVersion,
    /// A card file that is damaged.
    CardFileDamaged,
    /// A card file that cannot be read or written.
    CardFileIo,
    /// The card file is open in another process.
    CardBusy,
    /// A card file, image or other file to be made exists already.
    Exists,
    /// A file cannot be read.
    FileUnreadable,
    /// A file cannot be written.
    FileUnwritable,
    /// The image file is empty.
    ImageEmpty,
    /// The image file is a zip archive.
    ImageZip,
    /// The image is of another generation of chips.
    ImageGeneration,
    /// A vendor archive.
    ImageArchive,
    /// An expansion ROM was given instead of an image.
    ImageIsRom,
    /// A raw flash dump was given instead of an image.
    ImageIsDump,
    /// No image in the file.
    NoImage,
    /// The image is damaged.
    ImageDamaged,
    /// The file is no expansion ROM.
    RomUnusable,
    /// A file is longer than any of its kind.
    FileTooLarge,
    /// The image has no ROM, ini or other part that was asked for.
    NoPart,
    /// The ini has no such key.
    UnknownKey,
    /// The card holds no valid image.
    NoImageOnCard,
    /// The image cannot be changed as wanted.
    Patch,
    /// The backup directory is no backup.
    NotABackup,
    /// A check of the plan refuses.
    Refused,
    /// The card has a valid image where `recover` was asked for.
    NotNeeded,
    /// The PSIDs differ.
    PsidDiffers,
    /// The question was answered with no.
    Declined,
    /// There is no terminal to ask on and no `--yes`.
    NobodyToAsk,
    /// The user stopped it.
    Interrupted,
    /// All ones.
    CardGone,
    /// Secure host.
    CardLocked,
    /// The card does not show one state for long enough.
    CardNotReady,
    /// A semaphore stays taken.
    SemaphoreHeld,
    /// The semaphore of the tools command interface stays taken.
    ToolsSemaphoreHeld,
    /// Another tool uses the card right now.
    InUse,
    /// Not a ConnectX-3.
    NotOurs,
    /// The flash chip does not answer or is not known.
    FlashChip,
    /// The ROM is for another device.
    RomForOther,
    /// Write protection.
    Protected,
    /// The flash did not do what it was told.
    FlashFailed,
    /// Any other failure of the card.
    CardFailed,
    /// The flash was changed, and what would boot could not be read.
    OutcomeUnknown,
    /// Firmware runs, and its image reads as damaged.
    RunningImageDamaged,
    /// The card changed between the plan and the first erase.
    CardChanged,
    /// Readings of the same bytes of the flash differ.
    ReadingsDiffer,
    /// The new firmware did not come up.
    ActivateFailed,
    /// The slot's port could take the card away at a reset.
    PortRemovesCard,
    /// The running firmware is older than the interface for settings.
    NvOldFirmware,
    /// No firmware runs that could be asked for settings.
    NvNoFirmware,
    /// The firmware calls its stored settings corrupt.
    NvCorrupt,
    /// The firmware wants a driver first.
    NvNoDriver,
    /// The card has no such setting, or not this value.
    NvRefused,
    /// The firmware did not do what it was asked to.
    NvFailed,
    /// `verify` found an image file unsound.
    Unsound,
    /// `verify` found an image on the card unsound.
    UnsoundCard,
    /// `doctor` found something.
    Unhealthy,
    /// No image can be made from a description.
    Recipe,
    /// Not a fault of the simulator.
    Fault,
    /// A step of the demo ended otherwise than it should.
    Demo,
    /// The flash differs from the file.
    Differs,
    /// stdout cannot be written.
    Stdout,
    /// Something that should be impossible; a defect of this program.
    Internal,
}

/// What the table may put into an advice.
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts<'a> {
    /// The card as the user named it.
    pub card: Option<&'a str>,
    /// The image file of the command.
    pub image: Option<&'a Path>,
    /// The backup made before the failure, or named by the user.
    pub backup: Option<&'a Path>,
    /// PSID on the card and in the image.
    pub psids: Option<(&'a str, &'a str)>,
    /// The command as typed, without `--yes`.
    pub typed: Option<&'a str>,
}

/// Advice for a failure: the command to type.
#[must_use]
pub(super) fn hint(code: Code, facts: &Facts<'_>) -> Option<String> {
    let card = facts.card.map_or_else(
        || "cx3flash".to_owned(),
        |c| format!("cx3flash -d {}", quote(c)),
    );
    let image = facts
        .image
        .map_or_else(|| "IMAGE".to_owned(), |p| quote(&p.to_string_lossy()));
    let backup = facts
        .backup
        .map_or_else(|| "BACKUP".to_owned(), |p| quote(&p.to_string_lossy()));
    let text = match code {
        Code::Usage => "cx3flash --help".into(),
        Code::NoCardNamed => "cx3flash sim create card.cx3, then cx3flash -d sim:card.cx3 query".into(),
        Code::Ambiguous => format!("name one: {card} …"),
        Code::UnsoundCard => format!("{card} burn IMAGE puts a sound one there"),
        Code::Fault => {
            r#"for example: cx3flash sim fault FILE '{"fault":"power_cut","op":100,"seed":1}'"#.into()
        }
        Code::NoSuchCard => "cx3flash list shows the cards there are".into(),
        Code::VirtualFunction => "name the physical function; cx3flash list shows it".into(),
        Code::CardInUse => match facts.typed {
            Some(typed) => format!("end that use, or waive it by name: {typed} --allow ID"),
            None => "end that use, or waive it by name: --allow ID".into(),
        },
        Code::NoIommu => format!(
            "switch VT-d or AMD-Vi on in the firmware and boot with intel_iommu=on (Intel); {card} doctor says more"
        ),
        Code::HostNotReady => format!("{card} doctor says what is missing and how to mend it"),
        Code::NotPutBack => "cx3flash host restore".into(),
        Code::JournalDamaged => {
            "see by cx3flash list that the card is on its driver (if not: echo BDF > /sys/bus/pci/drivers/mlx4_core/bind), then remove the journal's two files".into()
        }
        Code::CardFileMissing => match facts.card.and_then(|c| c.strip_prefix("sim:")) {
            Some(path) => format!("make one: cx3flash sim create {}", quote(path)),
            None => "make one: cx3flash sim create FILE".into(),
        },
        Code::CardFileForeign | Code::CardFileVersion | Code::CardFileDamaged => {
            "make a new one: cx3flash sim create NEWFILE".into()
        }
        Code::CardBusy => "wait until the other process is done, then type the same again".into(),
        Code::Exists => "name a file that does not exist; nothing is ever overwritten".into(),
        Code::ImageZip => match facts.image {
            Some(_) => format!("unzip {image}, then name the .bin in it"),
            None => "unzip it, then name the .bin in it".into(),
        },
        Code::ImageGeneration => {
            "take an image for ConnectX-3 (its query shows `Image type: FS2`)".into()
        }
        Code::ImageArchive => "name the .bin for this card's PSID instead of the archive".into(),
        Code::ImageIsRom => format!("{card} rom write {image}"),
        Code::ImageIsDump => {
            "name image.bin of a backup; a whole backup goes back with: cx3flash restore BACKUP".into()
        }
        Code::ImageDamaged => format!("cx3flash verify {image} shows where; fetch the file again"),
        Code::NoImage => "name a ConnectX-3 firmware image (.bin)".into(),
        Code::NotABackup => "name the directory that holds manifest.json".into(),
        Code::FileUnwritable => {
            "name a directory that can be written and has room (--backup-dir DIR, backup: --out DIR)".into()
        }
        Code::Refused => format!("{card} plan {image} lists every check"),
        Code::RomForOther if facts.image.is_some() => format!(
            "without that ROM: {card} burn {image} --rom device   (keeps the card's; --rom none: no ROM)"
        ),
        Code::RomForOther => {
            "take the ROM for the card's device; cx3flash --json rom info FILE shows the device_id of each of its blocks".into()
        }
        Code::NotNeeded => format!("{card} burn {image}"),
        Code::PsidDiffers => match facts.psids {
            Some((from, to)) => format!(
                "if this board is really to become a {to}: {card} burn {image} --change-psid {}",
                quote(&format!("{from}:{to}"))
            ),
            None => format!("{card} plan {image} lists every check"),
        },
        Code::NobodyToAsk => match facts.typed {
            Some(typed) => format!("{typed} --yes"),
            None => "add --yes".into(),
        },
        Code::CardNotReady => {
            "wait a minute, then type the same again; if that does not help, power the machine off and on"
                .into()
        }
        Code::CardGone => "power the machine off and on, then: cx3flash list".into(),
        // Nothing shows whether its holder lives (the gateway stands still either way), so `unlock`
        // has no proof to free it by; a reset frees every semaphore.
        Code::ToolsSemaphoreHeld => format!("if no other tool is at work: {card} activate"),
        Code::SemaphoreHeld => format!("if no other tool is at work: {card} unlock"),
        Code::InUse => "let the other tool finish, then type the same again".into(),
        Code::NoImageOnCard => format!(
            "{card} recover {image} --identity BACKUP/identity.json   (or --guid G --mac M from the label)"
        ),
        Code::FlashFailed | Code::CardFailed if facts.backup.is_some() => {
            format!("{card} restore {backup}")
        }
        Code::UnknownKey => match facts.image {
            Some(_) => format!("cx3flash config show {image} lists every key"),
            None => format!("{card} config show lists every key"),
        },
        Code::Protected => format!("{card} flash protect says what is protected; --off clears it"),
        Code::FlashChip => format!("{card} flash info"),
        Code::NvOldFirmware => format!("settings need 2.31.5000 or newer: {card} burn IMAGE"),
        Code::NvNoFirmware => {
            format!("settings are kept by running firmware: {card} recover IMAGE, then reset the card")
        }
        // Why it happens is UNCONFIRMED; nv_cfg_en of the ini may be off (docs/hardware.md#settings-in-the-firmware).
        Code::NvCorrupt => format!(
            "{card} config reset erases what is stored; if that does not help, see nv_cfg_en in: {card} config show"
        ),
        // What the state is about is known from mstconfig's words alone ("Driver might be down").
        Code::NvNoDriver => format!("{card} activate, then type the same again"),
        Code::NvRefused => format!("{card} config query shows what the card has"),
        Code::NvFailed => format!("{card} config query shows what is stored"),
        Code::OutcomeUnknown => format!(
            "{card} verify shows what is on the flash (power the machine off and on first when the card does not answer); if nothing there is valid: {card} restore {backup}"
        ),
        Code::RunningImageDamaged => format!(
            "{card} verify reads it again; if the damage stays, the refused check names the command that goes on"
        ),
        Code::CardChanged => match facts.typed {
            Some(typed) => format!("run the command again: {typed}"),
            None => "run the command again".into(),
        },
        Code::ReadingsDiffer => format!(
            "{card} verify reads again; --bar-access config is the slowest and simplest register access"
        ),
        Code::PortRemovesCard => {
            "power the machine off and on, or give the card to mlx4_core once, whose probe resets it: \
             the firmware on the flash starts then"
                .into()
        }
        Code::ActivateFailed => {
            "power the machine off and on; the new firmware is on the flash".into()
        }
        Code::CardFileIo
        | Code::CardFailed
        | Code::CardLocked
        | Code::Declined
        | Code::Demo
        | Code::Differs
        | Code::FileTooLarge
        | Code::FileUnreadable
        | Code::ImageEmpty
        | Code::NoPart
        | Code::FlashFailed
        | Code::Internal
        | Code::Interrupted
        | Code::NotOurs
        | Code::Patch
        | Code::RomUnusable
        | Code::Recipe
        | Code::Stdout
        | Code::Unhealthy
        | Code::Unsound => return None,
    };
    Some(text)
}

/// Advice that follows from what is left on the card, whatever the cause was.
#[must_use]
pub(super) fn after(exit: Exit, code: Code, facts: &Facts<'_>) -> Option<String> {
    match (exit, code) {
        (Exit::OutcomeUnknown, _) => hint(Code::OutcomeUnknown, facts),
        // Silence says nothing about the flash; power does.
        (Exit::NeedsRecover | Exit::FailedBoots, Code::CardGone) => hint(Code::CardGone, facts),
        (Exit::FailedBoots, Code::ActivateFailed) => None,
        (Exit::FailedBoots, _) => facts.typed.map(|typed| format!("type it again: {typed}")),
        (Exit::NeedsRecover, _) if facts.backup.is_some() => hint(Code::FlashFailed, facts),
        (Exit::NeedsRecover, _) => hint(Code::NoImageOnCard, facts),
        _ => None,
    }
}

/// As a POSIX shell needs it.
#[must_use]
pub(super) fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::{Code, Facts, hint, quote};
    use std::path::Path;

    #[test]
    fn a_path_with_blanks_breaks_the_command() {
        let facts = Facts {
            card: Some("sim:my card.cx3"),
            image: Some(Path::new("it's.bin")),
            ..Facts::default()
        };
        assert_eq!(
            hint(Code::Refused, &facts).as_deref(),
            Some(r"cx3flash -d 'sim:my card.cx3' plan 'it'\''s.bin' lists every check")
        );
        assert_eq!(quote(""), "''");
    }
}
