//! `flint` through VFIO and mstflint 4.21 through BAR0 on the same card: the kernel's part changes
//! no text, exit code or file. The transcripts of all commands are compared without a guest in
//! `tests/it/flint_card`.

use anyhow::{Result, bail, ensure};

use super::steps::{
    flashed, no_misuse, other_image, reset_records, same_version, with_driver, without_driver,
};
use crate::host::{LONG, TestHost, shows};

/// Exit code and standard output without the lines of progress in percent.
#[derive(Debug, PartialEq, Eq)]
struct FlintOutput {
    code: i32,
    text: String,
}

/// Runs a program; `CARD` in the arguments stands for the card.
fn flint(host: &mut dyn TestHost, program: &str, arguments: &str) -> Result<FlintOutput> {
    let command = format!("{program} {}", arguments.replace("CARD", host.bdf()));
    let output = host.sh_within(&command, LONG)?;
    let lines: Vec<&str> =
        output.stdout.split(['\r', '\n']).filter(|line| !line.ends_with('%')).collect();
    Ok(FlintOutput { code: output.code, text: lines.join("\n") })
}

/// The output of both programs for the same arguments, which must be equal.
fn same(host: &mut dyn TestHost, arguments: &str) -> Result<String> {
    let theirs = flint(host, "mstflint", arguments)?;
    let tool = host.tool().to_owned();
    let ours = flint(host, &format!("{tool} flint"), arguments)?;
    ensure!(theirs == ours, "{arguments}: mstflint\n{theirs:#?}\nours\n{ours:#?}");
    Ok(ours.text)
}

/// Queries, copies and refused burns: the same text, exit code and files; nothing is written.
pub(super) fn flint_reads_as_mstflint_does(host: &mut dyn TestHost) -> Result<()> {
    without_driver(host)?;
    let mutations = host.mutations()?;
    // Few commands: mstflint's register reads are slow in an emulated machine.
    for arguments in [
        "-d CARD query full",
        "-d CARD rb 0 64",
        "-d CARD burn",
        "-d CARD -vsd x -use_image_ps -i /images/new.bin burn",
    ] {
        same(host, arguments)?;
    }
    let tool = host.tool().to_owned();
    flint(host, "mstflint", "-d CARD rrom /tmp/theirs.rom")?;
    flint(host, &format!("{tool} flint"), "-d CARD rrom /tmp/ours.rom")?;
    host.must("cmp /tmp/theirs.rom /tmp/ours.rom && rm /tmp/theirs.rom /tmp/ours.rom")?;
    let later = host.mutations()?;
    ensure!(mutations == later, "{mutations:?} became {later:?}");
    with_driver(host)?;
    Ok(())
}

/// A burn gives the exit code and text of mstflint, which sees the burnt image, and the running
/// version beside it until the driver is loaded.
pub(super) fn flint_burns_as_mstflint_does(host: &mut dyn TestHost) -> Result<()> {
    let (image, new) = other_image(host)?;
    let old = flashed(host)?;
    without_driver(host)?;
    reset_records(host)?;
    let tool = host.tool().to_owned();
    let burnt = flint(
        host,
        &format!("CX3FLASH_BACKUP_DIR=/tmp/backups {tool} flint"),
        &format!("-d CARD -y -i {image} burn"),
    )?;
    no_misuse(host)?;
    host.must("rm -rf /tmp/backups")?;
    if burnt.code != 0 {
        let log = host.sh("dmesg | tail -20")?;
        bail!("{burnt:#?}\n{}", log.all());
    }
    for line in [
        &format!("    Current FW version on flash:  {old}"),
        &format!("    New FW version:               {new}"),
        "Burning FS2 FW image without signatures - OK  ",
        "Restoring signature                     - OK",
    ] {
        ensure!(burnt.text.lines().any(|l| l == line), "{line:?}: {}", burnt.text);
    }
    let query = same(host, "-d CARD query full")?;
    shows(&query, &format!("FW Version:            {new}"))?;
    same_version(&flashed(host)?, &new)?;
    with_driver(host)?;
    Ok(())
}
