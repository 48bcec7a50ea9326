//! Taking out of a report what points at one card and its owner's network.
//!
//! A MAC or GUID keeps its vendor part and its last digit, so that a reader still sees which of them
//! belong together; serial numbers are masked completely.

use super::secrets::{CHANGE_VALUES, SecretField, Secrets, VSD_OPTION};
use crate::host::Host;
use regex::{Captures, Regex};
use serde_json::Value;
use std::net::{IpAddr, SocketAddr};
use std::sync::LazyLock;

/// A MAC or GUID with separators, as sysfs, drivers and `lspci` write it: pairs with `:` or `-` between
/// them, or four groups of four. Addresses of PCI functions have other lengths.
static PARTED: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"(?i)\b(?:[0-9a-f]{2}(?:[:-][0-9a-f]{2}){7}|[0-9a-f]{2}(?:[:-][0-9a-f]{2}){5}|[0-9a-f]{4}(?::[0-9a-f]{4}){3})\b",
    )
    .expect("a constant pattern")
});

/// A word; a MAC or GUID in one piece, as mstflint and we write it, has 12 or 16 digits. Names of backups
/// hold one between underscores. Digests have other lengths. mstflint's command line takes one without
/// leading zeros behind `0x`: 9 digits or more, so shorter words need no closer look.
static WORD: LazyLock<Regex> =
    LazyLock::new(|| Regex::new("[0-9A-Za-z]{11,}").expect("a constant pattern"));

/// `lspci` of vital product data: `[SN] Serial number: MT1234X56789`.
static SERIAL: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(?m)(\[SN\] Serial number: ?).*$").expect("a constant pattern"));

/// Hexadecimal digits of the vendor part of a MAC or GUID (24 bits).
const VENDOR: usize = 6;

/// What may be an IP address: `fe80::1%eth0`, `10.0.0.1:443`.
static TOKEN: LazyLock<Regex> =
    LazyLock::new(|| Regex::new("[0-9A-Za-z_:.%]{3,}").expect("a constant pattern"));

/// A home directory, whoever's.
static HOME: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r#"/home/[^/\s"':;,]+"#).expect("a constant pattern"));

/// Registers with contents of the flash, as [`crate::card::Reg`] shows them. The log holds digests of
/// them unless the user asked for the data.
const DATA_REGISTERS: [&str; 3] = ["gateway data ", "tools mailbox ", "tools command word "];
/// Begin of a register's value that is no digest.
const AS_READ: &str = "0x";

const MASKED: &str = "(masked)";

/// Masks what the run has seen, and what has the form of an address.
#[derive(Debug, Default)]
pub(in crate::job) struct Mask {
    known: Option<Regex>,
}

impl Mask {
    pub(super) fn new(secrets: &Secrets) -> Self {
        Self { known: secrets.pattern() }
    }

    /// Masks the names of the host and of its user, and what has the form of an address.
    pub(in crate::job) fn of_host(host: &Host) -> Self {
        Self::new(&Secrets::of_host(host))
    }

