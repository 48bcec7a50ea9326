//! Runs a job with each program and measures it.

use crate::fixture::{Fixture, SERIAL};
use crate::jobs::BenchJob;
use cx3flash::job;
use cx3flash::sim::Counters;
use mst::Mst;
use mst::serve::{MstServer, ServedRun, TimePace, Transport};
use nix::sys::resource::{UsageWho, getrusage};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Both programs; mstflint may be missing.
pub(crate) struct Programs<'a> {
    pub(crate) fixture: &'a Fixture,
    pub(crate) mst: Option<&'static Mst>,
}

/// A figure of each program.
pub(crate) struct Pair<T> {
    pub(crate) mstflint: Option<T>,
    pub(crate) ours: T,
}

/// One run, or the median of several.
#[derive(Clone, Copy, Default)]
pub(crate) struct Times {
    pub(crate) wall: Duration,
    /// User and system time of the process.
    pub(crate) cpu: Duration,
    /// The same of the thread that serves the card.
    pub(crate) server: Duration,
}

impl std::ops::Add for Times {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            wall: self.wall + other.wall,
            cpu: self.cpu + other.cpu,
            server: self.server + other.server,
        }
    }
}

impl Programs<'_> {
    /// Counts of one run in simulated time: they are the same in every run.
    pub(crate) fn model(&self, job: BenchJob) -> Pair<Counters> {
        let mstflint = self.mst.map(|mst| {
            let (_, served) = self.at_served(job, TimePace::Simulated, &|server, dir| {
                mstflint(mst, server, TimePace::Simulated, job, dir)
            });
            served.counters
        });
        Pair { mstflint, ours: self.ours(job) }
    }

    /// The first backup of a card: it compares chained reads with single ones, and keeps the proof for
    /// later jobs.
    pub(crate) fn first_contact(&self) -> Counters {
        let counters = self.ours(BenchJob::ReadFlash);
        assert!(self.fixture.proofs().is_dir(), "no proof was kept");
        counters
    }

    fn ours(&self, job: BenchJob) -> Counters {
        let card = Fixture::card(&self.fixture.flash(job.target()));
        let dir = self.fixture.scratch();
        {
            let device = job::open_sim(&card, "sim").unwrap();
            let mut device = device.keeping_proofs(&self.fixture.proofs(), SERIAL.into());
            job.run(&mut device, dir.path());
        }
        assert!(!job.burns() || self.fixture.boots_new(&card.flash()));
        assert_eq!(card.misuse(), []);
        card.counters()
    }

    /// Medians of `runs` runs at a card whose time is the wall clock.
    pub(crate) fn wall(&self, job: BenchJob, runs: usize) -> Pair<Times> {
        let mut theirs = Vec::new();
        let mut ours = Vec::new();
        for _ in 0..runs {
            // In turns, so that other load of the machine affects both.
            if let Some(mst) = self.mst {
                let (took, _) = self.at_served(job, TimePace::Wall, &|server, dir| {
                    mstflint(mst, server, TimePace::Wall, job, dir)
                });
                theirs.push(took);
            }
            let (took, _) = self.at_served(job, TimePace::Wall, &|server, dir| {
                let mut command = Command::new(std::env::current_exe().unwrap());
                command
                    .arg("--client")
                    .arg(server.socket())
                    .arg(job.name())
                    .arg(dir)
                    .arg(self.fixture.proofs());
                command
            });
            ours.push(took);
        }
        Pair { mstflint: (!theirs.is_empty()).then(|| median(&theirs)), ours: median(&ours) }
    }

    fn at_served(
        &self,
        job: BenchJob,
        pace: TimePace,
        command: &dyn Fn(&MstServer, &Path) -> Command,
    ) -> (Times, ServedRun) {
        let flash = self.fixture.flash(job.target());
        let server = MstServer::start(move || Fixture::card(&flash), pace, Transport::Bar0);
        let dir = self.fixture.scratch();
        let mut command = command(&server, dir.path());
        let cpu = children_cpu();
        let start = Instant::now();
        let output = command.stdin(Stdio::null()).output().unwrap();
        let wall = start.elapsed();
        let cpu = children_cpu().saturating_sub(cpu);
        assert!(output.status.success(), "{}: {output:?}", job.name());
        let served = server.end();
        assert!(!job.burns() || self.fixture.boots_new(&served.flash));
        let took = Times { wall, cpu, server: served.cpu };
        (took, served)
    }
}

fn mstflint(mst: &Mst, server: &MstServer, pace: TimePace, job: BenchJob, dir: &Path) -> Command {
    let mut command = mst.command(server, pace, "mstflint", job.mstflint());
    command.current_dir(dir);
    command
}

/// Processor time of all processes that have ended.
fn children_cpu() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).expect("Linux counts it");
    let time = |t: nix::sys::time::TimeVal| {
        Duration::from_micros(t.tv_sec() as u64 * 1_000_000 + t.tv_usec() as u64)
    };
    time(usage.user_time()) + time(usage.system_time())
}

/// Each column's own median.
fn median(runs: &[Times]) -> Times {
    let middle = |column: &dyn Fn(&Times) -> Duration| {
        let mut all: Vec<Duration> = runs.iter().map(column).collect();
        all.sort();
        all[all.len() / 2]
    };
    Times { wall: middle(&|t| t.wall), cpu: middle(&|t| t.cpu), server: middle(&|t| t.server) }
}
