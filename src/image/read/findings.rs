//! The findings of one reading: damage, and the rules a burn depends on
//! (docs/fs2.md#order-of-a-burn).

use super::image::{Header, PointerFault, WalkEnd};
use super::pointers::Pointed;
use super::walk::Walk;
use crate::image::words::HEADER_LEN;
use crate::image::{
    CrcVerdict, Finding, FindingId as Id, Form, ImageOffset, Rom, Section, SectionKind, Severity,
};
use Severity::{Error, Warning};

/// The results of one reading.
pub(super) struct WalkFacts<'a> {
    pub(super) header: &'a Header,
    pub(super) form: Form,
    pub(super) walk: &'a Walk,
    pub(super) pointed: &'a Pointed,
    pub(super) rom: Option<&'a Rom>,
    /// Why the ini could not be inflated, and where its section is.
    pub(super) ini: Option<&'a (String, ImageOffset)>,
    /// Bytes an image can have in the source.
    pub(super) capacity: u32,
}

/// Collects findings; those of equal severity keep their order.
#[derive(Default)]
struct FindingList(Vec<Finding>);

impl FindingList {
    fn error(&mut self, id: Id, at: impl Into<Option<u32>>, detail: String) {
        self.0.push(Finding::new(id, Error, at.into(), detail));
    }

    fn warn(&mut self, id: Id, at: impl Into<Option<u32>>, detail: String) {
        self.0.push(Finding::new(id, Warning, at.into(), detail));
    }
}

