//! A plan, its writes, and the passes of the typestate machine that do them.

use super::check::Checks;
use super::slot::ranges;
use super::{ActionReport, Change, Check, CrossFlash, EraseReport, Kept, PlanReport};
use crate::flash::{
    Geometry, Job, LayoutError, SectorAction, SectorMap, SectorPlan, Signature, overlap,
    plan_sectors,
};
use crate::image::{
    AddressMap, Contents, FlashAddr, Half, ImageOffset, MAGIC, START_CANDIDATES, Version,
};
use serde::Serialize;
use std::ops::Range;
use std::time::Duration;

/// Where the image goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Target {
    /// The other half; the card boots the old image until the commit.
    Half {
        half: Half,
        /// log2 of the chunk size.
        chunk_log2: u8,
    },
    /// Over the only image there is.
    InPlace,
    /// The whole flash (restore).
    WholeFlash,
}

/// What a job would do, complete before the first write to anything.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Every check, passed or not, in a fixed order.
    pub checks: Vec<Check>,
    /// What will be different.
    pub changes: Vec<Change>,
    /// What stays.
    pub kept: Vec<Kept>,
    /// Sentences to read before the confirmation.
    pub warnings: Vec<String>,
    /// The card already holds exactly this: exit 2.
    pub nothing_to_do: bool,
    /// Version of the image that boots now.
    pub from_version: Option<Version>,
    /// Version afterwards.
    pub to_version: Option<Version>,
    /// The card's image beside the new one, where their PSIDs differ, refused or not.
    pub crossflash: Option<Box<CrossFlash>>,
    /// What to do; `None` when a check refuses or there is nothing to do.
    pub action: Option<Action>,
}

/// The writes of a plan.
#[derive(Clone, Debug)]
pub struct Action {
    /// `None` when no image is written.
    pub target: Option<Target>,
    /// The image that boots afterwards, as it will be on the card; `None` when no image is written.
    pub contents: Option<Contents>,
    /// Runs of the typestate machine, in order. One, except for a restore of both halves.
    pub passes: Vec<Pass>,
    /// An interruption at any point leaves a card that boots (P1).
    pub survives_interruption: bool,
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
}

impl PassContext<'_> {
    /// The pass that writes `body`, and the magic at `start` last.
    pub(super) fn image_pass(
        &self,
        body: Vec<(FlashAddr, Vec<u8>)>,
        start: FlashAddr,
        boot_address: Option<u32>,
        invalidate: Vec<FlashAddr>,
    ) -> Result<Pass, LayoutError> {
        self.signed_pass(body, start, MAGIC, boot_address, invalidate)
    }

    /// The pass that writes `body`, and these 16 bytes at `start` last.
    pub(super) fn signed_pass(
        &self,
        body: Vec<(FlashAddr, Vec<u8>)>,
        start: FlashAddr,
        signature: [u8; 16],
        boot_address: Option<u32>,
        invalidate: Vec<FlashAddr>,
    ) -> Result<Pass, LayoutError> {
        let live = self.has(start, &MAGIC);
        let equal =
            self.has(start, &signature) && body.iter().all(|(at, bytes)| self.has(*at, bytes));
        let sectors = plan_sectors(
            self.flash,
            self.geometry,
            &Job {
                body,
                signature_at: (!equal).then_some(start),
                protected: self.protected.clone(),
                disposable: self.disposable.clone(),
                // A live signature is invalidated before the body under it changes: a boot ROM must
                // never find it in front of a half-written image.
                in_place: live && !equal,
            },
        )?;
        Ok(Pass {
            sectors,
            signature: Signature {
                bytes: (!equal).then_some(signature),
                boot_address,
                invalidate,
            },
        })
    }

    /// The pass that writes `body` and no signature.
    pub(super) fn plain_pass(
        &self,
        body: Vec<(FlashAddr, Vec<u8>)>,
        invalidate: Vec<FlashAddr>,
    ) -> Result<Pass, LayoutError> {
        let sectors = plan_sectors(
            self.flash,
            self.geometry,
            &Job {
                body,
                signature_at: None,
                protected: self.protected.clone(),
                disposable: self.disposable.clone(),
                in_place: false,
            },
        )?;
        Ok(Pass {
            sectors,
            signature: Signature {
                bytes: None,
                boot_address: None,
                invalidate,
            },
        })
    }

    fn has(&self, at: FlashAddr, bytes: &[u8]) -> bool {
        let at = at.0 as usize;
        at.checked_add(bytes.len())
            .and_then(|end| self.flash.get(at..end))
            == Some(bytes)
    }
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
    #[must_use]
    pub fn touched(&self) -> Vec<Range<u32>> {
        let erases = self
            .sectors
            .erases
            .iter()
            .map(|(at, size)| at.0..at.0.saturating_add(size.bytes()));
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
        let invalidated = self
            .signature
            .invalidate
            .iter()
            .map(|at| at.0..at.0.saturating_add(4));
        erases
            .chain(programs)
            .chain(signature)
            .chain(invalidated)
            .collect()
    }

    /// Neither erases nor programs anything.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.touched().is_empty()
    }
}

impl Plan {
    /// The plan of these checks: `action` is left out unless every check passes and something would
    /// be written.
    pub(super) fn of(
        checks: Checks,
        from: Option<&Contents>,
        to: Option<&Contents>,
        action: Option<Action>,
    ) -> Self {
        let ok = checks.all_ok();
        let idle = |action: &Action| action.passes.iter().all(Pass::is_idle);
        let idle = action.as_ref().is_some_and(idle);
        let version = |contents: Option<&Contents>| contents.and_then(|c| c.image().fw_version());
        Self {
            checks: checks.finish(),
            changes: Vec::new(),
            kept: Vec::new(),
            warnings: Vec::new(),
            nothing_to_do: ok && idle,
            from_version: version(from),
            to_version: version(to),
            crossflash: None,
            action: action.filter(|_| ok && !idle),
        }
    }

    /// Without its bytes.
    #[must_use]
    pub fn report(&self) -> PlanReport {
        PlanReport {
            refused: self.checks.iter().any(|c| !c.ok),
            checks: self.checks.clone(),
            nothing_to_do: self.nothing_to_do,
            from_version: self.from_version,
            to_version: self.to_version,
            changes: self.changes.clone(),
            kept: self.kept.clone(),
            warnings: self.warnings.clone(),
            crossflash: self.crossflash.clone(),
            action: self.action.as_ref().and_then(Action::report),
        }
    }
}

impl Action {
    /// A request to stop is served after the first change only where the card then still boots.
    pub(super) fn new(
        target: Option<Target>,
        contents: Option<Contents>,
        mut passes: Vec<Pass>,
        survives_interruption: bool,
    ) -> Self {
        for pass in &mut passes {
            pass.sectors.interruptible = survives_interruption;
        }
        Self {
            target,
            contents,
            passes,
            survives_interruption,
        }
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
            invalidate: self
                .passes
                .iter()
                .flat_map(|p| p.signature.invalidate.clone())
                .collect(),
            survives_interruption: self.survives_interruption,
            erases: sectors()
                .flat_map(|s| &s.erases)
                .map(|(at, size)| EraseReport {
                    at: *at,
                    size: *size,
                })
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
