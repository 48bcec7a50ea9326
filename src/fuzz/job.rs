//! A whole job over a hostile flash, a hostile image and faults, judged by the simulated card.

use super::files::in_dir;
use super::flash_of;
use crate::image::{Contents, Half, Identity, Recipe, Rom, build, striped};
use crate::job::{
    Exit, ImageFile, JobError, RomFile, WriteOptions, WriteOutcome, WriteRequest, open_sim, write,
};
use crate::plan::{BurnOptions, IdentityChange};
use crate::sim::{BootOutcome, CardSpec, Fault, SimCard, WrongRead};
use arbitrary::{Arbitrary, Unstructured};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// What a target file of `job` describes. The flash follows as records of [`flash_of`].
#[derive(Arbitrary, Clone, Copy, Debug)]
pub(super) struct JobInput {
    pub(super) pro: bool,
    /// What the flash holds before the records: 0 nothing, 1 and 2 an image in a half.
    pub(super) holds: u8,
    pub(super) job: u8,
    /// Bytes of the new image that are wrong: place, value xored.
    pub(super) damage: Option<(u16, u8)>,
    pub(super) faults: [Option<FaultInput>; 2],
}

/// One fault of a job.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub(super) struct FaultInput {
    pub(super) kind: u8,
    pub(super) when: u16,
    pub(super) what: u8,
}

impl FaultInput {
    fn fault(self) -> Fault {
        let (after, op, seed) = (u64::from(self.when), u64::from(self.when % 1024), self.what);
        let bit = u32::from(seed);
        match self.kind % 14 {
            0 => Fault::PowerCut { op, seed: seed.into() },
            1 => Fault::FlippedBit { op, bit },
            2 => Fault::LyingWrite { op },
            3 => Fault::ShortRead { after },
            4 => Fault::WrongRead { after, kind: WrongRead::Flipped { bit }, at: None },
            5 => Fault::WrongRead { after, kind: WrongRead::Stale, at: None },
            6 => Fault::StuckBusy { after },
            7 => Fault::StuckWip { op },
            8 => Fault::SemaphoreHeld {
                number: if seed & 1 == 0 { 63 } else { 40 },
                reads: (seed & 2 == 0).then_some(after),
                owner_alive: seed & 4 != 0,
            },
            9 => Fault::Protected { status: seed },
            10 => Fault::Removed { after: after * 16 },
            11 => Fault::Reset { after: after * 16 },
            12 => Fault::Away { after, ms: u64::from(seed) << 6 },
            _ => Fault::BrokenChainedRead,
        }
    }
}

/// Images that fit the two cards: old and new of each, with an identity.
fn images() -> &'static [[Contents; 2]; 2] {
    static IMAGES: OnceLock<[[Contents; 2]; 2]> = OnceLock::new();
    IMAGES.get_or_init(|| {
        [Recipe::mcx311a_2_42_5000(), Recipe::mcx312b_2_42_5000()].map(|recipe| {
            let chunk_log2 = recipe.chunk_log2.map(|_| 16);
            let small = Recipe { size: 0, rom: None, chunk_log2, ..recipe };
            let old = crate::image::Version { subminor: 100, ..small.version };
            let old = Recipe { version: old, seed: 9, ..small.clone() };
            [old, small].map(|recipe| {
                let bytes = build(&recipe).expect("a recipe");
                Contents::from_file(&bytes).expect("an image")
            })
        })
    })
}

/// The card before the job, faults not set.
fn card(input: &JobInput, records: &[u8]) -> SimCard {
    let [old, _] = &images()[usize::from(input.pro)];
    let spec = match input.pro {
        true => CardSpec { hw_id: 0x1F7, revision: 0, ..CardSpec::default() },
        false => CardSpec::default(),
    };
    let size = spec.chip.size();
    let half = if input.holds % 3 == 2 && input.pro { Half::Odd } else { Half::Even };
    let mut flash = match input.holds % 3 {
        0 => vec![0xFF; size as usize],
        _ => striped(old.bytes(), half, size).expect("it fits"),
    };
    // Records overwrite what is there.
    let hostile = flash_of(records, size as usize);
    for (byte, new) in flash.iter_mut().zip(hostile).filter(|(_, new)| *new != 0xFF) {
        *byte = new;
    }
    let card = SimCard::new(spec, &flash);
    card.set_hurry(true);
    card
}

