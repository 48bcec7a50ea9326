//! mstflint 4.21 and cx3flash side by side, on the same machine and the same simulated card.
//!
//!     cargo bench --bench side_by_side                 both tables, about two minutes
//!     cargo bench --bench side_by_side -- --runs 5     more runs for the median
//!     cargo bench --bench side_by_side -- --model      only the table that is the same in every run
//!
//! Nothing here fails because something is slow. It needs mstflint (Debian's package) and a C
//! compiler for the other side; without them it shows cx3flash alone.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark reports to a terminal, and a panic is the report of a failed job"
)]

mod client;
mod fixture;
mod jobs;
mod measure;
mod report;

use fixture::Fixture;
use jobs::BenchJob;
use measure::Programs;

/// Runs behind each median.
const RUNS: usize = 3;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    if let ["--client", socket, job, dir, proofs] = args.as_slice() {
        client::run(socket.as_ref(), BenchJob::named(job), dir.as_ref(), proofs.as_ref());
        return;
    }
    let mut runs = RUNS;
    let mut wall = true;
    let mut rest = args.into_iter();
    while let Some(arg) = rest.next() {
        match arg {
            "--runs" => runs = rest.next().and_then(|n| n.parse().ok()).expect("--runs N"),
            "--model" => wall = false,
            // What cargo passes to every benchmark.
            "--bench" => {}
            other => panic!("unknown argument {other}"),
        }
    }
    let fixture = Fixture::new();
    let programs = Programs {
        fixture: &fixture,
        mst: mst::mst(std::path::Path::new(env!("CARGO_TARGET_TMPDIR"))),
    };
    report::head(&fixture);
    let first_contact = programs.first_contact();
    report::model(&BenchJob::ALL.map(|job| (job, programs.model(job))));
    report::first_contact(&first_contact);
    if wall {
        report::wall(runs, BenchJob::ALL.into_iter().map(|job| (job, programs.wall(job, runs))));
    }
}
