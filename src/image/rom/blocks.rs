//! Finding and reading version blocks as flint does (docs/fs2.md#rom-content).

use super::{ExpRom, Rom};

const MARK: &[u8] = b"mlxsign:";
/// flint goes on this many bytes behind the start of a mark it has read.
const STEP: usize = 12;
/// flint has room for this many blocks.
const MAX_BLOCKS: usize = 5;
const MELLANOX: u16 = 0x15B3;
/// A block whose version is a text.
const TEXT_VERSION: u16 = 0xF;
/// First product id with the third dword.
const PXE: u16 = 0x10;
const UEFI: u16 = 0x11;
/// Has neither port nor protocol.
const CLP: u16 = 0x12;
const FCODE: u16 = 0x21;

/// Little-endian dword; what lies behind the end reads as zero (flint reads past its buffer there).
fn dword(rom: &[u8], at: usize) -> u32 {
    let mut bytes = [0; 4];
    for (byte, found) in bytes.iter_mut().zip(rom.iter().skip(at)) {
        *byte = *found;
    }
    u32::from_le_bytes(bytes)
}

fn halves(word: u32) -> (u16, u16) {
    let [a, b, c, d] = word.to_le_bytes();
    (u16::from_le_bytes([c, d]), u16::from_le_bytes([a, b]))
}

/// Device id that flint uses for "the blocks name different ones"; found in a block it has the same
/// effect without the warning (measured with mstflint 4.21, not in the reference).
pub(super) const MISMATCHED: u16 = 0xFFFF;

/// The device ids of the blocks seen so far.
enum Device {
    Any,
    One(u16),
    Mismatched,
}

pub(super) fn parse(rom: &[u8], whole: bool) -> Rom {
    let mut found = Rom {
        blocks: Vec::new(),
        warning: None,
        error: None,
        // A section is at most 4 MiB; a bare file of 4 GiB is no ROM and its size of no interest.
        size: u32::try_from(rom.len()).unwrap_or(u32::MAX),
        whole,
    };
    if rom.len() < 4 {
        found.error = Some(format!("ROM size ({:#x}) is too small", rom.len()));
        return found;
    }
    let mut device = Device::Any;
    let mut from = 0;
    while let Some(at) = next_mark(rom, from) {
        if found.blocks.len() == MAX_BLOCKS {
            found.warning = Some(format!(
                "Number of exp ROMs exceeds the maximum allowed number ({MAX_BLOCKS})"
            ));
            return found;
        }
        match block(rom, at + MARK.len(), &mut found.warning) {
            Ok(block) => {
                if device.mismatches(block.device_id) {
                    found.warning = Some("The device IDs of the ROMs mismatched.".to_owned());
                }
                found.blocks.push(block);
            }
            Err(text) => {
                found.error = Some(text);
                return found;
            }
        }
        from = at + STEP;
    }
    if found.blocks.is_empty() {
        found.error = Some("Cannot get ROM version. Signature not found.".to_owned());
    } else if whole
        && !found
            .blocks
            .iter()
            .any(|b| matches!(b.product_id, UEFI | FCODE))
    {
        checksum(rom, &mut found);
    }
    found
}

fn next_mark(rom: &[u8], from: usize) -> Option<usize> {
    let rest = rom.get(from..)?;
    rest.windows(MARK.len())
        .position(|w| w == MARK)
        .map(|at| from + at)
}

impl Device {
    /// Take one more id; true when it is the first that differs.
    fn mismatches(&mut self, id: u16) -> bool {
        match *self {
            // flint's own mark for mismatched ids, as good as set by it.
            Self::Any if id == MISMATCHED => *self = Self::Mismatched,
            Self::Any if id != 0 => *self = Self::One(id),
            Self::One(one) if id != 0 && id != one => {
                *self = Self::Mismatched;
                return true;
            }
            _ => {}
        }
        false
    }
}

