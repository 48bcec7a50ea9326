//! The findings of one reading: damage, and the rules a burn depends on
//! (docs/fs2.md#order-of-a-burn).

use super::image::{Image, PointerFault, WalkEnd};
use crate::escape::ForeignText;
use crate::image::words::HEADER_LEN;
use crate::image::{
    CrcVerdict, Finding, FindingId as Id, Form, ImageOffset, SectionKind, Severity,
};
use crate::words::counted;
use Severity::{Error, Warning};

/// The findings of one reading. `ini` is why the ini could not be inflated, and where its section is;
/// `capacity` counts the bytes that an image can have in the source. Worst first; among equals in
/// the order of the checks.
pub(super) fn findings(
    image: &Image,
    form: Form,
    capacity: u32,
    ini: Option<(String, ImageOffset)>,
) -> Vec<Finding> {
    let mut checks = ImageChecks { image, found: Vec::new() };
    checks.blocks();
    checks.order();
    checks.overlaps();
    checks.sizes(form, capacity);
    checks.guids();
    checks.info();
    if let Some((why, at)) = ini {
        checks.warn(Id::Ini, at.0, why);
    }
    checks.rom();
    checks.full_crc();
    let mut found = checks.found;
    found.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    found
}

struct ImageChecks<'a> {
    image: &'a Image,
    found: Vec<Finding>,
}