impl WalkFacts<'_> {
    /// Worst first; among equals in the order of the checks.
    pub(super) fn findings(&self) -> Vec<Finding> {
        let mut found = FindingList::default();
        self.blocks(&mut found);
        self.order(&mut found);
        self.overlaps(&mut found);
        self.sizes(&mut found);
        self.guids(&mut found);
        self.info(&mut found);
        self.contents(&mut found);
        self.full_crc(&mut found);
        found
            .0
            .sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        found.0
    }

    fn walk_complete(&self) -> bool {
        self.walk.end == WalkEnd::Complete
    }

    /// Damaged blocks, and a chain without an end.
    fn blocks(&self, found: &mut FindingList) {
        for section in &self.walk.sections {
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
            found.error(Id::SectionCrc, section.at.0, detail);
        }
        if let WalkEnd::Loop { .. } | WalkEnd::TooLong { .. } = self.walk.end {
            found.error(Id::Chain, None, self.walk.end.to_string());
        }
    }

    fn order(&self, found: &mut FindingList) {
        for pair in self.walk.sections.windows(2) {
            let (end, next) = (pair[0].end().0, pair[1].at.0);
            // The hole behind the last intact block counts even if the next one is damaged.
            if next < end {
                let start = pair[0].at.0;
                let detail = format!("the block behind {start:#x} starts before its end");
                found.error(Id::Chain, next, detail);
            } else if next > end {
                let detail = format!("{:#x} bytes belong to no block", next - end);
                found.warn(Id::Chain, next, detail);
            }
        }
    }

    fn overlaps(&self, found: &mut FindingList) {
        let mut spans = vec![(0, HEADER_LEN as u64, "header".to_owned())];
        spans.extend(self.walk.sections.iter().map(|s| {
            let start = u64::from(s.at.0);
            (start, start + u64::from(s.len), s.kind.name())
        }));
        spans.sort();
        let mut furthest = (0, "header".to_owned());
        for (start, end, name) in spans {
            if start < furthest.0 {
                // Offsets of sections are u32.
                let detail = format!("{name} overlaps {}", furthest.1);
                found.error(Id::Overlap, start as u32, detail);
            }
            if end > furthest.0 {
                furthest = (end, name);
            }
        }
    }

    /// The sizes that must agree: header, chain and file.
    fn sizes(&self, found: &mut FindingList) {
        let (declared, len, capacity) = (self.header.declared_size, self.walk.len, self.capacity);
        let complete = self.walk_complete();
        if declared > capacity {
            let detail = format!("the header claims {declared:#x} bytes, there are {capacity:#x}");
            found.error(Id::Size, None, detail);
        } else if complete && declared != len {
            let detail =
                format!("the header claims {declared:#x} bytes, the chain ends at {len:#x}");
            found.error(Id::Size, None, detail);
        }
        if complete && self.form == Form::Contiguous && capacity > len {
            let detail = format!("{:#x} bytes follow the image", capacity - len);
            found.warn(Id::TrailingBytes, len, detail);
        }
    }

    /// The section of the chain whose body a pointer leads to.
    fn in_chain(&self, body_at: u32, kind: SectionKind) -> Option<&Section> {
        let mut all = self.walk.sections.iter();
        all.find(|s| s.kind == kind && s.body_at.0 == body_at)
    }

    fn pointer(
        &self,
        found: &mut FindingList,
        at: u32,
        type_ok: bool,
        kind: SectionKind,
        fault: Option<PointerFault>,
    ) {
        match fault {
            Some(PointerFault::Tags(fault)) => found.error(Id::Info, at, fault.to_string()),
            Some(fault) => found.error(Id::Pointer, at, fault.to_string()),
            None if type_ok && (!self.walk_complete() || self.in_chain(at, kind).is_some()) => {}
            None => {
                let name = kind.name();
                let detail = format!(
                    "the header's pointer {at:#x} does not lead to a {name} section of the chain"
                );
                found.error(Id::Pointer, at, detail);
            }
        }
    }

    fn guids(&self, found: &mut FindingList) {
        let at = self.header.guid_body.0;
        let section = self.pointed.guids.as_ref();
        let type_ok = section.is_some_and(|g| g.type_ok);
        self.pointer(
            found,
            at,
            type_ok,
            SectionKind::Guid,
            self.pointed.guid_fault,
        );
        let Some(section) = section.filter(|g| g.type_ok) else {
            return;
        };
        if section.blank {
            // Normal for an image that waits for a card's identity, so no reason not to burn it.
            found.warn(Id::BlankGuids, at, "GUIDs and MACs are blank".into());
        } else if !section.crc_ok {
            found.error(Id::IdentityCrc, at, "GUIDs and MACs fail their CRC".into());
        }
        if !matches!(section.entries, 4 | 6) {
            let detail = format!("{} entries in the GUID section", section.entries);
            found.error(Id::Pointer, at, detail);
        }
    }

    fn info(&self, found: &mut FindingList) {
        let (at, pointed) = (self.header.info_body.0, self.pointed);
        let kind = SectionKind::ImageInfo;
        self.pointer(found, at, pointed.info_type_ok, kind, pointed.info_fault);
        if let (WalkEnd::Info(fault), None) = (self.walk.end, pointed.info_fault) {
            found.error(Id::Info, None, fault.to_string());
        }
        let Some(info) = &pointed.info else { return };
        if pointed.info_type_ok && !pointed.info_crc_ok {
            found.error(Id::Info, at, "the Image Info section fails its CRC".into());
        }
        let no_psid = info.psid.as_deref().unwrap_or("").is_empty();
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
            found.error(Id::MissingTag, at, detail);
        }
        if info.vsd.is_none() {
            let detail = "no VSD tag: a card's VSD cannot be carried over";
            found.warn(Id::NoVsdTag, at, detail.into());
        }
        if let Some((id, _, size)) = info.tags.iter().find(|(.., size)| size % 4 != 0) {
            let detail = format!("tag {id} has {size} bytes, no multiple of 4");
            found.warn(Id::Info, at, detail);
        }
    }

    fn contents(&self, found: &mut FindingList) {
        if let Some((error, at)) = self.ini {
            found.warn(Id::Ini, at.0, error.clone());
        }
        let Some(rom) = self.rom else { return };
        let at = super::rom::section(&self.walk.sections).map(|s| s.body_at.0);
        if let Some(fault) = rom.warning.or(rom.error) {
            found.warn(Id::Rom, at, fault.to_string());
        }
        let image = self.pointed.info.as_ref().and_then(|i| i.device_id);
        if let (Some(rom), Some(image)) = (rom.device_id(), image)
            && rom != image
        {
            let detail = format!("the ROM is for device {rom}, the firmware for {image}");
            found.warn(Id::Rom, at, detail);
        }
    }

    /// A warning only in images without tag 11, for which mstflint does not check the full image
    /// CRC (docs/fs2.md#full-image-crc): their makers may not have set it.
    fn full_crc(&self, found: &mut FindingList) {
        let stored = self.header.stored_full_crc;
        let Some(computed) = self.walk.full_crc else {
            return;
        };
        if computed == stored || self.walk.blank && stored == 0xFFFF {
            return;
        }
        let info = self.walk.info.as_ref();
        let has_mic = info.is_some_and(|i| i.mic_version.is_some());
        let severity = if has_mic { Error } else { Warning };
        let detail = format!("full image CRC is {stored:#06x}, the bytes give {computed:#06x}");
        found
            .0
            .push(Finding::new(Id::FullImageCrc, severity, None, detail));
    }
}
