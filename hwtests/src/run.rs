//! Runs scenarios and reports them: two guests at a time, each with its scenarios in order.

use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use anyhow::{Context as _, Result};
use libtest_mimic::{Arguments, Completion, Conclusion, Failed, Trial};

use crate::bench::Bench;
use crate::bench::card::CardBench;
use crate::bench::config::Config;
use crate::bench::lab::LabBench;
use crate::bench::rooms::Room;
use crate::bench::state::State;
use crate::junit::{self, Case, Ended};
use crate::provision::{Impossible, Provisions};
use crate::scenario::{self, Need, Scenario, Shown};

/// What this harness takes besides the arguments of the standard one.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The card bench's file (`--bench FILE`, `CX3FLASH_BENCH`).
    pub bench: Option<PathBuf>,
    /// Where the report goes (`--junit FILE`, `CX3FLASH_JUNIT`).
    pub junit: Option<PathBuf>,
    /// A lab that cannot run is a failure (`CX3FLASH_LAB=require`).
    pub require: bool,
}

impl Options {
    /// Takes our options out of the arguments; `env` looks up the environment.
    #[must_use]
    pub fn take(
        arguments: Vec<String>,
        env: impl Fn(&str) -> Option<String>,
    ) -> (Options, Vec<String>) {
        let file = |name: &str| env(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        let mut options = Options {
            bench: file("CX3FLASH_BENCH"),
            junit: file("CX3FLASH_JUNIT"),
            require: env("CX3FLASH_LAB").as_deref() == Some("require"),
        };
        let mut rest = Vec::new();
        let mut arguments = arguments.into_iter().peekable();
        while let Some(argument) = arguments.next() {
            let (name, value) = match argument.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (argument.as_str(), None),
            };
            let place = match name {
                "--bench" => &mut options.bench,
                "--junit" => &mut options.junit,
                _ => {
                    rest.push(argument);
                    continue;
                }
            };
            let value = value.or_else(|| arguments.next_if(|next| !next.starts_with('-')));
            match value {
                Some(value) => *place = Some(value.into()),
                // The standard harness has a `--bench` without a value; it runs nothing here.
                None => rest.push(argument),
            }
        }
        (options, rest)
    }
}

/// How scenarios ended, filled by those who run them.
#[derive(Debug, Default)]
struct Board {
    ended: Mutex<BTreeMap<String, Case>>,
    news: Condvar,
}

impl Board {
    fn put(&self, case: Case) {
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        ended.insert(format!("{}::{}", case.class, case.name), case);
        self.news.notify_all();
    }

