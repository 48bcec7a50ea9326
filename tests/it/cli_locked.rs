//! Locked cards ("secure host"): each advice leads on, a wrong key is reported, and nothing locks.

use crate::support::cli::Sandbox;
use cx3flash::card::{Card, CardError};
use cx3flash::image::{Half, striped};
use cx3flash::sim::{CardSpec, Fault, SimCard, WrongRegister};
use std::rc::Rc;

const KEY: &str = "0123456789abcdef";

/// A locked Pro card, and files with its key and with another.
fn locked() -> Sandbox {
    let bench = Sandbox::new();
    let create = ["sim", "create", "card.cx3", "--board", "mcx354a-pro", "--secure-host"];
    bench.run(&create).exits(0).prints(KEY);
    bench.write("key", format!("{KEY}\n").as_bytes());
    bench.write("wrong", b"0123456789abcdee\n");
    bench
}

fn hint(stderr: &str) -> &str {
    let hint = stderr.lines().find_map(|line| line.strip_prefix("hint: ")).unwrap();
    hint.rsplit_once(": ").map_or(hint, |(_, command)| command)
}

#[test]
fn every_command_on_a_locked_card_names_a_command_that_works() {
    let bench = locked();
    let fresh = bench.read("card.cx3");
    bench.run(&["sim", "image", "new.bin", "--like", "mcx312b-2.42.5000"]).exits(0);
    for args in
        [&["query"][..], &["verify"], &["backup"], &["unlock"], &["activate"], &["config", "query"]]
    {
        bench.write("card.cx3", &fresh);
        let ran = bench.card(args).exits(1).one_clear_line().reports("locked");
        let command = hint(&ran.stderr).replace("KEYFILE", "key");
        let ran = bench.shell(&command);
        assert_eq!(ran.code, 0, "{ran}");
    }
    bench.write("card.cx3", &fresh);
    bench.card(&["doctor"]).exits(5).prints("locked").prints("--key-file");
    bench.card(&["doctor", "--key-file", "key"]).exits(0);
    // Enabled until the chip is reset.
    bench.card(&["query"]).exits(0);
    bench.run(&["sim", "power-cycle", "card.cx3"]).exits(0);
    bench.card(&["query"]).exits(1);
    // A burn resets the chip, which locks it: the key is used again.
    bench
        .card(&[
            "burn",
            "new.bin",
            "--change-psid",
            "MT_1200111023:MT_1200111023",
            "--yes",
            "--key-file",
            "key",
        ])
        .exits(0);
}

#[test]
fn a_wrong_key_changes_nothing_and_is_reported() {
    let bench = locked();
    let ran = bench.refuses(&["query", "--key-file", "wrong"], 1);
    ran.reports("does not accept this key");
    for key in ["", "22062011", "0123456789abcde", "0123456789abcdef0", "not a key"] {
        bench.write("bad", key.as_bytes());
        let ran = bench.refuses(&["query", "--key-file", "bad"], 64).reports("exactly 16");
        assert!(key.is_empty() || !ran.stderr.contains(key), "{ran}");
        let ran = bench.refuses(&["unlock", "--key", key], 64).reports("exactly 16");
        assert!(key.is_empty() || !ran.stderr.contains(key), "{ran}");
    }
    bench.card(&["unlock", "--key", KEY]).exits(0).prints("hardware access enabled");
    bench.card(&["unlock", "--key", KEY]).exits(2);
}

#[test]
fn flints_advice_on_a_locked_card_is_a_way_on() {
    let bench = locked();
    let flint = |words: &str| bench.shell(&format!("cx3flash flint -d sim:card.cx3 {words}"));
    let advice =
        "Run \"flint -d sim:card.cx3 hw_access enable [key]\" in order to enable HW access.";
    flint("q").exits(1).prints(advice);
    flint("hw_access enable 0123456789abcdee").exits(1).prints("The given key is incorrect");
    for key in ["0123456789abcdef0", "0123456789abcde", "1"] {
        flint(&format!("hw_access enable {key}")).exits(1).prints("Invalid Key syntax");
    }
    let done = "-I- The Secure Host was disabled successfully on the device.";
    flint("hw_access enable < key").exits(0).prints(done);
    flint("q").exits(0);
    flint(&format!("hw_access enable {KEY}")).exits(0).prints("-I- HW access already enabled");
}

