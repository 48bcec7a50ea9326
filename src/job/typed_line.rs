//! The command as typed, changed for a hint: options that are added, and a file that is named instead of another.

use crate::escape;
use std::path::Path;

/// The words of a line that `escape::shell_word` has quoted, with their quotes.
pub(super) fn words(line: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let (mut start, mut quote, mut before) = (0, None, ' ');
    let mut chars = line.char_indices();
    while let Some((at, c)) = chars.next() {
        match (quote, c) {
            // A backslash counts outside of quotes and in `$'...'`.
            (None | Some('$'), '\\') => drop(chars.next()),
            (None, '\'') => quote = Some(if before == '$' { '$' } else { '\'' }),
            (Some(_), '\'') => quote = None,
            (None, ' ') => {
                words.push(&line[start..at]);
                start = at + 1;
            }
            _ => {}
        }
        before = c;
    }
    words.push(&line[start..]);
    words
}

/// The command line with these words more, in front of operands behind `--`.
fn appended(words: &[&str], more: &str) -> String {
    let at = words.iter().position(|word| *word == "--").unwrap_or(words.len());
    let (options, operands) = words.split_at(at);
    let mut line = options.to_vec();
    line.push(more);
    line.extend(operands);
    line.join(" ")
}

/// The words without this option and its values.
fn without<'a>(words: &[&'a str], flag: &str) -> Vec<&'a str> {
    let mut left = Vec::new();
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        if *word == flag {
            rest.next();
        } else if !word.strip_prefix(flag).is_some_and(|value| value.starts_with('=')) {
            left.push(*word);
        }
    }
    left
}

/// The command line with one option more, in the place of the same option with another value.
pub(super) fn with_option(typed: &str, option: &str) -> String {
    let mut words = words(typed);
    // This one may be given several times.
    let repeated = option.starts_with("--allow ");
    if let Some((flag, _)) = option.split_once(' ').filter(|_| !repeated) {
        words = without(&words, flag);
    }
    appended(&words, option)
}

/// The command line with `choice` in the place of the file it is in, or of the store that it was chosen from.
pub(super) fn with_choice(typed: &str, file: Option<&Path>, choice: &Path) -> Option<String> {
    let words = words(typed);
    let choice = escape::shell_path(choice);
    let file = file.map(escape::shell_word);
    let named = |word: &str| word.strip_suffix(file.as_deref()?).map(str::to_owned);
    let place = |word: &&str| named(word).is_some_and(|o| o.is_empty() || o.ends_with('='));
    if let Some(at) = words.iter().position(place) {
        let option = named(words[at])?;
        let mut line: Vec<String> = words.into_iter().map(str::to_owned).collect();
        line[at] = option + &choice;
        return Some(line.join(" "));
    }
    let left = without(&words, "--from");
    (left.len() < words.len()).then(|| appended(&left, &choice))
}

#[cfg(test)]
mod tests {
    use super::{with_choice, with_option, words};
    use crate::escape;
    use std::path::Path;

    #[test]
    fn a_quoted_word_is_one_word() {
        for word in ["plain", "a b", "it's", "a --yes b", "b\\", "new\nline it's\\", ""] {
            let quoted = escape::shell_word(word);
            let line = format!("cx3flash burn {quoted} --yes");
            assert_eq!(words(&line), ["cx3flash", "burn", &quoted, "--yes"], "{word:?}");
        }
    }

    #[test]
    fn an_option_replaces_itself_and_stands_before_the_operands() {
        for (line, with) in [
            ("cx3flash burn a --rom image", "cx3flash burn a --rom none"),
            ("cx3flash burn --rom=image -- -a", "cx3flash burn --rom none -- -a"),
            ("cx3flash burn 'a --rom b'", "cx3flash burn 'a --rom b' --rom none"),
        ] {
            assert_eq!(with_option(line, "--rom none"), with);
        }
    }

    #[test]
    fn a_choice_keeps_the_command_and_every_option() {
        let (zip, choice) = (Path::new("my dl.zip"), Path::new("my dl.zip/a.bin"));
        let chosen = |line: &str| with_choice(line, Some(zip), choice);
        assert_eq!(
            chosen("cx3flash -d x burn 'my dl.zip' --rom none -y").as_deref(),
            Some("cx3flash -d x burn 'my dl.zip/a.bin' --rom none -y")
        );
        assert_eq!(
            chosen("cx3flash burn --from dl --from='my dl.zip' -y").as_deref(),
            Some("cx3flash burn --from dl --from='my dl.zip/a.bin' -y")
        );
        assert_eq!(
            with_choice("cx3flash -d x burn --from a --from=b -y", None, Path::new("a/c.bin"))
                .as_deref(),
            Some("cx3flash -d x burn -y a/c.bin")
        );
        assert_eq!(chosen("cx3flash query"), None);
    }
}
