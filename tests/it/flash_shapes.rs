//! Gateway commands have the shapes that known tools send: the list at the head of docs/hardware.md.

use crate::support::flash::{NO_PROBE, execute, job, signature, sim_of};
use crate::support::space::{Intercept, intercepted};
use cx3flash::card::{Card, CrError, CrOffset, CrSpace};
use cx3flash::flash::{ChainProof, Flash, Job, Phase, plan_sectors};
use cx3flash::image::MAGIC;
use cx3flash::sim::{Fault, SimCard, SimChip};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

const DOCUMENT: &str = include_str!("../../docs/hardware.md");

/// CommandWords of the table at the head of the document, with whether each is a chained read.
fn listed() -> Vec<(u32, bool)> {
    let words: Vec<(u32, bool)> = DOCUMENT
        .lines()
        .filter_map(|line| {
            let word = line.strip_prefix("| `0x")?.get(..8)?;
            let word = u32::from_str_radix(word, 16).ok()?;
            Some((word, line.contains("chained read:")))
        })
        .collect();
    assert!(words.len() > 10, "the table was not found: {words:x?}");
    assert_eq!(words.iter().filter(|(_, chained)| *chained).count(), 3);
    words
}

type CommandWords = Rc<RefCell<BTreeSet<u32>>>;

/// Notes every command word on its way to the card.
struct WordRecorder(CommandWords);

impl Intercept for WordRecorder {
    fn write(&mut self, card: &mut dyn CrSpace, at: CrOffset, value: u32) -> Result<(), CrError> {
        if at.0 == 0xF_0400 {
            self.0.borrow_mut().insert(value);
        }
        card.write(at, value)
    }
}

fn old(size: u32) -> Vec<u8> {
    let mut flash: Vec<u8> = (0..size).map(|n| (n.wrapping_mul(0x9E37_79B1) >> 24) as u8).collect();
    flash[..16].copy_from_slice(&MAGIC);
    flash
}

fn opened(chip: SimChip) -> (SimCard, Card, CommandWords) {
    let sim = sim_of(chip, &old(chip.size()));
    let words = CommandWords::default();
    let space = intercepted(&sim, WordRecorder(Rc::clone(&words)));
    let card = Card::open(space, sim.clock()).unwrap();
    (sim, card, words)
}

/// Backup, burn, verification, commit and the old signature, as a burn does them.
fn burn(card: &mut Card, sim: &SimCard, in_place: bool, proof: Option<&ChainProof>) {
    let start = if in_place { 0 } else { 0x8_0000 };
    let clock = sim.clock();
    let mut locked = Flash::lock(card, clock.as_ref()).unwrap();
    if let Some(proof) = proof {
        locked.trust_chains(proof);
    }
    let now = locked.source().read_all(Phase::Backup, &mut ()).unwrap();
    locked.source().reread(0x1000..0x1800).unwrap();
    // Odd lengths at odd places, pieces in the middle of a page, blank ones between them.
    let mut body: Vec<u8> = (0..9_001_u32).map(|n| (n * 7) as u8 | 1).collect();
    body[300..420].fill(0xFF);
    body[512..700].fill(0xFF);
    let job = Job { in_place, ..job(start, body) };
    let plan = plan_sectors(&now, &locked.chip().geometry, &job).unwrap();
    let old: &[u32] = if in_place { &[] } else { &[0] };
    let signature = signature(Some(start << 8), old);
    execute(locked, plan, &NO_PROBE, &signature, &mut ()).unwrap();
}

#[test]
fn every_gateway_word_of_a_burn_is_in_the_list_and_none_is_a_chained_read() {
    let listed = listed();
    let mut sent = BTreeSet::new();
    for part in SimChip::ALL {
        for in_place in [false, true] {
            let (sim, mut card, words) = opened(part);
            burn(&mut card, &sim, in_place, None);
            assert_eq!(sim.misuse(), [], "{part}");
            for word in words.borrow().iter() {
                let known = listed.iter().find(|(known, _)| known == word);
                let Some((_, chained)) = known else {
                    panic!("{part}: {word:#010x} is not in docs/hardware.md");
                };
                assert!(!chained, "{part}: {word:#010x} without a proof");
            }
            sent.extend(words.take());
        }
    }
    // The list is of use only while it is no longer than what is sent.
    for word in [0x4002_243C, 0x4000_2430, 0x4000_2410, 0x4002_241C, 0x4002_201C] {
        assert!(sent.contains(&word), "{word:#010x} was never sent");
    }
}

#[test]
fn chained_reads_are_sent_once_a_proof_is_at_hand_and_only_those_of_the_list() {
    let listed = listed();
    let (sim, mut card, words) = opened(SimChip::M25px16);
    let proof = ChainProof { chain: 4096, bytes: 1 << 20 };
    burn(&mut card, &sim, false, Some(&proof));
    for (word, _) in listed.iter().filter(|(_, chained)| *chained) {
        assert!(words.borrow().contains(word), "{word:#010x} was never sent");
    }
    for word in words.borrow().iter() {
        assert!(listed.iter().any(|(known, _)| known == word), "{word:#010x}");
    }
    assert_eq!(sim.misuse(), []);
}

#[test]
fn changes_of_protection_send_only_words_of_the_list() {
    let listed = listed();
    for part in [SimChip::W25q16, SimChip::M25px16] {
        let (sim, mut card, words) = opened(part);
        sim.inject(Fault::Protected { status: 0x04 });
        let clock = sim.clock();
        let mut locked = Flash::lock(&mut card, clock.as_ref()).unwrap();
        locked.clear_protection(0x04).unwrap();
        if part == SimChip::W25q16 {
            let whole = 0..part.size();
            locked.set_protection(0, &whole).unwrap();
        }
        drop(locked);
        let write = if part == SimChip::W25q16 { 0x4001_2114 } else { 0x4001_2014 };
        assert!(words.borrow().contains(&write), "{part}");
        for word in words.borrow().iter() {
            assert!(listed.iter().any(|(known, _)| known == word), "{word:#010x}");
        }
    }
}
