//! flint's commands: names, how many arguments, what they work on (measured with 4.21, which checks in
//! this order).

/// One command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Command {
    Burn,
    Query,
    Verify,
    SwReset,
    BurnRom,
    DropRom,
    ReadRom,
    BurnBlock,
    SetGuids,
    SetVsd,
    ReadImage,
    DumpConfig,
    DumpHash,
    SetKey,
    HwAccess,
    Hw,
    Erase,
    ReadWord,
    WriteWord,
    WriteWordNoErase,
    WriteBlockNoErase,
    WriteBlock,
    ReadBlock,
    ClearSemaphore,
    QueryRom,
    Checksum,
    Timestamp,
    BinaryCompare,
    ResetConfig,
    CacheImage,
    Sign,
    SignHmac,
    SignRsa,
    SetPublicKeys,
    SetForbiddenVersions,
    ImageReactivation,
    ExportPublicKey,
    ImportHsmKey,
    FixImage,
}

/// What a command works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Needs {
    /// A card, or a file.
    One,
    /// A card.
    Device,
    /// A file.
    Image,
    /// A card and a file.
    Both,
    /// Nothing is looked at.
    Nothing,
}

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) command: Command,
    /// In flint's messages.
    pub(super) title: &'static str,
    /// As typed, the long one first.
    pub(super) names: &'static [&'static str],
    pub(super) least: usize,
    pub(super) most: usize,
    pub(super) needs: Needs,
}

const fn row(
    command: Command,
    title: &'static str,
    names: &'static [&'static str],
    arguments: (usize, usize),
    needs: Needs,
) -> Row {
    Row {
        command,
        title,
        names,
        least: arguments.0,
        most: arguments.1,
        needs,
    }
}

/// As many as anybody likes to type.
const MANY: usize = usize::MAX;

/// All commands of 4.21.
pub(super) const TABLE: &[Row] = {
    use Command as C;
    use Needs::{Both, Device, Image, Nothing, One};
    &[
        row(C::Burn, "burn", &["burn", "b"], (0, 1), Both),
        row(C::Query, "query", &["query", "q"], (0, 1), One),
        row(C::Verify, "verify", &["verify", "v"], (0, 1), One),
        row(C::SwReset, "swreset", &["swreset"], (0, 0), Device),
        row(C::BurnRom, "brom", &["brom"], (1, 1), One),
        row(C::DropRom, "drom", &["drom"], (0, 0), One),
        row(C::ReadRom, "rrom", &["rrom"], (1, 1), One),
        row(C::BurnBlock, "bb", &["bb"], (0, 0), Both),
        row(C::SetGuids, "sg", &["sg"], (0, 2), One),
        row(C::SetVsd, "sv", &["sv"], (0, 0), One),
        row(C::ReadImage, "ri", &["ri"], (1, 1), Device),
        row(C::DumpConfig, "dc", &["dc"], (0, 1), One),
        row(C::DumpHash, "dh", &["dh"], (0, 1), One),
        row(C::SetKey, "set_key", &["set_key"], (0, 1), Device),
        row(C::HwAccess, "hw_access", &["hw_access"], (0, 2), Device),
        row(C::Hw, "Hw", &["hw"], (1, 2), Device),
        row(C::Erase, "erase", &["erase", "e"], (1, 1), Device),
        row(C::ReadWord, "rw", &["rw"], (1, 1), One),
        row(C::WriteWord, "ww", &["ww"], (2, 2), One),
        row(C::WriteWordNoErase, "wwne", &["wwne"], (2, 2), Device),
        row(C::WriteBlockNoErase, "wbne", &["wbne"], (3, MANY), Device),
        row(C::WriteBlock, "wb", &["wb"], (2, 2), Device),
        row(C::ReadBlock, "rb", &["rb"], (2, 3), One),
        row(
            C::ClearSemaphore,
            "clear_semaphore",
            &["clear_semaphore"],
            (0, 0),
            Device,
        ),
        row(C::QueryRom, "qrom", &["qrom"], (0, 0), Image),
        row(C::Checksum, "checksum", &["checksum", "cs"], (0, 0), One),
        row(
            C::Timestamp,
            "time stamp",
            &["timestamp", "ts"],
            (1, 3),
            One,
        ),
        row(
            C::BinaryCompare,
            "Binary compare",
            &["binary_compare", "bc"],
            (0, 1),
            Both,
        ),
        row(C::ResetConfig, "reset_cfg", &["reset_cfg"], (0, 0), Device),
        row(
            C::CacheImage,
            "cache image",
            &["cache_image", "ci"],
            (0, MANY),
            Nothing,
        ),
        row(C::Sign, "sign", &["sign"], (0, 0), Image),
        row(
            C::SignHmac,
            "sign_with_hmac",
            &["sign_with_hmac"],
            (0, 0),
            Image,
        ),
        row(C::SignRsa, "rsa_sign", &["rsa_sign"], (0, 0), Image),
        row(
            C::SetPublicKeys,
            "set public keys",
            &["set_public_keys"],
            (1, 1),
            Image,
        ),
        row(
            C::SetForbiddenVersions,
            "set forbidden versions",
            &["set_forbidden_versions"],
            (1, 1),
            Image,
        ),
        row(
            C::ImageReactivation,
            "image_reactivation",
            &["image_reactivation", "ir"],
            (0, 0),
            Device,
        ),
        row(
            C::ExportPublicKey,
            "export_public_key",
            &["export_public_key"],
            (0, 0),
            Nothing,
        ),
        row(
            C::ImportHsmKey,
            "import_hsm_key",
            &["import_hsm_key"],
            (0, MANY),
            Nothing,
        ),
        row(C::FixImage, "fi", &["fi"], (0, MANY), Nothing),
    ]
};

