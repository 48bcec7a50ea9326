//! Runs scenarios and reports them: two guests at a time on each of two cores, each with its scenarios in order.

use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use libtest_mimic::{Arguments, Completion, Conclusion, Failed, Trial};
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use crate::host::TestHost;
use crate::host::config::RealCardConfig;
use crate::host::guests::GuestKind;
use crate::host::lab::LabHost;
use crate::host::real::RealHost;
use crate::host::snapshot::HostSnapshot;
use crate::provision::{LabUnavailable, Provisions, build_tool};
use crate::scenario::{self, Requires, Scenario};

/// Arguments of this harness beyond those of the standard one.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The file that names a real card (`--bench FILE`, `CX3FLASH_BENCH`).
    pub bench: Option<PathBuf>,
    /// The JUnit report to write (`--junit FILE`, `CX3FLASH_JUNIT`).
    pub junit: Option<PathBuf>,
    /// A lab that cannot run is a failure (`CX3FLASH_LAB=require`).
    pub require: bool,
}

impl Options {
    /// Takes our options out of the arguments; `env` looks up the environment.
    fn take(
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
            let option = match name {
                "--bench" => &mut options.bench,
                "--junit" => &mut options.junit,
                _ => {
                    rest.push(argument);
                    continue;
                }
            };
            let value = value.or_else(|| arguments.next_if(|next| !next.starts_with('-')));
            match value {
                Some(value) => *option = Some(value.into()),
                // The standard harness has a `--bench` without a value; it runs nothing here.
                None => rest.push(argument),
            }
        }
        (options, rest)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum CaseStatus {
    Passed,
    Failed(String),
    Skipped(String),
}

/// The result of one scenario.
#[derive(Debug, Clone)]
struct CaseResult {
    /// `lab::GUEST` or `card`.
    class: String,
    name: String,
    time: Duration,
    /// Processor time of the guest and its cards; with the boot, where it was booted for this scenario.
    cpu_time: Duration,
    status: CaseStatus,
    /// The commands run and their output.
    output: String,
}

impl CaseResult {
    fn junit(&self) -> TestCase {
        let status = match &self.status {
            CaseStatus::Passed => TestCaseStatus::success(),
            CaseStatus::Failed(why) => {
                let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
                status.set_message(why.lines().next().unwrap_or_default());
                status.set_description(why.as_str());
                status
            }
            CaseStatus::Skipped(why) => {
                let mut status = TestCaseStatus::skipped();
                status.set_message(why.as_str());
                status
            }
        };
        let mut case = TestCase::new(self.name.as_str(), status);
        case.set_classname(self.class.as_str()).set_time(self.time);
        if !self.output.is_empty() {
            case.set_system_out(self.output.as_str());
        }
        case
    }
}

/// Results by class and name, filled by the threads that run scenarios.
#[derive(Debug, Default)]
struct Results {
    cases: Mutex<BTreeMap<String, CaseResult>>,
    added: Condvar,
}

impl Results {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, CaseResult>> {
        self.cases.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, case: CaseResult) {
        self.lock().insert(format!("{}::{}", case.class, case.name), case);
        self.added.notify_all();
    }

    /// Adds a scenario that was not started.
    fn skip(&self, class: String, scenario: &Scenario, status: CaseStatus) {
        self.add(CaseResult {
            class,
            name: scenario.name.to_owned(),
            time: Duration::ZERO,
            cpu_time: Duration::ZERO,
            status,
            output: String::new(),
        });
    }

    fn wait(&self, name: &str) -> CaseStatus {
        let missing = |cases: &mut BTreeMap<String, CaseResult>| !cases.contains_key(name);
        let cases = self.added.wait_while(self.lock(), missing);
        cases.unwrap_or_else(PoisonError::into_inner)[name].status.clone()
    }

    fn junit(&self) -> Report {
        let cases = self.lock();
        let mut suite = TestSuite::new("hwtests");
        suite.add_test_cases(cases.values().map(CaseResult::junit));
        suite.set_time(cases.values().map(|case| case.time).sum::<Duration>());
        let mut report = Report::new("hwtests");
        report.add_test_suite(suite);
        report
    }
}

/// Runs the scenarios that the arguments of the process choose. `target` is the workspace's target
/// directory.
pub fn main(target: &Path) -> Result<Conclusion> {
    let (options, rest) =
        Options::take(std::env::args().collect(), |name| std::env::var(name).ok());
    let mut arguments = Arguments::from_iter(rest);
    // Trials only wait for results; one after the other they print in order.
    arguments.test_threads = Some(1);
    let config = options.bench.as_deref().map(RealCardConfig::read).transpose()?;
    let results = Arc::new(Results::default());
    let mut scenarios = scenario::all();
    if config.is_some() {
        scenarios.retain(|s| s.guest == GuestKind::Plain && s.requires != Requires::Lab);
    }
    let trials: Vec<Trial> = scenarios
        .iter()
        .map(|s| match &config {
            Some(_) => trial(format!("card::{}", s.name), &results),
            None => trial(format!("{}::{}", lab_class(s), s.name), &results),
        })
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
        let (results, target) = (Arc::clone(&results), target.to_owned());
        thread::spawn(move || match config {
            Some(config) => run_on_card(&target, config, &chosen, &results),
            None => run_in_lab(&target, options.require, &chosen, &results),
        })
    };
    let conclusion = libtest_mimic::run(&arguments, trials);
    let _ = worker.join();
    if let Some(file) = &options.junit {
        let text = results.junit().to_string()?;
        std::fs::write(file, text).with_context(|| file.display().to_string())?;
    }
    Ok(conclusion)
}

