//! Looking.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "test"
)]
mod support;
use cx3flash::image::{Recipe, build};
use cx3flash::sim::{CardSpec, SimCard};
use support::mst::mst;

#[test]
fn look() {
    let Some(mst) = mst() else { return };
    for (board, recipe) in [
        ("mcx311a", Recipe::mcx311a_2_35_5100()),
        (
            "mcx311a",
            Recipe {
                version: "2.32.5100".parse().unwrap(),
                ..Recipe::mcx311a_2_35_5100()
            },
        ),
        ("mcx354a-pro", Recipe::mcx312b_2_42_5000()),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("card.cx3");
        let spec = CardSpec::named(board).unwrap();
        let flash = cx3flash::image::striped(
            &build(&recipe).unwrap(),
            cx3flash::image::Half::Even,
            spec.part.size(),
        )
        .unwrap();
        drop(SimCard::create(&file, CardSpec::named(board).unwrap(), &flash).unwrap());
        let t = std::time::Instant::now();
        let run = mst.run(
            &file,
            dir.path(),
            "mstconfig",
            &["-d", "CARD", "-e", "query"],
            "",
        );
        eprintln!(
            "{}\n{} {} {:?}",
            run.stdout,
            run.stderr,
            run.code,
            t.elapsed()
        );
        let run = mst.run(
            &file,
            dir.path(),
            "mstconfig",
            &["-d", "CARD", "-y", "set", "SRIOV_EN=0", "BOOT_VLAN_P1=17"],
            "",
        );
        eprintln!(
            "{}\n{} {} {:?}",
            run.stdout,
            run.stderr,
            run.code,
            t.elapsed()
        );
        let run = mst.run(
            &file,
            dir.path(),
            "mstconfig",
            &["-d", "CARD", "-e", "query"],
            "",
        );
        eprintln!(
            "{}\n{} {} {:?}",
            run.stdout,
            run.stderr,
            run.code,
            t.elapsed()
        );
        let card = SimCard::open(&file).unwrap();
        eprintln!(
            "{:?} {:?} {}",
            card.misuse(),
            card.semaphores_held(),
            card.mutations()
        );
    }
}
