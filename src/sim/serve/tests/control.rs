//! The control channel.

use super::{ClientBar0, ServedCard, dword};
use crate::card::{CrOffset, CrSpace};
use std::time::{Duration, Instant};

#[test]
fn an_unknown_order_is_an_error() {
    let served = ServedCard::new("mcx311a");
    let mut orders = served.control();
    for line in [
        "",
        "explode",
        "silent",
        "silent maybe",
        "info please",
        "firmware",
        "hold-at-mutation soon",
        "boot-ms soon",
        "boot-ms",
        "pci-reset-boots maybe",
        "fault",
        "fault {\"fault\":\"gremlins\"}",
        "fault {\"fault\":\"stuck_wip\"}",
    ] {
        let answer = orders.order(line);
        assert!(answer.starts_with("error "), "{line:?}: {answer}");
    }
    assert_eq!(orders.order("hold-at-mutation 1"), "ok");
    assert_eq!(orders.order("hold-at-mutation 0"), "ok");
    assert_eq!(served.info()["faults"], serde_json::json!([]));
}

#[test]
fn several_orders_in_one_write_are_all_answered() {
    let served = ServedCard::new("mcx311a");
    let mut orders = served.control();
    assert_eq!(orders.order("silent on\nsilent off\nbogus"), "ok");
    assert_eq!(orders.line(), "ok");
    assert!(orders.line().starts_with("error "));
}

#[test]
fn a_fault_reaches_the_card_and_a_power_cycle_takes_it_away() {
    let served = ServedCard::new("mcx311a");
    let mut bar0 = ClientBar0::new(served.started());
    let fault = r#"{"fault":"semaphore_held","number":63,"reads":null,"owner_alive":true}"#;
    assert_eq!(served.order(&format!("fault {fault}")), "ok");
    assert_eq!(bar0.read(CrOffset(0xf_03fc)).expect("BAR0"), 1);
    assert_eq!(served.order("power-cycle"), "ok");
    assert_eq!(bar0.read(CrOffset(0xf_03fc)).expect("BAR0"), u32::MAX, "COMMAND is lost");
    assert!(bar0.back_after_reset().expect("config"));
    assert_eq!(bar0.read(CrOffset(0xf_03fc)).expect("BAR0"), 0);
    let info = served.info();
    assert_eq!(info["faults"], serde_json::json!([]));
    assert_eq!(info["boots"], 1);
}

#[test]
fn a_silent_card_reads_all_ones_and_loses_writes() {
    let served = ServedCard::new("mcx311a");
    let mut bar0 = ClientBar0::new(served.started());
    assert_eq!(served.order("silent on"), "ok");
    assert_eq!(bar0.read(CrOffset(0xf_0014)).expect("BAR0"), u32::MAX);
    assert_eq!(dword(&mut bar0.0.borrow_mut(), 0x60), u32::MAX);
    bar0.write(CrOffset(0xf_3834), 5).expect("BAR0");
    assert_eq!(served.info()["silent"], true);
    assert_eq!(served.order("silent off"), "ok");
    assert_eq!(bar0.read(CrOffset(0xf_3834)).expect("BAR0"), 0);
    assert_eq!(bar0.read(CrOffset(0xf_0014)).expect("BAR0"), 0x0001_01f5);
}

/// PCI device id, and whether 0x41270 shows running firmware.
fn shown(bar0: &mut ClientBar0) -> (u32, bool) {
    let id = dword(&mut bar0.0.borrow_mut(), 0) >> 16;
    let test = bar0.read(CrOffset(0x4_1270)).expect("BAR0");
    (id, test < 0xfff0_0000)
}

