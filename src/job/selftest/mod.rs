//! `selftest`: what this program assumes of a card, tested on the card at hand. The flash is read only, but
//! for an expendable card.
//!
//! Stages run in the order of [`StageId`]. One that depends on a stage that was contradicted is skipped. The
//! results are kept in the card's record (`job::proofs`), which later jobs follow.

mod contents;
mod driver;
mod expendable;
mod kernel;
mod outcome;
mod reset;

pub use driver::DriverFacts;
pub use expendable::Expendable;
pub use outcome::SelftestOutcome;

use self::kernel::KernelMessages;
use super::assumptions::{Stages, as_finding, confirmed, flash, is_usable, registers};
use super::look::shows_life;
use super::proofs::BoardKey;
use super::session::{CardFacts, psid_of};
use super::stage::{StageFinding, StageId, StageRecord, StageResult};
use super::{AfterReset, Device, JobError};
use crate::card::{CardError, Chip, Semaphore, SemaphoreState};
use crate::flash::trace::TraceMark;
use crate::flash::{ChainVerdict, Events};
use crate::host::{KernelLog, Mark, PciCard};
use crate::plan::CardSnapshot;

/// RDID and reads of the stage `gateway`, and RDSR.
const TIMES: (u32, u32) = (100, 100);
/// Lengths of the chains that are tested, with their stages.
const CHAINS: [(StageId, u32); 3] =
    [(StageId::Chains64, 64), (StageId::Chains256, 256), (StageId::Chains4096, 4096)];

/// What is tested beyond what only reads.
#[derive(Clone, Copy, Debug, Default)]
pub struct SelftestRequest<'a> {
    /// Commands of the tools command interface are sent.
    pub tools_interface: bool,
    /// The card is reset.
    pub reset: bool,
    /// The flash is written to.
    pub expendable: Option<Expendable<'a>>,
}

/// Tests this card. `driver` is what was known of it before it was opened. `known` gets the results also when
/// the test ends with an error; `log` is the kernel's from before the card was opened. A borrowed card is given back: `device` cannot be used afterwards.
pub fn selftest(
    device: &mut Device,
    driver: DriverFacts,
    request: SelftestRequest<'_>,
    log: Option<KernelLog>,
    events: &mut dyn Events,
    known: &mut Option<SelftestOutcome>,
) -> Result<SelftestOutcome, JobError> {
    if let Some(trace) = &device.trace {
        let SelftestRequest { tools_interface, reset, expendable } = request;
        let expendable = expendable.is_some();
        trace.mark(TraceMark::Selftest { tools_interface, reset, expendable });
    }
    let facts = CardFacts::of(device)?;
    let outcome = known.insert(SelftestOutcome::of(Some(facts.without_flash()), driver));
    let mut stages = Stages::default();
    let mut read = FlashRead::default();
    let mut kernel = KernelMessages::of(log);
    let lived = shows_life(device)?;
    let ended = {
        let seen = (&mut read, &mut kernel);
        run(device, &facts, &outcome.driver, request, seen, &mut stages, events)
    };
    let ended = ended.and_then(|()| match request.expendable {
        Some(consent) => expendable::run(device, &facts, consent, outcome, &mut stages, events),
        None => Ok(()),
    });
    let before = BeforeTest { facts: &facts, lived, tools_interface: request.tools_interface };
    let ended =
        ended.and_then(|()| restored(device, before, &outcome.driver, kernel, &mut stages, events));
    if ended.is_ok() || stages.contradiction().is_some() {
        outcome.record = keep(&facts, &read, &stages);
    }
    outcome.stages = stages.0;
    let contradicted = outcome.contradictions().next().is_some();
    outcome.contradicted = contradicted;
    ended.map(|()| outcome.clone())
}

