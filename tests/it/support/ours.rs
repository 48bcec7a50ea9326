//! What we say of the same bytes, in the form of what flint prints (docs/flint.md#verify, docs/flint.md#query).

use super::flint_text::{End, Line, Verify};
use cx3flash::image::{
    CrcVerdict, Depth, FlintVerdict, Form, Image, ImageError, Info, Layout, Section, read, scan,
};

/// flint's error for a file whose length is no multiple of 4, up to the file's name.
pub const UNALIGNED: &str = "Image size should be 4-bytes aligned. Make sure file ";
/// flint's error for a file shorter than 0x28 bytes (docs/fs2.md#image-files).
pub const TOO_SHORT: &str = "Invalid Firmware Format (found FS Gen 1)";

/// What flint's `verify` should print by our reading, `None` when we say it never ends.
pub fn verify(bytes: &[u8], form: Form) -> Option<Verify> {
    let without_table = |notes: &[&str], end| {
        Some(Verify {
            heading: None,
            lines: Vec::new(),
            notes: notes.iter().map(|n| (*n).to_owned()).collect(),
            end,
            code: 1,
        })
    };
    if !bytes.len().is_multiple_of(4) {
        return without_table(&[], End::CannotOpen(UNALIGNED.into()));
    }
    if bytes.len() < 0x28 {
        return without_table(&[], End::CannotOpen(TOO_SHORT.into()));
    }
    let scan = scan(&mut &*bytes).unwrap();
    if let Some(error) = scan.flint_error() {
        return without_table(&[], End::Failed(error));
    }
    let image = match read(&mut &*bytes, scan.magics[0], form, Depth::Full) {
        Ok(image) => image,
        Err(error) => {
            let text = error
                .flint_text()
                .expect("an error that flint knows")
                .to_owned();
            let note = format!("Can not read failsafe info word: {text}");
            let notes = match error {
                ImageError::FailsafeWord(_) => vec![note.as_str()],
                _ => vec![],
            };
            return without_table(&notes, End::Failed(text));
        }
    };
    let (end, code) = match image.flint.clone() {
        FlintVerdict::Bootable => (End::Bootable, 0),
        FlintVerdict::Failed { text } => (End::Failed(text), 1),
        FlintVerdict::NoGuidStatus { text } => (End::NoGuidStatus(text), 1),
        FlintVerdict::BlankGuids => (End::BlankGuids, 1),
        FlintVerdict::Undecided { .. } => return None,
    };
    let mut lines: Vec<Line> = image.sections.iter().filter_map(line).collect();
    lines.extend(full_line(&image));
    Some(Verify {
        heading: image.flint_heading().then_some(match image.layout {
            Layout::NonFailsafe => None,
            Layout::Failsafe { chunk_log2 } => Some((image.start.0, 1 << chunk_log2)),
        }),
        lines,
        notes: Vec::new(),
        end,
        code,
    })
}

fn verdict(crc: &CrcVerdict, start: u32) -> Option<String> {
    Some(match crc {
        CrcVerdict::Ok => "OK".into(),
        CrcVerdict::Blank => "BLANK CRC (0xffff)".into(),
        CrcVerdict::Wrong { computed, stored } => {
            format!("/{start:#010x}/ - wrong CRC (exp:{computed:#x}, act:{stored:#x})")
        }
        CrcVerdict::TooBig { size } => format!("size too big ({size:#x})"),
        CrcVerdict::UnexpectedSize { size } => {
            format!(
                "/{:#010x}/ - unexpected size ({size:#x})",
                start.wrapping_add(4)
            )
        }
        // Part of the error text, not of the table.
        CrcVerdict::Unreadable { .. } => return None,
        CrcVerdict::NotChecked => panic!("a full read checks everything"),
    })
}

fn range(start: u32, len: u32) -> String {
    let last = start.wrapping_add(len).wrapping_sub(1);
    format!("{start:#010x}-{last:#010x} ({len:#08x})")
}

fn line(section: &Section) -> Option<Line> {
    let range = match section.crc {
        CrcVerdict::UnexpectedSize { .. } => format!("{:#010x}", section.at.0),
        _ => range(section.at.0, section.len),
    };
    Some(Line {
        range,
        name: section.kind.name(),
        verdict: verdict(&section.crc, section.at.0)?,
    })
}

fn full_line(image: &Image) -> Option<Line> {
    Some(Line {
        range: range(0, image.len),
        name: "Full Image".into(),
        verdict: verdict(image.full_crc.as_ref()?, 0)?,
    })
}

