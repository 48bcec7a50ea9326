//! A bench: a host with a card, on which a scenario runs commands.
//!
//! Scenarios are written once against this trait; the lab and a real card differ in what they can do.

pub mod card;
pub mod config;
pub mod lab;
pub mod rooms;
pub mod served;
pub mod state;

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::guest::agent::Ran;
use served::Served;

/// The usual time limit of a command: an emulated machine on a busy host is slow.
pub const LIMIT: Duration = Duration::from_secs(60);

/// The time limit of a whole burn.
pub const LONG: Duration = Duration::from_secs(240);

/// What came of a command that was to get a signal.
#[derive(Debug)]
pub struct Signalled {
    /// The place was reached; otherwise it ended before.
    pub reached: bool,
    /// How it ended: 137 when it was killed.
    pub ran: Ran,
}

/// A host with a card.
pub trait Bench {
    /// Runs a shell command as root on the host under test.
    ///
    /// # Errors
    ///
    /// When the host does not answer. An exit code is an answer.
    fn run(&mut self, command: &str, limit: Duration) -> Result<Ran>;

    /// The card's address with its domain, as `0000:01:00.0`.
    fn bdf(&self) -> &str;

    /// The tool under test, as a command of the host.
    fn tool(&self) -> &str;

    /// Image files on the host under test: the one the card came with, and a newer one.
    fn images(&self) -> [&str; 2];

    /// The `n`th served card: faults, kill points and the flash from outside. `None` with a real card.
    fn served(&mut self, n: usize) -> Option<&mut Served>;

    /// Runs a command and sends it a signal (`KILL`, `INT`) once the first served card has begun mutation `mutation`
    /// (erases, programs and status writes since power-on).
    ///
    /// # Errors
    ///
    /// With a real card: nobody can tell how far it is.
    fn signalled_at(
        &mut self,
        command: &str,
        signal: &str,
        mutation: u64,
        limit: Duration,
    ) -> Result<Signalled> {
        let _ = (command, signal, mutation, limit);
        bail!("a real card cannot be stopped at a mutation")
    }

    /// The kernel's messages since boot, without asking the agent.
    fn console(&self) -> String;

    /// What was run so far and what it gave.
    fn transcript(&mut self) -> &mut Transcript;
}

/// What a scenario ran, for the report of a failure.
#[derive(Debug)]
pub struct Transcript {
    text: String,
    shown: bool,
}

impl Default for Transcript {
    fn default() -> Transcript {
        Transcript::new()
    }
}

/// Bytes of one command's output that a report keeps.
const KEPT: usize = 2500;

impl Transcript {
    /// A transcript that also shows each line as it comes, where `CX3FLASH_LAB_TRACE` is set.
    #[must_use]
    pub fn new() -> Transcript {
        Transcript {
            text: String::new(),
            shown: std::env::var_os("CX3FLASH_LAB_TRACE").is_some(),
        }
    }

    /// A command and its answer.
    pub fn command(&mut self, command: &str, ran: &Ran) {
        let out = clipped(&ran.stdout);
        let err = clipped(&ran.stderr);
        self.note(&format!("$ {command}\n{out}{err}[exit {}]", ran.code));
    }

    /// A remark.
    pub fn note(&mut self, text: &str) {
        if self.shown {
            eprintln!("{text}");
        }
        self.text.push_str(text);
        self.text.push('\n');
    }

    /// All of it; the transcript starts anew.
    pub fn take(&mut self) -> String {
        std::mem::take(&mut self.text)
    }
}

/// Progress that overwrites itself (backspaces, carriage returns) is kept as it looks in the end.
fn clipped(text: &str) -> String {
    let text: String = text
        .split_inclusive('\n')
        .map(|line| {
            let body = line.trim_end_matches(['\r', '\n']);
            let shown = body.rsplit(['\r', '\u{8}']).next().unwrap_or(body);
            format!("{shown}\n")
        })
        .collect();
    if text.len() <= KEPT {
        return text.to_owned();
    }
    let half = |at: usize| {
        (at..text.len())
            .find(|&n| text.is_char_boundary(n))
            .unwrap_or(text.len())
    };
    let (head, tail) = (half(KEPT / 2), half(text.len() - KEPT / 2));
    format!(
        "{}\n[… {} bytes …]\n{}",
        &text[..head],
        tail - head,
        &text[tail..]
    )
}

