//! A simulated card served over vfio-user, and the orders its server takes.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::guest::{end, pinned};

/// How long a server may take until it listens.
const START: Duration = Duration::from_secs(20);

/// How long an order may take: the server answers between two register accesses.
const ANSWER: Duration = Duration::from_secs(20);

/// A served card. Dropping it ends the server; the flash stays in the card's file.
#[derive(Debug)]
pub struct Served {
    server: Child,
    socket: PathBuf,
    control: PathBuf,
    file: PathBuf,
}

/// A point of the flash work at which the server was told to stop answering.
#[derive(Debug)]
pub struct Hold {
    control: BufReader<UnixStream>,
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
            control,
            file: file.to_owned(),
        };
        let deadline = Instant::now() + START;
        // The control socket is the last thing the server makes.
        while !served.socket.exists() || UnixStream::connect(&served.control).is_err() {
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

    /// Gives an order and waits until it is acknowledged; what it answers beyond that.
    ///
    /// # Errors
    ///
    /// When the server does not understand or does not answer: a fault that was never set would look like a passed test.
    pub fn order(&self, order: &str) -> Result<Value> {
        ordered(&mut self.connect()?, order)
    }

    /// What the server knows: flash digest, running image, counters, misuse.
    ///
    /// # Errors
    ///
    /// As [`order`](Self::order).
    pub fn info(&self) -> Result<Value> {
        self.order("info")
    }

    /// Erases, programs and status writes since power-on.
    ///
    /// # Errors
    ///
    /// As [`order`](Self::order).
    pub fn mutations(&self) -> Result<u64> {
        let info = self.info()?;
        info["mutations"]
            .as_u64()
            .context("the server counts no mutations")
    }

    /// Tells the server to stop answering at mutation `number`.
    ///
    /// # Errors
    ///
    /// As [`order`](Self::order); also when that many are done already.
    pub fn hold_at(&self, number: u64) -> Result<Hold> {
        let mut control = self.connect()?;
        ordered(&mut control, &format!("hold-at-mutation {number}"))?;
        Ok(Hold { control })
    }

    fn connect(&self) -> Result<BufReader<UnixStream>> {
        let stream = UnixStream::connect(&self.control)
            .with_context(|| self.control.display().to_string())?;
        stream.set_read_timeout(Some(ANSWER))?;
        Ok(BufReader::new(stream))
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

impl Hold {
    /// Waits until the mutation has begun; `false` when it has not within `limit`.
    ///
    /// # Errors
    ///
    /// When the server is gone.
    pub fn reached(&mut self, limit: Duration) -> Result<bool> {
        self.control.get_ref().set_read_timeout(Some(limit))?;
        let mut line = String::new();
        match self.control.read_line(&mut line) {
            Ok(0) => bail!("the server closed its control channel"),
            Ok(_) => Ok(line.starts_with("at ")),
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => Ok(false),
            Err(e) => Err(e.into()),
        }
    }

    /// Lets the server answer again.
    ///
    /// # Errors
    ///
    /// When it does not.
    pub fn release(mut self) -> Result<()> {
        self.control.get_ref().set_read_timeout(Some(ANSWER))?;
        ordered(&mut self.control, "release").map(drop)
    }
}

/// One order on a connection; announcements that come between are passed over.
fn ordered(control: &mut BufReader<UnixStream>, order: &str) -> Result<Value> {
    control
        .get_mut()
        .write_all(format!("{order}\n").as_bytes())?;
    loop {
        let mut line = String::new();
        if control.read_line(&mut line)? == 0 {
            bail!("the server closed its control channel at {order:?}");
        }
        if let Some(answer) = answered(line.trim_end()) {
            return answer.with_context(|| format!("order {order:?}"));
        }
    }
}

/// `ok`, `ok JSON` or `error WHY`; `None` for an announcement.
fn answered(line: &str) -> Option<Result<Value>> {
    match line.split_once(' ').unwrap_or((line, "")) {
        ("ok", "") => Some(Ok(Value::Null)),
        ("ok", json) => Some(serde_json::from_str(json).context("the answer is no JSON")),
        ("error", why) => Some(Err(anyhow::anyhow!("the server says: {why}"))),
        _ => None,
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        end(&mut self.server);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_told_from_announcements() {
        assert!(answered("at 17").is_none());
        assert_eq!(answered("ok").unwrap().unwrap(), Value::Null);
        assert_eq!(answered("ok {\"a\":1}").unwrap().unwrap()["a"], 1);
        assert!(answered("ok {").unwrap().is_err());
        let said = answered("error no order is called x").unwrap().unwrap_err();
        assert!(said.to_string().contains("no order is called x"));
    }
}
