//! Part and serial number in a card's vital product data, from the sysfs file `vpd` (drivers/pci/vpd.c). Only root
//! may read it.

use super::{Bdf, Host};
use std::fs::File;
use std::io::Read as _;

/// Most bytes of vital product data: 15 address bits (PCI specification, appendix I).
const MAX: u64 = 1 << 15;
/// Tag of the read-only fields.
const READ_ONLY: u8 = 0x90;
/// Large resources have this bit in their tag, and their length in two bytes.
const LARGE: u8 = 0x80;
/// Tag and length of the end, a small resource.
const END: u8 = 0x78;

/// What the vital product data names the card by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CardLabel {
    /// `PN`.
    pub part_number: Option<String>,
    /// `SN`.
    pub serial: Option<String>,
}

impl Host {
    /// Part and serial number in the vital product data of this card; empty where it has none, or where this
    /// user may not read them.
    pub fn vpd_label(&self, bdf: Bdf) -> CardLabel {
        let mut bytes = Vec::new();
        let read = File::open(self.device(bdf).join("vpd"))
            .and_then(|file| file.take(MAX).read_to_end(&mut bytes));
        let fields = read.ok().and_then(|_| read_only_fields(&bytes));
        fields.map_or_else(CardLabel::default, CardLabel::of)
    }
}

impl CardLabel {
    fn of(fields: &[u8]) -> Self {
        Self { part_number: field(fields, b"PN"), serial: field(fields, b"SN") }
    }
}

fn read_only_fields(mut vpd: &[u8]) -> Option<&[u8]> {
    while let [tag, rest @ ..] = vpd {
        let (len, rest) = match (*tag, rest) {
            (END, _) => return None,
            (tag, [low, high, rest @ ..]) if tag & LARGE != 0 => {
                (usize::from(u16::from_le_bytes([*low, *high])), rest)
            }
            (tag, rest) if tag & LARGE == 0 => (usize::from(tag & 7), rest),
            _ => return None,
        };
        let (body, next) = rest.split_at_checked(len)?;
        if *tag == READ_ONLY {
            return Some(body);
        }
        vpd = next;
    }
    None
}

/// The value of a field, without the blanks around it.
fn field(mut fields: &[u8], name: &[u8; 2]) -> Option<String> {
    while let [first, second, len, rest @ ..] = fields {
        let (value, next) = rest.split_at_checked(usize::from(*len))?;
        if [*first, *second] == *name {
            let text = String::from_utf8_lossy(value);
            let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
            return (!text.is_empty()).then(|| text.to_owned());
        }
        fields = next;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{CardLabel, read_only_fields};

    fn label(vpd: &[u8]) -> CardLabel {
        read_only_fields(vpd).map_or_else(CardLabel::default, CardLabel::of)
    }

    fn serial(vpd: &[u8]) -> Option<String> {
        label(vpd).serial
    }

    /// Name, then read-only fields.
    fn vpd(fields: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0x82, 4, 0];
        bytes.extend_from_slice(b"Card");
        bytes.extend_from_slice(&[0x90, fields.len() as u8, 0]);
        bytes.extend_from_slice(fields);
        bytes.push(0x78);
        bytes
    }

    #[test]
    fn part_and_serial_number_are_read_from_the_read_only_fields() {
        let bytes = vpd(b"PN\x03ABCSN\x06MT1234RV\x01\x00");
        assert_eq!(label(&bytes).part_number.as_deref(), Some("ABC"));
        assert_eq!(serial(&bytes).as_deref(), Some("MT1234"));
        assert_eq!(serial(&vpd(b"SN\x08MT12    ")).as_deref(), Some("MT12"));
    }

    #[test]
    fn data_that_are_cut_short_or_hold_none_have_no_serial_number() {
        let whole = vpd(b"PN\x03ABCSN\x06MT1234");
        for len in 0..whole.len() - 1 {
            assert_eq!(serial(&whole[..len]), None, "{len}");
        }
        assert_eq!(serial(&vpd(b"PN\x03ABC")), None);
        assert_eq!(serial(&vpd(b"SN\x00")), None);
        assert_eq!(serial(&[0xFF; 64]), None);
    }
}
