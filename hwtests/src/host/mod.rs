//! The host under test: a Linux host with a card, on which a scenario runs commands.
//!
//! Scenarios are written once against [`TestHost`]. A lab guest and a host with a real card differ
//! in what they can do.

pub mod config;
pub mod guests;
pub mod lab;
pub mod real;
pub mod server;
pub mod snapshot;

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::guest::agent::CommandOutput;
use server::CardServer;

/// The usual time limit of a command: an emulated machine on a busy host is slow.
pub const LIMIT: Duration = Duration::from_secs(180);

/// The time limit of a burn.
pub const LONG: Duration = Duration::from_secs(900);

/// The result of a command that was to get a signal.
#[derive(Debug)]
pub struct Signalled {
    /// The mutation began before the command ended.
    pub reached: bool,
    pub output: CommandOutput,
}

/// A host with a card. Only the errors of the connection are errors here: an exit code is a result.
pub trait TestHost {
    /// Runs a shell command as root.
    fn run(&mut self, command: &str, limit: Duration) -> Result<CommandOutput>;

    /// The card's address with its domain, as `0000:01:00.0`.
    fn bdf(&self) -> &str;

    /// The tool under test, as a command of the host.
    fn tool(&self) -> &str;

    /// Image files on the host: the one the card came with, and a newer one.
    fn images(&self) -> [&str; 2];

    /// The `n`th served card: faults, kill points and the flash from outside. `None` with a real
    /// card.
    fn server(&mut self, n: usize) -> Option<&mut CardServer>;

    /// Runs a command and sends it a signal (`KILL`, `INT`) once the first served card has begun
    /// mutation `mutation` (erases, programs and status writes since power-on). An error with a
    /// real card, which reports no progress.
    fn signalled_at(
        &mut self,
        command: &str,
        signal: &str,
        mutation: u64,
        limit: Duration,
    ) -> Result<Signalled>;

    /// The kernel's messages since boot, without using the agent.
    fn console(&self) -> String;

    /// Processor time that an emulated host and its cards have used so far: unlike the time on the clock, it does not
    /// depend on what else the machine does.
    fn cpu_time(&self) -> Duration {
        Duration::ZERO
    }

    /// The commands run so far and their output.
    fn transcript(&mut self) -> &mut Transcript;
}

/// The commands a scenario ran, for the report of a failure.
#[derive(Debug, Default)]
pub struct Transcript {
    text: String,
}

/// Bytes of one command's output that a transcript keeps.
const KEPT: usize = 2500;

impl Transcript {
    fn command(&mut self, command: &str, output: &CommandOutput) {
        let out = clipped(&output.stdout);
        let err = clipped(&output.stderr);
        self.note(&format!("$ {command}\n{out}{err}[exit {}]", output.code));
    }

    /// Adds a remark; prints it as well where `CX3FLASH_LAB_TRACE` is set.
    pub fn note(&mut self, text: &str) {
        if std::env::var_os("CX3FLASH_LAB_TRACE").is_some() {
            eprintln!("{text}");
        }
        self.text.push_str(text);
        self.text.push('\n');
    }

    /// Takes the text out; the transcript is empty afterwards.
    pub fn take(&mut self) -> String {
        std::mem::take(&mut self.text)
    }
}

/// Shortens output to [`KEPT`] bytes. Of a line that overwrites itself (backspaces, carriage
/// returns) the last state is kept.
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
        return text;
    }
    let boundary = |at: usize| (at..).find(|&n| text.is_char_boundary(n)).unwrap_or(at);
    let (head, tail) = (boundary(KEPT / 2), boundary(text.len() - KEPT / 2));
    format!("{}\n[… {} bytes …]\n{}", &text[..head], tail - head, &text[tail..])
}

/// The tool's answer to a command with `--json`.
#[derive(Debug)]
pub struct ToolReport {
    pub code: i32,
    /// The one document on standard output.
    pub json: Value,
    pub stderr: String,
}

impl ToolReport {
    /// A field of the document by its JSON pointer.
    pub fn at(&self, pointer: &str) -> Result<&Value> {
        self.json.pointer(pointer).with_context(|| format!("no {pointer} in {}", self.json))
    }

    /// A text field.
    pub fn text(&self, pointer: &str) -> Result<&str> {
        self.at(pointer)?.as_str().with_context(|| format!("{pointer} is no text"))
    }

    /// The texts of a list.
    pub fn texts(&self, pointer: &str) -> Result<Vec<String>> {
        let list = self.at(pointer)?.as_array().into_iter().flatten();
        Ok(list.filter_map(Value::as_str).map(str::to_owned).collect())
    }

