//! Random command lines with mstflint 4.21 and with ours: what is accepted, and which
//! complaint comes first. The lines are the same in every run.

use crate::flint_files::engine::{FileScript, differs, script};
use crate::support::{SeededRng, flint::witness};

/// Flags by their long names. Left out: those of the rows `help`, `version`, `unchecked`, `cables`,
/// `other-generations` and `apc` of the table of differences.
const FLAGS: [&str; 54] = [
    "image",
    "latest_fw",
    "yes",
    "no",
    "guid",
    "guids",
    "mac",
    "macs",
    "uid",
    "blank_guids",
    "clear_semaphore",
    "qq",
    "low_cpu",
    "next_boot_fw_ver",
    "flashed_version",
    "nofs",
    "allow_psid_change",
    "allow_rom_change",
    "override_cache_replacement",
    "no_flash_verify",
    "use_fw",
    "silent",
    "vsd",
    "use_image_ps",
    "use_image_guids",
    "use_image_rom",
    "use_dev_rom",
    "ignore_dev_data",
    "no_fw_ctrl",
    "use_dev_img_info",
    "hexdump_format",
    "dual_image",
    "striped_image",
    "banks",
    "log",
    "flash_params",
    "skip_ci_req",
    "ocr",
    "hsm",
    "private_key",
    "public_key",
    "key_uuid",
    "psid",
    "linkx_auto_update",
    "activate",
    "activate_delay_sec",
    "download_transfer",
    "downstream_device_ids",
    "downstream_device_id_start_index",
    "num_of_downstream_devices",
    "output_file",
    "user_password",
    "cert_chain_index",
    "openssl_engine",
];
const VALUES: [&str; 14] = [
    "fs_new.bin",
    "none.bin",
    "1",
    "0x12",
    "zz",
    "2,3",
    "4",
    "-5",
    "full",
    "x=y",
    "a,b,c,d",
    "1,2,3,4",
    "300",
    "all",
];
const COMMANDS: [&str; 22] = [
    "q",
    "query",
    "v",
    "verify",
    "sg",
    "dc",
    "cs",
    "b",
    "ri",
    "rrom",
    "rb",
    "rw",
    "qrom",
    "ts",
    "hw",
    "bc",
    "drom",
    "dh",
    "swreset",
    "reset_cfg",
    "foo",
    "smg",
];
/// What may stand behind a command.
const ARGUMENTS: [&str; 9] = ["full", "0", "16", "-5", "query", "out.raw", "-y", "showitoc", "q"];

fn pick<'a>(rng: &mut SeededRng, words: &[&'a str]) -> &'a str {
    words[rng.below(words.len())]
}

/// A flag by its name, by a beginning of it, by a letter, or by several.
fn flag(rng: &mut SeededRng) -> String {
    let mut name = pick(rng, &FLAGS).to_owned();
    match rng.below(20) {
        0..3 => name.truncate(1 + rng.below(name.len())),
        3 => {
            name = pick(rng, &["y", "s", "i", "x", "ys", "sy", "ysx", "yno", "ss", "q", "n"]).into()
        }
        _ => {}
    }
    let dashes = if rng.below(3) == 0 { "--" } else { "-" };
    let value = match rng.below(9) {
        0 => format!("={}", pick(rng, &VALUES)),
        _ => String::new(),
    };
    format!("{dashes}{name}{value}")
}

fn line(rng: &mut SeededRng) -> FileScript {
    let mut words: Vec<String> = Vec::new();
    if rng.below(4) > 0 {
        words.push("-i fs_new.bin".into());
    }
    for _ in 0..rng.below(4) {
        words.push(flag(rng));
        for _ in 0..[0, 0, 1, 1, 2, 4][rng.below(6)] {
            words.push(pick(rng, &VALUES).into());
        }
    }
    if rng.below(14) > 0 {
        words.push(pick(rng, &COMMANDS).into());
        for _ in 0..[0, 0, 0, 1, 1, 2][rng.below(6)] {
            words.push(pick(rng, &ARGUMENTS).into());
        }
    }
    script(&[&words.join(" ")]).typed(pick(rng, &["", "y\n", "n\n"]))
}

