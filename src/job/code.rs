//! The stable names of failures, their exit codes and their advice: the table.

use super::exit::Exit;
use crate::image::{FileFormat, Mac};
use crate::plan::CheckId;
use schemars::JsonSchema;
use serde::Serialize;

/// Stable name of a failure, `error.code` in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    Usage,
    NoCardNamed,
    Ambiguous,
    NoSuchCard,
    VirtualFunction,
    #[serde(rename = "in_use")]
    CardInUse,
    NoIommu,
    /// VFIO or the card's driver failed.
    HostNotReady,
    /// The card was borrowed and could not be returned to its driver.
    NotPutBack,
    JournalDamaged,
    /// It may be the journal of one of several cards.
    JournalUnclear,
    /// `host forget`: the card still waits to be given back.
    JournalOwed,
    CardFileMissing,
    /// The file is not a card file.
    CardFileForeign,
    CardFileVersion,
    CardFileDamaged,
    CardFileIo,
    /// The card file is open in another process.
    CardBusy,
    /// A file that is to be created exists.
    Exists,
    FileUnreadable,
    FileUnwritable,
    ImageEmpty,
    /// A file of another format, which the message names.
    ForeignFile,
    /// Only the beginning of an image.
    ImageCutShort,
    /// The image is for another generation of chips.
    ImageGeneration,
    ArchiveDamaged,
    /// It unpacks to more than the program takes.
    ArchiveTooLarge,
    /// The path of a member leads out of the archive.
    ArchivePath,
    /// More than one image is in the archive.
    SeveralImages,
    /// No image of this name is in the archive.
    NoSuchMember,
    /// `--from`: no valid image is for the card's PSID and silicon.
    NoImageFits,
    /// `--from`: different images of the same newest version fit.
    SeveralImagesFit,
    /// A directory has more files than an image store.
    StoreTooLarge,
    /// An expansion ROM was given instead of an image.
    ImageIsRom,
    /// A raw flash dump was given instead of an image.
    ImageIsDump,
    /// The file holds no image.
    NoImage,
    ImageDamaged,
    RomUnusable,
    FileTooLarge,
    /// The file is no trace, or one of another version.
    NotATrace,
    /// The command of the trace cannot be replayed, or its card cannot be simulated.
    TraceUnfit,
    /// The trace ends before the recording did.
    TraceCut,
    /// The program makes another access than the recorded one.
    TraceDiverges,
    /// The trace and the simulated card disagree.
    TraceDiffers,
    /// The image has no ROM, ini or other section that was requested.
    NoPart,
    /// The ini has no such key.
    UnknownKey,
    /// The card holds no valid image.
    NoImageOnCard,
    /// The card's image is complete, and whether it boots is not known.
    ImageUnsure,
    /// The image cannot be changed as requested.
    Patch,
    NotABackup,
    /// A check of the plan refuses.
    Refused,
    /// The image is older than the one on the card.
    #[serde(rename = "version")]
    OlderVersion,
    /// The file is not the one of `--expect`.
    #[serde(rename = "expected_file")]
    OtherFile,
    /// `recover`, and the card has a valid image.
    #[serde(rename = "no_valid_image")]
    NotNeeded,
    #[serde(rename = "psid")]
    PsidDiffers,
    Declined,
    /// There is no terminal for the question and no `--yes`.
    NoTerminal,
    Interrupted,
    /// Registers read all ones.
    CardGone,
    /// Secure host: registers read 0xbad0cafe.
    CardLocked,
    /// The firmware of a locked card does not accept the key.
    KeyRefused,
    /// The firmware of a locked card accepts no key.
    NoHwAccess,
    /// The key could not be sent to a locked card.
    HwAccessFailed,
    CardNotReady,
    SemaphoreHeld,
    /// The semaphore of the tools command interface stays taken.
    ToolsSemaphoreHeld,
    /// Another tool uses the card now.
    #[serde(rename = "semaphore_in_use")]
    InUse,
    /// The chip is not a ConnectX-3.
    NotOurs,
    /// The flash chip does not answer or is unknown.
    FlashChip,
    /// The ROM is for another device.
    #[serde(rename = "rom_device")]
    RomForOther,
    #[serde(rename = "protection")]
    Protected,
    FlashFailed,
    CardFailed,
    OutcomeUnknown,
    /// Firmware runs, and its image reads as damaged.
    #[serde(rename = "running_image")]
    RunningImageDamaged,
    /// The card changed between the plan and the first erase.
    CardChanged,
    /// Readings of the same bytes of the flash differ.
    ReadingsDiffer,
    /// The new firmware did not start.
    ActivateFailed,
    /// The new firmware did not start on trial, and the card went back to the old one.
    NotStarted,
    /// The slot's port could remove the card at a reset.
    PortRemovesCard,
    /// The running firmware is older than the interface for settings.
    NvOldFirmware,
    NvNoFirmware,
    /// The firmware reports its stored settings as corrupt.
    NvCorrupt,
    /// The firmware requires a driver first.
    NvNoDriver,
    /// The card has no such setting, or not this value.
    NvRefused,
    NvFailed,
    /// `verify`: an image file is not valid.
    ImageNotValid,
    /// `verify`: an image on the card is not valid.
    /// `selftest`: this card does not do what is assumed of it; a job that needs it is refused.
    Contradicted,
    CardImageNotValid,
    /// `selftest --expendable`: another card has this serial number.
    OtherSerial,
    /// A check of `doctor` fails.
    Unhealthy,
    /// No image can be built from a description.
    Recipe,
    /// Not a fault of the simulator.
    Fault,
    /// A step of the demo ended with another exit code than expected.
    Demo,
    /// The flash differs from the file.
    Differs,
    Stdout,
    /// A defect of this program.
    Internal,
}

