//! `--report DIR`: everything a bug report needs, in one archive.
//!
//! | file | what |
//! |---|---|
//! | `manifest.json` | version, command, exit code; digest of each file; what is not there, and why |
//! | `document.json` | the command's JSON document |
//! | `query.json` | the card as it was when the command opened it |
//! | `plan.json` | the plan, when the command made one |
//! | `journal.json` | journals of borrowed cards: while the card was open, and after the command |
//! | `log.jsonl` | the job's log |
//! | `trace.zst` | every register access (docs/traces.md) |
//! | `host.json` | kernel, lockdown, what `doctor` finds out about the host |
//! | `card.json`, `lspci.txt` | the PCI function as sysfs and `lspci` show it |
//!
//! MACs, GUIDs, VSD, serial numbers, IP addresses and the names of the host and its user are masked
//! ([`mask`]): by the names of fields, by their form, and wherever a value occurs that the run has seen
//! ([`secrets`]). The archive's name is taken before the card
//! is opened, so that a directory that cannot be written stops a command that has done nothing yet.

mod lspci;
mod mask;
mod secrets;

use super::store::{cannot_write, digest};
use super::{CardSelector, JobError, host_status};
use crate::escape;
use crate::host::{Bdf, FileMode, Host, Lease, MadeDir};
use crate::words;
use flate2::Compression;
use flate2::write::GzEncoder;
pub(super) use mask::Mask;
use secrets::Secrets;
use serde_json::{Value, json};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use time::OffsetDateTime;

/// Bytes of one file in the archive; a log has at most 16 MiB.
const MOST: usize = 20 << 20;

/// What the command line knows of the command that has ended.
#[derive(Clone, Debug)]
pub struct FinishedCommand<'a> {
    /// The card's name as the user gave it, once it was known.
    pub card: Option<&'a CardSelector>,
    /// The command line.
    pub typed: &'a str,
    /// Its words.
    pub words: &'a [String],
    /// Its JSON document.
    pub document: &'a Value,
    /// Exit code.
    pub exit: u8,
    /// The job's log.
    pub log: Option<&'a Path>,
    /// Its trace, or why there is none.
    pub trace: Result<&'a [u8], String>,
}

/// A report in the making. Dropped before [`BugReport::finish`] it leaves nothing behind.
#[derive(Debug)]
pub struct BugReport {
    /// Where it will be.
    path: PathBuf,
    /// Where it is until then.
    part: OsString,
    /// The directory, and the name in it.
    dir: MadeDir,
    name: OsString,
    file: Option<File>,
    made: String,
    /// What was seen while the card was open.
    query: Result<Value, String>,
    journal: Result<Value, String>,
    /// Serial numbers that the process has seen.
    serials: Vec<String>,
}

/// One file that is not in the archive.
#[derive(Debug)]
struct Absent {
    name: &'static str,
    why: String,
}

impl BugReport {
    /// Take a name in `dir`, which is made when it is missing.
    /// On an error nothing is left behind.
    pub fn begin(dir: &Path, command: &str) -> Result<Self, JobError> {
        let stamp = words::stamp();
        let name = format!(
            "cx3flash-report-{stamp}-{}-{}.tar.gz",
            std::process::id(),
            command.replace(' ', "-")
        );
        let part = OsString::from(format!("{name}.part"));
        let path = dir.join(&name);
        let mut dir = MadeDir::create(dir).map_err(cannot_write(&path))?;
        let file = dir.dir().create_file(&part, FileMode::Private).map_err(cannot_write(&path))?;
        dir.keep();
        let not_opened = || Err("no card was opened".to_owned());
        Ok(Self {
            path,
            dir,
            name: name.into(),
            part,
            file: Some(file),
            made: stamp,
            query: not_opened(),
            journal: not_opened(),
            serials: Vec::new(),
        })
    }

    /// The query of the card, made when it was opened.
    pub fn set_query(&mut self, query: Result<Value, String>) {
        self.query = query;
    }

