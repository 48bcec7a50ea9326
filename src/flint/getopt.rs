//! How flint reads a command line: the first word that names a command ends the flags. Flags are read as
//! `getopt_long_only` does: one dash or two, any unambiguous beginning, values after `=` or as the next
//! word; neighbouring words that are no flags are joined with commas first. Measured with mstflint 4.21
//! on some thousand random lines, of which `tests/it/flint_lines.rs` compares some.

use super::commands;
use super::flags::GrammarError::{self, Text};
use super::flags::{ALIASES, Checked, FLAGS, Flag, Invocation, ValueCount};
use crate::escape;

/// Reads a command line.
pub(super) fn parse(words: &[String]) -> Result<Invocation, GrammarError> {
    let at = words.iter().position(|w| commands::named(w).is_some());
    let (flags, rest) = words.split_at(at.unwrap_or(words.len()));
    let mut line = Invocation::default();
    match rest.split_first() {
        Some((_, args)) if args.iter().any(|word| is_flag(word)) => {
            return Err(usage("Specifying options flags after command is not allowed.\n\n".into()));
        }
        Some((name, args)) => {
            line.command = commands::named(name).map(|command| command.names);
            line.args = args.to_vec();
        }
        None => no_command(words)?,
    }
    read_flags(&join(flags), &mut line)?;
    let text = match (line.command, line.has("clear_semaphore")) {
        (None, false) => "No command found.\n",
        (Some(_), true) => "No command is allowed when -clear_semaphore flag is given.\n",
        _ if line.has("use_fw") && line.cache_override() => {
            "-E- flags --use_fw and --override_cache_replacement/-ocr cannot be specified simultaneously"
        }
        (None, true) => {
            line.command = commands::named("clear_semaphore").map(|command| command.names);
            return Ok(line);
        }
        (Some(_), false) => return Ok(line),
    };
    Err(Text(text.into()))
}

fn usage(stdout: String) -> GrammarError {
    GrammarError::Usage { stdout, stderr: String::new(), after: "" }
}

/// What getopt prints on stderr.
fn bad_flag(why: &str) -> GrammarError {
    GrammarError::Usage {
        stdout: String::new(),
        stderr: format!("{}\n", escape::line(why)),
        after: "-E- Bad input parameter\n",
    }
}

/// Negative numbers are no flags.
fn is_flag(word: &str) -> bool {
    let mut chars = word.chars();
    chars.next() == Some('-') && !chars.next().is_some_and(|c| c.is_ascii_digit())
}

/// What flint prints for a line without a command before it reads the flags: when there is no flag, or
/// when more words follow the last flag than it takes, so that the last one must be a wrong command.
fn no_command(words: &[String]) -> Checked {
    let Some(at) = words.iter().rposition(|word| is_flag(word)) else {
        return Err(Text("No options found. \n".into()));
    };
    let following = words.get(at + 1..).unwrap_or_default();
    let typed = words.get(at).map_or("", String::as_str);
    let name = typed.strip_prefix("--").unwrap_or(&typed[1..]);
    // flint computes that a flag it does not know by its complete name takes less than no value, and that
    // an empty name takes one.
    let known = FLAGS
        .iter()
        .find(|f| f.name == name || name.chars().eq(f.letter) || ALIASES.contains(&(name, f.name)));
    let takes = match known {
        _ if name.is_empty() => Some(1),
        Some(flag) => Some(match flag.values {
            ValueCount::Exactly(n) if flag.name != "flash_params" => n,
            _ => 1,
        }),
        None => None,
    };
    match words.last() {
        Some(last) if takes.is_none_or(|takes| following.len() > takes) => {
            Err(usage(format!("Invalid command: {}\n", escape::line(last))))
        }
        _ => Ok(()),
    }
}

