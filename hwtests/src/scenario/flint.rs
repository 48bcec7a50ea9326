//! Scripts that know flint: mstflint 4.21 through the card's BAR0, and our `flint` through VFIO, on the
//! same card. The whole table of transcripts is hermetic (`tests/flint_card.rs` of the tool); here is shown that
//! the road through the kernel changes nothing of it.

use anyhow::{Result, bail, ensure};

use super::Shown;
use super::steps::{flashed, forget, no_misuse, other_image, version, with_driver, without_driver};
use crate::bench::{Bench, LONG};

/// What one program said: exit code and stdout, percentages on the way left out.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    code: i32,
    text: String,
}

fn said(bench: &mut dyn Bench, program: &str, arguments: &str) -> Result<Said> {
    let bdf = bench.bdf().to_owned();
    let command = format!("{program} {}", arguments.replace("CARD", &bdf));
    let ran = bench.sh_within(&command, LONG)?;
    let kept: Vec<&str> = ran
        .stdout
        .split(['\r', '\n'])
        .filter(|line| !line.ends_with('%'))
        .collect();
    Ok(Said {
        code: ran.code,
        text: kept.join("\n"),
    })
}

/// Both programs run the same arguments; `CARD` stands for the card.
fn same(bench: &mut dyn Bench, arguments: &str) -> Result<String> {
    let theirs = said(bench, "mstflint", arguments)?;
    let tool = bench.tool().to_owned();
    let ours = said(bench, &format!("{tool} flint"), arguments)?;
    ensure!(
        theirs == ours,
        "{arguments}: mstflint\n{theirs:#?}\nours\n{ours:#?}"
    );
    Ok(ours.text)
}

/// Looks, copies and refused burns: the same text, the same exit code, the same files; nothing written.
pub(super) fn scripts_that_look(bench: &mut dyn Bench) -> Result<Shown> {
    without_driver(bench)?;
    let mutations = bench.served(0).map(|s| s.mutations()).transpose()?;
    // Few: mstflint's every register read is a trip through an emulated machine.
    for arguments in [
        "-d CARD query full",
        "-d CARD rb 0 64",
        "-d CARD burn",
        "-d CARD -vsd x -use_image_ps -i /images/new.bin burn",
    ] {
        same(bench, arguments)?;
    }
    let tool = bench.tool().to_owned();
    said(bench, "mstflint", "-d CARD rrom /tmp/theirs.rom")?;
    said(
        bench,
        &format!("{tool} flint"),
        "-d CARD rrom /tmp/ours.rom",
    )?;
    bench.must("cmp /tmp/theirs.rom /tmp/ours.rom && rm /tmp/theirs.rom /tmp/ours.rom")?;
    let later = bench.served(0).map(|s| s.mutations()).transpose()?;
    ensure!(mutations == later, "{mutations:?} became {later:?}");
    with_driver(bench)?;
    Ok(Shown::Yes)
}

/// A script that burns goes on working: exit code, text, and mstflint sees what was burnt, running version
/// beside it until the driver is loaded.
pub(super) fn a_script_that_burns(bench: &mut dyn Bench) -> Result<Shown> {
    let (image, new) = other_image(bench)?;
    let old = flashed(bench)?;
    without_driver(bench)?;
    forget(bench)?;
    let tool = bench.tool().to_owned();
    let burnt = said(
        bench,
        &format!("CX3FLASH_BACKUP_DIR=/tmp/backups {tool} flint"),
        &format!("-d CARD -y -i {image} burn"),
    )?;
    no_misuse(bench)?;
    bench.must("rm -rf /tmp/backups")?;
    if burnt.code != 0 {
        let log = bench.sh("dmesg | tail -20")?;
        bail!("{burnt:#?}\n{}", log.all());
    }
    for line in [
        &format!("    Current FW version on flash:  {old}"),
        &format!("    New FW version:               {new}"),
        "Burning FS2 FW image without signatures - OK  ",
        "Restoring signature                     - OK",
    ] {
        ensure!(
            burnt.text.lines().any(|l| l == line),
            "{line:?}: {}",
            burnt.text
        );
    }
    let query = same(bench, "-d CARD query full")?;
    ensure!(
        query.contains(&format!("FW Version:            {new}")),
        "{query}"
    );
    ensure!(version(&flashed(bench)?) == version(&new));
    with_driver(bench)?;
    Ok(Shown::Yes)
}
