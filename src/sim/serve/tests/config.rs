//! Configuration space, byte by byte.

use super::{CONFIG, ServedCard, dword, set_dword};
use crate::sim::CardSpec;

#[test]
fn only_writable_bits_change() {
    let served = ServedCard::new("mcx311a");
    let mut client = served.client();
    let before: Vec<u32> = (0x60..0x1c0_u64).step_by(4).map(|at| dword(&mut client, at)).collect();
    // Ones everywhere but the FLR bit, in bytes.
    for at in 0x60..0x1c0_u64 {
        let byte = if at == 0x69 { 0x7f } else { 0xff };
        client.region_write(CONFIG, at, &[byte]).expect("config");
    }
    for (n, before) in before.into_iter().enumerate() {
        let at = 0x60 + 4 * n as u64;
        let allowed = match at {
            0x68 => 0x7fff,
            0x70 => 0x1eb,
            0x88 => 0x1f,
            0x90 => 0x1fff,
            0x9c => 0xc000_0000,
            // Vendor-specific: its own tests.
            0xc4..=0xd4 => u32::MAX,
            0x15c | 0x160 => 0x03ff_f030,
            0x168 => 0xf1c1,
            0x16c => 0x150,
            0x190 => 3,
            _ => 0,
        };
        let now = dword(&mut client, at);
        assert_eq!(now & !allowed, before & !allowed, "at {at:#x}");
        if !(0xc4..=0xd4).contains(&at) {
            assert_eq!(now & allowed, allowed, "at {at:#x}");
        }
    }
    set_dword(&mut client, 0x44, u32::MAX);
    assert_eq!(dword(&mut client, 0x44), 0xb, "power state and NoSoftRst");
}

#[test]
fn bars_size_and_ids_do_not_change() {
    let served = ServedCard::new("mcx312b");
    let mut client = served.client();
    for at in [0, 8, 0x10, 0x14, 0x18, 0x1c, 0x20, 0x24, 0x2c, 0x30] {
        set_dword(&mut client, at, u32::MAX);
    }
    assert_eq!(dword(&mut client, 0), 0x1007_15b3);
    assert_eq!(dword(&mut client, 8), 0x0200_0000, "revision 0");
    assert_eq!(dword(&mut client, 0x10), 0xfff0_0004);
    assert_eq!(dword(&mut client, 0x14), u32::MAX);
    assert_eq!(dword(&mut client, 0x18), 0xff80_000c);
    assert_eq!(dword(&mut client, 0x20), 0);
    assert_eq!(dword(&mut client, 0x2c), 0x0080_15b3);
    assert_eq!(dword(&mut client, 0x30), 0, "no expansion ROM BAR");
    // Words and bytes of one register.
    client.region_write(CONFIG, 0x12, &[0x50, 0xfe]).expect("word");
    client.region_write(CONFIG, 0x3c, &[11]).expect("byte");
    assert_eq!(dword(&mut client, 0x10), 0xfe50_0004);
    assert_eq!(dword(&mut client, 0x3c), 0x010b);
}

#[test]
fn a_card_in_recovery_shows_its_recovery_id_and_class() {
    let spec = CardSpec::named("mcx312b").expect("board");
    let served = ServedCard::with(spec, &[]);
    let mut client = served.client();
    assert_eq!(dword(&mut client, 0), 0x01f8_15b3);
    assert_eq!(dword(&mut client, 8), 0x0580_0000);
    assert_eq!(dword(&mut client, 0x14c), 0, "no node GUID");
}

#[test]
fn the_serial_number_is_the_node_guid() {
    let served = ServedCard::new("mcx312b");
    let mut client = served.client();
    let spec = CardSpec::named("mcx312b").expect("board");
    let named = crate::sim::SimCard::new(spec.clone(), &super::flash_of(&spec)).named();
    let guid = named.guids[0].0;
    let shown = u64::from(dword(&mut client, 0x150)) << 32 | u64::from(dword(&mut client, 0x14c));
    assert_eq!(shown, guid);
}

