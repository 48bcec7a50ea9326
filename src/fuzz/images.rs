//! Images, dumps of a flash, inis and expansion ROMs.

use super::flash_of;
use crate::card::Chip;
use crate::image::{
    Contents, CrcVerdict, Depth, FileFormat, FlashAddr, Form, Half, Identity, Image, Ini, Layout,
    Recipe, Rom, build, crc16, guess_form, image_in_archive, read, scan, sniff, striped,
};
use crate::plan::{Bootability, bootability, would_boot};
use std::sync::OnceLock;

/// Bytes of the flash of [`dump`].
const FLASH: usize = 1 << 20;
/// The chip that images are judged for.
const CHIP: Chip = Chip { hw_id: 0x1f7, revision: 0 };

/// The bytes of an image file.
pub fn image(data: &[u8]) {
    read_all_ways(data);
    file(data);
    // The same with valid section CRCs: what lies behind them is reached as well.
    let mut repaired = data.to_vec();
    if repair(&mut repaired) {
        read_all_ways(&repaired);
        file(&repaired);
    }
}

fn read_all_ways(bytes: &[u8]) {
    let _ = sniff(bytes);
    let found = scan(&mut &*bytes).expect("a slice can be read");
    for start in found.into_iter().chain([FlashAddr(4), FlashAddr(u32::MAX)]) {
        let _ = guess_form(&mut &*bytes, start);
        for form in [Form::Contiguous, Form::Striped] {
            for depth in [Depth::Quick, Depth::Query, Depth::Full] {
                if let Ok(image) = read(&mut &*bytes, start, form, depth) {
                    is_bounded(&image, bytes.len());
                }
            }
        }
    }
}

/// A report does not grow beyond what it is about.
fn is_bounded(image: &Image, len: usize) {
    // The shortest block has 8 bytes, and the walk passes no byte twice.
    assert!(image.sections.len() <= len / 8 + 16, "{} sections", image.sections.len());
    assert!(image.ini.as_ref().is_none_or(|ini| ini.bytes.len() <= Ini::MAX));
    assert!(image.rom.as_ref().is_none_or(|rom| rom.blocks.len() <= 5));
    let text = serde_json::to_string(image).expect("an image is JSON");
    assert!(text.len() <= 0x2_0000 + 64 * len, "{} bytes of JSON for {len}", text.len());
}

/// What is accepted as an image is the same image when it is read again, and after changes.
fn file(bytes: &[u8]) {
    let Ok(contents) = Contents::from_file(bytes) else {
        return;
    };
    assert!(bytes.starts_with(contents.bytes()), "other bytes than those of the file");
    let again = Contents::from_file(contents.bytes()).expect("an image without what is behind it");
    assert!(again.bytes() == contents.bytes());
    let image = contents.image();
    if image.is_valid() {
        assert!(again.image().is_valid(), "{:?}", again.image().findings);
        changes(&contents);
    }
}

/// Every change of a valid image is a valid image that holds what was put into it, or is refused.
fn changes(contents: &Contents) {
    let image = contents.image();
    if let Ok(identity) = Identity::from_image(image)
        && let Ok(same) = contents.with_identity(&identity)
    {
        assert_eq!(Identity::from_image(same.image()).expect("an identity"), identity);
        assert_eq!(same.bytes().len(), contents.bytes().len());
    }
    if let Ok(changed) = contents.with_vsd(b"fuzz") {
        let info = changed.image().info.as_ref().expect("Image Info");
        assert!(info.vsd_raw.as_deref().is_some_and(|vsd| vsd.starts_with(b"fuzz")));
    }
    if let Ok(without) = contents.with_rom(None) {
        assert_eq!(without.rom(), None);
        if let Some(rom) = contents.rom()
            && let Ok(back) = without.with_rom(Some(rom))
        {
            assert_eq!(back.rom(), Some(rom));
        }
    }
}

/// Puts right CRCs behind the sections, as far as the chain goes; false when nothing was wrong.
fn repair(bytes: &mut [u8]) -> bool {
    let mut changed = false;
    for _ in 0..64 {
        let Ok(image) = read(&mut &*bytes, FlashAddr(0), Form::Contiguous, Depth::Full) else {
            break;
        };
        let wrong = |crc| matches!(crc, CrcVerdict::Wrong { .. });
        let Some(section) = image.sections.iter().find(|s| wrong(s.crc)) else {
            break;
        };
        let (from, end) = (section.at.0 as usize, section.end().0 as usize);
        let Some(covered) = end.checked_sub(4).and_then(|crc| bytes.get(from..crc)) else {
            break;
        };
        let crc = u32::from(crc16(covered)).to_be_bytes();
        bytes[end - 4..end].copy_from_slice(&crc);
        changed = true;
    }
    changed
}

