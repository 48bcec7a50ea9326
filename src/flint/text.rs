//! The lines flint 4.21 prints for an image: same labels, order and padding
//! (docs/flint.md#text-of-verify, docs/flint.md#rom-lines, docs/flint.md#query-lines). Pure
//! functions from [`Image`] to text.

use super::ids::mac_fault;
use super::verdict::{FlintVerdict, block_label, full_crc, query_info};
use crate::escape::ForeignText;
use crate::image::{
    BuildDate, CrcVerdict, ExpRom, GuidSection, Image, Info, Layout, Rom, RomFault, Version,
};
use std::fmt::{self, Write as _};

/// Column at which values start.
const COLUMN: usize = 23;

/// The only vendor id whose VSD and PSID flint shows (tag 8).
const MELLANOX: u16 = 0x15B3;

/// What a query shows besides the image itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct QueryText {
    /// `query full`.
    pub full: bool,
    /// Firmware that runs on the card, when the target is a card.
    pub running: Option<Version>,
    /// Dates as flint prints them, `5.9.2017`; else `2017-09-05`.
    pub flint_dates: bool,
}

fn line(out: &mut String, label: &str, value: impl fmt::Display) {
    let _ = writeln!(out, "{label:COLUMN$}{value}");
}

fn flint_date(date: BuildDate) -> String {
    format!("{:x}.{:x}.{:x}", date.day_bcd, date.month_bcd, date.year_bcd)
}

/// `query` / `query full` (docs/flint.md#query-lines).
pub fn query(image: &Image, show: QueryText) -> String {
    let none = Info::default();
    let info = query_info(image).unwrap_or(&none);
    let set = |v: Option<Version>| v.filter(|v| *v != Version::default());
    let version = |v: Option<Version>| set(v).map(|v| v.to_string());
    let number = |n: Option<u32>| Some(n.filter(|n| *n != 0)?.cast_signed().to_string());
    let text =
        |text: &Option<ForeignText>| Some(text.as_ref().filter(|t| !t.is_empty())?.to_string());
    let running = show.running.filter(|v| Some(*v) != info.fw_version);
    let date = info.release_date.filter(|d| *d != BuildDate::default());
    let flashed = [
        ("Image type:", Some("FS2".to_owned())),
        ("FW Version:", version(info.fw_version)),
        ("FW Version(Running):", version(running)),
        (
            "FW Release Date:",
            date.map(|d| if show.flint_dates { flint_date(d) } else { d.to_string() }),
        ),
    ];
    let fit = info.min_fit_version.filter(|v| *v != [0; 4]);
    let fit = fit.map(|[a, b, c, d]| format!("{a}.{b}.{c}.{d}"));
    let full = [
        ("Min FIT Version:", fit),
        ("MIC Version:", set(info.mic_version).map(Version::unpadded)),
        ("Config Sectors:", number(info.config_sectors)),
        ("Config Pad:", number(info.config_pad)),
        ("PRS Name:", text(&info.prs_name)),
    ];
    let rom = image.rom.as_ref().map(|section| rom(section, COLUMN));
    let key = |set| if set { "Enabled" } else { "Disabled" }.to_owned();
    let columns = "Node             Port1            Port2            Sys image";
    let rest = [
        ("Product Version:", text(&info.product_version)),
        ("Rom Info:", rom),
        ("Device ID:", Some(info.device_id.unwrap_or(0).to_string())),
        ("HW Access Key:", info.hw_access_key.map(key)),
        ("Description:", Some(columns.to_owned())),
    ];
    let mut out = String::new();
    let full = full.into_iter().filter(|_| show.full);
    for (label, value) in flashed.into_iter().chain(full).chain(rest) {
        if let Some(value) = value {
            line(&mut out, label, value);
        }
    }
    uids(&mut out, image.guids.as_ref());
    match info.vsd_vendor_id {
        None | Some(0 | MELLANOX) => {
            line(&mut out, "VSD:", info.vsd.clone().unwrap_or_default());
            line(&mut out, "PSID:", info.psid.clone().unwrap_or_default());
        }
        Some(other) => {
            let _ = writeln!(
                out,
                "-W- Not a Mellanox FW image (vendor_id = 0x{other:04x}). VSD and PSID are not displayed."
            );
        }
    }
    if image.guids.as_ref().is_some_and(|g| g.blank) {
        out.push_str("-W- GUIDs/MACs values and their CRC are not set.\n");
    }
    out
}

fn uids(out: &mut String, section: Option<&GuidSection>) {
    let Some(section) = section else {
        // flint stops before this line; for a person the other lines are useful all the same.
        line(out, "GUIDs:", "unreadable");
        return;
    };
    let _ = write!(out, "{:COLUMN$}", "GUIDs:");
    // Always four, zero where the section has none.
    for index in 0..4 {
        let guid = section.raw.get(index).copied().unwrap_or(0);
        let _ = write!(out, "{guid:016x} ");
    }
    if section.entries != 6 {
        let _ = writeln!(
            out,
            "-W- Cannot get MAC address: Expecting 6 entries in guid section, got {}. Probably an old FW image. Please update.\n",
            section.entries
        );
        return;
    }
    out.push('\n');
    // The label is padded to 15, the two columns of the GUIDs above it are left blank.
    let _ = write!(out, "{:15}{:24}", "MACs:", "");
    for mac in &section.macs {
        let _ = write!(out, "     {mac}");
    }
    if !section.blank {
        bad_macs(out, section);
    }
    out.push('\n');
}

