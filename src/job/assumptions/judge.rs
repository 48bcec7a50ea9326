//! What a job makes of the record of its card, and the quick stages of a first burn.

use super::stages::confirmed;
use super::{flash, registers};
use crate::card::BarAccess;
use crate::job::error_text::error_chain;
use crate::job::proofs::BoardKey;
use crate::job::session::{CardFacts, psid_of};
use crate::job::stage::{StageId, StageRecord, StageResult};
use crate::job::{Device, JobError};
use crate::plan::{CardSnapshot, Check, Plan};

/// RDID and reads of the quick stages, and RDSR.
const TIMES: (u32, u32) = (16, 1);

/// Stages without which nothing is written. The others have a conservative way: chained reads are single
/// reads, a reset is the next power-on, and what the flash holds is judged by the plan.
const NEEDED: [StageId; 8] = [
    StageId::Transports,
    StageId::Semaphores,
    StageId::Gateway,
    StageId::Readings,
    StageId::Running,
    StageId::WriteEnable,
    StageId::Erase4K,
    StageId::Erase64K,
];

/// A job that reaches the card by this transport may go on in spite of this stage.
pub(in crate::job) fn is_usable(stage: &StageRecord, by: Option<BarAccess>) -> bool {
    let agreed = stage.agreed.as_ref().zip(by).is_some_and(|(agreed, by)| agreed.contains(&by));
    stage.result != StageResult::Contradicted || agreed || !NEEDED.contains(&stage.id)
}

fn board<'a>(facts: &CardFacts, card: &'a CardSnapshot) -> BoardKey<'a> {
    let (jedec, psid) = (Some(card.flash_chip.jedec), psid_of(card));
    BoardKey { chip: facts.chip, running: facts.running, jedec, psid }
}

/// Refuses the plan where the record of this card contradicts what it needs; warns where nothing boots.
pub(in crate::job) fn judge(
    device: &Device,
    facts: &CardFacts,
    card: &CardSnapshot,
    plan: &mut Plan,
) {
    let board = board(facts, card);
    let Some(record) = facts.proofs.as_ref().and_then(|store| store.load(board)) else {
        return;
    };
    let by = device.card.transport();
    if let Some(stage) = record.stages.iter().find(|stage| !is_usable(stage, by)) {
        let what = format!(
            "the self-test of {} contradicts {}: {}",
            record.time,
            stage.id.name(),
            stage.detail
        );
        // Where nothing is relied on to boot there is nothing to lose, and this is the way back.
        match card.boots().start {
            Some(_) => plan.refuse(Check::selftest(what)),
            None => plan.report.warnings.push(what),
        }
    }
}

/// This card has shown that a software reset does not load its firmware.
pub(in crate::job) fn reset_is_contradicted(facts: &CardFacts) -> bool {
    let board = BoardKey { chip: facts.chip, running: facts.running, jedec: None, psid: None };
    let record = facts.proofs.as_ref().and_then(|store| store.load(board));
    let stage = record.as_ref().and_then(|record| record.result(StageId::Reset));
    stage.is_some_and(|stage| stage.result == StageResult::Contradicted)
}

/// The quick stages, where this card has no record yet: registers, semaphores and gateway. The rest of what
/// is cheap a burn does anyway. An error shows nothing: where it lasts, the job meets it again.
pub(in crate::job) fn quick(device: &mut Device, facts: &CardFacts, card: &CardSnapshot) {
    let Some(store) = &facts.proofs else {
        return;
    };
    let board = board(facts, card);
    if store.load(board).is_some_and(|record| record.result(StageId::Transports).is_some()) {
        return;
    }
    match quick_stages(device) {
        Ok(stages) => drop(store.save_stages(board, None, stages)),
        Err(error) => tracing::warn!(error = %error_chain(&error), "the quick stages show nothing"),
    }
}

fn quick_stages(device: &mut Device) -> Result<Vec<StageRecord>, JobError> {
    let transports = confirmed(|| registers::transports(&mut device.card))?;
    let semaphores = registers::semaphores(&mut device.card)?;
    let mut stages =
        vec![transports.report(StageId::Transports), semaphores.report(StageId::Semaphores)];
    if stages.iter().all(|stage| stage.result != StageResult::Contradicted) {
        let gateway = confirmed(|| flash::gateway(&mut device.lock()?, TIMES))?;
        stages.push(gateway.report(StageId::Gateway));
    }
    Ok(stages.iter().map(StageRecord::from).collect())
}
