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

use crate::provision::{Flavour, Provisions};
use agent::{Agent, Ran};
pub use options::{Machine, Slot};

/// How long a boot may take: 3 to 8 s in the recipe, on an idle machine (docs/lab.md#fast-boot).
const BOOT: Duration = Duration::from_secs(120);

/// What the host allows beyond a command's own time limit before the guest counts as hung.
const GRACE: Duration = Duration::from_secs(20);

/// A running guest. Dropping it ends QEMU.
#[derive(Debug)]
pub struct Guest {
    dir: PathBuf,
    qemu: Child,
    agent: Agent<UnixStream>,
    hung: bool,
}

impl Guest {
    /// Boots a guest whose logs and sockets go to `dir`; on processor `core` only.
    ///
    /// Registers of a served card are a ping-pong of three threads, of which one runs at a time: on one core an access
    /// takes a steady 14 to 25 µs, free to roam up to 125 µs (docs/lab.md#fast-boot).
    ///
    /// # Errors
    ///
    /// When QEMU does not start or the guest does not come up in time; the end of its console is in the message.
    pub fn boot(
        provisions: &Provisions,
        dir: &Path,
        machine: &Machine,
        flavour: &Flavour,
        core: usize,
    ) -> Result<Guest> {
        fs::create_dir_all(dir)?;
        let initrd = dir.join("initrd");
        provisions.initrd(flavour, &initrd)?;
        for socket in ["port", "when", "monitor"] {
            let _ = fs::remove_file(dir.join(socket));
        }
        let program = provisions.trixie.command("usr/bin/qemu-system-x86_64")?;
        let mut command = pinned(&program, core);
        command
            .args(machine.arguments(provisions, dir, &initrd))
            .env(
                "QEMU_MODULE_DIR",
                provisions.trixie.path("usr/lib/x86_64-linux-gnu/qemu"),
            )
            .stdin(Stdio::null())
            .stdout(File::create(dir.join("qemu.out"))?)
            .stderr(File::create(dir.join("qemu.err"))?);
        let qemu = command.spawn().context("starting QEMU")?;
        let mut guest = Starting {
            qemu: Some(qemu),
            dir,
        };
        let agent = guest.connect()?;
        let _ = fs::remove_file(&initrd);
        let qemu = guest.qemu.take().context("QEMU was started")?;
        Ok(Guest {
            dir: dir.to_owned(),
            qemu,
            agent,
            hung: false,
        })
    }

    /// Runs a shell command in the guest, ended after `limit`.
    ///
    /// # Errors
    ///
    /// When the guest does not answer, now or ever since.
    pub fn run(&mut self, command: &str, limit: Duration) -> Result<Ran> {
        if self.hung {
            bail!("the guest hangs since an earlier command");
        }
        self.agent.stream().set_read_timeout(Some(limit + GRACE))?;
        self.agent.run(command, limit).map_err(|e| {
            self.hung = true;
            e.context(format!("in the guest: {command}\n{}", tail(&self.dir)))
        })
    }

    /// The port on which a waiting command of the guest learns that its moment has come.
    ///
    /// # Errors
    ///
    /// When QEMU does not accept the connection.
    pub fn when(&self) -> Result<UnixStream> {
        UnixStream::connect(self.dir.join("when")).context("the guest's second port")
    }

    /// The kernel's console from the start of this boot.
    #[must_use]
    pub fn console(&self) -> String {
        read_lossy(&self.dir.join("console.log"))
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        end(&mut self.qemu);
    }
}

/// A child that must not outlive a failed start.
struct Starting<'a> {
    qemu: Option<Child>,
    dir: &'a Path,
}

impl Starting<'_> {
    fn connect(&mut self) -> Result<Agent<UnixStream>> {
        let deadline = Instant::now() + BOOT;
        let stream = loop {
            if let Ok(stream) = UnixStream::connect(self.dir.join("port")) {
                break stream;
            }
            let ended = self.qemu.as_mut().and_then(|q| q.try_wait().ok().flatten());
            if let Some(status) = ended {
                bail!("QEMU ended with {status}\n{}", tail(self.dir));
            }
            if Instant::now() > deadline {
                bail!("QEMU opened no port\n{}", tail(self.dir));
            }
            thread::sleep(Duration::from_millis(20));
        };
        stream.set_read_timeout(Some(BOOT))?;
        let mut agent = Agent::new(stream);
        agent
            .ready()
            .with_context(|| format!("the guest did not boot\n{}", tail(self.dir)))?;
        Ok(agent)
    }
}

impl Drop for Starting<'_> {
    fn drop(&mut self) {
        if let Some(qemu) = &mut self.qemu {
            end(qemu);
        }
    }
}

/// The same command on one processor, and ended by the kernel when this process dies.
#[must_use]
pub fn pinned(command: &Command, core: usize) -> Command {
    let mut out = Command::new("setpriv");
    out.args(["--pdeathsig", "KILL", "taskset", "-c", &core.to_string()])
        .arg(command.get_program())
        .args(command.get_args());
    out
}

/// Ends a child and waits for it.
pub fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

fn read_lossy(file: &Path) -> String {
    String::from_utf8_lossy(&fs::read(file).unwrap_or_default()).into_owned()
}

/// What QEMU said and the last lines of the console: what a failed boot is judged by.
fn tail(dir: &Path) -> String {
    let console = read_lossy(&dir.join("console.log"));
    let lines: Vec<&str> = console.lines().collect();
    let last = lines[lines.len().saturating_sub(25)..].join("\n");
    format!("{}{last}", read_lossy(&dir.join("qemu.err")))
}
