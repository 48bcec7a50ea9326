//! The lines of a trace (docs/traces.md#format).

use super::access::{ABSENT, FAILED, TraceAccess, TraceOp, TraceValue};
use super::blocks::{self, BlockWords, TraceBlock};
use crate::card::BarAccess;
use crate::flash::ChainVerdict;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// Version of the format.
pub const TRACE_FORMAT: u32 = 1;
/// Lines of accesses of one trace: a self-test of 16 MiB of flash, the largest, has about 6 million.
pub(super) const MOST_LINES: u64 = 8 << 20;
/// All lines.
pub(super) const MOST_RECORDS: u64 = MOST_LINES + (1 << 20);
/// Accesses of one trace: a self-test of 16 MiB has about 70 million, with one poll a read of 16 bytes more 5
/// million more.
pub(super) const MOST_ACCESSES: u64 = 256 << 20;
/// Bytes of its text.
pub(super) const LARGEST_TEXT: u64 = 512 << 20;
/// Bytes of its file.
pub const LARGEST_FILE: u64 = 64 << 20;
/// Microseconds of the longest recording: a year.
pub(super) const LONGEST_TIME: u64 = 366 * 24 * 3600 * 1_000_000;
/// What [`TraceMark::Full`] means.
pub const FULL: &str = "the trace ends here: it was full";
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
    Selftest {
        tools_interface: bool,
        reset: bool,
        /// It erases and programs.
        #[serde(default)]
        expendable: bool,
    },
    /// What this card had shown about chained reads.
    Chains { known: Option<ChainVerdict> },
    /// The software reset was written.
    Reset,
    /// The card was closed.
    Close,
    /// A line of the kernel's log, addresses masked.
    Kernel { text: String },
    /// Words of the flash that a replay needs: address, number of the word that was believed, and the word
    /// that stands for it.
    Flash { words: Vec<(u32, u32, u32)> },
    /// The trace is as long as one may be; accesses behind it are not in it.
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
            Self::Selftest { tools_interface, reset, expendable } => {
                let also = [
                    (tools_interface, ", tools interface"),
                    (reset, ", reset"),
                    (expendable, ", expendable card"),
                ];
                f.write_str("self-test")?;
                also.iter().filter(|(is, _)| **is).try_for_each(|(_, text)| f.write_str(text))
            }
            Self::Chains { known: Some(ChainVerdict::Proven(_)) } => {
                f.write_str("chained reads: proven before")
            }
            Self::Chains { known: Some(_) } => f.write_str("chained reads: contradicted before"),
            Self::Chains { known: None } => f.write_str("chained reads: nothing known"),
            Self::Reset => f.write_str("software reset"),
            Self::Close => f.write_str("closed"),
            Self::Kernel { text } => write!(f, "kernel: {text}"),
            Self::Flash { words } => write!(f, "{} words of the flash's structure", words.len()),
            Self::Full => f.write_str(FULL),
            Self::End { exit } => write!(f, "the command ended with {exit}"),
        }
    }
}

/// One line.
#[derive(Clone, Debug, PartialEq)]
pub enum TraceRecord {
    Access(TraceAccess),
    /// The accesses of one regular read of 16 bytes.
    Block(TraceBlock),
    Mark {
        time: u64,
        mark: TraceMark,
    },
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

/// The letter of a transport.
fn letter(transport: Option<BarAccess>) -> char {
    match transport {
        Some(BarAccess::Mmap) => 'm',
        Some(BarAccess::Pread) => 'p',
        Some(BarAccess::Config) => 'c',
        None => 's',
    }
}

/// The transport of a letter.
fn transport_of(of: char) -> Option<Option<BarAccess>> {
    let known = BarAccess::ALL.map(Some).into_iter().chain([None]);
    known.into_iter().find(|by| letter(*by) == of)
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
    /// Address behind the last block.
    next: u32,
    /// What the first block at an address had.
    first: HashMap<u32, BlockWords>,
}

/// A word with the next number.
const NEW: &str = "#";
/// The address behind the block before; all words as in the first block there.
const NEXT: &str = "+";
const SAME: &str = "=";
/// Bytes of a block, and addresses of blocks whose words are remembered: those of the largest flash.
const BLOCK: u32 = 16;
const REMEMBERED: u32 = 16 << 20;

/// A block as a line has it: transport, time since the line before, duration, address (null: not written),
/// command, flushed, polls, words, device id (null: not read).
type BlockLine<'l> =
    (char, u64, u16, Option<&'l str>, &'l str, bool, u16, &'l str, Option<&'l str>);

impl LineState {
    pub(super) fn line(&mut self, record: &TraceRecord) -> String {
        let t = record.time().saturating_sub(self.time);
        self.time = self.time.max(record.time());
        match record {
            TraceRecord::Access(access) => {
                let TraceAccess { transport, op, at, value, .. } = access;
                let (op, transport) = (op.word(), letter(*transport));
                let value = self.value(*value);
                format!("[{t},\"{transport}\",\"{op}\",\"{at:05x}\",\"{value}\"]\n")
            }
            TraceRecord::Block(block) => {
                self.time = self.time.max(block.end());
                self.block(t, block)
            }
            TraceRecord::Mark { mark, .. } => json_line(&MarkLine { t, mark: mark.clone() }),
        }
    }