/// The results of a card that could not be opened, where the reason is one: its registers show a hardware id
/// of the family in the other byte order.
pub fn selftest_unopened(driver: DriverFacts, error: &JobError) -> Option<SelftestOutcome> {
    let JobError::Card(CardError::NotOurs(id)) = error else {
        return None;
    };
    Chip::decode(id.swap_bytes()).ok()?;
    let mut stages = Stages::default();
    stages.add(StageId::Driver, driver.finding(), &mut ());
    let what = format!("the hardware id reads {id:#010x}: its bytes are in the other order");
    stages.add(StageId::Transports, StageFinding::contradicted(what), &mut ());
    let contradicted = true;
    Some(SelftestOutcome { stages: stages.0, contradicted, ..SelftestOutcome::of(None, driver) })
}

/// What the stages have read of the flash.
#[derive(Default)]
struct FlashRead {
    card: Option<CardSnapshot>,
    chains: Option<ChainVerdict>,
    jedec: Option<u32>,
}

fn run(
    device: &mut Device,
    facts: &CardFacts,
    driver: &DriverFacts,
    request: SelftestRequest<'_>,
    (read, kernel): (&mut FlashRead, &mut KernelMessages),
    stages: &mut Stages,
    events: &mut dyn Events,
) -> Result<(), JobError> {
    use StageId::{
        BootAddress, Driver, Gateway, Identity, Images, Readings, Reset, Running, Semaphores,
        SettingsArea, ToolsInterface, Transports,
    };
    stages.add(Driver, driver.finding(), events);
    stages.add(StageId::Boot, registers::boot(&device.card), events);
    stages.run(Transports, &[], events, &mut |_| {
        confirmed(|| registers::transports(&mut device.card))
    })?;
    let by = device.card.transport();
    let usable = stages.records().iter().all(|stage| is_usable(stage, by));
    let needs = needs_of_registers(usable);
    stages.run(Semaphores, needs, events, &mut |_| registers::semaphores(&mut device.card))?;
    stages.run(Gateway, &[Semaphores], events, &mut |_| {
        confirmed(|| as_finding(gateway(device, read)))
    })?;
    let mut bytes = Vec::new();
    stages.run(Readings, &[Gateway], events, &mut |events| {
        let mut locked = device.lock()?;
        let (finding, last) = flash::readings(&mut locked, events)?;
        bytes = last.bytes;
        let (chip, protection) = (locked.chip().clone(), locked.protection().clone());
        let card = CardSnapshot::new(
            facts.chip,
            facts.recovery,
            facts.running,
            chip,
            protection,
            bytes.clone(),
        )?;
        read.card = Some(card.with_wavering(last.wavering));
        Ok(finding)
    })?;
    let mut needs = vec![Readings];
    for (id, length) in CHAINS {
        stages.run(id, &needs, events, &mut |events| {
            let mut locked = device.lock()?;
            let (finding, verdict) = flash::chains(&mut locked, &bytes, length, events)?;
            read.chains = verdict.or(read.chains);
            Ok(finding)
        })?;
        needs.push(id);
    }
    let Some(card) = read.card.as_ref() else {
        let asked = [(ToolsInterface, request.tools_interface), (Reset, request.reset)];
        let asked = asked.into_iter().filter(|(_, asked)| *asked).map(|(id, _)| id);
        for id in [Images, Running, BootAddress, Identity, SettingsArea].into_iter().chain(asked) {
            stages.run(id, &[Readings], events, &mut |_| {
                Ok(StageFinding::unknown("the flash was not read"))
            })?;
        }
        return Ok(());
    };
    facts.note_serials(card.slots.iter().filter_map(|slot| slot.image()));
    stages.run(Images, &[Readings], events, &mut |_| Ok(contents::images(card)))?;
    stages.run(Running, &[Images], events, &mut |_| Ok(contents::running(card)))?;
    stages.run(BootAddress, &[Images], events, &mut |_| {
        confirmed(|| Ok(contents::boot_address(device.card.boot_address()?, card)))
    })?;
    stages.run(Identity, &[Images], events, &mut |_| Ok(contents::identity(card, driver)))?;
    stages.run(SettingsArea, &[Images], events, &mut |_| Ok(contents::settings_area(card)))?;
    if request.tools_interface {
        stages.run(ToolsInterface, needs_of_registers(usable), events, &mut |_| {
            reset::tools_interface(&mut device.card)
        })?;
    }
    if request.reset {
        stages.run(Reset, &[Images], events, &mut |events| {
            reset::reset(device, facts, card, kernel, events)
        })?;
    }
    Ok(())
}