/// The bytes of an archive, or of any other file.
pub fn archive(data: &[u8]) {
    if !FileFormat::of(data).is_some_and(FileFormat::is_opened) {
        return;
    }
    match image_in_archive(data, None) {
        Ok(member) => {
            sniff(&member.bytes).expect("what is taken is an image");
            let named = image_in_archive(data, Some(member.name.as_str()));
            assert!(named.is_ok_and(|named| named == member), "its name finds another image");
        }
        // 64 images with names as long as a path.
        Err(error) => assert!(error.to_string().len() <= 64 * 0x4100),
    }
}

/// A flash of 1 MiB (see [`flash_of`]).
pub fn dump(data: &[u8]) {
    let flash = flash_of(data, FLASH);
    let starts = scan(&mut flash.as_slice()).expect("a slice can be read");
    for start in &starts {
        let Ok(contents) = Contents::from_dump(&flash, *start) else {
            continue;
        };
        let image = contents.image();
        is_bounded(image, flash.len());
        assert!(contents.bytes().len() <= flash.len());
        if !image.is_valid() {
            continue;
        }
        // A valid image, laid out again, is what the flash holds.
        let half = match image.layout {
            Layout::Failsafe { .. } if start.0 != 0 => Half::Odd,
            _ => Half::Even,
        };
        if image.layout.may_start(*start) {
            let laid = striped(contents.bytes(), half, FLASH as u32).expect("it came from there");
            let back = Contents::from_dump(&laid, *start).expect("an image");
            assert!(back.bytes() == contents.bytes(), "the image at {:#x}", start.0);
        }
    }
    if let Some(start) = would_boot(&flash, CHIP).start {
        assert!(starts.contains(&start), "an image without signature boots");
        let found = read(&mut flash.as_slice(), start, Form::Striped, Depth::Full);
        let found = found.expect("what boots can be read");
        // Read in place or taken out, the same image boots.
        assert_eq!(bootability(start, &found, CHIP), Bootability::Sure, "{:?}", found.findings);
    }
    let _ = Contents::from_file(&flash);
}

/// A zlib stream, or else the text of an ini.
pub fn ini(data: &[u8]) {
    let ini = match Ini::inflate(data) {
        Ok(ini) => ini,
        Err(_) => Ini { bytes: data.to_vec() },
    };
    assert!(ini.bytes.len() <= Ini::MAX.max(data.len()));
    let entries = ini.entries();
    // Printed and read again, the entries are the same.
    let text: String = entries
        .iter()
        .map(|e| match e.section.as_str() {
            "" => format!("{} = {}\n", e.key, e.value),
            section => format!("[{section}]\n{} = {}\n", e.key, e.value),
        })
        .collect();
    let printed = Ini { bytes: text.into_bytes() };
    // An empty section name cannot follow another one in this form.
    let first = entries.iter().position(|e| !e.section.is_empty()).unwrap_or(entries.len());
    if entries[first..].iter().all(|e| !e.section.is_empty()) {
        assert_eq!(printed.entries(), entries);
    }
    for entry in entries.iter().take(8) {
        let value = ini.get(&entry.section, &entry.key);
        assert!(value.is_some());
        assert!(ini.lookup(&format!("{}.{}", entry.section, entry.key)).is_some());
        assert!(ini.near(&entry.key, 3).len() <= 3);
    }
    let settings = ini.summary();
    assert!(settings.len() <= entries.len() + 16, "{} settings", settings.len());
}

/// An image into which ROMs are put.
fn base() -> &'static Contents {
    static BASE: OnceLock<Contents> = OnceLock::new();
    BASE.get_or_init(|| {
        let recipe = Recipe { size: 0, rom: None, ..Recipe::default() };
        let bytes = build(&recipe).expect("a recipe");
        Contents::from_file(&bytes).expect("an image")
    })
}

/// The bytes of a ROM file.
pub fn rom(data: &[u8]) {
    let rom = Rom::parse(data);
    assert!(rom.blocks.len() <= 5);
    let _ = (rom.device_id(), rom.other_device(0x1003));
    assert!(
        rom.images
            .iter()
            .all(|image| u64::from(image.at) + u64::from(image.len) <= data.len() as u64)
    );
    let _ = serde_json::to_string(&rom).expect("a ROM is JSON");
    let Ok(accepted) = Rom::for_writing(data) else {
        return;
    };
    assert_eq!(accepted, rom);
    // What is accepted can be put into an image and comes out again, padded to a dword; an image
    // signature inside of it is the one thing that is refused.
    let Ok(with) = base().with_rom(Some(data)) else {
        return;
    };
    let out = with.rom().expect("a ROM section");
    assert!(out.starts_with(data) && out.len() - data.len() < 4);
    assert_eq!(with.with_rom(None).expect("an image").bytes(), base().bytes());
}
