//! Plays a trace back as a card.
//!
//! The program must make the accesses of the recording in their order. Only polls may differ in number: how
//! often a register is polled depends on the host. Words that the trace does not hold are made up
//! ([`stand_in`]), equal ones equal.

use super::access::{TraceAccess, TraceOp, TraceValue};
use super::contents::{DataWord, GatewayView, Majority};
use super::format::{LONGEST_TIME, TraceMark, TraceRecord};
use super::reader::Trace;
use crate::card::{BarAccess, Clock, CrError, CrOffset, CrSpace, Reg};
use schemars::JsonSchema;
use serde::Serialize;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Polls of one register beyond those of the recording: a wait that never ends ends there.
const MOST_EXTRA_POLLS: u64 = 100_000;
/// Microseconds that an access behind the end of a replay takes, so that a wait for it ends soon.
const FAILING: u64 = 100_000;

/// A word that stands for the one with this number: never blank, and never what a failed read returns.
pub fn stand_in(number: u32) -> u32 {
    // A bijection of the integers (the finaliser of MurmurHash3), so that distinct words stay distinct.
    let mut word = number ^ 0x9e37_79b9;
    word = (word ^ word >> 16).wrapping_mul(0x85eb_ca6b);
    word = (word ^ word >> 13).wrapping_mul(0xc2b2_ae35);
    word ^ word >> 16
}

/// Where the program makes another access than the recorded one.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize)]
pub struct Divergence {
    /// Number of the recorded access, from 0.
    pub access: usize,
    /// Microseconds since the recording began.
    pub time: u64,
    /// What the program does now.
    pub asked: String,
    /// What it did when the trace was recorded; null at the end of the trace.
    pub recorded: Option<String>,
}

/// How far a replay got.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize)]
pub struct ReplayProgress {
    /// Accesses of the trace.
    pub recorded: usize,
    /// Those the program made again.
    pub replayed: usize,
    /// Polls of the recording that were not needed.
    pub skipped_polls: u64,
    /// Polls beyond those of the recording.
    pub extra_polls: u64,
    pub divergence: Option<Divergence>,
}

/// A card that answers as the recorded one did.
#[derive(Clone)]
pub struct ReplayedCard(Rc<RefCell<Player>>);

struct Player {
    recorded: usize,
    ahead: Ahead,
    /// Number of the access ahead.
    next: usize,
    time: u64,
    posted: bool,
    transport: Option<BarAccess>,
    since_reset: Duration,
    gateway: GatewayView,
    /// By address: number of the word that was believed, and what stands for it.
    flash: HashMap<u32, (u32, u32)>,
    /// The last access of each kind of question, and its answer.
    last: Option<(TraceOp, u32, u32)>,
    skipped: u64,
    extra: u64,
    divergence: Option<Divergence>,
    stop: Arc<AtomicBool>,
}

/// The accesses of a trace that are not replayed yet.
#[derive(Clone)]
struct Ahead {
    records: Rc<Vec<TraceRecord>>,
    record: usize,
    /// Accesses of the record that are done.
    done: usize,
}

impl Ahead {
    fn first(&self) -> Option<TraceAccess> {
        match self.records.get(self.record)? {
            TraceRecord::Access(access) => Some(*access),
            TraceRecord::Block(block) => block.access(self.done),
            TraceRecord::Mark { .. } => None,
        }
    }

    /// To the next access, past marks and what is done.
    fn settle(&mut self) {
        loop {
            let accesses = match self.records.get(self.record) {
                None => return,
                Some(TraceRecord::Access(_)) => 1,
                Some(TraceRecord::Block(block)) => block.count(),
                Some(TraceRecord::Mark { .. }) => 0,
            };
            if self.done < accesses {
                return;
            }
            (self.record, self.done) = (self.record + 1, 0);
        }
    }
}

impl Iterator for Ahead {
    type Item = TraceAccess;

