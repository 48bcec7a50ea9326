//! The host's side of the guest's agent (`init.sh`): one command, one answer, each within a time
//! limit.

use std::io::{BufRead as _, BufReader, ErrorKind, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The result of a command in the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandOutput {
    /// The exit code; 137 when the time limit ended it.
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl CommandOutput {
    /// The output itself, if the exit code is `code`.
    pub fn exits(self, code: i32) -> Result<CommandOutput> {
        ensure!(self.code == code, "exit {}, not {code}: {}", self.code, self.all());
        Ok(self)
    }

    /// Standard output and error in one text, for reports.
    pub fn all(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }
}

/// One request: the time limit in whole seconds and the command in base64.
fn request(command: &str, limit: Duration) -> String {
    let seconds = limit.as_secs().max(1);
    format!("{seconds} {}\n", STANDARD.encode(command))
}

/// Parses one answer, `CODE BASE64 BASE64`.
fn answer(line: &str) -> Result<CommandOutput> {
    // Empty output leaves an empty field, so the separators are single spaces.
    let fields: Vec<&str> = line.trim_end_matches(['\r', '\n']).split(' ').collect();
    let [code, stdout, stderr] = fields[..] else {
        bail!("the agent answered {} fields: {line:?}", fields.len());
    };
    let text = |field: &str| -> Result<String> {
        let bytes = STANDARD.decode(field).context("the agent's base64")?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    Ok(CommandOutput {
        code: code.parse().with_context(|| format!("exit code {code:?}"))?,
        stdout: text(stdout)?,
        stderr: text(stderr)?,
    })
}

/// The connection to one guest's agent.
#[derive(Debug)]
pub struct Agent {
    stream: BufReader<UnixStream>,
}

impl Agent {
    pub fn new(stream: UnixStream) -> Agent {
        Agent { stream: BufReader::new(stream) }
    }

    pub fn stream(&self) -> &UnixStream {
        self.stream.get_ref()
    }

    /// Waits for the line that the agent sends once it takes commands.
    pub fn ready(&mut self) -> Result<()> {
        match self.line()?.trim_end() {
            "ready" => Ok(()),
            other => bail!("the guest sent {other:?}, not \"ready\""),
        }
    }

    /// Runs a shell command in the guest. An exit code is a result, not an error.
    pub fn run(&mut self, command: &str, limit: Duration) -> Result<CommandOutput> {
        let request = request(command, limit);
        self.stream.get_mut().write_all(request.as_bytes())?;
        answer(&self.line()?)
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        match self.stream.read_line(&mut line) {
            Ok(0) => bail!("the guest closed its port"),
            Ok(_) => Ok(line),
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                bail!("the guest did not answer in time")
            }
            Err(e) => Err(e.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn a_command_is_sent_and_its_answer_parsed() {
        let (host, guest) = UnixStream::pair().unwrap();
        let other = thread::spawn(move || {
            let mut guest = BufReader::new(guest);
            guest.get_mut().write_all(b"ready\n").unwrap();
            let mut line = String::new();
            guest.read_line(&mut line).unwrap();
            guest.get_mut().write_all(b"3 b3V0Cg== \n").unwrap();
            line
        });
        let mut agent = Agent::new(host);
        agent.ready().unwrap();
        let output = agent.run("echo out; exit 3", Duration::from_secs(5)).unwrap();
        assert_eq!((output.code, output.stdout.as_str(), output.stderr.as_str()), (3, "out\n", ""));
        assert_eq!(other.join().unwrap(), "5 ZWNobyBvdXQ7IGV4aXQgMw==\n");
    }

    #[test]
    fn a_malformed_answer_is_refused() {
        assert!(answer("0 YQ==").is_err());
        assert!(answer("x YQ== YQ==").is_err());
        assert!(answer("0 *** YQ==").is_err());
        assert_eq!(answer("137  \n").unwrap().code, 137);
    }

    #[test]
    fn silence_and_a_closed_port_are_errors() {
        let (host, guest) = UnixStream::pair().unwrap();
        host.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let mut agent = Agent::new(host);
        assert!(agent.ready().unwrap_err().to_string().contains("in time"));
        drop(guest);
        assert!(agent.ready().unwrap_err().to_string().contains("closed"));
    }
}