/// What flint's `query full` should print by our reading: its fields, or its error text.
pub fn query(bytes: &[u8], form: Form) -> Result<Vec<(String, String)>, String> {
    let scan = scan(&mut &*bytes).unwrap();
    if let Some(error) = scan.flint_error() {
        return Err(error);
    }
    let image = read(&mut &*bytes, scan.magics[0], form, Depth::Full).map_err(|e| {
        e.flint_text()
            .expect("an error that flint knows")
            .to_owned()
    })?;
    match image.flint.query_error() {
        Some(text) => Err(text.to_owned()),
        None => Ok(fields(&image)),
    }
}

/// The lines of docs/flint.md#query-lines in their order.
fn fields(image: &Image) -> Vec<(String, String)> {
    let nothing = Info::default();
    let info = image.flint_info().unwrap_or(&nothing);
    let mut all: Vec<(String, String)> = Vec::new();
    let mut put = |label: &str, value: Option<String>| {
        if let Some(value) = value {
            let value: Vec<&str> = value.split_whitespace().collect();
            all.push((label.to_owned(), value.join(" ")));
        }
    };
    let not_empty = |text: &Option<String>| text.clone().filter(|t| !t.is_empty());
    put("Image type", Some("FS2".into()));
    let zero = Default::default();
    let fw = info.fw_version.filter(|v| *v != zero);
    put("FW Version", fw.map(|v| v.to_string()));
    let date = info.release_date.filter(|d| *d != Default::default());
    put("FW Release Date", date.map(|d| d.to_string()));
    let fit = info.min_fit_version.filter(|v| *v != [0; 4]);
    put(
        "Min FIT Version",
        fit.map(|[a, b, c, d]| format!("{a}.{b}.{c}.{d}")),
    );
    let mic = info.mic_version.filter(|v| *v != zero);
    put(
        "MIC Version",
        mic.map(|v| format!("{}.{}.{}", v.major, v.minor, v.subminor)),
    );
    let number = |n: Option<u32>| n.filter(|n| *n != 0).map(|n| n.cast_signed().to_string());
    put("Config Sectors", number(info.config_sectors));
    put("Config Pad", number(info.config_pad));
    put("PRS Name", not_empty(&info.prs_name));
    put("Product Version", not_empty(&info.product_version));
    if let Some(rom) = &image.rom {
        let text = rom.flint_text("Rom Info: ");
        let lines: Vec<&str> = text
            .lines()
            .map(str::trim)
            .filter(|l| !l.is_empty())
            .collect();
        let squeeze = |line: &&str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        let value = lines.iter().map(squeeze).collect::<Vec<_>>().join("\n");
        let value = value
            .strip_prefix("Rom Info: ")
            .unwrap_or(&value)
            .to_owned();
        all.push(("Rom Info".into(), value));
    }
    let mut put = |label: &str, value: String| {
        let value: Vec<&str> = value.split_whitespace().collect();
        all.push((label.to_owned(), value.join(" ")));
    };
    put("Device ID", info.device_id.unwrap_or(0).to_string());
    if let Some(set) = info.hw_access_key {
        put(
            "HW Access Key",
            if set { "Enabled" } else { "Disabled" }.into(),
        );
    }
    put("Description", "Node Port1 Port2 Sys image".into());
    let none = || panic!("flint's query succeeds, so there is a GUID section");
    let guids = image.guids.as_ref().unwrap_or_else(none);
    let join = |texts: Vec<String>| texts.join(" ");
    // flint always prints four, zero where the section has none.
    let mut four: Vec<u64> = guids.guids.iter().map(|g| g.0).collect();
    four.resize(4, 0);
    put(
        "GUIDs",
        join(four.iter().map(|g| format!("{g:016x}")).collect()),
    );
    if guids.entries == 6 {
        put(
            "MACs",
            join(guids.macs.iter().map(ToString::to_string).collect()),
        );
        for mac in guids.macs.iter().filter(|_| !guids.blank) {
            let why = if mac.0 >> 40 & 1 != 0 {
                "Multicast bit (bit 40) is set."
            } else if mac.0 >> 48 != 0 {
                "More than 48 bits are used."
            } else {
                continue;
            };
            put("", format!("-W- Bad mac address ( {mac} ): {why}"));
        }
    } else {
        put(
            "",
            format!(
                "-W- Cannot get MAC address: Expecting 6 entries in guid section, got {}. \
             Probably an old FW image. Please update.",
                guids.entries
            ),
        );
    }
    match info.vsd_vendor_id {
        None | Some(0 | 0x15B3) => {
            put("VSD", info.vsd.clone().unwrap_or_default());
            put("PSID", info.psid.clone().unwrap_or_default());
        }
        Some(id) => put(
            "",
            format!(
                "-W- Not a Mellanox FW image (vendor_id = {id:#06x}). VSD and PSID are not displayed."
            ),
        ),
    }
    if guids.blank {
        put(
            "",
            "-W- GUIDs/MACs values and their CRC are not set.".into(),
        );
    }
    all
}
