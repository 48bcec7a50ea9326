//! `doctor`: can this card be worked with?

use super::code::NO_CARD;
use super::device::open_borrowed;
use super::error::UNSURE;
use super::error_text::error_chain;
use super::hint::{HintContext, allow};
use super::images::read_images;
use super::proofs::CardRecord;
use super::query::{note_psid, outcome, write_anew};
use super::session::{CardFacts, shown};
use super::{CardReport, CardSelector, Device, JobError, QueryOutcome, open};
use crate::card::{CardError, FirmwareState};
use crate::escape;
use crate::flash::{ChainVerdict, FlashError, Locked};
use crate::host::{
    BorrowOptions, Borrowed, Host, HostFinding, JournalError, Lease, LeaseError, PciCard, Pending,
    kvm_findings, objections,
};
use crate::image::{Depth, Identity};
use crate::words::{counted, moment};
use schemars::JsonSchema;
use serde::Serialize;
use std::path::Path;

/// Answer of `doctor`.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct DoctorOutcome {
    /// The card; `None` without one, and where its flash could not be read.
    pub card: Option<CardReport>,
    /// Findings in a fixed order. A real card's host first (see [`Host::findings`] and
    /// [`crate::host::kvm_findings`]; `journal`, `in_use`), then the card: card, chip, firmware,
    /// semaphores, flash, protection, chained_reads, images, identity; then `host_restored` and
    /// backup_space. Those that depend on one that is not ok are skipped.
    pub checks: Vec<HostFinding>,
    /// Where several cards are checked: each of them; `checks` has the host alone then. Else empty.
    pub cards: Vec<CardChecks>,
    /// Every finding is ok.
    pub ok: bool,
    /// What the card holds, when it could be read: for a bug report.
    #[serde(skip)]
    pub query: Option<QueryOutcome>,
}

/// One of several cards.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct CardChecks {
    pub device: CardSelector,
    /// `None` where its flash could not be read.
    pub card: Option<CardReport>,
    /// As the `checks` of `doctor`, without those of the host.
    pub checks: Vec<HostFinding>,
    /// Every finding is ok.
    pub ok: bool,
}

/// Findings that are the same for every card of a host.
const HOST: [&str; 6] =
    ["iommu", "vfio_pci", "vfio_container", "lockdown", "secure_boot", "journal"];

/// Checks the host, then each card in turn.
pub fn doctor_all(
    cards: &[CardSelector],
    backup_dir: &Path,
    host: &Host,
    options: &BorrowOptions,
) -> Result<DoctorOutcome, JobError> {
    let mut findings = DoctorFindings::default();
    findings.list.extend(host.findings(None));
    journal(host, &mut findings);
    space(backup_dir, &mut findings);
    let mut outcome = findings.outcome();
    for device in cards {
        let mut of_card = DoctorFindings::of(Some(device));
        if let Err(error) = one_card(device, host, options, &mut of_card) {
            unopened(&error, &mut of_card);
        }
        of_card.list.retain(|finding| !HOST.contains(&finding.id));
        let DoctorOutcome { card, checks, ok, .. } = of_card.outcome();
        outcome.ok &= ok;
        outcome.cards.push(CardChecks { device: device.clone(), card, checks, ok });
    }
    Ok(outcome)
}

/// Checks everything a burn needs. Changes nothing. A real card is borrowed for it when it is not in
/// use; without `selector` only the host is checked.
/// What is wrong with a card or the host is in the outcome, not an error.
pub fn doctor(
    selector: Option<&CardSelector>,
    backup_dir: &Path,
    host: &Host,
    options: &BorrowOptions,
) -> Result<DoctorOutcome, JobError> {
    let mut findings = DoctorFindings::of(selector);
    match selector {
        Some(selector) => one_card(selector, host, options, &mut findings)?,
        None => {
            findings.list.extend(host.findings(None));
            findings.list.extend(kvm_findings(host, None));
            journal(host, &mut findings);
            findings.bad("card", host.no_card(), NO_CARD);
        }
    }
    space(backup_dir, &mut findings);
    Ok(findings.outcome())
}

