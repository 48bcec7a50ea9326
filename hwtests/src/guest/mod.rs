//! A guest: Debian's kernel in QEMU, with a virtual IOMMU, and an agent that runs commands in it.

pub mod agent;
mod options;

use std::fs::{self, File};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::provision::Provisions;
use agent::{Agent, CommandOutput};
pub use options::{CardSlot, GuestMachine};

/// How long a boot may take; on an idle machine 3 to 8 s (docs/lab.md#fast-boot).
const BOOT: Duration = Duration::from_secs(300);

/// Time beyond a command's own limit after which the guest counts as hung.
const GRACE: Duration = Duration::from_secs(20);

/// A child process that is killed when it is dropped.
#[derive(Debug)]
pub struct OwnedChild(pub Child);

impl OwnedChild {
    /// Processor time that it has used so far.
    pub fn cpu_time(&self) -> Duration {
        // The fields after the name, which may have blanks: utime and stime are the 14th and 15th (proc(5)), in
        // hundredths of a second on x86.
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap_or_default();
        let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
        let ticks =
            fields.split_whitespace().skip(11).take(2).filter_map(|n| n.parse::<u64>().ok());
        Duration::from_millis(ticks.sum::<u64>() * 10)
    }
}

impl Drop for OwnedChild {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A running guest. Dropping it ends QEMU.
#[derive(Debug)]
pub struct Guest {
    dir: PathBuf,
    qemu: OwnedChild,
    agent: Agent,
    hung: bool,
}

impl Guest {
    /// Boots a guest with further `files` (path and contents) whose logs and sockets go to `dir`,
    /// on processor `core`.
    ///
    /// Three threads take turns at a register access of a served card. On one core it takes a
    /// steady 14 to 25 µs, on several up to 125 µs (docs/lab.md#fast-boot).
    pub fn boot(
        provisions: &Provisions,
        dir: &Path,
        machine: &GuestMachine,
        files: &[(String, Vec<u8>)],
        core: usize,
    ) -> Result<Guest> {
        let initrd = dir.join("initrd");
        provisions.initrd(files, &initrd)?;
        let program = provisions.trixie.command("usr/bin/qemu-system-x86_64")?;
        let mut command = pinned(&program, core);
        command
            .args(machine.arguments(provisions, dir, &initrd))
            .env("QEMU_MODULE_DIR", provisions.trixie.path("usr/lib/x86_64-linux-gnu/qemu"))
            .stdin(Stdio::null())
            .stdout(File::create(dir.join("qemu.out"))?)
            .stderr(File::create(dir.join("qemu.err"))?);
        let mut qemu = OwnedChild(command.spawn().context("starting QEMU")?);
        let agent = connect(&mut qemu.0, dir)?;
        let _ = fs::remove_file(&initrd);
        Ok(Guest { dir: dir.to_owned(), qemu, agent, hung: false })
    }

    /// Runs a shell command, killed after `limit`. A guest that does not answer is not used again.
    pub fn run(&mut self, command: &str, limit: Duration) -> Result<CommandOutput> {
        if self.hung {
            bail!("the guest has not answered an earlier command");
        }
        self.agent.stream().set_read_timeout(Some(limit + GRACE))?;
        self.agent.run(command, limit).map_err(|e| {
            self.hung = true;
            e.context(format!("in the guest: {command}\n{}", tail(&self.dir)))
        })
    }

    /// A second port, on which a waiting command of the guest reads a line at the right moment.
    pub fn when(&self) -> Result<UnixStream> {
        UnixStream::connect(self.dir.join("when")).context("the guest's second port")
    }

    /// Processor time of QEMU since the start of this boot.
    pub fn cpu_time(&self) -> Duration {
        self.qemu.cpu_time()
    }

    /// The kernel's console since the start of this boot.
    pub fn console(&self) -> String {
        read_lossy(&self.dir.join("console.log"))
    }
}

/// Connects to the agent of a booting guest.
fn connect(qemu: &mut Child, dir: &Path) -> Result<Agent> {
    let deadline = Instant::now() + BOOT;
    let stream = loop {
        if let Ok(stream) = UnixStream::connect(dir.join("port")) {
            break stream;
        }
        if let Ok(Some(status)) = qemu.try_wait() {
            bail!("QEMU ended with {status}\n{}", tail(dir));
        }
        if Instant::now() > deadline {
            bail!("QEMU opened no port\n{}", tail(dir));
        }
        thread::sleep(Duration::from_millis(20));
    };
    stream.set_read_timeout(Some(BOOT))?;
    let mut agent = Agent::new(stream);
    agent.ready().with_context(|| format!("the guest did not boot\n{}", tail(dir)))?;
    Ok(agent)
}

/// The same command on processor `core`, killed by the kernel when this process dies.
pub fn pinned(command: &Command, core: usize) -> Command {
    let mut out = Command::new("setpriv");
    out.args(["--pdeathsig", "KILL", "taskset", "-c", &core.to_string()])
        .arg(command.get_program())
        .args(command.get_args());
    out
}

fn read_lossy(file: &Path) -> String {
    String::from_utf8_lossy(&fs::read(file).unwrap_or_default()).into_owned()
}

/// QEMU's messages and the last lines of the console.
fn tail(dir: &Path) -> String {
    let console = read_lossy(&dir.join("console.log"));
    let lines: Vec<&str> = console.lines().collect();
    let last = lines[lines.len().saturating_sub(25)..].join("\n");
    format!("{}{last}", read_lossy(&dir.join("qemu.err")))
}
