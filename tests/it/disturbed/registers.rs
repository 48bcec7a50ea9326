//! One register access of a job goes wrong: a read answers something else, a write is lost or arrives
//! twice, an answer of the chip is wrong, work takes long, or the host sleeps.
//!
//! Whatever the access, a job never leaves a wrong backup, never changes anything but the sectors of its
//! plan, and reports what is on the card as it is. A card that fails once is never reported as gone.

use super::card::{CardLayout, CaseTally, Opened};
use super::wrong_reads::{assert_backups_hold, assert_true_outcome, ended};
use crate::support::space::{Intercept, intercepted};
use crate::support::{deep, every_case};
use cx3flash::card::{Card, CrError, CrOffset, CrSpace};
use cx3flash::job::{self, Code, Device, Exit, JobError};
use cx3flash::sim::{Fault, Op, SimCard, WrongRegister};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

const COMMAND: u32 = 0xf_0400;
const ADDRESS: u32 = 0xf_0404;
const DATA: u32 = 0xf_0410;
const SEMAPHORE_40: u32 = 0xf_03a0;
const SEMAPHORES: std::ops::Range<u32> = 0xf_0300..0xf_0400;

/// One access of an undisturbed job.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Access {
    write: bool,
    at: u32,
    /// The command word that was written last; accesses that differ in this are met differently.
    command: u32,
}

/// Notes every access.
struct Log {
    command: u32,
    list: Rc<RefCell<Vec<Access>>>,
}

impl Log {
    fn note(&mut self, write: bool, at: u32) {
        self.list.borrow_mut().push(Access { write, at, command: self.command });
    }
}

impl Intercept for Log {
    fn read(&mut self, card: &mut dyn CrSpace, at: CrOffset) -> Result<u32, CrError> {
        self.note(false, at.0);
        card.read(at)
    }

    fn write(&mut self, card: &mut dyn CrSpace, at: CrOffset, value: u32) -> Result<(), CrError> {
        if at.0 == COMMAND {
            self.command = value;
        }
        self.note(true, at.0);
        card.write(at, value)
    }
}

/// Silicon whose gateway registers do not show what was written.
struct Mute {
    /// Bits of the command register, and of the address register, that can be read.
    readable: (u32, u32),
}

impl Intercept for Mute {
    fn read(&mut self, card: &mut dyn CrSpace, at: CrOffset) -> Result<u32, CrError> {
        let value = card.read(at)?;
        Ok(match at.0 {
            COMMAND => value & self.readable.0,
            ADDRESS => value & self.readable.1,
            _ => value,
        })
    }
}

/// Runs a job on an opened card.
type RunJob<'a> = &'a dyn Fn(&SimCard, &mut dyn FnMut(&SimCard) -> Result<Device, JobError>);

fn plain(card: &SimCard) -> Result<Device, JobError> {
    let clock = card.clock();
    Ok(Device::new(Card::open(card.bar0(), Rc::clone(&clock))?, clock, "sim"))
}

/// Every access of an undisturbed run.
fn accesses(start: &SimCard, job: RunJob<'_>) -> Vec<Access> {
    let list = Rc::new(RefCell::new(Vec::new()));
    let card = start.fork();
    let before = card.accesses();
    job(&card, &mut |card| {
        let clock = card.clock();
        let log = intercepted(card, Log { command: 0, list: Rc::clone(&list) });
        Ok(Device::new(Card::open(log, Rc::clone(&clock))?, clock, "sim"))
    });
    let list = list.take();
    assert_eq!(list.len() as u64, card.accesses() - before);
    list
}

/// What may go wrong at an access; `n` is its number. A reset between the last look and the command
/// that changes the flash is left out: nothing can see it in time, and the command meets an address of
/// 0.
fn faults(access: Access, n: u64) -> Vec<Fault> {
    let after = n;
    let seed = n.wrapping_mul(0x9E37_79B9);
    let mut faults = vec![
        Fault::Suspend { after, ms: 300_000, seed, comes_back: true },
        Fault::Suspend { after, ms: 300_000, seed, comes_back: false },
    ];
    if !(access.write && access.at == COMMAND) {
        faults.push(Fault::Usurped { after });
    }
    if access.write {
        faults.push(Fault::LostWrite { after, at: None });
        faults.push(Fault::DoubledWrite { after, at: None });
    } else {
        let wrong = |reads, kind| Fault::WrongRegister { after, at: None, reads, kind };
        faults.push(wrong(1, WrongRegister::AnswerLost));
        faults.push(wrong(1, WrongRegister::RequestLost));
        faults.push(wrong(4, WrongRegister::RequestLost));
        faults.push(wrong(1, WrongRegister::Locked));
        faults.push(wrong(1, WrongRegister::Filtered));
        faults.push(wrong(1, WrongRegister::Flipped { bit: (n % 32) as u32 }));
    }
    faults
}