#[test]
fn no_command_locks_a_card_or_sets_a_key() {
    let bench = locked();
    bench.card(&["unlock", "--key-file", "key"]).exits(0);
    let before = bench.flash("card.cx3");
    for words in
        ["hw_access disable", "hw_access disable 1", "set_key 1", "set_key", "hw_access lock"]
    {
        bench.shell(&format!("cx3flash flint -d sim:card.cx3 -y {words}")).exits(1);
    }
    bench.card(&["query"]).exits(0);
    assert!(before == bench.flash("card.cx3"));
    let info = bench.run(&["--json", "sim", "info", "card.cx3"]).json();
    assert_eq!(info["result"]["misuse_count"], 0, "{info:#}");
}

#[test]
fn the_text_of_a_key_is_in_no_log_report_or_document() {
    let bench = locked();
    let ran =
        bench.card(&["-vv", "--json", "--report", "reports", "unlock", "--key", KEY]).exits(0);
    assert!(!ran.stdout.contains(KEY) && !ran.stderr.contains(KEY), "{ran}");
    let files = bench.shell("find state reports -type f -exec grep -la 0123456789abcdef {} +");
    assert_eq!(files.stdout, "", "{files}");
}

#[test]
fn firmware_without_the_command_is_named_and_no_key_is_asked_for() {
    let bench = Sandbox::new();
    let old = ["--like", "mcx312b-2.36.5150", "--fw-version", "2.30.8000"];
    bench.run(&[&["sim", "image", "old.bin"][..], &old].concat()).exits(0);
    let create = ["sim", "create", "card.cx3", "--board", "mcx354a-pro", "--secure-host"];
    bench.run(&[&create[..], &["--image", "old.bin"]].concat()).exits(0);
    bench.write("key", format!("{KEY}\n").as_bytes());
    for args in [&["query", "--key-file", "key"][..], &["unlock", "--key-file", "key"]] {
        let ran = bench.refuses(args, 1).one_clear_line().reports("accepts no key");
        assert!(!ran.stderr.contains("KEYFILE"), "{ran}");
        let ran = ran.reports("jumper");
        assert!(hint(&ran.stderr).contains("recover"), "{ran}");
    }
    bench.card(&["doctor", "--key-file", "key"]).exits(5).prints("locked-cards");
}

/// A locked card in memory.
fn locked_card() -> SimCard {
    let image = crate::sweep::world::own(&crate::sweep::world::small_pro("2.42.5000"));
    let spec = CardSpec { hw_id: 0x1f7, revision: 0, secure_host: true, ..CardSpec::default() };
    let flash = striped(image.bytes(), Half::Even, spec.chip.size()).unwrap();
    SimCard::new(spec, &flash)
}

fn open(card: &SimCard) -> Result<Card, CardError> {
    Card::open_with_key(card.bar0(), Rc::clone(&card.clock()), KEY.parse().ok())
}

#[test]
fn a_locked_card_that_is_pulled_while_its_key_is_sent_is_gone() {
    let locked = locked_card();
    let undisturbed = locked.fork();
    open(&undisturbed).unwrap();
    for after in 0..undisturbed.accesses() {
        let card = locked.fork();
        card.inject(Fault::Removed { after });
        let error = open(&card).err().map(|e| e.to_string());
        assert!(
            error.as_ref().is_none_or(|e| e.contains("the card is gone")),
            "{after}: {error:?}"
        );
        assert!(error.is_some() || after + 1 == undisturbed.accesses(), "{after}");
    }
}

