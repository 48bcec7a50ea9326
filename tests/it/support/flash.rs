//! What the tests of the flash module share: contents, a probe of what boots, a listener, a burn.

use cx3flash::card::{Card, CardError};
use cx3flash::flash::{
    BootProbe, Boots, Event, Events, Flash, FlashError, FlashSource, Job, Locked, Phase,
    SectorPlan, Signature, Stopped,
};
use cx3flash::image::{FlashAddr, MAGIC, Source};
use cx3flash::sim::{CardSpec, SimCard, SimChip};

/// Where these tests put a new image; most keep an old one at 0.
pub const START: u32 = 0x8_0000;

/// Bytes without a pattern, the same for the same seed.
pub fn noise(len: usize, seed: u32) -> Vec<u8> {
    let mut x = seed | 1;
    (0..len)
        .map(|_| {
            x ^= x << 13;
            x ^= x >> 17;
            x ^= x << 5;
            (x >> 8) as u8
        })
        .collect()
}

/// An old image's signature at 0 and data behind it.
pub fn old_flash(chip: SimChip) -> Vec<u8> {
    let mut flash: Vec<u8> = (0..chip.size()).map(|n| (n ^ n >> 8) as u8).collect();
    flash[..16].copy_from_slice(&MAGIC);
    flash
}

pub fn sim_of(chip: SimChip, flash: &[u8]) -> SimCard {
    let spec = CardSpec { chip, ..CardSpec::default() };
    SimCard::new(spec, flash)
}

pub fn card_of(chip: SimChip, flash: &[u8]) -> (SimCard, Card) {
    let sim = sim_of(chip, flash);
    let card = Card::open(sim.bar0(), sim.clock()).unwrap();
    (sim, card)
}

/// Reading the flash ends with [`CardError::Gone`], whatever the card answers; `after` names the case.
pub fn reading_ends_with_a_card_that_is_gone(sim: &SimCard, card: &mut Card, after: u64) {
    let clock = sim.clock();
    let read = Flash::lock(card, clock.as_ref())
        .and_then(|mut locked| locked.source().read_all(Phase::Read, &mut ()));
    assert!(
        matches!(read, Err(FlashError::Card(CardError::Gone { .. }))),
        "after {after}: {:?}",
        read.map(|bytes| bytes.len())
    );
}

/// Judges what boots by the signatures at these addresses; without any, it is unknown.
#[derive(Default)]
pub struct SignatureProbe {
    pub new: Option<u32>,
    pub old: Option<u32>,
}

/// For tests whose subject is not what boots.
pub const NO_PROBE: SignatureProbe = SignatureProbe { new: None, old: None };

impl BootProbe for SignatureProbe {
    fn boots(&self, flash: &mut FlashSource<'_, '_>) -> Boots {
        let mut otherwise = Boots::Unknown;
        for (at, image) in [(self.new, Boots::NewImage), (self.old, Boots::OldImage)] {
            let Some(at) = at else { continue };
            let mut head = [0; 16];
            match flash.read_at(FlashAddr(at), &mut head) {
                Ok(()) if head == MAGIC => return image,
                Ok(()) => otherwise = Boots::Nothing,
                Err(_) => return Boots::Unknown,
            }
        }
        otherwise
    }
}

/// Keeps the notes of a job.
#[derive(Default)]
pub struct NoteLog(pub Vec<String>);

impl NoteLog {
    #[track_caller]
    pub fn contains(&self, text: &str) {
        assert!(self.0.iter().any(|n| n.contains(text)), "{:?}", self.0);
    }
}

impl Events for NoteLog {
    fn emit(&mut self, event: Event) {
        if let Event::Note { text } = event {
            self.0.push(text);
        }
    }
}

/// `body` behind a signature at `start`.
pub fn job(start: u32, body: Vec<u8>) -> Job {
    Job {
        body: vec![(FlashAddr(start + 16), body)],
        signature_at: Some(FlashAddr(start)),
        protected: Vec::new(),
        disposable: Vec::new(),
        in_place: false,
    }
}

/// The signature of an image.
pub fn signature(boot_address: Option<u32>, invalidate: &[u32]) -> Signature {
    Signature {
        bytes: Some(MAGIC),
        boot_address,
        invalidate: invalidate.iter().copied().map(FlashAddr).collect(),
    }
}

/// Every step from the erase to the commit.
pub fn execute<'c>(
    locked: Locked<'c>,
    plan: SectorPlan,
    probe: &'c dyn BootProbe,
    signature: &Signature,
    events: &mut dyn Events,
) -> Result<(), Stopped> {
    let verified = locked.erase(plan, probe, events)?.write(events)?.verify(events)?;
    verified.commit(signature, events)?.untried().invalidate_old(events)?;
    Ok(())
}
