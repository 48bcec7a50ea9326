//! The worked trace of docs/hardware.md#worked-trace, literally.

use super::driver::spec;
use crate::card::{Clock, CrOffset, CrSpace};
use crate::sim::{Op, SimCard, SimChip};
use std::rc::Rc;
use std::time::Duration;

struct TracedBus(Box<dyn CrSpace>, Rc<dyn Clock>);

impl TracedBus {
    fn r(&mut self, at: u32) -> u32 {
        self.0.read(CrOffset(at)).expect("read")
    }
    fn w(&mut self, at: u32, value: u32) {
        self.0.write(CrOffset(at), value).expect("write");
    }
    fn f(&mut self) {
        self.w(0xf0380, 0);
        while self.r(0xf0380) != 0 {}
    }
    fn f_poll(&mut self) -> u32 {
        self.f();
        loop {
            let word = self.r(0xf0400);
            if word & 1 << 30 == 0 {
                return word;
            }
        }
    }
}

#[test]
fn the_worked_trace_of_the_documents_runs() {
    let header =
        [0x80, 0x34, 0x38, 0x11, 0x80, 0xC0, 0x00, 0x00, 0xBD, 0xC8, 0x08, 0x07, 0, 0, 0, 2];
    let mut flash = vec![0x55; 0x20_0000];
    flash[0x10..0x20].copy_from_slice(&header);
    let card = SimCard::new(spec(SimChip::M25px16), &flash);
    card.start_trace();
    let mut bus = TracedBus(card.bar0(), card.clock());

    // Open
    assert_eq!(bus.r(0xf0014), 0x0001_01f5);
    bus.f();
    // No image, so this card is in recovery mode: all ones instead of the trace's 0.
    assert_eq!(bus.r(0x41270), 0xffff_ffff);
    // Acquire
    assert_eq!(bus.r(0xf03a0), 0);
    assert_eq!(bus.r(0xf03fc), 0);
    // JEDEC id
    bus.w(0xf0400, 0x409F_2215);
    bus.f();
    let first = bus.r(0xf0400);
    assert!(first == 0x409F_2215 || first == 0x009F_2215, "{first:#x}");
    bus.f_poll();
    assert_eq!(bus.r(0xf0400), 0x009F_2215);
    assert_eq!(bus.r(0xf0410) >> 8, 0x20_7115);
    // Read 16 bytes at 0x10
    bus.w(0xf0404, 0x10);
    bus.w(0xf0400, 0x4003_241D);
    bus.f_poll();
    let words = [0xf0410, 0xf0414, 0xf0418, 0xf041c].map(|at| bus.r(at));
    assert_eq!(words, [0x8034_3811, 0x80C0_0000, 0xBDC8_0807, 2]);
    // Erase 64K at 0x10000
    bus.w(0xf0400, 0x4006_2004);
    bus.f_poll();
    bus.w(0xf0404, 0x1_0000);
    bus.w(0xf0400, 0x40D8_200C);
    bus.f_poll();
    bus.1.sleep(Duration::from_millis(20));
    let mut polls = 0;
    loop {
        bus.w(0xf0400, 0x4005_2215);
        bus.f_poll();
        let status = bus.r(0xf0410) >> 24;
        if status == 0 {
            break;
        }
        assert_eq!(status, 3, "WIP and WEL while erasing");
        bus.1.sleep(Duration::from_micros(300));
        polls += 1;
        assert!(polls < 10_000);
    }
    assert!(polls > 1000, "an erase takes 0.47 s, polled {polls} times");
    // Program 16 bytes
    bus.w(0xf0400, 0x4006_2004);
    bus.f_poll();
    for (at, value) in [
        (0xf0410, 0x0001_0203),
        (0xf0414, 0x0405_0607),
        (0xf0418, 0x0809_0A0B),
        (0xf041c, 0x0C0D_0E0F),
    ] {
        bus.w(at, value);
    }
    bus.w(0xf0404, 0x1_0000);
    bus.w(0xf0400, 0x4002_241C);
    bus.f_poll();
    bus.1.sleep(Duration::from_micros(26));
    loop {
        bus.w(0xf0400, 0x4005_2215);
        bus.f_poll();
        if bus.r(0xf0410) & 1 << 24 == 0 {
            break;
        }
        bus.1.sleep(Duration::from_micros(10));
    }
    bus.w(0xf0404, 0x1_0000);
    bus.w(0xf0400, 0x4003_241D);
    bus.f_poll();
    assert_eq!(bus.r(0xf0410), 0x0001_0203);
    assert_eq!(bus.r(0xf041c), 0x0C0D_0E0F);
    // Full page: chunks with CS_HOLD
    bus.w(0xf0400, 0x4006_2004);
    bus.f_poll();
    for chunk in 0..16_u32 {
        for n in 0..4 {
            bus.w(0xf0410 + 4 * n, chunk << 24 | n);
        }
        bus.w(0xf0404, if chunk == 0 { 0x1_0100 } else { 0 });
        bus.w(
            0xf0400,
            match chunk {
                0 => 0x4002_243C,
                15 => 0x4000_2410,
                _ => 0x4000_2430,
            },
        );
        let begun = card.mutations() - 2;
        assert_eq!(begun, u64::from(chunk == 15), "starts when chip-select rises");
        bus.f_poll();
    }
    bus.1.sleep(Duration::from_millis(1));
    // Release
    bus.w(0xf03fc, 0);
    bus.w(0xf03a0, 0);
    bus.f();

    let flash = card.flash();
    let ramp: Vec<u8> = (0..16).collect();
    assert_eq!(flash[0x1_0000..0x1_0010], ramp);
    assert_eq!(flash[0x1_01f0..0x1_0200], {
        let words: Vec<u8> = (0..4_u32).flat_map(|n| (15 << 24 | n).to_be_bytes()).collect();
        words
    });
    assert!(flash[0x1_0200..0x2_0000].iter().all(|b| *b == 0xFF));
    assert!(flash[0x2_0000..].iter().all(|b| *b == 0x55));
    assert_eq!(card.misuse(), []);
    assert_eq!(card.semaphores_held(), [0_u8; 0]);
    assert_eq!(bus.r(0xf0380), 1, "the flush slot stays taken");
    let kinds: Vec<String> = card
        .trace()
        .iter()
        .map(|op| match op {
            Op::Read { at, len } => format!("read {at:x}+{len:x}"),
            Op::Erase { at, len } => format!("erase {at:x}+{len:x}"),
            Op::Program { at, bytes } => format!("program {at:x}+{:x}", bytes.len()),
            Op::Acquire { number } => format!("take {number}"),
            Op::Register { at, value } => format!("{at:x}={value:x}"),
            other => format!("{other:?}"),
        })
        .collect();
    assert_eq!(
        kinds,
        [
            "take 40",
            "take 63",
            "read 10+10",
            "erase 10000+10000",
            "program 10000+10",
            "read 10000+10",
            "program 10100+100",
            "f03fc=0",
            "f03a0=0"
        ]
    );
}
