//! A second check of a plan, independent of the planner: plans are plain values that any code can
//! make, and P2 must not depend on their origin.

use super::{FlashChip, FlashError, SectorPlan, overlap};
use crate::image::FlashAddr;
use std::ops::Range;

const PAGE: u32 = 256;
const SIGNATURE: usize = 16;

/// Everything a plan changes before and at the commit, except old signatures.
pub(super) fn changes(plan: &SectorPlan) -> Vec<Range<u32>> {
    let range = |at: FlashAddr, len: usize| at.0..at.0.saturating_add(len as u32);
    let erases = plan.erases.iter().map(|(at, size)| range(*at, size.bytes() as usize));
    let programs = plan.programs.iter().map(|(at, bytes)| range(*at, bytes.len()));
    let signature = plan.signature_at.map(|at| range(at, SIGNATURE));
    erases.chain(programs).chain(signature).collect()
}

/// Every erase and program is one the chip has, every programmed byte will be read back, and the
/// place of the signature stays blank until the commit, or as it is when it holds one that the commit
/// programs again.
///
/// # Errors
/// [`FlashError::Plan`], [`FlashError::Outside`].
pub(super) fn check(plan: &SectorPlan, part: &FlashChip) -> Result<(), FlashError> {
    let geometry = &part.geometry;
    let refuse = |at: FlashAddr, what| Err(FlashError::Plan { at: at.0, what });
    if let Some(why) = part.read_only {
        let jedec = part.jedec;
        return Err(FlashError::ReadOnly { jedec, why });
    }
    for range in changes(plan) {
        if range.end > geometry.size {
            return Err(FlashError::Outside {
                at: range.start,
                len: range.len() as u64,
                size: geometry.size,
            });
        }
    }
    for (at, size) in &plan.erases {
        if geometry.erase_time(*size).is_none() {
            return refuse(*at, "the chip has no erase of this size");
        }
        if !at.0.is_multiple_of(size.bytes()) {
            return refuse(*at, "an erase does not begin at a sector");
        }
    }
    let wanted = wanted(plan, geometry.size)?;
    let read_back = |at: FlashAddr, bytes: &[u8], free: Option<u8>| {
        let start = at.0 as usize;
        let here = wanted.get(start..start + bytes.len()).unwrap_or_default();
        let good = |(w, b): (&Option<u8>, &u8)| *w == Some(*b) || free == Some(*b);
        here.len() == bytes.len() && here.iter().zip(bytes).all(good)
    };
    if let Some(at) = plan.signature_at
        && !read_back(at, &[0xFF; SIGNATURE], None)
    {
        let place = at.0..at.0.saturating_add(SIGNATURE as u32);
        let before = SectorPlan { signature_at: None, ..plan.clone() };
        if !expects(&wanted, &place) || changes(&before).iter().any(|range| overlap(range, &place))
        {
            return refuse(at, "the place of the signature is not left blank");
        }
    }
    for (at, bytes) in &plan.programs {
        if bytes.is_empty() || (at.0 % PAGE) as usize + bytes.len() > PAGE as usize {
            return refuse(*at, "a program is empty or crosses its page");
        }
        // FF changes no cell and needs no read-back.
        if !read_back(*at, bytes, Some(0xFF)) {
            return refuse(*at, "a program outside the verified range");
        }
    }
    Ok(())
}

/// All of these bytes will be read back.
fn expects(wanted: &[Option<u8>], place: &Range<u32>) -> bool {
    let bytes = wanted.get(place.start as usize..place.end as usize);
    bytes.is_some_and(|bytes| bytes.iter().all(Option::is_some))
}

/// What must read back, byte by byte.
fn wanted(plan: &SectorPlan, size: u32) -> Result<Vec<Option<u8>>, FlashError> {
    let mut wanted = vec![None; size as usize];
    for (at, bytes) in &plan.expect {
        let start = at.0 as usize;
        let Some(place) = wanted.get_mut(start..start.saturating_add(bytes.len())) else {
            return Err(FlashError::Outside { at: at.0, len: bytes.len() as u64, size });
        };
        for (place, byte) in place.iter_mut().zip(bytes) {
            *place = Some(*byte);
        }
    }
    Ok(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flash::{EraseSize, SectorAction, SectorMap};
    use std::time::Duration;

    fn valid() -> SectorPlan {
        SectorPlan {
            erases: vec![(FlashAddr(0x1_0000), EraseSize::K64)],
            programs: vec![(FlashAddr(0x1_0010), vec![0x5A; 0xF0])],
            expect: vec![
                (FlashAddr(0x1_0000), vec![0xFF; 16]),
                (FlashAddr(0x1_0010), vec![0x5A; 0xF0]),
            ],
            signature_at: Some(FlashAddr(0x1_0000)),
            invalidate_first: false,
            interruptible: true,
            map: SectorMap { cell: 0x1000, cells: vec![SectorAction::Outside; 512] },
            estimate: Duration::ZERO,
        }
    }

    fn check_on(jedec: u32, plan: &SectorPlan) -> Result<(), FlashError> {
        check(plan, &FlashChip::detect(jedec).unwrap())
    }

    const M25PX16: u32 = 0x20_7115;

    fn refused(change: impl FnOnce(&mut SectorPlan), words: &str) {
        let mut plan = valid();
        change(&mut plan);
        let error = check_on(M25PX16, &plan).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
    }

    #[test]
    fn a_valid_plan_passes() {
        assert!(check_on(M25PX16, &valid()).is_ok());
    }

    #[test]
    fn the_signature_is_never_part_of_the_body() {
        refused(
            |p| p.programs.push((FlashAddr(0x1_0000), vec![0x4D; 4])),
            "outside the verified range",
        );
        refused(|p| p.expect[0].1 = b"MTFW____________".to_vec(), "not left blank");
        refused(
            |p| {
                p.expect.remove(0);
            },
            "not left blank",
        );
    }

    #[test]
    fn a_signature_that_is_there_already_is_read_back_and_not_touched_before_the_commit() {
        let mut there = valid();
        there.erases.clear();
        there.expect[0].1 = b"MTFW____________".to_vec();
        assert!(check_on(M25PX16, &there).is_ok());
        there.programs.push((FlashAddr(0x1_0000), b"MTFW____________".to_vec()));
        let error = check_on(M25PX16, &there).unwrap_err();
        assert!(error.to_string().contains("not left blank"), "{error}");
    }

    #[test]
    fn bytes_outside_the_verified_range_are_not_programmed() {
        refused(|p| p.programs[0].1[3] = 0x5B, "outside the verified range");
        refused(
            |p| p.programs.push((FlashAddr(0x2_0000), vec![0; 4])),
            "outside the verified range",
        );
    }

    #[test]
    fn erases_and_programs_the_chip_does_not_have_are_refused() {
        refused(|p| p.erases.push((FlashAddr(0x1_1000), EraseSize::K64)), "begin at a sector");
        refused(|p| p.erases.push((FlashAddr(0x20_0000), EraseSize::K4)), "outside");
        refused(|p| p.programs.push((FlashAddr(0x1_00F0), vec![0x5A; 0x20])), "crosses its page");
        refused(|p| p.programs.push((FlashAddr(0x1_0010), Vec::new())), "is empty");
        refused(|p| p.expect.push((FlashAddr(0x1F_FFFF), vec![0; 2])), "outside");
        let mut plan = valid();
        plan.erases = vec![(FlashAddr(0x1_0000), EraseSize::K4)];
        let m25p16 = check_on(0x20_2015, &plan).unwrap_err();
        assert!(m25p16.to_string().contains("no erase of this size"), "{m25p16}");
    }
}
