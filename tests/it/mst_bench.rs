//! The bench on which the real tools meet a simulated card, tested by itself.

use crate::support::mst;
use cx3flash::image::{Recipe, build};
use cx3flash::sim::{CardSpec, SimCard};

#[test]
fn mstflint_and_mstconfig_reach_the_simulated_card() {
    let Some(mst) = mst() else { return };
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("card.cx3");
    let flash = build(&Recipe::mcx311a_2_35_5100()).unwrap();
    drop(SimCard::create(&file, CardSpec::default(), &flash).unwrap());

    let run = mst.run(&file, dir.path(), "mstflint", &["-d", "CARD", "query"], "");
    assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{run:?}");
    assert!(
        run.stdout.contains("PSID:                  MT_1170110023"),
        "{run:?}"
    );

    let run = mst.run(&file, dir.path(), "mstconfig", &["-d", "CARD", "query"], "");
    // It gets as far as asking the firmware.
    assert_eq!(run.stderr, "", "{run:?}");
    assert!(
        run.stdout.contains("Unsupported FW") || run.stdout.contains("Configurations:"),
        "{run:?}"
    );
}
