//! A simulated card served over vfio-user, and the orders its server takes.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::guest::{end, pinned};

/// How long a server may take until it listens.
const START: Duration = Duration::from_secs(20);

/// A served card. Dropping it ends the server; the flash stays in the card's file.
#[derive(Debug)]
pub struct Served {
    server: Child,
    socket: PathBuf,
    file: PathBuf,
}

impl Served {
    /// Serves card file `file` as number `n` of a guest, on one processor.
    ///
    /// # Errors
    ///
    /// When the server does not listen in time.
    pub fn start(tool: &Path, dir: &Path, n: usize, file: &Path, core: usize) -> Result<Served> {
        let socket = dir.join(format!("card{n}.sock"));
        let control = dir.join(format!("card{n}.control"));
        let log = dir.join(format!("card{n}.log"));
        let mut serve = Command::new(tool);
        serve
            .args(["sim", "serve"])
            .arg(file)
            .arg("--socket")
            .arg(&socket)
            .arg("--control")
            .arg(&control);
        let server = pinned(&serve, core)
            .stdin(Stdio::null())
            .stdout(File::create(&log)?)
            .stderr(File::create(dir.join(format!("card{n}.err")))?)
            .spawn()?;
        let mut served = Served {
            server,
            socket,
            file: file.to_owned(),
        };
        let deadline = Instant::now() + START;
        while !served.socket.exists() {
            if let Some(status) = served.server.try_wait()? {
                let said = std::fs::read_to_string(dir.join(format!("card{n}.err")));
                bail!(
                    "the server ended with {status}: {}",
                    said.unwrap_or_default()
                );
            }
            if Instant::now() > deadline {
                bail!("the server does not listen");
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(served)
    }

    /// Where QEMU connects.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// The card's file: its flash, as the chip holds it.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub fn file(&self) -> Result<Vec<u8>> {
        std::fs::read(&self.file).with_context(|| self.file.display().to_string())
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        end(&mut self.server);
    }
}
