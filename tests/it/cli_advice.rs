//! Every advice of the table is typed, whether a situation of `cli_hints` leads to it or not: one that is added
//! without a command that can be typed fails here.

use crate::cli_hints::sandbox;

/// The table, as it is written.
const TABLE: &str = include_str!("../../src/job/code.rs");
const CARD: &str = "cx3flash -d sim:card.cx3";
/// Where a command ends in a sentence.
const ENDS: [&str; 7] = ["; ", ", or", ", then", " && ", " (", ")", "`"];

/// Advice that leads on without one of our commands.
const WORDS: [&str; 38] = [
    "run the command again",
    "run it as root",
    "name identity.json of a backup, or give the values: --guid G --mac M",
    "join all parts, then name the whole: <parts>",
    "download the file again, and compare its length or digest with the vendor's",
    "name another backup",
    "unpack it and name the .bin inside: tar -xf <image>, or: xz -dk <image>",
    "unpack it and name the .bin inside: tar -xf <image>, or: bzip2 -dk <image>",
    "unpack it and name the .bin inside: tar -xf <image>, or: zstd -d <image>",
    "unpack it and name the .bin inside: lz4 -dk <image>",
    "unpack it and name the .bin inside: 7z x <image>",
    "unpack it and name the .bin inside: unrar x <image>",
    "unpack it and name the .bin inside: cabextract <image>",
    "unpack it and name the .bin inside: cpio -idF <image>",
    "unpack it and name the .bin inside: rpm2cpio <image> | cpio -idm",
    "unpack it and name the .bin inside: dpkg-deb -x <image> unpacked",
    "name the .bin for this card's PSID instead of the archive",
    "the site sent a page instead of the file: open it in a browser, log in, download the file again",
    "make a .bin from it with the vendor's mlxburn and the board's ini, then name that",
    "unpack it as its vendor describes, then name the .bin inside",
    "name a ConnectX-3 firmware image (.bin)",
    "end that use, or allow it: <uses>",
    "wait until the other process ends, then run the command again",
    "end the program that uses the flash (mst, flint, mstflint or another cx3flash); if none runs, power the machine off and on",
    "lspci -nn -d 15b3:   # no line: power off, seat the card again or try another slot; an id other than 1003, 1007, 01f6 and 01f8: not a ConnectX-3",
    "name a file that does not exist; existing files are never overwritten",
    "unpack it and name the .bin file inside",
    "download the file again from its vendor, or name the .bin file that belongs in it",
    "use an image for ConnectX-3 (its query shows `Image type: FS2`)",
    "name the directory that holds manifest.json",
    "name the directory that holds the images",
    "name a place that exists, can be written and has free space; of backups: --backup-dir DIR (`backup`: --out DIR)",
    "if the older firmware is wanted, add --allow-older",
    "add --yes",
    "wait a minute, then run the command again; if that does not help, power the machine off and on",
    "name the file that holds the key of this card, exactly 16 hexadecimal digits",
    "power the machine off and on, or bind the card to mlx4_core once (its probe resets the card): the firmware on the flash starts then",
    "power the machine off and on; the new firmware is on the flash",
];

/// String literals of Rust, in order.
fn literals(source: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut rest = source;
    while let Some(at) = rest.find(['"', '/']) {
        let (before, from) = rest.split_at(at);
        if from.starts_with("//") {
            rest = from.split_once('\n').map_or("", |(_, after)| after);
        } else if let Some(after) = from.strip_prefix('/') {
            rest = after;
        } else if before.ends_with("r#") {
            let (text, after) = from[1..].split_once("\"#").unwrap();
            out.push(text.to_owned());
            rest = after;
        } else {
            let mut text = String::new();
            let mut chars = from[1..].char_indices();
            let end = loop {
                match chars.next().unwrap() {
                    (at, '"') => break at,
                    (_, '\\') => match chars.next().unwrap() {
                        // The line goes on at the next word.
                        (at, '\n') => {
                            let blanks = from[at + 2..].chars().take_while(|c| *c == ' ').count();
                            chars.by_ref().take(blanks).for_each(drop);
                        }
                        (_, c) => text.push(c),
                    },
                    (_, c) => text.push(c),
                }
            };
            out.push(text);
            rest = &from[end + 2..];
        }
    }
    out
}