/// Two flags of `burn`, `sg`, `bc` that may not go together, and a card that is not there.
fn clash(rng: &mut SeededRng) -> FileScript {
    const PAIRS: [&str; 19] = [
        "-guid 0002c90300aabb01",
        "-guids 0002c90300aabb01 0002c90300aabb02 0002c90300aabb03 0002c90300aabb04",
        "-mac 0002c9aabb05",
        "-macs 0002c9aabb06 0002c9aabb07",
        "-uid 0002c90300aabb08",
        "-use_image_guids",
        "-blank_guids",
        "-use_image_ps",
        "-vsd x",
        "-ignore_dev_data",
        "-nofs",
        "-use_dev_rom",
        "-use_image_rom",
        "-striped_image",
        "-ocr",
        "-activate",
        "-activate_delay_sec 2",
        "-num_of_downstream_devices 3",
        "-qq",
    ];
    let card = ["-d nosuch ", ""][rng.below(2)];
    let mut flags: Vec<&str> = (0..2 + rng.below(2)).map(|_| pick(rng, &PAIRS)).collect();
    flags.dedup();
    let command = pick(rng, &["b", "b", "sg", "bc", "sv", "ts set", "ts set x", "ts reset 1"]);
    script(&[&format!("{card}-i fs_new.bin {} {command}", flags.join(" "))])
}

/// Help is our own (row `help`), and so is why a card cannot be opened.
fn seen(text: &str) -> String {
    if let Some((before, after)) = text.split_once("NAME\n    ") {
        let last = after.lines().last().filter(|l| l.starts_with("-E-"));
        return format!("{before}(help)\n{}", last.unwrap_or(""));
    }
    match text.split_once("-E- Cannot open Device: nosuch. ") {
        Some((before, _)) => format!("{before}(no card)"),
        None => text.to_owned(),
    }
}

/// Versions, and crashes of flint's, are other rows.
fn comparable(line: &str) -> bool {
    !line.split(' ').any(|word| {
        let name = word.trim_start_matches('-');
        word.starts_with('-')
            && !name.is_empty()
            && ["help", "hh", "version", "vsd"]
                .iter()
                .any(|flag| flag.starts_with(name.split('=').next().unwrap_or("")) && name != "vsd")
    })
}

fn run(lines: impl Iterator<Item = FileScript>) {
    let Some(flint) = witness() else {
        return;
    };
    let scripts: Vec<FileScript> = lines.filter(|s| comparable(s.first())).collect();
    let problems: Vec<String> = scripts
        .iter()
        .filter_map(|script| differs(flint.path(), script, seen))
        // Row `digits`.
        .filter(|problem| !problem.contains("it must have 1"))
        .collect();
    assert!(
        problems.is_empty(),
        "{} of {} lines\n{}",
        problems.len(),
        scripts.len(),
        problems.join("\n\n")
    );
}

#[test]
fn random_lines_are_understood_as_by_mstflint() {
    let mut rng = SeededRng(4);
    run((0..160).map(|_| line(&mut rng)));
}

#[test]
fn flags_that_do_not_go_together_are_refused_as_by_mstflint() {
    let mut rng = SeededRng(21);
    run((0..60).map(|_| clash(&mut rng)));
}

#[test]
fn random_lines_are_of_many_kinds() {
    let mut rng = SeededRng(4);
    let all: Vec<FileScript> = (0..160).map(|_| line(&mut rng)).collect();
    let count = |what: &str| all.iter().filter(|s| s.first().contains(what)).count();
    assert!(all.iter().filter(|s| comparable(s.first())).count() > 130);
    for what in ["--", "=", " q", " sg", "-5", "guid", " foo"] {
        assert!(count(what) > 3, "{what}: {}", count(what));
    }
}
