#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic in a test is the report")]

use super::*;
use crate::card::{Clock, CrError, CrOffset, CrSpace};
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// What a card shows from some time on.
#[derive(Clone, Copy)]
struct Phase {
    device: u32,
    test: u32,
    version: [u32; 2],
    pci_id: u16,
}

const GOOD_VERSION: [u32; 2] = [0x0002_0000, 0x002A_1388];

const RUNS: Phase = Phase { device: 0x0001_01F5, test: 0, version: GOOD_VERSION, pci_id: 0x1003 };
const SILENT: Phase =
    Phase { device: u32::MAX, test: u32::MAX, version: [u32::MAX; 2], pci_id: 0xFFFF };
const NO_FIRMWARE: Phase = Phase { test: u32::MAX, version: [0; 2], ..RUNS };
const RECOVERY: Phase = Phase { pci_id: 0x1F6, ..NO_FIRMWARE };
const NO_VERSION: Phase = Phase { version: [0; 2], ..RUNS };
const HALF_A_VERSION: Phase = Phase { version: [0x0002_0000, 0x002A_0000], ..RUNS };
const OLD: Phase = Phase { version: [0x0002_0000, 0x0023_13EC], ..RUNS };

/// An access that is more than reading: a write, or a read that takes a semaphore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Touch {
    ms: u64,
    at: u32,
    write: bool,
}

/// A card whose registers follow a curve over a clock that only moves on sleeps and reads.
#[derive(Clone)]
struct Scripted {
    /// From so many milliseconds on; after a reset they count from it.
    curve: Rc<RefCell<Vec<(u64, Phase)>>>,
    after_reset: Vec<(u64, Phase)>,
    /// The PCI id that is shown whatever the chip does, as of a VFIO that noted it at open.
    stale_id: Option<u16>,
    since_reset: Duration,
    started: Rc<Cell<Duration>>,
    now: Rc<Cell<Duration>>,
    touches: Rc<RefCell<Vec<Touch>>>,
    semaphores: Rc<RefCell<[bool; 64]>>,
    /// What 0x41270 shows while firmware runs: it changes at each read.
    live: Rc<Cell<u32>>,
}

impl Scripted {
    fn new(curve: &[(u64, Phase)]) -> Self {
        Self {
            curve: Rc::new(RefCell::new(curve.to_vec())),
            after_reset: Vec::new(),
            stale_id: None,
            since_reset: Duration::ZERO,
            started: Rc::default(),
            now: Rc::default(),
            touches: Rc::default(),
            semaphores: Rc::new(RefCell::new([false; 64])),
            live: Rc::default(),
        }
    }

    fn open(&self) -> Result<Card, CardError> {
        Card::open(Box::new(self.clone()), Rc::new(self.clone()))
    }

    fn now_ms(&self) -> u64 {
        self.now.get().as_millis() as u64
    }

    fn phase(&self) -> Phase {
        let ms = (self.now.get() - self.started.get()).as_millis() as u64;
        let curve = self.curve.borrow();
        curve.iter().rev().find(|(from, _)| *from <= ms).unwrap().1
    }

    fn touch(&self, at: u32, write: bool) {
        let ms = self.now_ms();
        self.touches.borrow_mut().push(Touch { ms, at, write });
    }

    /// The first touch, in milliseconds.
    fn first_touch(&self) -> u64 {
        self.touches.borrow().first().unwrap().ms
    }
}

impl Clock for Scripted {
    fn now(&self) -> Duration {
        self.now.get()
    }

    fn sleep(&self, time: Duration) {
        self.now.set(self.now.get() + time);
    }
}

impl CrSpace for Scripted {
    fn read(&mut self, at: CrOffset) -> Result<u32, CrError> {
        self.now.set(self.now.get() + Duration::from_micros(1));
        let phase = self.phase();
        if at.0 & 0xF_FF00 == 0xF_0300 {
            self.touch(at.0, false);
            let n = (at.0 & 0xFF) as usize / 4;
            let taken = std::mem::replace(&mut self.semaphores.borrow_mut()[n], true);
            return Ok(taken.into());
        }
        Ok(match at.0 {
            0xF_0014 => phase.device,
            0x4_1270 if phase.test == 0 => {
                self.live.set(self.live.get() + 0x1_0001);
                self.live.get() & 0x7FFF_FFFF
            }
            0x4_1270 => phase.test,
            0x1_F064 => phase.version[0],
            0x1_F068 => phase.version[1],
            _ => 0,
        })
    }

