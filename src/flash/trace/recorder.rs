//! Records every access to a card, and what happens around it.

use super::access::{TraceAccess, TraceOp, TraceValue};
use super::collector::BlockCollector;
use super::contents::{DataWord, GatewayView, Majority};
use super::format::{
    LARGEST_FILE, LARGEST_TEXT, LineState, MOST_ACCESSES, MOST_LINES, TraceHeader, TraceMark,
    TraceRecord, header_line,
};
use crate::card::{
    BAD_ACCESS, BarAccess, Clock, CrError, CrOffset, CrSpace, Reg, RunningVersion, WallClock,
};
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};
use std::rc::Rc;
use std::time::Duration;

/// Text of one compressed frame. What a killed process leaves lacks at most this much.
const FRAME: usize = 128 << 10;
/// Words of one line of [`TraceMark::Flash`].
const WORDS_A_LINE: usize = 256;
/// Kept for the lines behind the last access, packed and not.
const RESERVE: u64 = 8 << 20;

/// A word of the flash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeenWord {
    /// Its number in the trace.
    pub number: u32,
    pub word: u32,
}

/// The words that are believed, by flash address.
pub type SeenFlash = BTreeMap<u32, Majority<SeenWord>>;

/// Makes what a replay needs out of the flash as its readings showed it: words by address, none of which may hold what
/// a trace must not hold.
pub type Structure = fn(&SeenFlash) -> BTreeMap<u32, u32>;

/// Where a trace is written; clones are the same recording.
#[derive(Clone)]
pub struct TraceRecorder(Rc<RefCell<Recording>>);

struct Recording {
    header: TraceHeader,
    sink: Box<dyn Write>,
    structure: Structure,
    failure: Option<io::Error>,
    clock: Rc<dyn Clock>,
    /// The clock's time at `offset` of the trace.
    from: Duration,
    offset: u64,
    lines: LineState,
    blocks: BlockCollector,
    text: String,
    written: u64,
    packed: u64,
    records: u64,
    accesses: u64,
    begun: bool,
    full: bool,
    ended: bool,
    numbers: HashMap<u32, u32>,
    gateway: GatewayView,
    flash: SeenFlash,
    /// The registers of the running version, as read last.
    version: [u32; 2],
}

impl std::fmt::Debug for TraceRecorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TraceRecorder")
    }
}

impl TraceRecorder {
    pub fn new(header: TraceHeader, sink: Box<dyn Write>, structure: Structure) -> Self {
        let clock: Rc<dyn Clock> = Rc::new(WallClock::default());
        Self(Rc::new(RefCell::new(Recording {
            header,
            sink,
            structure,
            failure: None,
            from: clock.now(),
            clock,
            offset: 0,
            lines: LineState::default(),
            blocks: BlockCollector::default(),
            text: String::new(),
            written: 0,
            packed: 0,
            records: 0,
            accesses: 0,
            begun: false,
            full: false,
            ended: false,
            numbers: HashMap::new(),
            gateway: GatewayView::default(),
            flash: SeenFlash::new(),
            version: [0; 2],
        })))
    }

    /// Records something that happened now.
    pub fn mark(&self, mark: TraceMark) {
        let mut recording = self.0.borrow_mut();
        let time = recording.time();
        recording.mark(time, mark);
    }

    /// Records the open of a card and, from now on, its accesses.
    pub fn open(
        &self,
        space: Box<dyn CrSpace>,
        clock: &Rc<dyn Clock>,
        simulated: bool,
        serial: bool,
    ) -> Box<dyn CrSpace> {
        let mut recording = self.0.borrow_mut();
        recording.offset = recording.time();
        recording.clock = Rc::clone(clock);
        recording.from = clock.now();
        recording.header.simulated |= simulated;
        let transport = space.transport();
        recording.header.transport = recording.header.transport.or(transport);
        drop(recording);
        self.mark(TraceMark::Open {
            transport,
            posted: space.posts_writes(),
            since_reset: micros(space.since_reset()),
            serial,
        });
        Box::new(TracedSpace { inner: space, recorder: self.clone() })
    }

    /// What the card is, and whether firmware runs, for the header: the first card counts.
    pub fn describe(&self, chip: String, runs: bool) {
        let mut recording = self.0.borrow_mut();
        if recording.header.chip.is_some() {
            return;
        }
        recording.header.chip = Some(chip);
        let [first, second] = recording.version;
        let version = RunningVersion::decode(first, second).filter(|_| runs);
        recording.header.firmware =
            version.map(|v| format!("{}.{}.{:04}", v.major, v.minor, v.subminor));
    }

