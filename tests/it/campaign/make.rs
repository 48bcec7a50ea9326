//! Draws a scenario from a seed.

use crate::support::SeededRng;
use crate::sweep::world::{own, small_cx3, small_pro, wide_pro};
use cx3flash::image::{Half, MAGIC, Recipe, RomRecipe, build, striped};
use cx3flash::sim::{CardSpec, Fault, FirmwareDefect, SimCard, SimChip, WrongRead, WrongRegister};
use std::fmt;
use std::path::PathBuf;

const VERSIONS: [&str; 3] = ["2.30.8000", "2.36.5150", "2.42.5000"];
/// Chunk of the failsafe images.
const CHUNK: u32 = 0x1_0000;
/// Seeds below this one end before the activation, on cards that start at once and prefer the lowest image.
pub(super) const WITH_ACTIVATION: u64 = 10_000;

/// Files that all scenarios share.
pub(super) struct CampaignFiles {
    pub(super) dir: tempfile::TempDir,
}

impl CampaignFiles {
    pub(super) fn new() -> Self {
        // In memory where there is a file system for that: there are many backups.
        let shm = std::path::Path::new("/dev/shm");
        let dir =
            if shm.is_dir() { tempfile::tempdir_in(shm) } else { tempfile::tempdir() }.unwrap();
        Self { dir }
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.dir.path().join(name);
        if !path.exists() {
            std::fs::write(&path, bytes).unwrap();
        }
        path
    }
}

/// What is done with the card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum CampaignJob {
    Burn(PathBuf),
    BurnWithoutRom(PathBuf),
    /// `--no-trial`.
    BurnUntried(PathBuf),
    Recover(PathBuf),
    Restore(PathBuf),
    RomWrite(PathBuf),
    RomRemove,
    IdentitySet,
    ConfigReset,
    ConfigSet,
    Verify,
    Query,
    Backup,
    Activate,
}

/// One case.
pub(super) struct CampaignCase {
    pub(super) seed: u64,
    pub(super) failsafe: bool,
    pub(super) card: SimCard,
    pub(super) contents: String,
    pub(super) job: CampaignJob,
    pub(super) faults: Vec<Fault>,
    /// Of the repair that follows.
    pub(super) later: Vec<Fault>,
    /// An image that fits the card.
    pub(super) good: PathBuf,
    /// Jobs that write load the firmware afterwards.
    pub(super) activates: bool,
    /// What is wrong with the firmware of `good` until the last repair.
    pub(super) defect: Option<FirmwareDefect>,
}

impl CampaignCase {
    /// The version of `good` works like this from its next start on.
    pub(super) fn firmware(&self, defect: FirmwareDefect) -> Fault {
        let name = self.good.file_stem().and_then(|name| name.to_str()).unwrap();
        let mut parts = name.split('-').skip(1);
        Fault::Firmware { fw_version: parts.next().unwrap().parse().unwrap(), defect }
    }
}

impl fmt::Display for CampaignCase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let spec = self.card.spec();
        write!(
            f,
            "  card {:#x} with {:?}, {}; {:?}; faults {:?}, then {:?}",
            spec.hw_id, spec.chip, self.contents, self.job, self.faults, self.later
        )?;
        if !self.activates {
            return Ok(());
        }
        let CardSpec { boot_ms, boots_highest_first, honours_boot_address, .. } = spec;
        write!(
            f,
            "\n  boots in {boot_ms} ms, highest first: {boots_highest_first}, by its register: {honours_boot_address}; new firmware: {:?}",
            self.defect
        )
    }
}

fn pick<T: Clone>(rng: &mut SeededRng, of: &[T]) -> T {
    of[rng.below(of.len())].clone()
}

/// A number below 2^`bits`, small ones as likely as large ones.
fn any_size(rng: &mut SeededRng, bits: usize) -> u64 {
    let bits = rng.below(bits + 1);
    rng.next() & ((1 << bits) - 1)
}

fn recipe(rng: &mut SeededRng, failsafe: bool) -> (String, Recipe) {
    let text = pick(rng, &VERSIONS);
    let (wide, rom) = (rng.below(4) == 0, rng.below(4) != 0);
    let mut recipe = match (failsafe, wide) {
        (true, true) => wide_pro(text),
        (true, false) => small_pro(text),
        (false, _) => small_cx3(text),
    };
    if !rom {
        recipe.rom = None;
    }
    (
        format!("{text}{}{}", if wide { " wide" } else { "" }, if rom { "" } else { " no ROM" }),
        recipe,
    )
}

/// Puts `image` into a flash that is blank there.
fn merge(flash: &mut [u8], image: &[u8]) {
    flash.iter_mut().zip(image).for_each(|(byte, other)| *byte &= other);
}

/// The bytes of an image in a flash of `size` bytes.
fn placed(recipe: &Recipe, half: Half, size: u32) -> Vec<u8> {
    let image = own(recipe);
    match recipe.chunk_log2 {
        Some(_) => striped(image.bytes(), half, size).unwrap(),
        None => {
            let mut flash = image.bytes().to_vec();
            flash.resize(size as usize, 0xFF);
            flash
        }
    }
}

