#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a panic in a test is the report"
)]

use super::{CONTROL, GO, ToolsError};
use crate::card::{Card, CardError, Clock, CrError, CrOffset, CrSpace, Reg};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

/// What the made-up firmware does with a command.
#[derive(Clone, Copy)]
enum Firmware {
    /// Answers with this status.
    Status(u8),
    /// Never answers.
    Dead,
    /// Is at another command all the time.
    Occupied,
    /// The card goes away when a command is started.
    Pulled,
    /// It never started.
    Missing,
}

#[derive(Clone)]
struct Bench {
    firmware: Firmware,
    registers: Rc<RefCell<BTreeMap<u32, u32>>>,
    gone: Rc<Cell<bool>>,
    now: Rc<Cell<Duration>>,
}

const SEMAPHORE: u32 = 0xf_03bc;

impl Bench {
    fn new(firmware: Firmware) -> Self {
        Self { firmware, registers: Rc::default(), gone: Rc::default(), now: Rc::default() }
    }

    fn ask(&self) -> Result<[u32; 2], ToolsError> {
        let mut card = Card::open(Box::new(self.clone()), Rc::new(self.clone()))?;
        card.tools()?.capabilities(0xc0)
    }

    /// The error, with the semaphore free again.
    fn fails(&self) -> ToolsError {
        let error = self.ask().unwrap_err();
        assert_eq!(self.registers.borrow().get(&SEMAPHORE), Some(&0), "{error}");
        error
    }
}

impl Clock for Bench {
    fn now(&self) -> Duration {
        self.now.get()
    }

    fn sleep(&self, time: Duration) {
        self.now.set(self.now.get() + time);
    }
}

impl CrSpace for Bench {
    fn read(&mut self, at: CrOffset) -> Result<u32, CrError> {
        self.now.set(self.now.get() + Duration::from_micros(1));
        if self.gone.get() {
            return Ok(u32::MAX);
        }
        let control = CONTROL.offset();
        Ok(match (at, self.firmware) {
            (CrOffset(0xf_0014), _) => 0x1f5,
            (CrOffset(0x4_1270), Firmware::Missing) => u32::MAX,
            (at, Firmware::Occupied) if at == control => GO,
            (at, _) if at.0 & 0xf_ff00 == 0xf_0300 => {
                self.registers.borrow_mut().insert(at.0, 1).unwrap_or(0)
            }
            (at, _) => self.registers.borrow().get(&at.0).copied().unwrap_or(0),
        })
    }

    fn write(&mut self, at: CrOffset, value: u32) -> Result<(), CrError> {
        let answer = match self.firmware {
            Firmware::Status(status) if at == CONTROL.offset() && value & GO != 0 => {
                u32::from(status) << 24 | value & 0xfff
            }
            Firmware::Pulled if at == CONTROL.offset() && value & GO != 0 => {
                self.gone.set(true);
                value
            }
            _ => value,
        };
        // What is written while the card is away is lost, except for what the test inspects.
        self.registers.borrow_mut().insert(at.0, answer);
        Ok(())
    }

    fn posts_writes(&self) -> bool {
        false
    }

    fn pci_device_id(&mut self) -> Result<u16, CrError> {
        Ok(0x1003)
    }
}

#[test]
fn each_status_is_an_error_of_its_own() {
    type Is = fn(&ToolsError) -> bool;
    let cases: [(u8, Is); 7] = [
        (1, |e| matches!(e, ToolsError::Busy { opcode: 3 })),
        (2, |e| matches!(e, ToolsError::UnknownOp { opcode: 3 })),
        (3, |e| matches!(e, ToolsError::UnknownTlv { .. })),
        (4, |e| matches!(e, ToolsError::BadSystemState { .. })),
        (9, |e| matches!(e, ToolsError::BadResource { .. })),
        (5, |e| matches!(e, ToolsError::Other { status: 5, .. })),
        (0xff, |e| matches!(e, ToolsError::Other { status: 0xff, .. })),
    ];
    for (status, is) in cases {
        let error = Bench::new(Firmware::Status(status)).fails();
        assert!(is(&error), "{status}: {error:?}");
    }
    assert!(Bench::new(Firmware::Status(0)).ask().is_ok());
}

#[test]
fn waiting_for_firmware_that_never_answers_ends() {
    for (firmware, late) in [(Firmware::Dead, true), (Firmware::Occupied, false)] {
        let bench = Bench::new(firmware);
        let error = bench.fails();
        match error {
            ToolsError::Timeout { ms: 40_000, .. } => assert!(late),
            ToolsError::Busy { .. } => assert!(!late),
            other => panic!("{other:?}"),
        }
        assert!(bench.now.get() < Duration::from_secs(60));
    }
}

#[test]
fn a_card_that_goes_away_is_gone_and_gives_no_answer() {
    let error = Bench::new(Firmware::Pulled).ask().unwrap_err();
    assert!(matches!(error, ToolsError::Card(CardError::Gone { .. })), "{error:?}");
}

#[test]
fn a_card_without_firmware_is_not_asked() {
    let bench = Bench::new(Firmware::Missing);
    let error = bench.ask().unwrap_err();
    assert!(matches!(error, ToolsError::NoFirmware), "{error:?}");
    // Not even the semaphore was touched.
    assert_eq!(bench.registers.borrow().get(&SEMAPHORE), None);
}

#[test]
fn a_held_semaphore_is_left_to_its_owner() {
    let bench = Bench::new(Firmware::Status(0));
    bench.registers.borrow_mut().insert(SEMAPHORE, 1);
    let error = bench.ask().unwrap_err();
    assert!(
        matches!(error, ToolsError::Card(CardError::SemaphoreHeld { number: 47, .. })),
        "{error:?}"
    );
    assert_eq!(bench.registers.borrow()[&SEMAPHORE], 1);
    let words = bench.registers.borrow();
    assert_eq!(words.get(&Reg::ToolsHcr(6).offset().0), None);
}

#[test]
fn only_an_access_that_did_not_reach_the_firmware_counts_as_not_sent() {
    let busy = |opcode| ToolsError::Busy { opcode };
    for error in [busy(0x03b), busy(0x070), ToolsError::NoFirmware] {
        assert!(error.nothing_sent(), "{error:?}");
    }
    let timeout = ToolsError::Timeout { opcode: 0x03b, ms: 1 };
    // 0x71 reads the answer to an access that was executed.
    for error in [busy(0x071), timeout, ToolsError::Malformed { register: 1 }] {
        assert!(!error.nothing_sent(), "{error:?}");
    }
}