#[test]
fn a_read_without_an_answer_while_the_key_is_sent_leaves_no_semaphore_taken() {
    const SEMAPHORE_47: u32 = 0xf_03bc;
    const CONTROL: u32 = 0x8_0798;
    for kind in [WrongRegister::AnswerLost, WrongRegister::RequestLost, WrongRegister::Locked] {
        for (at, after) in [(SEMAPHORE_47, 0), (CONTROL, 0), (CONTROL, 20)] {
            let card = locked_card();
            card.inject(Fault::WrongRegister { after, at: Some(at), reads: 1, kind });
            let opened = open(&card).map(|_| ());
            assert!(opened.is_ok(), "{kind:?} {at:#x}: {opened:?}");
            assert_eq!(card.faults(), [], "{kind:?} {at:#x}: it never happened");
            assert_eq!(card.semaphores_held(), [0_u8; 0], "{kind:?} {at:#x}");
        }
    }
}

#[test]
fn a_card_that_was_unlocked_first_is_burned_and_its_reset_is_announced() {
    let bench = locked();
    let image = ["sim", "image", "new.bin", "--like", "mcx312b-2.42.5000"];
    bench.run(&image).exits(0);
    let fresh = bench.read("card.cx3");
    let warning = "each reset locks it again";
    let unlocked = || {
        bench.write("card.cx3", &fresh);
        bench.card(&["unlock", "--key-file", "key"]).exits(0);
    };
    unlocked();
    bench.card(&["plan", "new.bin"]).exits(0).prints(warning).prints("`--key-file FILE`");
    let ran = bench.card(&["--json", "burn", "new.bin", "--yes"]).exits(0);
    let document = ran.json();
    let activation = &document["result"]["activation"];
    assert_eq!(activation["confirmed"], false, "{ran}");
    assert!(document["result"]["plan"]["warnings"].to_string().contains(warning), "{ran}");
    let detail = activation["detail"].as_str().unwrap();
    let (_, command) = detail.rsplit_once(": ").unwrap();
    bench.card(&["query"]).exits(1).reports("locked");
    bench.shell(&command.replace("FILE", "key")).exits(0).prints("2.42.5000");
    // The same of a reset that writes nothing.
    unlocked();
    bench.card(&["activate"]).exits(0).prints("--key-file FILE");
    unlocked();
    let tested = bench.card(&["selftest", "--reset", "--yes"]).exits(0);
    tested.prints("give it with --key-file FILE");
    bench.card(&["query"]).exits(0);
    // With the key there is nothing to announce.
    unlocked();
    let ran = bench.card(&["burn", "new.bin", "--yes", "--key-file", "key"]).exits(0);
    assert!(!ran.stdout.contains(warning), "{ran}");
    ran.prints("running  2.42.5000");
}

#[test]
fn a_hint_carries_the_key_file_that_was_typed() {
    let bench = locked();
    bench.run(&["sim", "image", "new.bin", "--like", "mcx312b-2.42.5000"]).exits(0);
    let recover =
        ["recover", "new.bin", "--guid", "0002c90300112230", "--mac", "0002c9112230", "--yes"];
    let ran = bench.card(&[&recover[..], &["--key-file", "key"]].concat()).exits(4);
    assert_eq!(hint(&ran.stderr), "cx3flash -d sim:card.cx3 --key-file key burn new.bin");
    bench.shell(&format!("{} --yes", hint(&ran.stderr))).exits(0);
    // A name with a blank, and the hint is not what was typed.
    bench.shell("cp key 'a key'").exits(0);
    let ran = bench.card(&["restore", "nowhere", "--yes", "--key-file", "a key"]);
    assert_ne!(ran.code, 0, "{ran}");
    let typed = ["--key-file", "a key", "flash", "protect", "--on", "--top", "9", "--yes"];
    assert_ne!(bench.card(&typed).code, 0);
}
