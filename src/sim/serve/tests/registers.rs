//! BAR0: registers, widths, resets, and our own query over it.

use super::{CONFIG, ClientBar0, LIMIT, ServedCard, dword, set_dword};
use crate::card::{Card, CrOffset, CrSpace, WallClock};
use crate::job::{self, Device};
use crate::sim::CardSpec;
use crate::sim::serve::ServePace;
use std::rc::Rc;
use std::time::{Duration, Instant};

fn read(client: &mut vfio_user::Client, at: u64) -> u32 {
    let mut word = [0; 4];
    client.region_read(0, at, &mut word).expect("BAR0");
    u32::from_be_bytes(word)
}

#[test]
fn registers_answer_only_with_memory_decode() {
    let served = ServedCard::new("mcx311a");
    let mut client = served.client();
    assert_eq!(read(&mut client, 0xf_0014), u32::MAX);
    client.region_write(CONFIG, 4, &[2, 0]).expect("COMMAND");
    assert_eq!(read(&mut client, 0xf_0014), 0x0001_01f5);
}

#[test]
fn wide_accesses_are_two_words_and_narrow_ones_are_misuse() {
    let served = ServedCard::new("mcx311a");
    let mut client = served.started();
    let data = [1, 2, 3, 4, 5, 6, 7, 8];
    client.region_write(0, 0xf_3830, &data).expect("BAR0");
    assert_eq!(read(&mut client, 0xf_3834), 0x0506_0708);
    let mut back = [0; 8];
    client.region_read(0, 0xf_3830, &mut back).expect("BAR0");
    assert_eq!(back, data);
    assert_eq!(served.info()["misuse_count"], 0);
    let mut half = [0; 2];
    client.region_read(0, 0xf_3832, &mut half).expect("BAR0");
    assert_eq!(half, [3, 4]);
    client.region_write(0, 0xf_3831, &[9]).expect("BAR0");
    assert_eq!(read(&mut client, 0xf_3830), 0x0109_0304);
    let info = served.info();
    assert_eq!(info["misuse_count"], 2, "{}", info["misuse"]);
}

#[test]
fn a_query_reads_the_card_through_the_socket() {
    let served = ServedCard::new("mcx312b");
    let mut client = served.client();
    client.region_write(CONFIG, 4, &[2, 0]).expect("COMMAND");
    let clock = Rc::new(WallClock::default());
    let card = Card::open(Box::new(ClientBar0::new(client)), clock.clone()).expect("a card");
    let mut device = Device::new(card, clock, "served");
    let found = job::query_card(&mut device).expect("query");
    let json = serde_json::to_value(&found).expect("JSON").to_string();
    assert!(json.contains("MT_1200111023"), "{json}");
    assert!(json.contains("2.36.5150"), "{json}");
    drop(device);
    let info = served.info();
    assert_eq!(info["misuse"], serde_json::json!([]));
    assert_eq!(info["semaphores_held"], serde_json::json!([]));
    assert!(info["counters"]["spi_bytes"].as_u64() > Some(1000));
}

#[test]
fn a_chip_reset_silences_the_card_and_clears_the_bars() {
    let served = ServedCard::new("mcx311a");
    let mut bar0 = ClientBar0::new(served.started());
    assert_eq!(bar0.read(CrOffset(0xf_03fc)).expect("semaphore"), 0);
    let start = Instant::now();
    bar0.write(CrOffset(0xf_0010), 1).expect("reset");
    assert_eq!(dword(&mut bar0.0.borrow_mut(), 0), u32::MAX, "silent");
    assert_eq!(bar0.read(CrOffset(0xf_0014)).expect("BAR0"), u32::MAX);
    while dword(&mut bar0.0.borrow_mut(), 0) == u32::MAX {
        assert!(start.elapsed() < LIMIT, "it never comes back");
        std::thread::sleep(Duration::from_millis(5));
    }
    let gone = start.elapsed().as_millis();
    assert!((290..5000).contains(&gone), "silent for {gone} ms");
    assert_eq!(dword(&mut bar0.0.borrow_mut(), 4) & 0xffff, 0);
    assert_eq!(bar0.read(CrOffset(0xf_0014)).expect("BAR0"), u32::MAX, "no memory decode");
    assert!(bar0.back_after_reset().expect("config"));
    assert_eq!(bar0.read(CrOffset(0xf_0014)).expect("BAR0"), 0x0001_01f5);
    let info = served.info();
    assert_eq!(info["semaphores_held"], serde_json::json!([]), "free");
    assert_eq!(info["boots"], 1);
}

