//! Wrong readings: none fails a job on a card without faults, and none lets wrong flash content pass.

use crate::support::flash::{
    NoteLog, START, SignatureProbe, execute, job, noise, signature, sim_of,
};
use crate::support::space::{Intercept, intercepted};
use cx3flash::card::{Card, CrError, CrOffset, CrSpace};
use cx3flash::flash::{Boots, Events, Flash, FlashError, Job, Phase, Stopped, plan_sectors};
use cx3flash::image::{FlashAddr, MAGIC, Source};
use cx3flash::sim::{Fault, SimCard, SimChip, WrongRead};
use std::cell::Cell;
use std::rc::Rc;

const PROBE: SignatureProbe = SignatureProbe { new: Some(START), old: None };

/// What is wrong with a reading.
#[derive(Clone, Copy, Debug)]
enum WrongReading {
    /// The data registers keep what they held before.
    Stale,
    /// All ones.
    Ones,
    /// One bit is flipped, WIP or WEL where it is a status.
    Flipped,
}

const WRONG_READINGS: [WrongReading; 3] =
    [WrongReading::Stale, WrongReading::Ones, WrongReading::Flipped];

/// Counts gateway commands that read, and spoils some of them.
#[derive(Clone, Default)]
struct Spoiler(Rc<SpoilerState>);

#[derive(Default)]
struct SpoilerState {
    /// Commands that read so far.
    reads: Cell<u64>,
    /// First one to spoil, how many, and how.
    spoil: Cell<Option<(u64, u64, WrongReading)>>,
    /// Registers as they were before the last such command.
    before: Cell<[u32; 4]>,
    now: Cell<[u32; 4]>,
}

impl Spoiler {
    fn reads(&self) -> u64 {
        self.0.reads.get()
    }

    /// From the `first` read after this moment on, `count` reads are wrong.
    fn spoil(&self, first: u64, count: u64, wrong: WrongReading) {
        self.0.spoil.set(Some((self.reads() + first, count, wrong)));
    }

    fn wraps(&self, sim: &SimCard) -> Box<dyn CrSpace> {
        intercepted(sim, Spoiled(self.clone()))
    }
}

struct Spoiled(Spoiler);

const COMMAND: u32 = 0xF_0400;
const DATA: u32 = 0xF_0410;

impl Intercept for Spoiled {
    fn read(&mut self, card: &mut dyn CrSpace, at: CrOffset) -> Result<u32, CrError> {
        let value = card.read(at)?;
        let n = match at.0 {
            DATA..0xF_0420 => (at.0 - DATA) as usize / 4,
            _ => return Ok(value),
        };
        let state = &self.0.0;
        let read = state.reads.get() - 1;
        let value = match state.spoil.get() {
            Some((first, count, wrong)) if read >= first && read - first < count => match wrong {
                WrongReading::Stale => state.before.get()[n],
                WrongReading::Ones => u32::MAX,
                WrongReading::Flipped if n == 0 => value ^ 1 << (24 + read % 2),
                WrongReading::Flipped => value,
            },
            _ => value,
        };
        let mut now = state.now.get();
        now[n] = value;
        state.now.set(now);
        Ok(value)
    }

    fn write(&mut self, card: &mut dyn CrSpace, at: CrOffset, value: u32) -> Result<(), CrError> {
        let state = &self.0.0;
        if at.0 == COMMAND && value & 1 != 0 {
            state.before.set(state.now.get());
            state.reads.set(state.reads.get() + 1);
        }
        if let DATA..0xF_0420 = at.0 {
            let mut now = state.now.get();
            now[(at.0 - DATA) as usize / 4] = value;
            state.now.set(now);
        }
        card.write(at, value)
    }
}

struct SpoiledCard {
    sim: SimCard,
    spoiler: Spoiler,
    card: Card,
    flash: Vec<u8>,
}

