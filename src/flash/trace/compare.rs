//! Where two traces of the same command disagree.

use super::access::{TraceAccess, TraceOp, TraceValue};
use super::reader::Trace;
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::VecDeque;
use std::iter::Peekable;

/// Differences that are listed.
const MOST_LISTED: usize = 100;
/// Differences after which two traces have nothing in common.
const MOST_COUNTED: u64 = 10_000;
/// Accesses that one trace may have and the other not, between two that both have.
const WINDOW: usize = 64;
/// Accesses that must agree behind a difference.
const AGREED: usize = 3;
/// A wait is another one when it takes so many times as long,
const FACTOR: u64 = 4;
/// and so many microseconds longer.
const LEAST_WAIT: u64 = 1000;

/// What differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DifferenceKind {
    /// One trace has accesses that the other does not have.
    Order,
    /// A register holds another value.
    Value,
    /// A register is polled for another time.
    Wait,
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize)]
pub struct TraceDifference {
    pub kind: DifferenceKind,
    /// Number of the access in the first trace, polls of one register counted as one, from 0.
    pub step: usize,
    /// Microseconds since the first recording began.
    pub time: u64,
    /// In the first trace.
    pub recorded: String,
    /// In the second one.
    pub other: String,
}

/// The differences of two traces.
#[derive(Clone, Debug, Default, PartialEq, Eq, JsonSchema, Serialize)]
pub struct TraceComparison {
    /// Accesses of the first trace, polls of one register counted as one.
    pub recorded_steps: usize,
    /// Those of the second one.
    pub other_steps: usize,
    /// All differences.
    pub count: u64,
    /// The first ones.
    pub differences: Vec<TraceDifference>,
}

/// Accesses of one kind to one register in a row.
#[derive(Clone, Copy)]
struct Step {
    last: TraceAccess,
    start: u64,
}

impl Step {
    fn is_like(&self, other: &Self) -> bool {
        (self.last.op, self.last.at) == (other.last.op, other.last.at)
    }

    fn wait(&self) -> u64 {
        self.last.time.saturating_sub(self.start)
    }

    fn text(&self) -> String {
        format!("{}: {}", self.last.question(), self.last.value)
    }
}

/// The steps of a trace, as far as they are needed.
struct Steps<A: Iterator<Item = TraceAccess>> {
    accesses: Peekable<A>,
    ahead: VecDeque<Step>,
    /// Steps that were taken out.
    done: usize,
}

impl<A: Iterator<Item = TraceAccess>> Steps<A> {
    fn of(accesses: A) -> Self {
        Self { accesses: accesses.peekable(), ahead: VecDeque::new(), done: 0 }
    }

    /// One more step: an access and those that poll the same register.
    fn read(&mut self) -> Option<Step> {
        let first = self.accesses.next()?;
        let mut step = Step { last: first, start: first.time };
        let polls = |access: &TraceAccess| {
            access.op != TraceOp::Write && (access.op, access.at) == (first.op, first.at)
        };
        while let Some(next) = self.accesses.next_if(polls) {
            step.last = next;
        }
        Some(step)
    }

    /// The next steps, so many where there are so many.
    fn ahead(&mut self, count: usize) -> &[Step] {
        while self.ahead.len() < count
            && let Some(step) = self.read()
        {
            self.ahead.push_back(step);
        }
        let steps = self.ahead.make_contiguous();
        steps.get(..count).unwrap_or(steps)
    }

    fn take(&mut self, count: usize) -> Vec<Step> {
        let count = self.ahead(count).len();
        self.done += count;
        self.ahead.drain(..count).collect()
    }

    /// The next step and how many follow, all taken out.
    fn take_rest(&mut self) -> (Option<Step>, usize) {
        let first = self.take(1).first().copied();
        let mut count = usize::from(first.is_some());
        while !self.take(1).is_empty() {
            count += 1;
        }
        (first, count)
    }
}