/// The way on from an image that is complete and not relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteAnew {
    /// It cannot be made right: another one.
    OtherImage,
    /// The same image with its CRCs right, by an `identity set` that changes no GUID and no MAC. The MAC of port
    /// 1 is enough where that of port 2 is the next one.
    SameImage(Option<Mac>),
}

/// Templates of an advice. The first one whose `<names>` are all known is used.
pub(super) type Advice = &'static [&'static str];

pub(super) const RECOVER: Advice = &[
    "identity from a backup (or from the label: --guid G --mac M): <card> recover <image|IMAGE> --identity BACKUP/identity.json",
];
pub(super) const RUN_AGAIN: Advice = &["run the command again: <typed>", "run the command again"];
/// The flash holds a valid image whose firmware does not run: `recover` is for cards without one.
pub(super) const BURN_ANOTHER: Advice = &[
    "write the firmware that ran before: <card> restore BACKUP, or: <card> burn IMAGE --allow-older",
];
/// It is on the card, and `recover` was refused for that.
pub(super) const IS_THERE: Advice = &[
    "if its firmware does not run, write the one that ran before: <card> restore BACKUP, or: <card> burn IMAGE --allow-older",
];
/// Root is what is missing.
pub(super) const AS_ROOT: Advice = &["run it as root: <as_root>", "run it as root"];
pub(super) const IDENTITY_VALUES: Advice =
    &["name identity.json of a backup, or give the values: --guid G --mac M"];
pub(super) const WRITE_AS_IMAGE: Advice = &["write it as an image: <card> burn <image>"];
/// `<parts>` is the command of the shell that joins them.
pub(super) const JOIN_PARTS: &str = "join all parts, then name the whole: <parts>";
/// What a chip's protection can be set to is known from its state.
pub(super) const PROTECTION: Advice = &["see what can be set on this chip: <card> flash protect"];
const AGAIN: Advice =
    &["download the file again, and compare its length or digest with the vendor's"];
const POWER_CYCLE: Advice = &["power the machine off and on, then: cx3flash list"];
const OTHER_IMAGE: Advice =
    &["name an image or a backup for this card; its PSID and chip: <card> query"];