fn checksum(rom: &[u8], found: &mut Rom) {
    let covered = usize::from(rom.get(2).copied().unwrap_or(0)) * 512;
    match rom.get(..covered) {
        None => {
            found.error = Some(format!(
                "ROM size field ({covered:#4x}) is larger than actual ROM size ({:#x})",
                rom.len()
            ));
        }
        Some([]) => {
            found.error =
                Some("ROM size field is 0. Unknown ROM format or corrupted ROM.".to_owned());
        }
        Some(bytes) => {
            let sum = bytes.iter().fold(0u8, |sum, &b| sum.wrapping_add(b));
            if sum != 0 {
                found.warning = Some(format!(
                    "Bad ROM Checksum (0x{sum:02x}), ROM info may not be displayed correctly."
                ));
            }
        }
    }
}

/// The block whose dwords begin at `at`, behind the mark.
fn block(rom: &[u8], at: usize, warning: &mut Option<String>) -> Result<ExpRom, String> {
    let w0 = dword(rom, at);
    let (product_id, _) = halves(w0);
    let [first, ..] = w0.to_le_bytes();
    let mut block = ExpRom {
        product_id,
        type_name: ExpRom::name_of(product_id).map(str::to_owned),
        version: (u16::from(first), 0, 0),
        version_text: None,
        device_id: 0,
        port: 0,
        protocol: 0,
        cpu: 0,
    };
    if product_id == TEXT_VERSION {
        text_version(rom, at, &mut block, warning)?;
        return Ok(block);
    }
    let (second, third) = halves(dword(rom, at + 4));
    block.version = (u16::from(first), second & 0xFF, third);
    if product_id >= PXE {
        let (device_id, low) = halves(dword(rom, at + 8));
        let [protocol, high] = low.to_le_bytes();
        block.device_id = device_id;
        block.cpu = high & 0xF;
        if product_id != CLP {
            block.port = high >> 4;
            block.protocol = protocol;
        }
    }
    Ok(block)
}

fn text_version(
    rom: &[u8],
    at: usize,
    block: &mut ExpRom,
    warning: &mut Option<String>,
) -> Result<(), String> {
    let [sign_len, text_len, ..] = dword(rom, at + 0xC).to_le_bytes();
    if u32::from(sign_len) < u32::from(text_len).div_ceil(4) + 4 {
        return Err(format!(
            "The Signature length ({sign_len}) and the ROM version string length ({text_len}) are \
             not coordinated"
        ));
    }
    let text = rom.iter().skip(at + 0x10).take(usize::from(text_len));
    let text: Vec<u8> = text.copied().take_while(|&b| b != 0).collect();
    if let Some(number) = leading_number(&text) {
        block.version.0 = number;
    }
    block.version_text = Some(block.version.0.to_string());

    let (_, pointer) = halves(dword(rom, 0x18));
    let ids = usize::from(pointer) + 4;
    if ids >= rom.len() {
        return Err(format!(
            "The device ID offset {ids:#x} is out of range. ROM size: {:#x}",
            rom.len()
        ));
    }
    let (device_id, vendor_id) = halves(dword(rom, ids));
    block.device_id = device_id;
    if vendor_id != MELLANOX {
        // flint prints with "%#x", which gives a plain 0 for zero.
        let vendor = if vendor_id == 0 {
            "0".to_owned()
        } else {
            format!("{vendor_id:#x}")
        };
        *warning = Some(format!(
            "The Exp-ROM PCI vendor ID: {vendor} does not match the expected value: {MELLANOX:#x}."
        ));
    }
    Ok(())
}

/// What `sscanf("%d")` makes of the text, stored in 16 bits: blanks, a sign, digits.
fn leading_number(text: &[u8]) -> Option<u16> {
    let blanks = |b: &&u8| b.is_ascii_whitespace() || **b == 0x0B;
    let start = text.iter().take_while(blanks).count();
    let (negative, digits) = match text.get(start..)? {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let digits: Vec<u8> = digits
        .iter()
        .copied()
        .take_while(u8::is_ascii_digit)
        .collect();
    if digits.is_empty() {
        return None;
    }
    // glibc saturates at 64 bits before it cuts to an int; only the low 16 bits are kept here.
    let limit = if negative { 1i128 << 63 } else { (1 << 63) - 1 };
    let value = digits.iter().fold(0i128, |value, digit| {
        (value * 10 + i128::from(digit - b'0')).min(limit)
    });
    let value = if negative { -value } else { value };
    Some((value & 0xFFFF) as u16)
}