    /// Whether there is anything to read in it.
    pub fn is_empty(&self) -> bool {
        self.0.borrow().records == 0
    }

    /// Writes what is left. Later records are dropped.
    ///
    /// # Errors
    /// The first failure to write: the trace ends there.
    pub fn finish(&self, exit: u8) -> io::Result<()> {
        let mut recording = self.0.borrow_mut();
        recording.end(Some(exit));
        recording.failure.take().map_or(Ok(()), Err)
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

impl Recording {
    fn time(&self) -> u64 {
        self.offset.saturating_add(micros(self.clock.now().saturating_sub(self.from)))
    }

    /// Records what happened, behind the accesses that are held back.
    fn mark(&mut self, time: u64, mark: TraceMark) {
        for record in self.blocks.flush() {
            self.put(&record);
        }
        self.put(&TraceRecord::Mark { time, mark });
    }

    fn put(&mut self, record: &TraceRecord) {
        if self.ended || self.full || self.failure.is_some() {
            return;
        }
        let is_mark = matches!(record, TraceRecord::Mark { .. });
        let is_full = self.records >= MOST_LINES
            || self.accesses + record.count() > MOST_ACCESSES
            || self.written >= LARGEST_TEXT - RESERVE
            || self.packed >= LARGEST_FILE - RESERVE;
        if is_full && !is_mark {
            self.full = true;
            let time = record.time();
            let line = self.lines.line(&TraceRecord::Mark { time, mark: TraceMark::Full });
            self.text.push_str(&line);
            return;
        }
        self.records += 1;
        self.accesses += record.count();
        let line = self.lines.line(record);
        self.text.push_str(&line);
        if self.text.len() >= FRAME {
            self.flush();
        }
    }

    fn flush(&mut self) {
        let mut text = std::mem::take(&mut self.text);
        if !self.begun {
            self.begun = true;
            text.insert_str(0, &header_line(&self.header));
        }
        self.written += text.len() as u64;
        let frame = compress_to_vec(text.as_bytes(), CompressionLevel::Fastest);
        self.packed += frame.len() as u64;
        if let Err(error) = self.sink.write_all(&frame) {
            tracing::warn!(%error, "the trace cannot be written: it ends here");
            self.failure = Some(error);
        }
    }

    fn end(&mut self, exit: Option<u8>) {
        if self.ended {
            return;
        }
        let time = self.time();
        for record in self.blocks.flush() {
            self.put(&record);
        }
        // Of a trace that is full the last lines are written all the same.
        self.full = false;
        let words: Vec<_> = (self.structure)(&self.flash)
            .into_iter()
            .map(|(at, word)| (at, self.flash.get(&at).map_or(0, |seen| seen.value().number), word))
            .collect();
        for words in words.chunks(WORDS_A_LINE) {
            self.mark(time, TraceMark::Flash { words: words.to_vec() });
        }
        if let Some(exit) = exit {
            self.mark(time, TraceMark::End { exit });
        }
        self.flush();
        if let Err(error) = self.sink.flush() {
            self.failure.get_or_insert(error);
        }
        self.ended = true;
    }

    /// The number of a word that is not shown; 0 stands for no word.
    fn number(&mut self, word: u32) -> u32 {
        let next = self.numbers.len() as u32 + 1;
        *self.numbers.entry(word).or_insert(next)
    }

    fn value(&mut self, reg: Option<Reg>, written: bool, word: u32) -> TraceValue {
        let data = match reg {
            Some(Reg::GatewayData(n)) if !written => self.gateway.data(n),
            Some(reg) if !reg.holds_data() => DataWord::Answer,
            _ => DataWord::Other,
        };
        if let (Some(Reg::RunningVersion(n)), false) = (reg, written)
            && let Some(place) = self.version.get_mut(usize::from(n))
        {
            *place = word;
        }
        let value = match data {
            DataWord::Answer => return TraceValue::Clear(word),
            // Blank flash, padding, and what a failed read returns belong to no card.
            _ if matches!(word, 0 | u32::MAX | BAD_ACCESS | LOCKED) => TraceValue::Clear(word),
            _ => TraceValue::Masked(self.number(word)),
        };
        if let DataWord::Flash(at) = data {
            let number = match value {
                TraceValue::Masked(number) => number,
                _ => 0,
            };
            let seen = SeenWord { number, word };
            let entry = self.flash.entry(at);
            entry.and_modify(|believed| believed.see(seen)).or_insert(Majority::first(seen));
        }
        value
    }

    fn access(&mut self, transport: Option<BarAccess>, op: TraceOp, at: u32, value: TraceValue) {
        let time = self.time();
        if self.ended || self.full || self.failure.is_some() {
            return;
        }
        for record in self.blocks.add(TraceAccess { time, transport, op, at, value }) {
            self.put(&record);
        }
    }
}

/// The hardware id of a locked card.
const LOCKED: u32 = 0xBAD0_CAFE;

impl Drop for Recording {
    /// A job that panicked.
    fn drop(&mut self) {
        if self.records > 0 {
            self.end(None);
        }
    }
}

struct TracedSpace {
    inner: Box<dyn CrSpace>,
    recorder: TraceRecorder,
}

impl TracedSpace {
    fn record(&self, op: TraceOp, value: &Result<u32, CrError>) {
        let value = value.as_ref().map_or(TraceValue::Failed, |word| TraceValue::Clear(*word));
        self.recorder.0.borrow_mut().access(self.inner.transport(), op, 0, value);
    }
}

impl CrSpace for TracedSpace {
    fn read(&mut self, at: CrOffset) -> Result<u32, CrError> {
        let answer = self.inner.read(at);
        let mut recording = self.recorder.0.borrow_mut();
        let value = match &answer {
            Ok(word) => recording.value(Reg::at(at), false, *word),
            Err(_) => TraceValue::Failed,
        };
        recording.access(self.inner.transport(), TraceOp::Read, at.0, value);
        answer
    }

    fn write(&mut self, at: CrOffset, value: u32) -> Result<(), CrError> {
        let done = self.inner.write(at, value);
        let mut recording = self.recorder.0.borrow_mut();
        let reg = Reg::at(at);
        let shown = match done {
            Ok(()) => recording.value(reg, true, value),
            Err(_) => TraceValue::Failed,
        };
        if let Some(reg) = reg {
            recording.gateway.write(reg, value);
        }
        recording.access(self.inner.transport(), TraceOp::Write, at.0, shown);
        if reg == Some(Reg::SoftwareReset) {
            let time = recording.time();
            recording.mark(time, TraceMark::Reset);
        }
        done
    }

    fn posts_writes(&self) -> bool {
        self.inner.posts_writes()
    }

    fn transport(&self) -> Option<BarAccess> {
        self.inner.transport()
    }

    fn read_by(&mut self, by: BarAccess, at: CrOffset) -> Option<Result<u32, CrError>> {
        let answer = self.inner.read_by(by, at);
        let mut recording = self.recorder.0.borrow_mut();
        let value = match &answer {
            Some(Ok(word)) => recording.value(Reg::at(at), false, *word),
            Some(Err(_)) => TraceValue::Failed,
            None => TraceValue::Absent,
        };
        recording.access(Some(by), TraceOp::Read, at.0, value);
        answer
    }

    fn pci_device_id(&mut self) -> Result<u16, CrError> {
        let answer = self.inner.pci_device_id();
        self.record(TraceOp::PciId, &answer.as_ref().map(|id| u32::from(*id)).map_err(failed));
        answer
    }

    fn back_after_reset(&mut self) -> Result<bool, CrError> {
        let answer = self.inner.back_after_reset();
        self.record(TraceOp::Back, &answer.as_ref().map(|back| u32::from(*back)).map_err(failed));
        answer
    }

    fn reset_function(&mut self) -> Option<Result<(), CrError>> {
        let answer = self.inner.reset_function();
        let value = match &answer {
            Some(Ok(())) => TraceValue::Clear(1),
            Some(Err(_)) => TraceValue::Failed,
            None => TraceValue::Absent,
        };
        let by = self.inner.transport();
        self.recorder.0.borrow_mut().access(by, TraceOp::Reset, 0, value);
        answer
    }

    fn since_reset(&self) -> Duration {
        self.inner.since_reset()
    }
}

/// An error without its cause.
fn failed(_: &CrError) -> CrError {
    CrError::BadOffset { at: 0 }
}