fn bench(chip: SimChip) -> SpoiledCard {
    let flash = noise(chip.size() as usize, 3);
    let sim = sim_of(chip, &flash);
    let spoiler = Spoiler::default();
    let card = Card::open(spoiler.wraps(&sim), sim.clock()).unwrap();
    SpoiledCard { sim, spoiler, card, flash }
}

fn body() -> Vec<u8> {
    noise(700, 8)
}

/// A small body behind a signature at [`START`], planned from what the flash really holds.
fn burn(bench: &mut SpoiledCard, events: &mut dyn Events) -> Result<(), Stopped> {
    let clock = bench.sim.clock();
    let locked = Flash::lock(&mut bench.card, clock.as_ref()).map_err(|source| Stopped {
        phase: Phase::Read,
        at: None,
        boots: Boots::Unknown,
        touched: false,
        seen: None,
        source,
    })?;
    let job = Job { disposable: vec![START + 716..START + 0x1_0000], ..job(START, body()) };
    let plan = plan_sectors(&bench.flash, &locked.chip().geometry, &job).unwrap();
    execute(locked, plan, &PROBE, &signature(None, &[]), events)
}

#[track_caller]
fn is_burned(bench: &SpoiledCard, context: &str) {
    let now = bench.sim.flash();
    assert!(now[START as usize..][..16] == MAGIC, "{context}");
    assert!(now[START as usize + 16..][..700] == body(), "{context}");
}

#[test]
fn no_single_wrong_reading_fails_a_burn_or_spoils_it() {
    for part in [SimChip::W25q80, SimChip::W25q16] {
        let mut dry = bench(part);
        burn(&mut dry, &mut ()).unwrap();
        is_burned(&dry, "without a wrong reading");
        let reads = dry.spoiler.reads();
        for wrong in WRONG_READINGS {
            // Every read but the polls of the long erase in the middle of it, which are all alike.
            for n in (0..reads).filter(|n| *n < 30 || n % 31 == 0 || reads - n < 150) {
                let mut bench = bench(part);
                bench.spoiler.spoil(n, 1, wrong);
                burn(&mut bench, &mut ()).unwrap_or_else(|stopped| {
                    panic!("{part}: read {n} of {reads}, {wrong:?}: {}", stopped.source)
                });
                is_burned(&bench, &format!("{part}: read {n} of {reads}, {wrong:?}"));
                assert_eq!(bench.sim.misuse(), [], "{part}: read {n}, {wrong:?}");
            }
        }
    }
}

#[test]
fn a_corrected_reading_of_the_body_is_reported() {
    let mut dry = bench(SimChip::W25q80);
    burn(&mut dry, &mut ()).unwrap();
    let reads = dry.spoiler.reads();
    // The commit reads four times and polls a few times; before it the body is read back.
    let mut bench = bench(SimChip::W25q80);
    bench.spoiler.spoil(reads - 60, 1, WrongReading::Flipped);
    let mut notes = NoteLog::default();
    burn(&mut bench, &mut notes).unwrap();
    notes.contains("was wrong; read again");
}

#[test]
fn one_wrong_reading_in_the_commit_of_a_disturbed_session_ends_nothing() {
    // The first wrong reading makes the session one in which more readings have to agree.
    let disturbed = || {
        let bench = bench(SimChip::W25q80);
        let kind = WrongRead::Flipped { bit: 70 };
        bench.sim.inject(Fault::WrongRead { after: 0, kind, at: Some(START + 64) });
        bench
    };
    let mut dry = disturbed();
    burn(&mut dry, &mut ()).unwrap();
    let reads = dry.spoiler.reads();
    for n in reads - 60..reads {
        let mut bench = disturbed();
        bench.spoiler.spoil(n, 1, WrongReading::Flipped);
        burn(&mut bench, &mut ())
            .unwrap_or_else(|stopped| panic!("read {n} of {reads}: {}", stopped.source));
        is_burned(&bench, &format!("read {n} of {reads}"));
    }
}

