//! flint's commands: one table with names, number of arguments, target and what is done (measured with
//! mstflint 4.21, which complains in the order of [`FlintCommand::complaint`]).

use super::flags::Invocation;
use super::target::{CommandTarget, FlintResult};
use super::{arguments, burn, change, copy, inspect};

/// A row of the table.
pub(super) struct FlintCommand {
    /// As typed, the long one first.
    pub(super) names: &'static [&'static str],
    /// In flint's messages.
    title: &'static str,
    /// The least and the largest number of arguments.
    arguments: (usize, usize),
    pub(super) needs: TargetKind,
    /// What is wrong with the arguments and with flags that do not go together.
    check: fn(&Invocation) -> Option<String>,
    pub(super) action: CommandAction,
}

/// What a command works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TargetKind {
    /// A card or a file.
    Either,
    Device,
    Image,
    /// A card and a file.
    Both,
    Nothing,
}

pub(super) enum CommandAction {
    Run(fn(&mut CommandTarget<'_>, &Invocation) -> FlintResult),
    /// Not done: the reason, and what to use instead (docs/flint.md, rows `raw`, `hw-key`,
    /// `other-generations`).
    Refused(&'static str),
}

const RAW: &str = "raw writing can leave a card that does not boot; use `cx3flash burn`, or `cx3flash restore BACKUP` to \
                   put a whole flash back";
const RAW_FILE: &str = "a file written as it is need not boot; use `burn`, or `cx3flash restore BACKUP` for a whole flash";
const KEY: &str = "a key that is lost locks the card for good; no command here sets one";
const DISABLE: &str =
    "only `hw_access enable [KEY]` is done; a key that is lost locks the card for good";
const NO_SUCH: &str = "FS2 images have no such operation; `cx3flash recover` repairs a card";
const UNSIGNED: &str = "FS2 images are not signed";
const CACHE: &str = "there is no cache of images on Linux";

const MANY: usize = usize::MAX;

/// All commands of 4.21.
const TABLE: &[FlintCommand] = {
    use CommandAction::{Refused, Run};
    use TargetKind::{Both, Device, Either, Image, Nothing};
    &[
        row(&["burn", "b"], (0, 1), Both, Run(burn::burn)).check(arguments::burn),
        row(&["query", "q"], (0, 1), Either, Run(inspect::query))
            .check(|line| arguments::unknown(line, "query", "full")),
        row(&["verify", "v"], (0, 1), Either, Run(inspect::verify))
            .check(|line| arguments::unknown(line, "verify", "showitoc")),
        row(&["swreset"], (0, 0), Device, Run(inspect::no_swreset)),
        row(&["brom"], (1, 1), Either, Run(change::burn_rom)),
        row(&["drom"], (0, 0), Either, Run(change::delete_rom)),
        row(&["rrom"], (1, 1), Either, Run(copy::read_rom)),
        row(&["bb"], (0, 0), Both, Refused(RAW_FILE)),
        row(&["sg"], (0, 2), Either, Run(change::set_guids)).check(arguments::set_guids),
        row(&["sv"], (0, 0), Either, Run(change::set_vsd)).check(arguments::set_vsd),
        row(&["ri"], (1, 1), Device, Run(copy::read_image)),
        row(&["dc"], (0, 1), Either, Run(copy::dump_config)),
        row(&["dh"], (0, 1), Either, Run(copy::dump_hash)),
        row(&["set_key"], (0, 1), Device, Refused(KEY)),
        row(&["hw_access"], (0, 2), Device, Refused(DISABLE)),
        row(&["hw"], (1, 2), Device, Run(inspect::hw_query))
            .title("Hw")
            .check(|line| arguments::unknown(line, "Hw", "query")),
        row(&["erase", "e"], (1, 1), Device, Refused(RAW)),
        row(&["rw"], (1, 1), Either, Run(inspect::read_word))
            .check(|line| arguments::address(line).err()),
        row(&["ww"], (2, 2), Either, Refused(RAW)),
        row(&["wwne"], (2, 2), Device, Refused(RAW)),
        row(&["wbne"], (3, MANY), Device, Refused(RAW)),
        row(&["wb"], (2, 2), Device, Refused(RAW)),
        row(&["rb"], (2, 3), Either, Run(inspect::read_block))
            .check(|line| arguments::address(line).and(arguments::size(line)).err()),
        row(&["clear_semaphore"], (0, 0), Device, Run(change::clear_semaphore)),
        row(&["qrom"], (0, 0), Image, Run(inspect::query_rom)),
        row(&["checksum", "cs"], (0, 0), Either, Run(inspect::checksum)),
        row(&["timestamp", "ts"], (1, 3), Either, Run(inspect::timestamp))
            .title("time stamp")
            .check(arguments::timestamp),
        row(&["binary_compare", "bc"], (0, 1), Both, Run(inspect::compare))
            .title("Binary compare")
            .check(arguments::compare),
        row(&["reset_cfg"], (0, 0), Device, Run(change::reset_config)),
        row(&["cache_image", "ci"], (0, MANY), Nothing, Refused(CACHE)).title("cache image"),
        row(&["sign"], (0, 0), Image, Refused(UNSIGNED)),
        row(&["sign_with_hmac"], (0, 0), Image, Refused(UNSIGNED)),
        row(&["rsa_sign"], (0, 0), Image, Refused(UNSIGNED)),
        row(&["set_public_keys"], (1, 1), Image, Refused(UNSIGNED)).title("set public keys"),
        row(&["set_forbidden_versions"], (1, 1), Image, Refused(UNSIGNED))
            .title("set forbidden versions"),
        row(&["image_reactivation", "ir"], (0, 0), Device, Refused(NO_SUCH)),
        row(&["export_public_key"], (0, 0), Nothing, Refused(UNSIGNED)),
        row(&["import_hsm_key"], (0, MANY), Nothing, Refused(UNSIGNED)),
        row(&["fi"], (0, MANY), Nothing, Refused(NO_SUCH)),
    ]
};

const fn row(
    names: &'static [&'static str],
    arguments: (usize, usize),
    needs: TargetKind,
    action: CommandAction,
) -> FlintCommand {
    FlintCommand { names, title: names[0], arguments, needs, check: |_| None, action }
}

/// The command that a word names.
pub(super) fn named(word: &str) -> Option<&'static FlintCommand> {
    TABLE.iter().find(|row| row.names.contains(&word))
}

impl FlintCommand {
    const fn title(mut self, title: &'static str) -> Self {
        self.title = title;
        self
    }