fn trial(name: String, results: &Arc<Results>) -> Trial {
    let (results, waited_for) = (Arc::clone(results), name.clone());
    Trial::ignorable_test(name, move || match results.wait(&waited_for) {
        CaseStatus::Passed => Ok(Completion::Completed),
        CaseStatus::Skipped(why) => Ok(Completion::ignored_with(why)),
        CaseStatus::Failed(why) => Err(Failed::from(why)),
    })
}

fn lab_class(scenario: &Scenario) -> String {
    format!("lab::{}", scenario.guest.name())
}

fn run_in_lab(target: &Path, require: bool, chosen: &[Scenario], results: &Results) {
    let started = Instant::now();
    let provisions = match Provisions::make(target) {
        Ok(provisions) => provisions,
        Err(e) => {
            let status = match e.downcast_ref::<LabUnavailable>() {
                Some(why) if !require => {
                    eprintln!("the lab is skipped: {why}");
                    CaseStatus::Skipped(why.to_string())
                }
                _ => CaseStatus::Failed(format!("the lab could not be made: {e:#}")),
            };
            for scenario in chosen {
                results.skip(lab_class(scenario), scenario, status.clone());
            }
            return;
        }
    };
    eprintln!("the lab was provisioned in {:.1} s", started.elapsed().as_secs_f64());
    let queue: Mutex<VecDeque<GuestKind>> = Mutex::new(GuestKind::ALL.into_iter().collect());
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    let cores = thread::available_parallelism().map_or(1, |n| n.get().min(2));
    thread::scope(|scope| {
        // A guest idles while a driver waits for its card, a second at each reset.
        for core in (0..cores).cycle().take(2 * cores) {
            let (next, provisions) = (&next, &provisions);
            scope.spawn(move || {
                while let Some(guest) = next() {
                    let scenarios = chosen.iter().filter(|s| s.guest == guest);
                    run_in_guest(provisions, guest, core, scenarios, results);
                }
            });
        }
    });
}

/// Runs the scenarios of one guest, which is rebooted after each one that failed.
fn run_in_guest<'a>(
    provisions: &Provisions,
    guest: GuestKind,
    core: usize,
    chosen: impl Iterator<Item = &'a Scenario>,
    results: &Results,
) {
    let mut running = None;
    for scenario in chosen {
        let started = Instant::now();
        let class = lab_class(scenario);
        let boots = running.is_none();
        let booted = match running.take() {
            Some(host) => Ok(host),
            None => LabHost::start(provisions, guest, core),
        };
        let mut host = match booted {
            Ok(host) => host,
            Err(e) => {
                eprintln!("{class}: no guest: {e:#}");
                let status = CaseStatus::Failed(format!("no guest: {e:#}"));
                results.skip(class, scenario, status);
                continue;
            }
        };
        let earlier = if boots { Duration::ZERO } else { host.cpu_time() };
        let mut case = run_one(scenario, class, &mut host, started);
        case.cpu_time = host.cpu_time().saturating_sub(earlier);
        let _ = write_log(&provisions.dir, &case);
        if !matches!(case.status, CaseStatus::Failed(_)) {
            running = Some(host);
        }
        results.add(case);
    }
}

/// Writes a log of one scenario, readable before the run has ended.
fn write_log(dir: &Path, case: &CaseResult) -> std::io::Result<()> {
    let logs = dir.join("log");
    std::fs::create_dir_all(&logs)?;
    let file = format!("{}-{}.log", case.class.replace("::", "-"), case.name);
    let text = match &case.status {
        CaseStatus::Failed(why) => format!("failed: {why}\n"),
        CaseStatus::Passed => format!("passed\n{}", case.output),
        CaseStatus::Skipped(why) => format!("skipped: {why}\n{}", case.output),
    };
    let (time, cpu_time) = (case.time.as_secs_f64(), case.cpu_time.as_secs_f64());
    std::fs::write(
        logs.join(file),
        format!("{time:.1} s, {cpu_time:.1} s of the processor, {text}"),
    )
}