#[test]
fn a_reset_starts_what_is_on_the_flash() {
    // Starts with firmware; then the first sector is erased and the chip reset.
    let served = ServedCard::new("mcx311a");
    let bar0 = ClientBar0::new(served.started());
    let mut probe = bar0.clone();
    let mut io = |at: u32, value: u32| probe.write(CrOffset(at), value).expect("BAR0");
    // Semaphore 63, write enable, erase 64K at 0: the gateway by hand.
    assert_eq!(bar0.clone().read(CrOffset(0xf_03fc)).expect("BAR0"), 0);
    io(0xf_0400, 0x4006_2004);
    std::thread::sleep(Duration::from_millis(1));
    io(0xf_0404, 0);
    io(0xf_0400, 0x40d8_200c);
    assert_eq!(served.info()["mutations"], 1);
    io(0xf_0010, 1);
    let start = Instant::now();
    while dword(&mut bar0.0.borrow_mut(), 0) == u32::MAX {
        assert!(start.elapsed() < LIMIT, "it never comes back");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(dword(&mut bar0.0.borrow_mut(), 0), 0x01f6_15b3);
    assert_eq!(dword(&mut bar0.0.borrow_mut(), 8), 0x0580_0001);
}

/// Milliseconds and polls until an erase of 64 KiB, 469 ms of the card's time, is seen to be over.
fn erase(pace: ServePace) -> (u128, u32) {
    let spec = CardSpec::default();
    let flash = super::flash_of(&spec);
    let served = ServedCard::at_pace(spec, &flash, pace);
    let mut bar0 = ClientBar0::new(served.started());
    assert_eq!(bar0.read(CrOffset(0xf_03fc)).expect("BAR0"), 0);
    let start = Instant::now();
    let mut io = |at: u32, value: u32| bar0.write(CrOffset(at), value).expect("BAR0");
    io(0xf_0400, 0x4006_2004);
    std::thread::sleep(Duration::from_millis(1));
    io(0xf_0404, 0x10_0000);
    io(0xf_0400, 0x40d8_200c);
    std::thread::sleep(Duration::from_millis(1));
    let mut polls = 0;
    loop {
        // RDSR, one byte.
        bar0.write(CrOffset(0xf_0400), 0x4005_2015).expect("BAR0");
        std::thread::sleep(Duration::from_micros(200));
        let status = bar0.read(CrOffset(0xf_0410)).expect("BAR0") >> 24;
        polls += 1;
        if status & 1 == 0 {
            return (start.elapsed().as_millis(), polls);
        }
        assert!(start.elapsed() < LIMIT, "busy for ever");
    }
}

#[test]
fn busy_times_cost_polls_instead_of_waiting() {
    let (took, polls) = erase(ServePace::Fast);
    assert!(polls > 3, "a tool that does not poll must not get away");
    assert!(took < 460, "{took} ms");
}

#[test]
fn at_wall_pace_an_erase_takes_its_typical_time() {
    let (took, _) = erase(ServePace::Wall);
    assert!((460..2000).contains(&took), "{took} ms");
}

#[test]
fn a_foreign_reset_takes_effect_at_its_read() {
    let served = ServedCard::new("mcx311a");
    let mut bar0 = ClientBar0::new(served.started());
    let answer = served.order(r#"fault {"fault":"reset","after":3}"#);
    assert_eq!(answer, "ok");
    set_dword(&mut bar0.0.borrow_mut(), 0x44, 3);
    for _ in 0..4 {
        bar0.read(CrOffset(0xf_0014)).expect("BAR0");
    }
    assert_eq!(served.info()["boots"], 1);
    let start = Instant::now();
    while dword(&mut bar0.0.borrow_mut(), 0) == u32::MAX {
        assert!(start.elapsed() < LIMIT, "it never comes back");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(dword(&mut bar0.0.borrow_mut(), 0x44), 8, "D0 again");
}