/// Printed between the MACs and the end of their line. The empty lines are flint's (measured with
/// 4.21; docs/flint.md#query-lines has them a little differently).
fn bad_macs(out: &mut String, section: &GuidSection) {
    for (port, mac) in section.macs.iter().enumerate() {
        let Some(why) = mac_fault(*mac) else { continue };
        if port == 0 {
            out.push_str("\n\n");
        }
        let _ = writeln!(out, "\n-W- Bad mac address ( {mac} ): {why}.");
    }
}

/// The value of `Rom Info:`, further blocks indented by `prefix` blanks (docs/flint.md#rom-lines).
pub fn rom(rom: &Rom, prefix: usize) -> String {
    if rom.blocks.is_empty() {
        let fault = rom.error.unwrap_or(RomFault::NoBlock);
        return format!("N/A (-E- {})", rom_fault(fault));
    }
    let blocks: Vec<String> = rom.blocks.iter().map(rom_block).collect();
    let mut text = blocks.join(&format!("\n{:prefix$}", ""));
    if let Some(warning) = rom.warning {
        let _ = write!(text, " (-W- {})", rom_fault(warning));
    }
    text
}

/// flint's text for what is wrong with a ROM.
pub fn rom_fault(fault: RomFault) -> String {
    match fault {
        RomFault::TooSmall(len) => format!("ROM size ({len:#x}) is too small"),
        RomFault::ManyBlocks => "Number of exp ROMs exceeds the maximum allowed number (5)".into(),
        RomFault::DeviceIds => "The device IDs of the ROMs mismatched.".into(),
        RomFault::NoBlock => "Cannot get ROM version. Signature not found.".into(),
        RomFault::SizeFieldZero => {
            "ROM size field is 0. Unknown ROM format or corrupted ROM.".into()
        }
        RomFault::SizeField { field, len } => {
            format!("ROM size field ({field:#4x}) is larger than actual ROM size ({len:#x})")
        }
        RomFault::Checksum(sum) => {
            format!("Bad ROM Checksum (0x{sum:02x}), ROM info may not be displayed correctly.")
        }
        RomFault::VersionText { signature, text } => format!(
            "The Signature length ({signature}) and the ROM version string length ({text}) are \
             not coordinated"
        ),
        RomFault::DeviceIdOffset { at, len } => {
            format!("The device ID offset {at:#x} is out of range. ROM size: {len:#x}")
        }
        // "%#x" prints zero as a plain 0.
        RomFault::Vendor(0) => rom_vendor("0"),
        RomFault::Vendor(id) => rom_vendor(&format!("{id:#x}")),
    }
}

fn rom_vendor(id: &str) -> String {
    format!("The Exp-ROM PCI vendor ID: {id} does not match the expected value: {MELLANOX:#x}.")
}

fn rom_block(block: &ExpRom) -> String {
    if let Some(version) = &block.version_text {
        return format!("version_id={version} type=CLP ");
    }
    let Some(name) = block.type_name else {
        return format!("0x{:x} - Unknown ROM product ID\n", block.product_id);
    };
    let (a, b, c) = block.version;
    let mut text = format!("type={name} version={a}.{b}.{c}");
    if block.product_id < 0x10 {
        return text;
    }
    if block.port != 0 {
        let _ = write!(text, " port={}", block.port);
    }
    if block.protocol != 0xFF && block.product_id != 0x12 {
        let name = match block.protocol {
            0 => "IB",
            1 => "ETH",
            2 => "VPI",
            _ => "N/A",
        };
        let _ = write!(text, " proto={name}");
    }
    let cpu = match block.cpu {
        0 => return text,
        1 => "AMD64",
        2 => "AARCH64",
        3 => "AMD64,AARCH64",
        4 => "IA32",
        _ => "N/A",
    };
    let _ = write!(text, " cpu={cpu}");
    text
}

/// `verify`: heading, section table, verdict line (docs/flint.md#verify).
pub fn verify(image: &Image) -> String {
    let mut out = heading(image);
    for section in &image.sections {
        out.push_str(&block(section.at.0, section.len, &section.kind.name(), &section.crc));
    }
    if let Some(crc) = &full_crc(image) {
        out.push_str(&block(0, image.len, "Full Image", crc));
    }
    out.push_str(&verdict(&FlintVerdict::of(image)));
    out
}

/// flint's closing line.
pub fn verdict(verdict: &FlintVerdict) -> String {
    const CANNOT: &str = "AN HCA DEVICE CAN NOT BOOT FROM THIS IMAGE.";
    match verdict {
        FlintVerdict::Bootable => {
            "\n-I- FW image verification succeeded. Image is bootable.\n\n".into()
        }
        FlintVerdict::Failed { text } => {
            format!("-E- FW image verification failed: {text}. {CANNOT}\n")
        }
        FlintVerdict::NoGuidStatus { text } => {
            format!("\n\n-E- Failed to get Guids status. {text}\n")
        }
        FlintVerdict::Undecided { reason } => format!("\nflint gives no verdict: {reason}\n"),
        FlintVerdict::BlankGuids => {
            format!("\n\n-E- FW image verification failed: BLANK GUIDS. {CANNOT}\n")
        }
    }
}

