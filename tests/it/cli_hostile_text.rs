//! Text of others stays text: images, inis, file names and descriptions of a host that hold control
//! characters, line ends and bidirectional controls reach a terminal escaped, in every command.

use crate::support::cli::{CliRun, Sandbox};
use cx3flash::image::{Recipe, build};
use serde_json::Value;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;

/// Fits the 16 bytes of a PSID: hides what follows, ends the line, forges one.
const SHORT: &str = "P\u{1b}[8m\r\nerror:x";
/// Everything that a terminal executes, reorders or hides.
const LONG: &str = "V\u{1b}]0;title\u{7}\u{1b}[8m\r\nerror: forged\nhint: forged\u{9b}8m\u{202e}\u{7f}\u{2028}\u{feff}";
/// Begin of a line that nothing of ours prints in these tests.
const FORGED: [&str; 3] = ["error:x", "error: forged", "hint: forged"];

fn hostile(recipe: Recipe) -> Recipe {
    Recipe {
        psid: SHORT.into(),
        product_version: Some(SHORT.into()),
        vsd: Some(LONG.into()),
        prs_name: Some(LONG.into()),
        ini: Some(format!(
            "[ADAPTER]\nPSID = {}\nName = a\u{1b}[8m\u{9b}b\u{202e}\u{7f}\r\n\u{1b}]0;t\u{7} = \u{1b}[8m\n",
            SHORT.split('\r').next().unwrap()
        )),
        ..recipe
    }
}

/// A file name of such text, and of bytes that are no UTF-8.
fn name(end: &str) -> OsString {
    let mut bytes = LONG.replace('/', "").into_bytes();
    bytes.extend(b"\xff$(touch pwned);");
    bytes.extend(end.as_bytes());
    OsStr::from_bytes(&bytes).to_owned()
}

/// A hostile card under a plain and a hostile name, and images for it.
fn bench() -> Sandbox {
    let bench = Sandbox::new();
    let old = hostile(Recipe::mcx311a_2_35_5100());
    let new = hostile(Recipe::mcx311a_2_42_5000());
    bench.write("old.bin", &build(&old).unwrap());
    bench.write("new.bin", &build(&new).unwrap());
    bench
        .write("other.bin", &build(&Recipe { psid: "Q\u{1b}[8m\nerror:x".into(), ..new }).unwrap());
    bench.run(&["sim", "create", "card.cx3", "--board", "mcx311a", "--image", "old.bin"]).exits(0);
    for file in ["card.cx3", "new.bin"] {
        let bytes = bench.read(file);
        let end = Path::new(file).extension().unwrap().to_str().unwrap();
        std::fs::write(bench.path("").join(name(&format!(".{end}"))), bytes).unwrap();
    }
    bench
}

fn is_active(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{AD}' | '\u{61C}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}')
}

/// Nothing on either stream but text; `\r` where flint's progress begins a line anew.
#[track_caller]
fn only_text(ran: &CliRun, flint_progress: bool) {
    for stream in [&ran.stdout, &ran.stderr] {
        let stream = if flint_progress { stream.replace('\r', "\n") } else { stream.clone() };
        let active: Vec<char> = stream.chars().filter(|c| is_active(*c) && *c != '\n').collect();
        assert!(active.is_empty(), "{active:?} in {ran}");
        for line in stream.lines() {
            assert!(!FORGED.iter().any(|f| line.trim_start().starts_with(f)), "{line:?} in {ran}");
        }
    }
    assert!(!ran.stderr.contains("panicked"), "{ran}");
}

fn run(bench: &Sandbox, args: &[&OsStr]) -> CliRun {
    let mut command = bench.command(&[]);
    command.args(args);
    CliRun::of(command, format!("{args:?}"))
}