/// The checks of a card that is open.
pub(super) fn doctor_of_card(device: &mut Device) -> DoctorOutcome {
    let mut findings = DoctorFindings::default();
    card(device, &mut findings);
    findings.outcome()
}

fn one_card(
    selector: &CardSelector,
    host: &Host,
    options: &BorrowOptions,
    findings: &mut DoctorFindings,
) -> Result<(), JobError> {
    if !selector.is_sim() {
        return real(selector, host, options, findings);
    }
    match open(selector, host, options) {
        Ok(mut device) => card(&mut device, findings),
        Err(error) => unopened(&error, findings),
    }
    Ok(())
}

/// What `doctor` finds of a real card without taking it from its driver.
pub(super) fn doctor_without_card(
    selector: &CardSelector,
    card: &PciCard,
    host: &Host,
    options: &BorrowOptions,
) -> Vec<HostFinding> {
    let mut findings = DoctorFindings::of(Some(selector));
    not_taken(card, host, options, &mut findings);
    findings.list
}

/// The host, journals, and who uses the card.
fn not_taken(card: &PciCard, host: &Host, options: &BorrowOptions, findings: &mut DoctorFindings) {
    findings.list.extend(host.findings(Some(card)));
    journal(host, findings);
    let uses = objections(host, card, &options.allow);
    if uses.is_empty() {
        return findings.good("in_use", "the card is not in use");
    }
    let reasons: Vec<String> =
        uses.iter().map(|used| format!("{}: {}", used.id.name(), used.detail)).collect();
    let fix = match allow(&uses) {
        Some(options) => format!("end that use, or allow it: <card> doctor {options}"),
        None => "end that use: it cannot be allowed (`holder` names a machine)".to_owned(),
    };
    findings.bad("in_use", reasons.join("; "), &fix);
}

/// Findings without which no card can be taken.
const NEEDED: [&str; 5] = ["iommu", "vfio_pci", "group_viable", "rights", "in_use"];

/// A real card: the host, its uses, and, when it is not in use, the card itself.
fn real(
    selector: &CardSelector,
    host: &Host,
    options: &BorrowOptions,
    findings: &mut DoctorFindings,
) -> Result<(), JobError> {
    let found = selector.find(host)?;
    not_taken(&found, host, options, findings);
    let missing = |finding: &&HostFinding| finding.is_fault() && NEEDED.contains(&finding.id);
    let missing: Vec<&str> = findings.list.iter().filter(missing).map(|f| f.id).collect();
    if !missing.is_empty() {
        let why = format!("the card cannot be taken ({})", missing.join(", "));
        findings.list.extend(kvm_findings(host, Some(&found)));
        findings.leave_rest(&why);
        return Ok(());
    }
    // Between binding and opening: afterwards the group is ours alone.
    let mut ready = Vec::new();
    let taken = Borrowed::take(host, found, options, &mut |card| {
        ready = kvm_findings(host, Some(card));
    });
    findings.list.append(&mut ready);
    let mut device = match taken
        .map_err(JobError::from)
        .and_then(|borrowed| open_borrowed(host, borrowed, &selector.to_string(), options))
    {
        Ok(device) => device,
        Err(error) => {
            unopened(&error, findings);
            return Ok(());
        }
    };
    card(&mut device, findings);
    device.end();
    match device.not_put_back() {
        None => findings.good("host_restored", "driver and network devices are as found"),
        Some(error) => {
            findings.bad("host_restored", error_chain(&error), "<root>cx3flash host restore");
        }
    }
    Ok(())
}

fn unopened(error: &JobError, findings: &mut DoctorFindings) {
    match error {
        JobError::Card(CardError::Locked) => {
            findings.bad("card", error_chain(error), LOCKED);
        }
        JobError::Card(CardError::KeyRefused) => findings.bad(
            "card",
            error_chain(error),
            "give the key that was set on this card; where it is lost: docs/hardware.md#locked-cards",
        ),
        JobError::Card(CardError::NoHwAccess) => findings.bad(
            "card",
            error_chain(error),
            "no key opens it: docs/hardware.md#locked-cards",
        ),
        _ => findings.failed("card", error),
    }
    findings.leave_rest("the card cannot be opened");
}