    /// Fails unless the document has these words somewhere.
    pub fn names(&self, words: &str) -> Result<()> {
        shows(&self.json.to_string(), words)
    }

    /// The report itself, if the exit code is `code`.
    pub fn exits(self, code: i32) -> Result<ToolReport> {
        if self.code != code {
            bail!(
                "exit {}, not {code}: {}\n{}",
                self.code,
                self.json.pointer("/error").unwrap_or(&self.json),
                self.stderr
            );
        }
        Ok(self)
    }
}

/// Fails unless `text` has these words.
pub fn shows(text: &str, words: &str) -> Result<()> {
    ensure!(text.contains(words), "{words:?} is not in:\n{text}");
    Ok(())
}

/// Commands that scenarios need on every host.
impl dyn TestHost + '_ {
    /// Runs a command within [`LIMIT`] and notes it.
    pub fn sh(&mut self, command: &str) -> Result<CommandOutput> {
        self.sh_within(command, LIMIT)
    }

    /// Runs a command within a limit and notes it.
    pub fn sh_within(&mut self, command: &str, limit: Duration) -> Result<CommandOutput> {
        let output = self.run(command, limit)?;
        self.transcript().command(command, &output);
        Ok(output)
    }

    /// The output of a command that must succeed.
    pub fn must(&mut self, command: &str) -> Result<String> {
        self.must_within(command, LIMIT)
    }

    /// The output of a command that must succeed within a limit.
    pub fn must_within(&mut self, command: &str, limit: Duration) -> Result<String> {
        let output = self.sh_within(command, limit)?;
        if output.code != 0 {
            bail!("exit {} of: {command}\n{}", output.code, output.all());
        }
        Ok(output.stdout)
    }

    /// Runs the tool on the host's card with `--json`. Standard output must be one JSON document
    /// that repeats the exit code.
    pub fn tool_json(&mut self, arguments: &str) -> Result<ToolReport> {
        let bdf = self.bdf().to_owned();
        self.bare_json(&format!("-d {bdf} {arguments}"))
    }

    /// Runs the tool with `--json` and without a device argument.
    pub fn bare_json(&mut self, arguments: &str) -> Result<ToolReport> {
        let command = format!("{} --json {arguments}", self.tool());
        let output = self.sh_within(&command, LONG)?;
        let json: Value = serde_json::from_str(&output.stdout).with_context(|| {
            format!("exit {}, no JSON from: {command}\n{}", output.code, output.all())
        })?;
        let report = ToolReport { code: output.code, json, stderr: output.stderr };
        if report.at("/exit")?.as_i64() != Some(i64::from(report.code)) {
            bail!("exit {} but the document has {}", report.code, report.json["exit"]);
        }
        Ok(report)
    }

    /// Runs the tool on the card; it must end with `code`.
    pub fn expect(&mut self, arguments: &str, code: i32) -> Result<ToolReport> {
        self.tool_json(arguments)?.exits(code).with_context(|| format!("`{arguments}`"))
    }

    /// Copies a trace of the host to the directory that `CX3FLASH_LAB_TRACES` names, as `COMMAND-lab.trace.zst`;
    /// without it nothing is copied.
    pub fn keep_trace(&mut self, trace: &str, command: &str) -> Result<()> {
        let dir = std::env::var_os("CX3FLASH_LAB_TRACES").filter(|dir| !dir.is_empty());
        let Some(dir) = dir.map(std::path::PathBuf::from) else { return Ok(()) };
        // Not through the transcript: it is as long as the file.
        let output = self.run(&format!("od -An -v -tx1 {trace}"), LIMIT)?;
        ensure!(output.code == 0, "{trace} cannot be read: {}", output.all());
        let bytes = output.stdout.split_whitespace().map(|byte| u8::from_str_radix(byte, 16));
        let bytes = bytes.collect::<Result<Vec<u8>, _>>()?;
        let file = dir.join(format!("{command}-lab.trace.zst"));
        std::fs::create_dir_all(&dir)
            .and_then(|()| std::fs::write(&file, bytes))
            .with_context(|| file.display().to_string())
    }

    /// The command line of the tool on the host's card with `--json`.
    pub fn tool_line(&self, arguments: &str) -> String {
        format!("{} -d {} --json {arguments}", self.tool(), self.bdf())
    }

    /// The first served card.
    pub fn card(&mut self) -> Result<&mut CardServer> {
        self.server(0).context("no card is served")
    }

    /// Erases, programs and status writes of the first served card since power-on; `None` with a
    /// real card.
    pub fn mutations(&mut self) -> Result<Option<u64>> {
        self.server(0).map(|server| server.mutations()).transpose()
    }
}
