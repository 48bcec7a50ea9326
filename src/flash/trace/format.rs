//! The lines of a trace (docs/traces.md#format).

use crate::card::BarAccess;
use crate::flash::ChainVerdict;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Version of the format.
pub const TRACE_FORMAT: u32 = 1;
/// Accesses of one trace: a self-test of 2 MiB of flash has about 8 million.
pub(super) const MOST_ACCESSES: u64 = 12 << 20;
/// Its lines.
pub(super) const MOST_RECORDS: u64 = MOST_ACCESSES + (1 << 20);
/// Bytes of its text.
pub(super) const LARGEST_TEXT: u64 = 512 << 20;
/// Bytes of its file.
pub const LARGEST_FILE: u64 = 64 << 20;
/// First field of every trace.
pub(super) const MAGIC: &str = "cx3flash-trace";

/// The first line: what was recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TraceHeader {
    /// Version of the format.
    pub format: u32,
    /// Version of the program that recorded it.
    pub version: String,
    /// The command, such as `query`.
    pub command: String,
    /// It was run with `--report`, which queries the card first.
    pub with_report: bool,
    /// Release of the kernel.
    pub kernel: Option<String>,
    /// Architecture.
    pub machine: String,
    /// The card was a simulated one.
    pub simulated: bool,
    /// Name of the silicon; null when the card could not be opened.
    pub chip: Option<String>,
    /// Firmware that ran; null when none ran or the card could not be opened.
    pub firmware: Option<String>,
    /// Register access at the first open.
    pub transport: Option<BarAccess>,
}

/// What an access was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub enum TraceOp {
    /// A register was read.
    #[serde(rename = "r")]
    Read,
    /// A register was written.
    #[serde(rename = "w")]
    Write,
    /// The PCI device id was read from configuration space.
    #[serde(rename = "id")]
    PciId,
    /// The transport was asked whether the card is back after a reset.
    #[serde(rename = "back")]
    Back,
}

/// The value of an access, as a trace holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TraceValue {
    /// As it was.
    Clear(u32),
    /// The number of a word that is not recorded: equal words of one trace have equal numbers.
    Masked(u32),
    /// The access failed.
    Failed,
    /// The card cannot be reached by this transport.
    Absent,
}

/// One access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceAccess {
    /// Microseconds since the recording began.
    pub time: u64,
    /// `None` for a card without a choice.
    pub transport: Option<BarAccess>,
    pub op: TraceOp,
    /// Offset in CR-space; 0 where the operation has none.
    pub at: u32,
    pub value: TraceValue,
}

/// What happened beside register accesses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "mark", rename_all = "snake_case", deny_unknown_fields)]
pub enum TraceMark {
    /// The card was unbound from this driver.
    Unbind { driver: String },
    /// The card was bound to this driver.
    Bind { driver: String },
    /// The card was opened through this transport, which resets it.
    Open {
        transport: Option<BarAccess>,
        /// Writes are posted.
        posted: bool,
        /// Microseconds since the reset of the open.
        since_reset: u64,
        /// It has a serial number, under which it is kept what the card has shown.
        serial: bool,
    },
    /// What a self-test tests beyond what only reads.
    Selftest { tools_interface: bool, reset: bool },
    /// What this card had shown about chained reads.
    Chains { known: Option<ChainVerdict> },
    /// The software reset was written.
    Reset,
    /// The card was closed.
    Close,
    /// A line of the kernel's log, addresses masked.
    Kernel { text: String },
    /// Words of the flash that a replay needs: address, number of the word as it was read, and the word
    /// that stands for it.
    Flash { words: Vec<(u32, u32, u32)> },
    /// The trace has as many bytes as one may have; what follows was not recorded.
    Full,
    /// The command ended with this exit code. The last line.
    End { exit: u8 },
}

