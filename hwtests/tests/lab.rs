//! The lab, or with `--bench FILE` a real card: see docs/lab.md.

use std::path::Path;
use std::process::ExitCode;

#[allow(clippy::print_stderr, reason = "the report of a run that could not start")]
fn main() -> ExitCode {
    // Cargo gives integration tests a scratch directory right below the target directory.
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR"));
    match hwtests::run::main(scratch.parent().unwrap_or(scratch)) {
        Ok(conclusion) => conclusion.exit_code(),
        Err(e) => {
            eprintln!("{e:#}");
            ExitCode::FAILURE
        }
    }
}
