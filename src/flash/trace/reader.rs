//! Reads a trace. Whoever made the file: nothing in it takes more memory or time than the limits here.

use super::access::TraceAccess;
use super::format::{
    LARGEST_TEXT, LineState, MOST_ACCESSES, MOST_RECORDS, TRACE_FORMAT, TraceHeader, TraceMark,
    TraceRecord, parse_header,
};
use ruzstd::decoding::StreamingDecoder;
use std::io::Read;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Longest line; those of the recorder have a few KiB.
const LONGEST_LINE: usize = 64 << 10;
/// Bytes of all lines of marks; those of the recorder have less than 8 MiB.
const MOST_MARKS: usize = 32 << 20;
/// A frame needs no larger window than the text of one.
const WINDOW: u64 = 8 << 20;

/// Magic number of a zstd frame.
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// A trace that was read.
#[derive(Clone, Debug)]
pub struct Trace {
    pub header: TraceHeader,
    pub records: Rc<Vec<TraceRecord>>,
    /// Why what follows the last record is not there; `None` for a complete trace.
    pub cut: Option<String>,
    /// Raised when the user asks to stop: no access follows then.
    stop: Arc<AtomicBool>,
}

/// Nothing can be read of the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TraceError {
    #[error("{0}")]
    CutShort(&'static str),
    #[error("it is not a trace of this program: {0}")]
    NotATrace(&'static str),
    #[error("it has trace format {found}; this program reads format {TRACE_FORMAT}")]
    Version { found: u64 },
}

impl Trace {
    /// Reads a file. A damaged one is read as far as it goes, see [`Trace::cut`].
    ///
    /// # Errors
    /// [`TraceError`] when its first line cannot be read.
    pub fn read(file: &[u8]) -> Result<Self, TraceError> {
        Self::read_until(file, Arc::default())
    }

    /// Reads a file as [`Trace::read`] does, until the flag is raised; it ends later walks over the trace, too.
    ///
    /// # Errors
    /// As [`Trace::read`].
    pub fn read_until(file: &[u8], stop: Arc<AtomicBool>) -> Result<Self, TraceError> {
        let (header, mut reader) = TraceRecords::open(file, Arc::clone(&stop))?;
        let records = reader.by_ref().collect();
        Ok(Self { header, records: Rc::new(records), cut: reader.cut, stop })
    }

    /// Exit code of the command; `None` when the recording was cut short.
    pub fn exit(&self) -> Option<u8> {
        match self.records.last() {
            Some(TraceRecord::Mark { mark: TraceMark::End { exit }, .. }) => Some(*exit),
            _ => None,
        }
    }

    pub fn marks(&self) -> impl Iterator<Item = (u64, &TraceMark)> {
        self.records.iter().filter_map(|record| match record {
            TraceRecord::Mark { time, mark } => Some((*time, mark)),
            TraceRecord::Access(_) | TraceRecord::Block(_) => None,
        })
    }

    /// Later accesses were not recorded.
    pub fn is_full(&self) -> bool {
        self.marks().any(|(_, mark)| *mark == TraceMark::Full)
    }

    /// Number of its accesses.
    pub fn count(&self) -> u64 {
        self.records.iter().map(TraceRecord::count).sum()
    }

    pub fn accesses(&self) -> impl Iterator<Item = TraceAccess> {
        let all = self.records.iter().flat_map(TraceRecord::accesses);
        all.take_while(|_| !self.stopped())
    }

    /// The user has asked to stop.
    pub fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// The flag that stops it.
    pub fn stop(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.stop)
    }
}

/// The records of a file, one after the other: none is kept.
pub struct TraceRecords<'f> {
    lines: Lines<'f>,
    state: LineState,
    records: u64,
    accesses: u64,
    /// Bytes of the lines of marks.
    marks: usize,
    ended: bool,
    cut: Option<String>,
    stop: Arc<AtomicBool>,
}

impl<'f> TraceRecords<'f> {
    /// Reads the header.
    ///
    /// # Errors
    /// As [`Trace::read`].
    pub fn open(file: &'f [u8], stop: Arc<AtomicBool>) -> Result<(TraceHeader, Self), TraceError> {
        let mut lines = Lines { rest: file, decoder: None, text: Vec::new(), used: 0, total: 0 };
        let first = match lines.next_line() {
            Ok(Some(first)) => first,
            // A recording that is killed before its first frame is written leaves an empty file.
            Ok(None) if file.is_empty() => return Err(TraceError::CutShort("it is empty")),
            Ok(None) => return Err(TraceError::NotATrace("its first zstd frame is empty")),
            Err(_) if ZSTD.starts_with(file) || file.starts_with(&ZSTD) => {
                return Err(TraceError::CutShort("its first zstd frame is cut short or damaged"));
            }
            Err(_) => return Err(TraceError::NotATrace("it is not compressed with zstd")),
        };
        let header = match parse_header(&first) {
            Some(Ok(header)) => header,
            Some(Err(found)) => return Err(TraceError::Version { found }),
            None => return Err(TraceError::NotATrace("its first line is no header of a trace")),
        };
        let (state, ended, cut) = (LineState::default(), false, None);
        Ok((header, Self { lines, state, records: 0, accesses: 0, marks: 0, ended, cut, stop }))
    }

