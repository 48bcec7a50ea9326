//! The sector planner: whatever the flash holds and should hold, applying the plan gives exactly
//! that, touches nothing else, and never costs more than the naive way.

use cx3flash::flash::{EraseSize, Geometry, Job, LayoutError, SectorAction, plan_sectors};
use cx3flash::image::FlashAddr;
use proptest::prelude::*;
use std::ops::Range;
use std::time::Duration;

const SIZE: u32 = 0x4_0000;

fn geometry(k4: Option<u64>, k64: Option<u64>) -> Geometry {
    Geometry {
        size: SIZE,
        erase_4k: k4.map(Duration::from_millis),
        erase_64k: k64.map(Duration::from_millis),
        program_page: Duration::from_micros(700),
    }
}

/// A flash made of stretches that are blank, noise, or zero.
fn flash() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec((0u8..4, any::<u8>()), 128).prop_map(|stretches| {
        stretches
            .into_iter()
            .enumerate()
            .flat_map(|(n, (kind, seed))| {
                (0..SIZE as usize / 128).map(move |i| match kind {
                    0 | 1 => 0xFF,
                    2 => 0,
                    _ => (i as u8).wrapping_mul(31).wrapping_add(seed).wrapping_add(n as u8),
                })
            })
            .collect()
    })
}

#[derive(Debug, Clone)]
struct SectorCase {
    flash: Vec<u8>,
    job: Job,
    geometry: Geometry,
}

fn case() -> impl Strategy<Value = SectorCase> {
    (
        flash(),
        flash(),
        0u32..SIZE / 256,
        1u32..SIZE / 8,
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
        prop_oneof![
            Just((Some(70), Some(500))),
            Just((Some(20), Some(500))),
            Just((None, Some(500))),
            Just((Some(70), None)),
        ],
    )
        .prop_map(|(flash, source, page, len, signed, in_place, disposable, (k4, k64))| {
            let start = page * 256;
            let len = len.min(SIZE - start).max(1);
            let skip = if signed && len > 16 { 16 } else { 0 };
            let body = source[(start + skip) as usize..(start + len) as usize].to_vec();
            let job = Job {
                body: vec![(FlashAddr(start + skip), body)],
                signature_at: (skip == 16).then_some(FlashAddr(start)),
                protected: Vec::from([SIZE - 0x2000..SIZE]),
                disposable: if disposable {
                    Vec::from([start + len..SIZE - 0x2000])
                } else {
                    Vec::new()
                },
                in_place,
            };
            SectorCase { flash, job, geometry: geometry(k4, k64) }
        })
}

fn apply(flash: &[u8], plan: &cx3flash::flash::SectorPlan) -> Vec<u8> {
    let mut now = flash.to_vec();
    for (at, size) in &plan.erases {
        assert_eq!(at.0 % size.bytes(), 0, "erase address is not its sector's");
        now[at.0 as usize..(at.0 + size.bytes()) as usize].fill(0xFF);
    }
    for (at, bytes) in &plan.programs {
        assert!(!bytes.iter().all(|b| *b == 0xFF), "an empty program");
        assert!(at.0 % 256 + bytes.len() as u32 <= 256, "a program crosses a page");
        for (cell, byte) in now[at.0 as usize..].iter_mut().zip(bytes) {
            assert!(*byte == 0xFF || *cell == 0xFF || *cell == *byte, "a program over old bits");
            *cell &= byte;
        }
    }
    now
}

fn overlaps(a: &Range<u32>, b: &Range<u32>) -> bool {
    a.start < b.end && b.start < a.end
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn plan_then_apply_gives_exactly_what_was_wanted(case in case()) {
        let SectorCase { flash, job, geometry } = case;
        match plan_sectors(&flash, &geometry, &job) {
            Err(LayoutError::HitsProtected { .. }) => {
                // Only where the smallest erase really reaches into the guarded end.
                let cell = if geometry.erase_4k.is_some() { 0x1000 } else { 0x1_0000 };
                let (at, bytes) = &job.body[0];
                let reach = (at.0 + bytes.len() as u32).next_multiple_of(cell);
                prop_assert!(reach > SIZE - 0x2000);
            }
            Err(LayoutError::Guarded { at, .. }) => {
                prop_assert!(at >= SIZE - 0x2000 || job.signature_at.is_some_and(|s| s.0 == at));
                let end = job.body[0].0.0 + job.body[0].1.len() as u32;
                prop_assert!(end > SIZE - 0x2000);
            }
            Err(other) => prop_assert!(false, "{other}"),
            Ok(plan) => {
                let now = apply(&flash, &plan);
                for (at, bytes) in job.body.iter().chain(&plan.expect) {
                    prop_assert!(now[at.0 as usize..][..bytes.len()] == bytes[..]);
                }
                if let Some(at) = job.signature_at {
                    prop_assert_eq!(&now[at.0 as usize..][..16], &[0xFF; 16]);
                }
                let ours: Vec<Range<u32>> = job
                    .body
                    .iter()
                    .map(|(at, b)| at.0..at.0 + b.len() as u32)
                    .chain(job.signature_at.map(|at| at.0..at.0 + 16))
                    .chain(job.disposable.clone())
                    .collect();
                for n in 0..SIZE {
                    if !ours.iter().any(|r| r.contains(&n)) {
                        prop_assert_eq!(now[n as usize], flash[n as usize], "byte {:#x} changed", n);
                    }
                }
                for (at, size) in &plan.erases {
                    let erase = at.0..at.0 + size.bytes();
                    prop_assert!(!job.protected.iter().any(|p| overlaps(p, &erase)));
                }
            }
        }
    }

    #[test]
    fn never_dearer_than_erasing_every_cell_of_the_body(case in case()) {
        let SectorCase { flash, job, geometry } = case;
        if let (Ok(plan), Some(k4)) = (plan_sectors(&flash, &geometry, &job), geometry.erase_4k) {
            let (at, bytes) = &job.body[0];
            let start = job.signature_at.map_or(at.0, |s| s.0) / 0x1000;
            let end = (at.0 + bytes.len() as u32).div_ceil(0x1000);
            let pages = (end - start) * 16;
            let naive = k4 * (end - start) + geometry.program_page * pages;
            prop_assert!(plan.estimate <= naive, "{:?} > {naive:?}", plan.estimate);
        }
    }
}