fn image_file(contents: &Contents, damage: Option<(u16, u8)>) -> Option<ImageFile> {
    let mut bytes = contents.bytes().to_vec();
    if let Some((at, value)) = damage {
        let at = usize::from(at) % bytes.len();
        bytes[at] ^= value;
    }
    let contents = Contents::from_file(&bytes).ok()?;
    let (path, sha256) = (PathBuf::from("new.bin"), String::new());
    Some(ImageFile { path, len: bytes.len() as u64, sha256, contents, ran_on: None, choice: None })
}

/// The job that the input names; `None` when its image is none.
fn run(input: &JobInput, card: &SimCard, dir: &Path) -> Option<Result<WriteOutcome, JobError>> {
    let [_, new] = &images()[usize::from(input.pro)];
    let options = BurnOptions { allow_older: true, ..BurnOptions::default() };
    let identity = Identity::from_image(new.image()).expect("an identity");
    let change = IdentityChange { vsd: Some(b"fuzz".to_vec()), ..IdentityChange::default() };
    let rom = crate::image::RomRecipe::pxe((3, 4, 752), 0x1003, 0x400);
    let bytes = rom.build().expect("a ROM");
    let rom = RomFile { path: "rom".into(), rom: Rom::parse(&bytes), bytes };
    let image = image_file(new, input.damage)?;
    let request = match input.job % 6 {
        0 | 1 => WriteRequest::Burn(&image, &options),
        2 => WriteRequest::Recover(&image, &identity),
        3 => WriteRequest::IdentitySet(&change),
        4 => WriteRequest::RomWrite(&rom),
        _ => WriteRequest::RomRemove,
    };
    let ran = open_sim(card, "sim:fuzz").and_then(|mut device| {
        write(
            &mut device,
            &request,
            WriteOptions::later(&dir.join("backups")),
            &mut |_| true,
            &mut (),
        )
    });
    Some(ran)
}

/// The outcome of a job is true of the card.
pub fn job(data: &[u8]) {
    let mut bytes = Unstructured::new(data);
    let Ok(input) = JobInput::arbitrary(&mut bytes) else {
        return;
    };
    let card = card(&input, bytes.take_rest());
    let faults: Vec<Fault> = input.faults.iter().flatten().map(|f| f.fault()).collect();
    // Two wrong readings that agree cannot be noticed.
    let reading = |f: &Fault| matches!(f, Fault::ShortRead { .. } | Fault::WrongRead { .. });
    if faults.iter().filter(|f| reading(f)).count() > 1 {
        return;
    }
    faults.into_iter().for_each(|fault| card.inject(fault));
    let before = card.flash();
    in_dir(|dir| {
        let Some(ran) = run(&input, &card, dir) else {
            return;
        };
        let after = card.flash();
        card.power_cycle();
        let boots = card.boot_outcome();
        match ran {
            Ok(outcome) => succeeded(&outcome, &before, &after, &boots),
            Err(error) => match error.outcome().exit {
                Exit::StillBoots => {
                    assert_ne!(boots, BootOutcome::Recovery, "{error}: nothing boots");
                }
                Exit::NeedsRecover => {
                    assert_eq!(boots, BootOutcome::Recovery, "{error}: it boots");
                }
                Exit::OutcomeUnknown => {}
                exit => assert!(after == before, "exit {}, changed: {error}", exit.code()),
            },
        }
    });
}

fn succeeded(outcome: &WriteOutcome, before: &[u8], after: &[u8], boots: &BootOutcome) {
    let backup = outcome.backup.as_ref().map(|backup| backup.dir.join("flash.bin"));
    if outcome.nothing_to_do {
        assert!(after == before, "nothing to do, and the flash is another one");
        return;
    }
    let held = std::fs::read(backup.expect("a backup")).expect("a backup");
    assert!(held == before, "the backup is not what the card held");
    let found = outcome.boots.clone().expect("read after the job");
    let start = found.start.expect("something boots");
    let Some(version) = found.version else {
        return;
    };
    assert_eq!(*boots, BootOutcome::Image { start, version });
    let contents = Contents::from_dump(after, start).expect("an image");
    assert!(contents.image().is_valid());
    let digest = crate::job::digest(contents.bytes());
    assert_eq!(outcome.image_sha256.as_deref(), Some(digest.as_str()));
}