    /// Why what follows the last record is not there; `None` for a complete trace, once it has been read.
    pub fn cut(&self) -> Option<&str> {
        self.cut.as_deref()
    }

    fn read(&mut self) -> Result<TraceRecord, String> {
        if self.stop.load(Ordering::Relaxed) {
            return Err("reading it was stopped".into());
        }
        let line =
            self.lines.next_line()?.ok_or("it has no last line: the recording was cut short")?;
        let record = self
            .state
            .parse(&line)
            .ok_or_else(|| format!("line {} is no record", self.records + 2))?;
        if self.records >= MOST_RECORDS {
            return Err(format!("it has more than {MOST_RECORDS} records"));
        }
        self.accesses += record.count();
        if self.accesses > MOST_ACCESSES {
            return Err(format!("it has more than {MOST_ACCESSES} accesses"));
        }
        if let TraceRecord::Mark { mark, .. } = &record {
            self.marks += line.len();
            if self.marks > MOST_MARKS {
                return Err(format!("its marks have more than {} MiB", MOST_MARKS >> 20));
            }
            self.ended = matches!(mark, TraceMark::End { .. });
        }
        self.records += 1;
        Ok(record)
    }
}

impl Iterator for TraceRecords<'_> {
    type Item = TraceRecord;

    fn next(&mut self) -> Option<TraceRecord> {
        if self.ended || self.cut.is_some() {
            return None;
        }
        let record = self.read().map_err(|why| self.cut = Some(why)).ok()?;
        if self.ended && !matches!(self.lines.next_line(), Ok(None)) {
            self.cut = Some("something follows its last line".into());
        }
        Some(record)
    }
}

/// The lines of the frames of a file.
struct Lines<'a> {
    /// What follows the frame that is decoded.
    rest: &'a [u8],
    decoder: Option<StreamingDecoder<&'a [u8], ruzstd::decoding::FrameDecoder>>,
    text: Vec<u8>,
    used: usize,
    total: u64,
}

impl Lines<'_> {
    fn next_line(&mut self) -> Result<Option<String>, String> {
        loop {
            let unread = self.text.get(self.used..).unwrap_or_default();
            if let Some(len) = unread.iter().position(|b| *b == b'\n') {
                let line = std::str::from_utf8(&unread[..len]).map(str::to_owned);
                self.used += len + 1;
                return line.map(Some).map_err(|_| "a line is not UTF-8".to_owned());
            }
            if unread.len() > LONGEST_LINE {
                return Err(format!("a line is longer than {LONGEST_LINE} bytes"));
            }
            if !self.more()? {
                let left = self.text.len() - self.used;
                return if left == 0 { Ok(None) } else { Err("its last line is cut short".into()) };
            }
        }
    }

    /// Decodes some more text; false at the end of the file.
    fn more(&mut self) -> Result<bool, String> {
        let mut decoder = match self.decoder.take() {
            Some(decoder) => decoder,
            None if self.rest.is_empty() => return Ok(false),
            None => StreamingDecoder::new_with_max_window_size(self.rest, WINDOW)
                .map_err(|error| format!("a zstd frame cannot be read: {error}"))?,
        };
        self.text.drain(..self.used);
        self.used = 0;
        let mut piece = [0; 16 << 10];
        let len = decoder
            .read(&mut piece)
            .map_err(|error| format!("a zstd frame is cut short or damaged: {error}"))?;
        self.total += len as u64;
        if self.total > LARGEST_TEXT {
            return Err(format!("it unpacks to more than {} MiB", LARGEST_TEXT >> 20));
        }
        self.text.extend_from_slice(piece.get(..len).unwrap_or_default());
        if len > 0 {
            self.decoder = Some(decoder);
            return Ok(true);
        }
        let frame = &decoder.decoder;
        let stored = frame.get_checksum_from_data();
        if stored.is_some() && stored != frame.get_calculated_checksum() {
            return Err("a zstd frame has a wrong checksum".into());
        }
        self.rest = decoder.into_inner();
        Ok(true)
    }
}