    fn write(&mut self, at: CrOffset, value: u32) -> Result<(), CrError> {
        self.touch(at.0, true);
        if at.0 & 0xF_FF00 == 0xF_0300 {
            self.semaphores.borrow_mut()[(at.0 & 0xFF) as usize / 4] = value != 0;
        }
        if at.0 == 0xF_0010 {
            *self.curve.borrow_mut() = self.after_reset.clone();
            self.started.set(self.now.get());
            *self.semaphores.borrow_mut() = [false; 64];
        }
        Ok(())
    }

    fn posts_writes(&self) -> bool {
        true
    }

    fn pci_device_id(&mut self) -> Result<u16, CrError> {
        Ok(self.stale_id.unwrap_or_else(|| self.phase().pci_id))
    }

    fn since_reset(&self) -> Duration {
        self.since_reset
    }
}

/// Registers as a working chip may show them while it boots for `ms`.
fn boot_of(ms: u64) -> Vec<(u64, Phase)> {
    vec![
        (0, OLD),
        (ms / 12, SILENT),
        (ms / 4, RECOVERY),
        (ms / 2, NO_FIRMWARE),
        (ms * 5 / 9, NO_VERSION),
        (ms * 6 / 10, HALF_A_VERSION),
        (ms, RUNS),
    ]
}

#[test]
fn a_card_that_boots_for_a_while_runs_and_is_only_read_before_it_is_ready() {
    for ms in [900, 5000] {
        let card = Scripted::new(&boot_of(ms));
        let mut opened = card.open().unwrap();
        assert_eq!(opened.firmware(), FirmwareState::Runs, "{ms}");
        assert!(!opened.in_recovery());
        let version = opened.running_version().unwrap().unwrap();
        assert_eq!(version.subminor, 5000, "the old image's version is shown");
        assert!(card.first_touch() >= ms + 500, "{:?}", card.touches);
        let to_recovery = |touch: &Touch| touch.at == 0xF_3834;
        assert!(!card.touches.borrow().iter().any(to_recovery));
    }
}

#[test]
fn a_boot_of_ten_seconds_is_neither_recovery_mode_nor_believed_early() {
    for end in [9500, 13_500] {
        let card = Scripted::new(&[
            (0, SILENT),
            (1000, RECOVERY),
            (5000, NO_FIRMWARE),
            (end - 3500, HALF_A_VERSION),
            (end, RUNS),
        ]);
        assert_eq!(card.open().unwrap().firmware(), FirmwareState::Runs, "{end}");
        assert!(card.first_touch() >= end + 500, "{:?}", card.touches);
        let touches = card.touches.borrow();
        assert!(!touches.iter().any(|touch| touch.at == 0xF_3834));
    }
}

#[test]
fn the_time_that_opening_took_is_part_of_the_boot() {
    let card = Scripted {
        since_reset: Duration::from_secs(2),
        ..Scripted::new(&[(0, HALF_A_VERSION), (1000, RUNS)])
    };
    let mut opened = card.open().unwrap();
    assert_eq!(opened.running_version().unwrap().unwrap().subminor, 5000);
    assert!(card.first_touch() >= 1500, "{:?}", card.touches);
}

#[test]
fn a_running_card_is_ready_after_half_a_second() {
    let card = Scripted::new(&[(0, RUNS)]);
    card.open().unwrap();
    assert!((500..700).contains(&card.first_touch()));
}

#[test]
fn a_card_that_stays_with_its_recovery_id_is_in_recovery_mode() {
    let card = Scripted::new(&[(0, SILENT), (400, RECOVERY)]);
    let mut opened = card.open().unwrap();
    assert_eq!(opened.firmware(), FirmwareState::Recovery);
    assert!(opened.in_recovery());
    assert_eq!(opened.running_version().unwrap(), None);
    assert!(card.first_touch() >= 5400);
    // The reset on link-down is turned off, after readiness.
    let last = *card.touches.borrow().last().unwrap();
    assert_eq!((last.at, last.write), (0xF_3834, true));
}

#[test]
fn the_reset_on_link_down_is_left_alone_where_the_recovery_register_shows_firmware() {
    let odd = Phase { test: 0, ..RECOVERY };
    let card = Scripted::new(&[(0, odd)]);
    assert_eq!(card.open().unwrap().firmware(), FirmwareState::Recovery);
    let touches = card.touches.borrow();
    assert!(!touches.iter().any(|touch| touch.at == 0xF_3834));
}

#[test]
fn a_card_in_recovery_mode_whose_registers_are_filtered_is_in_recovery_mode() {
    let filtered = Phase { version: [BAD_ACCESS; 2], ..RECOVERY };
    for test in [BAD_ACCESS, u32::MAX] {
        let card = Scripted::new(&[(0, Phase { test, ..filtered })]);
        let opened = card.open().unwrap();
        assert_eq!(opened.firmware(), FirmwareState::Recovery);
        let touches = card.touches.borrow();
        let to_link = |touch: &Touch| touch.at == 0xF_3834;
        assert_eq!(touches.iter().any(to_link), test == u32::MAX);
    }
}

