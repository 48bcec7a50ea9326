//! `trace replay` and `trace diff`: the recorded command once more, on the card of the trace and on a
//! simulated one.

use super::file::TraceFile;
use crate::card::{Card, CrOffset, Reg};
use crate::flash::trace::{
    Divergence, ReplayProgress, ReplayedCard, Trace, TraceComparison, TraceHeader, TraceMark,
    TraceOp, TraceValue, compare,
};
use crate::flash::{ChainVerdict, Events};
use crate::host::{BorrowOptions, Host};
use crate::job::device::open_sim_with;
use crate::job::doctor::doctor_of_card;
use crate::job::error_text::error_chain;
use crate::job::proofs::ProofStore;
use crate::job::{
    Code, Device, DoctorOutcome, DriverFacts, Exit, JobError, QueryOutcome, SelftestOutcome,
    SelftestRequest, VerifyOutcome, query_card, selftest, verify_card,
};
use crate::sim::{CardSpec, SimCard, SimChip};
use schemars::JsonSchema;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// A command that can be run once more.
#[derive(Clone, Copy, Debug)]
enum ReplayedCommand {
    Query,
    Verify,
    Doctor,
    Selftest(SelftestRequest<'static>),
}

impl ReplayedCommand {
    fn of(path: &Path, trace: &Trace) -> Result<Self, JobError> {
        Ok(match trace.header.command.as_str() {
            "query" => Self::Query,
            "verify" => Self::Verify,
            "doctor" => Self::Doctor,
            "selftest" if !is_expendable(trace) => Self::Selftest(request_of(trace)),
            command => {
                let expendable = if is_expendable(trace) { " --expendable" } else { "" };
                let command = format!("{command}{expendable}");
                return Err(JobError::NotReplayed { path: path.to_owned(), command });
            }
        })
    }

    fn run(self, device: &mut Device, events: &mut dyn Events) -> Result<ReplayedResult, JobError> {
        Ok(match self {
            Self::Query => ReplayedResult::Query(Box::new(query_card(device)?)),
            Self::Verify => ReplayedResult::Verify(Box::new(verify_card(device, events)?)),
            Self::Doctor => ReplayedResult::Doctor(Box::new(doctor_of_card(device))),
            Self::Selftest(request) => {
                let driver = DriverFacts::default();
                let outcome = selftest(device, driver, request, None, events, &mut None)?;
                ReplayedResult::Selftest(Box::new(outcome))
            }
        })
    }
}

/// A self-test that wrote to the flash: what it wrote was the image.
fn is_expendable(trace: &Trace) -> bool {
    trace.marks().any(|(_, mark)| matches!(mark, TraceMark::Selftest { expendable: true, .. }))
}

/// What a recorded self-test tested.
fn request_of(trace: &Trace) -> SelftestRequest<'static> {
    let request = trace.marks().find_map(|(_, mark)| match mark {
        TraceMark::Selftest { tools_interface, reset, .. } => Some(SelftestRequest {
            tools_interface: *tools_interface,
            reset: *reset,
            expendable: None,
        }),
        _ => None,
    });
    request.unwrap_or_default()
}

/// What the replayed command answers.
#[derive(Debug)]
pub enum ReplayedResult {
    Query(Box<QueryOutcome>),
    Verify(Box<VerifyOutcome>),
    Doctor(Box<DoctorOutcome>),
    Selftest(Box<SelftestOutcome>),
}

impl ReplayedResult {
    /// Exit code of a command with this result.
    fn exit(&self) -> Exit {
        match self {
            Self::Query(_) => Exit::Done,
            Self::Verify(verify) if verify.ok => Exit::Done,
            Self::Verify(_) => Code::CardImageNotValid.exit(),
            Self::Doctor(doctor) if doctor.ok => Exit::Done,
            Self::Doctor(_) => Code::Unhealthy.exit(),
            Self::Selftest(selftest) if !selftest.contradicted => Exit::Done,
            Self::Selftest(_) => Code::Contradicted.exit(),
        }
    }
}