/// A card that works, but for one answer.
fn is_hiccup(fault: &Fault) -> bool {
    matches!(fault, Fault::WrongRegister { kind, .. } if !matches!(kind, WrongRegister::Flipped { .. }))
}

/// Of the faults of a kind of access, one in so many is tried.
const EVERY: usize = 6;
/// A register with fewer kinds of access is tried with every fault.
const FEW: usize = 3;

/// The cases to try. A kind of access is a register, read or written, behind one command word. Each fault is
/// tried at each register behind every sixth command word, from `shift` on; in a deep run behind each of them; with
/// `every_case` at every access.
fn cases(list: &[Access], shift: usize) -> Vec<(Access, Fault)> {
    let mut strata: BTreeMap<Access, Vec<u64>> = BTreeMap::new();
    for (n, access) in list.iter().enumerate() {
        // The four data registers are one kind.
        let at = if access.at >= DATA { DATA } else { access.at };
        strata.entry(Access { at, ..*access }).or_default().push(n as u64);
    }
    let mut cases = Vec::new();
    // Kinds of each register so far.
    let mut turns: BTreeMap<(bool, u32), usize> = BTreeMap::new();
    for (access, places) in &strata {
        let count = faults(*access, 0).len();
        let turn = turns.entry((access.write, access.at)).or_default();
        let first = std::mem::replace(turn, *turn + 1);
        // A register with few kinds is tried with every fault.
        let rare =
            strata.keys().filter(|a| (a.write, a.at) == (access.write, access.at)).count() < FEW;
        for which in
            (0..count).filter(|n| deep() || rare || (n + first + shift).is_multiple_of(EVERY))
        {
            let chosen: Vec<u64> = if every_case() {
                places.clone()
            } else {
                // Another place for each fault: the last, the first, and those between.
                let last = places.len() - 1;
                vec![places[last - which * last / (count - 1)]]
            };
            cases.extend(chosen.into_iter().map(|n| (*access, faults(*access, n).remove(which))));
        }
    }
    cases
}

/// Tries the cases from `shift` on; `judge` runs the job and names how it ended.
fn sweep(
    name: &str,
    start: &SimCard,
    shift: usize,
    job: RunJob<'_>,
    judge: &dyn Fn(&SimCard, &str) -> Result<(), JobError>,
) {
    let list = accesses(start, job);
    let mut tally = CaseTally::default();
    for (access, fault) in cases(&list, shift) {
        let what = format!("{name}, {fault:?}, {access:x?}");
        let card = start.fork();
        card.inject(fault.clone());
        let result = judge(&card, &what);
        let waiting = card.faults();
        assert!(waiting.is_empty(), "{what}: it never happened");
        // A read that takes this one and is not answered: a tool that waits for its user looks the same.
        let took_40 = access == Access { write: false, at: SEMAPHORE_40, ..access }
            && matches!(fault, Fault::WrongRegister { kind: WrongRegister::AnswerLost, .. });
        if let Err(error) = &result {
            let code = error.outcome().code;
            assert!(!is_hiccup(&fault) || took_40, "{what}: {error}");
            assert!(!took_40 || code == Code::SemaphoreHeld, "{what}: {error}");
            let silent = matches!(fault, Fault::Suspend { comes_back: false, .. });
            assert!(silent || code != Code::CardGone, "{what}: {error}");
        }
        // Whether a semaphore was taken by a read whose answer had one wrong bit cannot be known, and
        // each is freed by one write.
        let unknown = matches!(
            fault,
            Fault::WrongRegister { kind: WrongRegister::Flipped { .. }, .. }
                | Fault::Usurped { .. }
        ) && (SEMAPHORES.contains(&access.at)
            || matches!(fault, Fault::Usurped { .. }))
            || SEMAPHORES.contains(&access.at) && matches!(fault, Fault::LostWrite { .. })
            || took_40;
        if !card.is_silent() && !unknown {
            assert!(card.semaphores_held().is_empty(), "{what}: {result:?}");
        }
        tally.count(match &result {
            Ok(()) => "done".to_owned(),
            Err(error) => ended(error),
        });
    }
    tally.print(&format!("{name} ({} accesses)", list.len()));
}