    /// Adds serial numbers of the card: they are masked wherever they are, whether or not the command has a
    /// result.
    pub fn know_serials(&mut self, serials: impl IntoIterator<Item = String>) {
        self.serials.extend(serials);
    }

    /// Records the journals while the card is borrowed: they are removed when it is given back.
    pub fn record_journal(&mut self, host: &Host) {
        self.journal = Ok(journals(host));
    }

    /// Write it. Answers where it is.
    /// On an error nothing is left behind.
    pub fn finish(mut self, host: &Host, ended: &FinishedCommand<'_>) -> Result<PathBuf, JobError> {
        let (documents, absent) = self.collect(host, ended);
        let mut secrets = Secrets::of_host(host);
        secrets.learn_command(ended.words);
        self.serials.iter().for_each(|serial| secrets.serial(serial));
        for document in &documents {
            if let (_, ReportText::Json(value)) = document {
                secrets.learn(value);
            }
        }
        let mask = Mask::new(&secrets);
        let files: Vec<_> =
            documents.into_iter().map(|(name, contents)| (name, contents.masked(&mask))).collect();
        let file = self.file.take();
        let wrote = match file {
            Some(file) => self.archive(file, ended, &files, &absent, &mask),
            None => Ok(()),
        };
        wrote
            .and_then(|()| self.dir.dir().rename(&self.part, &self.name))
            .map_err(cannot_write(&self.path))?;
        Ok(self.path.clone())
    }

    fn collect(
        &mut self,
        host: &Host,
        ended: &FinishedCommand<'_>,
    ) -> (Vec<(&'static str, ReportText)>, Vec<Absent>) {
        let mut files = Vec::new();
        let mut absent = Vec::new();
        let mut put = |name, found: Result<ReportText, String>| match found {
            Ok(contents) => files.push((name, contents)),
            Err(why) => absent.push(Absent { name, why }),
        };
        put("document.json", Ok(ReportText::Json(ended.document.clone())));
        put(
            "query.json",
            std::mem::replace(&mut self.query, Err(String::new())).map(ReportText::Json),
        );
        put(
            "plan.json",
            ended
                .document
                .pointer("/result/plan")
                .cloned()
                .map(ReportText::Json)
                .ok_or_else(|| "the command made no plan".into()),
        );
        let open = std::mem::replace(&mut self.journal, Err(String::new()));
        let journal = json!({
            "while_open": open.unwrap_or_else(Value::String),
            "after": journals(host),
        });
        put("journal.json", Ok(ReportText::Json(journal)));
        put("log.jsonl", log(ended.log).map(ReportText::Lines));
        put("trace.zst", ended.trace.clone().map(|trace| ReportText::Trace(trace.to_vec())));
        put("host.json", Ok(ReportText::Json(about(host))));
        match ended.card.map(|card| function(host, card)) {
            Some(Ok(bdf)) => {
                let card = host
                    .card(bdf)
                    .map_err(|error| error.to_string())
                    .and_then(|card| serde_json::to_value(card).map_err(|e| e.to_string()));
                put("card.json", card.map(ReportText::Json));
                put("lspci.txt", lspci::of(host, bdf).map(ReportText::Text));
            }
            other => {
                let why = match other {
                    Some(Err(why)) => why,
                    _ => "no card was named or found".into(),
                };
                put("card.json", Err(why.clone()));
                put("lspci.txt", Err(why));
            }
        }
        (files, absent)
    }

    fn archive(
        &self,
        file: File,
        ended: &FinishedCommand<'_>,
        files: &[(&'static str, Vec<u8>)],
        absent: &[Absent],
        mask: &Mask,
    ) -> io::Result<()> {
        let list: Vec<Value> = files
            .iter()
            .map(|(name, text)| json!({ "name": name, "len": text.len(), "sha256": digest(text) }))
            .collect();
        let absent: Vec<Value> =
            absent.iter().map(|a| json!({ "name": a.name, "why": mask.text(&a.why) })).collect();
        let manifest = json!({
            "schema": 1,
            "cx3flash": env!("CARGO_PKG_VERSION"),
            "made": self.made,
            "typed": mask.text(ended.typed),
            "exit": ended.exit,
            "files": list,
            "absent": absent,
            "masked": "MACs and GUIDs between their vendor part and last digit, VSD, serial numbers, IP addresses, names of the host and its user, flash data in the log, digests of what is on the card; read the rest before you post it",
        });
        let mut tar = tar::Builder::new(GzEncoder::new(file, Compression::default()));
        let top = Path::new("cx3flash-report");
        let manifest = format!("{manifest:#}\n");
        let all = std::iter::once(("manifest.json", manifest.as_bytes()))
            .chain(files.iter().map(|(name, text)| (*name, text.as_slice())));
        for (name, text) in all {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            header.set_mode(0o644);
            let now = OffsetDateTime::now_utc().unix_timestamp();
            header.set_mtime(u64::try_from(now).unwrap_or(0));
            tar.append_data(&mut header, top.join(name), text)?;
        }
        tar.into_inner()?.finish()?.sync_all()
    }
}

impl Drop for BugReport {
    fn drop(&mut self) {
        match self.dir.dir().remove_file(&self.part) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(path = %escape::path(&self.path), %error, "an incomplete report stays behind");
            }
            _ => {}
        }
    }
}

/// A file of the archive before it is masked.
enum ReportText {
    Json(Value),
    /// JSON lines.
    Lines(String),
    Text(String),
    /// It holds nothing to mask.
    Trace(Vec<u8>),
}

impl ReportText {
    /// The text of the file.
    fn masked(self, mask: &Mask) -> Vec<u8> {
        let text = match self {
            Self::Json(mut value) => {
                mask.json(&mut value);
                format!("{value:#}\n")
            }
            Self::Lines(lines) => mask.lines(&lines),
            Self::Text(text) => mask.text(&text),
            Self::Trace(bytes) => return bytes,
        };
        bounded(text).into_bytes()
    }
}

/// Cuts a text that is too long to be sent around.
fn bounded(mut text: String) -> String {
    if text.len() > MOST {
        let end = (0..=MOST).rev().find(|at| text.is_char_boundary(*at));
        text.truncate(end.unwrap_or(0));
        text.push_str("\n(cut)\n");
    }
    text
}

fn log(path: Option<&Path>) -> Result<String, String> {
    let path = path.ok_or("the log could not be written, or the command keeps none")?;
    let mut text = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MOST as u64).read_to_end(&mut text))
        .map_err(|error| format!("{}: {error}", escape::path(path)))?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// Every journal in full, and what `host status` reports of it.
