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

/// A request.
pub(super) enum NvRequest {
    Get { id: (u16, u8) },
    Set { id: (u16, u8), data: Vec<u32> },
    Invalidate((u16, u8)),
    InvalidateAll,
}

/// An answer.
pub(super) struct NvAnswer {
    status: u8,
    data: Vec<u32>,
}

impl NvAnswer {
    pub(super) fn status(status: u8) -> Self {
        Self {
            status,
            data: Vec::new(),
        }
    }

    pub(super) fn data(data: Vec<u32>) -> Self {
        Self { status: 0, data }
    }
}

/// Parses the request in the mailbox.
pub(super) fn parse(words: &[u32; 72]) -> Result<NvRequest, u8> {
    let [operation, what, _, _, envelope, head, modifier, ..] = *words;
    if operation >> 27 != 1 || operation >> 16 & 0x7ff != 4 || envelope >> 27 != 3 {
        return Err(BAD_PARAMETER);
    }
    let dwords = (head >> 18 & 0xfff) as usize;
    let id = ((head & 0xffff) as u16, (modifier >> 16 & 0xff) as u8);
    let get = match what >> 8 & 0x7f {
        GET => true,
        SET => false,
        _ => return Err(BAD_METHOD),
    };
    let register = what >> 16;
    // The envelope counts itself, the header, and the data of MNVA.
    let counted = (envelope >> 16 & 0x7ff) as usize;
    let fits = match register {
        MNVA => counted == 3 + dwords,
        _ => counted == 3,
    };
    if matches!(register, MNVA | MNVI | MNVIA) && !fits {
        return Err(BAD_PARAMETER);
    }
    match (register, get) {
        (MNVA, true) => Ok(NvRequest::Get { id }),
        (MNVA, false) => {
            let data = words.get(DATA..DATA + dwords).ok_or(BAD_PARAMETER)?;
            if data.is_empty() {
                return Err(BAD_PARAMETER);
            }
            Ok(NvRequest::Set {
                id,
                data: data.to_vec(),
            })
        }
        (MNVI, false) => Ok(NvRequest::Invalidate(id)),
        (MNVIA, false) => Ok(NvRequest::InvalidateAll),
        (MNVI | MNVIA, true) => Err(BAD_METHOD),
        _ => Err(UNKNOWN_REGISTER),
    }
}

/// Writes the answer into the mailbox.
pub(super) fn answer(words: &mut [u32; 72], reply: &NvAnswer) {
    words[0] = words[0] & !(0x7f << 8) | u32::from(reply.status) << 8;
    if reply.data.is_empty() {
        return;
    }
    words[AT] = words[AT] & !(0xfff << 18) | (reply.data.len() as u32) << 18;
    for (place, word) in words.iter_mut().skip(DATA).zip(&reply.data) {
        *place = *word;
    }
}
