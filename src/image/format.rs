//! Formats of files that are given instead of an image, recognised by their content.

use std::fmt;

/// What a file is that is no image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileFormat {
    Zip,
    Gzip,
    Tar,
    Xz,
    Bzip2,
    Zstd,
    Lz4,
    SevenZip,
    Rar,
    Cabinet,
    Cpio,
    Rpm,
    Deb,
    /// The archive of mlxfwmanager.
    Mfa,
    /// Its successor.
    Mfa2,
    Html,
    /// Sections and keys: the input of the vendor's image generator, or the output of `config show`.
    Ini,
    /// The vendor's firmware source. Its text was never seen here, so how it is recognised is INFERRED.
    Mlx,
    Script,
    Text,
    Pdf,
    WindowsProgram,
    Elf,
    /// A card file of `sim create`.
    SimulatedCard,
    /// Only zeros.
    Zeros,
    /// Only FF.
    Blank,
}

/// Where a format has which bytes.
const MAGIC_BYTES: [(usize, &[u8], FileFormat); 24] = [
    (0, b"PK\x03\x04", FileFormat::Zip),
    (0, b"PK\x05\x06", FileFormat::Zip),
    (0, b"PK\x07\x08", FileFormat::Zip),
    (0, b"\x1F\x8B", FileFormat::Gzip),
    (257, b"ustar", FileFormat::Tar),
    (0, b"\xFD7zXZ\0", FileFormat::Xz),
    (0, b"BZh", FileFormat::Bzip2),
    (0, b"\x28\xB5\x2F\xFD", FileFormat::Zstd),
    (0, b"\x04\x22\x4D\x18", FileFormat::Lz4),
    (0, b"7z\xBC\xAF\x27\x1C", FileFormat::SevenZip),
    (0, b"Rar!\x1A\x07", FileFormat::Rar),
    (0, b"MSCF\0\0\0\0", FileFormat::Cabinet),
    (0, b"070701", FileFormat::Cpio),
    (0, b"070702", FileFormat::Cpio),
    (0, b"070707", FileFormat::Cpio),
    (0, b"\xED\xAB\xEE\xDB", FileFormat::Rpm),
    (0, b"!<arch>\ndebian-binary", FileFormat::Deb),
    // docs/fs2.md#other-formats
    (0, b"MFAR", FileFormat::Mfa),
    (0, b"MLNX.MFA2", FileFormat::Mfa2),
    (0, b"#!", FileFormat::Script),
    (0, b"%PDF-", FileFormat::Pdf),
    (0, b"MZ", FileFormat::WindowsProgram),
    (0, b"\x7FELF", FileFormat::Elf),
    (0, b"CX3FLASH SIMCARD", FileFormat::SimulatedCard),
];

/// Bytes of a file by which a text is recognised.
const TEXT_SAMPLE: usize = 4096;

impl FileFormat {
    /// The format of these bytes of a file; `None` when it is unknown, or an image or an expansion ROM.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        let has = |(at, magic, _): &&(usize, &[u8], Self)| {
            bytes.get(*at..).is_some_and(|rest| rest.starts_with(magic))
        };
        if let Some((_, _, format)) = MAGIC_BYTES.iter().find(has) {
            return Some(*format);
        }
        if is_old_tar(bytes) {
            return Some(Self::Tar);
        }
        let first = *bytes.first()?;
        if matches!(first, 0 | 0xFF) && bytes.iter().all(|b| *b == first) {
            return Some(if first == 0 { Self::Zeros } else { Self::Blank });
        }
        text(bytes.get(..TEXT_SAMPLE).unwrap_or(bytes))
    }

    /// Files are packed in it, and the program does not look into it.
    pub fn is_packed(self) -> bool {
        use FileFormat::{Bzip2, Cabinet, Cpio, Deb, Lz4, Mfa, Mfa2, Rar, Rpm, SevenZip, Xz, Zstd};
        matches!(
            self,
            Xz | Bzip2 | Zstd | Lz4 | SevenZip | Rar | Cabinet | Cpio | Rpm | Deb | Mfa | Mfa2
        )
    }

    /// The program looks into it.
    pub fn is_opened(self) -> bool {
        matches!(self, Self::Zip | Self::Gzip | Self::Tar)
    }
}

/// Before POSIX a tar had no magic, only the sum of the bytes of each header.
fn is_old_tar(bytes: &[u8]) -> bool {
    const SUM: std::ops::Range<usize> = 148..156;
    let Some(header) = bytes.get(..512) else {
        return false;
    };
    let digits: String = header[SUM].iter().map(|b| char::from(*b)).collect();
    let stored = u32::from_str_radix(digits.trim_matches(['\0', ' ']), 8);
    let sum: u32 = header
        .iter()
        .enumerate()
        .map(|(at, byte)| if SUM.contains(&at) { u32::from(b' ') } else { u32::from(*byte) })
        .sum();
    stored == Ok(sum)
}

