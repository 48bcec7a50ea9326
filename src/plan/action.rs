//! A plan, its writes, and the passes of the typestate machine that do them.

use super::check::Checks;
use super::slot::ranges;
use super::{ActionReport, BootEvidence, BootReport, EraseReport, PlanReport, Target, Validity};
use crate::flash::{
    Geometry, Job, LayoutError, SectorAction, SectorMap, SectorPlan, Signature, overlap,
    plan_sectors,
};
use crate::image::{
    AddressMap, Contents, FlashAddr, ImageOffset, MAGIC, START_CANDIDATES, Version,
};
use std::ops::Range;
use std::time::Duration;

/// What a job would do, complete before the first write to anything.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The plan without its bytes.
    pub report: PlanReport,
    /// What to do; `None` when a check refuses or there is nothing to do.
    pub action: Option<Action>,
}

/// The writes of a plan.
#[derive(Clone, Debug)]
pub struct Action {
    /// `None` when no image is written.
    pub target: Option<Target>,
    /// The image that is written, as it will be on the card; `None` when none is.
    pub contents: Option<Contents>,
    /// What boots afterwards, as far as it is relied on.
    pub boots: BootReport,
    /// By which evidence that is judged.
    pub evidence: BootEvidence,
    /// Runs of the typestate machine, in order. One, except for a restore of both halves.
    pub passes: Vec<Pass>,
    /// An interruption at any point leaves a card that boots (P1).
    pub survives_interruption: bool,
    /// The new firmware is started on trial ([`Plan::starts`]).
    pub trial: Option<TrialImages>,
}

/// The two images of a trial start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrialImages {
    pub new: Version,
    pub old: Version,
    /// The version of the old firmware showed when the job began.
    pub old_ran: bool,
    /// The version alone decides whether the new firmware runs ([`StartFacts::register_still`](super::StartFacts)).
    pub by_version: bool,
    /// Firmware of the new version ran then: what runs does not show whether a reset has loaded it.
    pub new_ran: bool,
    /// Where the old image starts.
    pub back: FlashAddr,
    /// As the boot address register takes it.
    pub back_address: u32,
}

/// One run of the typestate machine: erase, write, verify, commit.
#[derive(Clone, Debug)]
pub struct Pass {
    pub sectors: SectorPlan,
    pub signature: Signature,
}

/// The flash a pass starts from, and what it must leave alone.
pub(super) struct PassContext<'a> {
    pub(super) flash: &'a [u8],
    pub(super) geometry: &'a Geometry,
    pub(super) protected: Vec<Range<u32>>,
    pub(super) disposable: Vec<Range<u32>>,
    /// Bytes that read differently each time.
    pub(super) wavering: &'a [Range<u32>],
}

impl PassContext<'_> {
    /// The pass that writes `body`, and last `signature`, if there is one, at its address.
    pub(super) fn pass(
        self,
        body: Vec<(FlashAddr, Vec<u8>)>,
        signature: Option<(FlashAddr, [u8; 16])>,
        boot_address: Option<u32>,
        invalidate: Vec<FlashAddr>,
    ) -> Result<Pass, LayoutError> {
        let has = |at: FlashAddr, bytes: &[u8]| {
            let at = at.0 as usize;
            let end = at.checked_add(bytes.len());
            end.and_then(|end| self.flash.get(at..end)) == Some(bytes)
        };
        let wavers = |at: FlashAddr, len: usize| {
            let len = u32::try_from(len).unwrap_or(u32::MAX);
            let range = at.0..at.0.saturating_add(len);
            self.wavering.iter().any(|w| overlap(w, &range))
        };
        let any_wavers = signature.is_some_and(|(start, signature)| wavers(start, signature.len()))
            || body.iter().any(|(at, bytes)| wavers(*at, bytes.len()));
        // An image that is there already, and reads the same each time, is not written again.
        let signature = signature.filter(|(start, signature)| {
            any_wavers || !has(*start, signature) || body.iter().any(|(at, bytes)| !has(*at, bytes))
        });
        let (at, bytes) = signature.unzip();
        let torn = at.is_some_and(|start| any_wavers || is_torn(self.flash, start, &body));
        // A live signature is invalidated before the body under it changes: a boot ROM must
        // never find it in front of a half-written image.
        let in_place = at.is_some_and(|start| has(start, &MAGIC));
        let job = Job {
            body,
            signature_at: at,
            protected: self.protected,
            disposable: self.disposable,
            in_place,
        };
        let sectors = |flash: &[u8]| plan_sectors(flash, self.geometry, &job);
        let sectors = match torn {
            // Where that would reach into protected bytes, what differs has to do.
            true => sectors(&unlike(self.flash, &job.body)).or_else(|_| sectors(self.flash))?,
            false => sectors(self.flash)?,
        };
        Ok(Pass { sectors, signature: Signature { bytes, boot_address, invalidate } })
    }
}