#[test]
fn readings_that_never_agree_end_the_burn_and_say_so() {
    let mut dry = bench(SimChip::W25q80);
    burn(&mut dry, &mut ()).unwrap();
    let from = dry.spoiler.reads() - 60;
    // Stale readings differ from each other only where something else was read in between.
    let mut bench = bench(SimChip::W25q80);
    let toggling = intercepted(&bench.sim, Toggling { from, reads: 0, spoils: false });
    bench.card = Card::open(toggling, bench.sim.clock()).unwrap();
    let stopped = burn(&mut bench, &mut ()).unwrap_err();
    assert!(matches!(stopped.source, FlashError::Unsteady { .. }), "{stopped:?}");
    let text = stopped.source.to_string();
    assert!(text.contains("differ; they never agree"), "{text}");
    assert_ne!(bench.sim.flash()[START as usize..][..16], MAGIC);
}

/// From one read command on, blocks read alternate between right and wrong.
struct Toggling {
    from: u64,
    reads: u64,
    spoils: bool,
}

impl Intercept for Toggling {
    fn read(&mut self, card: &mut dyn CrSpace, at: CrOffset) -> Result<u32, CrError> {
        let value = card.read(at)?;
        let spoil = at.0 == DATA + 8 && self.spoils && self.reads.is_multiple_of(2);
        Ok(if spoil { value ^ 0xFF } else { value })
    }

    fn write(&mut self, card: &mut dyn CrSpace, at: CrOffset, value: u32) -> Result<(), CrError> {
        if at.0 == COMMAND && value & 1 != 0 {
            self.reads += 1;
            self.spoils |= self.reads > self.from;
        }
        card.write(at, value)
    }
}

#[test]
fn a_stale_reading_does_not_hide_a_signature_that_was_not_programmed() {
    let mut dry = bench(SimChip::W25q80);
    burn(&mut dry, &mut ()).unwrap();
    let reads = dry.spoiler.reads();
    let last_program = dry.sim.mutations();
    // Words 1 to 3, then word 0. The data registers still hold words 1 to 3 when they are read back.
    for op in [last_program - 1, last_program] {
        for n in reads.saturating_sub(60)..reads {
            let mut bench = bench(SimChip::W25q80);
            bench.sim.inject(Fault::LyingWrite { op });
            bench.spoiler.spoil(n, 1, WrongReading::Stale);
            let Err(stopped) = burn(&mut bench, &mut ()) else {
                panic!("program {op} did nothing, read {n} of {reads} was stale: not noticed");
            };
            assert!(
                matches!(stopped.source, FlashError::Differs { .. }),
                "program {op}, read {n}: {stopped:?}"
            );
        }
    }
}

#[test]
fn a_range_read_again_takes_what_two_readings_agree_on() {
    let mut bench = bench(SimChip::W25q80);
    let clock = bench.sim.clock();
    let mut locked = Flash::lock(&mut bench.card, clock.as_ref()).unwrap();
    // Blocks 4 and 5 are read wrong the first time.
    bench.spoiler.spoil(4, 2, WrongReading::Ones);
    let mut first = [0; 0x100];
    locked.source().read_at(FlashAddr(0x1000), &mut first).unwrap();
    assert_ne!(first, bench.flash[0x1000..0x1100]);
    assert_eq!(locked.source().known(), [0x1000..0x1100]);

    assert_eq!(locked.source().reread(0x1000..0x1100).unwrap(), [0x1040..0x1060]);
    let mut now = [0; 0x100];
    locked.source().read_at(FlashAddr(0x1000), &mut now).unwrap();
    assert_eq!(now, bench.flash[0x1000..0x1100]);
    assert_eq!(locked.source().reread(0x1004..0x10F3).unwrap(), []);

    locked.source().forget();
    assert_eq!(locked.source().known(), []);
    assert!(matches!(
        locked.source().reread(0x1F_FFF0..0x20_0010),
        Err(FlashError::Outside { .. })
    ));
    assert_eq!(bench.sim.misuse(), []);
}
