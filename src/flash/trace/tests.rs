use super::blocks::{BlockWords, MOST};
use super::*;
use crate::card::{Clock, CrError, CrOffset, CrSpace, Patience, Reg, WallClock, wait_until};
use crate::flash::gateway::CommandBits;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Registers that count up.
struct Counting(u32);

impl CrSpace for Counting {
    fn read(&mut self, _: CrOffset) -> Result<u32, CrError> {
        self.0 += 1;
        Ok(self.0)
    }
    fn write(&mut self, _: CrOffset, _: u32) -> Result<(), CrError> {
        Ok(())
    }
    fn posts_writes(&self) -> bool {
        true
    }
    fn pci_device_id(&mut self) -> Result<u16, CrError> {
        Ok(0x1003)
    }
}

#[derive(Clone, Default)]
struct Shared(Rc<RefCell<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn header() -> TraceHeader {
    TraceHeader { format: TRACE_FORMAT, command: "query".into(), ..TraceHeader::default() }
}

fn recorder(sink: &Shared) -> (TraceRecorder, Box<dyn CrSpace>) {
    let recorder = TraceRecorder::new(header(), Box::new(sink.clone()), |_| BTreeMap::new());
    let clock: Rc<dyn Clock> = Rc::new(WallClock::default());
    let space = recorder.open(Box::new(Counting(0)), &clock, true, false);
    (recorder, space)
}

fn complete(accesses: u32) -> Vec<u8> {
    let sink = Shared::default();
    let (recorder, mut space) = recorder(&sink);
    for _ in 0..accesses {
        space.read(Reg::GatewayData(0).offset()).unwrap();
    }
    recorder.finish(0).unwrap();
    drop(space);
    sink.0.borrow().clone()
}

#[test]
fn a_trace_is_read_as_it_was_recorded() {
    let trace = Trace::read(&complete(3)).unwrap();
    assert_eq!((trace.cut.clone(), trace.exit()), (None, Some(0)));
    let values: Vec<_> = trace.accesses().map(|access| access.value).collect();
    assert_eq!(values, [1, 2, 3].map(TraceValue::Masked));
}

#[test]
fn a_trace_that_is_cut_anywhere_is_read_as_far_as_it_goes() {
    let whole = complete(20_000);
    let mut before = 0;
    for len in (0..whole.len()).step_by(97) {
        match Trace::read(&whole[..len]) {
            Ok(trace) => {
                assert!(trace.cut.is_some(), "{len}");
                assert!(trace.records.len() >= before, "{len}");
                before = trace.records.len();
            }
            Err(error) => {
                assert!(matches!(error, TraceError::CutShort(_)), "{error}");
                assert_eq!(before, 0, "{len}");
            }
        }
    }
    assert!(before > 2000, "{before}");
}

#[test]
fn a_recording_that_is_dropped_can_be_read() {
    let sink = Shared::default();
    let (recorder, mut space) = recorder(&sink);
    space.read(Reg::DeviceId.offset()).unwrap();
    drop((space, recorder));
    let trace = Trace::read(&sink.0.borrow()).unwrap();
    assert_eq!(trace.records.len(), 2);
    assert!(trace.cut.is_some());
}

#[test]
fn a_flipped_bit_is_an_error_a_cut_or_without_effect() {
    let whole = complete(2000);
    let recorded = Trace::read(&whole).unwrap();
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        if let Ok(trace) = Trace::read(&bytes) {
            assert!(trace.cut.is_some() || trace.records == recorded.records, "{at}");
        }
    }
}

fn packed(text: &str) -> Vec<u8> {
    compress_to_vec(text.as_bytes(), CompressionLevel::Fastest)
}