/// The place of an image holds what an interrupted job left: neither nothing nor an image that is
/// complete but for its signature. There a sector may read blank, or a page right, and not stay so
/// (an erase or program that power ended), so all of it is erased. `body` is what shall be there.
fn is_torn(flash: &[u8], start: FlashAddr, body: &[(FlashAddr, Vec<u8>)]) -> bool {
    let image = |mut flash: Vec<u8>| {
        let place = flash.get_mut(start.0 as usize..start.0 as usize + MAGIC.len())?;
        place.copy_from_slice(&MAGIC);
        Contents::from_dump(&flash, start).ok()
    };
    let complete = |c: &Contents| Validity::of(c.image()).complete();
    if image(flash.to_vec()).is_some_and(|found| complete(&found)) {
        return false;
    }
    let Some(wanted) = image(overlaid(flash, body, |wanted| wanted)).filter(complete) else {
        return false;
    };
    let map = AddressMap::on_flash(wanted.image().layout, start);
    let used = ranges(map, 0, wanted.image().len);
    let blank = |range: &Range<u32>| {
        let bytes = flash.get(range.start as usize..range.end as usize);
        bytes.unwrap_or_default().iter().all(|byte| *byte == 0xFF)
    };
    !used.iter().all(blank)
}

/// The flash with every byte of the body unlike what it shall be and not blank: planned from that,
/// everything is erased and written.
fn unlike(flash: &[u8], body: &[(FlashAddr, Vec<u8>)]) -> Vec<u8> {
    overlaid(flash, body, |wanted| if wanted == 0 { 0x55 } else { 0 })
}

/// The flash with `of(wanted)` in the place of the body.
fn overlaid(flash: &[u8], body: &[(FlashAddr, Vec<u8>)], of: impl Fn(u8) -> u8) -> Vec<u8> {
    let mut flash = flash.to_vec();
    for (at, bytes) in body {
        let place = flash.iter_mut().skip(at.0 as usize).zip(bytes);
        place.for_each(|(byte, wanted)| *byte = of(*wanted));
    }
    flash
}

/// The image without its signature, by flash address.
pub(super) fn body_of(image: &[u8], map: AddressMap) -> Vec<(FlashAddr, Vec<u8>)> {
    const SIGNATURE: u32 = 16;
    let len = u32::try_from(image.len()).unwrap_or(u32::MAX);
    let mut from = SIGNATURE as usize;
    map.runs(ImageOffset(SIGNATURE), len.saturating_sub(SIGNATURE))
        .map(|(at, n)| {
            let bytes = image.get(from..from + n as usize).unwrap_or_default();
            from += n as usize;
            (at, bytes.to_vec())
        })
        .collect()
}

/// Boot address register value for an image at `start` (docs/hardware.md#write-order-in-mstflint).
pub(super) fn boot_address(start: FlashAddr) -> u32 {
    start.0 << 8
}

/// Signatures to invalidate once an image is at `start`: every other one, except what lies inside
/// `untouchable` (the new image, the kept one behind its own signature, NV areas). There the bytes
/// are data.
pub(super) fn signatures_to_invalidate(
    signatures: Vec<FlashAddr>,
    start: FlashAddr,
    untouchable: &[Range<u32>],
) -> Vec<FlashAddr> {
    debug_assert!(START_CANDIDATES.contains(&start.0));
    signatures
        .into_iter()
        .filter(|at| *at != start)
        .filter(|at| {
            let bytes = at.0..at.0.saturating_add(16);
            !untouchable.iter().any(|range| overlap(range, &bytes))
        })
        .collect()
}

/// Ranges of an image except its signature.
pub(super) fn behind_signature(map: AddressMap, len: u32) -> Vec<Range<u32>> {
    ranges(map, 16, len.saturating_sub(16))
}