/// What an interrupted job left in an area that starts at `start`.
fn spoil(rng: &mut SeededRng, flash: &mut [u8], start: usize) -> &'static str {
    match rng.below(4) {
        0 => {
            flash[start..start + 4].fill(0);
            "invalidated"
        }
        1 => {
            flash[start..start + 16].fill(0xFF);
            let at = start + 0x1000 * (1 + rng.below(7));
            flash[at..start + 0x9000].fill(0xFF);
            "half written"
        }
        2 => {
            flash[start..start + 16].fill(0xFF);
            let at = start + 0x1000 * rng.below(8);
            flash[at..at + 0x1000].iter_mut().for_each(|b| *b |= rng.next() as u8);
            "a torn sector"
        }
        _ => {
            let at = start + 0x40 + rng.below(0x8000);
            flash[at] ^= 1 << rng.below(8);
            "one bit wrong"
        }
    }
}

fn contents(rng: &mut SeededRng, failsafe: bool, size: u32) -> (String, Vec<u8>) {
    let (text, old) = recipe(rng, failsafe);
    let half = if failsafe && rng.below(2) == 1 { Half::Odd } else { Half::Even };
    let start = |half| if half == Half::Odd { CHUNK as usize } else { 0 };
    let mut flash = placed(&old, half, size);
    let mut name = format!("{text} in {half:?}");
    match rng.below(10) {
        0 => return ("blank".into(), vec![0xFF; size as usize]),
        1 => {
            let from = rng.below(size as usize / 2);
            flash[..from].iter_mut().for_each(|b| *b = rng.next() as u8);
            return (format!("foreign bytes up to {from:#x}"), flash);
        }
        2 => {
            let how = spoil(rng, &mut flash, start(half));
            return (format!("{name}, {how}"), flash);
        }
        _ => {}
    }
    if failsafe {
        let (other_text, other) = recipe(rng, true);
        let place = half.other();
        match rng.below(4) {
            0 => {}
            1 => {
                merge(&mut flash, &placed(&other, place, size));
                name = format!("{name}, {other_text} beside it");
            }
            _ => {
                let mut beside = placed(&other, place, size);
                let how = spoil(rng, &mut beside, start(place));
                merge(&mut flash, &beside);
                name = format!("{name}, {other_text} beside it, {how}");
            }
        }
    }
    (name, flash)
}

/// One fault. Operations and accesses are spread over what a job of these images takes.
fn fault(rng: &mut SeededRng) -> Fault {
    let op = 1 + if rng.below(3) == 0 { any_size(rng, 3) } else { rng.below(180) as u64 };
    let seed = rng.next();
    let after = any_size(rng, 22);
    let reads = any_size(rng, 18);
    let bit = rng.next() as u32 % 4096;
    match rng.below(32) {
        24.. => register_fault(rng, op, after, reads, bit),
        0..3 => Fault::PowerCut { op, seed },
        3..7 => Fault::MarginalCut { op, seed },
        7..9 => Fault::BrownOut { op, commands: 1 + any_size(rng, 12), seed },
        9 | 10 => Fault::Misdirected { op, to: rng.next() as u32 & 0xF_FFFF },
        11 | 12 => Fault::FirmwareWrites { after },
        13 => Fault::FlippedBit { op, bit },
        14 => Fault::LyingWrite { op },
        15 => Fault::ShortRead { after: reads },
        16 | 17 => {
            let kind = pick(
                rng,
                &[WrongRead::Stale, WrongRead::AllOnes, WrongRead::Flipped { bit: bit % 128 }],
            );
            Fault::WrongRead { after: reads, kind, at: None }
        }
        18 => Fault::StuckBusy { after: reads },
        19 => Fault::StuckWip { op },
        20 => Fault::Removed { after },
        21 => Fault::Reset { after },
        22 => Fault::Away { after, ms: any_size(rng, 12) },
        _ => match rng.below(3) {
            0 => Fault::DelayedWrites { depth: 1 + rng.below(8) as u32 },
            1 => Fault::BrokenChainedRead,
            _ => Fault::SemaphoreHeld {
                number: 63,
                reads: Some(any_size(rng, 8)),
                owner_alive: false,
            },
        },
    }
}

/// One fault of a register access, or of time.
fn register_fault(rng: &mut SeededRng, op: u64, after: u64, reads: u64, bit: u32) -> Fault {
    let ms = any_size(rng, 15);
    match rng.below(8) {
        0 => {
            let kinds = [
                WrongRegister::RequestLost,
                WrongRegister::AnswerLost,
                WrongRegister::Locked,
                WrongRegister::Filtered,
                WrongRegister::Flipped { bit: bit % 32 },
            ];
            let kind = pick(rng, &kinds);
            Fault::WrongRegister { after, at: None, reads: 1 + any_size(rng, 3) as u32, kind }
        }
        1 => Fault::LostWrite { after, at: None },
        2 => Fault::DoubledWrite { after, at: None },
        3 => Fault::SlowGateway { after: reads, ms },
        4 => Fault::SlowOp { op, ms },
        5 => Fault::Suspend { after, ms, seed: rng.next(), comes_back: rng.below(2) == 0 },
        6 => Fault::Usurped { after },
        _ => {
            let opcode = pick(rng, &[0x9F, 0x05]);
            Fault::WrongAnswer { opcode, after: reads, flip: 1 << (bit % 32) }
        }
    }
}