/// The command a word names.
pub(super) fn named(word: &str) -> Option<&'static Row> {
    TABLE.iter().find(|row| row.names.contains(&word))
}

impl Row {
    /// flint's complaint about the number of arguments.
    pub(super) fn wrong_count(&self, given: usize) -> Option<String> {
        let Self {
            title, least, most, ..
        } = self;
        if (*least..=*most).contains(&given) {
            return None;
        }
        let what = if *most == 0 {
            return Some(format!(
                "-E- Command \"{title}\" does not require arguments\n"
            ));
        } else if least == most {
            format!("{least}")
        } else if given < *least {
            format!("at least {least}")
        } else {
            format!("at most {most}")
        };
        Some(format!(
            "-E- Command \"{title}\" requires {what} arguments, but {given} arguments were given\n"
        ))
    }

    /// flint's complaint about what it is to work on.
    pub(super) fn wrong_target(&self, device: bool, image: bool) -> Option<String> {
        let title = self.title;
        Some(match (self.needs, device, image) {
            (Needs::Nothing, ..)
            | (Needs::One, true, false)
            | (Needs::One, false, true)
            | (Needs::Device, true, false)
            | (Needs::Image, false, true)
            | (Needs::Both, true, true) => return None,
            (Needs::One, ..) => "-E- Please specify either Device or Image.\n".into(),
            (Needs::Both, ..) => {
                format!("-E- Command \"{title}\" requires both image and device to be specified.\n")
            }
            (Needs::Device, false, false) => "-E- Please specify Device.\n".into(),
            (Needs::Device, false, true) => {
                format!("-E- Command \"{title}\" requires device, but an image file was given.\n")
            }
            (Needs::Device, true, true) => format!(
                "-E- Command \"{title}\" requires device, but both an image file and a device are given.\n"
            ),
            (Needs::Image, false, false) => "-E- Please specify Image file.\n".into(),
            (Needs::Image, true, false) => {
                format!("-E- Command \"{title}\" requires an image file, but device was given.\n")
            }
            (Needs::Image, true, true) => format!(
                "-E- Command \"{title}\" requires an image, but both an image file and a device are given.\n"
            ),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Needs, TABLE, named};
    use std::collections::HashSet;

    #[test]
    fn two_commands_have_one_name() {
        let names: Vec<&str> = TABLE.iter().flat_map(|row| row.names).copied().collect();
        let unique: HashSet<&&str> = names.iter().collect();
        assert_eq!(unique.len(), names.len());
        assert!(TABLE.iter().all(|row| row.least <= row.most));
    }

    #[test]
    fn a_wrong_number_of_arguments_passes() {
        let complaint = |name, given| named(name).unwrap().wrong_count(given);
        assert_eq!(complaint("q", 1), None);
        assert!(
            complaint("q", 2)
                .unwrap()
                .contains("at most 1 arguments, but 2")
        );
        assert!(
            complaint("rb", 1)
                .unwrap()
                .contains("at least 2 arguments, but 1")
        );
        assert!(
            complaint("ri", 0)
                .unwrap()
                .contains("requires 1 arguments, but 0")
        );
        assert!(complaint("drom", 1).unwrap().contains("does not require"));
        assert_eq!(complaint("wbne", 200), None);
    }

    #[test]
    fn a_card_is_not_asked_for() {
        for row in TABLE {
            let refused = |device, image| row.wrong_target(device, image).is_some();
            let fine = match row.needs {
                Needs::One => [false, true, true, false],
                Needs::Device => [false, true, false, false],
                Needs::Image => [false, false, true, false],
                Needs::Both => [false, false, false, true],
                Needs::Nothing => [true; 4],
            };
            let given = [(false, false), (true, false), (false, true), (true, true)];
            for ((device, image), fine) in given.into_iter().zip(fine) {
                assert_eq!(
                    !refused(device, image),
                    fine,
                    "{} {device} {image}",
                    row.title
                );
            }
        }
    }
}