#[test]
fn no_text_of_an_image_or_a_file_name_reaches_the_terminal_as_control() {
    let bench = bench();
    let (card, file) = (name(".cx3"), name(".bin"));
    let mut sim = OsString::from("sim:");
    sim.push(&card);
    // CARD and FILE are the hostile names.
    for line in [
        "list",
        "-d CARD doctor",
        "-d CARD query --full",
        "query --full FILE",
        "-d CARD verify",
        "verify FILE",
        "-d CARD verify --against FILE",
        "-d CARD plan FILE --full",
        "-d CARD plan other.bin --full",
        "-d CARD burn other.bin --yes",
        "-d CARD burn FILE",
        "-d CARD backup --out FILE",
        "-d CARD backup --out backups",
        "-d CARD rom info",
        "rom info FILE",
        "-d CARD config show",
        "config show FILE",
        "config show FILE --summary",
        "config show FILE ADAPTER.Name",
        "config show FILE FILE",
        "-d CARD config query",
        "-d CARD identity show",
        "identity show FILE",
        "-d CARD flash info",
        "-d CARD flash read FILE",
        "-d CARD flash protect",
        "host status",
        "host restore",
        "-d FILE query",
        "-d FILE host restore",
        "sim info card.cx3",
        "sim create FILE",
        "sim image FILE",
        "sim info FILE",
        "sim fault FILE x",
        "sim image out.bin --recipe FILE",
        "query nowhere-FILE",
        "FILE",
        "--FILE",
        "-d CARD burn FILE --yes --no-activate --backup-dir backups -v",
        "-d CARD restore FILE --yes",
        "-d CARD recover FILE --yes --mac e41d2ddd7850",
        "-d CARD identity set --vsd x --yes",
        "-d CARD rom write FILE --yes",
        "-d CARD activate",
        "-d CARD unlock --yes",
        "-d CARD config set FILE --yes",
    ] {
        for json in [false, true] {
            let mut args: Vec<OsString> = Vec::new();
            args.extend(json.then(|| "--json".into()));
            args.extend(line.split(' ').map(|word| match word {
                "CARD" => sim.clone(),
                "FILE" => file.clone(),
                "nowhere-FILE" => name(".nowhere"),
                "--FILE" => {
                    let mut word = OsString::from("--x");
                    word.push(&file);
                    word
                }
                word => word.into(),
            }));
            let words: Vec<&OsStr> = args.iter().map(OsString::as_os_str).collect();
            let ran = run(&bench, &words);
            only_text(&ran, false);
            if json {
                let document: Value =
                    serde_json::from_str(&ran.stdout).unwrap_or_else(|e| panic!("{e}\n{ran}"));
                assert!(
                    document["result"] != Value::Null || document["error"] != Value::Null,
                    "{ran}"
                );
            }
        }
    }
    assert!(!bench.path("pwned").exists());
}

#[test]
fn flint_prints_text_of_others_escaped() {
    let bench = bench();
    std::fs::write(bench.path("").join(format!("{LONG}.bin")), bench.read("new.bin")).unwrap();
    std::fs::write(bench.path("").join(format!("{LONG}.cx3")), bench.read("card.cx3")).unwrap();
    let (file, card) = (format!("{LONG}.bin"), format!("sim:{LONG}.cx3"));
    for line in [
        "-i FILE q",
        "-i FILE q full",
        "-i FILE v",
        "-i FILE dc",
        "-i FILE dc FILE/x",
        "-i FILE checksum",
        "-i FILE ri FILE/x",
        "-i FILE rrom FILE/x",
        "-i FILE qrom",
        "-i FILE sg",
        "-i FILE sv",
        "-i FILE x FILE",
        "-i nowhereFILE q",
        "FILE",
        "-FILE",
        "-i FILE rb FILE 4",
        "-i FILE rb 0 FILE",
        "-i FILE -guid FILE sg",
        "-i FILE brom FILE",
        "-i FILE -mac e41d2ddd7850 sg",
        "-d CARD q full",
        "-d CARD v",
        "-d CARD dc",
        "-d CARD hw query",
        "-d FILE q",
        "-d CARD -i other.bin b",
        "-d CARD -i other.bin -allow_psid_change b",
        "-d CARD brom FILE",
        "-d CARD -y -i FILE b",
        "-d CARD -vsd FILE sv",
        "-d CARD bc",
        "-d CARD -i FILE bc",
        "-clear_semaphore -d CARD",
    ] {
        let args: Vec<String> = line
            .split(' ')
            .map(|word| match word {
                "CARD" => card.clone(),
                word => word.replace("FILE", &file),
            })
            .collect();
        let mut all = vec!["flint"];
        all.extend(args.iter().map(String::as_str));
        let ran = bench.run(&all);
        only_text(&ran, line.contains("-y") || line.contains("sv") || line.contains("bc"));
    }
    // The ini in a file is what it is.
    bench.run(&["flint", "-i", "new.bin", "dc", "ini.txt"]).exits(0);
    assert!(bench.read("ini.txt").contains(&0x1b));
    let foreign =
        run(&bench, &[OsStr::new("flint"), OsStr::new("-i"), &name(".bin"), OsStr::new("q")]);
    only_text(&foreign.exits(1).reports(r"\xff"), false);
}

