//! Defaults and write masks of configuration space (docs/lab.md#emulated-card; fields as in the PCI
//! Express base specification).

use crate::sim::{CardSpec, SimCard};

/// Bytes of configuration space.
pub(super) const SIZE: usize = 4096;
/// Status register: there is a capability list.
pub(super) const STATUS: u32 = 0x0010;

/// Capabilities, and the bits of them that can be written.
pub(super) struct Capabilities {
    pub(super) bytes: Box<[u8; SIZE]>,
    mask: Box<[u8; SIZE]>,
}

/// (offset, value, bits that can be written). First the list 40, 48, 9c, 60, c0, then the extended
/// one 100, 148, 154, 18c.
const FIELDS: [(u16, u32, u32); 31] = [
    (0x34, 0x0000_0040, 0),
    // Power management 3; PMCSR: NoSoftRst, power state.
    (0x40, 0x0003_4801, 0),
    (0x44, 0x0000_0008, 0x0000_0003),
    // VPD.
    (0x48, 0x0000_9c03, 0xffff_0000),
    (0x4c, 0x0000_0000, u32::MAX),
    // PCI Express 2, endpoint: 512 bytes of payload, role-based errors, FLR.
    (0x60, 0x0002_c010, 0),
    (0x64, 0x1000_8fe2, 0),
    (0x68, 0x0000_2810, 0x0000_7fff),
    // Link: 8 GT/s x8.
    (0x6c, 0x0000_f483, 0),
    (0x70, 0x1083_0000, 0x0000_01eb),
    (0x84, 0x0000_001f, 0),
    (0x88, 0x0000_0000, 0x0000_001f),
    (0x8c, 0x0000_000e, 0),
    (0x90, 0x0001_0003, 0x0000_1fff),
    // MSI-X: 128 vectors, table at 7c000 of BAR0, pending bits at 7d000.
    (0x9c, 0x007f_6011, 0xc000_0000),
    (0xa0, 0x0007_c000, 0),
    (0xa4, 0x0007_d000, 0),
    // Vendor-specific, 18h bytes: space, counter, semaphore, address, data.
    (0xc0, 0x0018_0009, 0),
    (0xc4, 0x0000_0000, 0x0000_ffff),
    (0xcc, 0x0000_0000, u32::MAX),
    (0xd0, 0x0000_0000, u32::MAX),
    (0xd4, 0x0000_0000, u32::MAX),
    // ARI.
    (0x100, 0x1481_000e, 0),
    // Serial number: filled in from the node GUID.
    (0x148, 0x1541_0003, 0),
    // Advanced error reporting: masks and severities.
    (0x154, 0x18c2_0001, 0),
    (0x15c, 0x0000_0000, 0x03ff_f030),
    (0x160, 0x0006_2030, 0x03ff_f030),
    (0x168, 0x0000_2000, 0x0000_f1c1),
    (0x16c, 0x0000_0000, 0x0000_0150),
    // Secondary PCI Express.
    (0x18c, 0x0001_0019, 0),
    (0x190, 0x0000_0000, 0x0000_0003),
];

impl Capabilities {
    /// As after a reset.
    pub(super) fn of(card: &SimCard) -> Self {
        let mut caps = Self { bytes: Box::new([0; SIZE]), mask: Box::new([0; SIZE]) };
        for (at, value, mask) in FIELDS {
            caps.set_dword(at, value);
            caps.mask[usize::from(at)..][..4].copy_from_slice(&mask.to_le_bytes());
        }
        // In recovery mode nothing has read the GUIDs: 0, INFERRED.
        if let Some(node) = card.named().guids.first() {
            caps.bytes[0x14c..0x154].copy_from_slice(&node.0.to_le_bytes());
        }
        caps
    }

    pub(super) fn dword(&self, at: u16) -> u32 {
        let at = usize::from(at);
        let bytes = self.bytes.get(at..at + 4).and_then(|b| b.try_into().ok());
        bytes.map_or(0, u32::from_le_bytes)
    }

    pub(super) fn set_dword(&mut self, at: u16, value: u32) {
        let at = usize::from(at);
        self.bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }

    /// The bits that can be written take their new values.
    pub(super) fn write(&mut self, at: u16, shift: usize, part: &[u8]) {
        let at = usize::from(at) + shift;
        for (i, new) in part.iter().enumerate() {
            let mask = self.mask[at + i];
            let byte = &mut self.bytes[at + i];
            *byte = *byte & !mask | new & mask;
        }
    }
}

/// Vital product data: name, part number, serial number, checksum (PCI specification, appendix I).
pub(super) fn vpd(spec: &CardSpec) -> Vec<u8> {
    let chip = if spec.hw_id == 0x1f7 { "ConnectX-3 Pro" } else { "ConnectX-3" };
    let name = format!("{chip} simulated {}", spec.board);
    let mut out = vec![0x82, name.len() as u8, 0];
    out.extend_from_slice(name.as_bytes());
    let serial = SimCard::VPD_SERIAL;
    let mut fields = Vec::new();
    for (key, value) in [("PN", spec.board.as_str()), ("SN", serial)] {
        fields.extend_from_slice(key.as_bytes());
        fields.push(value.len() as u8);
        fields.extend_from_slice(value.as_bytes());
    }
    fields.extend_from_slice(b"RV\x01");
    out.extend_from_slice(&[0x90, (fields.len() + 1) as u8, 0]);
    out.extend_from_slice(&fields);
    // Everything up to and with the checksum adds up to 0.
    let sum = out.iter().fold(0_u8, |a, b| a.wrapping_add(*b));
    out.push(sum.wrapping_neg());
    out.push(0x78);
    out
}
