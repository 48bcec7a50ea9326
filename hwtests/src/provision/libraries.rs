//! Which libraries a program needs, from its own dynamic section (ELF-64, little-endian).
//!
//! `ldd` would run the program, with the host's loader; reading the few fields that name libraries does without.

/// The `DT_NEEDED` names of an ELF file; empty for a static one and for what is not ELF.
#[must_use]
pub fn needed_of(elf: &[u8]) -> Vec<String> {
    names(elf).unwrap_or_default()
}

/// Section types and tags of the ELF specification.
const SHT_DYNAMIC: u32 = 6;
const DT_NEEDED: u64 = 1;

fn names(elf: &[u8]) -> Option<Vec<String>> {
    if elf.get(..6)? != b"\x7fELF\x02\x01" {
        return None;
    }
    let table = usize::try_from(quad(elf, 0x28)?).ok()?;
    let size = usize::from(half(elf, 0x3a)?);
    let count = usize::from(half(elf, 0x3c)?);
    let section = |n: usize| elf.get(table + n * size..table + (n + 1) * size);
    let dynamic = (0..count)
        .filter_map(section)
        .find(|s| word(s, 4) == Some(SHT_DYNAMIC))?;
    let body = contents(elf, dynamic)?;
    // sh_link of the dynamic section is the index of its string table.
    let strings = contents(elf, section(usize::try_from(word(dynamic, 0x28)?).ok()?)?)?;
    let mut out = Vec::new();
    for entry in body.chunks_exact(16) {
        if quad(entry, 0)? == DT_NEEDED {
            let rest = strings.get(usize::try_from(quad(entry, 8)?).ok()?..)?;
            let end = rest.iter().position(|&b| b == 0)?;
            out.push(String::from_utf8_lossy(&rest[..end]).into_owned());
        }
    }
    Some(out)
}

fn contents<'a>(elf: &'a [u8], section: &[u8]) -> Option<&'a [u8]> {
    let offset = usize::try_from(quad(section, 0x18)?).ok()?;
    let size = usize::try_from(quad(section, 0x20)?).ok()?;
    elf.get(offset..offset.checked_add(size)?)
}

fn half(data: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(data.get(at..at + 2)?.try_into().ok()?))
}

fn word(data: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(data.get(at..at + 4)?.try_into().ok()?))
}

fn quad(data: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(data.get(at..at + 8)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_test_needs_a_c_library_and_a_text_needs_nothing() {
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert!(needed_of(&own).iter().any(|name| name.starts_with("libc.")));
        assert!(needed_of(b"#!/bin/sh\nexit 0\n").is_empty());
        // Cut anywhere it may say nothing, it must not panic.
        for length in [0, 5, 63, 64, 1000, own.len() / 2] {
            let _ = needed_of(&own[..length]);
        }
    }
}