/// Names that udev, a driver, a process and a virtual machine gave.
#[test]
fn names_of_a_host_reach_the_terminal_as_text() {
    let bench = Sandbox::new();
    let hostile = LONG.replace('/', "");
    let device = bench.path("host/sys/bus/pci/devices/0000:05:00.0");
    std::fs::create_dir_all(&device).unwrap();
    for (file, text) in [
        ("vendor", "0x15b3"),
        ("device", "0x1003"),
        ("class", "0x020000"),
        ("subsystem_vendor", "0x15b3"),
        ("subsystem_device", "0x0055"),
        ("driver_override", hostile.as_str()),
    ] {
        std::fs::write(device.join(file), format!("{text}\n")).unwrap();
    }
    for dir in ["net", "infiniband"] {
        std::fs::create_dir_all(device.join(dir).join(&hostile)).unwrap();
    }
    let driver = bench.path("host/sys/bus/pci/drivers").join(&hostile);
    std::fs::create_dir_all(&driver).unwrap();
    std::os::unix::fs::symlink(&driver, device.join("driver")).unwrap();
    let group = bench.path("host/sys/kernel/iommu_groups/17");
    std::fs::create_dir_all(group.join("devices/0000:05:00.0")).unwrap();
    std::os::unix::fs::symlink(&group, device.join("iommu_group")).unwrap();
    let process = bench.path("host/proc/3000");
    std::fs::create_dir_all(process.join("fd")).unwrap();
    std::fs::write(process.join("comm"), format!("{hostile}\n")).unwrap();
    std::fs::write(process.join("cmdline"), format!("qemu\0-name\0guest={hostile}\0")).unwrap();
    std::os::unix::fs::symlink("/dev/vfio/17", process.join("fd/5")).unwrap();
    std::fs::write(bench.path("host/proc/mounts"), format!("{hostile} /mnt ext4 rw 0 0\n"))
        .unwrap();
    for line in [
        "list",
        "doctor",
        "-d 05:00.0 doctor",
        "-d 05:00.0 query",
        "-d 05:00.0 query -v",
        "flint -d 05:00.0 q",
    ] {
        let args: Vec<&str> = line.split(' ').collect();
        only_text(&bench.run(&args), false);
        if !line.starts_with("flint") {
            let mut all = vec!["--json"];
            all.extend(args);
            only_text(&bench.run(&all), false);
        }
    }
    let shown = bench.run(&["list"]);
    assert!(shown.stdout.contains(r"\x1b[8m"), "{shown}");
}

#[test]
fn hints_can_be_pasted_and_name_the_same_file() {
    let bench = bench();
    let file = name(".bin");
    let ran = run(
        &bench,
        &["-d", "sim:card.cx3", "burn"]
            .map(OsStr::new)
            .iter()
            .copied()
            .chain([file.as_os_str()])
            .collect::<Vec<_>>(),
    );
    let hint = ran
        .stderr
        .lines()
        .find_map(|l| l.strip_prefix("hint: "))
        .unwrap_or_else(|| panic!("{ran}"));
    assert!(hint.contains("$'"), "{hint}");
    let typed = hint.strip_prefix("cx3flash ").unwrap_or_else(|| panic!("{hint}"));
    let printed = Command::new("bash")
        .current_dir(bench.path(""))
        .args(["-c", &format!("printf '%s\\n' {typed}")])
        .env("LC_ALL", "C")
        .output()
        .unwrap();
    assert!(printed.stdout.windows(file.len()).any(|w| w == file.as_bytes()), "{typed}");
    assert!(!bench.path("pwned").exists());
}

#[test]
fn a_file_name_that_is_no_utf8_is_in_the_json() {
    let bench = bench();
    let ran = run(&bench, &[OsStr::new("--json"), OsStr::new("query"), &name(".bin")]).exits(0);
    let file = ran.json()["result"]["file"].as_str().unwrap().to_owned();
    assert!(file.contains("\\xff") && file.contains('\u{202e}'), "{file:?}");
    assert_eq!(ran.json()["result"]["images"][0]["image"]["psid"], SHORT);
}

/// `script` runs the program at a terminal, whose output and input it writes to stdout and reads.
fn at_a_terminal(bench: &Sandbox, line: &str, typed: &str) -> String {
    let ran =
        bench.shell(&format!("printf '{typed}' | TERM=xterm script -qefc '{line}' /dev/null"));
    ran.stdout
}

#[test]
fn a_question_begins_its_own_line_with_attributes_reset() {
    let bench = bench();
    let shown = at_a_terminal(&bench, "cx3flash -d sim:card.cx3 burn new.bin", "n\\n");
    let question = "\u{1b}[0m\r\nWrite 2.42.5000 over 2.35.5100 to sim:card.cx3 (MCX311A-XCAT, 01:00.0)? [y/N] ";
    assert!(shown.contains(question), "{shown:?}");
    let shown = at_a_terminal(
        &bench,
        "cx3flash flint -d sim:card.cx3 -i new.bin -mac e41d2ddd7850 b",
        "n\\n",
    );
    assert!(shown.contains("\u{1b}[0m\r\n Do you want to continue ? (y/n) [n] : "), "{shown:?}");
}

#[test]
fn at_a_terminal_only_our_own_colours_are_control() {
    let bench = bench();
    let shown =
        at_a_terminal(&bench, "cx3flash -d sim:card.cx3 plan new.bin --full 2>/dev/null", "");
    let mut rest = shown.replace("\r\n", "\n").replace("\u{4}\u{8}\u{8}", "");
    for colour in [0, 31, 32, 33, 35, 36, 90] {
        rest = rest.replace(&format!("\u{1b}[{colour}m"), "");
    }
    let rest = rest.replace("^D", "");
    let active: Vec<char> = rest.chars().filter(|c| is_active(*c) && *c != '\n').collect();
    assert!(active.is_empty(), "{active:?} in {shown:?}");
    assert!(shown.contains("\u{1b}[31m") || shown.contains("\u{1b}[33m"), "{shown:?}");
}
