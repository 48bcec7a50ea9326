//! Register access that lets the process be away at chosen accesses, that notes what each gateway
//! data read reads, and that delivers chosen blocks of the flash wrongly.

use crate::support::space::{Intercept, intercepted};
use cx3flash::card::{Card, CardError, Clock, CrError, CrOffset, CrSpace};
use cx3flash::flash::{Event, Events, Phase};
use cx3flash::job::Device;
use cx3flash::sim::{SimCard, WrongRead};
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

const COMMAND: u32 = 0xf_0400;
const ADDRESS: u32 = 0xf_0404;
const DATA: u32 = 0xf_0410;
const DATA_END: u32 = 0xf_041c;
/// Bits of the command register.
const READ: u32 = 1;
const CMD_PHASE: u32 = 1 << 2;
const ADDR_PHASE: u32 = 1 << 3;
const DATA_PHASE: u32 = 1 << 4;
const BUSY: u32 = 1 << 30;

/// How long the process is away.
pub(crate) const AWAY: Duration = Duration::from_millis(500);

/// At which accesses the process is away: those whose number has this remainder.
#[derive(Clone, Copy)]
pub(crate) struct Pauses {
    pub(crate) every: u64,
    pub(crate) from: u64,
}

/// Which blocks are delivered wrongly, each at its first reading in one phase of the job.
#[derive(Clone, Copy)]
pub(crate) struct Spoil {
    pub(crate) phase: Option<Phase>,
    /// Blocks of 16 bytes whose number has this remainder.
    pub(crate) every: u32,
    pub(crate) from: u32,
    pub(crate) kind: WrongRead,
}

/// A gateway command that brings data in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DataRead {
    /// Its number on this card ([`SimCard::data_reads`]).
    pub(crate) number: u64,
    pub(crate) opcode: u8,
    /// Where in the flash, for opcodes with an address.
    pub(crate) at: Option<u32>,
    /// Phase of the job that was reported last.
    pub(crate) phase: Option<Phase>,
}

/// ReadNotes shared by a tapped card and the listener to its job.
#[derive(Clone, Default)]
pub(crate) struct ReadNotes {
    pub(crate) reads: Rc<RefCell<Vec<DataRead>>>,
    phase: Rc<Cell<Option<Phase>>>,
    /// Blocks that were delivered wrongly.
    pub(crate) spoiled: Rc<RefCell<BTreeSet<u32>>>,
}

impl Events for ReadNotes {
    fn emit(&mut self, event: Event) {
        if let Event::Started { phase, .. } = event {
            self.phase.set(Some(phase));
        }
    }
}

struct Tap {
    card: SimCard,
    clock: Rc<dyn Clock>,
    pauses: Option<Pauses>,
    accesses: u64,
    notes: Option<ReadNotes>,
    address: u32,
    /// Address of the next block of a chain.
    next: u32,
    opcode: u8,
    spoil: Option<Spoil>,
    /// What the data registers held before the command that runs.
    held: [u32; 4],
    /// The data of the last command is delivered wrongly.
    wrong: Option<WrongRead>,
}

/// Opens `card` through BAR0 with a tap.
pub(crate) fn open(
    card: &SimCard,
    pauses: Option<Pauses>,
    notes: Option<ReadNotes>,
    spoil: Option<Spoil>,
) -> Result<Device, CardError> {
    let clock = card.clock();
    let tap = Tap {
        card: card.clone(),
        clock: Rc::clone(&clock),
        pauses,
        accesses: 0,
        notes,
        address: 0,
        next: 0,
        opcode: 0,
        spoil,
        held: [0; 4],
        wrong: None,
    };
    let opened = Card::open(intercepted(card, tap), Rc::clone(&clock))?;
    Ok(Device::new(opened, clock, "sim"))
}

impl Tap {
    fn pause(&mut self) {
        let number = self.accesses;
        self.accesses += 1;
        if self.pauses.is_some_and(|p| number % p.every == p.from) {
            self.clock.sleep(AWAY);
        }
    }

    fn note(&mut self, command: u32) {
        let Some(notes) = &self.notes else { return };
        if command & BUSY == 0 || command & (READ | DATA_PHASE) != READ | DATA_PHASE {
            return;
        }
        if command & CMD_PHASE != 0 {
            self.opcode = (command >> 16) as u8;
            self.next = self.address;
        }
        self.wrong = None;
        let has_address = command & ADDR_PHASE != 0 || command & CMD_PHASE == 0;
        notes.reads.borrow_mut().push(DataRead {
            number: self.card.data_reads() + 1,
            opcode: self.opcode,
            at: has_address.then_some(self.next),
            phase: notes.phase.get(),
        });
        if let Some(spoil) = self.spoil
            && has_address
            && notes.phase.get() == spoil.phase
            && self.next / 16 % spoil.every == spoil.from
            && notes.spoiled.borrow_mut().insert(self.next)
        {
            self.wrong = Some(spoil.kind);
        }
        self.next += 1 << (command >> 8 & 7);
    }

    /// What data register `n` delivers instead of `value`.
    fn delivered(&mut self, n: usize, value: u32) -> u32 {
        match self.wrong {
            None => {
                self.held[n] = value;
                value
            }
            Some(WrongRead::Stale) => self.held[n],
            Some(WrongRead::AllOnes) => u32::MAX,
            Some(WrongRead::Flipped { bit }) if bit as usize / 32 == n => value ^ (1 << (bit % 32)),
            Some(WrongRead::Flipped { .. }) => value,
        }
    }
}

impl Intercept for Tap {
    fn read(&mut self, card: &mut dyn CrSpace, at: CrOffset) -> Result<u32, CrError> {
        let value = card.read(at)?;
        self.pause();
        Ok(match at.0 {
            DATA..=DATA_END => self.delivered((at.0 - DATA) as usize / 4, value),
            _ => value,
        })
    }

    fn write(&mut self, card: &mut dyn CrSpace, at: CrOffset, value: u32) -> Result<(), CrError> {
        match at.0 {
            ADDRESS => self.address = value,
            COMMAND => self.note(value),
            DATA..=DATA_END => self.held[(at.0 - DATA) as usize / 4] = value,
            _ => {}
        }
        card.write(at, value)?;
        self.pause();
        Ok(())
    }
}
