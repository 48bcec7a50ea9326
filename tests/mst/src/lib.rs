//! Debian's mstflint and mstconfig on a simulated card, without a guest and without root.
//!
//! `shim.c` is preloaded into them: it shows one made-up card in sysfs and sends every access to its
//! configuration space here, where the card answers through its configuration-cycle gateway
//! (docs/hardware.md#configuration-cycle-gateway). Measured with 4.21: `query` of a small image takes some 30 ms, a burn of
//! 20 KiB half a second.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a panic is the report of a test"
)]

pub mod serve;

use serve::{MstServer, TimePace, Transport};

use cx3flash::sim::SimCard;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

/// Address of the card in every run.
pub const BDF: &str = "0000:c3:00.0";

/// A missing witness or compiler fails the test instead of skipping it when this is set to 1.
const REQUIRE: &str = "CX3FLASH_REQUIRE_WITNESS";

/// Seconds after which a run counts as hung.
const LIMIT: &str = "240";

/// The compiled shim.
pub struct Mst {
    shim: PathBuf,
}

/// Exit code and output of one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MstRun {
    /// Exit code; 124 for a run that did not end by itself.
    pub code: i32,
    /// stdout, where flint prints everything.
    pub stdout: String,
    /// stderr.
    pub stderr: String,
}

/// The bench, with the shim compiled into the directory `place`; `None`, with the reason on stderr, where the tools or a C compiler are missing and
/// they are not required.
pub fn mst(place: &Path) -> Option<&'static Mst> {
    static FOUND: OnceLock<Result<Mst, String>> = OnceLock::new();
    match FOUND.get_or_init(|| prepare(place)) {
        Ok(mst) => Some(mst),
        Err(why) => {
            assert!(
                std::env::var_os(REQUIRE).is_none_or(|v| v != "1"),
                "{REQUIRE}=1 but mstflint cannot meet a simulated card: {why}"
            );
            eprintln!("SKIPPED: mstflint cannot meet a simulated card: {why}");
            None
        }
    }
}

fn prepare(place: &Path) -> Result<Mst, String> {
    for tool in ["mstflint", "mstconfig", "timeout"] {
        on_path(tool).ok_or_else(|| format!("no {tool} on the PATH"))?;
    }
    let source = place.join(format!("mst-shim-{}.c", std::process::id()));
    let fresh = source.with_extension("so");
    std::fs::write(&source, include_str!("shim.c")).map_err(|e| e.to_string())?;
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-O2", "-Wall", "-o"])
        .args([&fresh, &source])
        .arg("-ldl")
        .stdin(Stdio::null())
        .output()
        .map_err(|e| format!("cc: {e}"))?;
    let _ = std::fs::remove_file(&source);
    if !built.status.success() {
        return Err(format!("cc: {}", String::from_utf8_lossy(&built.stderr)));
    }
    // Test programs may run this at the same time; a rename puts a complete file in place.
    let shim = place.join("mst-shim.so");
    std::fs::rename(&fresh, &shim).map_err(|e| e.to_string())?;
    Ok(Mst { shim })
}

fn on_path(name: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?)
        .map(|dir| dir.join(name))
        .find(|candidate| candidate.is_file())
}

/// Runs a program that is typed to, to its end.
///
/// # Panics
/// When it does not start.
pub fn output_of(command: &mut Command, typed: &str) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    // It may end without having read everything.
    let _ = child.stdin.take().unwrap().write_all(typed.as_bytes());
    child.wait_with_output().unwrap()
}

impl Mst {
    /// Runs one of the tools on the card in the file `card`, in the directory `at`, with `typed` on
    /// its stdin. `args` as typed, `CARD` standing for the card's address.
    ///
    /// # Panics
    /// When the card file or the bench itself fails.
    pub fn run(&self, card: &Path, at: &Path, program: &str, args: &[&str], typed: &str) -> MstRun {
        let card = card.to_owned();
        let server = MstServer::start(
            move || {
                let card = SimCard::open(&card).expect("the card file opens");
                card.set_hurry(true);
                card
            },
            TimePace::Simulated,
            Transport::ConfigCycles,
        );
        let mut command = self.command(&server, TimePace::Simulated, program, args);
        let output = output_of(command.current_dir(at), typed);
        server.end();
        MstRun {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// One of the tools at a served card, ready to be run; `CARD` stands for the card's address.
    pub fn command(
        &self,
        server: &MstServer,
        pace: TimePace,
        program: &str,
        args: &[&str],
    ) -> Command {
        let mut command = Command::new("timeout");
        command
            .args([LIMIT, program])
            .args(args.iter().map(|a| if *a == "CARD" { BDF } else { a }))
            .env("LD_PRELOAD", &self.shim)
            .env("CX3_MST_ROOT", server.root())
            .env("CX3_MST_SOCKET", server.socket());
        if pace == TimePace::Wall {
            command.env("CX3_MST_SLEEPS", "1");
        }
        command
    }
}

/// The files the tools open in sysfs (seen with strace of 4.21).
fn show(root: &Path, card: &SimCard) {
    let device = card.pci_device_id();
    // Read once by its head alone, through stdio; 0x5c must not be read in passing.
    let head = (0..0x40).step_by(4).flat_map(|at| card.config_read(at).to_le_bytes());
    let head: Vec<u8> = head.collect();
    let card = root.join("sys/bus/pci/devices").join(BDF);
    std::fs::create_dir_all(&card).unwrap();
    // Where the lock files go: the tools make the last directory only.
    std::fs::create_dir_all(root.join("tmp")).unwrap();
    std::fs::create_dir_all(root.join("proc/bus/pci")).unwrap();
    for (name, text) in [
        ("config", head.as_slice()),
        ("vendor", b"0x15b3\n"),
        ("device", format!("{device:#06x}\n").as_bytes()),
        ("class", b"0x020000\n"),
    ] {
        std::fs::write(card.join(name), text).unwrap();
    }
}