fn journal(host: &Host, findings: &mut DoctorFindings) {
    let pending = match Lease::pending(host) {
        Ok(pending) => pending,
        // A user who may work with a card on vfio-pci cannot read root's journals.
        Err(LeaseError::Journal(error @ JournalError::NotRoot { .. })) => {
            return findings.good("journal", format!("not checked: {error}"));
        }
        Err(error) => {
            return findings.bad("journal", error_chain(&error), "<root>cx3flash host status");
        }
    };
    let lines: Vec<String> = pending.iter().map(ToString::to_string).collect();
    // A journal that no restore can use comes first: its hint is the one that helps.
    let unusable =
        |p: &&Pending| p.other_card.is_some() || p.problem.is_some() || !p.candidates.is_empty();
    match pending.iter().find(unusable) {
        None if pending.is_empty() => findings.good("journal", "no card waits to be given back"),
        None => findings.bad(
            "journal",
            format!("not given back yet: {}", lines.join("; ")),
            "<root>cx3flash host restore",
        ),
        Some(first) => findings.bad(
            "journal",
            lines.join("; "),
            &format!("<root>cx3flash host forget {}", first.bdf),
        ),
    }
}

/// Checks of a card, in order.
const CARD: [&str; 9] = [
    "card",
    "chip",
    "firmware",
    "semaphores",
    "flash",
    "protection",
    "chained_reads",
    "images",
    "identity",
];

/// Recovery mode, and the flash holds an image that boots.
const STANDS_STILL: &str = "the flash holds an image that boots: open the jumper \"flash not present\" if it is set, \
     then power the machine off and on, or start it: <card> activate; if it never starts, write the firmware that \
     ran before: <card> restore BACKUP";

/// Nothing boots.
const PUT_IMAGE: &str =
    "put an image on the card: <card> recover IMAGE --identity BACKUP/identity.json";

/// A card of a secure host.
const LOCKED: &str = "give the key that was set on it with every command: <card> doctor --key-file KEYFILE; where the key is lost: \
     set the jumper \"flash not present\", power the machine off and on, `recover`, open the jumper";

const EARLIER: &str = "fix the earlier findings first";

/// Space a backup needs: the flash, the image in it and small files, for the largest chip.
const BACKUP_BYTES: u64 = 40 << 20;

#[derive(Default)]
struct DoctorFindings {
    card: Option<CardSelector>,
    /// The command that lists them.
    command: String,
    list: Vec<HostFinding>,
    query: Option<QueryOutcome>,
}

impl DoctorFindings {
    fn of(card: Option<&CardSelector>) -> Self {
        let mut findings = Self { card: card.cloned(), ..Self::default() };
        findings.command = findings.filled("<card> doctor");
        findings
    }