#[test]
fn what_is_no_trace_or_of_another_version_is_named() {
    for bytes in [&b"hello"[..], b"\x28\xb5\x2e", &packed(""), &packed("{}\n")] {
        assert!(matches!(Trace::read(bytes), Err(TraceError::NotATrace(_))), "{bytes:?}");
    }
    for bytes in [&b""[..], b"\x28", b"\x28\xb5\x2f\xfd"] {
        assert!(matches!(Trace::read(bytes), Err(TraceError::CutShort(_))), "{bytes:?}");
    }
    let other = packed("{\"trace\":\"cx3flash-trace\",\"header\":{\"format\":2,\"new\":1}}\n");
    assert_eq!(Trace::read(&other).unwrap_err(), TraceError::Version { found: 2 });
}

#[test]
fn a_decompression_bomb_ends_at_its_limits() {
    let mut bomb = complete(0);
    // One line without an end.
    let line = packed(&"a".repeat(1 << 20));
    bomb.extend_from_slice(&line.repeat(64));
    let trace = Trace::read(&bomb).unwrap();
    assert!(trace.cut.is_some());
    // A window of 1 GiB: magic, descriptor, window descriptor.
    let trace = Trace::read(&[0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa0, 0, 0, 0]);
    assert!(trace.is_err());
}

#[test]
fn a_disk_that_is_full_ends_the_trace_and_not_the_job() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let recorder = TraceRecorder::new(header(), Box::new(Full), |_| BTreeMap::new());
    let clock: Rc<dyn Clock> = Rc::new(WallClock::default());
    let mut space = recorder.open(Box::new(Counting(0)), &clock, true, false);
    for _ in 0..20_000 {
        space.read(Reg::DeviceId.offset()).unwrap();
    }
    assert_eq!(recorder.finish(0).unwrap_err().kind(), io::ErrorKind::StorageFull);
}

#[test]
fn a_wait_behind_a_divergence_ends_even_if_it_takes_no_error_and_no_pause() {
    let card = ReplayedCard::new(&Trace::read(&complete(3)).unwrap());
    let (mut space, clock) = (card.space(), card.clock());
    let patience = Patience::back_to_back(Duration::from_secs(40));
    let mut polls = 0;
    let found = wait_until(&*clock, patience, || {
        polls += 1;
        space.read(Reg::DeviceId.offset()).ok()
    });
    assert_eq!(found, None);
    assert!(polls < 1000, "{polls}");
    assert!(space.write(Reg::SoftwareReset.offset(), 0).is_err());
    assert!(matches!(space.reset_function(), Some(Err(_))));
    assert_eq!(card.progress().replayed, 0);
}

#[test]
fn a_stop_ends_the_reading_of_a_trace_each_walk_and_each_access_of_a_replay() {
    let file = complete(3);
    let stop: Arc<AtomicBool> = Arc::default();
    let trace = Trace::read_until(&file, Arc::clone(&stop)).unwrap();
    let card = ReplayedCard::new(&trace);
    let mut space = card.space();
    space.read(Reg::GatewayData(0).offset()).unwrap();
    stop.store(true, Ordering::Relaxed);
    assert!(space.read(Reg::GatewayData(0).offset()).is_err());
    assert_eq!(card.progress().replayed, 1);
    assert_eq!((card.left_over(), trace.accesses().count()), (None, 0));
    assert!(Trace::read_until(&file, stop).unwrap().cut.is_some());
}

#[test]
fn a_read_of_16_bytes_is_one_record_up_to_its_longest() {
    let words = BlockWords::of([1, 2, 3, 4].map(TraceValue::Masked)).unwrap();
    let command = CommandBits::BUSY.bits();
    for (polls, one) in [(0, true), (3, true), (MOST - 10, true), (MOST - 9, false)] {
        for (address, flushed) in [(Some(0x40), true), (None, true), (None, false)] {
            let mut block = TraceBlock {
                time: 7,
                duration: 300,
                transport: None,
                address,
                command,
                flushed,
                polls: 0,
                words,
                id: Some(0x1F7),
            };
            block.polls = (polls + 10 - block.count()) as u16;
            let accesses: Vec<_> = block.accesses().collect();
            assert_eq!(accesses.len(), polls + 10);
            assert_eq!(TraceBlock::of(&accesses), one.then_some(block), "{polls}");
        }
    }
}
