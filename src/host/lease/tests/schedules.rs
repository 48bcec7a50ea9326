//! Two processes at once: every order of their steps, with a kill of one of them at every step, of both at some
//! (with `CX3FLASH_CAMPAIGN` set at every one that matters), and `host restore` after each kill. The kernel of the tests asserts that `internal_err_reset` is 0 during
//! every probe of mlx4_core.
//!
//! A schedule runs the two in threads, one step at a time. Steps that only one of the two can see
//! commute with the other's: they come first. A process is killed where that leaves something else than a
//! kill one step earlier. A state that was reached before is not continued.

use super::cuts::borrow;
use super::fake::{GUARD, Kernel, differences, walk};
use crate::host::lease::Lease;
use crate::host::tests::fake::{CARD, FakeHost};
use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

const OTHER: &str = "0000:06:00.0";

/// Second kills of which one is tried.
const SAMPLE: usize = 24;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Move {
    /// The process takes its next step.
    Step(usize),
    /// It is killed before it; `host restore` follows in its place.
    Kill(usize),
}

/// A process of the schedule, or the `host restore` after its death.
struct Process {
    card: &'static str,
    /// True kills.
    orders: Option<Sender<bool>>,
    /// Names of the steps that come next; closed at the end.
    steps: Receiver<String>,
    thread: Option<JoinHandle<()>>,
    next: Option<String>,
    /// What it has done, so far as it matters for what follows.
    past: Vec<String>,
    /// Its last step has changed what a kill would leave.
    fresh: bool,
}

/// Whether the other process can see this step.
fn is_shared(step: &str) -> bool {
    let shared =
        ["lock ", "note ", "internal_err_reset", "mlx4_core/bind", "probe", "sleep", "device lock"];
    shared.iter().any(|word| step.contains(word))
}

impl Process {
    fn start(files: FakeHost, card: &'static str) -> Self {
        let (orders, order) = channel();
        let (send, steps) = channel();
        let thread = std::thread::spawn(move || {
            let pause = move |what: &str| {
                // Killed within the writing of a record: `cuts`.
                if what.starts_with("journal: ") {
                    return false;
                }
                // No one listens to a schedule that is abandoned: then the process ends.
                send.send(what.to_owned()).is_err() || order.recv().unwrap_or(true)
            };
            let kernel = Kernel::shared(files, card, pause);
            // The second one of two on one card is refused.
            let _ = borrow(&kernel);
            if kernel.is_dead() {
                kernel.end_orphan();
                kernel.revive();
                let _ = kernel.adopt().map(|lease| lease.map(|mut lease| lease.give_back()));
            }
        });
        let mut process = Self {
            card,
            orders: Some(orders),
            steps,
            thread: Some(thread),
            next: None,
            past: Vec::new(),
            fresh: true,
        };
        process.arrive();
        process
    }

    /// Waits until it stands before its next step, or has ended.
    fn arrive(&mut self) {
        self.next = self.steps.recv().ok();
    }

    fn go(&mut self, kill: bool) {
        let step = self.next.take().unwrap();
        if step == "sleep" {
            // It waits for a lock: the attempt did nothing.
            self.past.pop();
        } else if step != "device lock" {
            self.past.push(step);
        }
        self.orders.as_ref().unwrap().send(kill).unwrap();
        self.arrive();
    }

    /// Whether the other one cannot see the next step.
    fn is_private(&self) -> bool {
        self.next.as_ref().is_some_and(|next| !is_shared(next))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.orders = None;
        // What is left of the steps is refused.
        while self.steps.recv().is_ok() {}
        let ended = self.thread.take().map(JoinHandle::join);
        if let Some(Err(panic)) = ended
            && !std::thread::panicking()
        {
            std::panic::resume_unwind(panic);
        }
    }
}

struct Schedule {
    files: FakeHost,
    processes: [Process; 2],
    /// How many of the two were killed.
    killed: usize,
    moves: Vec<Move>,
}

