//! What a job costs on the card, by the model of design.md "Speed": the rival's burn is 10.3 s.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a panic in a test is the report"
)]

use cx3flash::card::Card;
use cx3flash::flash::{BootProbe, Boots, Flash, Job, Phase, Signature, plan_sectors};
use cx3flash::image::{FlashAddr, MAGIC, Source};
use cx3flash::sim::{CardSpec, Counters, SimCard, SimPart};

/// Nobody asks it in a job that succeeds.
struct NotAsked;

impl BootProbe for NotAsked {
    fn boots(&self, _: &mut dyn Source) -> Boots {
        Boots::Unknown
    }
}

/// Bytes of the rival's image.
const IMAGE: usize = 802_908;
const HALF: u32 = 0x10_0000;

fn noise(len: usize, seed: u32) -> Vec<u8> {
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

/// Backup of the whole flash, burn into the odd half, verification, commit.
fn whole_job(flash: &[u8], body: &[u8]) -> Counters {
    let sim = SimCard::new(
        CardSpec {
            part: SimPart::M25px16,
            ..CardSpec::default()
        },
        flash,
    );
    let clock = sim.clock();
    let mut card = Card::open(sim.bar0(), sim.clock()).unwrap();
    // Waiting until the card is ready is no part of the job.
    let _ = sim.take_counters();
    let mut locked = Flash::lock(&mut card, clock.as_ref()).unwrap();
    let now = locked.read_all(Phase::Backup, &mut ()).unwrap();
    let after_backup = sim.counters();
    let job = Job {
        body: vec![(FlashAddr(HALF + 16), body.to_vec())],
        signature_at: Some(FlashAddr(HALF)),
        protected: vec![0..HALF, 0x1F_0000..0x20_0000],
        disposable: std::iter::once(HALF + IMAGE as u32..0x1F_0000).collect(),
        in_place: false,
    };
    let plan = plan_sectors(&now, &locked.part().geometry, &job).unwrap();
    let erased = locked.erase(plan, &NotAsked, &mut ()).unwrap();
    let after_erase = sim.counters();
    let written = erased.write(&mut ()).unwrap();
    let after_write = sim.counters();
    let verified = written.verify(&mut ()).unwrap();
    let signature = Signature {
        bytes: Some(MAGIC),
        boot_address: Some(HALF << 8),
        retire: Vec::new(),
    };
    drop(verified.commit(&signature, &mut ()).unwrap());
    assert_eq!(sim.misuse(), []);
    let all = sim.counters();
    let ms = |a: Counters, b: Counters| (b.card_time_ns - a.card_time_ns) / 1_000_000;
    println!(
        "backup {} ms, erase {} ms, write {} ms, verify and commit {} ms; {all:?}",
        after_backup.card_time_ns / 1_000_000,
        ms(after_backup, after_erase),
        ms(after_erase, after_write),
        ms(after_write, all),
    );
    all
}

#[test]
fn a_burn_into_a_used_half_costs_no_more_than_the_rivals_burn_alone_and_a_tenth() {
    let counters = whole_job(&noise(0x20_0000, 3), &noise(IMAGE - 16, 4));
    // A mix that is no dearer for the chip than the rival's 13 erases of 64K, 0.47 s each.
    let erasing = counters.chip_time_ns - counters.programs * 800_000;
    assert!(erasing <= 13 * 468_750_000, "{counters:?}");
    assert!(counters.erases_64k >= 11, "{counters:?}");
    assert!(counters.card_time_ns <= 11_330_000_000, "{counters:?}");
}

#[test]
fn waits_are_learned_not_polled_away() {
    let mut flash = noise(0x20_0000, 3);
    flash[HALF as usize..].fill(0xFF);
    let counters = whole_job(&flash, &noise(IMAGE - 16, 4));
    // Two looks at WIP for one program at most, and hardly ever a second look at the busy bit:
    // two reads a command (the flush and the busy bit), four data words a block read.
    assert!(counters.polls <= counters.programs * 2, "{counters:?}");
    let blocks = (0x20_0000 + IMAGE as u64) / 16;
    let floor = counters.gateway_commands * 2 + blocks * 4;
    assert!(
        counters.bar_reads <= floor * 103 / 100,
        "{counters:?} {floor}"
    );
    // Nor does being late cost much more than the work itself.
    assert!(counters.time_ns <= counters.card_time_ns, "{counters:?}");
}

#[test]
fn meeting_the_card_costs_next_to_nothing() {
    let sim = SimCard::new(CardSpec::default(), &noise(0x20_0000, 3));
    let clock = sim.clock();
    let mut card = Card::open(sim.bar0(), sim.clock()).unwrap();
    drop(Flash::lock(&mut card, clock.as_ref()).unwrap());
    let counters = sim.counters();
    // The rival's query has 59,566 reads; a twentieth is 2,978 for everything.
    // Most of them are the reads of three seconds until a card in recovery mode is ready.
    assert!(counters.bar_reads < 750, "{counters:?}");
    assert_eq!(sim.misuse(), []);
}

#[test]
fn a_burn_into_a_blank_half_costs_half_of_the_rivals() {
    let mut flash = noise(0x20_0000, 3);
    flash[HALF as usize..].fill(0xFF);
    let counters = whole_job(&flash, &noise(IMAGE - 16, 4));
    assert_eq!(counters.erases_64k + counters.erases_4k, 0);
    assert!(counters.card_time_ns <= 5_150_000_000, "{counters:?}");
}