/// What the tool answered with `--json`.
#[derive(Debug)]
pub struct Told {
    /// Its exit code.
    pub code: i32,
    /// The one document on standard output.
    pub json: Value,
    /// What people would have read.
    pub stderr: String,
}

impl Told {
    /// A field of the document by its JSON pointer.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn at(&self, pointer: &str) -> Result<&Value> {
        self.json
            .pointer(pointer)
            .with_context(|| format!("no {pointer} in {}", self.json))
    }

    /// A text field.
    ///
    /// # Errors
    ///
    /// When there is none, or it is no text.
    pub fn text(&self, pointer: &str) -> Result<&str> {
        self.at(pointer)?
            .as_str()
            .with_context(|| format!("{pointer} is no text"))
    }
}

/// Commands every scenario needs, on any bench.
impl dyn Bench + '_ {
    /// Runs a command within [`LIMIT`] and notes it.
    ///
    /// # Errors
    ///
    /// When the host does not answer.
    pub fn sh(&mut self, command: &str) -> Result<Ran> {
        self.sh_within(command, LIMIT)
    }

    /// Runs a command within a limit and notes it.
    ///
    /// # Errors
    ///
    /// When the host does not answer.
    pub fn sh_within(&mut self, command: &str, limit: Duration) -> Result<Ran> {
        let ran = self.run(command, limit)?;
        self.transcript().command(command, &ran);
        Ok(ran)
    }

    /// The output of a command that must succeed.
    ///
    /// # Errors
    ///
    /// When it fails.
    pub fn must(&mut self, command: &str) -> Result<String> {
        let ran = self.sh(command)?;
        if ran.code != 0 {
            bail!("exit {} of: {command}\n{}", ran.code, ran.all());
        }
        Ok(ran.stdout)
    }

    /// Runs the tool on the bench's card with `--json`.
    ///
    /// # Errors
    ///
    /// When the host does not answer, or standard output is not one JSON document that repeats the exit code.
    pub fn tool_json(&mut self, arguments: &str) -> Result<Told> {
        let command = format!("{} -d {} --json {arguments}", self.tool(), self.bdf());
        self.json(&command)
    }

    /// Runs the tool without a device argument.
    ///
    /// # Errors
    ///
    /// As [`tool_json`](Self::tool_json).
    pub fn bare_json(&mut self, arguments: &str) -> Result<Told> {
        let command = format!("{} --json {arguments}", self.tool());
        self.json(&command)
    }

    fn json(&mut self, command: &str) -> Result<Told> {
        let ran = self.sh_within(command, LONG)?;
        let json: Value = serde_json::from_str(&ran.stdout).with_context(|| {
            format!("exit {}, no JSON from: {command}\n{}", ran.code, ran.all())
        })?;
        let told = Told {
            code: ran.code,
            json,
            stderr: ran.stderr,
        };
        if told.at("/exit")?.as_i64() != Some(i64::from(told.code)) {
            bail!(
                "exit {} but the document says {}",
                told.code,
                told.json["exit"]
            );
        }
        Ok(told)
    }

    /// The tool on the card, which must end with `code`.
    ///
    /// # Errors
    ///
    /// When it ends with another code.
    pub fn expect(&mut self, arguments: &str, code: i32) -> Result<Told> {
        let told = self.tool_json(arguments)?;
        if told.code != code {
            bail!(
                "`{arguments}` ended with {}, not {code}: {}\n{}",
                told.code,
                told.json.pointer("/error").unwrap_or(&told.json),
                told.stderr
            );
        }
        Ok(told)
    }
}