impl Schedule {
    fn new(cards: [&'static str; 2]) -> Self {
        let files = two_cards();
        let processes = cards.map(|card| Process::start(files.share(), card));
        Self { files, processes, killed: 0, moves: Vec::new() }
    }

    fn choices(&self) -> Vec<Move> {
        let running = |i: &usize| self.processes[*i].next.is_some();
        let [first, second] = &self.processes;
        let own_lock = |next: &String| first.card != second.card && next.starts_with("lock 0000:");
        let private = (0..2).find(|i| {
            let process = &self.processes[*i];
            process.is_private() || process.next.as_ref().is_some_and(own_lock)
        });
        let next: Vec<usize> = match private {
            Some(one) => vec![one],
            None => (0..2).filter(running).collect(),
        };
        // The two are alike: what holds for the one that is killed first holds for the other.
        let may_die =
            |i: &&usize| **i == self.killed && self.processes[**i].fresh && self.may_both_die();
        let kills = next.iter().filter(may_die).map(|i| Move::Kill(*i));
        next.iter().map(|i| Move::Step(*i)).chain(kills).collect()
    }

    /// Both may die, the second one while the first one's restore runs and where that leaves the parameter to
    /// be restored: elsewhere it is one that the schedules with one kill have. One such kill in [`SAMPLE`] is tried,
    /// with `CX3FLASH_CAMPAIGN` set each.
    fn may_both_die(&self) -> bool {
        let [first, second] = &self.processes;
        let at = |word| second.next.as_ref().is_some_and(|next| next.contains(word));
        let tried = || {
            std::env::var_os("CX3FLASH_CAMPAIGN").is_some()
                || self.moves.len().is_multiple_of(SAMPLE)
        };
        self.killed == 0
            || first.next.is_some()
                && (at("probe") || at("parameters/internal_err_reset"))
                && tried()
    }

    fn apply(&mut self, step: Move) {
        self.moves.push(step);
        match step {
            Move::Step(i) => {
                let before = self.kill_point(i);
                self.processes[i].go(false);
                self.processes[i].fresh = before != self.kill_point(i);
            }
            Move::Kill(i) => {
                self.killed += 1;
                self.processes[i].go(true);
                self.processes[i].past = self.left_by(i);
            }
        }
    }

    /// Takes steps once more that were taken in another run; `fresh` is what that run found behind them.
    fn replay(&mut self, moves: &[Move], fresh: [bool; 2]) {
        for step in moves {
            match *step {
                Move::Step(i) => {
                    self.moves.push(*step);
                    self.processes[i].go(false);
                }
                Move::Kill(_) => self.apply(*step),
            }
        }
        for (process, fresh) in self.processes.iter_mut().zip(fresh) {
            process.fresh = fresh;
        }
    }

    /// What a kill at this point leaves: the host, and the locks that go with the process.
    fn kill_point(&self, process: usize) -> Vec<String> {
        let mut point = self.left_by(process);
        let past = &self.processes[process].past;
        point.extend(past.iter().rfind(|step| is_shared(step)).cloned());
        point
    }

    /// What a killed process leaves, on which the rest depends, not on how it came to it. Of two cards
    /// only what the restore will do to the driver matters to the other process; `cuts.rs` kills
    /// a single one everywhere.
    fn left_by(&self, process: usize) -> Vec<String> {
        let card = self.processes[process].card;
        let device = self.files.at(&self.files.device(card));
        let journal = self.files.host().journal_dir().join(format!("{card}.json"));
        let driver = fs::read_link(device.join("driver")).unwrap_or_default();
        if self.processes[0].card != self.processes[1].card {
            return vec![format!("{} {}", driver.display(), journal.exists())];
        }
        let mut left = BTreeMap::new();
        walk(&fs::canonicalize(device).unwrap(), &mut left);
        let root = self.files.at("/");
        let file =
            |(path, text): (&PathBuf, &String)| format!("{:?} {text}", path.strip_prefix(&root));
        let mut left: Vec<String> = left.iter().map(file).collect();
        left.push(fs::read_to_string(journal).unwrap_or_default());
        left
    }

    /// Everything that the rest of the schedule depends on.
    fn state(&self) -> String {
        let read = |path: &str| fs::read_to_string(self.files.at(path)).unwrap_or_default();
        let mut state = read(GUARD) + &read("/run/cx3flash/internal_err_reset.lock");
        for process in &self.processes {
            state += &format!("{:?} {:?} {}\n", process.past, process.next, self.killed);
        }
        state
    }

    /// All have ended.
    fn check(&self, was: &BTreeMap<PathBuf, String>) {
        let changed = differences(was, &self.files.sys());
        assert!(changed.is_empty(), "{changed:#?}\n{:?}", self.moves);
        let left = Lease::pending(&self.files.host()).unwrap();
        assert!(left.is_empty(), "{left:?}\n{:?}", self.moves);
    }
}

fn two_cards() -> FakeHost {
    let files = Kernel::new().files.share();
    let (names, rdma) = Kernel::ports(OTHER);
    files.ethernet_card_at(OTHER, 19, names, rdma);
    files
}

/// Runs every schedule; returns how many ended, in how many of them both were killed, and how many states there
/// were.
fn every_schedule(cards: [&'static str; 2]) -> (usize, usize, usize) {
    let mut seen = HashSet::new();
    let (mut ends, mut both) = (0, 0);
    // Steps that were taken before, what was found behind them, and the one to take next.
    let mut todo = vec![(Vec::new(), [true; 2], None)];
    let was = two_cards().sys();
    while let Some((begin, fresh, next)) = todo.pop() {
        let mut schedule = Schedule::new(cards);
        schedule.replay(&begin, fresh);
        if let Some(next) = next {
            schedule.apply(next);
        }
        loop {
            let choices = schedule.choices();
            // Where there is no choice, no other schedule begins.
            if choices.len() != 1 && !seen.insert(schedule.state()) {
                break;
            }
            let Some((first, others)) = choices.split_first() else {
                schedule.check(&was);
                ends += 1;
                both += usize::from(schedule.killed == 2);
                break;
            };
            for other in others {
                let fresh = [0, 1].map(|i: usize| schedule.processes[i].fresh);
                todo.push((schedule.moves.clone(), fresh, Some(*other)));
            }
            schedule.apply(*first);
        }
    }
    (ends, both, seen.len())
}

#[test]
fn two_cards_at_once_are_given_back_in_every_order_and_after_a_kill_anywhere() {
    let (ends, both, states) = every_schedule([CARD, OTHER]);
    let counts = format!("{ends} ends, {both} with two kills, {states} states");
    println!("{counts}");
    assert!(ends > 20 && both > 0 && states > 300, "the sweep is blind: {counts}");
}

#[test]
fn one_card_is_taken_by_one_of_two_in_every_order_and_after_a_kill_anywhere() {
    let (ends, both, states) = every_schedule([CARD, CARD]);
    let counts = format!("{ends} ends, {both} with two kills, {states} states");
    println!("{counts}");
    assert!(ends > 20 && both > 0 && states > 300, "the sweep is blind: {counts}");
}
