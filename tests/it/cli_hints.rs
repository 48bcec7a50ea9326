//! Every hint leads on: what it names is typed, and the hint of that too, until a command succeeds or nothing
//! is left to type. No hint comes twice, and no advised command is a usage error.

use crate::cli_archive::tgz;
use crate::support::cli::{CliRun, FLASH_AT, Sandbox};
use cx3flash::image::{Half, Recipe, RomRecipe, build, striped};
use serde_json::Value;
use std::sync::OnceLock;

const KEY: &str = "0123456789abcdef";
/// The longest way on.
const MOST: usize = 8;

/// How the last command of a way ends.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    /// It succeeds.
    Done,
    /// The hint is no command, or there is none.
    Words,
}
use End::{Done, Words};

/// A card and files, the command that fails, and where its hints lead.
struct Situation(&'static str, fn(&Sandbox), &'static str, End);

/// Cards are `card.cx3`: `pro` is failsafe, `owner` is not.
fn situations() -> Vec<Situation> {
    let same: fn(&Sandbox) = |_| {};
    vec![
        Situation("pro", same, "rom write other.rom --yes", Done),
        Situation("pro", same, "rom write damaged.rom --yes", Words),
        Situation("pro", same, "rom write new.bin --yes", Done),
        Situation("pro", same, "burn right.rom --yes", Done),
        Situation("pro", same, "query right.rom", Done),
        Situation("pro", same, "verify right.rom", Done),
        Situation("pro", same, "burn damaged.bin --yes", Words),
        Situation("pro", same, "verify odd.bin", Words),
        Situation("pro", same, "burn half.bin --yes", Words),
        Situation("pro", same, "burn owner.bin --yes", Done),
        Situation("pro", same, "burn oem.bin --yes", Done),
        Situation("pro", same, "plan oem.bin", Done),
        Situation("pro", same, "burn oem.bin --change-psid MT_1:OEM_1 --yes", Done),
        Situation("pro", same, "burn other_rom.bin --yes", Done),
        Situation("pro", same, "burn other_rom_oem.bin --yes", Done),
        Situation("pro", newer, "burn old.bin --yes", Done),
        Situation(
            "pro",
            same,
            "burn new.bin --expect 0000000000000000000000000000000000000000000000000000000000000000",
            Done,
        ),
        Situation("pro", same, "burn new.bin", Done),
        Situation("pro", same, "recover new.bin --blank-guids --mac e41d2ddd7850 --yes", Done),
        Situation("pro", same, "verify --against new.bin", Done),
        Situation("pro", same, "burn dump.bin --yes", Done),
        Situation("pro", same, "restore . --yes", Words),
        Situation("pro", same, "config show --key no.such_key", Done),
        Situation("pro", same, "config set NUM_OF_VFS=1000 --yes", Done),
        Situation("pro", same, "flash protect --on --top 3 --yes", Done),
        Situation("pro", same, "rom read new.bin", Words),
        Situation("pro", same, "identity set --mac e4:1d-2d:dd:78:50", Done),
        Situation("pro", same, "burn --no-such-option", Done),
        Situation("pro", settings_refused, "config set SRIOV_EN=0 --yes", Done),
        Situation("pro", protected, "burn new.bin --yes", Done),
        Situation("pro", held, "query", Done),
        Situation("pro", held, "burn new.bin --yes", Done),
        Situation("pro", held_alive, "query", Words),
        Situation("pro", held_alive, "unlock --yes", Words),
        Situation("pro", backup_of_owner, "restore backup --yes", Done),
        Situation("pro", same, "burn two.tgz --yes", Done),
        Situation("pro", same, "plan two.tgz", Done),
        Situation("pro", two_fit, "burn --from dl --yes", Done),
        Situation("pro", corrupt, "config query", Done),
        Situation("pro", gone, "query", Done),
        Situation("pro", stuck, "query", Words),
        Situation("pro", two_cards, "burn new.bin --yes", Done),
        Situation("pro", no_cards, "query", Done),
        Situation("pro", no_cards, "-d sim:none.cx3 query", Done),
        Situation("pro", same, "-d sim:new.bin query", Done),
        Situation("pro", same, "-d 05:00.0 query", Done),
        Situation("pro", damaged_card, "verify", Done),
        Situation("pro", damaged_card, "burn new.bin --yes", Done),
        Situation("pro", blank, "verify", Done),
        Situation("pro", blank, "burn new.bin --yes", Done),
        Situation("pro", blank, "rom read out.rom", Done),
        Situation("pro", blank, "config show", Done),
        Situation("pro", blank, "config query", Words),
        Situation("pro", blank, "identity set --mac e41d2ddd7850 --yes", Done),
        Situation("pro", no_identity, "burn new.bin --yes", Done),
        Situation("pro", locked, "query", Done),
        Situation("pro", locked, "query --key-file wrong", Words),
        Situation("owner", cut, "verify", Done),
        Situation("owner", protected, "rom remove --yes", Done),
        Situation("owner", backup_of_other, "restore backup --yes", Done),
    ]
}

