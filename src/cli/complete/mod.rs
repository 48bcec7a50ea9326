//! Completion of command lines: the scripts for the shells, and what they ask this program for.
//!
//! A script runs `CX3FLASH_COMPLETE=SHELL cx3flash -- WORDS`, where the last word is the one under the cursor,
//! and takes the lines on stdout as its values. Exit code 1 stands for a file: shells complete names of files
//! better than a program can. Cards come from sysfs and from names of card files; no card is opened.

mod answer;

use super::args::{Cli, ShellName};
use super::page::Page;
use super::terminal::Out;
use crate::card::DeviceType;
use crate::escape;
use crate::host::{Function, Host};
use crate::job::{self, CardSelector, Exit};
use answer::{Completion, CompletionValue};
use clap::{CommandFactory, ValueEnum};
use std::ffi::OsString;
use std::path::Path;

/// Set by the scripts.
const VARIABLE: &str = "CX3FLASH_COMPLETE";

const BASH: &str = r#"# bash completion for cx3flash
_cx3flash() {
    local values
    if values=$(CX3FLASH_COMPLETE=bash "$1" -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null); then
        mapfile -t COMPREPLY < <(printf '%s' "$values")
    else
        COMPREPLY=()
        compopt -o default
    fi
}
complete -F _cx3flash cx3flash
"#;

const ZSH: &str = r#"#compdef cx3flash
_cx3flash() {
    local answer
    local -a values
    if answer=$(CX3FLASH_COMPLETE=zsh "${(Q)words[1]}" -- "${(@Q)words[2,CURRENT]}" 2>/dev/null); then
        values=("${(@f)answer}")
        [[ -n $answer ]] && _describe value values
    else
        [[ $PREFIX == --*=* ]] && compset -P 1 '*='
        compset -P sim:
        _files
    fi
}
if [[ $funcstack[1] == _cx3flash ]]; then
    _cx3flash "$@"
else
    compdef _cx3flash cx3flash
fi
"#;

const FISH: &str = r#"# fish completion for cx3flash
function __cx3flash_values
    set -l words (commandline -opc) (commandline -ct)
    if not CX3FLASH_COMPLETE=fish $words[1] -- $words[2..-1] 2>/dev/null
        __fish_complete_path (commandline -ct)
    end
end
complete --command cx3flash --no-files --keep-order --arguments '(__cx3flash_values)'
"#;

/// The script that makes a shell complete command lines of this program.
pub(super) fn script(shell: ShellName) -> &'static str {
    match shell {
        ShellName::Bash => BASH,
        ShellName::Zsh => ZSH,
        ShellName::Fish => FISH,
    }
}

/// Answers a script; `None` when none asks.
pub(super) fn asked(argv: &[OsString]) -> Option<Exit> {
    let shell = std::env::var(VARIABLE).ok().filter(|name| !name.is_empty())?;
    let Ok(shell) = ShellName::from_str(&shell, true) else {
        return Some(Exit::Usage);
    };
    let words = argv.iter().skip_while(|word| *word != "--").skip(1);
    let mut words: Vec<String> = words.map(|word| word.to_string_lossy().into_owned()).collect();
    if shell == ShellName::Bash {
        words = joined(words);
    }
    let mut root = Cli::command();
    root.build();
    let cards = || super::host().map(|host| cards(&host)).unwrap_or_default();
    let values = match answer::complete(&root, &words, &cards) {
        Completion::File => return Some(Exit::Failed),
        Completion::Values(values) => values,
    };
    let typed = words.last().map_or("", String::as_str);
    let mut page = Page::default();
    for value in &values {
        print(&mut page, shell, value, typed);
    }
    Out::default().text(&page);
    Some(Exit::Done)
}

/// bash takes `:` and `=` for words of their own.
fn joined(words: Vec<String>) -> Vec<String> {
    let mut joined: Vec<String> = Vec::new();
    let mut open = false;
    for word in words {
        let separator = !word.is_empty() && word.chars().all(|c| matches!(c, ':' | '='));
        match joined.last_mut().filter(|_| separator || open) {
            Some(last) => last.push_str(&word),
            None => joined.push(word),
        }
        open = separator;
    }
    joined
}

/// A line in the form that the shell's script takes.
fn print(page: &mut Page, shell: ShellName, value: &CompletionValue, typed: &str) {
    let CompletionValue { text, help } = value;
    match shell {
        // Only what stands behind the last `:` or `=` is replaced.
        ShellName::Bash => {
            let kept = typed.rfind([':', '=']).map_or(0, |at| at + 1);
            page.line(text.get(kept..).unwrap_or_default());
        }
        ShellName::Zsh => page.line(format_args!("{}:{help}", text.replace(':', "\\:"))),
        ShellName::Fish => {
            page.part(text);
            page.push_str("\t");
            page.line(help);
        }
    }
}

/// What `-d` takes: the names and the address of each card, and the card files of the directory.
fn cards(host: &Host) -> Vec<CompletionValue> {
    let mut values = Vec::new();
    for card in host.cards().unwrap_or_default() {
        if card.function == Function::Virtual {
            continue;
        }
        let model = DeviceType::with_pci_id(card.device_id).map_or("", |device| device.name);
        let names = card.netdevs.iter().map(|net| net.name.clone());
        for name in names.chain([card.bdf.to_string()]) {
            let help = if name == card.bdf.to_string() {
                model.to_owned()
            } else {
                format!("{model} {}", card.bdf)
            };
            values.push(CompletionValue { text: name, help });
        }
    }
    values.extend(job::card_files(Path::new(".")).into_iter().map(|path| CompletionValue {
        text: escape::line(&CardSelector::Sim(path).to_string()).into_owned(),
        help: "simulated card".into(),
    }));
    values
}

#[cfg(test)]
mod tests {
    use super::joined;

    #[test]
    fn what_bash_has_taken_apart_is_one_word() {
        for (words, expected) in [
            (&["-d", "sim", ":", "ca"][..], &["-d", "sim:ca"][..]),
            (&["-d", "0000", ":", "05", ":", "00.0", "query"], &["-d", "0000:05:00.0", "query"]),
            (&["--color", "=", "al"], &["--color=al"]),
            (&["--color", "="], &["--color="]),
            (&["burn", ""], &["burn", ""]),
        ] {
            let words = words.iter().map(|word| (*word).to_owned()).collect();
            assert_eq!(joined(words), expected);
        }
    }
}