fn journals(host: &Host) -> Value {
    let pending = match host_status(host) {
        Ok(status) => status.pending,
        Err(error) => return json!({ "problem": error.to_string() }),
    };
    let records: Vec<Value> = pending
        .iter()
        .map(|pending| match Lease::journal(pending) {
            Ok(record) => json!({ "bdf": pending.bdf, "record": record }),
            Err(error) => json!({ "bdf": pending.bdf, "problem": error.to_string() }),
        })
        .collect();
    json!({ "pending": pending, "records": records })
}

/// The PCI function behind a card's name.
fn function(host: &Host, card: &CardSelector) -> Result<Bdf, String> {
    if card.is_sim() {
        return Err("a simulated card has no PCI function on this host".into());
    }
    card.find(host).map(|card| card.bdf).map_err(|error| error.to_string())
}

/// The machine it happened on.
fn about(host: &Host) -> Value {
    let text =
        |path: &str| fs::read_to_string(host.path(path)).map(|text| text.trim().to_owned()).ok();
    let system = text("etc/os-release").and_then(|text| {
        let line = text.lines().find_map(|l| l.strip_prefix("PRETTY_NAME="))?;
        Some(line.trim_matches('"').to_owned())
    });
    json!({
        "kernel": text("proc/sys/kernel/osrelease"),
        "system": system,
        "machine": std::env::consts::ARCH,
        "lockdown": host.lockdown(),
        "secure_boot": host.secure_boot(),
        "root": crate::host::is_root(),
        "findings": host.findings(None),
    })
}