    const fn check(mut self, check: fn(&Invocation) -> Option<String>) -> Self {
        self.check = check;
        self
    }

    /// flint's complaint about a command line; `cache_warning` is called where flint prints its warning
    /// about `-ocr`.
    pub(super) fn complaint(
        &self,
        line: &Invocation,
        cache_warning: impl FnOnce(),
    ) -> Option<String> {
        self.wrong_count(line.args.len())
            .or_else(|| self.wrong_target(line.device.is_some(), line.image.is_some()))
            .or_else(|| arguments::striped_card(line))
            .or_else(|| {
                if line.cache_override() && self.needs != TargetKind::Nothing {
                    cache_warning();
                }
                (self.check)(line)
            })
    }

    fn wrong_count(&self, given: usize) -> Option<String> {
        let (title, (least, most)) = (self.title, self.arguments);
        if (least..=most).contains(&given) {
            return None;
        }
        let what = if most == 0 {
            return Some(format!("-E- Command \"{title}\" does not require arguments\n"));
        } else if least == most {
            format!("{least}")
        } else if given < least {
            format!("at least {least}")
        } else {
            format!("at most {most}")
        };
        Some(format!(
            "-E- Command \"{title}\" requires {what} arguments, but {given} arguments were given\n"
        ))
    }

    pub(super) fn wrong_target(&self, device: bool, image: bool) -> Option<String> {
        use TargetKind::{Both, Device, Either, Image, Nothing};
        let text = match (self.needs, device, image) {
            (Nothing, ..) | (Either, true, false) | (Either, false, true) => return None,
            (Device, true, false) | (Image, false, true) | (Both, true, true) => return None,
            (Either, ..) => return Some("-E- Please specify either Device or Image.\n".into()),
            (Device, false, false) => return Some("-E- Please specify Device.\n".into()),
            (Image, false, false) => return Some("-E- Please specify Image file.\n".into()),
            (Both, ..) => "both image and device to be specified",
            (Device, false, true) => "device, but an image file was given",
            (Device, true, true) => "device, but both an image file and a device are given",
            (Image, true, false) => "an image file, but device was given",
            (Image, true, true) => "an image, but both an image file and a device are given",
        };
        Some(format!("-E- Command \"{}\" requires {text}.\n", self.title))
    }
}

#[cfg(test)]
mod tests {
    use super::{TABLE, TargetKind, named};
    use std::collections::HashSet;

    #[test]
    fn command_names_are_unique() {
        let names: Vec<&str> = TABLE.iter().flat_map(|row| row.names).copied().collect();
        let unique: HashSet<&&str> = names.iter().collect();
        assert_eq!(unique.len(), names.len());
        assert!(TABLE.iter().all(|row| row.arguments.0 <= row.arguments.1));
    }

    #[test]
    fn a_wrong_number_of_arguments_is_refused() {
        let complaint = |name, given| named(name).unwrap().wrong_count(given);
        assert_eq!(complaint("q", 1), None);
        assert_eq!(complaint("wbne", 200), None);
        for (name, given, text) in [
            ("q", 2, "at most 1 arguments, but 2"),
            ("rb", 1, "at least 2 arguments, but 1"),
            ("ri", 0, "requires 1 arguments, but 0"),
            ("drom", 1, "does not require"),
        ] {
            assert!(complaint(name, given).unwrap().contains(text), "{name}");
        }
    }

    #[test]
    fn a_wrong_target_is_refused() {
        for row in TABLE {
            let accepted = match row.needs {
                TargetKind::Either => [false, true, true, false],
                TargetKind::Device => [false, true, false, false],
                TargetKind::Image => [false, false, true, false],
                TargetKind::Both => [false, false, false, true],
                TargetKind::Nothing => [true; 4],
            };
            let given = [(false, false), (true, false), (false, true), (true, true)];
            let refused = given.map(|(device, image)| row.wrong_target(device, image).is_some());
            assert_eq!(accepted.map(|ok| !ok), refused, "{}", row.title);
        }
    }
}
