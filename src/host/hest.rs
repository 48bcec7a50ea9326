//! The ACPI table HEST (hardware error source table): whether the firmware handles errors of PCIe
//! devices first.
//!
//! Layout: ACPI specification, "ACPI Platform Error Interfaces"; kernel include/acpi/actbl1.h,
//! lengths as in drivers/acpi/apei/hest.c.

/// Header of every ACPI table, then the number of sources.
const COUNT: usize = 36;
const FIRST: usize = 40;
/// An error bank of a machine check source.
const BANK: usize = 28;
/// AER of root ports, of endpoints, of bridges.
const AER: [u16; 3] = [6, 7, 8];
const FIRMWARE_FIRST: u8 = 1;

/// Whether the firmware handles the errors of any PCIe error source (AER) first. What cannot be
/// parsed ends the table.
pub(super) fn firmware_first(table: &[u8]) -> bool {
    any_firmware_first(table).unwrap_or(false)
}

fn any_firmware_first(table: &[u8]) -> Option<bool> {
    let mut source = table.starts_with(b"HEST").then_some(table)?.get(FIRST..)?;
    for _ in 0..u32::from_le_bytes(*table.get(COUNT..)?.first_chunk()?) {
        let kind = u16::from_le_bytes(*source.first_chunk()?);
        if AER.contains(&kind) && source.get(6)? & FIRMWARE_FIRST != 0 {
            return Some(true);
        }
        source = source.get(length(kind, source)?..)?;
    }
    Some(false)
}

/// Length of a source; `None` for an unknown kind.
fn length(kind: u16, source: &[u8]) -> Option<usize> {
    let banks = |at: usize| Some(BANK * usize::from(*source.get(at)?));
    Some(match kind {
        // Machine check; corrected and deferred machine check: with error banks.
        0 => 40 + banks(32)?,
        1 | 11 => 48 + banks(44)?,
        // Non-maskable interrupt.
        2 => 20,
        6 => 48,
        7 => 44,
        8 => 56,
        // Generic hardware error source, and its second version.
        9 => 64,
        10 => 92,
        _ => return None,
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A source of this kind and length, with these flags.
    fn source(kind: u16, length: usize, flags: u8) -> Vec<u8> {
        let mut bytes = vec![0; length];
        bytes[..2].copy_from_slice(&kind.to_le_bytes());
        bytes[6] = flags;
        bytes
    }

    fn table(sources: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = b"HEST".to_vec();
        bytes.resize(COUNT, 0);
        bytes.extend((sources.len() as u32).to_le_bytes());
        bytes.extend(sources.concat());
        bytes
    }

    /// A table whose only source is AER of bridges.
    pub(in crate::host) fn aer_table(firmware_first: bool) -> Vec<u8> {
        table(&[source(8, 56, u8::from(firmware_first))])
    }

    /// A machine check source with two banks.
    fn machine_check(kind: u16, length: usize, banks_at: usize) -> Vec<u8> {
        let mut bytes = source(kind, length + 2 * BANK, 1);
        bytes[banks_at] = 2;
        bytes
    }

    #[test]
    fn pcie_sources_are_found_after_all_other_kinds() {
        let others = [
            machine_check(0, 40, 32),
            machine_check(1, 48, 44),
            machine_check(11, 48, 44),
            source(2, 20, 1),
            source(9, 64, 1),
            source(10, 92, 1),
        ];
        assert!(!firmware_first(&table(&others)), "none is of PCIe");
        for (kind, length) in [(6, 48), (7, 44), (8, 56)] {
            let with = |flags| {
                let mut sources = others.to_vec();
                // A global source that the firmware does not handle comes before it.
                sources.push(source(kind, length, 2));
                sources.push(source(kind, length, flags));
                firmware_first(&table(&sources))
            };
            assert!(with(3), "kind {kind}");
            assert!(!with(2), "kind {kind}");
        }
    }

    #[test]
    fn an_unknown_source_ends_the_table() {
        let sources = [source(12, 16, 0), source(8, 56, 1)];
        assert!(!firmware_first(&table(&sources)));
        assert!(!firmware_first(b"DMAR"));
        assert!(!firmware_first(&table(&[])));
    }

    proptest! {
        #[test]
        fn any_table_is_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut bytes = [&table(&[])[..COUNT], &bytes].concat();
            let _ = firmware_first(&bytes);
            bytes.truncate(COUNT);
            prop_assert!(!firmware_first(&bytes));
        }
    }
}