    fn next(&mut self) -> Option<TraceAccess> {
        let access = self.first()?;
        self.done += 1;
        self.settle();
        Some(access)
    }
}

impl ReplayedCard {
    pub fn new(trace: &Trace) -> Self {
        let mut ahead = Ahead { records: Rc::clone(&trace.records), record: 0, done: 0 };
        ahead.settle();
        let mut player = Player {
            recorded: usize::try_from(trace.count()).unwrap_or(usize::MAX),
            ahead,
            next: 0,
            time: 0,
            posted: true,
            transport: None,
            since_reset: Duration::ZERO,
            gateway: GatewayView::default(),
            flash: HashMap::new(),
            last: None,
            skipped: 0,
            extra: 0,
            divergence: None,
            stop: trace.stop(),
        };
        let mut opened = false;
        for (time, mark) in trace.marks() {
            match mark {
                TraceMark::Open { posted, since_reset, transport, .. } if !opened => {
                    opened = true;
                    player.posted = *posted;
                    player.transport = *transport;
                    player.since_reset = Duration::from_micros((*since_reset).min(LONGEST_TIME));
                    player.time = time;
                }
                TraceMark::Flash { words } => {
                    let words = words.iter().map(|(at, number, word)| (*at, (*number, *word)));
                    player.flash.extend(words);
                }
                _ => {}
            }
        }
        Self(Rc::new(RefCell::new(player)))
    }

    pub fn space(&self) -> Box<dyn CrSpace> {
        Box::new(self.clone())
    }

    pub fn clock(&self) -> Rc<dyn Clock> {
        Rc::new(self.clone())
    }

    pub fn progress(&self) -> ReplayProgress {
        let player = self.0.borrow();
        ReplayProgress {
            recorded: player.recorded,
            replayed: player.next,
            skipped_polls: player.skipped,
            extra_polls: player.extra,
            divergence: player.divergence.clone(),
        }
    }

    /// The first recorded access that the program did not make; polls at the end do not count.
    pub fn left_over(&self) -> Option<Divergence> {
        let player = self.0.borrow();
        let going = |_: &TraceAccess| !player.stop.load(Ordering::Relaxed);
        let left = player.ahead.clone().take_while(going).find(|access| {
            player.last.is_none_or(|(op, at, _)| (access.op, access.at) != (op, at))
        })?;
        Some(Divergence {
            access: player.next,
            time: left.time,
            asked: "nothing: the command has ended".to_owned(),
            recorded: Some(left.in_words()),
        })
    }

    /// The flash as far as it was read: address and word, with words that stand for those the trace does
    /// not hold.
    pub fn flash(&self) -> Vec<(u32, u32)> {
        let player = self.0.borrow();
        let mut gateway = GatewayView::default();
        let mut words: HashMap<u32, Majority<u32>> = HashMap::new();
        let all = Ahead { record: 0, done: 0, ..player.ahead.clone() };
        for access in all.records.iter().flat_map(TraceRecord::accesses) {
            if player.stop.load(Ordering::Relaxed) {
                break;
            }
            let Some(reg) = Reg::at(CrOffset(access.at)) else { continue };
            match (access.op, access.value) {
                (TraceOp::Write, TraceValue::Clear(word)) => gateway.write(reg, word),
                (TraceOp::Write, _) => gateway.write(reg, 0),
                (TraceOp::Read, value) => {
                    if let Reg::GatewayData(n) = reg
                        && let DataWord::Flash(at) = gateway.data(n)
                    {
                        let (word, entry) = (plain(value), words.entry(at));
                        entry.and_modify(|seen| seen.see(word)).or_insert(Majority::first(word));
                    }
                }
                _ => {}
            }
        }
        let mut words: HashMap<u32, u32> =
            words.into_iter().map(|(at, word)| (at, word.value())).collect();
        words.extend(player.flash.iter().map(|(at, (_, word))| (*at, *word)));
        words.into_iter().collect()
    }
}