/// The kind of a text; `None` when the bytes are no text.
fn text(sample: &[u8]) -> Option<FileFormat> {
    if sample.starts_with(b"\xFF\xFE") || sample.starts_with(b"\xFE\xFF") {
        return utf16(sample).then_some(FileFormat::Text);
    }
    let control = |b: &u8| (*b < 0x20 && !b"\t\n\x0C\r\x1B".contains(b)) || *b == 0x7F;
    let high = sample.iter().filter(|b| **b >= 0x80).count();
    // Latin-1 has few letters beyond ASCII.
    let cut = |error: std::str::Utf8Error| error.error_len().is_none();
    let utf8 = std::str::from_utf8(sample).map_or_else(cut, |_| true);
    if sample.iter().any(control) || !(utf8 || high * 8 < sample.len()) {
        return None;
    }
    let lower = String::from_utf8_lossy(sample).to_ascii_lowercase();
    let lines = || lower.lines().map(|line| line.trim().trim_start_matches('\u{FEFF}'));
    let section = |line: &str| line.starts_with('[') && line.ends_with(']');
    Some(if ["<!doctype html", "<html", "<head", "<body"].iter().any(|tag| lower.contains(tag)) {
        FileFormat::Html
    } else if lines().any(section) && lines().any(|line| line.contains('=')) {
        FileFormat::Ini
    } else if lines().take(32).any(|line| line.contains("mlx version")) {
        FileFormat::Mlx
    } else {
        FileFormat::Text
    })
}

/// Text of two bytes a character, most of it ASCII.
fn utf16(sample: &[u8]) -> bool {
    let pairs = sample.len() / 2;
    sample.chunks_exact(2).filter(|pair| pair.contains(&0)).count() * 2 > pairs
}

impl fmt::Display for FileFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Zip => "a zip archive",
            Self::Gzip => "gzip data",
            Self::Tar => "a tar archive",
            Self::Xz => "xz data",
            Self::Bzip2 => "bzip2 data",
            Self::Zstd => "zstd data",
            Self::Lz4 => "lz4 data",
            Self::SevenZip => "a 7z archive",
            Self::Rar => "a RAR archive",
            Self::Cabinet => "a cabinet archive",
            Self::Cpio => "a cpio archive",
            Self::Rpm => "an RPM package",
            Self::Deb => "a Debian package",
            Self::Mfa => "an MFA archive",
            Self::Mfa2 => "an MFA2 archive",
            Self::Html => "an HTML page",
            Self::Ini => "an ini",
            Self::Mlx => "a firmware source (mlx)",
            Self::Script => "a script",
            Self::Text => "a text file",
            Self::Pdf => "a PDF document",
            Self::WindowsProgram => "a Windows or UEFI program",
            Self::Elf => "a Linux program or library (ELF)",
            Self::SimulatedCard => "a simulated card",
            Self::Zeros => "nothing but zeros",
            Self::Blank => "nothing but FF bytes, as of a blank flash",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::FileFormat;

    #[test]
    fn formats_are_recognised_by_content() {
        let tar = |magic: &[u8]| {
            let mut header = vec![0; 1024];
            header[..6].copy_from_slice(b"fw.bin");
            header[257..257 + magic.len()].copy_from_slice(magic);
            header[148..156].fill(b' ');
            let sum: u32 = header[..512].iter().map(|b| u32::from(*b)).sum();
            header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
            header
        };
        let cases: [(&[u8], FileFormat); 22] = [
            (b"PK\x05\x06", FileFormat::Zip),
            (b"\x1F\x8B\x08", FileFormat::Gzip),
            (&tar(b"ustar\x0000"), FileFormat::Tar),
            (&tar(b""), FileFormat::Tar),
            (b"\xFD7zXZ\0\0", FileFormat::Xz),
            (b"BZh91AY", FileFormat::Bzip2),
            (b"7z\xBC\xAF\x27\x1C\0", FileFormat::SevenZip),
            (b"070701000", FileFormat::Cpio),
            (b"\xED\xAB\xEE\xDB\x03", FileFormat::Rpm),
            (b"!<arch>\ndebian-binary   ", FileFormat::Deb),
            (b"\r\n <!DOCTYPE html>\n<p>Log in", FileFormat::Html),
            (b"\xEF\xBB\xBF<HTML lang=de><title>\xC3\xA4", FileFormat::Html),
            (b"<!-- saved from url -->\n<html>", FileFormat::Html),
            (b"[ADAPTER]\nPSID = MT_1\n", FileFormat::Ini),
            (b";; MLX version 1\n", FileFormat::Mlx),
            (b"Stra\xDFe, in Latin-1\n", FileFormat::Text),
            (b"#!/bin/sh\n", FileFormat::Script),
            (b"\xFF\xFEt\0e\0x\0t\0", FileFormat::Text),
            (b"%PDF-1.4", FileFormat::Pdf),
            (b"CX3FLASH SIMCARD", FileFormat::SimulatedCard),
            (&[0; 4097], FileFormat::Zeros),
            (&[0xFF; 3], FileFormat::Blank),
        ];
        for (bytes, format) in cases {
            assert_eq!(FileFormat::of(bytes), Some(format), "{format}");
        }
        let mut cut = b"x".repeat(4095);
        cut.extend("\u{e4}".bytes());
        assert_eq!(
            FileFormat::of(&cut),
            Some(FileFormat::Text),
            "a letter at the end of the sample"
        );
    }

    #[test]
    fn other_bytes_have_no_format() {
        let mut blank_and_more = vec![0xFF; 100];
        blank_and_more.push(0);
        for bytes in [b"".as_slice(), b"text\0", b"\x55\xAA\x01", b"MTFW\x8C\xDF", &blank_and_more]
        {
            assert_eq!(FileFormat::of(bytes), None, "{bytes:?}");
        }
    }
}