#[test]
fn a_normal_id_without_firmware_is_waited_for_and_is_not_recovery_mode() {
    let card = Scripted::new(&[(0, NO_FIRMWARE)]);
    let mut opened = card.open().unwrap();
    assert_eq!(opened.firmware(), FirmwareState::NotRunning);
    assert!(!opened.in_recovery());
    assert_eq!(opened.running_version().unwrap(), None);
    assert!(card.first_touch() >= 10_000);
    let touches = card.touches.borrow();
    assert!(!touches.iter().any(|touch| touch.at == 0xF_3834));
}

#[test]
fn firmware_that_starts_late_under_a_normal_id_runs() {
    let card = Scripted::new(&[(0, NO_FIRMWARE), (11_000, RUNS)]);
    assert_eq!(card.open().unwrap().firmware(), FirmwareState::Runs);
}

#[test]
fn a_card_that_is_never_stable_is_not_ready_and_is_not_touched() {
    let curve: Vec<_> = (0..200)
        .map(|n| {
            let version = [0x0002_0000, n];
            (u64::from(n) * 100, Phase { version, ..RUNS })
        })
        .collect();
    let card = Scripted::new(&curve);
    let error = card.open().map(drop).unwrap_err();
    assert!(matches!(error, CardError::NotReady { waited_ms: 15_000, .. }), "{error:?}");
    assert!(error.to_string().contains("PCI id 1003"), "{error}");
    assert_eq!(*card.touches.borrow(), []);
}

#[test]
fn firmware_that_shows_no_version_runs() {
    let card = Scripted::new(&[(0, NO_VERSION)]);
    let mut opened = card.open().unwrap();
    assert_eq!(opened.firmware(), FirmwareState::Runs);
    assert_eq!(opened.running_version().unwrap(), None);
}

#[test]
fn a_locked_card_and_another_chip_are_named_before_the_limit() {
    let with = |device| Scripted::new(&[(0, SILENT), (700, Phase { device, ..RUNS })]);
    let locked = with(0xBAD0_CAFE);
    assert!(matches!(locked.open().map(drop), Err(CardError::Locked)));
    assert!((2700..4000).contains(&locked.now_ms()));
    let other = with(0x0000_0190);
    let error = other.open().map(drop).unwrap_err();
    assert!(matches!(error, CardError::NotOurs(0x190)), "{error:?}");
    assert!((2700..4000).contains(&other.now_ms()));
    assert_eq!(*other.touches.borrow(), []);
}

#[test]
fn a_card_that_never_answers_is_gone_and_one_that_answers_late_is_not() {
    let gone = Scripted::new(&[(0, SILENT)]);
    let error = gone.open().map(drop).unwrap_err();
    assert!(matches!(error, CardError::Gone { .. }), "{error:?}");
    assert!(gone.now_ms() >= 10_000);
    assert_eq!(*gone.touches.borrow(), []);
    let late = Scripted::new(&[(0, SILENT), (9000, RUNS)]);
    assert_eq!(late.open().unwrap().firmware(), FirmwareState::Runs);
}

#[test]
fn a_register_that_stays_unreadable_is_named() {
    let test = BAD_ACCESS;
    let card = Scripted::new(&[(0, Phase { test, ..RUNS })]);
    let error = card.open().map(drop).unwrap_err();
    assert!(
        matches!(&error, CardError::BadAccess { register } if register.to_string().contains("0x41270")),
        "{error:?}"
    );
}

#[test]
fn after_a_software_reset_the_card_is_read_after_a_second_and_touched_when_it_is_ready() {
    let card = Scripted { after_reset: boot_of(4000), ..Scripted::new(&[(0, OLD)]) };
    let mut opened = card.open().unwrap();
    card.touches.borrow_mut().clear();
    opened.software_reset().unwrap();
    assert_eq!(opened.running_version().unwrap().unwrap().subminor, 5000);
    let reset = card.started.get().as_millis() as u64;
    let touches = card.touches.borrow();
    let next = touches.iter().find(|touch| touch.ms > reset).unwrap();
    assert!(next.ms >= reset + 4500, "{touches:?}");
}

#[test]
fn a_card_that_stays_silent_after_a_reset_is_a_reset_timeout() {
    let card = Scripted { after_reset: vec![(0, SILENT)], ..Scripted::new(&[(0, RUNS)]) };
    let error = card.open().unwrap().software_reset().unwrap_err();
    assert!(matches!(error, CardError::ResetTimeout(_)), "{error:?}");
}

