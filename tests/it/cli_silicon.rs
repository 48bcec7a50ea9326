//! Images for other silicon on a card, and recovery mode with a valid image: what boots is judged with the
//! chip, and every hint is a command that works.

use crate::support::cli::{FLASH_AT, Sandbox};
use cx3flash::image::{Contents, FlashAddr, Half, Identity, Recipe, Version, build, striped};

/// Flash contents with these images in these halves.
fn flash(len: usize, images: &[(&[u8], Half)]) -> Vec<u8> {
    let mut flash = vec![0xFF; len];
    for (image, half) in images {
        let laid = striped(image, *half, u32::try_from(len).unwrap()).unwrap();
        for (place, byte) in flash.iter_mut().zip(laid) {
            *place &= byte;
        }
    }
    flash
}

/// A failsafe image for a ConnectX-3 of the Pro card's version.
fn other_silicon(recipe: Recipe) -> Vec<u8> {
    let version = Version { major: 2, minor: 36, subminor: 5150 };
    build(&Recipe { version, chunk_log2: Some(19), ..recipe }).unwrap()
}

/// The Pro card with `even` in its even half, and with its own image in the odd half when it keeps it.
fn card_with(even: &[u8], keeps: bool) -> Sandbox {
    let bench = Sandbox::pro();
    let now = bench.flash("card.cx3");
    let own = Contents::from_dump(&now, FlashAddr(0)).unwrap();
    let mut halves = vec![(even, Half::Even)];
    if keeps {
        halves.push((own.bytes(), Half::Odd));
    }
    put(&bench, &flash(now.len(), &halves));
    bench.run(&["sim", "power-cycle", "card.cx3"]).exits(0);
    bench
}

fn put(bench: &Sandbox, flash: &[u8]) {
    let mut file = bench.read("card.cx3");
    file[FLASH_AT..].copy_from_slice(flash);
    bench.write("card.cx3", &file);
}

fn boots(bench: &Sandbox) -> bool {
    let info = bench.run(&["--json", "sim", "info", "card.cx3"]).json();
    info["result"]["power_on"]["boots"] == "image"
}

/// What the last line of a failure advises, without its placeholders.
fn advice(stderr: &str) -> String {
    let hint = stderr.lines().find_map(|line| line.strip_prefix("hint: ")).unwrap();
    let command = hint.rsplit_once(": ").map_or(hint, |(_, command)| command);
    command.replace("IMAGE", "new.bin")
}

const WHY: &str = "it is for ConnectX-3 A1, and the card is a ConnectX-3Pro";