/// The boot ROM of a card.
fn boot_rom(rng: &mut SeededRng, spec: CardSpec) -> CardSpec {
    CardSpec {
        boot_ms: pick(rng, &[0, 0, 700, 4000]),
        boots_highest_first: rng.below(2) == 1,
        honours_boot_address: rng.below(4) != 0,
        ..spec
    }
}

fn defect(rng: &mut SeededRng) -> Option<FirmwareDefect> {
    let silent = rng.below(2) == 1;
    match rng.below(8) {
        0 | 1 => Some(FirmwareDefect::NeverStarts { recovery_id: silent }),
        2 => Some(FirmwareDefect::Dies { ms: pick(rng, &[0, 10, 400]), silent }),
        3 => Some(FirmwareDefect::NeedsDriver),
        _ => None,
    }
}

fn schedule(rng: &mut SeededRng, most: usize) -> Vec<Fault> {
    (0..rng.below(most + 1)).map(|_| fault(rng)).collect()
}

impl CampaignCase {
    pub(super) fn draw(seed: u64, files: &CampaignFiles) -> Self {
        let mut rng = SeededRng(seed.wrapping_mul(0xD134_2543_DE82_EF95));
        let rng = &mut rng;
        let failsafe = rng.below(2) == 1;
        let chip = match rng.below(16) {
            0 => SimChip::M25p16,
            1 => SimChip::Mx25l1606,
            2 => SimChip::W25q16,
            3 => SimChip::Sst25vf016b,
            _ => SimChip::W25q80,
        };
        let (hw_id, revision) = if failsafe { (0x1f7, 0) } else { (0x1f5, 1) };
        // Drawn apart: what a seed stood for before stays.
        let odd = &mut SeededRng(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let ignores_full_crc = odd.below(2) == 1;
        let spec = CardSpec { hw_id, revision, chip, ignores_full_crc, ..CardSpec::default() };
        let (mut name, mut flash) = contents(rng, failsafe, chip.size());
        if odd.below(5) == 0 {
            let chunk = CHUNK as usize;
            for start in pick(odd, &[vec![0], vec![chunk], vec![0, chunk]]) {
                if flash[start..].starts_with(&MAGIC) {
                    flash[start + 0x23] ^= 1 << odd.below(8);
                    name.push_str(&format!(", full CRC at {start:#x} wrong"));
                }
            }
        }
        let after = &mut SeededRng(seed.wrapping_mul(0xA076_1D64_78BD_642F));
        let activates = seed >= WITH_ACTIVATION;
        let spec = if activates { boot_rom(after, spec) } else { spec };
        let card = SimCard::new(spec, &flash);
        card.set_hurry(true);
        while card.is_booting() {
            card.clock().sleep(std::time::Duration::from_millis(100));
        }

        let (text, new) = recipe(rng, failsafe);
        let bytes = build(&new).unwrap();
        let file = |what: &str| format!("{failsafe}-{}{what}.bin", text.replace(' ', "-"));
        let good = files.write(&file(""), &bytes);
        let image = if rng.below(16) == 0 {
            let mut damaged = bytes;
            let at = rng.below(damaged.len());
            damaged[at] ^= 1 << rng.below(8);
            files.write(&format!("damaged-{seed}.bin"), &damaged)
        } else {
            good.clone()
        };
        let job = match rng.below(32) {
            0..12 => CampaignJob::Burn(image),
            12..17 => CampaignJob::Recover(image),
            17..21 => {
                // Its own backup, or one of the card as it was with another image.
                let (_, other) = recipe(rng, failsafe);
                let dump = match rng.below(3) {
                    0 => flash,
                    _ => placed(&other, Half::Even, chip.size()),
                };
                CampaignJob::Restore(files.write(&format!("dump-{seed}.bin"), &dump))
            }
            21 | 22 => {
                let device = if failsafe { 0x1007 } else { 0x1003 };
                let rom = RomRecipe::pxe((3, 4, 900), device, 0x1800).build().unwrap();
                CampaignJob::RomWrite(files.write(&format!("{failsafe}-rom.bin"), &rom))
            }
            23 => CampaignJob::RomRemove,
            24 | 25 => CampaignJob::IdentitySet,
            26 => CampaignJob::ConfigReset,
            27 => CampaignJob::ConfigSet,
            28 => CampaignJob::Verify,
            29 => CampaignJob::Query,
            _ => CampaignJob::Backup,
        };
        let faults = schedule(rng, 3);
        let later = schedule(rng, 2);
        let job = match after.below(16) {
            0 if activates => CampaignJob::Activate,
            _ => job,
        };
        // Of the version alone is known what the firmware does: the card's own firmware is right.
        let other = !name.contains(text.split(' ').next().unwrap_or_default());
        let defect = defect(after).filter(|_| activates && other);
        Self { seed, failsafe, card, contents: name, job, faults, later, good, activates, defect }
    }
}
