//! Plans the cheapest erases and programs from what the flash holds to what it should hold. Pure.

use super::{EraseSize, Geometry, Job, LayoutError, SectorAction, SectorMap, SectorPlan, overlap};
use crate::image::FlashAddr;
use std::ops::Range;
use std::time::Duration;

/// Page of every chip in the table, in bytes.
const PAGE: u32 = 256;
/// Data of one gateway operation, in bytes.
const BLOCK: usize = 16;
const SIGNATURE: u32 = 16;

/// Finds the cheapest erases and programs that write `job.body` into `flash`, leave the place of
/// the signature blank and everything else as it is (disposable bytes may become FF).
///
/// # Errors
/// [`LayoutError`] when the body does not fit or an erase would reach into protected bytes.
pub fn plan_sectors(
    flash: &[u8],
    geometry: &Geometry,
    job: &Job,
) -> Result<SectorPlan, LayoutError> {
    SectorPlanner::new(flash, geometry, job)?.plan()
}

/// What one byte of the flash is to the job.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    /// Not the job's: must stay.
    Other,
    /// Not the job's and not needed.
    Disposable,
    /// Body, or the signature's place.
    Wanted,
}

struct SectorPlanner<'a> {
    flash: &'a [u8],
    geometry: &'a Geometry,
    job: &'a Job,
    /// The flash as it should be, signature's place blank.
    want: Vec<u8>,
    role: Vec<Role>,
    cell: u32,
}

/// Roles and needs of one cell.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Need {
    /// No body byte in it.
    None,
    /// All body bytes equal.
    Equal,
    /// Every differing byte is blank now.
    Program,
    /// Some byte needs an erase.
    Erase,
}

impl<'a> SectorPlanner<'a> {
    fn new(flash: &'a [u8], geometry: &'a Geometry, job: &'a Job) -> Result<Self, LayoutError> {
        let mut planner = Self {
            flash,
            geometry,
            job,
            want: flash.to_vec(),
            role: vec![Role::Other; flash.len()],
            cell: if geometry.erase_4k.is_some() {
                EraseSize::K4.bytes()
            } else {
                EraseSize::K64.bytes()
            },
        };
        for range in &job.disposable {
            let range = clip(range, flash.len());
            if let Some(role) = planner.role.get_mut(range) {
                role.fill(Role::Disposable);
            }
        }
        for (at, bytes) in &job.body {
            planner.put(*at, bytes)?;
        }
        if let Some(at) = job.signature_at {
            planner.put(at, &[0xFF; SIGNATURE as usize])?;
        }
        planner.check_guarded()?;
        Ok(planner)
    }

    /// No program may touch a protected byte, whether it needs an erase or not; wanting what stands
    /// there already is no touch. The signature is always a program.
    fn check_guarded(&self) -> Result<(), LayoutError> {
        let signature = self.job.signature_at.map(|at| at.0..at.0.saturating_add(SIGNATURE));
        for guarded in &self.job.protected {
            let refuse = |at| LayoutError::Guarded { at, start: guarded.start, end: guarded.end };
            if let Some(hit) = signature.as_ref().filter(|s| overlap(s, guarded)) {
                return Err(refuse(hit.start));
            }
            let range = clip(guarded, self.flash.len());
            let (now, want) = (self.flash.get(range.clone()), self.want.get(range.clone()));
            if let (Some(now), Some(want)) = (now, want)
                && let Some(n) = now.iter().zip(want).position(|(now, want)| now != want)
            {
                return Err(refuse((range.start + n) as u32));
            }
        }
        Ok(())
    }

    fn put(&mut self, at: FlashAddr, bytes: &[u8]) -> Result<(), LayoutError> {
        let start = at.0 as usize;
        let range = start..start.saturating_add(bytes.len());
        let (Some(want), Some(role)) =
            (self.want.get_mut(range.clone()), self.role.get_mut(range.clone()))
        else {
            return Err(LayoutError::TooLarge { end: range.end as u64, size: self.geometry.size });
        };
        want.copy_from_slice(bytes);
        role.fill(Role::Wanted);
        Ok(())
    }

    fn now(&self, range: &Range<u32>) -> &[u8] {
        self.flash.get(clip(range, self.flash.len())).unwrap_or(&[])
    }