    fn context(&self) -> HintContext<'_> {
        HintContext {
            card: self.card.as_ref(),
            typed: Some(&self.command),
            ..HintContext::of_process()
        }
    }

    /// The text of a fix, with the card filled in.
    fn filled(&self, fix: &str) -> String {
        self.context().fill(fix).unwrap_or_else(|| fix.to_owned())
    }

    /// A check that ended with an error; its hint is the fix.
    fn failed(&mut self, id: &'static str, error: &JobError) {
        let hint = error.hint(&self.context());
        let earlier = self.list.iter().any(|finding| !finding.ok);
        let fix = hint.unwrap_or_else(|| {
            if earlier { EARLIER } else { "power the machine off and on, then: <card> doctor" }
                .into()
        });
        self.bad(id, error_chain(error), &fix);
    }

    fn good(&mut self, id: &'static str, detail: impl Into<String>) {
        self.list.push(HostFinding::good(id, detail));
    }

    fn bad(&mut self, id: &'static str, detail: impl Into<String>, fix: &str) {
        self.list.push(HostFinding::bad(id, detail, self.filled(fix)));
    }

    fn outcome(self) -> DoctorOutcome {
        DoctorOutcome {
            card: self.query.as_ref().and_then(|query| query.card.clone()),
            ok: self.list.iter().all(|finding| finding.ok),
            checks: self.list,
            cards: Vec::new(),
            query: self.query,
        }
    }

    /// Another fix, once more is known.
    fn refix(&mut self, id: &str, fix: &str) {
        let fix = self.filled(fix);
        for finding in self.list.iter_mut().filter(|finding| finding.id == id) {
            finding.fix = Some(fix.clone());
        }
    }

    /// Lists the checks of the card that were not made.
    fn leave_rest(&mut self, why: &str) {
        for id in CARD {
            if self.list.iter().all(|finding| finding.id != id) {
                self.unchecked(id, why);
            }
        }
    }

    fn unchecked(&mut self, id: &'static str, why: &str) {
        self.list.push(HostFinding::skipped(id, format!("not checked: {why}")));
    }
}

fn card(device: &mut Device, findings: &mut DoctorFindings) {
    findings.good("card", format!("{} answers", device.name));
    let facts = match CardFacts::of(device) {
        Ok(facts) => facts,
        Err(error) => {
            findings.failed("chip", &error);
            return findings.leave_rest("the card does not answer");
        }
    };
    findings.good("chip", facts.chip.name());
    firmware(device, &facts, findings);
    match device.lock() {
        Ok(mut locked) => {
            findings.good("semaphores", "40 and 63 could be taken");
            flash(&facts, &mut locked, findings);
            drop(locked);
            if let Some(query) = &findings.query {
                note_psid(&facts, query);
            }
        }
        Err(error) => {
            let id = match &error {
                JobError::Card(CardError::SemaphoreHeld { .. })
                | JobError::Flash(FlashError::Card(CardError::SemaphoreHeld { .. })) => {
                    "semaphores"
                }
                _ => {
                    findings.good("semaphores", "40 and 63 could be taken");
                    "flash"
                }
            };
            findings.failed(id, &error);
            findings.leave_rest("the flash could not be reached");
        }
    }
}

fn firmware(device: &mut Device, facts: &CardFacts, findings: &mut DoctorFindings) {
    let id = "firmware";
    match (device.card.firmware(), facts.running) {
        (FirmwareState::Runs, Some(version)) => findings.good(id, format!("{version} runs")),
        (FirmwareState::Runs, None) => findings.good(id, "runs; it shows no version"),
        (FirmwareState::Recovery, _) => {
            findings.bad(id, "none runs: recovery mode", PUT_IMAGE);
        }
        (FirmwareState::NotRunning, _) => {
            let register = match device.card.recovery_test() {
                Ok(value) => format!("0x41270 = {value:#010x}"),
                Err(error) => error.to_string(),
            };
            findings.bad(
                id,
                format!("does not run ({register}), and the card is not in recovery mode"),
                "power the machine off and on; if it does not run then, write the firmware that ran before: <card> restore BACKUP",
            );
        }
    }
}