/// The image is complete and its CRCs are not relied on: writing it again changes no GUID and no MAC.
pub(super) const WRITE_ANEW: Advice = &[
    "write it anew with its CRCs right: `<card> identity set --mac <mac>`, or an image: `<card> burn IMAGE`",
    "write it anew with its CRCs right: `<card> backup`, then `<card> identity set --identity BACKUP/identity.json`, or an image: `<card> burn IMAGE`",
];
pub(super) const WRITE_IMAGE: Advice = &["write an image: `<card> burn IMAGE`"];
/// What the bus shows decides what to do.
pub(super) const NO_CARD: &str = "lspci -nn -d 15b3:   # no line: power off, seat the card again or try another slot; \
     an id other than 1003, 1007, 01f6 and 01f8: not a ConnectX-3";

/// Whether nothing but another image or backup helps when this check refuses.
pub(super) const fn needs_another(id: CheckId, restores: bool) -> bool {
    match id {
        CheckId::ImageValid
        | CheckId::BackupValid
        | CheckId::IdentityFits
        | CheckId::ImageSize
        | CheckId::Layout
        | CheckId::ChunkSize
        | CheckId::ConfigPad
        | CheckId::Silicon
        | CheckId::Fits
        | CheckId::FlashSize => true,
        // `burn` and `plan` have an option for it.
        CheckId::Psid => restores,
        _ => false,
    }
}

/// What to type next when this check refuses and no [`Code`] is for it.
pub(super) const fn check(id: CheckId) -> Advice {
    match id {
        CheckId::ImageValid => &[
            "see the damage, then download the file again: cx3flash verify <image>",
            "see the damage: <card> verify",
        ],
        CheckId::RomDevice => Code::RomForOther.advice(),
        CheckId::BackupValid => &["name another backup"],
        CheckId::Signatures => {
            &["start one of the images, then run the command again: <card> activate"]
        }
        CheckId::Identity => &[
            "if the backup is from before a change of identity, name both MACs: <restore --change-mac [macs]>",
            "name identity.json of another backup, or the values of the label: <recover>",
            "give the card its identity first (or --identity BACKUP/identity.json): <card> identity set --guid G --mac M",
        ],
        CheckId::Rom => &[
            "keep the card's ROM: <burn --rom device>",
            "leave the ROM out: <burn --rom none>",
            "see its PCI images: cx3flash rom info <rom>",
            "see the card's ROM: <card> rom info",
        ],
        CheckId::Protection => Code::Protected.advice(),
        CheckId::IdentityFits
        | CheckId::ImageSize
        | CheckId::Layout
        | CheckId::ChunkSize
        | CheckId::ConfigPad
        | CheckId::Silicon
        | CheckId::Psid
        | CheckId::Version
        | CheckId::Fits
        | CheckId::FlashSize => OTHER_IMAGE,
        CheckId::ExpectedFile
        | CheckId::Selftest
        | CheckId::NoValidImage
        | CheckId::OldImage
        | CheckId::RunningImage
        | CheckId::PatchedImage
        | CheckId::NvArea
        | CheckId::Interruption => &[],
    }
}

