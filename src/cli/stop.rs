//! Signals: a request to stop, answered at once in words.

use crate::flash::Phase;
use indicatif::ProgressBar;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGXFSZ};
use signal_hook::iterator::Signals;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

/// Signals that request a stop.
const SIGNALS: [i32; 4] = [SIGINT, SIGTERM, SIGHUP, SIGQUIT];

/// What a stop has to wait for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Work {
    /// For nothing: the command ends at once.
    #[default]
    None,
    /// The card is being taken, or given back, or between two phases.
    Card,
    Phase(Phase),
}

/// What the answer to a signal depends on.
#[derive(Debug, Default)]
struct State {
    work: Work,
    /// An interruption leaves a card that boots.
    survives: bool,
    /// The bar on the screen, above which the answer is printed.
    bar: Option<ProgressBar>,
    signals: usize,
    /// A thread answers.
    answered: bool,
}

/// A request to stop, raised by a signal.
#[derive(Clone, Debug, Default)]
pub(super) struct StopFlag {
    raised: Arc<AtomicBool>,
    state: Arc<Mutex<State>>,
}

impl StopFlag {
    /// From now on SIGINT, SIGTERM, SIGHUP and SIGQUIT raise the flag instead of killing the process: a
    /// job reads it between sectors, leaves the card bootable and returns it to its driver.
    pub(super) fn catch(&self) -> io::Result<()> {
        for signal in SIGNALS {
            signal_hook::flag::register(signal, Arc::clone(&self.raised))?;
        }
        // A write beyond `ulimit -f` fails with EFBIG instead of killing the process with the card
        // taken.
        signal_hook::flag::register(SIGXFSZ, Arc::default())?;
        Ok(())
    }

    /// As [`StopFlag::catch`], and each signal is answered by `show` from a thread: the one that works may
    /// wait for the chip. Without a thread (no memory) the flag is raised all the same.
    pub(super) fn catch_and_answer(&self, show: fn(&str, Option<&ProgressBar>)) -> io::Result<()> {
        if std::mem::replace(&mut self.state().answered, true) {
            return Ok(());
        }
        self.catch()?;
        let mut signals = Signals::new(SIGNALS)?;
        let state = Arc::clone(&self.state);
        let answer_each = move || {
            for _ in signals.forever() {
                let mut state = locked(&state);
                if let Some(text) = answer(&mut state) {
                    show(&text, state.bar.as_ref());
                }
            }
        };
        thread::Builder::new().name("signals".into()).spawn(answer_each).map(drop)
    }

    pub(super) fn shared(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.raised)
    }

    pub(super) fn raised(&self) -> bool {
        self.raised.load(Ordering::SeqCst)
    }

    /// What a stop has to wait for from now on, with the bar that shows it; returns what it was before.
    pub(super) fn works_on(&self, work: Work, bar: Option<ProgressBar>) -> Work {
        let mut state = self.state();
        state.bar = bar;
        std::mem::replace(&mut state.work, work)
    }

    /// Whether an interruption of the job leaves a card that boots.
    pub(super) fn survives(&self, survives: bool) {
        self.state().survives = survives;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        locked(&self.state)
    }
}

fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The words for a signal that just came.
fn answer(state: &mut State) -> Option<String> {
    state.signals += 1;
    let text = words(state.work, state.survives)?;
    let already = if state.signals == 1 { "" } else { " already" };
    Some(format!("stop requested{already}: {text}"))
}

/// What is finished first, and why; `None` where the command ends at once and reports that itself.
fn words(work: Work, survives: bool) -> Option<&'static str> {
    Some(match (work, survives) {
        (Work::None, _) => return None,
        (Work::Card, _) => "the card is given back first, so that the host is as it was found",
        (Work::Phase(Phase::Read | Phase::Backup), _) => {
            "reading ends, nothing was changed, and the card is given back"
        }
        (Work::Phase(Phase::Erase | Phase::Write | Phase::Verify), true) => {
            "the sector at work is finished, so that the chip is idle; the old image still boots, and the card \
             is given back"
        }
        (Work::Phase(Phase::Erase | Phase::Write | Phase::Verify), false) => {
            "once the first sector is erased the job is finished first, because the only image is being \
             replaced: a card left now would not boot"
        }
        (Work::Phase(Phase::Commit), _) => {
            "the commit is finished first, because it makes the new image bootable"
        }
        (Work::Phase(Phase::Trial), _) => {
            "the trial is finished first, because it shows which firmware runs; then the card is given back"
        }
    })
}

#[cfg(test)]
mod tests {
    use super::{State, Work, answer, words};
    use crate::flash::Phase;

    #[test]
    fn the_answer_to_a_signal_names_what_is_finished_first_and_why() {
        let at = |phase, survives| words(Work::Phase(phase), survives).unwrap();
        assert!(at(Phase::Read, false).contains("nothing was changed"));
        assert!(at(Phase::Write, true).contains("the old image still boots"));
        for phase in [Phase::Erase, Phase::Write, Phase::Verify] {
            assert!(at(phase, false).contains("would not boot"), "{phase:?}");
        }
        for phase in [Phase::Commit, Phase::Trial] {
            assert!(at(phase, true).contains("is finished first, because"), "{phase:?}");
        }
        assert!(words(Work::Card, false).unwrap().contains("is given back first"));
        assert_eq!(words(Work::None, false), None);
    }
    #[test]
    fn the_second_signal_is_answered_too() {
        let mut state = State { work: Work::Phase(Phase::Commit), ..State::default() };
        let first = answer(&mut state).unwrap();
        let second = answer(&mut state).unwrap();
        assert!(first.starts_with("stop requested: the commit is finished first"), "{first}");
        assert_eq!(second, first.replacen("requested", "requested already", 1));
    }
}
