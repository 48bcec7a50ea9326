//! What a person at a terminal of 80 columns reads before a card is written.

use crate::support::cli::Sandbox;

/// Lines and columns of the terminal.
const LINES: usize = 24;

/// What the terminal shows of a command whose question is answered with no. `script` makes the terminal.
fn shown(bench: &Sandbox, command: &str, columns: usize) -> String {
    let typed = format!("stty cols {columns} rows {LINES}; cx3flash {command}");
    // Keys typed before the question are no answer to it.
    let ran =
        bench.shell(&format!("(sleep 2; echo n) | TERM=xterm script -qefc '{typed}' /dev/null"));
    let text = ran.stdout.replace("\r\n", "\n").replace("\u{1b}[0m", "");
    assert!(text.contains(" [y/N] "), "{ran}");
    text
}

/// The question, and what stands above it since the last bar of the progress.
fn question(shown: &str) -> (String, Vec<String>) {
    let (above, _) = shown.split_once(" [y/N] ").unwrap();
    let mut lines: Vec<String> = above.lines().map(str::to_owned).collect();
    let question = lines.pop().unwrap();
    let progress = lines.iter().rposition(|line| line.contains("read     "));
    (question, lines.split_off(progress.map_or(0, |at| at + 1)))
}

#[test]
fn the_question_names_versions_card_and_board_below_one_screen() {
    let bench = Sandbox::owner();
    bench.oem_image("OEM_1");
    for (command, wanted) in [
        ("burn new.bin", "Write 2.42.5000 over 2.35.5100 to sim:card.cx3 (MCX311A-XCAT, 01:00.0)?"),
        (
            "burn oem.bin --change-psid MT_1170110023:OEM_1",
            "Write 2.42.5000 over 2.35.5100 to sim:card.cx3 (MCX311A-XCAT, 01:00.0), and change its PSID from MT_1170110023 to OEM_1?",
        ),
    ] {
        let shown = shown(&bench, &format!("-d sim:card.cx3 {command}"), 80);
        let (question, above) = question(&shown);
        assert_eq!(question, wanted);
        let rows: usize = above.iter().map(|line| line.chars().count().div_ceil(80).max(1)).sum();
        // One line of progress above, and the question below.
        assert!(1 + rows + question.len().div_ceil(80) <= LINES, "{rows} rows\n{shown}");
        assert!(above.iter().any(|line| line.contains(" ok (-v lists them)")), "{shown}");
        assert!(!above.iter().any(|line| line.contains("image_valid")), "{shown}");
    }
}

#[test]
fn every_command_that_asks_names_what_it_does_the_card_and_the_version() {
    let card = "sim:card.cx3 (MCX312B-XCCT, 01:00.0)";
    let cases: [(&str, &str); 8] = [
        ("identity set --mac e41d2ddd7860", "Write this identity into 2.36.5150 on CARD?"),
        ("rom remove", "Remove ROM PXE 3.4.719 from 2.36.5150 on CARD?"),
        ("rom write right.rom", "Write ROM PXE 3.4.752 into 2.36.5150 on CARD?"),
        ("config set SRIOV_EN=0", "Store SRIOV_EN=False(0) on CARD, which runs 2.36.5150?"),
        ("config reset", "Erase the stored settings of CARD, which runs 2.36.5150?"),
        (
            "flash protect --on --top 4",
            "Write protect 0x1c0000..0x200000 of the flash of CARD, which runs 2.36.5150?",
        ),
        ("restore before", "Restore the backup of 2.42.5000 over 2.36.5150 to CARD?"),
        ("selftest", "Test sim:card.cx3?"),
    ];
    std::thread::scope(|scope| {
        for (command, wanted) in cases {
            scope.spawn(move || {
                let bench = Sandbox::pro();
                bench.run(&["rom", "read", "right.rom", "--image", "new.bin"]).exits(0);
                if command == "config reset" {
                    bench.card(&["config", "set", "SRIOV_EN=0", "--yes"]).exits(0);
                }
                if command.starts_with("restore") {
                    let made = "cp card.cx3 other.cx3 && cx3flash -d sim:other.cx3 burn new.bin --yes && \
                                cx3flash -d sim:other.cx3 backup --out b && mv b/* before && rm other.cx3";
                    bench.shell(made).exits(0);
                }
                let shown = shown(&bench, &format!("-d sim:card.cx3 {command}"), 80);
                assert_eq!(question(&shown).0, wanted.replace("CARD", card), "{command}\n{shown}");
            });
        }
    });
}

#[test]
fn checks_are_listed_with_v_and_where_one_refuses() {
    let bench = Sandbox::pro();
    let ran = bench.card(&["burn", "new.bin", "--yes", "-v"]).exits(0);
    ran.prints("  ok       image_valid ");
    bench.oem_image("OEM_1");
    bench.refuses(&["burn", "oem.bin", "--yes"], 4).prints("  REFUSED  psid ");
}

#[test]
fn text_and_progress_fit_terminals_of_60_and_20_columns() {
    let bench = Sandbox::pro();
    let narrow = shown(&bench, "-d sim:card.cx3 burn new.bin --backup-dir b", 60);
    let bar = narrow.split('\r').find(|part| part.contains("% ")).unwrap();
    let bar = bar.split('\n').next().unwrap().trim_start_matches("\u{1b}[2K");
    assert!(bar.contains("/s") && bar.contains(" left"), "{bar:?}");
    assert!(bar.chars().count() <= 60, "{bar:?}");
    for line in question(&narrow).1 {
        assert!(line.chars().count() <= 60, "{line:?}");
    }
    // Words that are longer than a line are not cut.
    for line in question(&shown(&bench, "-d sim:card.cx3 burn new.bin --backup-dir b", 20)).1 {
        assert!(line.chars().count() <= 20 || !line[10..].trim().contains(' '), "{line:?}");
    }
}

#[test]
fn a_backup_directory_that_cannot_be_written_is_an_error_before_the_card_is_read() {
    let bench = Sandbox::pro();
    bench.write("file", b"");
    for command in [
        &["burn", "new.bin", "--yes", "--backup-dir", "file/b"][..],
        &["backup", "--out", "file/b"],
        &["config", "set", "SRIOV_EN=0", "--yes", "--backup-dir", "file/b"],
    ] {
        let ran = bench.refuses(command, 1);
        assert!(!ran.stderr.contains("read "), "{ran}");
        ran.reports("file/b");
    }
    // What was made to prove it is removed.
    bench.card(&["burn", "new.bin", "--backup-dir", "b/c"]).exits(64);
    bench.oem_image("OEM_1");
    bench.card(&["burn", "oem.bin", "--yes", "--backup-dir", "b/c"]).exits(4);
    assert!(!bench.path("b").exists());
}