#[test]
fn an_image_for_other_silicon_beside_the_one_that_runs_is_replaced_and_power_cuts_leave_the_other()
{
    let even = other_silicon(Recipe::mcx311a_2_42_5000());
    let bench = card_with(&even, true);
    let plan = bench.card(&["plan", "new.bin"]).exits(0);
    plan.prints("0x80000 taken as the one that boots").prints(WHY);
    for command in [&["query"][..], &["doctor"]] {
        bench.card(command).exits(0).prints(WHY);
    }
    let query = bench.card(&["--json", "query"]).json();
    let images = &query["result"]["images"];
    assert_eq!(images[0]["would_boot"], false);
    assert_eq!(images[0]["wrong_silicon"], WHY);
    assert_eq!(images[1]["would_boot"], true);
    assert!(images[1]["wrong_silicon"].is_null());
    let verify = bench.card(&["verify"]).exits(1);
    verify.prints(&format!("the image does not start on this card: {WHY}"));
    // The way on that verify names.
    let card = bench.read("card.cx3");
    bench.card(&["burn", "new.bin", "--yes"]).exits(0);
    bench.card(&["verify"]).exits(0);
    for op in [1, 2, 5, 9, 14, 20, 40, 80, 160] {
        bench.write("card.cx3", &card);
        let cut = format!(r#"{{"fault":"power_cut","op":{op},"seed":{op}}}"#);
        bench.run(&["sim", "fault", "card.cx3", &cut]).exits(0);
        bench.card(&["burn", "new.bin", "--yes", "--no-activate"]);
        bench.run(&["sim", "power-cycle", "card.cx3"]).exits(0);
        assert!(boots(&bench), "power cut at operation {op}");
    }
}

#[test]
fn an_image_for_other_silicon_alone_is_named_and_recover_replaces_it() {
    let unlisted = Recipe { supported_hw: Vec::new(), ..Recipe::mcx311a_2_42_5000() };
    for recipe in [Recipe::mcx311a_2_42_5000(), unlisted] {
        let bench = card_with(&other_silicon(recipe), false);
        let identity = r#"--mac e41d2ddd7850 --blank-guids --yes"#;
        bench.card(&["query"]).exits(0).prints("Does not start:");
        bench.card(&["doctor"]).prints("does not start: it is for ConnectX-3").prints("recover");
        for args in [
            &["rom", "read", "out.rom"][..],
            &["config", "show"],
            &["verify", "--against", "new.bin"],
            &["activate"],
        ] {
            let ran = bench.refuses(args, 1).one_clear_line();
            ran.reports("the image at 0x0 does not start on this card: it is for ConnectX-3");
        }
        for args in [
            &["activate"][..],
            &["burn", "new.bin", "--yes"],
            &["identity", "set", "--mac", "e41d2ddd7850", "--yes"],
            &["rom", "remove", "--yes"],
        ] {
            let before = bench.flash("card.cx3");
            let ran = bench.card(args).one_clear_line();
            assert!(matches!(ran.code, 1 | 4), "{ran}");
            assert!(before == bench.flash("card.cx3"), "{ran}");
            let advice = advice(&ran.stderr);
            assert!(advice.contains("recover new.bin"), "{ran}");
            let (command, _) = advice.split_once(" --identity").unwrap();
            let card = bench.read("card.cx3");
            bench.shell(&format!("{command} {identity}")).exits(0);
            assert!(boots(&bench));
            bench.write("card.cx3", &card);
        }
    }
}

#[test]
fn a_backup_is_restored_over_an_image_for_other_silicon() {
    let bench = Sandbox::pro();
    bench.card(&["backup", "--out", "good"]).exits(0);
    let good = bench.flash("card.cx3");
    let even = other_silicon(Recipe::mcx311a_2_42_5000());
    put(&bench, &flash(good.len(), &[(&even, Half::Even)]));
    bench.run(&["sim", "power-cycle", "card.cx3"]).exits(0);
    bench.card(&["backup", "--out", "wrong"]).exits(0);
    let made = |dir: &str| {
        let mut made = std::fs::read_dir(bench.path(dir)).unwrap();
        made.next().unwrap().unwrap().path().display().to_string()
    };
    bench.card(&["restore", &made("good"), "--yes"]).exits(0);
    assert!(bench.flash("card.cx3") == good);
    // A backup of the flash with the wrong image is not put back.
    bench
        .refuses(&["restore", &made("wrong"), "--yes"], 4)
        .reports("the image is for ConnectX-3 A1 only");
}

#[test]
fn a_card_in_recovery_mode_that_holds_a_valid_image_has_a_way_on_everywhere() {
    let bench = Sandbox::pro();
    let good = bench.flash("card.cx3");
    put(&bench, &vec![0xFF; good.len()]);
    bench.run(&["sim", "power-cycle", "card.cx3"]).exits(0);
    // The jumper keeps the boot ROM from seeing the image.
    put(&bench, &good);
    let card = bench.read("card.cx3");
    bench.card(&["query"]).exits(0).prints("recovery mode");
    bench.card(&["doctor"]).exits(5).prints("jumper").prints("sim:card.cx3 activate");
    let own = Contents::from_dump(&good, FlashAddr(0)).unwrap();
    assert!(Identity::from_image(own.image()).is_ok());
    // `recover` names `burn`, which works, and so does `activate`.
    let ran =
        bench.card(&["recover", "new.bin", "--mac", "e41d2ddd7850", "--blank-guids", "--yes"]);
    let ran = ran.exits(4);
    bench.shell(&format!("{} --yes", advice(&ran.stderr))).exits(0);
    assert!(boots(&bench));
    bench.write("card.cx3", &card);
    bench.card(&["activate"]).exits(0);
    bench.write("card.cx3", &card);
    let ran = bench.card(&["config", "query"]).exits(1);
    assert!(advice(&ran.stderr).ends_with("doctor"), "{ran}");
}

#[test]
fn a_card_whose_image_has_a_wrong_full_crc_has_a_way_on_everywhere() {
    let bench = Sandbox::pro();
    let mut flash = bench.flash("card.cx3");
    flash[0x23] ^= 1;
    put(&bench, &flash);
    bench.run(&["sim", "power-cycle", "card.cx3"]).exits(0);
    assert!(!boots(&bench));
    bench.card(&["query"]).exits(0).prints("full image CRC");
    assert_eq!(bench.card(&["--json", "query"]).json()["result"]["images"][0]["would_boot"], false);
    let ran = bench.card(&["activate"]).one_clear_line().exits(1);
    assert!(ran.stderr.contains("identity set"), "{ran}");
    let card = bench.read("card.cx3");
    // Neither advises the other.
    assert!(!advice(&ran.stderr).contains("doctor"), "{ran}");
    let doctor = bench.card(&["doctor"]).exits(5);
    assert!(!doctor.stdout.contains("activate"), "{doctor}");
    let set = doctor.stdout.split('`').find(|text| text.contains("identity set")).unwrap();
    bench.shell(&format!("{set} --yes")).exits(0);
    assert!(boots(&bench));
    for args in [
        &["burn", "new.bin", "--yes"][..],
        &["recover", "new.bin", "--mac", "e41d2ddd7850", "--blank-guids", "--yes"],
    ] {
        bench.write("card.cx3", &card);
        bench.card(args).exits(0);
        assert!(boots(&bench));
    }
}