/// Sectors of 4 KiB that a burn of this card changes.
fn changed_sectors(start: &SimCard, job: RunJob<'_>) -> BTreeSet<u32> {
    let card = start.fork();
    card.start_trace();
    job(&card, &mut plain);
    let mut sectors = BTreeSet::new();
    for op in card.trace() {
        match op {
            Op::Erase { at, len } => sectors.extend(at / 0x1000..(at + len) / 0x1000),
            Op::Program { at, .. } => sectors.extend([at / 0x1000]),
            _ => {}
        }
    }
    sectors
}

fn burn(layout: CardLayout) {
    let bench = layout.bench();
    let job: RunJob<'_> = &|card, open| {
        let backups = bench.scratch();
        Opened::burn_on(&mut open(card).unwrap(), &bench, backups.path()).unwrap();
    };
    let undisturbed = bench.card.fork();
    job(&undisturbed, &mut plain);
    let planned = changed_sectors(&bench.card, job);
    let before = bench.card.flash();
    let judge = |card: &SimCard, what: &str| {
        let backups = bench.scratch();
        let result =
            plain(card).and_then(|mut device| Opened::burn_on(&mut device, &bench, backups.path()));
        let after = card.flash();
        for (n, (old, new)) in before.chunks(0x1000).zip(after.chunks(0x1000)).enumerate() {
            let outside = !planned.contains(&(n as u32));
            assert!(!outside || old == new, "{what}: sector {n:#x} changed: {result:?}");
        }
        let backed_up = assert_backups_hold(&before, backups.path(), what);
        match result {
            Ok(outcome) => {
                assert!(!outcome.nothing_to_do && backed_up == 1, "{what}");
                assert!(after == undisturbed.flash(), "{what}: another flash");
                Ok(())
            }
            Err(error) => {
                // Whether the last command arrived cannot be read from a card that is gone.
                if !(card.is_silent() && error.outcome().exit == Exit::OutcomeUnknown) {
                    assert_true_outcome(&bench.card, card, &error, what);
                }
                Err(error)
            }
        }
    };
    // The two layouts meet different faults behind the same command word.
    let shift = if layout == CardLayout::Failsafe { 0 } else { EVERY / 2 };
    let name = format!("register faults, burn, {}", layout.name());
    sweep(&name, &bench.card, shift, job, &judge);
}

#[test]
fn a_burn_succeeds_on_silicon_that_does_not_show_what_was_written() {
    // Nothing but busy; no chip-select and no opcode of a continued chain; no low bits of an address.
    let silicon = [(0x4000_0000, 0), (!0x3f_0000, u32::MAX), (u32::MAX, 0), (u32::MAX, !0xfff)];
    for (layout, readable) in [CardLayout::Failsafe, CardLayout::NonFailsafe]
        .into_iter()
        .flat_map(|layout| silicon.map(|readable| (layout, readable)))
    {
        let bench = layout.bench();
        let card = bench.card.fork();
        let clock = card.clock();
        let space = intercepted(&card, Mute { readable });
        let opened = Card::open(space, Rc::clone(&clock)).unwrap();
        let backups = bench.scratch();
        let mut device = Device::new(opened, clock, "sim");
        let outcome = Opened::burn_on(&mut device, &bench, backups.path());
        assert!(outcome.is_ok(), "{}, {readable:x?}: {outcome:?}", layout.name());
    }
}

#[test]
fn a_burn_of_a_failsafe_card_survives_any_wrong_register_access() {
    burn(CardLayout::Failsafe);
}

#[test]
fn a_burn_of_a_non_failsafe_card_survives_any_wrong_register_access() {
    burn(CardLayout::NonFailsafe);
}

#[test]
fn a_backup_survives_any_wrong_register_access() {
    let bench = CardLayout::Failsafe.bench();
    let flash = bench.card.flash();
    let job: RunJob<'_> = &|card, open| {
        let out = bench.scratch();
        job::backup(&mut open(card).unwrap(), out.path(), &mut ()).unwrap();
    };
    let judge = |card: &SimCard, what: &str| {
        let out = bench.scratch();
        let result =
            plain(card).and_then(|mut device| job::backup(&mut device, out.path(), &mut ()));
        let backups = assert_backups_hold(&flash, out.path(), what);
        assert!(card.flash() == flash, "{what}");
        assert_eq!(backups, usize::from(result.is_ok()), "{what}: {result:?}");
        result.map(|_| ())
    };
    sweep("register faults, backup", &bench.card, 1, job, &judge);
}