impl std::fmt::Display for TraceMark {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unbind { driver } => write!(f, "unbound from {driver}"),
            Self::Bind { driver } => write!(f, "bound to {driver}"),
            Self::Open { transport: Some(by), since_reset, .. } => {
                write!(f, "opened through {by}, {since_reset} µs after its reset")
            }
            Self::Open { transport: None, .. } => f.write_str("opened"),
            Self::Selftest { tools_interface, reset } => write!(
                f,
                "self-test{}{}",
                if *tools_interface { ", tools interface" } else { "" },
                if *reset { ", reset" } else { "" }
            ),
            Self::Chains { known: Some(ChainVerdict::Proven(_)) } => {
                f.write_str("chained reads: proven before")
            }
            Self::Chains { known: Some(_) } => f.write_str("chained reads: contradicted before"),
            Self::Chains { known: None } => f.write_str("chained reads: nothing known"),
            Self::Reset => f.write_str("software reset"),
            Self::Close => f.write_str("closed"),
            Self::Kernel { text } => write!(f, "kernel: {text}"),
            Self::Flash { words } => write!(f, "{} words of the flash's structure", words.len()),
            Self::Full => f.write_str("the trace is full: later accesses were not recorded"),
            Self::End { exit } => write!(f, "the command ended with {exit}"),
        }
    }
}

/// One line.
#[derive(Clone, Debug, PartialEq)]
pub enum TraceRecord {
    Access(TraceAccess),
    Mark { time: u64, mark: TraceMark },
}

#[derive(Serialize, Deserialize)]
struct MarkLine {
    t: u64,
    #[serde(flatten)]
    mark: TraceMark,
}

#[derive(Serialize, Deserialize)]
struct HeaderLine {
    trace: String,
    header: TraceHeader,
}

/// A hexadecimal number of at most 8 digits.
fn hex(digits: &str) -> Option<u32> {
    let valid = (1..=8).contains(&digits.len())
        && digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    u32::from_str_radix(digits, 16).ok().filter(|_| valid)
}

impl std::fmt::Display for TraceValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Clear(word) => write!(f, "{word:08x}"),
            Self::Masked(number) => write!(f, "#{number:x}"),
            Self::Failed => f.write_str(FAILED),
            Self::Absent => f.write_str(ABSENT),
        }
    }
}

const FAILED: &str = "failed";
const ABSENT: &str = "absent";

/// The letter of a transport.
fn letter(transport: Option<BarAccess>) -> char {
    match transport {
        Some(BarAccess::Mmap) => 'm',
        Some(BarAccess::Pread) => 'p',
        Some(BarAccess::Config) => 'c',
        None => 's',
    }
}

impl TraceOp {
    fn word(self) -> &'static str {
        match self {
            Self::Read => "r",
            Self::Write => "w",
            Self::PciId => "id",
            Self::Back => "back",
        }
    }
}

impl std::fmt::Display for TraceOp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::PciId => "read of the PCI device id",
            Self::Back => "question for the card after a reset",
        })
    }
}

/// The first line.
pub(super) fn header_line(header: &TraceHeader) -> String {
    let line = HeaderLine { trace: MAGIC.to_owned(), header: header.clone() };
    json_line(&line)
}

/// Plain data cannot fail to serialise.
fn json_line(line: &impl Serialize) -> String {
    let mut text = serde_json::to_string(line).unwrap_or_default();
    text.push('\n');
    text
}

/// The header, when the first line is one of a trace of any version: `Err` holds another version.
pub(super) fn parse_header(line: &str) -> Option<Result<TraceHeader, u64>> {
    let value: serde_json::Value = serde_json::from_str(line).ok()?;
    if value.get("trace")?.as_str()? != MAGIC {
        return None;
    }
    let format = value.pointer("/header/format")?.as_u64()?;
    if format != u64::from(TRACE_FORMAT) {
        return Some(Err(format));
    }
    let line: HeaderLine = serde_json::from_value(value).ok()?;
    Some(Ok(line.header))
}

/// What a line does not repeat: its time counts from the line before, and a word that was not there before
/// has the next number. So most lines are equal, which makes a trace small.
#[derive(Debug, Default)]
pub(super) struct LineState {
    time: u64,
    /// Numbers given so far.
    numbers: u32,
}

/// A word with the next number.
const NEW: &str = "#";

impl LineState {
    pub(super) fn line(&mut self, record: &TraceRecord) -> String {
        let t = record.time().saturating_sub(self.time);
        self.time = self.time.max(record.time());
        match record {
            TraceRecord::Access(access) => {
                let TraceAccess { transport, op, at, value, .. } = access;
                let (op, transport) = (op.word(), letter(*transport));
                let value = match value {
                    TraceValue::Masked(number) if *number == self.numbers.wrapping_add(1) => {
                        self.numbers = *number;
                        NEW.to_owned()
                    }
                    value => value.to_string(),
                };
                format!("[{t},\"{transport}\",\"{op}\",\"{at:05x}\",\"{value}\"]\n")
            }
            TraceRecord::Mark { mark, .. } => json_line(&MarkLine { t, mark: mark.clone() }),
        }
    }

