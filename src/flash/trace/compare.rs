//! Where two traces of the same command disagree.

use super::format::{TraceAccess, TraceOp, TraceRecord, TraceValue};
use super::reader::Trace;
use schemars::JsonSchema;
use serde::Serialize;

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

fn steps(trace: &Trace) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for record in &trace.records {
        let TraceRecord::Access(access) = record else { continue };
        let step = Step { last: *access, start: access.time };
        match steps.last_mut() {
            Some(before) if access.op != TraceOp::Write && before.is_like(&step) => {
                before.last = *access;
            }
            _ => steps.push(step),
        }
    }
    steps
}

/// Compares two traces of one command.
pub fn compare(recorded: &Trace, other: &Trace) -> TraceComparison {
    let (ours, theirs) = (steps(recorded), steps(other));
    let mut found = TraceComparison {
        recorded_steps: ours.len(),
        other_steps: theirs.len(),
        ..TraceComparison::default()
    };
    let (mut a, mut b) = (0, 0);
    while let (Some(step), Some(like)) = (ours.get(a), theirs.get(b)) {
        if step.is_like(like) {
            found.compare(a, step, like);
            (a, b) = (a + 1, b + 1);
            continue;
        }
        let Some((more, other_more)) = agreement(&ours[a..], &theirs[b..]) else { break };
        found.order(a, &ours[a..a + more], &theirs[b..b + other_more]);
        (a, b) = (a + more, b + other_more);
        if found.count >= MOST_COUNTED {
            return found;
        }
    }
    if a < ours.len() || b < theirs.len() {
        found.order(a, &ours[a..], &theirs[b..]);
    }
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

    fn order(&mut self, number: usize, ours: &[Step], theirs: &[Step]) {
        let text = |steps: &[Step]| match steps {
            [] => "nothing".to_owned(),
            [one] => one.text(),
            [first, ..] => format!("{} accesses from {}", steps.len(), first.text()),
        };
        self.add(TraceDifference {
            kind: DifferenceKind::Order,
            step: number,
            time: ours.first().map_or(0, |step| step.start),
            recorded: text(ours),
            other: text(theirs),
        });
    }
}