fn job(at: u32, body: Vec<u8>) -> Job {
    Job {
        body: vec![(FlashAddr(at), body)],
        signature_at: None,
        protected: Vec::new(),
        disposable: Vec::new(),
        in_place: false,
    }
}

#[test]
fn equal_bytes_cost_nothing() {
    let flash = vec![0x5A; SIZE as usize];
    let plan =
        plan_sectors(&flash, &geometry(Some(70), Some(500)), &job(0x1_0000, vec![0x5A; 0x1_8000]))
            .unwrap();
    assert!(plan.erases.is_empty() && plan.programs.is_empty());
    assert_eq!(plan.map.cells[0x10], SectorAction::Keep);
    assert_eq!(plan.map.cells[0], SectorAction::Outside);
    assert_eq!(plan.estimate, Duration::ZERO);
}

#[test]
fn a_blank_sector_is_not_erased() {
    let flash = vec![0xFF; SIZE as usize];
    let plan =
        plan_sectors(&flash, &geometry(Some(70), Some(500)), &job(0x1_0000, vec![0x5A; 0x1_0000]))
            .unwrap();
    assert!(plan.erases.is_empty());
    assert_eq!(plan.programs.len(), 256);
}

#[test]
fn a_complete_block_is_erased_at_once_and_one_sector_alone() {
    let flash = vec![0; SIZE as usize];
    let g = geometry(Some(70), Some(500));
    let plan = plan_sectors(&flash, &g, &job(0x1_0000, vec![0x5A; 0x1_1000])).unwrap();
    assert_eq!(
        plan.erases,
        [(FlashAddr(0x1_0000), EraseSize::K64), (FlashAddr(0x2_0000), EraseSize::K4),]
    );
}

#[test]
fn neighbours_in_a_large_sector_are_put_back() {
    let mut flash = vec![0xFF; SIZE as usize];
    flash[0x1_0000..0x1_0100].fill(0x11);
    flash[0x1_F000..0x1_F010].fill(0x22);
    let plan = plan_sectors(&flash, &geometry(None, Some(500)), &job(0x1_0000, vec![0x5A; 0x100]))
        .unwrap();
    let now = apply(&flash, &plan);
    assert_eq!(now[0x1_F000..0x1_F010], [0x22; 16]);
    assert!(
        plan.expect.iter().any(|(_, bytes)| bytes.contains(&0x22)),
        "put back but not verified"
    );
}

#[test]
fn an_erase_that_would_reach_guarded_bytes_is_refused() {
    let flash = vec![0; SIZE as usize];
    let guarded =
        Job { protected: Vec::from([0x1_F000..0x2_0000]), ..job(0x1_0000, vec![0x5A; 0x1000]) };
    let error = plan_sectors(&flash, &geometry(None, Some(500)), &guarded).unwrap_err();
    assert!(matches!(error, LayoutError::HitsProtected { start: 0x1_F000, .. }), "{error}");
    let plan = plan_sectors(&flash, &geometry(Some(70), Some(10)), &guarded).unwrap();
    assert_eq!(plan.erases, [(FlashAddr(0x1_0000), EraseSize::K4)]);
}

#[test]
fn guarded_bytes_are_not_programmed_even_where_that_needs_no_erase() {
    let mut flash = vec![0xFF; SIZE as usize];
    let g = geometry(Some(70), Some(500));
    let guarded = |at, signature_at| Job {
        protected: Vec::from([0x1_8000..0x1_A000]),
        signature_at,
        ..job(at, vec![0x5A; 0x1000])
    };
    let error = plan_sectors(&flash, &g, &guarded(0x1_7800, None)).unwrap_err();
    assert!(matches!(error, LayoutError::Guarded { at: 0x1_8000, .. }), "{error}");
    let signature = Some(FlashAddr(0x1_9FF8));
    let error = plan_sectors(&flash, &g, &guarded(0x1_A008, signature)).unwrap_err();
    assert!(matches!(error, LayoutError::Guarded { .. }), "{error}");
    // What stands there already is no change.
    flash[0x1_8000..0x1_9000].fill(0x5A);
    let plan = plan_sectors(&flash, &g, &guarded(0x1_8000, None)).unwrap();
    assert!(plan.erases.is_empty() && plan.programs.is_empty());
}

#[test]
fn a_chip_without_a_known_erase_is_refused_where_an_erase_is_needed() {
    let flash = vec![0; SIZE as usize];
    let g = geometry(None, None);
    let error = plan_sectors(&flash, &g, &job(0x1_0000, vec![0x5A; 0x100])).unwrap_err();
    assert_eq!(error, LayoutError::NoErase { at: 0x1_0000 });
    let equal = plan_sectors(&flash, &g, &job(0x1_0000, vec![0; 0x100])).unwrap();
    assert!(equal.erases.is_empty() && equal.programs.is_empty());
}
