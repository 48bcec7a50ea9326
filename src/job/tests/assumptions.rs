//! Stages about registers on a healthy card: one wrong access, and transports beside the one in use.

use super::bench::*;
use super::selftest::kept;
use crate::card::{BarAccess, Card, CardError, CrError, CrOffset, CrSpace};
use crate::image::Half;
use crate::job::assumptions::registers;
use crate::job::stage::StageFinding;
use crate::job::*;
use crate::plan::BurnOptions;
use crate::sim::{Fault, WrongRegister};

#[test]
fn one_wrong_access_contradicts_no_semaphore_and_leaves_none_taken() {
    let original = pro_card(Half::Even);
    let mut tried = 0;
    for n in 0..120 {
        let wrong = |kind| Fault::WrongRegister { after: n, at: None, reads: 1, kind };
        for fault in [
            wrong(WrongRegister::AnswerLost),
            wrong(WrongRegister::RequestLost),
            wrong(WrongRegister::Flipped { bit: 0 }),
            Fault::LostWrite { after: n, at: None },
        ] {
            let card = original.fork();
            let mut device = opened(&card);
            card.inject(fault.clone());
            let found = registers::semaphores(&mut device.card);
            if !card.faults().is_empty() {
                continue;
            }
            tried += 1;
            drop(device);
            match found {
                Ok(found) => {
                    assert_ne!(found.result, StageResult::Contradicted, "{fault:?}: {found:?}");
                    // Each is freed by one write.
                    let lost = matches!(fault, Fault::LostWrite { .. });
                    assert!(lost || card.semaphores_held().is_empty(), "{fault:?}: {found:?}");
                }
                // A read that took it and was not answered: a tool that waits for its user looks the same.
                Err(JobError::Card(CardError::SemaphoreHeld { number: 40, .. })) => {}
                // What one bit of an answer makes of it cannot be known.
                Err(JobError::Card(CardError::SemaphoreHeld { .. })) => {
                    assert!(format!("{fault:?}").contains("Flipped"), "{fault:?}");
                }
                Err(error) => panic!("{fault:?}: {error}"),
            }
        }
    }
    assert!(tried > 200, "{tried}");
}

#[test]
fn a_first_burn_is_not_refused_for_one_answer_of_a_semaphore_that_is_lost() {
    for (at, after) in [(0xF_03A0, 2), (0xF_03FC, 1), (0xF_03FC, 2), (0xF_03FC, 3)] {
        let bench = Bench::new();
        let card = pro_card(Half::Even);
        let mut device = kept(&bench, &card);
        let counted = LoseAnswer { at, after };
        device.card = Card::open(Box::new(Wrapped(card.bar0(), counted)), card.clock()).unwrap();
        let image = bench.image(&pro("2.42.5000"));
        let request = WriteRequest::Burn(&image, &BurnOptions::default());
        let ended = bench.write(&mut device, &request);
        assert!(ended.is_ok(), "{at:#x} {after}: {ended:?}");
        drop(device);
        clean(&card);
    }
}

#[test]
fn a_transport_that_fails_or_differs_beside_the_one_in_use_refuses_nothing() {
    use BarAccess::{Config, Mmap, Pread};
    for (transports, wanted) in [
        (vec![(Config, Other::Fails)], StageResult::Contradicted),
        (vec![(Config, Other::Fails), (Pread, Other::Fails)], StageResult::Contradicted),
        (vec![(Config, Other::Fails), (Pread, Other::Absent)], StageResult::Contradicted),
        (vec![(Config, Other::Absent), (Pread, Other::Differs)], StageResult::Unknown),
        (vec![(Config, Other::Fails), (Pread, Other::Differs)], StageResult::Unknown),
        (vec![(Config, Other::Absent), (Pread, Other::Absent)], StageResult::Unknown),
    ] {
        let bench = Bench::new();
        let card = pro_card(Half::Even);
        let mut device = kept(&bench, &card);
        assert_eq!(device.card.transport(), Some(Mmap));
        let space = Wrapped(card.bar0(), transports.clone());
        device.card = Card::open(Box::new(space), card.clock()).unwrap();
        let StageFinding { result, detail, .. } = registers::transports(&mut device.card).unwrap();
        assert_eq!(result, wanted, "{transports:?}: {detail}");
        let image = bench.image(&pro("2.42.5000"));
        let request = WriteRequest::Burn(&image, &BurnOptions::default());
        let ended = bench.write(&mut device, &request);
        assert!(ended.is_ok(), "{transports:?}: {ended:?}");
    }
}

/// The transport in use, and what is wrong with it or with others.
struct Wrapped<W>(Box<dyn CrSpace>, W);

/// One read of this register takes effect and is not answered.
struct LoseAnswer {
    at: u32,
    /// Reads of it before that.
    after: u32,
}

/// What another transport does.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Other {
    Absent,
    Differs,
    Fails,
}

trait Wrong {
    fn answer(&mut self, at: CrOffset, value: u32) -> u32 {
        let _ = at;
        value
    }

    fn of(&self, by: BarAccess) -> Option<Other> {
        let _ = by;
        None
    }
}

impl Wrong for LoseAnswer {
    fn answer(&mut self, at: CrOffset, value: u32) -> u32 {
        if at.0 != self.at {
            return value;
        }
        let left = self.after;
        self.after = left.wrapping_sub(1);
        if left == 0 { u32::MAX } else { value }
    }
}

impl Wrong for Vec<(BarAccess, Other)> {
    fn of(&self, by: BarAccess) -> Option<Other> {
        self.iter().find(|(other, _)| *other == by).map(|(_, what)| *what)
    }
}

impl<W: Wrong> CrSpace for Wrapped<W> {
    fn read(&mut self, at: CrOffset) -> Result<u32, CrError> {
        let value = self.0.read(at)?;
        Ok(self.1.answer(at, value))
    }

    fn write(&mut self, at: CrOffset, value: u32) -> Result<(), CrError> {
        self.0.write(at, value)
    }

    fn posts_writes(&self) -> bool {
        self.0.posts_writes()
    }

    fn transport(&self) -> Option<BarAccess> {
        self.0.transport()
    }

    fn read_by(&mut self, by: BarAccess, at: CrOffset) -> Option<Result<u32, CrError>> {
        let answer = self.0.read_by(by, at);
        match self.1.of(by) {
            None => answer,
            Some(Other::Absent) => None,
            Some(Other::Differs) => Some(answer?.map(|value| value ^ 1 << 20)),
            Some(Other::Fails) => {
                let source = std::io::Error::other("I/O error");
                Some(Err(CrError::Io { at: at.0, source }))
            }
        }
    }

    fn pci_device_id(&mut self) -> Result<u16, CrError> {
        self.0.pci_device_id()
    }
}