    fn value(&mut self, value: TraceValue) -> String {
        match value {
            TraceValue::Masked(number) if number == self.numbers.wrapping_add(1) => {
                self.numbers = number;
                NEW.to_owned()
            }
            value => value.to_string(),
        }
    }

    fn parse_value(&mut self, value: &str) -> Option<TraceValue> {
        Some(match value.strip_prefix(NEW) {
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
        })
    }

    fn block(&mut self, t: u64, block: &TraceBlock) -> String {
        let address = match block.address {
            Some(at) if at == self.next => Some(NEXT.to_owned()),
            at => at.map(|at| format!("{at:x}")),
        };
        let at = block.address.unwrap_or(self.next);
        self.next = at.wrapping_add(BLOCK);
        let words = if self.first.get(&at) == Some(&block.words) {
            SAME.to_owned()
        } else {
            self.remember(at, block.words);
            block.words.values().map(|value| self.value(value)).join(",")
        };
        let command = format!("{:08x}", block.command);
        let id = block.id.map(|id| format!("{id:08x}"));
        let line: BlockLine<'_> = (
            letter(block.transport),
            t,
            block.duration,
            address.as_deref(),
            &command,
            block.flushed,
            block.polls,
            &words,
            id.as_deref(),
        );
        json_line(&line)
    }

    fn remember(&mut self, at: u32, words: BlockWords) {
        if at < REMEMBERED && at.is_multiple_of(BLOCK) {
            self.first.entry(at).or_insert(words);
        }
    }

    fn parse_block(&mut self, line: &str) -> Option<TraceBlock> {
        let (transport, t, duration, address, command, flushed, polls, words, id): BlockLine<'_> =
            serde_json::from_str(line).ok()?;
        let address = match address {
            Some(NEXT) => Some(self.next),
            Some(address) => Some(hex(address)?),
            None => None,
        };
        let at = address.unwrap_or(self.next);
        let words = if words == SAME {
            *self.first.get(&at)?
        } else {
            let mut values = words.split(',').map(|value| self.parse_value(value));
            let mut next = || values.next()?;
            let four = [next()?, next()?, next()?, next()?];
            let words = BlockWords::of(four).filter(|_| values.next().is_none())?;
            self.remember(at, words);
            words
        };
        let block = TraceBlock {
            time: self.time.saturating_add(t),
            duration,
            transport: transport_of(transport)?,
            address,
            command: hex(command)?,
            flushed,
            polls,
            words,
            id: match id {
                Some(id) => Some(hex(id)?),
                None => None,
            },
        };
        (self.time, self.next) = (block.end(), at.wrapping_add(BLOCK));
        let short = u64::from(duration) <= blocks::LONGEST && block.end() <= LONGEST_TIME;
        Some(block).filter(|block| short && block.count() <= blocks::MOST)
    }

    /// So much time passes; `None` beyond the longest recording.
    fn pass(&mut self, time: u64) -> Option<()> {
        self.time = self.time.checked_add(time).filter(|time| *time <= LONGEST_TIME)?;
        Some(())
    }