#[test]
fn firmware_started_out_of_recovery_runs_where_only_the_old_id_can_be_read() {
    let card = Scripted {
        after_reset: vec![(0, SILENT), (1300, RUNS)],
        stale_id: Some(0x1F6),
        ..Scripted::new(&[(0, RECOVERY)])
    };
    let mut opened = card.open().unwrap();
    assert!(opened.in_recovery());
    opened.software_reset().unwrap();
    assert_eq!(opened.firmware(), FirmwareState::Runs);
}

#[test]
fn after_our_own_reset_no_semaphore_is_freed() {
    let card = Scripted { after_reset: vec![(0, RUNS)], ..Scripted::new(&[(0, RUNS)]) };
    let mut opened = card.open().unwrap();
    let mut hold = opened.hold_flash().unwrap();
    hold.software_reset().unwrap();
    // Another program takes them on the chip that came back.
    card.semaphores.borrow_mut()[40] = true;
    card.semaphores.borrow_mut()[63] = true;
    drop(hold);
    opened.check_present().unwrap();
    let semaphores = card.semaphores.borrow();
    assert!(semaphores[40] && semaphores[63]);
}

/// A clock that jumps by two seconds at each access: the process is paused all the time.
#[derive(Clone)]
struct Paused(Scripted, Rc<Cell<u32>>);

impl CrSpace for Paused {
    fn read(&mut self, at: CrOffset) -> Result<u32, CrError> {
        self.0.sleep(Duration::from_secs(2));
        self.1.set(self.1.get() + 1);
        self.0.read(at)
    }

    fn write(&mut self, at: CrOffset, value: u32) -> Result<(), CrError> {
        self.0.write(at, value)
    }

    fn posts_writes(&self) -> bool {
        true
    }

    fn pci_device_id(&mut self) -> Result<u16, CrError> {
        self.0.pci_device_id()
    }
}

#[test]
fn a_paused_process_neither_gives_up_nor_believes_early() {
    let reads: Rc<Cell<u32>> = Rc::default();
    // Half a minute in recovery state is four observations of this process.
    let card = Scripted::new(&[(0, RECOVERY), (32_000, RUNS)]);
    let space = Box::new(Paused(card.clone(), Rc::clone(&reads)));
    let opened = Card::open(space, Rc::new(card.clone())).unwrap();
    assert_eq!(opened.firmware(), FirmwareState::Runs);
    assert!(reads.get() > 20, "{}", reads.get());
}

#[test]
fn watching_a_semaphore_needs_many_polls_however_long_they_take() {
    let reads: Rc<Cell<u32>> = Rc::default();
    let card = Scripted::new(&[(0, RUNS)]);
    let space = Box::new(Paused(card.clone(), Rc::clone(&reads)));
    let mut opened = Card::open(space, Rc::new(card.clone())).unwrap();
    card.semaphores.borrow_mut()[63] = true;
    let before = reads.get();
    let watched = opened.watch(crate::card::Semaphore::Flash, Duration::from_secs(7));
    assert!(matches!(watched.unwrap(), crate::card::Staleness::Stale { watched_ms: 7000 }));
    assert!(reads.get() - before > 100, "{}", reads.get() - before);
}

/// Firmware of which 0x41270 stands still.
const STILL: Phase = Phase { test: 0x1234, ..RUNS };

#[test]
fn firmware_that_stands_still_at_one_look_lives() {
    for still_ms in [20, 150] {
        let curve = [(0, RUNS), (1000, STILL), (1000 + still_ms, RUNS)];
        let scripted = Scripted::new(&curve);
        let mut card = scripted.open().unwrap();
        let seen = card.watch_firmware(Duration::from_secs(2)).unwrap();
        assert_eq!((seen.lives, seen.moved), (true, true), "{still_ms}");
        assert_eq!(seen.state, FirmwareState::Runs);
    }
}

#[test]
fn firmware_that_stands_still_at_several_looks_has_stopped() {
    let scripted = Scripted::new(&[(0, RUNS), (1000, STILL)]);
    let seen = scripted.open().unwrap().watch_firmware(Duration::from_secs(2)).unwrap();
    assert_eq!((seen.lives, seen.moved), (false, true));
    // The watch ends with that.
    assert!(scripted.now_ms() < 2000);
}

#[test]
fn a_version_that_shows_late_after_a_reset_is_seen() {
    for late_ms in [0, 4000] {
        let mut scripted = Scripted::new(&[(0, OLD)]);
        scripted.after_reset = vec![(0, SILENT), (500, NO_VERSION), (2000 + late_ms, RUNS)];
        let mut card = scripted.open().unwrap();
        let seen = card.reset_and_watch(Duration::from_secs(2)).unwrap();
        assert!(seen.arrived, "{late_ms}");
        assert!(seen.firmware.version.is_some() && seen.firmware.lives, "{late_ms}: {seen:?}");
    }
}
