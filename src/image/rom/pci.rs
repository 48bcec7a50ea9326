//! The chain of images in a PCI expansion ROM (PCI Firmware Specification 3.0, section 5.1).

/// First two bytes of every image.
pub(super) const SIGNATURE: [u8; 2] = [0x55, 0xAA];

/// Bytes to read from the start of an image: its header and, as a rule, its PCI data structure.
pub(crate) const HEAD: u32 = 128;

/// Bytes to read from the end of an image. The version block is the last 20 bytes of the only real
/// ROM seen (docs/fs2.md#rom-content); where others have it is UNCONFIRMED.
pub(crate) const TAIL: u32 = 256;

/// What the head of one image says of the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    /// Length of this image in bytes, not 0.
    pub(crate) len: u32,
    /// No image follows.
    pub(crate) last: bool,
}

/// Read the head of an image: the signature, the pointer at 0x18 to the PCI data structure, there
/// the length in units of 512 bytes (0x10, little-endian) and the indicator (0x15, bit 7 = last).
/// `None` when it is no such head or the structure lies outside of it.
pub(crate) fn link(head: &[u8]) -> Option<Link> {
    if !head.starts_with(&SIGNATURE) {
        return None;
    }
    let pointer = u16::from_le_bytes(*head.get(0x18..)?.first_chunk()?);
    let pcir = head.get(usize::from(pointer)..)?;
    if !pcir.starts_with(b"PCIR") {
        return None;
    }
    let units = u16::from_le_bytes(*pcir.get(0x10..)?.first_chunk()?);
    let indicator = *pcir.get(0x15)?;
    (units != 0).then_some(Link {
        len: u32::from(units) * 512,
        last: indicator & 0x80 != 0,
    })
}
