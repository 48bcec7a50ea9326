//! What flint does and we do not: said in one line, with our way (`differences.md`, row `raw`).

use super::commands::Command;

/// Why a command is refused, and what to type instead; `None` for those that are carried out.
pub(super) fn command(command: Command) -> Option<&'static str> {
    Some(match command {
        Command::Erase
        | Command::WriteWord
        | Command::WriteWordNoErase
        | Command::WriteBlock
        | Command::WriteBlockNoErase => {
            "raw writing can leave a card that does not boot; use `cx3flash burn`, or `cx3flash restore BACKUP` to put a \
             whole flash back"
        }
        Command::BurnBlock => {
            "a file written as it is need not boot; use `burn`, or `cx3flash restore BACKUP` for a whole flash"
        }
        Command::SetKey | Command::HwAccess => {
            "a key that is lost locks the card for good; no command here sets one"
        }
        Command::FixImage | Command::ImageReactivation => {
            "FS2 images have no such operation; `cx3flash recover` mends a card"
        }
        Command::Sign
        | Command::SignHmac
        | Command::SignRsa
        | Command::SetPublicKeys
        | Command::SetForbiddenVersions
        | Command::ExportPublicKey
        | Command::ImportHsmKey => "FS2 images are not signed",
        Command::CacheImage => "there is no cache of images on Linux",
        _ => return None,
    })
}

/// Does a flag that is refused matter to this command? To others it is no more than to flint: nothing.
pub(super) fn concerns(flag: &str, command: Command) -> bool {
    match flag {
        "linkx" | "cc" => true,
        "ir" => command == Command::Burn,
        _ => matches!(
            command,
            Command::Burn | Command::SetGuids | Command::SetVsd | Command::BurnRom
        ),
    }
}

/// The same of a flag.
pub(super) fn flag(name: &str) -> Option<&'static str> {
    Some(match name {
        "no_devid_check" => {
            "an image for other silicon bricks the card; `cx3flash plan IMAGE` says which check refuses and why"
        }
        "ignore_crc_check" => {
            "a damaged image is never burned; `cx3flash verify IMAGE` says where it is damaged"
        }
        "linkx" | "cc" | "ir" => {
            "cables and cards of later generations have it, these cards do not"
        }
        _ => return None,
    })
}
