//! Registers MNVA, MNVI and MNVIA in the mailbox, from the firmware's side
//! (docs/hardware.md#settings-in-the-firmware). Independent of [`crate::card::nv`], the other side;
//! mstconfig is the reference for both.

/// Register status: busy.
pub(super) const BUSY: u8 = 1;
/// No such TLV type.
pub(super) const UNKNOWN_TLV: u8 = 3;
/// No such register.
const UNKNOWN_REGISTER: u8 = 4;
/// Neither get nor set.
const BAD_METHOD: u8 = 6;
/// Fields that do not fit together.
const BAD_PARAMETER: u8 = 7;
/// Nothing stored.
pub(super) const NOT_AVAILABLE: u8 = 8;
/// The stored configuration is corrupt.
pub(super) const CORRUPT: u8 = 0x22;
/// It did not work.
pub(super) const INTERNAL: u8 = 0x70;

const MNVA: u32 = 0x9024;
const MNVI: u32 = 0x9025;
const MNVIA: u32 = 0x9029;
const GET: u32 = 1;
const SET: u32 = 2;
/// First dword of the register, and of its data.
const AT: usize = 5;
const DATA: usize = 7;

/// A request; TLVs by type and port.
pub(super) enum NvRequest {
    Get((u16, u8)),
    Set((u16, u8), Vec<u32>),
    Invalidate((u16, u8)),
    InvalidateAll,
}

/// Parses the request in the mailbox; the status of what is none.
pub(super) fn parse(words: &[u32; 72]) -> Result<NvRequest, u8> {
    let [operation, what, _, _, envelope, head, modifier, ..] = *words;
    if operation >> 27 != 1 || operation >> 16 & 0x7ff != 4 || envelope >> 27 != 3 {
        return Err(BAD_PARAMETER);
    }
    let dwords = (head >> 18 & 0xfff) as usize;
    let id = ((head & 0xffff) as u16, (modifier >> 16 & 0xff) as u8);
    let (register, method) = (what >> 16, what >> 8 & 0x7f);
    if !matches!(method, GET | SET) {
        return Err(BAD_METHOD);
    }
    // The envelope counts itself, the header, and the data of MNVA.
    let data = if register == MNVA { dwords } else { 0 };
    let fits = (envelope >> 16 & 0x7ff) as usize == 3 + data;
    match (register, method) {
        (MNVA | MNVI | MNVIA, _) if !fits => Err(BAD_PARAMETER),
        (MNVA, GET) => Ok(NvRequest::Get(id)),
        (MNVA, _) => match words.get(DATA..DATA + dwords) {
            Some(data) if !data.is_empty() => Ok(NvRequest::Set(id, data.to_vec())),
            _ => Err(BAD_PARAMETER),
        },
        (MNVI, SET) => Ok(NvRequest::Invalidate(id)),
        (MNVIA, SET) => Ok(NvRequest::InvalidateAll),
        (MNVI | MNVIA, _) => Err(BAD_METHOD),
        _ => Err(UNKNOWN_REGISTER),
    }
}

/// Writes the answer into the mailbox: data, or a status.
pub(super) fn answer(words: &mut [u32; 72], reply: Result<Vec<u32>, u8>) {
    let (status, data) = match reply {
        Ok(data) => (0, data),
        Err(status) => (status, Vec::new()),
    };
    words[0] = words[0] & !(0x7f << 8) | u32::from(status) << 8;
    if data.is_empty() {
        return;
    }
    words[AT] = words[AT] & !(0xfff << 18) | (data.len() as u32) << 18;
    for (place, word) in words.iter_mut().skip(DATA).zip(data) {
        *place = word;
    }
}
