#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a panic in a test is the report"
)]

use super::register::{decode, encode};
use super::{FIELDS, Limits, NvSetting, NvSettings, Parameter, TlvId};
use crate::card::ToolsError;
use std::collections::BTreeMap;

const VPI_P2: TlvId = TlvId { kind: 0x12, port: 2 };

/// The mailbox as it lies in memory.
fn bytes(id: TlvId, dwords: u16, data: Option<&[u32]>) -> Vec<u8> {
    let words = encode(id, dwords, data);
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

#[test]
fn a_read_is_not_sent_as_a_write() {
    let bytes = bytes(VPI_P2, 1, None);
    #[rustfmt::skip]
    assert_eq!(bytes, [
        // Operation TLV: type 1, 4 dwords, status 0; register 9024, method 1 (get), class 1; id.
        0x08, 0x04, 0x00, 0x00, 0x90, 0x24, 0x01, 0x01, 0, 0, 0, 0, 0, 0, 0, 0,
        // Register TLV: type 3, 4 dwords: itself, the header, one of data.
        0x18, 0x04, 0x00, 0x00,
        // Header: length 1 in 29:18, type 0x12; modifier 2 in 23:16.
        0x00, 0x04, 0x00, 0x12, 0x00, 0x02, 0x00, 0x00,
    ]);
}

#[test]
fn the_data_of_a_write_is_not_swapped_or_lost() {
    let sriov = TlvId { kind: 0x11, port: 0 };
    let first = bytes(sriov, 1, Some(&[0x8000_0010]));
    assert_eq!(first[4..8], [0x90, 0x24, 0x02, 0x01]);
    assert_eq!(first[20..], [0x00, 0x04, 0x00, 0x11, 0, 0, 0, 0, 0x80, 0x00, 0x00, 0x10]);
    // The longest one: eight dwords, so eleven in the register TLV.
    let global = TlvId { kind: 0x14, port: 0 };
    let bytes = bytes(global, 8, Some(&[0xC000_0000, 0, 0, 0, 0, 0, 0, 0]));
    assert_eq!(bytes.len(), 60);
    assert_eq!(bytes[16..22], [0x18, 0x0b, 0, 0, 0x00, 0x20]);
}

#[test]
fn a_status_is_not_taken_for_data() {
    let with_status = |status: u32| {
        let mut words = encode(VPI_P2, 1, Some(&[0x22]));
        words[0] |= status << 8;
        decode(&words)
    };
    assert_eq!(with_status(0).unwrap(), Some(vec![0x22]));
    assert_eq!(with_status(8).unwrap(), None);
    assert!(matches!(
        with_status(0x22),
        Err(ToolsError::ConfigurationCorrupt { register: 0x9024 })
    ));
    assert!(matches!(with_status(0x21), Err(ToolsError::Register { status: 0x21, .. })));
    for junk in [&[][..], &[0], &[u32::MAX; 15], &[0x0804_0000]] {
        assert!(matches!(decode(junk), Err(ToolsError::Malformed { .. })), "{junk:x?}");
    }
}

#[test]
fn no_two_parameters_share_a_bit() {
    let mut used: BTreeMap<(TlvId, usize), u32> = BTreeMap::new();
    for parameter in Parameter::all() {
        let bits = parameter.field.bits;
        let mut words = [0; 8];
        bits.set(&mut words, u32::MAX);
        let mask = words[bits.word];
        assert_eq!(bits.of(&words), mask >> bits.shift);
        assert!(parameter.field.max <= bits.of(&words), "{}", parameter.name());
        assert!(bits.word < usize::from(parameter.field.dwords));
        let taken = used.entry((parameter.tlv(), bits.word)).or_default();
        assert_eq!(*taken & mask, 0, "{}", parameter.name());
        *taken |= mask;
    }
    assert_eq!(
        Parameter::all().count(),
        FIELDS.len() + FIELDS.iter().filter(|f| f.per_port).count()
    );
}

#[test]
fn every_parameter_sits_where_mstconfig_puts_it() {
    // (name, value, type, port, first dword): positions of mstflint 4.21, tools_open layouts.
    for (name, value, kind, port, word) in [
        ("SRIOV_EN", 1, 0x11, 0, 0x8000_0000),
        ("NUM_OF_VFS", 0x7f, 0x11, 0, 0x7f),
        ("WOL_MAGIC_EN_P1", 1, 0x10, 1, 0x400),
        ("LINK_TYPE_P2", 3, 0x12, 2, 3),
        ("PHY_TYPE_P1", 3, 0x12, 1, 0x30),
        ("XFI_MODE_P1", 2, 0x12, 1, 0x80),
        ("FORCE_MODE_P1", 1, 0x12, 1, 0x100),
        ("LOG_BAR_SIZE", 5, 0x13, 0, 5),
        ("BOOT_PKEY_P1", 0x8001, 0x2022, 1, 0x8001),
        ("BOOT_OPTION_ROM_EN_P1", 1, 0x2021, 1, 0x8000_0000),
        ("BOOT_VLAN_EN_P1", 1, 0x2021, 1, 0x4000_0000),
        ("BOOT_RETRY_CNT_P1", 7, 0x2021, 1, 0x0700_0000),
        ("LEGACY_BOOT_PROTOCOL_P1", 3, 0x2021, 1, 0x0003_0000),
        ("BOOT_VLAN_P1", 0xfff, 0x2021, 1, 0xfff),
        ("IP_VER_P2", 3, 0x2001, 2, 0x300),
        ("CQ_TIMESTAMP", 1, 0x14, 0, 0x8000_0000),
        ("STEER_FORCE_VLAN", 1, 0x14, 0, 0x4000_0000),
        ("PHY_PARAMETER_MODE", 2, 0x14, 0, 0x2000_0000),
        ("INT_CLOCK_TO_USER", 1, 0x14, 0, 0x0800_0000),
    ] {
        let parameter = Parameter::named(name).unwrap();
        assert_eq!(parameter.tlv(), TlvId { kind, port }, "{name}");
        let mut words = [0; 8];
        parameter.field.bits.set(&mut words, value);
        assert_eq!(words[0], word, "{name}");
    }
}

#[test]
fn a_value_is_not_read_wrong() {
    let link = Parameter::named("link_type_p1").unwrap();
    assert_eq!(link.parse("eth"), Some(2));
    assert_eq!(link.parse("0x3"), Some(3));
    for bad in ["0", "4", "ETHER", "", "-1", "2 ", "0x", "ETH(2)"] {
        assert_eq!(link.parse(bad), None, "{bad:?}");
    }
    assert_eq!(link.show(2), "ETH(2)");
    let vfs = Parameter::named("NUM_OF_VFS").unwrap();
    assert_eq!(vfs.show(16), "16");
    assert_eq!(vfs.range(), "0..127");
    assert_eq!(link.range(), "IB, ETH, VPI or 1..3");
    assert!(Parameter::named("LINK_TYPE").is_none());
    assert!(Parameter::named("SRIOV_EN_P1").is_none());
}

fn setting(name: &str, next_boot: Option<u32>) -> NvSetting {
    NvSetting {
        parameter: Parameter::named(name).unwrap(),
        next_boot,
        default: next_boot,
        stored: false,
    }
}

fn settings(list: &[(&str, Option<u32>)]) -> NvSettings {
    NvSettings {
        settings: list.iter().map(|(n, v)| setting(n, *v)).collect(),
        limits: Limits { max_vfs: 63, max_log_bar: 5 },
        stored: BTreeMap::new(),
    }
}

fn wanted(list: &[(&str, u32)]) -> Vec<(Parameter, u32)> {
    list.iter().map(|(n, v)| (Parameter::named(n).unwrap(), *v)).collect()
}

#[test]
fn what_was_not_asked_for_keeps_its_bits() {
    let mut card = settings(&[("SRIOV_EN", Some(1)), ("NUM_OF_VFS", Some(8))]);
    // Nothing stored: the other parameter of the TLV goes in with its default.
    let writes = card.writes(&wanted(&[("NUM_OF_VFS", 16)])).unwrap();
    let (id, data) = writes.into_iter().next().unwrap();
    assert_eq!(data, [0x8000_0010]);
    // Stored, with an unknown bit: it stays.
    card.stored.insert(id, vec![0x8040_0008]);
    let writes = card.writes(&wanted(&[("SRIOV_EN", 0)])).unwrap();
    assert_eq!(writes.into_values().collect::<Vec<_>>(), [[0x0040_0008]]);
}

#[test]
fn a_value_that_holds_already_is_not_written() {
    let card =
        settings(&[("SRIOV_EN", Some(1)), ("NUM_OF_VFS", Some(8)), ("BOOT_VLAN_P1", Some(0))]);
    assert!(card.writes(&wanted(&[("SRIOV_EN", 1), ("BOOT_VLAN_P1", 0)])).unwrap().is_empty());
    let both =
        card.writes(&wanted(&[("NUM_OF_VFS", 8), ("SRIOV_EN", 0), ("BOOT_VLAN_P1", 7)])).unwrap();
    assert_eq!(both.into_values().collect::<Vec<_>>(), [[8], [7]]);
}

#[test]
fn an_unknown_value_is_not_invented() {
    let card = settings(&[("LINK_TYPE_P1", None), ("PHY_TYPE_P1", Some(2))]);
    let missing = card.writes(&wanted(&[("PHY_TYPE_P1", 1)])).unwrap_err();
    assert_eq!(missing.name(), "LINK_TYPE_P1");
    let writes = card.writes(&wanted(&[("PHY_TYPE_P1", 1), ("LINK_TYPE_P1", 2)])).unwrap();
    assert_eq!(writes.into_values().collect::<Vec<_>>(), [[0x12]]);
}

#[test]
fn more_bars_than_a_host_boots_with_do_not_pass() {
    let card =
        settings(&[("SRIOV_EN", Some(0)), ("NUM_OF_VFS", Some(63)), ("LOG_BAR_SIZE", Some(3))]);
    assert_eq!(card.too_much_bar(&wanted(&[("SRIOV_EN", 1)])), None);
    let asked = wanted(&[("SRIOV_EN", 1), ("LOG_BAR_SIZE", 4)]);
    assert_eq!(card.too_much_bar(&asked), Some(1024));
    assert_eq!(card.too_much_bar(&wanted(&[("LOG_BAR_SIZE", 5)])), None);
    assert_eq!(card.max(Parameter::named("NUM_OF_VFS").unwrap()), 63);
    assert_eq!(card.max(Parameter::named("LOG_BAR_SIZE").unwrap()), 5);
}