/// How to get to an image from a file of another format.
pub(super) const fn unpacked(format: FileFormat) -> Advice {
    match format {
        // flint's mouth and `restore` do not look inside.
        FileFormat::Zip | FileFormat::Gzip | FileFormat::Tar => {
            &["unpack it, or see what `burn` would take from it: cx3flash query <image>"]
        }
        FileFormat::Xz => {
            &["unpack it and name the .bin inside: tar -xf <image>, or: xz -dk <image>"]
        }
        FileFormat::Bzip2 => {
            &["unpack it and name the .bin inside: tar -xf <image>, or: bzip2 -dk <image>"]
        }
        FileFormat::Zstd => {
            &["unpack it and name the .bin inside: tar -xf <image>, or: zstd -d <image>"]
        }
        FileFormat::Lz4 => &["unpack it and name the .bin inside: lz4 -dk <image>"],
        FileFormat::SevenZip => &["unpack it and name the .bin inside: 7z x <image>"],
        FileFormat::Rar => &["unpack it and name the .bin inside: unrar x <image>"],
        FileFormat::Cabinet => &["unpack it and name the .bin inside: cabextract <image>"],
        FileFormat::Cpio => &["unpack it and name the .bin inside: cpio -idF <image>"],
        FileFormat::Rpm => &["unpack it and name the .bin inside: rpm2cpio <image> | cpio -idm"],
        FileFormat::Deb => &["unpack it and name the .bin inside: dpkg-deb -x <image> unpacked"],
        FileFormat::Mfa | FileFormat::Mfa2 => {
            &["name the .bin for this card's PSID instead of the archive"]
        }
        FileFormat::Html => &[
            "the site sent a page instead of the file: open it in a browser, log in, download the file again",
        ],
        FileFormat::Ini => &[
            "name the .bin made with it: an ini is one of its two sources (the ini of an image: cx3flash config show IMAGE)",
        ],
        FileFormat::Mlx => {
            &["make a .bin from it with the vendor's mlxburn and the board's ini, then name that"]
        }
        FileFormat::Script | FileFormat::WindowsProgram | FileFormat::Elf => {
            &["unpack it as its vendor describes, then name the .bin inside"]
        }
        FileFormat::SimulatedCard => &["name it as a card: cx3flash -d sim:<image> query"],
        FileFormat::Zeros | FileFormat::Blank => AGAIN,
        FileFormat::Text | FileFormat::Pdf => NAME_IMAGE,
    }
}

const NAME_IMAGE: Advice = &["name a ConnectX-3 firmware image (.bin)"];

impl Code {
    /// Exit code where the flash was not changed.
    pub fn exit(self) -> Exit {
        match self {
            Self::Usage | Self::NoTerminal | Self::Fault => Exit::Usage,
            Self::NoCardNamed
            | Self::Ambiguous
            | Self::NoSuchCard
            | Self::NotOurs
            | Self::CardFileMissing
            | Self::CardFileForeign
            | Self::CardFileVersion
            | Self::CardFileDamaged
            | Self::CardFileIo => Exit::NoCard,
            Self::VirtualFunction
            | Self::Protected
            | Self::CardInUse
            | Self::Refused
            | Self::OtherFile
            | Self::OlderVersion
            | Self::NoImageFits
            | Self::SeveralImagesFit
            | Self::RomForOther
            | Self::NotNeeded
            | Self::PsidDiffers
            | Self::RunningImageDamaged
            | Self::NvRefused
            | Self::JournalOwed
            | Self::OtherSerial
            | Self::PortRemovesCard => Exit::Refused,
            Self::NoIommu
            | Self::HostNotReady
            | Self::CardBusy
            | Self::InUse
            | Self::CardNotReady
            | Self::SemaphoreHeld
            | Self::ToolsSemaphoreHeld
            | Self::Unhealthy => Exit::NotReady,
            Self::NotPutBack | Self::JournalDamaged | Self::JournalUnclear => Exit::HostNotRestored,
            Self::OutcomeUnknown => Exit::OutcomeUnknown,
            Self::ActivateFailed | Self::NotStarted => Exit::StillBoots,
            Self::Interrupted => Exit::Interrupted,
            _ => Exit::Failed,
        }
    }

