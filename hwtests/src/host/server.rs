//! A simulated card served over vfio-user, and its control channel (`cx3flash::sim::serve`).

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::guest::{OwnedChild, pinned};

/// How long a server may take until it listens.
const START: Duration = Duration::from_secs(20);

/// How long an order may take: the server answers between two register accesses.
const ANSWER: Duration = Duration::from_secs(20);

/// A served card. Dropping it ends the server; the flash stays in the card's file.
#[derive(Debug)]
pub struct CardServer {
    server: OwnedChild,
    socket: PathBuf,
    control: PathBuf,
}

/// A mutation of the flash at which the server stops answering.
#[derive(Debug)]
pub struct MutationHold {
    control: BufReader<UnixStream>,
}

impl CardServer {
    /// Serves card file `file` as number `n` of a guest, on processor `core`.
    pub fn start(
        tool: &Path,
        dir: &Path,
        n: usize,
        file: &Path,
        core: usize,
    ) -> Result<CardServer> {
        let socket = dir.join(format!("card{n}.sock"));
        let control = dir.join(format!("card{n}.control"));
        let errors = dir.join(format!("card{n}.err"));
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
            .stdout(File::create(dir.join(format!("card{n}.log")))?)
            .stderr(File::create(&errors)?)
            .spawn()?;
        let mut card = CardServer { server: OwnedChild(server), socket, control };
        let deadline = Instant::now() + START;
        // The control socket is the last thing the server makes.
        while !card.socket.exists() || UnixStream::connect(&card.control).is_err() {
            if let Some(status) = card.server.0.try_wait()? {
                let errors = std::fs::read_to_string(&errors).unwrap_or_default();
                bail!("the server ended with {status}: {errors}");
            }
            if Instant::now() > deadline {
                bail!("the server does not listen");
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(card)
    }

    /// Processor time that the server has used so far.
    pub fn cpu_time(&self) -> Duration {
        self.server.cpu_time()
    }

    /// The socket for QEMU.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Gives an order and waits for its answer. An order that is not understood is an error: a
    /// fault that was never set would look like a passed test.
    pub fn order(&self, order: &str) -> Result<Value> {
        answer_to(&mut self.connect()?, order)
    }

    /// Flash digest, running image, counters, misuse.
    pub fn info(&self) -> Result<Value> {
        self.order("info")
    }

    /// Erases, programs and status writes since power-on.
    pub fn mutations(&self) -> Result<u64> {
        let info = self.info()?;
        info["mutations"].as_u64().context("the server counts no mutations")
    }

    /// Makes the server stop answering at mutation `number`, which must not be done yet.
    pub fn hold_at(&self, number: u64) -> Result<MutationHold> {
        let mut control = self.connect()?;
        answer_to(&mut control, &format!("hold-at-mutation {number}"))?;
        Ok(MutationHold { control })
    }

    fn connect(&self) -> Result<BufReader<UnixStream>> {
        let stream = UnixStream::connect(&self.control)
            .with_context(|| self.control.display().to_string())?;
        stream.set_read_timeout(Some(ANSWER))?;
        Ok(BufReader::new(stream))
    }
}

impl MutationHold {
    /// Waits until the mutation has begun; `false` when it has not within `limit`.
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
    pub fn release(mut self) -> Result<()> {
        self.control.get_ref().set_read_timeout(Some(ANSWER))?;
        answer_to(&mut self.control, "release").map(drop)
    }
}

/// Sends one order and reads its answer; announcements that come before it are skipped.
fn answer_to(control: &mut BufReader<UnixStream>, order: &str) -> Result<Value> {
    control.get_mut().write_all(format!("{order}\n").as_bytes())?;
    loop {
        let mut line = String::new();
        if control.read_line(&mut line)? == 0 {
            bail!("the server closed its control channel at {order:?}");
        }
        if let Some(answer) = parse_answer(line.trim_end()) {
            return answer.with_context(|| format!("order {order:?}"));
        }
    }
}

/// `ok`, `ok JSON` or `error WHY`; `None` for an announcement.
fn parse_answer(line: &str) -> Option<Result<Value>> {
    match line.split_once(' ').unwrap_or((line, "")) {
        ("ok", "") => Some(Ok(Value::Null)),
        ("ok", json) => Some(serde_json::from_str(json).context("the answer is no JSON")),
        ("error", why) => Some(Err(anyhow::anyhow!("the server answered: {why}"))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn announcements_are_no_answers() {
        assert!(parse_answer("at 17").is_none());
        assert_eq!(parse_answer("ok").unwrap().unwrap(), Value::Null);
        assert_eq!(parse_answer("ok {\"a\":1}").unwrap().unwrap()["a"], 1);
        assert!(parse_answer("ok {").unwrap().is_err());
        let error = parse_answer("error no order is called x").unwrap().unwrap_err();
        assert!(error.to_string().contains("no order is called x"));
    }
}