#[test]
fn a_device_reset_boots_a_chip_with_a_boot_time() {
    let served = ServedCard::new("mcx311a");
    let mut bar0 = ClientBar0::new(served.started());
    assert_eq!(shown(&mut bar0), (0x1003, true));
    // Longer than this test may take, so that only orders end it.
    assert_eq!(served.order("boot-ms 3600000"), "ok");
    assert_eq!(served.info()["booting"], false, "from the next reset on");
    bar0.0.borrow_mut().reset().expect("reset");
    assert!(bar0.back_after_reset().expect("config"));
    assert_eq!(shown(&mut bar0), (0x1f6, false));
    assert_eq!(served.info()["booting"], true);
    assert_eq!(served.info()["boots"], 1);
    assert_eq!(served.info()["misuse_count"], 0);

    assert_eq!(served.order("boot-ms 0"), "ok");
    assert_eq!(served.order("power-cycle"), "ok");
    assert!(bar0.back_after_reset().expect("config"));
    assert_eq!(shown(&mut bar0), (0x1003, true));

    assert_eq!(served.order("boot-ms 3600000"), "ok");
    assert_eq!(served.order("pci-reset-boots off"), "ok");
    bar0.0.borrow_mut().reset().expect("reset");
    assert!(bar0.back_after_reset().expect("config"));
    assert_eq!(shown(&mut bar0), (0x1003, true));
    assert_eq!(served.order("pci-reset-boots on"), "ok");
    // A client that goes is a VFIO that closes.
    drop(bar0);
    let start = Instant::now();
    while served.info()["booting"] != true {
        assert!(start.elapsed() < super::LIMIT, "the chip does not boot");
    }
}

#[test]
fn a_network_driver_makes_no_misuse_in_a_boot() {
    let served = ServedCard::new("mcx311a");
    assert_eq!(served.order("boot-ms 3600000"), "ok");
    assert_eq!(served.order("power-cycle"), "ok");
    // With bus mastering, and then without.
    for (command, noted) in [(6, 0), (2, 2)] {
        let mut bar0 = ClientBar0::new(served.client());
        let mut client = bar0.0.borrow_mut();
        client.region_write(super::CONFIG, 4, &[command, 0]).expect("COMMAND");
        drop(client);
        bar0.read(CrOffset(0xf_03fc)).expect("BAR0");
        bar0.write(CrOffset(0xf_03fc), 0).expect("BAR0");
        assert_eq!(served.info()["misuse_count"], noted, "{command}");
    }
}

/// Write enable and an erase of 64 KiB; the answer to the second command comes when it comes.
fn erase(bar0: &mut ClientBar0) {
    assert_eq!(bar0.read(CrOffset(0xf_03fc)).expect("BAR0"), 0);
    bar0.write(CrOffset(0xf_0400), 0x4006_2004).expect("BAR0");
    std::thread::sleep(Duration::from_millis(1));
    bar0.write(CrOffset(0xf_0404), 0x10_0000).expect("BAR0");
    bar0.write(CrOffset(0xf_0400), 0x40d8_200c).expect("BAR0");
}

#[test]
fn a_mutation_is_held_until_release_and_no_longer_than_the_client_waits() {
    for released in [true, false] {
        let served = ServedCard::new("mcx311a");
        let mut orders = served.control();
        assert_eq!(orders.order("hold-at-mutation 1"), "ok");
        let mut bar0 = ClientBar0::new(served.started());
        let start = Instant::now();
        std::thread::scope(|scope| {
            let harness = scope.spawn(|| {
                assert_eq!(orders.line(), "at 1");
                // Held, the server still takes orders.
                assert!(orders.order("info").contains("\"mutations\":1,"));
                if released {
                    std::thread::sleep(Duration::from_millis(200));
                    assert_eq!(orders.order("release"), "ok");
                }
            });
            erase(&mut bar0);
            harness.join().expect("harness");
        });
        let took = start.elapsed().as_millis();
        let want = if released { 200..3500 } else { 3500..8000 };
        assert!(want.contains(&took), "{released}: {took} ms");
        let past = served.order("hold-at-mutation 1");
        assert!(past.starts_with("error "), "{past}");
    }
}

#[test]
fn forget_starts_the_counts_at_zero() {
    let served = ServedCard::new("mcx311a");
    let mut bar0 = ClientBar0::new(served.started());
    bar0.write(CrOffset(0xf_0014), 1).expect("BAR0");
    let info = served.info();
    assert_eq!(info["misuse_count"], 1);
    let touched = serde_json::json!([{"at": "0xf0014", "reads": 0, "writes": 1}]);
    assert_eq!(info["registers"], touched);
    let answer = served.order("forget");
    assert!(answer.starts_with("ok {\"counters\":"), "{answer}");
    let info = served.info();
    assert_eq!(info["misuse_count"], 0);
    assert_eq!(info["counters"]["bar_writes"], 0);
    assert_eq!(info["registers"], serde_json::json!([]));
}