    /// What to type next where the flash was not changed.
    pub(super) const fn advice(self) -> Advice {
        match self {
            Self::Usage => &["cx3flash --help"],
            Self::NoCardNamed => &[
                "see what is on the bus: lspci -nn -d 15b3: (no line: seat the card again or try another slot); \
                 or try a simulated card: cx3flash sim create card.cx3 && cx3flash -d sim:card.cx3 query",
            ],
            Self::Ambiguous => {
                &["choose one, for example: <on>", "choose one, for example: <card> query"]
            }
            Self::NoSuchCard => &["list the cards: cx3flash list"],
            Self::VirtualFunction => &["name the physical function; list the cards: cx3flash list"],
            Self::CardInUse => {
                &["end that use, or allow it: <allowed>", "end that use, or allow it: <uses>"]
            }
            Self::NoIommu => &[
                "enable VT-d or AMD-Vi in the firmware setup and boot with intel_iommu=on (Intel); \
                 then check: <card> doctor",
            ],
            Self::HostNotReady => &["see what is missing and how to fix it: <card> doctor"],
            Self::NotPutBack | Self::JournalOwed => &[
                "<root>cx3flash host restore",
                "see what keeps it from going back, then run the command again: <card> doctor",
            ],
            Self::JournalDamaged => {
                &["once the card is bound to its driver (if it is not: echo <bdf|BDF> > \
                 /sys/bus/pci/drivers/mlx4_core/bind), drop the journal: <root>cx3flash host forget <bdf|BDF>"]
            }
            Self::JournalUnclear => {
                &["once each of these cards is bound to its driver, drop the journal: \
                 <root>cx3flash host forget <bdf|BDF>"]
            }
            Self::CardFileMissing => &["create one: cx3flash sim create <file|FILE>"],
            Self::CardFileForeign | Self::CardFileVersion | Self::CardFileDamaged => {
                &["create a new one: cx3flash sim create new.cx3"]
            }
            // Another look leads here for as long as the program runs.
            Self::InUse => &[
                "end the program that uses the flash (mst, flint, mstflint or another cx3flash); if none runs, power the machine off and on",
            ],
            Self::CardBusy => &[
                "wait until the other process ends, then: <typed>",
                "wait until the other process ends, then run the command again",
            ],
            Self::Exists => {
                &["name a file that does not exist; existing files are never overwritten"]
            }
            Self::SeveralImages => &[
                "name one of them, for example: <chosen>",
                "name one of them behind its archive, for example: cx3flash query <choice>",
            ],
            Self::NoImageFits => &["see what is there: cx3flash images <image>"],
            Self::SeveralImagesFit => &[
                "name one of them, for example: <chosen>",
                "name one of them, for example: <card> plan <choice>",
            ],
            Self::StoreTooLarge => &["name the directory that holds the images"],
            Self::NoSuchMember => &["list the images inside: cx3flash query <image>"],
            Self::ArchiveDamaged
            | Self::ImageCutShort
            | Self::ImageEmpty
            | Self::ImageDamaged
            | Self::ImageNotValid => AGAIN,
            Self::ArchiveTooLarge => &["unpack it and name the .bin file inside"],
            Self::ArchivePath => &[
                "download the file again from its vendor, or name the .bin file that belongs in it",
            ],
            Self::ImageGeneration => {
                &["use an image for ConnectX-3 (its query shows `Image type: FS2`)"]
            }
            Self::ImageIsRom => &[
                "write it as a ROM: <named> rom write <image>",
                "see what it holds: cx3flash rom info <image>",
            ],
            Self::ImageIsDump => {
                &["name image.bin of a backup, or restore a backup: <card> restore BACKUP"]
            }
            Self::NoImage => NAME_IMAGE,
            Self::NotABackup => &["name the directory that holds manifest.json"],
            Self::FileUnwritable => &[
                "name a place that exists, can be written and has free space; of backups: --backup-dir DIR (`backup`: --out DIR)",
            ],
            Self::UnknownKey => &[
                "list every key: cx3flash config show <image>",
                "list every key: <card> config show",
            ],
            Self::OtherFile => &[
                "if this is the right file, read its plan, then burn it by the digest shown there: <card> plan <image>",
            ],
            Self::OlderVersion => &[
                "if the older firmware is wanted: <burn --allow-older>",
                "if the older firmware is wanted, add --allow-older",
            ],
            Self::RomForOther => &[
                "keep the card's ROM (--rom none: no ROM): <burn --rom device>",
                "leave the ROM out: <burn --rom none>",
                "use a ROM for the card's device; the devices of this one: cx3flash rom info <rom>",
                "use an image with a ROM for the card's device; the devices of this one's: cx3flash rom info <image>",
            ],
            Self::NotNeeded => &["<card> burn <image>"],
            Self::PsidDiffers => &[
                "if this board is really to become a <psid>: <burn --change-psid [psids]>",
                "name an image or a backup for this card; its PSID and chip: <card> query",
            ],
            Self::RunningImageDamaged => &[
                "read it again: <card> verify",
                "if it stays, start the valid image: <card> activate",
            ],
            Self::NoTerminal => &["<typed --yes>", "add --yes"],
            Self::CardNotReady => &[
                "wait a minute, then run the command again; if that does not help, power the machine off and on",
            ],
            Self::CardLocked => &[
                "run it with the key that was set on the card: <typed --key-file KEYFILE>",
                "enable hardware access with the key that was set on the card: <card> unlock --key-file KEYFILE",
            ],
            Self::KeyRefused => {
                &["name the file that holds the key of this card, exactly 16 hexadecimal digits"]
            }
            Self::NoHwAccess => &[
                "set the jumper \"flash not present\", restart the machine, then: <card> recover <image|IMAGE> --identity BACKUP/identity.json",
            ],
            Self::HwAccessFailed => &["power the machine off and on, then: <typed>"],
            Self::CardGone => POWER_CYCLE,
            // Nothing shows whether the holder still runs (the gateway stands still either way), so
            // `unlock` has no proof for it; a reset frees every semaphore.
            Self::ToolsSemaphoreHeld => &["if no other tool is running: <card> activate"],
            Self::SemaphoreHeld => &["if no other tool is running: <card> unlock"],
            Self::NoImageOnCard => RECOVER,
            Self::FlashFailed | Self::CardFailed => &[
                "<card> restore <backup>",
                "see what the card and its flash answer: <card> doctor",
            ],
            Self::Protected => &[
                "clear the write protection: <card> flash protect --off",
                "see what is protected: <card> flash protect",
            ],
            Self::FlashChip => &[
                "see what the card answers, and write an archive for a bug report: <card> --report . doctor",
            ],
            Self::NvOldFirmware => {
                &["settings need firmware 2.31.5000 or newer: <card> burn IMAGE"]
            }
            Self::NvNoFirmware => {
                &["settings need running firmware; see what keeps it from running: <card> doctor"]
            }
            // Why it happens is UNCONFIRMED; nv_cfg_en of the ini may be off
            // (docs/hardware.md#settings-in-the-firmware).
            Self::NvCorrupt => &[
                "erase what is stored (if that does not help, nv_cfg_en of the ini may be off): <card> config reset",
            ],
            // The cause is known only from mstconfig's message ("Driver might be down").
            Self::NvNoDriver => &["reset the card, then run the command again: <card> activate"],
            Self::NvRefused => &["list the card's settings: <card> config query"],
            // A flash that was written since the last reset may not be the one the firmware started from.
            Self::NvFailed => {
                &["start the firmware on the flash, then run the command again: <card> activate"]
            }
            Self::OutcomeUnknown => &[
                "power the machine off and on if the card does not answer, then: <card> verify; if no image \
                 is valid: <card> restore <backup|BACKUP>",
            ],
            Self::CardChanged => RUN_AGAIN,
            Self::ReadingsDiffer => &[
                "read it by the slowest and simplest register access: <card> --bar-access config verify",
                "power the machine off and on, then: <card> verify",
            ],
            Self::PortRemovesCard => &[
                "power the machine off and on, or bind the card to mlx4_core once (its probe resets the card): \
                 the firmware on the flash starts then",
            ],
            Self::NotStarted => &[
                "if its firmware starts only with its driver, or this card takes no notice of the boot address \
                 register: <typed --no-trial>",
                "if its firmware starts only with its driver, or this card takes no notice of the boot address \
                 register: <card> burn <image|IMAGE> --no-trial",
            ],
            Self::ActivateFailed => {
                &["power the machine off and on; the new firmware is on the flash"]
            }
            Self::Contradicted => &[
                "see what each stage means: docs/selftest.md; test the card again: <card> selftest",
            ],
            Self::CardImageNotValid => &["write a valid image: <card> burn IMAGE"],
            Self::Differs => &["see what a burn of the file would change: <card> plan <image>"],
            Self::RomUnusable => &[
                "use another file; what this one holds: cx3flash rom info <rom>",
                "write another ROM (`rom write`), or remove it: <named> rom remove",
            ],
            Self::Fault => &[
                r#"for example: cx3flash sim fault FILE '{"fault":"power_cut","op":100,"seed":1}'"#,
            ],
            _ => &[],
        }
    }
}