impl ImageChecks<'_> {
    fn error(&mut self, id: Id, at: impl Into<Option<u32>>, detail: String) {
        self.found.push(Finding::new(id, Error, at.into(), detail));
    }

    fn warn(&mut self, id: Id, at: impl Into<Option<u32>>, detail: String) {
        self.found.push(Finding::new(id, Warning, at.into(), detail));
    }

    /// Damaged blocks, and a chain without an end.
    fn blocks(&mut self) {
        for section in &self.image.sections {
            let name = section.kind.name();
            let detail = match &section.crc {
                CrcVerdict::Ok | CrcVerdict::Blank | CrcVerdict::NotChecked => continue,
                CrcVerdict::Wrong { computed, stored } => format!(
                    "{name} of {:#x} bytes has CRC {stored:#06x}, its bytes give {computed:#06x}",
                    section.len
                ),
                CrcVerdict::TooBig { size } => format!("{name} claims {size:#x} bytes"),
                CrcVerdict::UnexpectedSize { size } => format!("{name} claims {size:#x} dwords"),
                CrcVerdict::Unreadable { reason } => format!("{name} cannot be read: {reason}"),
            };
            self.error(Id::SectionCrc, section.at.0, detail);
        }
        if let WalkEnd::Loop { .. } | WalkEnd::TooLong { .. } = self.image.walk_end {
            self.error(Id::Chain, None, self.image.walk_end.to_string());
        }
    }

    fn order(&mut self) {
        for pair in self.image.sections.windows(2) {
            let (end, next) = (pair[0].end().0, pair[1].at.0);
            // The hole behind the last intact block counts even if the next one is damaged.
            if next < end {
                let start = pair[0].at.0;
                let detail = format!("the block behind {start:#x} starts before its end");
                self.error(Id::Chain, next, detail);
            } else if next > end {
                let detail = format!("{:#x} bytes belong to no block", next - end);
                self.warn(Id::Chain, next, detail);
            }
        }
    }

    fn overlaps(&mut self) {
        let mut spans = vec![(0, HEADER_LEN as u64, "header".to_owned())];
        spans.extend(self.image.sections.iter().map(|s| {
            let start = u64::from(s.at.0);
            (start, start + u64::from(s.len), s.kind.name())
        }));
        spans.sort();
        let mut furthest = (0, "header".to_owned());
        for (start, end, name) in spans {
            if start < furthest.0 {
                // Offsets of sections are u32.
                let detail = format!("{name} overlaps {}", furthest.1);
                self.error(Id::Overlap, start as u32, detail);
            }
            if end > furthest.0 {
                furthest = (end, name);
            }
        }
    }

    /// The sizes that must agree: header, chain and file.
    fn sizes(&mut self, form: Form, capacity: u32) {
        let (declared, len) = (self.image.header.declared_size, self.image.len);
        let complete = self.image.walk_end == WalkEnd::Complete;
        if complete && declared != len {
            // Tools that edit the ini leave it so; neither mstflint nor, by reports of owners, the
            // boot ROM minds (docs/fs2.md#the-size-word).
            let detail =
                format!("the header claims {declared:#x} bytes, the chain ends at {len:#x}");
            self.warn(Id::Size, None, detail);
        } else if declared > capacity {
            let detail = format!("the header claims {declared:#x} bytes, there are {capacity:#x}");
            self.error(Id::Size, None, detail);
        }
        if complete && form == Form::Contiguous && capacity > len {
            let detail = format!("{:#x} bytes follow the image", capacity - len);
            self.warn(Id::TrailingBytes, len, detail);
        }
    }

    /// Checks that a pointer of the header leads to a section of this kind in the chain.
    fn pointer(&mut self, at: u32, type_ok: bool, kind: SectionKind, fault: Option<PointerFault>) {
        let mut chain = self.image.sections.iter();
        let in_chain = self.image.walk_end != WalkEnd::Complete
            || chain.any(|s| s.kind == kind && s.body_at.0 == at);
        match fault {
            Some(PointerFault::Tags(fault)) => self.error(Id::Info, at, fault.to_string()),
            Some(fault) => self.error(Id::Pointer, at, fault.to_string()),
            None if type_ok && in_chain => {}
            None => {
                let name = kind.name();
                let detail = format!(
                    "the header's pointer {at:#x} does not lead to a {name} section of the chain"
                );
                self.error(Id::Pointer, at, detail);
            }
        }
    }

    fn guids(&mut self) {
        let at = self.image.header.guid_body.0;
        let section = self.image.guids.as_ref().filter(|g| g.type_ok);
        let fault = self.image.guid_fault;
        self.pointer(at, section.is_some(), SectionKind::Guid, fault);
        let Some(section) = section else { return };
        if section.blank {
            // Normal for an image that waits for a card's identity, so no reason not to burn it.
            self.warn(Id::BlankGuids, at, "GUIDs and MACs are blank".into());
        } else if !section.crc_ok {
            self.error(Id::IdentityCrc, at, "GUIDs and MACs fail their CRC".into());
        }
        if !matches!(section.entries, 4 | 6) {
            let detail = format!("{} in the GUID section", counted(section.entries, "entry"));
            self.error(Id::Pointer, at, detail);
        }
    }

    fn info(&mut self) {
        let image = self.image;
        let at = image.header.info_body.0;
        let kind = SectionKind::ImageInfo;
        self.pointer(at, image.info_type_ok, kind, image.info_fault);
        if let (WalkEnd::Info(fault), None) = (image.walk_end, image.info_fault) {
            self.error(Id::Info, None, fault.to_string());
        }
        let Some(info) = &image.info else { return };
        if image.info_type_ok && !image.info_crc_ok {
            self.error(Id::Info, at, "the Image Info section fails its CRC".into());
        }
        let no_psid = info.psid.as_ref().is_none_or(ForeignText::is_empty);
        let missing: Vec<_> = [
            info.fw_version.is_none().then_some("version"),
            no_psid.then_some("PSID"),
            info.device_id.is_none().then_some("device id"),
        ]
        .into_iter()
        .flatten()
        .collect();
        if !missing.is_empty() {
            let detail = format!("the Image Info section has no {}", missing.join(", no "));
            self.error(Id::MissingTag, at, detail);
        }
        if info.vsd.is_none() {
            let detail = "no VSD tag: a card's VSD cannot be carried over";
            self.warn(Id::NoVsdTag, at, detail.into());
        }
        if let Some((id, _, size)) = info.tags.iter().find(|(.., size)| size % 4 != 0) {
            let detail = format!("tag {id} has {size} bytes, no multiple of 4");
            self.warn(Id::Info, at, detail);
        }
    }

    fn rom(&mut self) {
        let Some(rom) = &self.image.rom else { return };
        let at = self.image.rom_section().map(|s| s.body_at.0);
        let of_blocks = rom.warning.or(rom.error).map(|fault| fault.to_string());
        let of_chain = rom.chain_fault.map(|fault| fault.to_string());
        for fault in [of_blocks, of_chain].into_iter().flatten() {
            self.warn(Id::Rom, at, fault);
        }
        let image = self.image.info.as_ref().and_then(|i| i.device_id);
        if let Some(image) = image
            && let Some(other) = rom.other_device(image)
        {
            let detail = format!("the ROM is for {other}, the firmware for device {image}");
            self.warn(Id::Rom, at, detail);
        }
    }

    /// A warning only in images without tag 11, for which mstflint does not check the full image
    /// CRC (docs/fs2.md#full-image-crc): their makers may not have set it. The same where the size
    /// word is wrong: who changed the sections last did not finish the header.
    fn full_crc(&mut self) {
        let stored = self.image.header.stored_full_crc;
        let Some(computed) = self.image.computed_crc else {
            return;
        };
        if computed == stored || self.image.blank_in_chain && stored == 0xFFFF {
            return;
        }
        let detail = format!("full image CRC is {stored:#06x}, the bytes give {computed:#06x}");
        let info = self.image.chain_info.as_ref();
        if info.is_some_and(|i| i.mic_version.is_some()) && self.image.size_word_is_right() {
            self.error(Id::FullImageCrc, None, detail);
        } else {
            self.warn(Id::FullImageCrc, None, detail);
        }
    }
}