    fn wait(&self, name: &str) -> Ended {
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(case) = ended.get(name) {
                return case.ended.clone();
            }
            ended = self
                .news
                .wait(ended)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// The whole run: what `main` of the test target does. `target` is the workspace's target directory.
///
/// # Errors
///
/// When the card bench's file is no such file, or the report cannot be written.
pub fn main(target: &Path) -> Result<Conclusion> {
    let (options, rest) =
        Options::take(std::env::args().collect(), |name| std::env::var(name).ok());
    let mut arguments = Arguments::from_iter(rest);
    // Trials only wait for what the guests report; one after the other they print in order.
    arguments.test_threads = Some(1);
    let config = options.bench.as_deref().map(Config::read).transpose()?;
    let class = |s: &Scenario| match &config {
        Some(_) => "card".to_owned(),
        None => format!("lab::{}", s.room.name()),
    };
    let scenarios: Vec<Scenario> = scenario::all()
        .into_iter()
        .filter(|s| config.is_none() || (s.room == Room::Plain && s.need != Need::Lab))
        .collect();
    let board = Arc::new(Board::default());
    let trials: Vec<Trial> = scenarios
        .iter()
        .map(|s| trial(format!("{}::{}", class(s), s.name), &board))
        .collect();
    let chosen: Vec<Scenario> = scenarios
        .iter()
        .zip(&trials)
        .filter(|(_, trial)| !arguments.is_filtered_out(trial) && !arguments.is_ignored(trial))
        .map(|(s, _)| *s)
        .collect();
    if arguments.list || chosen.is_empty() {
        return Ok(libtest_mimic::run(&arguments, trials));
    }
    let worker = {
        let (board, target) = (Arc::clone(&board), target.to_owned());
        thread::spawn(move || match config {
            Some(config) => card(&target, config, &chosen, &board),
            None => lab(&target, options.require, &chosen, &board),
        })
    };
    let conclusion = libtest_mimic::run(&arguments, trials);
    let _ = worker.join();
    if let Some(file) = &options.junit {
        let ended = board.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let cases: Vec<Case> = ended.values().cloned().collect();
        std::fs::write(file, junit::report("hwtests", &cases))
            .with_context(|| file.display().to_string())?;
    }
    Ok(conclusion)
}

fn trial(name: String, board: &Arc<Board>) -> Trial {
    let (board, asked) = (Arc::clone(board), name.clone());
    Trial::ignorable_test(name, move || match board.wait(&asked) {
        Ended::Passed => Ok(Completion::Completed),
        Ended::Skipped(why) => Ok(Completion::ignored_with(why)),
        Ended::Failed(why) => Err(Failed::from(why)),
    })
}

/// The same end for all that could not be tried.
fn all(board: &Board, class: &dyn Fn(&Scenario) -> String, chosen: &[Scenario], ended: &Ended) {
    for scenario in chosen {
        board.put(Case {
            class: class(scenario),
            name: scenario.name.to_owned(),
            time: std::time::Duration::ZERO,
            ended: ended.clone(),
            output: String::new(),
        });
    }
}

fn lab_class(scenario: &Scenario) -> String {
    format!("lab::{}", scenario.room.name())
}

fn lab(target: &Path, require: bool, chosen: &[Scenario], board: &Board) {
    let started = Instant::now();
    let provisions = match Provisions::make(target) {
        Ok(provisions) => provisions,
        Err(e) => {
            let ended = match e.downcast_ref::<Impossible>() {
                Some(why) if !require => {
                    eprintln!("the lab is skipped: {why}");
                    Ended::Skipped(why.to_string())
                }
                _ => Ended::Failed(format!("the lab could not be made: {e:#}")),
            };
            return all(board, &lab_class, chosen, &ended);
        }
    };
    eprintln!(
        "the lab was provisioned in {:.1} s",
        started.elapsed().as_secs_f64()
    );
    let queue: Mutex<VecDeque<Room>> = Mutex::new(Room::ALL.into_iter().collect());
    let cores = thread::available_parallelism().map_or(1, |n| n.get().min(2));
    thread::scope(|scope| {
        for core in 0..cores {
            let (queue, provisions) = (&queue, &provisions);
            scope.spawn(move || {
                loop {
                    let next = queue
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .pop_front();
                    let Some(room) = next else { return };
                    let of_room: Vec<Scenario> =
                        chosen.iter().filter(|s| s.room == room).copied().collect();
                    if !of_room.is_empty() {
                        in_guest(provisions, room, core, &of_room, board);
                    }
                }
            });
        }
    });
}

/// One room: a guest, and a new one after each scenario that failed in it.
fn in_guest(provisions: &Provisions, room: Room, core: usize, chosen: &[Scenario], board: &Board) {
    let mut bench = None;
    for scenario in chosen {
        let started = Instant::now();
        let mut current = match bench.take() {
            Some(bench) => bench,
            None => match LabBench::start(provisions, room, core) {
                Ok(bench) => bench,
                Err(e) => {
                    let ended = Ended::Failed(format!("no guest: {e:#}"));
                    eprintln!("{}: {ended:?}", lab_class(scenario));
                    all(board, &lab_class, std::slice::from_ref(scenario), &ended);
                    continue;
                }
            },
        };
        let case = one(scenario, lab_class(scenario), &mut current, started);
        let _ = keep(&provisions.dir, &case);
        if !matches!(case.ended, Ended::Failed(_)) {
            bench = Some(current);
        }
        board.put(case);
    }
}

/// What a scenario ran, in a file of its own: for whoever does not want to wait for the end of the run.
fn keep(dir: &Path, case: &Case) -> std::io::Result<()> {
    let logs = dir.join("log");
    std::fs::create_dir_all(&logs)?;
    let file = format!("{}-{}.log", case.class.replace("::", "-"), case.name);
    let ended = match &case.ended {
        Ended::Failed(why) => format!("failed: {why}\n"),
        Ended::Passed => format!("passed\n{}", case.output),
        Ended::Skipped(why) => format!("skipped: {why}\n{}", case.output),
    };
    let seconds = case.time.as_secs_f64();
    std::fs::write(logs.join(file), format!("{seconds:.1} s, {ended}"))
}

/// Runs one scenario to its end, whatever it does.
fn one(scenario: &Scenario, class: String, bench: &mut dyn Bench, started: Instant) -> Case {
    let shown = catch_unwind(AssertUnwindSafe(|| (scenario.run)(bench)));
    let output = bench.transcript().take();
    let failed = |why: String| {
        Ended::Failed(format!(
            "{why}\n--- what was run\n{output}--- end of the kernel's messages\n{}",
            last_lines(&bench.console(), 15)
        ))
    };
    let ended = match shown {
        Ok(Ok(Shown::Yes)) => Ended::Passed,
        Ok(Ok(Shown::Skipped(why))) => {
            eprintln!("{class}::{} is skipped: {why}", scenario.name);
            Ended::Skipped(why)
        }
        Ok(Err(e)) => failed(format!("{e:#}")),
        Err(_) => failed("the scenario panicked".into()),
    };
    Case {
        class,
        name: scenario.name.to_owned(),
        time: started.elapsed(),
        ended,
        output,
    }
}

fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

fn card(target: &Path, config: Config, chosen: &[Scenario], board: &Board) {
    let class = |_: &Scenario| "card".to_owned();
    let opened = Provisions::tool_alone(target).and_then(|tool| {
        let mut bench = CardBench::open(config, &tool)?;
        let before = State::of(&mut bench)?;
        Ok((bench, before))
    });
    let (mut bench, before) = match opened {
        Ok(opened) => opened,
        Err(e) => return all(board, &class, chosen, &Ended::Failed(format!("{e:#}"))),
    };
    for scenario in chosen {
        let started = Instant::now();
        if scenario.need == Need::Writes && !bench.may_write {
            let ended = Ended::Skipped("the card has not named itself expendable".into());
            all(board, &class, std::slice::from_ref(scenario), &ended);
            continue;
        }
        let mut case = one(scenario, "card".into(), &mut bench, started);
        // After each one: what a scenario leaves behind must not be blamed on the next.
        if let Err(e) = bench.finish(&before) {
            case.ended = Ended::Failed(format!("afterwards: {e:#}\n{:?}", case.ended));
        }
        board.put(case);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(arguments: &[&str], env: &[(&str, &str)]) -> (Options, Vec<String>) {
        let env = |name: &str| {
            env.iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_owned())
        };
        Options::take(arguments.iter().map(|a| (*a).to_owned()).collect(), env)
    }

    #[test]
    fn own_options_are_taken_and_others_left() {
        let (options, rest) = take(
            &[
                "lab",
                "--bench",
                "card.toml",
                "--junit=out.xml",
                "--list",
                "plain",
            ],
            &[],
        );
        assert_eq!(options.bench, Some("card.toml".into()));
        assert_eq!(options.junit, Some("out.xml".into()));
        assert!(!options.require);
        assert_eq!(rest, ["lab", "--list", "plain"]);
    }

    #[test]
    fn the_environment_counts_where_no_option_says_otherwise() {
        let env = [
            ("CX3FLASH_JUNIT", "a.xml"),
            ("CX3FLASH_LAB", "require"),
            ("CX3FLASH_BENCH", ""),
        ];
        let (options, rest) = take(&["lab", "--bench"], &env);
        assert_eq!(options.junit, Some("a.xml".into()));
        assert!(options.require && options.bench.is_none());
        assert_eq!(rest, ["lab", "--bench"]);
        let (options, _) = take(&["lab", "--junit", "b.xml"], &env);
        assert_eq!(options.junit, Some("b.xml".into()));
    }

    #[test]
    fn a_waiter_gets_what_another_thread_puts() {
        let board = Arc::new(Board::default());
        let other = Arc::clone(&board);
        let waiter = thread::spawn(move || other.wait("lab::plain::x"));
        board.put(Case {
            class: "lab::plain".into(),
            name: "x".into(),
            time: std::time::Duration::ZERO,
            ended: Ended::Skipped("why".into()),
            output: String::new(),
        });
        assert_eq!(waiter.join().unwrap(), Ended::Skipped("why".into()));
    }
}