/// Runs one scenario; a panic is a failure of it.
fn run_one(
    scenario: &Scenario,
    class: String,
    host: &mut dyn TestHost,
    started: Instant,
) -> CaseResult {
    let result = catch_unwind(AssertUnwindSafe(|| (scenario.run)(host)));
    let output = host.transcript().take();
    let status = match result {
        Ok(Ok(())) => None,
        Ok(Err(e)) => Some(format!("{e:#}")),
        Err(_) => Some("the scenario panicked".into()),
    };
    let status = status.map_or(CaseStatus::Passed, |why| {
        CaseStatus::Failed(format!(
            "{why}\n--- commands\n{output}--- last messages of the kernel\n{}",
            last_lines(&host.console(), 15)
        ))
    });
    CaseResult {
        class,
        name: scenario.name.to_owned(),
        time: started.elapsed(),
        cpu_time: Duration::ZERO,
        status,
        output,
    }
}

fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

fn run_on_card(target: &Path, config: RealCardConfig, chosen: &[Scenario], results: &Results) {
    let class = || "card".to_owned();
    let opened = build_tool(target).and_then(|tool| {
        let mut host = RealHost::open(config, &tool)?;
        let before = HostSnapshot::of(&mut host)?;
        Ok((host, before))
    });
    let (mut host, before) = match opened {
        Ok(opened) => opened,
        Err(e) => {
            for scenario in chosen {
                results.skip(class(), scenario, CaseStatus::Failed(format!("{e:#}")));
            }
            return;
        }
    };
    for scenario in chosen {
        if scenario.requires == Requires::Writes && !host.may_write {
            let status = CaseStatus::Skipped("the file does not call the card expendable".into());
            results.skip(class(), scenario, status);
            continue;
        }
        let mut case = run_one(scenario, class(), &mut host, Instant::now());
        // After each scenario, so that none is blamed for an earlier one.
        if let Err(e) = host.finish(&before) {
            case.status = CaseStatus::Failed(format!("afterwards: {e:#}\n{:?}", case.status));
        }
        results.add(case);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(arguments: &[&str], env: &[(&str, &str)]) -> (Options, Vec<String>) {
        let env = |name: &str| {
            env.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        };
        Options::take(arguments.iter().map(|a| (*a).to_owned()).collect(), env)
    }

    #[test]
    fn own_options_are_taken_and_others_passed_on() {
        let (options, rest) =
            take(&["lab", "--bench", "card.toml", "--junit=out.xml", "--list", "plain"], &[]);
        assert_eq!(options.bench, Some("card.toml".into()));
        assert_eq!(options.junit, Some("out.xml".into()));
        assert!(!options.require);
        assert_eq!(rest, ["lab", "--list", "plain"]);
    }

    #[test]
    fn an_option_overrides_the_environment() {
        let env =
            [("CX3FLASH_JUNIT", "a.xml"), ("CX3FLASH_LAB", "require"), ("CX3FLASH_BENCH", "")];
        let (options, rest) = take(&["lab", "--bench"], &env);
        assert_eq!(options.junit, Some("a.xml".into()));
        assert!(options.require && options.bench.is_none());
        assert_eq!(rest, ["lab", "--bench"]);
        let (options, _) = take(&["lab", "--junit", "b.xml"], &env);
        assert_eq!(options.junit, Some("b.xml".into()));
    }

    fn case(name: &str, status: CaseStatus, output: &str) -> CaseResult {
        CaseResult {
            class: "lab::plain".into(),
            name: name.into(),
            time: Duration::from_millis(1500),
            cpu_time: Duration::ZERO,
            status,
            output: output.into(),
        }
    }

    #[test]
    fn a_waiter_gets_the_result_of_another_thread() {
        let results = Arc::new(Results::default());
        let other = Arc::clone(&results);
        let waiter = thread::spawn(move || other.wait("lab::plain::x"));
        results.add(case("x", CaseStatus::Skipped("why".into()), ""));
        assert_eq!(waiter.join().unwrap(), CaseStatus::Skipped("why".into()));
    }

    #[test]
    fn the_junit_report_has_counts_times_and_reasons() {
        let results = Results::default();
        results.add(case("good", CaseStatus::Passed, ""));
        let failed = CaseStatus::Failed("a < b\nmore".into());
        results.add(case("bad", failed, "$ x\u{1b}[0m"));
        let skipped = CaseStatus::Skipped("no \"network\"".into());
        results.add(case("not", skipped, ""));
        let text = results.junit().to_string().unwrap();
        for part in [
            "tests=\"3\" skipped=\"1\" errors=\"0\" failures=\"1\" time=\"4.500\"",
            "<testcase name=\"good\" classname=\"lab::plain\" time=\"1.500\"/>",
            "<failure message=\"a &lt; b\">a &lt; b\nmore</failure>",
            "<system-out>$ x</system-out>",
            "<skipped message=\"no &quot;network&quot;\"",
        ] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
    }
}