/// The lines above the table (docs/flint.md#text-of-verify).
pub fn heading(image: &Image) -> String {
    match image.layout {
        Layout::NonFailsafe => "\n     FS2 non failsafe image:\n\n".into(),
        Layout::Failsafe { chunk_log2 } => {
            let start = image.start.0;
            let chunk = 1_u32.checked_shl(chunk_log2.into()).unwrap_or(0);
            format!(
                "\n     FS2 failsafe image. Start address: 0x{start:x}. Chunk size 0x{chunk:x}:\n\n     \
                 NOTE: The addresses below are contiguous logical addresses. Physical addresses on\n           \
                 flash may be different, based on the image start address and chunk size\n\n"
            )
        }
    }
}

/// One line of the table.
fn block(at: u32, len: u32, name: &str, crc: &CrcVerdict) -> String {
    let place = block_label(at, len, name);
    match crc {
        CrcVerdict::Ok => format!("{place} - OK\n"),
        CrcVerdict::Blank => format!("{place} - BLANK CRC (0xffff)\n"),
        CrcVerdict::Wrong { computed, stored } => {
            format!("{place} /0x{at:08x}/ - wrong CRC (exp:0x{computed:x}, act:0x{stored:x})\n")
        }
        CrcVerdict::TooBig { size } => format!("{place} - size too big (0x{size:x})\n"),
        CrcVerdict::UnexpectedSize { size } => format!(
            "     /0x{at:08x}/ ({name}) /0x{:08x}/ - unexpected size (0x{size:x})\n",
            at.wrapping_add(4)
        ),
        // flint's text for it is in the verdict.
        CrcVerdict::Unreadable { .. } => String::new(),
        CrcVerdict::NotChecked => format!("{place} - not checked\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::rom as rom_text;
    use crate::image::Rom;
    use crate::image::tests::fixture::{rom, rom_block as block};

    fn text(bytes: &[u8]) -> String {
        rom_text(&Rom::parse(bytes), 10)
    }

    #[test]
    fn a_rom_line_has_the_form_of_its_product() {
        let cases = [
            (0x10, 0x1003_1000, "type=PXE version=1.2.3 port=1 proto=IB"),
            (0x11, 0x1003_0302, "type=UEFI version=1.2.3 proto=VPI cpu=AMD64,AARCH64"),
            (0x12, 0x1003_F101, "type=CLP version=1.2.3 cpu=AMD64"),
            (0x13, 0x1003_0501, "type=NVMe version=1.2.3 proto=ETH cpu=N/A"),
            (0x14, 0x1003_0407, "type=UEFI Virtio net version=1.2.3 proto=N/A cpu=IA32"),
            (0x02, 0x1003_F101, "type=CLP2 version=1.2.3"),
            (0x77, 0x1003_F101, "0x77 - Unknown ROM product ID\n"),
        ];
        for (id, w2, want) in cases {
            let got = text(&rom(&[block(id, (1, 2, 3), w2)]));
            assert_eq!(got, want);
        }
    }

    #[test]
    fn further_version_blocks_stand_below_the_first() {
        let blocks =
            [block(0x10, (3, 4, 752), 0x1003_00FF), block(0x11, (14, 10, 17), 0x1003_01FF)];
        assert_eq!(
            text(&rom(&blocks)),
            "type=PXE version=3.4.752\n          type=UEFI version=14.10.17 cpu=AMD64"
        );
    }

    #[test]
    fn a_rom_without_a_version_block_shows_its_fault() {
        assert_eq!(text(&rom(&[])), "N/A (-E- Cannot get ROM version. Signature not found.)");
        assert_eq!(text(&[0x55, 0xAA]), "N/A (-E- ROM size (0x2) is too small)");
    }

    #[test]
    fn faults_of_a_rom_have_the_texts_of_flint() {
        use crate::image::RomFault as F;
        let (signature, text) = (4, 3);
        for (fault, want) in [
            (F::DeviceIds, "The device IDs of the ROMs mismatched."),
            (F::ManyBlocks, "Number of exp ROMs exceeds the maximum allowed number (5)"),
            (F::Checksum(1), "Bad ROM Checksum (0x01), ROM info may not be displayed correctly."),
            (
                F::Vendor(0x15B4),
                "The Exp-ROM PCI vendor ID: 0x15b4 does not match the expected value: 0x15b3.",
            ),
            (
                F::VersionText { signature, text },
                "The Signature length (4) and the ROM version string length (3) are not coordinated",
            ),
            (
                F::DeviceIdOffset { at: 0x1_0003, len: 0x200 },
                "The device ID offset 0x10003 is out of range. ROM size: 0x200",
            ),
        ] {
            assert_eq!(super::rom_fault(fault), want);
        }
    }
}