/// Answer of `trace replay`.
#[derive(Debug, JsonSchema, Serialize)]
pub struct TraceReplayOutcome {
    /// Path of the file.
    #[serde(serialize_with = "crate::escape::serialize_path")]
    #[schemars(with = "String")]
    pub file: PathBuf,
    pub header: TraceHeader,
    pub progress: ReplayProgress,
    /// Exit code of the command when it was recorded.
    pub command_exit: Option<u8>,
    /// Exit code of the command now.
    pub exit: Exit,
    /// Later accesses were not recorded: the trace was full.
    pub full: bool,
    /// Why the command fails now; null when it does not.
    pub failure: Option<String>,
    /// What it answers now. Identity, texts and contents in it stand for those of the card.
    #[serde(skip)]
    pub result: Option<ReplayedResult>,
}

/// Runs the recorded command with the trace as its card.
pub fn trace_replay(
    path: &Path,
    trace: &Trace,
    events: &mut dyn Events,
) -> Result<TraceReplayOutcome, JobError> {
    let command = ReplayedCommand::of(path, trace)?;
    let replayed = ReplayedCard::new(trace);
    let ran = replay(&replayed, trace, |device| command.run(device, events));
    if trace.stopped() {
        return Err(JobError::Interrupted);
    }
    let mut progress = replayed.progress();
    if progress.divergence.is_none() {
        progress.divergence = replayed.left_over();
    }
    let (exit, result, failure) = match ran {
        Ok(result) => (result.exit(), Some(result), None),
        Err(error) => (error.outcome().exit, None, Some(error_chain(&error))),
    };
    Ok(TraceReplayOutcome {
        file: path.to_owned(),
        header: trace.header.clone(),
        progress,
        command_exit: trace.exit(),
        exit,
        full: trace.is_full(),
        failure,
        result,
    })
}

impl TraceReplayOutcome {
    /// The program went on where the record of a full trace ends.
    pub fn ends_full(&self) -> bool {
        self.full && self.divergence().is_some_and(|divergence| divergence.recorded.is_none())
    }

    /// The exit code of the recording, where the command ends with another one now. What the host alone decides
    /// is not in a trace: that the card was not given back, that the command was interrupted, and what `doctor`
    /// finds out about the host.
    pub fn other_exit(&self) -> Option<u8> {
        let of_host = match self.result {
            Some(ReplayedResult::Doctor(_)) => Code::Unhealthy.exit(),
            _ => Exit::HostNotRestored,
        };
        let known = [self.exit, Exit::HostNotRestored, Exit::Interrupted, of_host];
        self.command_exit.filter(|exit| !self.full && known.iter().all(|e| e.code() != *exit))
    }

    pub fn divergence(&self) -> Option<&Divergence> {
        self.progress.divergence.as_ref()
    }
}

fn replay<T>(
    replayed: &ReplayedCard,
    trace: &Trace,
    run: impl FnOnce(&mut Device) -> Result<T, JobError>,
) -> Result<T, JobError> {
    let key = sends_key(trace).then(|| "0000000000000000".parse().ok()).flatten();
    let card = Card::open_with_key(replayed.space(), replayed.clock(), key)?;
    let mut device = Device::new(card, replayed.clock(), "trace");
    device.proofs = proofs(trace);
    if trace.header.with_report {
        // Its failure is in the report.
        let _ = query_card(&mut device);
    }
    let ran = run(&mut device);
    give_back(&mut device, trace);
    ran
}

/// The accesses of giving the card back to the driver that it was taken from.
fn give_back(device: &mut Device, trace: &Trace) {
    if trace.marks().any(|(_, mark)| matches!(mark, TraceMark::Unbind { .. })) {
        device.free_for_the_driver();
    }
}

/// Whether the key of a locked card was sent: its words were written to the tools command interface.
fn sends_key(trace: &Trace) -> bool {
    let first = trace.accesses().find(|access| access.op == TraceOp::Write);
    first
        .and_then(|access| Reg::at(CrOffset(access.at)))
        .is_some_and(|reg| matches!(reg, Reg::ToolsHcr(_)))
}

/// What the card had shown about chained reads.
fn proofs(trace: &Trace) -> Option<ProofStore> {
    let serial =
        trace.marks().any(|(_, mark)| matches!(mark, TraceMark::Open { serial: true, .. }));
    serial.then(|| ProofStore::recorded(known_chains(trace)))
}