fn flash(facts: &CardFacts, locked: &mut Locked<'_>, findings: &mut DoctorFindings) {
    let chip = locked.chip().clone();
    findings.good(
        "flash",
        format!("{}, JEDEC {:06x}, {} KiB", chip.name, chip.jedec, chip.geometry.size / 1024),
    );
    let protection = locked.protection().clone();
    if protection.status & chip.protect_mask == 0 && protection.range.is_none() {
        findings.good("protection", format!("status {:#04x}, none", protection.status));
    } else {
        findings.bad(
            "protection",
            format!("status {:#04x}: blocks are write protected", protection.status),
            "a jumper on the board or another tool set it; clear it before a burn: <card> flash protect --off",
        );
    }
    // Single reads are slower, not worse: no reason to report the card as faulty.
    match shown(facts, locked) {
        Ok(record) => {
            if let Some(ChainVerdict::Proven(proof)) = record.as_ref().and_then(|r| r.chains) {
                locked.trust_chains(&proof);
            }
            findings.good("chained_reads", chains(facts, record.as_ref()));
        }
        Err(error) => findings.failed("chained_reads", &error),
    }
    let mut source = locked.source();
    let images = read_images(&mut source, Depth::Full);
    let wavering = source.wavering();
    match images {
        Ok(images) => {
            let query = outcome(facts.report(locked), images, wavering);
            judge(&query, findings);
            if facts.recovery && query.images.iter().any(|report| report.boots) {
                findings.refix("firmware", STANDS_STILL);
            } else if facts.recovery
                && let Some(way) = write_anew(&query)
                && let Some(fix) = way.advice(&findings.context())
            {
                findings.refix("firmware", &fix);
            }
            findings.query = Some(query);
        }
        Err(error) => {
            findings.failed("images", &error);
            findings.leave_rest("the images could not be read");
        }
    }
}

/// What this card has shown about chained reads, in words.
fn chains(facts: &CardFacts, record: Option<&CardRecord>) -> String {
    let shown = record.and_then(|record| Some((record.chains?, &record.time)));
    match (&facts.proofs, shown) {
        (None, _) => {
            "not used: this card shows no serial number under which a proof could be kept".into()
        }
        (_, Some((ChainVerdict::Proven(proof), time))) => {
            let (bytes, time) = (counted(proof.bytes, "byte"), moment(time));
            format!("proven on this card over {bytes} on {time}; used")
        }
        (_, Some((ChainVerdict::Contradicted { at }, time))) => {
            format!(
                "contradicted on this card at {at:#x} on {}; single reads are used",
                moment(time)
            )
        }
        (_, None | Some((ChainVerdict::TooLittle { .. }, _))) => {
            "not proven on this card yet; single reads are used, `backup` or a burn proves them"
                .into()
        }
    }
}

fn judge(query: &QueryOutcome, findings: &mut DoctorFindings) {
    let list: Vec<String> = query
        .images
        .iter()
        .map(|report| {
            let version = report
                .image
                .as_ref()
                .and_then(|i| i.info.as_ref()?.fw_version)
                .map_or_else(|| "unreadable".into(), |v| v.to_string());
            let state = match &report.unsure {
                Some(why) if report.boots => format!("runs, although {why}"),
                Some(why) => format!("{UNSURE}: {why}"),
                None if report.valid == Some(true) => "valid".to_owned(),
                None => "damaged".to_owned(),
            };
            let stays = report.wrong_silicon.as_ref();
            let stays = stays.map_or_else(String::new, |why| format!(", does not start: {why}"));
            format!("{version} at {:#x} {state}{stays}", report.start.0)
        })
        .collect();
    let boots = query.images.iter().find(|r| r.boots);
    match boots {
        Some(_) => findings.good("images", list.join(", ")),
        None => findings.bad(
            "images",
            if list.is_empty() { "none".to_owned() } else { list.join(", ") },
            &write_anew(query)
                .and_then(|way| way.advice(&findings.context()))
                .unwrap_or_else(|| PUT_IMAGE.to_owned()),
        ),
    }
    let unsure = || query.images.iter().find(|r| r.unsure.is_some());
    let identity = boots.or_else(unsure).and_then(|r| r.image.as_ref()).map(Identity::from_image);
    match identity {
        Some(Ok(identity)) => {
            findings.good("identity", format!("MACs {} {}", identity.macs[0], identity.macs[1]))
        }
        Some(Err(error)) => findings.bad(
            "identity",
            error.to_string(),
            "give the card its identity (or --identity BACKUP/identity.json): <card> identity set --guid G --mac M",
        ),
        None => findings.unchecked("identity", "no image"),
    }
}