/// Every template, from where the table begins.
fn templates() -> Vec<String> {
    let (_, table) = TABLE.split_once("type Advice").unwrap();
    literals(table)
}

/// The template with words that this sandbox knows.
fn filled(template: &str) -> String {
    let mut text = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('<') {
        let (name, after) = after.split_once('>').unwrap();
        text += before;
        text += &word(name.split('|').next().unwrap(), template);
        rest = after;
    }
    text + rest
}

fn word(name: &str, template: &str) -> String {
    if let Some((command, option)) = name.split_once(' ') {
        let file = if command == "restore" { "BACKUP" } else { "new.bin" };
        let command = if command == "typed" { "burn" } else { command };
        let option = option.replace("[psids]", "MT_1200111023:OEM_1");
        let option = option.replace("[macs]", "e41d2ddd7850:e41d2ddd7852");
        return format!("{CARD} {command} {file} {option}");
    }
    match name {
        "card" | "named" => CARD.to_owned(),
        "typed" | "on" | "as_root" => format!("{CARD} query"),
        "allowed" => format!("{CARD} query --allow bond"),
        "recover" => format!("{CARD} recover new.bin --blank-guids --mac e41d2ddd7850"),
        "uses" => "--allow bond".to_owned(),
        "root" => String::new(),
        "file" => "none.cx3".to_owned(),
        "bdf" => "0000:05:00.0".to_owned(),
        "image" => "new.bin".to_owned(),
        "rom" => "right.rom".to_owned(),
        "backup" => "BACKUP".to_owned(),
        "psid" => "OEM_1".to_owned(),
        "chosen" => format!("{CARD} burn new.bin"),
        "choice" => "new.bin".to_owned(),
        "mac" => "e41d2ddd7850".to_owned(),
        "parts" => "cat a b".to_owned(),
        _ => panic!("<{name}> of {template:?} is not known here"),
    }
}

/// Our commands in a sentence.
fn commands(text: &str) -> Vec<String> {
    let parts = text.split("cx3flash ").skip(1);
    let commands = parts.map(|part| {
        let end = ENDS.iter().filter_map(|end| part.find(end)).min().unwrap_or(part.len());
        let words = part[..end].split(' ').map(|word| match word {
            "IMAGE" => "new.bin",
            "FILE" => "card.cx3",
            "KEYFILE" => "key",
            "BDF" => "05:00.0",
            "G" => "0002c90300aabb00",
            "M" => "e41d2ddd7850",
            word => word,
        });
        words.collect::<Vec<_>>().join(" ")
    });
    commands.collect()
}

#[test]
fn every_advice_is_typed_and_is_no_usage_error() {
    let bench = sandbox("pro");
    let mut faults = Vec::new();
    let mut words = Vec::new();
    let mut typed = std::collections::BTreeSet::new();
    for template in templates() {
        let commands = commands(&filled(&template));
        if commands.is_empty() {
            words.push(template.clone());
        }
        for command in commands {
            if !typed.insert(command.clone()) {
                continue;
            }
            let ran = bench.shell(&format!("cx3flash --json {command}"));
            let document = ran.json();
            let needs_terminal = document["error"]["code"] == "no_terminal";
            if ran.code == 64 && !needs_terminal {
                faults.push(format!("{template:?}\n{ran}"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(typed.len() > 40, "{typed:#?}");
    words.sort();
    words.dedup();
    let mut known = WORDS.map(str::to_owned).to_vec();
    known.sort();
    assert_eq!(words, known, "an advice has no command to type");
}

#[test]
fn every_advice_stands_in_the_table() {
    let source = include_str!("../../src/job/hint.rs");
    let (ours, _) = source.split_once("#[cfg(test)]").unwrap();
    for outside in ["first_of(&[", "Advice = &[", "Some(\"", ".into()),"] {
        assert!(!ours.contains(outside), "{outside} in src/job/hint.rs: put it into the table");
    }
}