fn fault(bench: &Sandbox, json: &str) {
    bench.run(&["sim", "fault", "card.cx3", json]).exits(0);
}

fn newer(bench: &Sandbox) {
    bench.card(&["burn", "new.bin", "--yes"]).exits(0);
}

fn settings_refused(bench: &Sandbox) {
    fault(bench, r#"{"fault":"settings_refused","status":8}"#);
}

fn protected(bench: &Sandbox) {
    fault(bench, r#"{"fault":"protected","status":28}"#);
}

fn held(bench: &Sandbox) {
    fault(bench, r#"{"fault":"semaphore_held","number":63,"reads":null,"owner_alive":false}"#);
}

fn held_alive(bench: &Sandbox) {
    fault(bench, r#"{"fault":"semaphore_held","number":63,"reads":null,"owner_alive":true}"#);
}

/// Two different images of one version, and an archive of both.
fn two_fit(bench: &Sandbox) {
    bench.shell("mkdir dl && cp new.bin dl && cp second.bin dl").exits(0);
}

/// The directory `backup` is of a card of other silicon.
fn backup_of_owner(bench: &Sandbox) {
    bench.run(&["sim", "create", "other.cx3", "--mac", "e41d2d000010"]).exits(0);
    bench.shell("cx3flash -d sim:other.cx3 backup --out b && mv b/* backup").exits(0);
    std::fs::remove_file(bench.path("other.cx3")).unwrap();
}

fn corrupt(bench: &Sandbox) {
    fault(bench, r#"{"fault":"corrupt_configuration"}"#);
}

fn gone(bench: &Sandbox) {
    fault(bench, r#"{"fault":"removed","after":0}"#);
}

fn stuck(bench: &Sandbox) {
    fault(bench, r#"{"fault":"stuck_busy","after":10}"#);
}

fn two_cards(bench: &Sandbox) {
    bench.write("b.cx3", &bench.read("card.cx3"));
}

fn no_cards(bench: &Sandbox) {
    std::fs::remove_file(bench.path("card.cx3")).unwrap();
}

fn blank(bench: &Sandbox) {
    no_cards(bench);
    bench.run(&["sim", "create", "card.cx3", "--board", "mcx312b", "--blank"]).exits(0);
}

fn locked(bench: &Sandbox) {
    no_cards(bench);
    let create = ["sim", "create", "card.cx3", "--board", "mcx312b", "--secure-host"];
    bench.run(&create).exits(0).prints(KEY);
}

/// A power cut in the middle of the only image.
fn cut(bench: &Sandbox) {
    fault(bench, r#"{"fault":"power_cut","op":20,"seed":1}"#);
    let ran = bench.card(&["burn", "new.bin", "--yes"]);
    assert!(ran.code != 0, "{ran}");
    bench.run(&["sim", "power-cycle", "card.cx3"]).exits(0);
}

fn change_flash(bench: &Sandbox, change: impl FnOnce(&mut [u8])) {
    let mut file = bench.read("card.cx3");
    change(&mut file[FLASH_AT..]);
    bench.write("card.cx3", &file);
}

/// The image of the running firmware is damaged.
fn damaged_card(bench: &Sandbox) {
    change_flash(bench, |flash| flash[0x3_0000] ^= 1);
}

/// The image boots, and has no identity.
fn no_identity(bench: &Sandbox) {
    let recipe = Recipe { guids: None, ..Recipe::mcx312b_2_42_5000() };
    let image = build(&recipe).unwrap();
    change_flash(bench, |flash| {
        let laid = striped(&image, Half::Even, flash.len() as u32).unwrap();
        flash.copy_from_slice(&laid);
    });
    bench.run(&["sim", "power-cycle", "card.cx3"]).exits(0);
}

/// The directory `backup` is of another card.
fn backup_of_other(bench: &Sandbox) {
    bench.run(&["sim", "create", "other.cx3", "--mac", "e41d2d000010"]).exits(0);
    bench.shell("cx3flash -d sim:other.cx3 backup --out b && mv b/* backup").exits(0);
    std::fs::remove_file(bench.path("other.cx3")).unwrap();
}

/// The card and the files that commands and hints name, made once and copied.
pub(crate) fn sandbox(card: &str) -> Sandbox {
    static MADE: [OnceLock<Sandbox>; 2] = [OnceLock::new(), OnceLock::new()];
    let made = MADE[usize::from(card == "pro")].get_or_init(|| files(card));
    let bench = Sandbox::new();
    bench.shell(&format!("cp -r '{}'/. .", made.path(".").display())).exits(0);
    bench
}

fn files(card: &str) -> Sandbox {
    let bench = if card == "pro" { Sandbox::pro() } else { Sandbox::owner() };
    let device = if card == "pro" { 0x1007 } else { 0x1003 };
    let rom = |device_id: u16| {
        let mut rom = RomRecipe::default();
        rom.blocks.iter_mut().for_each(|block| block.device_id = device_id);
        RomRecipe { device_id, ..rom }.build().unwrap()
    };
    let (right, other) = (rom(device), rom(device ^ 4));
    bench.write("right.rom", &right);
    bench.write("other.rom", &other);
    let mut damaged = right;
    damaged[0x101] ^= 1;
    bench.write("damaged.rom", &damaged);
    let recipe = || Recipe::mcx312b_2_42_5000();
    let image = |name: &str, recipe: Recipe| bench.write(name, &build(&recipe).unwrap());
    image("other_rom.bin", Recipe { rom: Some(other.clone()), ..recipe() });
    let psid = "OEM_1".to_owned();
    image("other_rom_oem.bin", Recipe { rom: Some(other), psid, ..recipe() });
    let make = |name: &str, like: &str, more: &[&str]| {
        bench.run(&[&["sim", "image", name, "--like", like], more].concat()).exits(0);
    };
    make("owner.bin", "mcx311a-2.42.5000", &[]);
    make("oem.bin", "mcx312b-2.42.5000", &["--psid", "OEM_1"]);
    make("old.bin", "mcx312b-2.36.5150", &[]);
    make("second.bin", "mcx312b-2.42.5000", &["--seed", "7"]);
    let two = [("new.bin", &bench.read("new.bin")[..]), ("second.bin", &bench.read("second.bin"))];
    bench.write("two.tgz", &tgz(&two));
    let mut new = bench.read("new.bin");
    bench.write("half.bin", &new[..new.len() / 2 + 1]);
    bench.write("odd.bin", &[&new[..], &[0]].concat());
    new[0x3_0000] ^= 1;
    bench.write("damaged.bin", &new);
    bench.write("dump.bin", &bench.flash("card.cx3"));
    bench.write("key", KEY.as_bytes());
    bench.write("wrong", b"0123456789abcdee");
    bench.shell("cx3flash -d sim:card.cx3 backup --out b && mv b/* BACKUP && rmdir b").exits(0);
    bench
}

/// The command in a hint, with a document as its result; `None` where only the owner knows the values.
fn command(hint: &str) -> Option<String> {
    if hint.contains("FROM:TO") {
        return None;
    }
    let at = hint.rfind("sudo cx3flash ").or_else(|| hint.rfind("cx3flash "))?;
    let command = hint[at..].split("; ").next()?;
    let words = command.split(' ').map(|word| match word {
        "IMAGE" => "new.bin",
        "KEYFILE" => "key",
        "G" => "0002c90300aabb00",
        "M" => "e41d2ddd7850",
        word => word,
    });
    let command = words.collect::<Vec<_>>().join(" ");
    // Completion, help and `&&` have no document.
    let json = command.contains(" --json ") || command.contains(" && ");
    Some(if json { command } else { command.replacen("cx3flash ", "cx3flash --json ", 1) })
}

fn typed(bench: &Sandbox, command: &str) -> (CliRun, Value) {
    let ran = bench.shell(command);
    let document = if command.contains(" && ") { Value::Null } else { ran.json() };
    (ran, document)
}

/// Follows the hints of a command that fails.
fn follow(bench: &Sandbox, first: &str) -> Result<End, String> {
    let mut way = vec![first.to_owned()];
    let mut hints: Vec<String> = Vec::new();
    let report = |way: &[String], why: &str| format!("{why}\n  {}", way.join("\n  "));
    loop {
        let line = way.last().cloned().unwrap_or_default();
        let (ran, document) = typed(bench, &line);
        let error = &document["error"];
        if matches!(ran.code, 0 | 2) {
            let end = if way.len() == 1 { Err(report(&way, "it does not fail")) } else { Ok(Done) };
            return end;
        }
        if way.len() > 1 && error["code"] == "usage" {
            return Err(report(&way, &format!("a usage error: {}", error["message"])));
        }
        let Some(hint) = error["hint"].as_str() else { return Ok(Words) };
        way.push(format!("[{}] {hint}", ran.code));
        if hints.iter().any(|earlier| earlier == hint) {
            return Err(report(&way, "a circle"));
        }
        hints.push(hint.to_owned());
        let Some(next) = command(hint) else { return Ok(Words) };
        if way.len() > 2 * MOST {
            return Err(report(&way, "no end"));
        }
        way.push(next);
    }
}

/// The whole line: a card that is named, unless the situation is about that.
fn line(what: &str, setup: fn(&Sandbox), bench: &Sandbox) -> String {
    setup(bench);
    let alone =
        what.starts_with("-d ") || bench.path("b.cx3").exists() || !bench.path("card.cx3").exists();
    let card = if alone { "" } else { "-d sim:card.cx3 " };
    format!("cx3flash --json {card}{what}")
}

#[test]
fn every_hint_is_a_command_that_leads_on_and_none_comes_twice() {
    let mut faults = Vec::new();
    for Situation(card, setup, what, end) in situations() {
        let bench = sandbox(card);
        match follow(&bench, &line(what, setup, &bench)) {
            Ok(found) if found == end => {}
            Ok(found) => faults.push(format!("{what}: ends with {found:?}")),
            Err(why) => faults.push(format!("{what}: {why}")),
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_fix_of_doctor_is_a_command_that_leads_on() {
    for setup in [protected as fn(&Sandbox), held, stuck, blank, locked, damaged_card, no_identity]
    {
        let bench = sandbox("pro");
        setup(&bench);
        let document = bench.card(&["--json", "doctor"]).exits(5).json();
        let checks = document["result"]["checks"].as_array().unwrap();
        let fixes: Vec<String> = checks
            .iter()
            .filter(|check| check["ok"] == false && check["skipped"] == false)
            .filter_map(|check| command(check["fix"].as_str().unwrap()))
            .collect();
        assert!(!fixes.is_empty(), "{document:#}");
        for fix in fixes {
            assert!(fix.contains("-d sim:card.cx3 "), "{fix}");
            let (ran, document) = typed(&bench, &fix);
            assert!(document["error"]["code"] != "usage", "{ran}");
        }
    }
}

#[test]
fn a_backup_of_other_silicon_is_not_answered_with_an_option_for_its_identity() {
    let bench = sandbox("pro");
    backup_of_owner(&bench);
    let ran = bench.refuses(&["restore", "backup", "--yes"], 4);
    let ran = ran
        .reports("hint: name an image or a backup for this card; its PSID and chip: cx3flash -d");
    assert!(!ran.stderr.contains("--change-mac"), "{ran}");
}

#[test]
fn the_choice_of_an_image_keeps_the_command_the_card_and_every_option() {
    let bench = sandbox("pro");
    two_fit(&bench);
    for (typed, advised) in [
        ("burn two.tgz --yes --rom device", "burn two.tgz/new.bin --yes --rom device"),
        ("plan two.tgz --full", "plan two.tgz/new.bin --full"),
        ("burn --from dl --rom device --yes", "burn --rom device --yes dl/new.bin"),
    ] {
        let ran = bench.shell(&format!("cx3flash -d sim:card.cx3 {typed}"));
        ran.reports(&format!("for example: cx3flash -d sim:card.cx3 {advised}\n"));
    }
    let ran = bench.shell("cx3flash plan --all --from dl --rom device");
    ran.reports("for example: cx3flash -d sim:card.cx3 plan --rom device dl/new.bin\n");
}

#[test]
fn a_directory_that_is_no_backup_is_refused_with_what_a_backup_is() {
    let bench = Sandbox::pro();
    bench.shell("mkdir empty").exits(0);
    let ran = bench.refuses(&["restore", "empty", "--yes"], 1);
    ran.reports("hint: name the directory that holds manifest.json\n");
}

#[test]
fn a_setting_that_the_firmware_refuses_is_exit_1_when_the_flash_is_unchanged() {
    let bench = Sandbox::pro();
    settings_refused(&bench);
    let ran = bench.refuses(&["config", "set", "SRIOV_EN=0", "--yes"], 1);
    ran.reports("status 0x08").reports("cx3flash -d sim:card.cx3 activate\n");
    bench.run(&["sim", "power-cycle", "card.cx3"]).exits(0);
    bench.card(&["config", "set", "SRIOV_EN=0", "--yes"]).exits(0);
}

#[test]
fn a_card_that_is_not_used_is_named() {
    let bench = Sandbox::pro();
    let remark = "`query` reads new.bin; the card sim:card.cx3 is not used";
    bench.card(&["query", "new.bin"]).exits(0).reports(remark);
    assert!(bench.card(&["--json", "query", "new.bin"]).json()["device"].is_null());
    assert!(!bench.run(&["query", "new.bin"]).stderr.contains("not used"));
}

#[test]
fn rom_info_of_a_damaged_rom_is_exit_1() {
    let bench = sandbox("pro");
    let ran = bench.run(&["rom", "info", "damaged.rom"]).exits(1).one_clear_line();
    ran.prints("damaged  ").reports("checksum");
    bench.run(&["rom", "info", "right.rom"]).exits(0);
}

#[test]
fn the_hint_of_a_backup_with_another_identity_names_both_macs() {
    let bench = Sandbox::pro();
    bench.card(&["backup", "--out", "b"]).exits(0);
    bench.card(&["identity", "set", "--mac", "e41d2ddd7860", "--yes"]).exits(0);
    bench.shell("mv b/* before").exits(0);
    let ran = bench.refuses(&["restore", "before", "--yes"], 4);
    ran.reports("restore before --change-mac e41d2ddd7860:0002c9000001");
    bench
        .card(&["restore", "before", "--change-mac", "e41d2ddd7860:0002c9000001", "--yes"])
        .exits(0);
}

#[test]
fn a_valid_image_whose_firmware_never_starts_has_a_way_back_in_every_hint() {
    for recovery in [true, false] {
        let bench = Sandbox::pro();
        bench.card(&["backup", "--out", "b"]).exits(0);
        bench.shell("mv b/* before").exits(0);
        bench.card(&["burn", "new.bin", "--yes", "--no-activate"]).exits(0);
        let fault = format!(
            r#"{{"fault":"firmware","fw_version":"2.42.5000","defect":{{"never_starts":{{"recovery_id":{recovery}}}}}}}"#
        );
        bench.run(&["sim", "fault", "card.cx3", &fault]).exits(0);
        bench.run(&["sim", "power-cycle", "card.cx3"]).exits(0);
        let way = "restore BACKUP";
        let identity = ["--guid", "0002c90300112230", "--mac", "0002c9112230"];
        let recover = bench.card(&[&["recover", "new.bin", "--yes"][..], &identity].concat());
        recover.exits(4).reports(way);
        bench.card(&["activate"]).exits(7).reports(way);
        bench.card(&["doctor"]).exits(5).prints(way);
        bench.card(&["restore", "before", "--yes"]).exits(0);
        bench.card(&["doctor"]).exits(0);
    }
}

#[test]
fn an_image_that_ran_on_unlisted_silicon_is_accepted_from_its_backup() {
    let bench = Sandbox::new();
    let recipe = cx3flash::image::Recipe {
        supported_hw: vec![(0x1F5, 0)],
        ..cx3flash::image::Recipe::mcx311a_2_35_5100()
    };
    bench.write("other.bin", &cx3flash::image::build(&recipe).unwrap());
    let create = ["sim", "create", "card.cx3", "--board", "mcx311a", "--image", "other.bin"];
    bench.run(&create).exits(0);
    bench.card(&["backup", "--out", "b"]).exits(0);
    bench.shell("mv b/* before").exits(0);
    // Simulated silicon is strict; on other silicon it ran.
    let manifest = String::from_utf8(bench.read("before/manifest.json")).unwrap();
    let ran = manifest.replace(r#""running": null"#, r#""running": "2.35.5100""#);
    assert_ne!(ran, manifest);
    bench.write("before/manifest.json", ran.as_bytes());
    let size = bench.flash("card.cx3").len();
    // Its flash is lost.
    let mut card = bench.read("card.cx3");
    card.truncate(crate::support::cli::FLASH_AT);
    card.resize(crate::support::cli::FLASH_AT + size, 0xFF);
    bench.write("card.cx3", &card);
    bench.run(&["sim", "power-cycle", "card.cx3"]).exits(0);
    let identity = ["--identity", "before/identity.json", "--yes", "--no-activate"];
    let recover = |file: &str| bench.card(&[&["recover", file][..], &identity].concat());
    // The same bytes without the manifest show nothing.
    bench.shell("cp before/image.bin alone.bin").exits(0);
    recover("alone.bin").exits(4).reports("silicon");
    recover("before/image.bin").exits(0);
    bench.card(&["query"]).exits(0).prints("2.35.5100");
}
