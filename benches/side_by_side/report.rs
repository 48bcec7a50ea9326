//! The two tables.

use crate::fixture::{Fixture, SIZE};
use crate::jobs::BenchJob;
use crate::measure::{Pair, Times};
use cx3flash::sim::Counters;
use std::process::Command;
use std::time::Duration;

pub(crate) fn head(fixture: &Fixture) {
    let image = std::fs::metadata(fixture.image()).unwrap().len();
    let theirs = Command::new("mstflint").arg("--version").output();
    let theirs = theirs.map_or_else(
        |_| "no mstflint".to_owned(),
        |out| {
            let text = String::from_utf8_lossy(&out.stdout).into_owned();
            text.lines().next().unwrap_or_default().trim().to_owned()
        },
    );
    println!("{theirs}; cx3flash {}", env!("CARGO_PKG_VERSION"));
    println!(
        "card: MCX312B, M25PX16 of {} MiB, one image in the even half; image to burn: {image} bytes",
        SIZE >> 20
    );
}

/// Counts and the time of the model.
pub(crate) fn model(rows: &[(BenchJob, Pair<Counters>)]) {
    println!();
    println!(
        "Card time by one model: 1 us a BAR0 read, 0.15 us a BAR0 write, SPI at 25 MHz, the chip's typical\n\
         times, nothing overlapping. mstflint's configuration cycles count as the BAR0 accesses they stand\n\
         for, with its own flush of posted writes. The same in every run. \"burn\" of cx3flash is backup,\n\
         burn and verify."
    );
    println!(
        "{:21} {:>9} {:>9} {:>8} {:>6} {:>9} | {:>9} {:>9} {:>8} {:>6} {:>9} | {:>5}",
        "",
        "mstflint",
        "reads",
        "writes",
        "erases",
        "programs",
        "cx3flash",
        "reads",
        "writes",
        "erases",
        "programs",
        "ratio"
    );
    for (job, pair) in rows {
        let theirs = pair.mstflint.as_ref();
        println!(
            "{:21} {} | {} | {}",
            job.title(),
            theirs.map_or_else(|| format!("{:45}", "-"), counts),
            counts(&pair.ours),
            ratio(pair.ours.card_time_ns as f64, theirs.map(|c| c.card_time_ns as f64)),
        );
    }
}

/// The first backup of a card.
pub(crate) fn first_contact(ours: &Counters) {
    println!("{:21} {:45} | {} |", "backup, first contact", "", counts(ours));
}

fn counts(c: &Counters) -> String {
    format!(
        "{:>9} {:>9} {:>8} {:>6} {:>9}",
        seconds(Duration::from_nanos(c.card_time_ns)),
        c.bar_reads,
        c.bar_writes,
        c.erases_4k + c.erases_64k + c.erases_other,
        c.programs
    )
}

/// Wall and processor time; a row is printed when it is measured.
pub(crate) fn wall(runs: usize, rows: impl Iterator<Item = (BenchJob, Pair<Times>)>) {
    println!();
    println!(
        "Wall and processor time, median of {runs} runs in turns. Both reach the card over the same socket, one\n\
         round trip a register read; the card's time is the wall clock. \"with rb and verify\": mstflint's burn\n\
         and the two jobs that a burn of cx3flash contains. load {}",
        std::fs::read_to_string("/proc/loadavg").unwrap_or_default().trim()
    );
    println!(
        "{:21} {:>9} {:>9} {:>9} | {:>9} {:>9} {:>9} | {:>5}",
        "", "mstflint", "CPU", "server", "cx3flash", "CPU", "server", "ratio"
    );
    let row = |title: &str, theirs: Option<&Times>, ours: &Times| {
        println!(
            "{title:21} {} | {} | {}",
            theirs.map_or_else(|| format!("{:29}", "-"), times),
            times(ours),
            ratio(ours.wall.as_secs_f64(), theirs.map(|t| t.wall.as_secs_f64())),
        );
    };
    let mut around = Times::default();
    for (job, pair) in rows {
        let theirs = pair.mstflint;
        row(job.title(), theirs.as_ref(), &pair.ours);
        match theirs {
            Some(took) if matches!(job, BenchJob::Verify | BenchJob::ReadFlash) => {
                around = around + took
            }
            Some(took) if job.burns() => {
                row("  with rb and verify", Some(&(around + took)), &pair.ours);
            }
            _ => {}
        }
    }
}

fn times(t: &Times) -> String {
    format!("{:>9} {:>9} {:>9}", seconds(t.wall), seconds(t.cpu), seconds(t.server))
}

fn seconds(time: Duration) -> String {
    format!("{:.3} s", time.as_secs_f64())
}

fn ratio(ours: f64, theirs: Option<f64>) -> String {
    theirs.map_or_else(|| "-".into(), |theirs| format!("{:5.2}", ours / theirs))
}