fn known_chains(trace: &Trace) -> Option<ChainVerdict> {
    trace.marks().find_map(|(_, mark)| match mark {
        TraceMark::Chains { known } => *known,
        _ => None,
    })
}

/// Answer of `trace diff`.
#[derive(Debug, JsonSchema, Serialize)]
pub struct TraceDiffOutcome {
    /// Path of the file.
    #[serde(serialize_with = "crate::escape::serialize_path")]
    #[schemars(with = "String")]
    pub file: PathBuf,
    pub header: TraceHeader,
    /// The simulated card.
    pub simulated: CardSpec,
    pub comparison: TraceComparison,
    /// Later accesses were not recorded: the trace was full. They are not compared.
    pub full: bool,
    /// Why the command fails on the simulated card; null when it does not.
    pub failure: Option<String>,
}

/// Runs the recorded command on a simulated card that holds what the trace has of the flash, and compares
/// the accesses.
pub fn trace_diff(
    path: &Path,
    trace: &Trace,
    host: &Host,
    events: &mut dyn Events,
) -> Result<TraceDiffOutcome, JobError> {
    let command = ReplayedCommand::of(path, trace)?;
    let spec = spec_of(trace).ok_or_else(|| JobError::NotSimulated { path: path.to_owned() })?;
    let sim = SimCard::new(spec.clone(), &flash_of(trace, spec.chip));
    let recording = TraceFile::begin(None, &trace.header.command, false, host)?;
    let options = BorrowOptions { trace: Some(recording.recorder()), ..BorrowOptions::default() };
    let ran = open_sim_with(&sim, "simulated", &options, proofs(trace)).and_then(|mut device| {
        if trace.header.with_report {
            let _ = query_card(&mut device);
        }
        let ran = command.run(&mut device, events);
        give_back(&mut device, trace);
        ran
    });
    let recorded = recording.finish(host, None, 0)?;
    let bytes = recorded.map(|finished| finished.bytes).unwrap_or_default();
    let simulated = Trace::read_until(&bytes, trace.stop())
        .map_err(|source| JobError::Trace { path: path.to_owned(), source })?;
    let comparison = compare(trace, &simulated);
    if trace.stopped() {
        return Err(JobError::Interrupted);
    }
    Ok(TraceDiffOutcome {
        file: path.to_owned(),
        header: trace.header.clone(),
        simulated: spec,
        comparison,
        full: trace.is_full(),
        failure: ran.err().map(|error| error_chain(&error)),
    })
}

/// The silicon and the flash chip of a trace; `None` where the simulator has no such card.
fn spec_of(trace: &Trace) -> Option<CardSpec> {
    let mut opcode = 0;
    let (mut device_id, mut jedec) = (None, None);
    for access in trace.accesses() {
        let TraceValue::Clear(word) = access.value else { continue };
        match (Reg::at(CrOffset(access.at)), access.op) {
            (Some(Reg::DeviceId), TraceOp::Read) => {
                device_id =
                    device_id.or(Some(word).filter(|word| matches!(word & 0xffff, 0x1f5 | 0x1f7)));
            }
            (Some(Reg::GatewayCommand), TraceOp::Write) => opcode = word >> 16 & 0xff,
            (Some(Reg::GatewayData(0)), TraceOp::Read) if opcode == 0x9f => {
                jedec = jedec.or(Some(word >> 8));
            }
            _ => {}
        }
        if device_id.is_some() && jedec.is_some() {
            break;
        }
    }
    let [_, jedec @ ..] = jedec?.to_be_bytes();
    Some(CardSpec {
        board: "of a trace".into(),
        hw_id: device_id? as u16,
        revision: (device_id? >> 16) as u8,
        chip: SimChip::ALL.into_iter().find(|chip| chip.jedec() == jedec)?,
        ..CardSpec::default()
    })
}

fn flash_of(trace: &Trace, chip: SimChip) -> Vec<u8> {
    let mut flash = vec![0xFF; chip.size() as usize];
    for (at, word) in ReplayedCard::new(trace).flash() {
        let place = flash.get_mut(at as usize..).and_then(|rest| rest.first_chunk_mut());
        if let Some(place) = place {
            *place = word.to_be_bytes();
        }
    }
    flash
}