/// Joins neighbouring words that are no flags with commas.
fn join(words: &[String]) -> Vec<String> {
    let mut joined: Vec<String> = Vec::new();
    let mut open = false;
    for word in words {
        let value = !is_flag(word);
        match joined.last_mut() {
            Some(last) if value && open => {
                last.push(',');
                last.push_str(word);
            }
            _ => joined.push(word.clone()),
        }
        open = value;
    }
    joined
}

/// Reads all flags; the first wrong one ends it.
fn read_flags(words: &[String], line: &mut Invocation) -> Checked {
    let mut words = words.iter().map(String::as_str);
    let mut stray = String::new();
    while let Some(word) = words.next() {
        if word == "--" {
            stray.extend(words.by_ref().flat_map(|word| [word, " "]));
        } else if word.len() < 2 || !word.starts_with('-') {
            stray.extend([word, " "]);
        } else {
            read_word(word, &mut words, line)?;
        }
    }
    if stray.is_empty() {
        return Ok(());
    }
    let stray = escape::line(&stray);
    Err(Text(format!("-E- Found some non-option ARGV-elements {stray}\n")))
}

/// `-name`, `--name`, `-y`, `-iFILE`; and `-sy`, where what follows the first letter may be the
/// beginning of a long name.
fn read_word<'a>(
    word: &'a str,
    more: &mut dyn Iterator<Item = &'a str>,
    line: &mut Invocation,
) -> Checked {
    let two_dashes = word.starts_with("--");
    let mut rest = &word[if two_dashes { 2 } else { 1 }..];
    loop {
        let letter = rest.chars().next();
        let short = FLAGS.iter().find(|f| f.letter.is_some() && f.letter == letter);
        if (two_dashes || word.len() > 2 || short.is_none())
            && let Some((flag, value)) = long(word, rest, more)?
        {
            return line.apply(flag, value);
        }
        let (Some(flag), Some(letter), false) = (short, letter, two_dashes) else {
            return Err(bad_flag(&format!("unrecognized option `{word}'")));
        };
        rest = &rest[letter.len_utf8()..];
        if flag.takes_value() {
            let value = Some(rest).filter(|v| !v.is_empty()).or_else(|| more.next());
            let value = value
                .ok_or_else(|| bad_flag(&format!("option requires an argument -- {letter}")))?;
            return line.apply(flag, value);
        }
        line.apply(flag, "")?;
        if rest.is_empty() {
            return Ok(());
        }
    }
}

/// `name`, `name=value`, or an abbreviation that fits one name only; `None` when it fits none.
fn long<'a>(
    word: &str,
    body: &'a str,
    more: &mut dyn Iterator<Item = &'a str>,
) -> Result<Option<(&'static Flag, &'a str)>, GrammarError> {
    let (name, given) = match body.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (body, None),
    };
    let alias = ALIASES.iter().find(|(alias, _)| *alias == name);
    let name = alias.map_or(name, |(_, name)| name);
    let exact = FLAGS.iter().find(|f| f.name == name);
    let mut fits = FLAGS.iter().filter(|f| f.name.starts_with(name));
    let flag = match (exact, fits.next(), fits.next()) {
        (Some(flag), ..) | (None, Some(flag), None) => flag,
        (None, Some(_), Some(_)) => {
            return Err(bad_flag(&format!("option `{word}' is ambiguous")));
        }
        (None, None, _) => return Ok(None),
    };
    let value = match (flag.takes_value(), given) {
        (false, None) => "",
        (false, Some(_)) => {
            let (dashes, name) = (if word.starts_with("--") { "--" } else { "-" }, flag.name);
            return Err(bad_flag(&format!("option `{dashes}{name}' doesn't allow an argument")));
        }
        (true, Some(value)) => value,
        (true, None) => {
            more.next().ok_or_else(|| bad_flag(&format!("option `{word}' requires an argument")))?
        }
    };
    Ok(Some((flag, value)))
}

#[cfg(test)]
mod tests {
    use super::{GrammarError, Invocation, parse};