fn gateway(device: &mut Device, read: &mut FlashRead) -> Result<StageFinding, JobError> {
    let mut locked = device.lock()?;
    read.jedec = Some(locked.chip().jedec);
    flash::gateway(&mut locked, TIMES)
}

fn needs_of_registers(usable: bool) -> &'static [StageId] {
    if usable { &[] } else { &[StageId::Transports] }
}

/// What is compared with the card at the end.
#[derive(Clone, Copy)]
struct BeforeTest<'a> {
    facts: &'a CardFacts,
    /// The firmware showed life.
    lived: bool,
    tools_interface: bool,
}

/// Gives the card back, and looks whether card and host are as before. A driver does not get a card whose
/// firmware has stopped.
fn restored(
    device: &mut Device,
    before: BeforeTest<'_>,
    driver: &DriverFacts,
    kernel: KernelMessages,
    stages: &mut Stages,
    events: &mut dyn Events,
) -> Result<(), JobError> {
    let mut taken = Vec::new();
    let tools = before.tools_interface.then_some(Semaphore::ToolsHcr);
    let used = [Semaphore::FlashProgramming, Semaphore::Flash].into_iter().chain(tools);
    let stopped = before.lived && !shows_life(device)?;
    // Firmware that hangs may keep one, and the next reset ends that.
    for semaphore in used.filter(|_| !stopped) {
        let free = match device.card.probe_semaphore(semaphore)? {
            SemaphoreState::Free => true,
            SemaphoreState::Held => false,
            // A read that was not answered may have taken it.
            SemaphoreState::Unknown => {
                let freed = registers::freed(&mut device.card, semaphore)?;
                freed.result != StageResult::Contradicted
            }
        };
        if !free {
            taken.push(semaphore.number().to_string());
        }
    }
    // The last frees of semaphores reach the card before the transport closes.
    device.card.confirm_writes()?;
    if stopped {
        device.note(Mark::NoFirmware);
        let what = "the firmware that ran before has stopped";
        stages.add(StageId::Restored, StageFinding::contradicted(what), events);
        return Err(JobError::NotActivated {
            wanted: before.facts.running.map_or_else(|| "firmware".into(), |v| v.to_string()),
            running: "the register at 0x41270 stands still, or no firmware runs".into(),
            left: AfterReset::NoFirmware,
        });
    }
    device.end();
    if let Some(error) = device.not_put_back() {
        return Err(error);
    }
    let now = device.borrowed.as_ref().map(|borrowed| borrowed.card());
    let lines = kernel.all(device);
    let other = |card: &PciCard| card.driver != driver.driver;
    let finding = if !taken.is_empty() {
        StageFinding::contradicted(format!("semaphores {} stay taken", taken.join(", ")))
    } else if now.is_some_and(|card| other(&card)) {
        StageFinding::contradicted("the card has another driver than before")
    } else {
        StageFinding::proved("card and host are as before")
    };
    let finding = finding.with("kernel_messages", lines.len() as u64);
    let finding = lines.into_iter().fold(finding, |finding, line| finding.with("kernel", line));
    stages.add(StageId::Restored, finding, events);
    Ok(())
}

/// Stores the results for later jobs.
fn keep(facts: &CardFacts, read: &FlashRead, stages: &Stages) -> Option<std::path::PathBuf> {
    let store = facts.proofs.as_ref()?;
    let psid = read.card.as_ref().and_then(psid_of);
    let board = BoardKey { chip: facts.chip, running: facts.running, jedec: read.jedec, psid };
    let records = stages.records();
    let broken = |stage: &StageRecord| {
        stage.id.is_about_chains() && stage.result == StageResult::Contradicted
    };
    if records.iter().any(broken) {
        store.forget(board);
    }
    store.save_stages(board, read.chains, records)
}
