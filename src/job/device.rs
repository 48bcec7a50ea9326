//! The card a job works on, and its time: simulated, or borrowed from the host.

use super::proofs::ProofStore;
use super::{CardSelector, HostReport, JobError};
use crate::card::{
    Card, CardError, Clock, CrSpace, FirmwareState, Semaphore, SemaphoreState, Staleness, WATCH,
    WallClock,
};
use crate::flash::trace::TraceRecorder;
use crate::host::{Awake, BorrowOptions, Borrowed, Ending, Host, Mark};
use crate::sim::SimCard;
use std::path::Path;
use std::rc::Rc;

/// An opened card with its clock and the name the user gave it. A borrowed card is given back when
/// this is dropped.
pub struct Device {
    pub card: Card,
    pub clock: Rc<dyn Clock>,
    /// What the user called it (`sim:FILE`, a BDF).
    pub name: String,
    /// PCI address, when it is known.
    pub bdf: Option<String>,
    /// Board name, when it is known.
    pub board: Option<String>,
    /// The host's side of a real card.
    pub(super) borrowed: Option<Borrowed>,
    /// The chip was reset out of recovery mode: the kernel must find it anew.
    pub(super) reenumerate: bool,
    /// Where it is kept what this card has shown; `None` for a card without a serial number.
    pub(super) proofs: Option<ProofStore>,
    /// Where its accesses are recorded.
    pub(super) trace: Option<TraceRecorder>,
}

/// Open what the user named. A real card is taken from its driver: an outage for who uses it.
pub fn open(
    selector: &CardSelector,
    host: &Host,
    options: &BorrowOptions,
) -> Result<Device, JobError> {
    if let CardSelector::Sim(path) = selector {
        let sim = SimCard::open(path)?;
        let proofs = sim.serial().map(|serial| ProofStore::of(host, serial));
        return open_sim_with(&sim, &selector.to_string(), options, proofs);
    }
    let card = selector.find(host)?;
    let borrowed = Borrowed::take(host, card, options, &mut |_| {})?;
    open_borrowed(host, borrowed, &selector.to_string(), options)
}

/// Open a card that is borrowed already. When it does not answer it is given back.
pub(super) fn open_borrowed(
    host: &Host,
    borrowed: Borrowed,
    name: &str,
    options: &BorrowOptions,
) -> Result<Device, JobError> {
    let clock: Rc<dyn Clock> = Rc::new(WallClock::default());
    let proofs = borrowed.card().serial_number().map(|serial| ProofStore::of(host, serial));
    let mut device = match answering(borrowed.space(), clock, name, options, proofs, false) {
        Ok(device) => device,
        Err(error) => {
            borrowed.end(false);
            let host = HostReport::of(&borrowed);
            return Err(match host.failure {
                Some(ref problem) => JobError::NotPutBack {
                    problem: format!("{error}; {problem}"),
                    host: Box::new(host),
                },
                None => error.into(),
            });
        }
    };
    device.bdf = Some(borrowed.card().bdf.to_string());
    device.borrowed = Some(borrowed);
    Ok(device)
}

/// Opens the card behind a transport, with a record of its accesses where one is kept.
fn answering(
    mut space: Box<dyn CrSpace>,
    clock: Rc<dyn Clock>,
    name: &str,
    options: &BorrowOptions,
    proofs: Option<ProofStore>,
    simulated: bool,
) -> Result<Device, CardError> {
    if let Some(trace) = &options.trace {
        space = trace.open(space, &clock, simulated, proofs.is_some());
    }
    let card = Card::open_with_key(space, Rc::clone(&clock), options.key)?;
    let mut device = Device::new(card, clock, name);
    device.proofs = proofs;
    device.recorded_by(options.trace.clone());
    Ok(device)
}

/// Open a simulated card through its BAR0.
pub fn open_sim(sim: &SimCard, name: &str) -> Result<Device, JobError> {
    open_sim_with(sim, name, &BorrowOptions::default(), None)
}

pub(super) fn open_sim_with(
    sim: &SimCard,
    name: &str,
    options: &BorrowOptions,
    proofs: Option<ProofStore>,
) -> Result<Device, JobError> {
    let mut device = answering(sim.bar0(), sim.clock(), name, options, proofs, true)?;
    device.bdf = Some(sim.spec().bdf);
    device.board = Some(sim.spec().board);
    Ok(device)
}

