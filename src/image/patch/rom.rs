//! Exchanging the expansion ROM: the image gets a new layout (docs/flint.md#rom-commands).

use super::{Contents, PatchError};
use crate::image::new_section::NewSection;
use crate::image::words::{
    AT_FULL_CRC, AT_GUID_POINTER, AT_INFO_POINTER, BLANK_CRC, CHAIN_END, HEADER_LEN, be32,
    put_be32, with_check_byte,
};
use crate::image::{Rom, Section, SectionKind};

/// GPH type of a ROM section.
const ROM_TYPE: u32 = 5;

/// A section on its way into the new layout, and where its body was, if it was there before.
type MovedSection = (NewSection, Option<u32>);

impl Contents {
    /// With this ROM section content, or without one. The new section takes the place of the old
    /// one or the second place of the chain, whichever comes first, as in mstflint; further
    /// ROM sections go. Whether the ROM fits the card is not checked here.
    pub fn with_rom(&self, rom: Option<&[u8]>) -> Result<Self, PatchError> {
        if let Some(rom) = rom {
            Rom::check(rom)?;
        }
        let old = self.start_change()?;
        self.refuse_gaps()?;
        let sections = self.rearranged(rom)?;
        let last_next = self.image().sections.last().map_or(CHAIN_END, |s| s.next);

        let mut bytes = old.get(..self.chain_start()?).unwrap_or_default().to_vec();
        let mut moved_to = Vec::with_capacity(sections.len());
        for (i, (section, from)) in sections.iter().enumerate() {
            let last = (i + 1 == sections.len()).then_some(last_next);
            moved_to.push((*from, section.push(&mut bytes, last)));
        }
        self.put_pointers(&mut bytes, &moved_to)?;
        let changed = Self::finish_change(bytes, self.is_blank())?;
        self.only_rom_changed(&changed, rom)?;
        Ok(changed)
    }

    /// First byte behind the BOOT2 blocks.
    fn chain_start(&self) -> Result<usize, PatchError> {
        let sections = &self.image().sections;
        let first = sections.iter().find(|s| s.kind != SectionKind::Boot2);
        match first {
            Some(section) => Ok(section.at.0 as usize),
            None => Err(PatchError::Invalid("the image has no sections".into())),
        }
    }

    /// Every byte must belong to exactly one block, or a new layout would lose some.
    fn refuse_gaps(&self) -> Result<(), PatchError> {
        let mut end = HEADER_LEN as u32;
        for section in &self.image().sections {
            if section.at.0 != end {
                return Err(PatchError::Gap { at: end.min(section.at.0) });
            }
            end = section.at.0.saturating_add(section.len);
        }
        if end as usize == self.bytes().len() { Ok(()) } else { Err(PatchError::Gap { at: end }) }
    }

    fn rearranged(&self, rom: Option<&[u8]>) -> Result<Vec<MovedSection>, PatchError> {
        let chain = self.image().sections.iter();
        let chain: Vec<&Section> = chain.filter(|s| s.kind != SectionKind::Boot2).collect();
        let old = chain.iter().position(|s| s.kind == SectionKind::Rom);
        let place = old.unwrap_or(1).min(1);
        // The size was checked.
        let rom = || NewSection::new(ROM_TYPE, 0, rom?.to_vec()).map(|rom| (rom, None));
        let mut sections = Vec::with_capacity(chain.len() + 1);
        for (i, section) in chain.iter().enumerate() {
            if i == place {
                sections.extend(rom());
            }
            if section.kind != SectionKind::Rom {
                sections.push(self.moved(section)?);
            }
        }
        if place >= chain.len() {
            sections.extend(rom());
        }
        Ok(sections)
    }

    /// A section as it is. Its size word is kept as stored: it counts bytes in EMT sections.
    fn moved(&self, section: &Section) -> Result<MovedSection, PatchError> {
        let at = section.at.0 as usize;
        let lost = || PatchError::Gap { at: section.at.0 };
        let body = self.section_body(section).ok_or_else(lost)?;
        let stored_crc = be32(self.bytes(), section.body_at.0 as usize + body.len());
        let header = |offset| be32(self.bytes(), at + offset).ok_or_else(lost);
        let moved = NewSection {
            kind: header(0)?,
            size: header(4)?,
            param: header(8)?,
            body: body.to_vec(),
            crc_blank: section.kind == SectionKind::Guid
                && self.is_blank()
                && stored_crc == Some(BLANK_CRC),
        };
        Ok((moved, Some(section.body_at.0)))
    }

    /// Pointers and the "CRC existing" field of the header.
    fn put_pointers(
        &self,
        bytes: &mut [u8],
        moved_to: &[(Option<u32>, u32)],
    ) -> Result<(), PatchError> {
        let header = &self.image().header;
        let new_place = |old: u32| {
            let found = moved_to.iter().find(|(from, _)| *from == Some(old));
            found
                .map(|(_, to)| *to)
                .ok_or_else(|| PatchError::Invalid(format!("no section body is at {old:#x}")))
        };
        let info = new_place(header.info_body.0)?;
        let pointer = with_check_byte(info).ok_or(PatchError::OutOfReach(info))?;
        // Bits 23:16 are cleared, bits 15:0 of this word are written later.
        let crc_word = be32(bytes, AT_FULL_CRC).unwrap_or(0) & 0xFF00_FFFF;
        let words = [
            (AT_GUID_POINTER, new_place(header.guid_body.0)?),
            (AT_INFO_POINTER, pointer),
            (AT_FULL_CRC, crc_word),
        ];
        for (at, value) in words {
            if !put_be32(bytes, at, value) {
                return Err(PatchError::SelfCheck("there is no header".into()));
            }
        }
        Ok(())
    }

    /// Every section but the ROM kept its kind, parameter and body, and the ROM is the requested
    /// one.
    fn only_rom_changed(&self, changed: &Self, rom: Option<&[u8]>) -> Result<(), PatchError> {
        fn rest(contents: &Contents) -> impl Iterator<Item = (SectionKind, u32, Option<&[u8]>)> {
            let sections = contents.image().sections.iter();
            sections
                .filter(|s| s.kind != SectionKind::Rom)
                .map(|s| (s.kind, s.param, contents.section_body(s)))
        }
        let rom_is = match (changed.rom(), rom) {
            (None, None) => true,
            (Some(has), Some(want)) => {
                has.len() == want.len().next_multiple_of(4) && has.starts_with(want)
            }
            _ => false,
        };
        if rom_is && rest(self).eq(rest(changed)) {
            Ok(())
        } else {
            let text = "something other than the ROM changed";
            Err(PatchError::SelfCheck(text.into()))
        }
    }
}
