//! Traces of jobs: recorded, replayed, compared with a simulated card.

use super::bench::*;
use super::selftest::{facts, result};
use crate::flash::trace::{Trace, TraceHeader, TraceMark, TraceRecorder};
use crate::host::{BorrowOptions, Host};
use crate::image::Half;
use crate::job::device::open_sim_with;
use crate::job::trace::structure;
use crate::job::*;
use crate::sim::{CardSpec, SimCard, SimChip};
use std::cell::RefCell;
use std::io::Write;
use std::path::Path;
use std::rc::Rc;

#[derive(Clone, Default)]
struct Sink(Rc<RefCell<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A recording of `command`, and its bytes.
fn recorder(command: &str) -> (TraceRecorder, Sink) {
    let sink = Sink::default();
    let header = TraceHeader { format: 1, command: command.into(), ..TraceHeader::default() };
    (TraceRecorder::new(header, Box::new(sink.clone()), structure), sink)
}

fn options(recorder: &TraceRecorder) -> BorrowOptions {
    BorrowOptions { trace: Some(recorder.clone()), ..BorrowOptions::default() }
}

fn ended(recorder: &TraceRecorder, sink: &Sink) -> Trace {
    recorder.finish(0).unwrap();
    Trace::read(&sink.0.borrow()).unwrap()
}

fn selftest_trace(card: &SimCard, request: SelftestRequest<'_>) -> (SelftestOutcome, Trace) {
    let (recorder, sink) = recorder("selftest");
    let mut device = open_sim_with(card, "sim:test", &options(&recorder), None).unwrap();
    let outcome = selftest(&mut device, facts(), request, None, &mut (), &mut None).unwrap();
    (outcome, ended(&recorder, &sink))
}

#[test]
fn a_trace_of_a_self_test_replays_with_the_same_results() {
    let reset = SelftestRequest { tools_interface: true, reset: true, expendable: None };
    for (card, request) in
        [(quick_pro_card(None), reset), (quick_owner_card(), SelftestRequest::default())]
    {
        let (recorded, trace) = selftest_trace(&card, request);
        let replayed = trace_replay(Path::new("t"), &trace, &mut ()).unwrap();
        assert_eq!(replayed.divergence(), None);
        assert_eq!(replayed.progress.recorded, replayed.progress.replayed);
        let Some(ReplayedResult::Selftest(outcome)) = replayed.result else { panic!() };
        for stage in &recorded.stages {
            let now = result(&outcome, stage.id);
            // What a driver knew is not in a trace.
            assert!(now == stage.result || stage.id == StageId::Driver, "{stage:?}: {now:?}");
        }
    }
}

#[test]
fn a_self_test_of_the_largest_flash_fits_into_a_trace() {
    let image = own(&for_any_chip(pro("2.36.5150")));
    let chip = SimChip::ALL.into_iter().max_by_key(|chip| chip.size()).unwrap();
    let card = card_of(CardSpec { chip, ..pro_spec() }, &[(&image, Half::Even)]);
    let (outcome, trace) = selftest_trace(&card, SelftestRequest::default());
    assert!(!outcome.contradicted, "{outcome:#?}");
    assert!(!trace.is_full());
    // Accesses of 12 for 16 bytes have one record together.
    let (records, accesses) = (trace.records.len() as u64, trace.accesses().count() as u64);
    assert!(accesses > u64::from(chip.size()) * 3, "{accesses}");
    assert!(records < accesses / 8, "{records} of {accesses}");
    assert_eq!(trace.exit(), Some(0));
}

#[test]
fn a_trace_of_a_borrowed_card_replays_with_the_accesses_of_its_way_back() {
    let card = quick_pro_card(None);
    let (recorder, sink) = recorder("query");
    recorder.mark(TraceMark::Unbind { driver: "mlx4_core".into() });
    recorder.mark(TraceMark::Bind { driver: "vfio-pci".into() });
    let mut device = open_sim_with(&card, "sim:test", &options(&recorder), None).unwrap();
    query_card(&mut device).unwrap();
    // As for a card that goes back to its driver.
    device.free_for_the_driver();
    drop(device);
    recorder.mark(TraceMark::Close);
    recorder.mark(TraceMark::Bind { driver: "mlx4_core".into() });
    let trace = ended(&recorder, &sink);
    let replayed = trace_replay(Path::new("t"), &trace, &mut ()).unwrap();
    assert_eq!(replayed.divergence(), None);
    assert_eq!(replayed.progress.recorded, replayed.progress.replayed);
    let difference = trace_diff(Path::new("t"), &trace, &Host::system(), &mut ()).unwrap();
    assert_eq!(difference.comparison.count, 0, "{:?}", difference.comparison.differences);
}

#[test]
fn a_self_test_that_wrote_to_the_flash_is_not_replayed() {
    let bench = Bench::new();
    let card = quick_pro_card(None);
    let dir = bench.backups();
    let expendable = Some(Expendable { serial: "00-02", backup_dir: &dir });
    let request = SelftestRequest { expendable, ..SelftestRequest::default() };
    let (_, trace) = selftest_trace(&card, request);
    let error = trace_replay(Path::new("t"), &trace, &mut ()).map(drop).unwrap_err();
    assert!(error.to_string().contains("selftest --expendable"), "{error}");
}

#[test]
fn a_replay_of_a_recording_with_a_slow_card_needs_no_time() {
    let card = quick_pro_card(None);
    let (recorder, sink) = recorder("query");
    let mut device = open_sim_with(&card, "sim:test", &options(&recorder), None).unwrap();
    card.clock().sleep(std::time::Duration::from_secs(3600));
    query_card(&mut device).unwrap();
    drop(device);
    let trace = ended(&recorder, &sink);
    let replayed = trace_replay(Path::new("t"), &trace, &mut ()).unwrap();
    assert_eq!(replayed.divergence(), None);
}
