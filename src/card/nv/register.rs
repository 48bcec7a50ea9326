//! Register MNVA: one TLV read or written (docs/hardware.md#settings-in-the-firmware).
//!
//! In the mailbox: operation TLV (16 bytes: type 31:27, length in dwords 26:16, status 14:8; register
//! 31:16, method 14:8, class 7:0; a 64-bit id), register TLV (4 bytes: type, length in dwords with
//! itself), then the register: 8 bytes of header and the data. The two TLVs in front are not in the
//! reference; they are how mstconfig 4.21 sends it.

use crate::card::tools::{ToolsError, ToolsInterface, dword};

/// Read or write one TLV.
const MNVA: u16 = 0x9024;
/// Bytes in front of the register.
const ENVELOPE: usize = 20;
/// Bytes of the register in front of the data.
const HEADER: usize = 8;

const OPERATION: u32 = 1;
const OPERATION_DWORDS: u32 = 4;
const REGISTER: u32 = 3;
const CLASS_REGISTER_ACCESS: u32 = 1;
const GET: u32 = 1;
const SET: u32 = 2;

/// The TLV is not stored: defaults hold (as mstconfig reads it).
const NOT_AVAILABLE: u8 = 8;
const CORRUPT: u8 = 0x22;

/// Which TLV.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
pub struct TlvId {
    /// Type.
    pub kind: u16,
    /// Type modifier: the port, 0 for the whole card.
    pub port: u8,
}

/// The mailbox for one access; without `data` it is a read of `dwords` dwords.
pub(super) fn encode(id: TlvId, dwords: u16, data: Option<&[u32]>) -> Vec<u8> {
    let method = if data.is_some() { SET } else { GET };
    let register_dwords = u32::from(dwords) + HEADER as u32 / 4;
    let head = [
        OPERATION << 27 | OPERATION_DWORDS << 16,
        u32::from(MNVA) << 16 | method << 8 | CLASS_REGISTER_ACCESS,
        0,
        0,
        REGISTER << 27 | (register_dwords + 1) << 16,
        u32::from(dwords & 0xfff) << 18 | u32::from(id.kind),
        u32::from(id.port) << 16,
    ];
    head.iter()
        .chain(data.unwrap_or_default())
        .flat_map(|word| word.to_be_bytes())
        .collect()
}

/// Decodes the mailbox after an access; `None` = no such TLV is stored.
pub(super) fn decode(mailbox: &[u8]) -> Result<Option<Vec<u32>>, ToolsError> {
    let malformed = || ToolsError::Malformed { register: MNVA };
    let words: Vec<u32> = mailbox.chunks_exact(4).map(dword).collect();
    let first = words.first().copied().ok_or_else(malformed)?;
    if first >> 27 != OPERATION {
        return Err(malformed());
    }
    match (first >> 8 & 0x7f) as u8 {
        0 => Ok(Some(
            words
                .get((ENVELOPE + HEADER) / 4..)
                .ok_or_else(malformed)?
                .to_vec(),
        )),
        NOT_AVAILABLE => Ok(None),
        CORRUPT => Err(ToolsError::ConfigurationCorrupt { register: MNVA }),
        status => Err(ToolsError::Register {
            register: MNVA,
            status,
        }),
    }
}

impl ToolsInterface<'_> {
    /// Data of a stored TLV; `None` when none is stored and defaults hold.
    pub fn read_tlv(&mut self, id: TlvId, dwords: u16) -> Result<Option<Vec<u32>>, ToolsError> {
        let end = ENVELOPE + HEADER + usize::from(dwords) * 4;
        let answer = self.access(&encode(id, dwords, None), 0..end)?;
        let data = decode(&answer)?;
        tracing::debug!(?id, ?data, "TLV");
        Ok(data)
    }

    /// Store a TLV. The firmware writes the flash.
    pub fn write_tlv(&mut self, id: TlvId, data: &[u32]) -> Result<(), ToolsError> {
        tracing::info!(?id, ?data, "TLV stored");
        let dwords = data.len() as u16;
        let answer = self.access(&encode(id, dwords, Some(data)), 0..ENVELOPE + HEADER)?;
        match decode(&answer)? {
            Some(_) => Ok(()),
            None => Err(ToolsError::Register {
                register: MNVA,
                status: NOT_AVAILABLE,
            }),
        }
    }
}