/// A value without regard to where it was read.
fn plain(value: TraceValue) -> u32 {
    match value {
        TraceValue::Clear(word) => word,
        TraceValue::Masked(number) => stand_in(number),
        TraceValue::Failed | TraceValue::Absent => u32::MAX,
    }
}

fn error(at: u32, text: &str) -> CrError {
    CrError::Io { at, source: std::io::Error::other(text.to_owned()) }
}

/// An access in words.
fn words(op: TraceOp, at: u32, value: Option<TraceValue>) -> String {
    let register = TraceAccess::register(at);
    match (op, value) {
        (TraceOp::Read | TraceOp::Write, None) => format!("{op} of {register}"),
        (TraceOp::Read | TraceOp::Write, Some(value)) => format!("{op} of {register}: {value}"),
        _ => op.to_string(),
    }
}

impl TraceAccess {
    /// A register in words.
    pub fn register(at: u32) -> String {
        Reg::at(CrOffset(at)).map_or_else(|| format!("{at:#x}"), |reg| reg.to_string())
    }

    /// The access in words, with its value where it was written.
    pub fn in_words(&self) -> String {
        let written = (self.op == TraceOp::Write).then_some(self.value);
        words(self.op, self.at, written)
    }

    /// The access without its value.
    pub fn question(&self) -> String {
        words(self.op, self.at, None)
    }
}

impl Player {
    /// Behind the first divergence, and once the user has asked to stop, every access fails.
    fn goes_on(&mut self, at: u32) -> Result<(), CrError> {
        if self.divergence.is_none() && !self.stop.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.time = self.time.saturating_add(FAILING);
        Err(error(at, "the replay has ended"))
    }

    fn diverge(&mut self, op: TraceOp, at: u32, value: Option<TraceValue>) -> CrError {
        let recorded = self.ahead.first();
        self.divergence.get_or_insert_with(|| Divergence {
            access: self.next,
            time: recorded.map_or(self.time, |access| access.time),
            asked: words(op, at, value),
            recorded: recorded.map(|access| access.in_words()),
        });
        let why = match recorded {
            Some(_) => "the trace has another access here",
            None => "the trace ends here",
        };
        error(at, why)
    }

    /// Whether the access before was this question: asking it again is a poll.
    fn polls(&self, op: TraceOp, at: u32) -> bool {
        op != TraceOp::Write && self.last.is_some_and(|(before, of, _)| (before, of) == (op, at))
    }

    /// The recorded access ahead if it is this one; polls that the program does not need are skipped.
    fn seek(&mut self, op: TraceOp, at: u32) -> Option<TraceAccess> {
        loop {
            let next = self.ahead.first()?;
            if (next.op, next.at) == (op, at) {
                return Some(next);
            }
            let (before, of, answer) = self.last?;
            if (next.op, next.at) != (before, of)
                || !matches!(next.value, TraceValue::Clear(word) if word == answer)
            {
                return None;
            }
            self.skipped += 1;
            self.pass(next);
        }
    }

    /// The access ahead is done.
    fn pass(&mut self, access: TraceAccess) {
        self.ahead.next();
        self.next += 1;
        self.time = self.time.max(access.time);
    }

    fn ask(&mut self, op: TraceOp, at: u32) -> Result<u32, CrError> {
        self.goes_on(at)?;
        let Some(access) = self.seek(op, at) else {
            if self.polls(op, at)
                && self.extra < MOST_EXTRA_POLLS
                && let Some((.., answer)) = self.last
            {
                self.extra += 1;
                self.time = self.time.saturating_add(1);
                return Ok(answer);
            }
            return Err(self.diverge(op, at, None));
        };
        self.pass(access);
        let word = match access.value {
            TraceValue::Failed | TraceValue::Absent => {
                return Err(error(at, "the access failed when it was recorded"));
            }
            TraceValue::Clear(word) => self.of_flash(at, 0).unwrap_or(word),
            TraceValue::Masked(number) => {
                self.of_flash(at, number).unwrap_or_else(|| stand_in(number))
            }
        };
        self.last = Some((op, at, word));
        Ok(word)
    }

