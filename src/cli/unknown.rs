//! Words of other tools: what they are called here.

use clap::error::{ContextKind, ContextValue, ErrorKind};
use std::ffi::OsString;

/// flint's, mlxburn's and ethtool users' words, and ours.
const WORDS: [(&str, &str); 20] = [
    ("b", "burn"),
    ("bb", "restore"),
    ("brom", "rom write"),
    ("clear_semaphore", "unlock"),
    ("dc", "config show"),
    ("drom", "rom remove"),
    ("dump", "backup"),
    ("erase", "restore"),
    ("flash-burn", "burn"),
    ("hw", "flash info"),
    ("info", "query"),
    ("q", "query"),
    ("qrom", "rom info"),
    ("rb", "flash read"),
    ("reset", "activate"),
    ("reset_cfg", "config reset"),
    ("ri", "backup"),
    ("rrom", "rom read"),
    ("sg", "identity set"),
    ("v", "verify"),
];

/// The command to type instead of an unknown one.
pub(super) fn hint(error: &clap::Error, argv: &[OsString]) -> Option<String> {
    if argv.len() < 2 {
        return Some(
            "cx3flash demo shows the whole job; cx3flash --help lists every command".into(),
        );
    }
    if error.kind() != ErrorKind::InvalidSubcommand {
        return None;
    }
    let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidSubcommand) else {
        return None;
    };
    if let Some((_, ours)) = WORDS.iter().find(|(theirs, _)| theirs == word) {
        return Some(format!("cx3flash {ours}"));
    }
    // clap lists the likeliest one last.
    let suggested = match error.get(ContextKind::SuggestedSubcommand) {
        Some(ContextValue::String(one)) => Some(one),
        Some(ContextValue::Strings(several)) => several.last(),
        _ => None,
    };
    suggested.map(|s| format!("cx3flash {s}"))
}

#[cfg(test)]
mod tests {
    use super::WORDS;
    use crate::cli::args::Cli;
    use clap::CommandFactory;

    #[test]
    fn a_hint_names_a_command_that_does_not_exist() {
        let root = Cli::command();
        for (theirs, ours) in WORDS {
            let mut command = &root;
            for word in ours.split(' ') {
                command = command.find_subcommand(word).expect(ours);
            }
            assert!(root.find_subcommand(theirs).is_none(), "{theirs} is ours");
        }
    }
}