impl Pass {
    /// Flash ranges this run erases or programs.
    pub fn touched(&self) -> Vec<Range<u32>> {
        let erases =
            self.sectors.erases.iter().map(|(at, size)| at.0..at.0.saturating_add(size.bytes()));
        let programs = self.sectors.programs.iter().map(|(at, bytes)| {
            let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
            at.0..at.0.saturating_add(len)
        });
        let signature = self
            .signature
            .bytes
            .filter(|bytes| *bytes != [0xFF; 16])
            .and(self.sectors.signature_at)
            .map(|at| at.0..at.0.saturating_add(16));
        let invalidated = self.signature.invalidate.iter().map(|at| at.0..at.0.saturating_add(4));
        erases.chain(programs).chain(signature).chain(invalidated).collect()
    }

    /// Neither erases nor programs anything.
    pub fn is_idle(&self) -> bool {
        self.touched().is_empty()
    }
}

impl Plan {
    /// Refuses what was planned, for this reason.
    pub fn refuse(&mut self, check: super::Check) {
        self.report.checks.insert(0, check);
        self.report.refused = true;
        self.report.nothing_to_do = false;
        self.report.action = None;
        self.report.start = None;
        self.action = None;
    }

    /// The plan of these checks: `action` is left out unless every check passes and something would
    /// be written.
    pub(super) fn of(
        checks: Checks,
        from: Option<&Contents>,
        to: Option<&Contents>,
        action: Option<Action>,
    ) -> Self {
        let refused = !checks.all_ok();
        let idle = |action: &Action| action.passes.iter().all(Pass::is_idle);
        let idle = action.as_ref().is_some_and(idle);
        let version = |contents: Option<&Contents>| contents.and_then(|c| c.image().fw_version());
        let psid = |contents: Option<&Contents>| contents.and_then(|c| c.image().psid().cloned());
        let action = action.filter(|_| !refused && !idle);
        let report = PlanReport {
            checks: checks.finish(),
            refused,
            nothing_to_do: !refused && idle,
            from_version: version(from),
            to_version: version(to),
            from_psid: psid(from),
            to_psid: psid(to),
            changes: Vec::new(),
            kept: Vec::new(),
            warnings: Vec::new(),
            crossflash: None,
            start: None,
            action: action.as_ref().and_then(Action::report),
        };
        Self { report, action }
    }
}

impl Action {
    /// A request to stop is served after the first change only where the card then still boots.
    pub(super) fn new(
        target: Option<Target>,
        contents: Option<Contents>,
        (boots, evidence): (BootReport, BootEvidence),
        mut passes: Vec<Pass>,
        survives_interruption: bool,
    ) -> Self {
        for pass in &mut passes {
            pass.sectors.interruptible = survives_interruption;
        }
        Self { target, contents, boots, evidence, passes, survives_interruption, trial: None }
    }

    /// Where the image that is written starts.
    pub fn new_start(&self) -> Option<FlashAddr> {
        self.passes.iter().find_map(|pass| pass.sectors.signature_at)
    }

    /// Version of the image that is written.
    pub fn version(&self) -> Option<Version> {
        self.contents.as_ref()?.image().fw_version()
    }

    fn report(&self) -> Option<ActionReport> {
        let mut map = self.passes.first()?.sectors.map.clone();
        for pass in self.passes.iter().skip(1) {
            merge(&mut map, &pass.sectors.map);
        }
        let sectors = || self.passes.iter().map(|p| &p.sectors);
        let estimate: Duration = sectors().map(|s| s.estimate).sum();
        Some(ActionReport {
            target: self.target,
            signature_at: sectors().find_map(|s| s.signature_at),
            invalidate: self.passes.iter().flat_map(|p| p.signature.invalidate.clone()).collect(),
            survives_interruption: self.survives_interruption,
            erases: sectors()
                .flat_map(|s| &s.erases)
                .map(|(at, size)| EraseReport { at: *at, size: *size })
                .collect(),
            programs: sectors().map(|s| s.programs.len()).sum(),
            program_bytes: sectors()
                .flat_map(|s| &s.programs)
                .map(|(_, bytes)| bytes.len() as u64)
                .sum(),
            estimate_ms: u64::try_from(estimate.as_millis()).unwrap_or(u64::MAX),
            map,
        })
    }
}

/// Shows two passes in one map: what one of them does wins over what the other leaves alone.
fn merge(map: &mut SectorMap, other: &SectorMap) {
    fn weight(action: SectorAction) -> u8 {
        match action {
            SectorAction::Outside | SectorAction::Protected => 0,
            SectorAction::Keep => 1,
            SectorAction::Write => 2,
            SectorAction::Erase => 3,
            SectorAction::EraseWrite => 4,
        }
    }
    for (cell, other) in map.cells.iter_mut().zip(&other.cells) {
        if weight(*other) > weight(*cell) {
            *cell = *other;
        }
    }
}