    fn need(&self, range: &Range<u32>) -> Need {
        let range = clip(range, self.flash.len());
        let mut need = Need::None;
        for n in range {
            let (Some(now), Some(want), Some(Role::Wanted)) =
                (self.flash.get(n), self.want.get(n), self.role.get(n))
            else {
                continue;
            };
            need = match (need, now == want, *now == 0xFF) {
                (_, false, false) => return Need::Erase,
                (_, false, true) => Need::Program,
                (Need::None, true, _) => Need::Equal,
                (need, true, _) => need,
            };
        }
        need
    }

    fn protected(&self, range: &Range<u32>) -> Option<&Range<u32>> {
        self.job.protected.iter().find(|p| overlap(p, range))
    }

    /// Content of `range` after its erase and the programs that follow.
    fn after_erase(&self, range: &Range<u32>) -> Vec<u8> {
        clip(range, self.flash.len())
            .map(|n| match (self.role.get(n), self.want.get(n)) {
                (Some(Role::Disposable) | None, _) | (_, None) => 0xFF,
                (_, Some(byte)) => *byte,
            })
            .collect()
    }

    fn plan(self) -> Result<SectorPlan, LayoutError> {
        let cells: Vec<Range<u32>> = (0..self.geometry.size.div_ceil(self.cell))
            .map(|n| n * self.cell..(n + 1) * self.cell)
            .collect();
        let needs: Vec<Need> = cells.iter().map(|c| self.need(c)).collect();
        let erases = self.erases(&cells, &needs)?;
        let erased = |at: u32| {
            erases.iter().any(|(start, size)| at >= start.0 && at - start.0 < size.bytes())
        };

        let mut programs = Vec::new();
        let mut expect = self.job.body.clone();
        if let Some(at) = self.job.signature_at {
            expect.push((at, vec![0xFF; SIGNATURE as usize]));
        }
        let mut map = Vec::with_capacity(cells.len());
        for (cell, need) in cells.iter().zip(&needs) {
            let wiped = erased(cell.start);
            let programmed = self.programs(cell, wiped);
            if wiped {
                self.put_back(cell, &mut expect);
            }
            map.push(match (wiped, !programmed.is_empty(), need) {
                (true, true, _) => SectorAction::EraseWrite,
                (true, false, _) => SectorAction::Erase,
                (false, true, _) => SectorAction::Write,
                (false, false, Need::None) if self.protected(cell).is_some() => {
                    SectorAction::Protected
                }
                (false, false, Need::None) => SectorAction::Outside,
                (false, false, _) => SectorAction::Keep,
            });
            programs.extend(programmed);
        }
        let mut erases = erases;
        let header = self.job.signature_at;
        if let Some(at) = header.filter(|_| self.job.in_place) {
            // The sector of the header last, in both passes.
            let in_block = |start: u32, len: u32| at.0 >= start && at.0 - start < len;
            erases.sort_by_key(|(start, size)| (in_block(start.0, size.bytes()), *start));
            let sector = at.0 / self.cell * self.cell;
            programs.sort_by_key(|(start, _): &(FlashAddr, Vec<u8>)| {
                (start.0 >= sector && start.0 - sector < self.cell, *start)
            });
        }
        let invalidate_first = self.job.in_place
            && header.is_some_and(|at| {
                self.now(&(at.0..at.0.saturating_add(4))).iter().any(|b| *b != 0)
                    && self.now(&(at.0..at.0.saturating_add(SIGNATURE))) != [0xFF; 16]
            });
        Ok(SectorPlan {
            estimate: self.cost(&erases, programs.len()),
            erases,
            programs,
            expect,
            signature_at: header,
            invalidate_first,
            interruptible: !self.job.in_place,
            map: SectorMap { cell: self.cell, cells: map },
        })
    }

    fn cost(&self, erases: &[(FlashAddr, EraseSize)], programs: usize) -> Duration {
        let times = erases.iter().map(|(_, size)| self.geometry.erase_time(*size));
        let erases: Duration = times.flatten().sum();
        erases + self.geometry.program_page * u32::try_from(programs).unwrap_or(u32::MAX)
    }