    /// `None` for a line of another form.
    pub(super) fn parse(&mut self, line: &str) -> Option<TraceRecord> {
        if !line.starts_with('[') {
            let line: MarkLine = serde_json::from_str(line).ok()?;
            self.pass(line.t)?;
            return Some(TraceRecord::Mark { time: self.time, mark: line.mark });
        }
        if line.starts_with("[\"") {
            return self.parse_block(line).map(TraceRecord::Block);
        }
        let (t, transport, op, at, value): (u64, char, TraceOp, &str, &str) =
            serde_json::from_str(line).ok()?;
        let at = hex(at)?;
        let transport = transport_of(transport)?;
        let value = self.parse_value(value)?;
        self.pass(t)?;
        Some(TraceRecord::Access(TraceAccess { time: self.time, transport, op, at, value }))
    }
}

impl TraceRecord {
    pub fn time(&self) -> u64 {
        match self {
            Self::Access(access) => access.time,
            Self::Block(block) => block.time,
            Self::Mark { time, .. } => *time,
        }
    }

    /// How many accesses it is; a mark is none.
    pub fn count(&self) -> u64 {
        match self {
            Self::Access(_) => 1,
            Self::Block(block) => block.count() as u64,
            Self::Mark { .. } => 0,
        }
    }

    /// Its accesses; a mark has none.
    pub fn accesses(&self) -> impl Iterator<Item = TraceAccess> {
        let (one, block) = match self {
            Self::Access(access) => (Some(*access), None),
            Self::Block(block) => (None, Some(*block)),
            Self::Mark { .. } => (None, None),
        };
        one.into_iter().chain(block.into_iter().flat_map(TraceBlock::accesses))
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
    fn blocks_are_read_as_they_were_written() {
        use TraceValue::{Clear, Masked};
        let (mut written, mut read) = (LineState::default(), LineState::default());
        let block = |address, words, id| {
            TraceRecord::Block(TraceBlock {
                time: 17,
                duration: 12,
                transport: Some(BarAccess::Mmap),
                address,
                command: 0x4003_241d,
                flushed: true,
                polls: 5,
                words: BlockWords::of(words).unwrap(),
                id,
            })
        };
        let (one, two) = ([1, 2, 3, 4].map(Masked), [5, 1, 6, 2].map(Masked));
        let blank = [Clear(u32::MAX); 4];
        let mut lines = Vec::new();
        for record in [
            block(Some(0x40), one, None),
            block(Some(0x50), two, None),
            block(None, blank, Some(0x1f5)),
            block(Some(0x40), one, None),
            block(None, two, None),
            block(Some(0x60), one, None),
            block(Some(0xff12_3456), blank, None),
        ] {
            let TraceRecord::Block(mut block) = record else { unreachable!() };
            block.time = written.time + 1;
            let line = written.line(&TraceRecord::Block(block));
            assert_eq!(read.parse(line.trim_end()), Some(TraceRecord::Block(block)), "{line}");
            lines.push(line);
        }
        let same = r#"["m",1,12,null,"4003241d",true,5,"=",null]"#;
        assert_eq!(lines[4].trim_end(), same);
        assert!(lines[0].contains("\"#,#,#,#\""), "{lines:?}");
        for line in [
            same,
            r#"["m",1,12,null,"4003241d",true,5,"1,2,3",null]"#,
            r#"["m",1,12,null,"4003241d",true,5,"1,2,3,4,5",null]"#,
            r#"["m",1,12,null,"4003241d",true,5,"1,2,3,failed",null]"#,
            r#"["m",1,12,null,"4003241d",true,5,"1,2,3,#1",null]"#,
            r#"["m",1,70000,null,"4003241d",true,5,"1,2,3,4",null]"#,
            r#"["m",1,501,null,"4003241d",true,5,"1,2,3,4",null]"#,
            r#"["m",18446744073709551615,12,null,"4003241d",true,5,"1,2,3,4",null]"#,
            r#"["m",1,12,null,"4003241d",true,300,"1,2,3,4",null]"#,
            r#"["m",1,12,null,"4003241d",true,70000,"1,2,3,4",null]"#,
            r#"["x",1,12,null,"4003241d",true,5,"1,2,3,4",null]"#,
            r#"["m",1,12,"q","4003241d",true,5,"1,2,3,4",null]"#,
        ] {
            assert_eq!(LineState::default().parse(line), None, "{line}");
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
            "[18446744073709551615,\"m\",\"r\",\"f0410\",\"0\"]",
            "{\"t\":18446744073709551615,\"mark\":\"close\"}",
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