#[test]
fn the_gateway_reaches_registers_in_both_variants() {
    for write_only_address in [false, true] {
        let spec = CardSpec { write_only_address, ..CardSpec::default() };
        let flash = super::flash_of(&spec);
        let served = ServedCard::with(spec, &flash);
        let mut client = served.client();
        set_dword(&mut client, 0x58, 0xf_0014 | u32::from(write_only_address));
        let shown = dword(&mut client, 0x58);
        assert_eq!(shown == 0xbadacce5, write_only_address, "{shown:#x}");
        assert_eq!(dword(&mut client, 0x5c), 0x0001_01f5);
        // No memory decode is needed for these cycles.
        assert_eq!(dword(&mut client, 4) & 2, 0);
    }
}

#[test]
fn the_vendor_capability_has_cr_space_and_nothing_else() {
    let served = ServedCard::new("mcx311a");
    let mut client = served.client();
    let first = dword(&mut client, 0xc8);
    let ticket = dword(&mut client, 0xc8);
    assert_ne!(first, ticket, "each read gives a new ticket");
    set_dword(&mut client, 0xcc, ticket);
    assert_eq!(dword(&mut client, 0xcc), ticket);
    set_dword(&mut client, 0xcc, ticket + 1);
    assert_eq!(dword(&mut client, 0xcc), ticket, "taken");
    for (space, supported) in [(1, 0), (10, 0), (2, 1)] {
        let wrote = client.region_write(CONFIG, 0xc4, &[space, 0]);
        wrote.expect("space");
        assert_eq!(dword(&mut client, 0xc4) >> 29, supported, "space {space}");
    }
    set_dword(&mut client, 0xd0, 0xf_0014);
    assert_eq!(dword(&mut client, 0xd0), 1 << 31 | 0xf_0014, "ready");
    assert_eq!(dword(&mut client, 0xd4), 0x0001_01f5);
    set_dword(&mut client, 0xd4, 0x1234);
    set_dword(&mut client, 0xd0, 1 << 31 | 0xf_3834);
    assert_eq!(dword(&mut client, 0xd0), 0xf_3834, "done");
    set_dword(&mut client, 0xd0, 0xf_3834);
    assert_eq!(dword(&mut client, 0xd4), 0x1234);
    set_dword(&mut client, 0xcc, 0);
    assert_eq!(dword(&mut client, 0xcc), 0, "released");
}

#[test]
fn vital_product_data_has_a_valid_checksum() {
    let served = ServedCard::new("mcx311a");
    let mut client = served.client();
    let mut vpd = Vec::new();
    for at in (0..0x80_u16).step_by(4) {
        let wrote = client.region_write(CONFIG, 0x4a, &at.to_le_bytes());
        wrote.expect("address");
        assert_eq!(dword(&mut client, 0x48) >> 31, 1, "ready");
        vpd.extend_from_slice(&dword(&mut client, 0x4c).to_le_bytes());
    }
    let end = vpd.windows(3).position(|w| w == b"RV\x01").expect("RV") + 3;
    let sum = vpd[..=end].iter().fold(0_u8, |a, b| a.wrapping_add(*b));
    assert_eq!(sum, 0);
    assert!(vpd.windows(12).any(|w| w == b"MCX311A-XCAT"));
}

#[test]
fn resets_of_the_function_clear_the_command_and_keep_semaphores() {
    let served = ServedCard::new("mcx311a");
    for by_message in [false, true] {
        let mut client = served.started();
        set_dword(&mut client, 0x10, 0xfe50_0000);
        let mut word = [0; 4];
        client.region_read(0, 0xf_03fc, &mut word).expect("BAR0");
        if by_message {
            client.reset().expect("reset");
        } else {
            client.region_write(CONFIG, 0x68, &[0x10, 0xa8]).expect("FLR");
            assert_eq!(dword(&mut client, 0x68) >> 15 & 1, 0, "FLR reads 0");
        }
        assert_eq!(dword(&mut client, 4) & 0xffff, 0);
        assert_eq!(dword(&mut client, 0x10), 4);
        assert_eq!(served.info()["semaphores_held"], serde_json::json!([63]));
        client.shutdown().expect("gone");
    }
}