    /// What stands for a word of the flash, where it is the one that was believed. A reading that showed
    /// another one shows another one in a replay.
    fn of_flash(&self, at: u32, number: u32) -> Option<u32> {
        let Some(Reg::GatewayData(n)) = Reg::at(CrOffset(at)) else { return None };
        let DataWord::Flash(at) = self.gateway.data(n) else { return None };
        self.flash.get(&at).filter(|(believed, _)| *believed == number).map(|(_, word)| *word)
    }

    fn write(&mut self, at: u32, value: u32) -> Result<(), CrError> {
        self.goes_on(at)?;
        let op = TraceOp::Write;
        let same = |access: &TraceAccess| match access.value {
            // What is written to data registers comes from words that are made up.
            TraceValue::Masked(_) | TraceValue::Failed | TraceValue::Absent => true,
            TraceValue::Clear(word) => word == value,
        };
        let Some(access) = self.seek(op, at).filter(same) else {
            return Err(self.diverge(op, at, Some(TraceValue::Clear(value))));
        };
        self.pass(access);
        if matches!(access.value, TraceValue::Failed | TraceValue::Absent) {
            return Err(error(at, "the access failed when it was recorded"));
        }
        if let Some(reg) = Reg::at(CrOffset(at)) {
            self.gateway.write(reg, value);
        }
        self.last = None;
        Ok(())
    }
}

impl CrSpace for ReplayedCard {
    fn read(&mut self, at: CrOffset) -> Result<u32, CrError> {
        self.0.borrow_mut().ask(TraceOp::Read, at.0)
    }

    fn write(&mut self, at: CrOffset, value: u32) -> Result<(), CrError> {
        self.0.borrow_mut().write(at.0, value)
    }

    fn posts_writes(&self) -> bool {
        self.0.borrow().posted
    }

    fn transport(&self) -> Option<BarAccess> {
        self.0.borrow().transport
    }

    fn read_by(&mut self, by: BarAccess, at: CrOffset) -> Option<Result<u32, CrError>> {
        let mut player = self.0.borrow_mut();
        if let Err(error) = player.goes_on(at.0) {
            return Some(Err(error));
        }
        match player.ahead.first().filter(|next| next.transport == Some(by)) {
            Some(next)
                if (next.op, next.at, next.value) == (TraceOp::Read, at.0, TraceValue::Absent) =>
            {
                player.pass(next);
                None
            }
            Some(_) => Some(player.ask(TraceOp::Read, at.0)),
            None => Some(Err(player.diverge(TraceOp::Read, at.0, None))),
        }
    }

    fn pci_device_id(&mut self) -> Result<u16, CrError> {
        Ok(self.0.borrow_mut().ask(TraceOp::PciId, 0)? as u16)
    }

    fn back_after_reset(&mut self) -> Result<bool, CrError> {
        Ok(self.0.borrow_mut().ask(TraceOp::Back, 0)? != 0)
    }

    fn reset_function(&mut self) -> Option<Result<(), CrError>> {
        let mut player = self.0.borrow_mut();
        if let Err(error) = player.goes_on(0) {
            return Some(Err(error));
        }
        match player.ahead.first() {
            Some(next) if (next.op, next.value) == (TraceOp::Reset, TraceValue::Absent) => {
                player.pass(next);
                None
            }
            _ => Some(player.ask(TraceOp::Reset, 0).map(drop)),
        }
    }

    fn since_reset(&self) -> Duration {
        self.0.borrow().since_reset
    }
}

impl Clock for ReplayedCard {
    fn now(&self) -> Duration {
        Duration::from_micros(self.0.borrow().time)
    }

    fn sleep(&self, time: Duration) {
        let mut player = self.0.borrow_mut();
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        player.time = player.time.saturating_add(micros);
    }
}