fn space(dir: &Path, findings: &mut DoctorFindings) {
    let id = "backup_space";
    let fix = "name another directory with each command that writes: --backup-dir DIR";
    // The nearest directory that exists: a backup makes those below it.
    let Some(base) = dir
        .ancestors()
        .map(|path| if path.as_os_str().is_empty() { Path::new(".") } else { path })
        .find(|path| path.is_dir())
    else {
        findings.bad(id, format!("{} has no existing parent", escape::path(dir)), fix);
        return;
    };
    if let Err(error) = nix::unistd::access(base, nix::unistd::AccessFlags::W_OK) {
        findings.bad(id, format!("{} cannot be written: {error}", escape::path(base)), fix);
        return;
    }
    match nix::sys::statvfs::statvfs(base) {
        Ok(stat) => {
            let free = stat.blocks_available().saturating_mul(stat.fragment_size());
            let text = format!("{} MiB free in {}", free >> 20, escape::path(base));
            if free >= BACKUP_BYTES {
                findings.good(id, text);
            } else {
                findings.bad(id, text, fix);
            }
        }
        Err(error) => findings.bad(
            id,
            format!("free space in {} is not known: {error}", escape::path(base)),
            fix,
        ),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic in a test is the report")]

    use super::*;
    use crate::card::{Card, Clock, CrError, CrOffset, CrSpace};
    use crate::image::{Half, Recipe, build, striped};
    use crate::sim::{CardSpec, SimCard};

    /// A card whose register at 0x41270 shows something else.
    struct Overlaid(Box<dyn CrSpace>, fn(&dyn Clock) -> u32, SimCard);

    impl CrSpace for Overlaid {
        fn read(&mut self, at: CrOffset) -> Result<u32, CrError> {
            let value = self.0.read(at)?;
            Ok(match at.0 {
                0x4_1270 => (self.1)(&*self.2.clock()),
                _ => value,
            })
        }

        fn write(&mut self, at: CrOffset, value: u32) -> Result<(), CrError> {
            self.0.write(at, value)
        }

        fn posts_writes(&self) -> bool {
            self.0.posts_writes()
        }

        fn pci_device_id(&mut self) -> Result<u16, CrError> {
            self.0.pci_device_id()
        }
    }

    fn device(test: fn(&dyn Clock) -> u32) -> Result<Device, JobError> {
        let image = build(&Recipe::mcx312b_2_42_5000()).unwrap();
        let flash = striped(&image, Half::Even, 2 << 20).unwrap();
        let sim = SimCard::new(CardSpec::named("mcx312b").unwrap(), &flash);
        let space = Box::new(Overlaid(sim.bar0(), test, sim.clone()));
        let card = Card::open(space, sim.clock())?;
        Ok(Device::new(card, sim.clock(), "sim:test"))
    }

    #[test]
    fn firmware_that_does_not_run_under_a_normal_id_is_not_sent_to_recover() {
        let mut findings = DoctorFindings::default();
        card(&mut device(|_| u32::MAX).unwrap(), &mut findings);
        let found = findings.list.iter().find(|finding| finding.id == "firmware");
        let found = found.unwrap();
        assert!(!found.ok);
        assert!(found.detail.contains("0x41270 = 0xffffffff"), "{found:?}");
        let fix = found.fix.clone().unwrap_or_default();
        assert!(fix.contains("power") && !fix.contains("recover"), "{fix}");
        // The rest of the card is inspected all the same.
        assert!(findings.list.iter().any(|finding| finding.id == "images" && finding.ok));
    }

    #[test]
    fn a_card_that_does_not_get_ready_is_not_ready_and_nothing_else() {
        // Every 100 ms another state.
        let never_stable = |clock: &dyn Clock| {
            let odd = clock.now().as_millis() / 100 % 2 == 1;
            if odd { u32::MAX } else { 0 }
        };
        let error = device(never_stable).map(drop).unwrap_err();
        assert_eq!(error.outcome().exit, crate::job::Exit::NotReady, "{error}");
        let mut findings = DoctorFindings::default();
        unopened(&error, &mut findings);
        let found = findings.list.iter().find(|finding| finding.id == "card").unwrap();
        assert!(found.detail.contains("not ready"), "{found:?}");
    }
}
