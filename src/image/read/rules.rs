//! The findings: flint's failures in our words, and the stricter rules of ours (docs/fs2.md#order-of-a-burn).

use super::chain::Walk;
use super::pointers::Pointed;
use super::{Form, Header, header};
use crate::image::{
    CrcVerdict, Finding, FindingId as Id, ImageOffset, Rom, Section, SectionKind, Severity,
};
use Severity::{Error, Warning};

/// All that a reading brought to light.
pub(super) struct Facts<'a> {
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

impl Facts<'_> {
    /// Worst first; among equals in the order they were found.
    pub(super) fn findings(&self) -> Vec<Finding> {
        let mut found = Vec::new();
        self.blocks(&mut found);
        self.shape(&mut found);
        self.guids(&mut found);
        self.info(&mut found);
        self.contents(&mut found);
        self.full_crc(&mut found);
        found.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        found
    }

    /// Blocks that failed, and a chain without an end.
    fn blocks(&self, found: &mut Vec<Finding>) {
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
            found.push(Finding::shared(
                Id::SectionCrc,
                Error,
                Some(section.at.0),
                detail,
            ));
        }
        if let Some(reason) = &self.walk.endless {
            found.push(Finding::ours(Id::Chain, Error, None, reason.clone()));
        }
    }

    /// Order and extent of the blocks, and the sizes that must agree with them (docs/fs2.md#order-of-a-burn #7, #9).
    fn shape(&self, found: &mut Vec<Finding>) {
        let (walk, sections) = (self.walk, &self.walk.sections);
        for pair in sections.windows(2) {
            let (end, next) = (pair[0].end().0, pair[1].at.0);
            // The hole behind the last whole block counts even if the next one is damaged.
            let (severity, detail) = if next < end {
                (
                    Error,
                    format!("the block behind {:#x} starts before its end", pair[0].at.0),
                )
            } else if next > end {
                (
                    Warning,
                    format!("{:#x} bytes belong to no block", next - end),
                )
            } else {
                continue;
            };
            found.push(Finding::ours(Id::Chain, severity, Some(next), detail));
        }
        self.overlaps(found);
        let whole = walk.whole();
        let (declared, len) = (self.header.declared_size, walk.len);
        if declared > self.capacity {
            found.push(Finding::ours(
                Id::Size,
                Error,
                None,
                format!(
                    "the header says {declared:#x} bytes, there are {:#x}",
                    self.capacity
                ),
            ));
        } else if whole && declared != len {
            found.push(Finding::ours(
                Id::Size,
                Error,
                None,
                format!("the header says {declared:#x} bytes, the chain ends at {len:#x}"),
            ));
        }
        if whole && self.form == Form::Contiguous && self.capacity > len {
            let extra = self.capacity - len;
            let detail = format!("{extra:#x} bytes follow the image");
            found.push(Finding::ours(Id::TrailingBytes, Warning, Some(len), detail));
        }
    }

    fn overlaps(&self, found: &mut Vec<Finding>) {
        let mut spans: Vec<(u64, u64, String)> =
            vec![(0, u64::from(header::SIZE), "header".into())];
        spans.extend(self.walk.sections.iter().map(|s| {
            let start = u64::from(s.at.0);
            (start, start + u64::from(s.len), s.kind.name())
        }));
        spans.sort();
        let mut furthest = (0, "header".to_owned());
        for (start, end, name) in spans {
            if start < furthest.0 {
                let detail = format!("{name} overlaps {}", furthest.1);
                // Offsets of sections are u32.
                found.push(Finding::ours(
                    Id::Overlap,
                    Error,
                    Some(start as u32),
                    detail,
                ));
            }
            if end > furthest.0 {
                furthest = (end, name);
            }
        }
    }

    /// A pointer must lead to the body of a section of its type, in the chain.
    fn in_chain(&self, body_at: u32, kind: SectionKind) -> Option<&Section> {
        let mut all = self.walk.sections.iter();
        all.find(|s| s.kind == kind && s.body_at.0 == body_at)
    }

    fn pointer(
        &self,
        found: &mut Vec<Finding>,
        at: u32,
        type_ok: bool,
        kind: SectionKind,
        error: Option<&String>,
    ) {
        if let Some(error) = error {
            let id = if error.starts_with("Info section corrupted") {
                Id::Info
            } else {
                Id::Pointer
            };
            found.push(Finding::shared(
                id,
                Error,
                Some(at),
                error.trim_end().to_owned(),
            ));
        } else if !type_ok || (self.walk.whole() && self.in_chain(at, kind).is_none()) {
            let detail = format!(
                "the header's pointer {at:#x} does not lead to a {} section of the chain",
                kind.name()
            );
            found.push(Finding::ours(Id::Pointer, Error, Some(at), detail));
        }
    }

    fn guids(&self, found: &mut Vec<Finding>) {
        let at = self.header.guid_body.0;
        let section = self.pointed.guids.as_ref();
        let type_ok = section.is_some_and(|g| g.type_ok);
        let error = self.pointed.guid_error.as_ref();
        self.pointer(found, at, type_ok, SectionKind::Guid, error);
        let Some(section) = section.filter(|g| g.type_ok) else {
            return;
        };
        if section.blank {
            // Normal for an image that waits for a card's identity, so no reason not to burn it.
            let detail = "GUIDs and MACs are blank".to_owned();
            found.push(Finding::shared(Id::BlankGuids, Warning, Some(at), detail));
        } else if !section.crc_ok {
            // flint's query and burn take them over without a look at the CRC (docs/fs2.md#order-of-a-burn #5).
            let chained = self.in_chain(at, SectionKind::Guid);
            let detail = "GUIDs and MACs fail their CRC".to_owned();
            found.push(Finding {
                flint_fails: chained.is_some_and(|s| s.crc != CrcVerdict::Ok),
                ..Finding::ours(Id::IdentityCrc, Error, Some(at), detail)
            });
        }
        if !matches!(section.entries, 4 | 6) {
            let detail = format!("{} entries in the GUID section", section.entries);
            found.push(Finding::ours(Id::Pointer, Error, Some(at), detail));
        }
    }

    fn info(&self, found: &mut Vec<Finding>) {
        let (at, pointed) = (self.header.info_body.0, self.pointed);
        let error = pointed.info_error.as_ref();
        self.pointer(
            found,
            at,
            pointed.info_type_ok,
            SectionKind::ImageInfo,
            error,
        );
        if let Some(text) = &self.walk.stopped
            && text.starts_with("Failed to read the info sector")
            && pointed.info_error.is_none()
        {
            let detail = text.trim_end().to_owned();
            found.push(Finding::shared(Id::Info, Error, None, detail));
        }
        let Some(info) = &pointed.info else { return };
        if pointed.info_type_ok && !pointed.info_crc_ok {
            let chained = self.in_chain(at, SectionKind::ImageInfo);
            let detail = "the Image Info section fails its CRC".to_owned();
            found.push(Finding {
                flint_fails: chained.is_some_and(|s| s.crc != CrcVerdict::Ok),
                ..Finding::ours(Id::Info, Error, Some(at), detail)
            });
        }
        let missing: Vec<_> = [
            ("version", info.fw_version.is_none()),
            ("PSID", info.psid.as_deref().unwrap_or("").is_empty()),
            ("device id", info.device_id.is_none()),
        ]
        .into_iter()
        .filter_map(|(name, missing)| missing.then_some(name))
        .collect();
        if !missing.is_empty() {
            let detail = format!("the Image Info section has no {}", missing.join(", no "));
            found.push(Finding::ours(Id::MissingTag, Error, Some(at), detail));
        }
        if info.vsd.is_none() {
            let detail = "no VSD tag: a card's VSD cannot be carried over".to_owned();
            found.push(Finding::ours(Id::NoVsdTag, Warning, Some(at), detail));
        }
        if let Some((id, _, size)) = info.tags.iter().find(|(.., size)| size % 4 != 0) {
            let detail = format!("tag {id} has {size} bytes, no multiple of 4");
            found.push(Finding::ours(Id::Info, Warning, Some(at), detail));
        }
    }

    fn contents(&self, found: &mut Vec<Finding>) {
        if let Some((error, at)) = self.ini {
            found.push(Finding::ours(Id::Ini, Warning, Some(at.0), error.clone()));
        }
        let Some(rom) = self.rom else { return };
        let at = super::rom::section(&self.walk.sections).map(|s| s.body_at.0);
        if let Some(detail) = rom.warning.as_ref().or(rom.error.as_ref()) {
            found.push(Finding::ours(Id::Rom, Warning, at, detail.clone()));
        }
        let image = self.pointed.info.as_ref().and_then(|i| i.device_id);
        if let (Some(rom), Some(image)) = (rom.device_id(), image)
            && rom != image
        {
            let detail = format!("the ROM is for device {rom}, the firmware for {image}");
            found.push(Finding::ours(Id::Rom, Warning, at, detail));
        }
    }

    /// An error where flint prints a line and goes on (docs/fs2.md#order-of-a-burn #10). Without tag 11 flint does not even
    /// look, and makers of such images may not have set it.
    fn full_crc(&self, found: &mut Vec<Finding>) {
        let stored = self.header.stored_full_crc;
        let Some(computed) = self.walk.full_crc else {
            return;
        };
        let blank = self.walk.blank && stored == 0xFFFF;
        if computed == stored || blank {
            return;
        }
        let told = self
            .walk
            .info
            .as_ref()
            .is_some_and(|i| i.mic_version.is_some());
        let severity = if told { Error } else { Warning };
        let detail = format!("full image CRC is {stored:#06x}, the bytes give {computed:#06x}");
        found.push(Finding::ours(Id::FullImageCrc, severity, None, detail));
    }
}