/// Compares two traces of one command. What the second one has behind the end of a first that was full is no
/// difference.
pub fn compare(recorded: &Trace, other: &Trace) -> TraceComparison {
    let (mut ours, mut theirs) = (Steps::of(recorded.accesses()), Steps::of(other.accesses()));
    let mut found = TraceComparison::default();
    loop {
        let (step, like) = (ours.ahead(1).first().copied(), theirs.ahead(1).first().copied());
        let (Some(step), Some(like)) = (step, like) else { break };
        if step.is_like(&like) {
            found.compare(ours.done, &step, &like);
            ours.take(1);
            theirs.take(1);
            continue;
        }
        let (near, other_near) = (ours.ahead(WINDOW + AGREED), theirs.ahead(WINDOW + AGREED));
        let Some((more, other_more)) = agreement(near, other_near) else { break };
        let number = ours.done;
        let (left, other_left) = (ours.take(more), theirs.take(other_more));
        let first = |steps: &[Step]| (steps.first().copied(), steps.len());
        found.order(number, first(&left), first(&other_left));
        if found.count >= MOST_COUNTED {
            break;
        }
    }
    let number = ours.done;
    let (left, other_left) = (ours.take_rest(), theirs.take_rest());
    let cut = recorded.is_full() && left.1 == 0 || other.is_full() && other_left.1 == 0;
    if left.1 + other_left.1 > 0 && found.count < MOST_COUNTED && !cut {
        found.order(number, left, other_left);
    }
    (found.recorded_steps, found.other_steps) = (ours.done, theirs.done);
    found
}

/// How many steps to leave out on both sides until they agree again, the fewest.
fn agreement(ours: &[Step], theirs: &[Step]) -> Option<(usize, usize)> {
    (1..2 * WINDOW).find_map(|sum| {
        (sum.saturating_sub(WINDOW)..=sum.min(WINDOW)).find_map(|more| {
            let other_more = sum - more;
            let (ours, theirs) = (ours.get(more..)?, theirs.get(other_more..)?);
            let needed = AGREED.min(ours.len().max(theirs.len()));
            let agree = ours.iter().zip(theirs).take_while(|(a, b)| a.is_like(b)).count();
            (agree >= needed).then_some((more, other_more))
        })
    })
}

impl TraceComparison {
    fn add(&mut self, difference: TraceDifference) {
        self.count += 1;
        if self.differences.len() < MOST_LISTED {
            self.differences.push(difference);
        }
    }

    fn compare(&mut self, number: usize, step: &Step, like: &Step) {
        let mut add = |kind, recorded, other| {
            self.add(TraceDifference { kind, step: number, time: step.start, recorded, other });
        };
        match (step.last.value, like.last.value) {
            // Words that are not shown are numbered in each trace by itself.
            (TraceValue::Masked(_), _) | (_, TraceValue::Masked(_)) => {}
            (ours, theirs) if ours == theirs => {}
            _ => add(DifferenceKind::Value, step.text(), like.text()),
        }
        let (ours, theirs) = (step.wait(), like.wait());
        let (short, long) = (ours.min(theirs), ours.max(theirs));
        if long - short >= LEAST_WAIT && long / FACTOR >= short {
            let text = |wait: u64| format!("{} for {wait} µs", step.last.question());
            add(DifferenceKind::Wait, text(ours), text(theirs));
        }
    }

    fn order(&mut self, number: usize, ours: (Option<Step>, usize), theirs: (Option<Step>, usize)) {
        let text = |(first, count): (Option<Step>, usize)| match first {
            None => "nothing".to_owned(),
            Some(one) if count == 1 => one.text(),
            Some(first) => format!("{count} accesses from {}", first.text()),
        };
        self.add(TraceDifference {
            kind: DifferenceKind::Order,
            step: number,
            time: ours.0.map_or(0, |step| step.start),
            recorded: text(ours),
            other: text(theirs),
        });
    }
}