impl Device {
    /// An opened card that no host has to be asked about.
    pub fn new(card: Card, clock: Rc<dyn Clock>, name: &str) -> Self {
        Self {
            card,
            clock,
            name: name.to_owned(),
            bdf: None,
            board: None,
            borrowed: None,
            reenumerate: false,
            proofs: None,
            trace: None,
        }
    }

    /// Names the card in its trace. The first open counts.
    fn recorded_by(&mut self, trace: Option<TraceRecorder>) {
        if let Some(trace) = &trace {
            let runs = self.card.firmware() == FirmwareState::Runs;
            trace.describe(self.card.chip().name(), runs);
        }
        self.trace = trace;
    }

    /// Keeps in `dir`, under this serial number, what the card shows about chained reads. Without
    /// it nothing is kept, and every job meets the card for the first time.
    pub fn keeping_proofs(mut self, dir: &Path, serial: String) -> Self {
        self.proofs = Some(ProofStore::at(dir, serial));
        self
    }

    /// The serial number under which it is kept what the card has shown.
    pub fn serial(&self) -> Option<String> {
        self.proofs.as_ref().map(ProofStore::serial)
    }

    /// Handle on the host's side; outlives the device, to ask how the borrowing ended.
    pub fn borrowed(&self) -> Option<Borrowed> {
        self.borrowed.clone()
    }

    /// While the flash is written the host of a borrowed card neither sleeps nor shuts down.
    pub(super) fn keep_awake(&self) -> Option<Awake> {
        self.borrowed.as_ref()?.keep_awake()
    }

    /// Write down what whoever puts the host back must know.
    pub(super) fn mark(&self, mark: Mark) -> Result<(), JobError> {
        match &self.borrowed {
            Some(borrowed) => Ok(borrowed.mark(mark)?),
            None => Ok(()),
        }
    }

    /// Write down what is true of the flash now: a disk that fails does not change it.
    pub(super) fn note(&self, mark: Mark) {
        if let Some(borrowed) = &self.borrowed {
            borrowed.note(mark);
        }
    }

    /// The driver that a borrowed card was taken from, and that gets it back.
    pub(super) fn original_driver(&self) -> Option<String> {
        self.borrowed.as_ref()?.original_driver()
    }

    /// Give a borrowed card back. Nothing may run on its flash: every session has ended, and a
    /// session waits for the chip before it frees the semaphores.
    pub fn end(&mut self) {
        let Some(borrowed) = self.borrowed.clone() else {
            return;
        };
        if borrowed.has_ended() {
            return;
        }
        if borrowed.original_driver().is_some() {
            match self.free_for_the_driver() {
                None => {}
                Some(Ok(watched)) => borrowed.freed(
                    Semaphore::Flash.number(),
                    format!(
                        "semaphore 63 was held by a program that has ended (watched for {watched} ms); it was freed, \
                         because the driver cannot start without it"
                    ),
                ),
                Some(Err(why)) => borrowed
                    .warn(format!("semaphore 63 stays taken, the driver will not start: {why}")),
            }
        }
        borrowed.end(self.reenumerate);
    }

    /// A driver cannot start while semaphore 63 is taken (docs/linux.md#failures-of-a-rebind). The card is ours alone
    /// now, so a holder can only be a tool that died; that is proven before it is freed, as `unlock`
    /// does. Returns for how many milliseconds it was watched, or why it stays taken; `None`: it was free.
    pub(super) fn free_for_the_driver(&mut self) -> Option<Result<u64, String>> {
        let state = self.card.probe_semaphore(Semaphore::Flash);
        if !matches!(state, Ok(SemaphoreState::Held | SemaphoreState::Unknown)) {
            return None;
        }
        match self.card.watch(Semaphore::Flash, WATCH) {
            Ok(Staleness::Free) => None,
            Ok(Staleness::InUse { why }) => Some(Err(format!("it is in use: {why}"))),
            Ok(Staleness::Stale { watched_ms }) => {
                let freed = self.card.release(Semaphore::Flash).map(|()| watched_ms);
                Some(freed.map_err(|error| error.to_string()))
            }
            Err(error) => Some(Err(error.to_string())),
        }
    }

    /// The error, when the host is not as it was.
    pub(super) fn not_put_back(&self) -> Option<JobError> {
        let borrowed = self.borrowed.as_ref()?;
        let failed = borrowed.with_ending(|e| {
            matches!(e, Some(Ending::Failed(_) | Ending::Left | Ending::NoFirmware))
        });
        failed.then(|| {
            let host = HostReport::of(borrowed);
            JobError::NotPutBack {
                problem: host.failure.clone().unwrap_or_default(),
                host: Box::new(host),
            }
        })
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        self.end();
    }
}