    /// `None` for a line of another form.
    pub(super) fn parse(&mut self, line: &str) -> Option<TraceRecord> {
        if !line.starts_with('[') {
            let line: MarkLine = serde_json::from_str(line).ok()?;
            self.time = self.time.saturating_add(line.t);
            return Some(TraceRecord::Mark { time: self.time, mark: line.mark });
        }
        let (t, transport, op, at, value): (u64, char, TraceOp, &str, &str) =
            serde_json::from_str(line).ok()?;
        let at = hex(at)?;
        let known = BarAccess::ALL.map(Some).into_iter().chain([None]);
        let transport = known.into_iter().find(|by| letter(*by) == transport)?;
        let value = match value.strip_prefix(NEW) {
            Some("") => {
                self.numbers = self.numbers.checked_add(1)?;
                TraceValue::Masked(self.numbers)
            }
            Some(number) => {
                let number = hex(number).filter(|n| (1..=self.numbers).contains(n))?;
                TraceValue::Masked(number)
            }
            None if value == FAILED => TraceValue::Failed,
            None if value == ABSENT => TraceValue::Absent,
            None => TraceValue::Clear(hex(value)?),
        };
        self.time = self.time.saturating_add(t);
        Some(TraceRecord::Access(TraceAccess { time: self.time, transport, op, at, value }))
    }
}

impl TraceRecord {
    pub fn time(&self) -> u64 {
        match self {
            Self::Access(access) => access.time,
            Self::Mark { time, .. } => *time,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_read_as_it_was_written() {
        let (mut written, mut read) = (LineState::default(), LineState::default());
        let access = |op, value| {
            TraceRecord::Access(TraceAccess {
                time: 17,
                transport: Some(BarAccess::Mmap),
                op,
                at: 0xf0410,
                value,
            })
        };
        let mark = |mark| TraceRecord::Mark { time: 1 << 40, mark };
        for record in [
            access(TraceOp::Read, TraceValue::Masked(1)),
            access(TraceOp::Read, TraceValue::Masked(2)),
            access(TraceOp::Write, TraceValue::Masked(1)),
            access(TraceOp::Write, TraceValue::Clear(0x409f_2215)),
            access(TraceOp::PciId, TraceValue::Failed),
            access(TraceOp::Back, TraceValue::Clear(1)),
            access(TraceOp::Read, TraceValue::Absent),
            mark(TraceMark::Reset),
            mark(TraceMark::Chains { known: Some(ChainVerdict::Contradicted { at: 64 }) }),
            mark(TraceMark::Kernel { text: "a\nb \u{202e}".into() }),
            mark(TraceMark::Flash { words: vec![(0, 1, 2)] }),
            mark(TraceMark::End { exit: 6 }),
        ] {
            let line = written.line(&record);
            assert_eq!(line.matches('\n').count(), 1, "{line}");
            assert_eq!(read.parse(line.trim_end()), Some(record), "{line}");
        }
    }

    #[test]
    fn lines_of_other_forms_are_refused() {
        for line in [
            "",
            "[]",
            "[1,\"m\",\"r\",\"f0410\"]",
            "[-1,\"m\",\"r\",\"f0410\",\"0\"]",
            "[1,\"x\",\"r\",\"f0410\",\"0\"]",
            "[1,\"m\",\"x\",\"f0410\",\"0\"]",
            "[1,\"m\",\"r\",\"#1\",\"0\"]",
            "[1,\"m\",\"r\",\"f0410\",\"123456789\"]",
            "[1,\"m\",\"r\",\"f0410\",\"+1\"]",
            "[1,\"m\",\"r\",\"f0410\",\"#1\"]",
            "{\"t\":1,\"mark\":\"unheard_of\"}",
            "{\"t\":1,\"mark\":\"end\"}",
        ] {
            assert_eq!(LineState::default().parse(line), None, "{line}");
        }
    }
}
