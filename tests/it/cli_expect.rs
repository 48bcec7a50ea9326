//! `--expect SHA256` ties a burn to the file that was planned.

use crate::support::cli::Sandbox;

fn digest(bench: &Sandbox) -> String {
    let plan = bench.card(&["--json", "plan", "new.bin"]).exits(0).json();
    plan["result"]["image_sha256"].as_str().unwrap().to_owned()
}

#[test]
fn a_burn_of_the_planned_file_is_accepted() {
    let bench = Sandbox::owner();
    let digest = digest(&bench);
    bench.card(&["plan", "new.bin"]).exits(0).prints(&format!("SHA-256 {digest}"));
    let upper = digest.to_uppercase();
    let plan = bench.card(&["--json", "plan", "new.bin", "--expect", &upper]).exits(0).json();
    let check = &plan["result"]["plan"]["checks"][0];
    assert_eq!((&check["id"], &check["ok"]), (&"expected_file".into(), &true.into()), "{check}");
    bench.card(&["burn", "new.bin", "--yes", "--expect", &digest]).exits(0);
}

#[test]
fn another_file_is_refused_before_the_card_is_opened() {
    let bench = Sandbox::owner();
    let digest = digest(&bench);
    let mut other = bench.read("new.bin");
    other.extend([0; 4]);
    bench.write("new.bin", &other);
    for command in ["plan", "burn"] {
        let args = [command, "new.bin", "--expect", &digest];
        bench.refuses(&args, 4).reports("expected_file").reports(&digest).reports("plan new.bin");
        // No card is needed to know.
        let mut all = vec!["--json", "-d", "sim:nowhere.cx3"];
        all.extend(args);
        let document = bench.run(&all).exits(4).json();
        assert_eq!(document["error"]["code"], "expected_file");
        assert_eq!(document["error"]["refused_by"][0], "expected_file");
        let cause = document["error"]["causes"][0].as_str().unwrap();
        assert!(cause.contains(&digest), "{cause}");
    }
}

#[test]
fn what_is_no_digest_is_a_wrong_argument() {
    let bench = Sandbox::owner();
    for text in ["", "abc", &"g".repeat(64), &"0".repeat(65)] {
        bench.refuses(&["burn", "new.bin", "--yes", "--expect", text], 64);
    }
}