    fn line(typed: &str) -> Result<Invocation, GrammarError> {
        let words: Vec<String> = typed.split(' ').map(str::to_owned).collect();
        parse(&words)
    }

    fn complaint(typed: &str) -> String {
        match line(typed) {
            Err(GrammarError::Usage { stdout, stderr, .. }) => format!("{stdout}{stderr}"),
            Err(GrammarError::Text(text)) => text,
            other => panic!("{typed}: {other:?}"),
        }
    }

    #[test]
    fn every_spelling_of_a_flag_is_accepted() {
        for typed in [
            "-i f q",
            "-image f q",
            "--image f q",
            "--image=f q",
            "-image=f q",
            "-if q",
            "-im f q",
            "-y -i f q",
        ] {
            let line = line(typed).unwrap_or_else(|e| panic!("{typed}: {e:?}"));
            assert_eq!(line.image.as_deref(), Some("f".as_ref()), "{typed}");
            assert_eq!(line.command, Some(&["query", "q"][..]));
        }
        assert!(line("-nof -i f q").unwrap().has("nofs"));
        assert!(line("-no -i f q").unwrap().has("no"));
        assert!(line("-apc -i f q").unwrap().has("allow_psid_change"));
    }

    #[test]
    fn an_ambiguous_or_unknown_flag_is_an_error() {
        assert!(complaint("-i f -n q").contains("ambiguous"));
        assert!(complaint("-i f -use_image q").contains("ambiguous"));
        assert!(complaint("-i f -x q").contains("unrecognized option `-x'"));
        assert!(complaint("-i f --nosuch q").contains("unrecognized option `--nosuch'"));
        assert!(complaint("-i").contains("requires an argument -- i"));
        assert!(complaint("-i f -guid q").contains("`-guid' requires an argument"));
    }

    #[test]
    fn guids_and_macs_are_read_as_hexadecimal() {
        let ids = line("-guid 0x10 -mac 20 sg").unwrap();
        assert_eq!(ids.ids.guids.unwrap().map(|g| g.0), [16, 17, 18, 19]);
        assert_eq!(ids.ids.macs.unwrap().map(|m| m.0), [32, 33]);
        let ids = line("-guids 1,2 3 4 -macs 5 6 sg").unwrap();
        assert_eq!(ids.ids.guids.unwrap().map(|g| g.0), [1, 2, 3, 4]);
        assert_eq!(ids.ids.macs.unwrap().map(|m| m.0), [5, 6]);
        assert!(complaint("-guids 1 2 q").contains("Too few arguments. Expected: 4 , Received: 2"));
        assert!(
            complaint("-macs 1 2 3 q").contains("Too many arguments. Expected: 2 , Received: 3")
        );
        assert!(complaint("-guid zz q").contains("(zz)"));
        assert!(complaint("-mac 00:02:c9:00:00:01 q").contains("Invalid Guid/Mac/Uid"));
        assert!(complaint("-guid 123456789012345678 q").contains("out of range"));
        let both = line("-guid 1 -guids 1 2 3 4 sg").unwrap();
        assert!(both.has("guid") && both.has("guids") && !both.has("mac"));
    }

    #[test]
    fn a_line_without_one_known_command_is_an_error() {
        assert_eq!(complaint("nonsense"), "No options found. \n");
        assert_eq!(complaint("-i f"), "No command found.\n");
        assert!(complaint("-i f nonsense").starts_with("Invalid command: nonsense\n"));
        assert!(complaint("-i f q -y").contains("flags after command"));
        assert!(complaint("-qq full q").contains("non-option ARGV-elements full"));
        assert!(matches!(line("-h"), Err(GrammarError::Help)));
        assert!(matches!(line("-i f -v q"), Err(GrammarError::Version)));
        assert!(line("-d x -clear_semaphore").unwrap().has("clear_semaphore"));
    }
}
