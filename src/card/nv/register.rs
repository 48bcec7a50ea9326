//! Register MNVA: one TLV read or written (docs/hardware.md#settings-in-the-firmware).
//!
//! In the mailbox, by bytes: operation TLV (16 bytes: type 31:27, length in dwords 26:16, status 14:8; register
//! 31:16, method 14:8, class 7:0; a 64-bit id), register TLV (4 bytes: type, length in dwords with
//! itself), then the register: 8 bytes of header and the data. The two TLVs in front are not in the
//! reference; they are how mstconfig 4.21 sends it.

use crate::card::tools::{ToolsError, ToolsInterface};

/// Read or write one TLV.
const MNVA: u16 = 0x9024;
/// Dwords in front of the register.
const ENVELOPE: usize = 5;
/// Dwords of the register in front of the data.
const HEADER: usize = 2;

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
pub(super) fn encode(id: TlvId, dwords: u16, data: Option<&[u32]>) -> Vec<u32> {
    let method = if data.is_some() { SET } else { GET };
    let register_dwords = u32::from(dwords) + HEADER as u32;
    let head = [
        OPERATION << 27 | OPERATION_DWORDS << 16,
        u32::from(MNVA) << 16 | method << 8 | CLASS_REGISTER_ACCESS,
        0,
        0,
        REGISTER << 27 | (register_dwords + 1) << 16,
        u32::from(dwords & 0xfff) << 18 | u32::from(id.kind),
        u32::from(id.port) << 16,
    ];
    [&head, data.unwrap_or_default()].concat()
}

/// Decodes the mailbox after an access; `None` = no such TLV is stored.
pub(super) fn decode(mailbox: &[u32]) -> Result<Option<Vec<u32>>, ToolsError> {
    let malformed = ToolsError::Malformed { register: MNVA };
    let Some(first) = mailbox.first().filter(|word| **word >> 27 == OPERATION) else {
        return Err(malformed);
    };
    match (first >> 8 & 0x7f) as u8 {
        0 => {
            let data = mailbox.get(ENVELOPE + HEADER..).ok_or(malformed)?;
            Ok(Some(data.to_vec()))
        }
        NOT_AVAILABLE => Ok(None),
        CORRUPT => Err(ToolsError::ConfigurationCorrupt { register: MNVA }),
        status => Err(ToolsError::Register { register: MNVA, status }),
    }
}

impl ToolsInterface<'_> {
    /// Data of a stored TLV; `None` when none is stored and defaults hold.
    pub fn read_tlv(&mut self, id: TlvId, dwords: u16) -> Result<Option<Vec<u32>>, ToolsError> {
        let end = ENVELOPE + HEADER + usize::from(dwords);
        let answer = self.access(&encode(id, dwords, None), end)?;
        let data = decode(&answer)?;
        tracing::debug!(?id, ?data, "TLV");
        Ok(data)
    }

    /// Store a TLV. The firmware writes the flash.
    pub fn write_tlv(&mut self, id: TlvId, data: &[u32]) -> Result<(), ToolsError> {
        tracing::info!(?id, ?data, "TLV stored");
        let dwords = data.len() as u16;
        let answer = self.access(&encode(id, dwords, Some(data)), ENVELOPE + HEADER)?;
        match decode(&answer)? {
            Some(_) => Ok(()),
            None => Err(ToolsError::Register { register: MNVA, status: NOT_AVAILABLE }),
        }
    }
}