    /// The cheapest mix, block of 64 KiB by block: either each cell that needs it, or all at once
    /// with the cells put back that are taken along.
    fn erases(
        &self,
        cells: &[Range<u32>],
        needs: &[Need],
    ) -> Result<Vec<(FlashAddr, EraseSize)>, LayoutError> {
        let block = EraseSize::K64.bytes();
        let per_block = (block / self.cell) as usize;
        let mut erases = Vec::new();
        for (cells, needs) in cells.chunks(per_block).zip(needs.chunks(per_block)) {
            let wanted: Vec<&Range<u32>> = cells
                .iter()
                .zip(needs)
                .filter(|(_, need)| **need == Need::Erase)
                .map(|(cell, _)| cell)
                .collect();
            let (Some(first), Some(start)) = (wanted.first(), cells.first().map(|c| c.start))
            else {
                continue;
            };
            let whole = start..start.saturating_add(block).min(self.geometry.size);
            let at_once = self
                .geometry
                .erase_64k
                .filter(|_| self.protected(&whole).is_none() && whole.end - whole.start == block)
                .map(|time| time + self.put_back_cost(cells, needs));
            let singly = self
                .geometry
                .erase_4k
                .filter(|_| wanted.iter().all(|cell| self.protected(cell).is_none()))
                .map(|time| time * wanted.len() as u32);
            match (at_once, singly) {
                (Some(all), Some(each)) if all < each => {
                    erases.push((FlashAddr(start), EraseSize::K64));
                }
                (Some(_), None) => erases.push((FlashAddr(start), EraseSize::K64)),
                (_, Some(_)) => {
                    erases.extend(wanted.iter().map(|c| (FlashAddr(c.start), EraseSize::K4)));
                }
                (None, None)
                    if self.geometry.erase_4k.is_none() && self.geometry.erase_64k.is_none() =>
                {
                    return Err(LayoutError::NoErase { at: first.start });
                }
                (None, None) => {
                    let hit = wanted
                        .iter()
                        .find_map(|cell| self.protected(cell).map(|p| (*cell, p)))
                        .or_else(|| self.protected(&whole).map(|p| (*first, p)));
                    let (cell, guarded) = hit.unwrap_or((first, &whole));
                    return Err(LayoutError::HitsProtected {
                        at: cell.start,
                        size: self.cell,
                        start: guarded.start,
                        end: guarded.end,
                    });
                }
            }
        }
        Ok(erases)
    }

    /// Programs that a 64K erase costs beyond those that its cells need anyway.
    fn put_back_cost(&self, cells: &[Range<u32>], needs: &[Need]) -> Duration {
        let pages: usize = cells
            .iter()
            .zip(needs)
            .filter(|(_, need)| **need != Need::Erase)
            .map(|(cell, _)| {
                let all = self.programs(cell, true).len();
                all.saturating_sub(self.programs(cell, false).len())
            })
            .sum();
        self.geometry.program_page * pages as u32
    }

    /// Bytes to program into a cell that is not erased: FF where nothing changes, which changes no
    /// NOR cell.
    fn changes(&self, cell: &Range<u32>) -> Vec<u8> {
        clip(cell, self.flash.len())
            .map(|n| match (self.flash.get(n), self.want.get(n)) {
                (Some(now), Some(want)) if now != want => *want,
                _ => 0xFF,
            })
            .collect()
    }

    /// Programs of one cell, page by page, blank blocks at both ends of a page left out.
    fn programs(&self, cell: &Range<u32>, erased: bool) -> Vec<(FlashAddr, Vec<u8>)> {
        let bytes = if erased { self.after_erase(cell) } else { self.changes(cell) };
        let mut programs = Vec::new();
        for (at, page) in (cell.start..).step_by(PAGE as usize).zip(bytes.chunks(PAGE as usize)) {
            let full = |block: &[u8]| block.iter().any(|b| *b != 0xFF);
            let mut blocks = page.chunks(BLOCK);
            let Some(first) = blocks.position(full) else {
                continue;
            };
            let last = page.chunks(BLOCK).rposition(full).unwrap_or(first);
            let span = first * BLOCK..((last + 1) * BLOCK).min(page.len());
            let at = FlashAddr(at + span.start as u32);
            programs.push((at, page.get(span).unwrap_or_default().to_vec()));
        }
        programs
    }

    /// Bytes outside of the job that an erase took along must read back too.
    fn put_back(&self, cell: &Range<u32>, expect: &mut Vec<(FlashAddr, Vec<u8>)>) {
        let mut next = None;
        for n in clip(cell, self.flash.len()) {
            let (Some(Role::Other), Some(byte)) = (self.role.get(n), self.flash.get(n)) else {
                continue;
            };
            match expect.last_mut() {
                Some((_, run)) if next == Some(n) => run.push(*byte),
                _ => expect.push((FlashAddr(n as u32), vec![*byte])),
            }
            next = Some(n + 1);
        }
    }
}

fn clip(range: &Range<u32>, len: usize) -> Range<usize> {
    let end = (range.end as usize).min(len);
    (range.start as usize).min(end)..end
}
