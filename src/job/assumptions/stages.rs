//! Running stages: what depends on a contradiction is skipped, and one wrong answer contradicts nothing.

use crate::card::CardError;
use crate::flash::{Event, Events, FlashError};
use crate::job::JobError;
use crate::job::error_text::error_chain;
use crate::job::stage::{StageFinding, StageId, StageRecord, StageReport, StageResult};

/// Runs that must contradict; one wrong answer decides nothing.
const RUNS: u32 = 3;

/// The results so far.
#[derive(Default)]
pub(in crate::job) struct Stages(pub(in crate::job) Vec<StageReport>);

impl Stages {
    pub(in crate::job) fn add(
        &mut self,
        id: StageId,
        finding: StageFinding,
        events: &mut dyn Events,
    ) {
        let report = finding.report(id);
        let (result, detail) = (report.result, &report.detail);
        tracing::info!(?id, ?result, detail, figures = ?report.figures, "stage");
        events.emit(Event::Note { text: format!("{}: {}", id.name(), result.name()) });
        self.0.push(report);
    }

    /// Runs a stage, unless one that it needs was contradicted.
    pub(in crate::job) fn run(
        &mut self,
        id: StageId,
        needs: &[StageId],
        events: &mut dyn Events,
        body: &mut dyn FnMut(&mut dyn Events) -> Result<StageFinding, JobError>,
    ) -> Result<(), JobError> {
        if events.stop_requested() {
            return Err(JobError::Interrupted);
        }
        let finding = match self.in_the_way(needs) {
            Some(why) => StageFinding::skipped(why),
            None => match as_finding(body(events)) {
                Ok(finding) => finding,
                Err(error) => {
                    // The job ends with it; later ones know it.
                    if let JobError::Stopped { stopped, .. } = &error
                        && fails(&stopped.source)
                    {
                        self.add(id, StageFinding::contradicted(error_chain(&error)), events);
                    }
                    return Err(error);
                }
            },
        };
        self.add(id, finding, events);
        Ok(())
    }

    /// Why a stage that needs these is skipped.
    fn in_the_way(&self, needs: &[StageId]) -> Option<String> {
        let needed = |stage: &&StageReport| needs.contains(&stage.id);
        self.0.iter().filter(needed).find_map(|stage| match stage.result {
            StageResult::Contradicted => Some(format!("{} is contradicted", stage.id.name())),
            StageResult::Skipped => Some(stage.detail.clone()),
            StageResult::Proved | StageResult::Unknown => None,
        })
    }

    /// The first contradiction.
    pub(in crate::job) fn contradiction(&self) -> Option<StageId> {
        let contradicted = |stage: &&StageReport| stage.result == StageResult::Contradicted;
        self.0.iter().find(contradicted).map(|stage| stage.id)
    }

    pub(in crate::job) fn records(&self) -> Vec<StageRecord> {
        self.0.iter().map(StageRecord::from).collect()
    }
}

/// Errors that are a result: the card does not do what is assumed of it.
fn contradicts(error: &JobError) -> bool {
    matches!(
        error,
        JobError::ReadingsDiffer
            | JobError::Card(CardError::FlushTimeout(_) | CardError::ResetTimeout(_))
            | JobError::Flash(
                FlashError::UnsteadyRegister { .. }
                    | FlashError::Unsteady { .. }
                    | FlashError::GatewayTimeout(_)
                    | FlashError::FlashTimeout { .. }
                    | FlashError::Card(CardError::FlushTimeout(_) | CardError::ResetTimeout(_))
            )
    )
}

/// The flash was changed otherwise than it was asked to.
fn fails(error: &FlashError) -> bool {
    matches!(
        error,
        FlashError::NotBlank { .. }
            | FlashError::Differs { .. }
            | FlashError::WriteEnable(_)
            | FlashError::FlashTimeout { .. }
    )
}

/// Takes an error that is a result as one.
pub(in crate::job) fn as_finding(
    ended: Result<StageFinding, JobError>,
) -> Result<StageFinding, JobError> {
    match ended {
        Err(error) if contradicts(&error) => Ok(StageFinding::contradicted(error_chain(&error))),
        ended => ended,
    }
}

/// Runs a cheap stage until it does not contradict, [`RUNS`] times at most.
pub(in crate::job) fn confirmed(
    mut body: impl FnMut() -> Result<StageFinding, JobError>,
) -> Result<StageFinding, JobError> {
    let mut finding = body()?;
    for _ in 1..RUNS {
        if finding.result != StageResult::Contradicted {
            break;
        }
        finding = body()?;
    }
    Ok(finding)
}