    /// A text without what points at one card or its owner.
    pub(in crate::job) fn text(&self, plain: &str) -> String {
        let text = match &self.known {
            Some(known) => known.replace_all(plain, |found: &Captures<'_>| known_one(&found[0])),
            None => plain.into(),
        };
        let text = VSD_OPTION.replace_all(&text, "${1}(masked)");
        // An IPv6 address may hold what looks like a GUID.
        let text = TOKEN.replace_all(&text, |found: &Captures<'_>| ip(&found[0]));
        let text = PARTED.replace_all(&text, |found: &Captures<'_>| address(&found[0]));
        let text = WORD.replace_all(&text, |found: &Captures<'_>| word(&found[0]));
        let text = SERIAL.replace_all(&text, "${1}(masked)");
        HOME.replace_all(&text, "/home/(masked)").into_owned()
    }

    /// A JSON value without what points at one card or its owner; it stays JSON.
    pub(super) fn json(&self, value: &mut Value) {
        match value {
            Value::String(plain) => *plain = self.text(plain),
            Value::Array(list) => list.iter_mut().for_each(|inner| self.json(inner)),
            Value::Object(map) => {
                let change = SecretField::of_change(map);
                for (key, inner) in map.iter_mut() {
                    let of_change = change.filter(|_| CHANGE_VALUES.contains(&key.as_str()));
                    match SecretField::named(key).or(of_change) {
                        None | Some(SecretField::Address) => self.json(inner),
                        Some(_) => leaves(inner),
                    }
                }
            }
            _ => {}
        }
    }

    /// JSON lines; a line that is none is masked as text.
    pub(super) fn lines(&self, plain: &str) -> String {
        plain
            .lines()
            .map(|line| match serde_json::from_str::<Value>(line) {
                Ok(mut value) => {
                    register(&mut value);
                    self.json(&mut value);
                    format!("{value}\n")
                }
                Err(_) => format!("{}\n", self.text(line)),
            })
            .collect()
    }
}

/// Masks every value; that there is none matters.
fn leaves(value: &mut Value) {
    match value {
        Value::Array(list) => list.iter_mut().for_each(leaves),
        Value::Object(map) => map.values_mut().for_each(leaves),
        Value::String(text) if text.is_empty() => {}
        Value::String(_) | Value::Number(_) => *value = Value::String(MASKED.into()),
        Value::Null | Value::Bool(_) => {}
    }
}

/// A value the run has seen.
fn known_one(found: &str) -> String {
    let hex = found.bytes().all(|b| b.is_ascii_hexdigit());
    if hex && matches!(found.len(), 12 | 16) { address(found) } else { MASKED.to_owned() }
}

/// A token, masked if it is an IP address with or without zone or port. Those that every host has stay.
fn ip(token: &str) -> String {
    let body = token.trim_end_matches([':', '.']);
    let bare = body.split('%').next().unwrap_or(body);
    // A GUID in pairs has the form of an IPv6 address.
    if PARTED.find(bare).is_some_and(|found| found.as_str() == bare) {
        return token.to_owned();
    }
    let address =
        bare.parse::<IpAddr>().or_else(|_| bare.parse::<SocketAddr>().map(|socket| socket.ip()));
    match address {
        Ok(address) if !address.is_loopback() && !address.is_unspecified() => {
            format!("(IP address){}", &token[body.len()..])
        }
        _ => token.to_owned(),
    }
}

/// A word, masked if it is an address.
fn word(found: &str) -> String {
    let (prefix, body) = match found.split_at_checked(2) {
        Some((prefix @ ("0x" | "0X"), body)) => (prefix, body),
        _ => ("", found),
    };
    let hex = body.chars().all(|c| c.is_ascii_hexdigit());
    let is_address = match (prefix, body.len()) {
        (_, 12 | 16) => true,
        ("", _) => false,
        (_, digits) => (9..16).contains(&digits),
    };
    if hex && is_address { format!("{prefix}{}", address(body)) } else { found.to_owned() }
}

/// One MAC or GUID.
fn address(found: &str) -> String {
    let digits: Vec<char> = found.chars().filter(char::is_ascii_hexdigit).collect();
    // Blank and zero addresses identify no card, and that they are blank matters.
    if digits.windows(2).all(|pair| pair.first() == pair.last()) {
        return found.to_owned();
    }
    let mut seen = 0;
    found
        .chars()
        .map(|c| {
            if !c.is_ascii_hexdigit() {
                return c;
            }
            seen += 1;
            if seen <= VENDOR || seen == digits.len() { c } else { 'x' }
        })
        .collect()
}

/// A register access of the log, without data.
fn register(line: &mut Value) {
    let Some(fields) = line.get_mut("fields") else {
        return;
    };
    let is_data = fields["register"]
        .as_str()
        .is_some_and(|name| DATA_REGISTERS.iter().any(|data| name.starts_with(data)));
    if is_data
        && let Some(value) = fields.get_mut("value")
        && value.as_str().is_some_and(|v| v.starts_with(AS_READ))
    {
        *value = Value::String(MASKED.into());
    }
}

#[cfg(test)]
mod tests {
    use super::{Mask, Secrets};
    use serde_json::{Value, json as value};

    fn text(plain: &str) -> String {
        Mask::default().text(plain)
    }

    fn json(value: &mut Value) {
        Mask::default().json(value);
    }

    fn lines(plain: &str) -> String {
        Mask::default().lines(plain)
    }

    #[test]
    fn addresses_are_masked() {
        for (plain, masked) in [
            ("MACs e41d2ddd7850 e41d2ddd7851", "MACs e41d2dxxxxx0 e41d2dxxxxx1"),
            ("e4:1d:2d:dd:78:50", "e4:1d:2d:xx:xx:x0"),
            ("-mac 0x2c9abcdef1", "-mac 0x2c9abcxxx1"),
            ("E4-1D-2D-DD-78-51", "E4-1D-2D-xx-xx-x1"),
            ("0002c9000100d053", "0002c9xxxxxxxxx3"),
            ("0x0002c9000100d053,", "0x0002c9xxxxxxxxx3,"),
            ("MT_1170110023_e41d2ddd7850_2.35.5100", "MT_1170110023_e41d2dxxxxx0_2.35.5100"),
            ("guid 0002:c900:0100:d053", "guid 0002:c9xx:xxxx:xxx3"),
            (
                "Device Serial Number e4-1d-2d-03-00-dd-78-50",
                "Device Serial Number e4-1d-2d-xx-xx-xx-xx-x0",
            ),
        ] {
            assert_eq!(text(plain), masked);
        }
    }

    #[test]
    fn what_is_no_address_is_kept() {
        for plain in [
            "0000:01:00.0",
            "2026-11-23T05:07:00Z",
            "MT_1170110023",
            "ffffffffffffffff",
            "000000000000",
            "2b17eb563e51843cbd7a49064fe45690",
            "0xf7d00000 size=0x100000",
        ] {
            assert_eq!(text(plain), plain);
        }
    }

    #[test]
    fn ip_addresses_are_masked() {
        for (plain, masked) in [
            (
                "src=10.1.2.3 dst=[fe80::e61d:2dff:fedd:7850]:22",
                "src=(IP address) dst=[(IP address)]:22",
            ),
            ("192.168.7.1:2049: refused", "(IP address): refused"),
            ("2001:db8::7/64 on fe80::1%eth0.", "(IP address)/64 on (IP address)."),
        ] {
            assert_eq!(text(plain), masked);
        }
        for plain in ["127.0.0.1 ::1 0.0.0.0", "2.42.5000", "cx3flash::cli::log", "05:07:00", "a.b"]
        {
            assert_eq!(text(plain), plain);
        }
    }

    #[test]
    fn every_value_of_an_option_with_several_is_masked() {
        let mut secrets = Secrets::default();
        let guids = "-guids 0002c90300aabb00 0x2c90300aabb01 0002c90300aabb0 0002c90300aabb03";
        let line = format!("{guids} -macs e41d2ddd78501 e41d2ddd78512 burn image.bin");
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        secrets.learn_command(&words);
        let mask = Mask::new(&secrets);
        // Neither length is one by which a MAC or a GUID is known without the command.
        for value in ["0x2c90300aabb01", "0002c90300aabb0", "e41d2ddd78501", "e41d2ddd78512"] {
            assert_eq!(mask.text(&format!("got {value} here")), "got (masked) here");
        }
        assert_eq!(mask.text("burn image.bin"), "burn image.bin");
    }

    #[test]
    fn what_the_run_has_seen_is_masked_in_every_spelling() {
        let mut secrets = Secrets::default();
        secrets.learn(&value!({
            "image": { "vsd": "rack\n7", "macs": ["e41d2ddd7850"] },
            "kept": [{ "field": "vsd", "value": "it's Bob's" }],
            "nodename": "lab-7",
            "serial": 123_456_789_u64,
        }));
        let typed = ["identity", "set", "--vsd", "shelf 9", "--mac=e4-1d-2d-dd-78-6", "--yes"];
        secrets.learn_command(&typed.map(str::to_owned));
        secrets.learn_command(&["-vsd=row 4", "--expendable", "SN-77"].map(str::to_owned));
        let mask = Mask::new(&secrets);
        let bytes = format!("vsd: Some({:?})", b"rack\n7");
        for (plain, masked) in [
            ("VSD rack\\n7 stays", "VSD (masked) stays"),
            (r#"from: Some("rack\n7")"#, r#"from: Some("(masked)")"#),
            (bytes.as_str(), "vsd: Some([(masked)])"),
            ("of it's Bob's card", "of (masked) card"),
            ("at shelf 9", "at (masked)"),
            ("'--vsd=shelf 9' '-vsd=row 4'", "'--vsd=(masked)' '-vsd=(masked)'"),
            ("--mac e4-1d-2d-dd-78-6 of sn-77", "--mac (masked) of (masked)"),
            ("flint -vsd 'a b' sv", "flint -vsd (masked) sv"),
            ("fwE41D2DDD7850x", "fwE41D2Dxxxxx0x"),
            ("on lab-7", "on (masked)"),
            ("0x75bcd15 123456789", "(masked) (masked)"),
            ("/home/bob/fw.bin", "/home/(masked)/fw.bin"),
        ] {
            assert_eq!(mask.text(plain), masked);
        }
    }

    #[test]
    fn fields_are_masked_by_name_and_not_by_their_look() {
        let mut document = value!({
            "vsd": { "card": "x", "image": "" },
            "device_serial": 7, "serial": null,
            "changes": [{ "field": "vsd", "from": "y", "to": null }, { "field": "psid", "from": "y", "to": "z" }],
            "bar0_address": 4_160_749_568_u64,
        });
        json(&mut document);
        assert_eq!(
            document,
            value!({
                "vsd": { "card": "(masked)", "image": "" },
                "device_serial": "(masked)", "serial": null,
                "changes": [{ "field": "vsd", "from": "(masked)", "to": null }, { "field": "psid", "from": "y", "to": "z" }],
                "bar0_address": 4_160_749_568_u64,
            })
        );
    }

    #[test]
    fn serial_numbers_are_masked() {
        assert_eq!(
            text("\t[SN] Serial number: MT1234X56789\n\t[PN] Part number: MCX311A\n"),
            "\t[SN] Serial number: (masked)\n\t[PN] Part number: MCX311A\n"
        );
        let mut card =
            value!({ "serial": 7_u64, "inner": [{ "serial": null, "len": 123_456_789_012_u64 }] });
        json(&mut card);
        assert_eq!(
            card,
            value!({ "serial": "(masked)", "inner": [{ "serial": null, "len": 123_456_789_012_u64 }] })
        );
    }

    #[test]
    fn digests_of_what_is_on_the_card_are_masked() {
        let mut backup = value!({
            "files": [{ "name": "identity.json", "sha256": "8c2d" }],
            "image_sha256": "a281",
        });
        json(&mut backup);
        assert_eq!(
            backup,
            value!({
                "files": [{ "name": "identity.json", "sha256": "(masked)" }],
                "image_sha256": "(masked)",
            })
        );
    }

    #[test]
    fn flash_data_that_was_logged_on_request_is_masked() {
        let access = |register: &str, value: &str| value!({ "fields": { "message": "read", "register": register, "value": value } });
        for register in [
            crate::card::Reg::GatewayData(1),
            crate::card::Reg::ToolsMailbox(1),
            crate::card::Reg::ToolsHcr(4),
        ] {
            let register = register.to_string();
            let masked = lines(&access(&register, "0x2ddd7850").to_string());
            assert_eq!(masked, format!("{}\n", access(&register, "(masked)")));
        }
        for kept in [
            access("gateway data 1 (0xf0414)", "digest:0123456789abcd"),
            access("gateway address (0xf0404)", "0x00010000"),
        ] {
            assert_eq!(lines(&kept.to_string()), format!("{kept}\n"));
        }
    }

    #[test]
    fn a_masked_log_stays_json() {
        let masked = lines("{\"mac\":\"e41d2ddd7850\"}\nhalf a line e41d2ddd7850\n");
        assert_eq!(masked, "{\"mac\":\"e41d2dxxxxx0\"}\nhalf a line e41d2dxxxxx0\n");
    }
}
