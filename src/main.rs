//! Parse, run, exit.

use std::process::ExitCode;

fn main() -> ExitCode {
    cx3flash::cli::main()
}
