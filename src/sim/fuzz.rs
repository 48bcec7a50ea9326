//! Card files driven by bytes, for the fuzz target `card_file`.

use super::SimCard;
use super::file::{SLOT_LEN, SLOTS_AT, head as valid_head, record};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Bytes of the head a file of the corpus begins with.
const HEAD: usize = 28;
/// Largest flash of a simulated card.
const LARGEST: u32 = 16 << 20;

/// A card file in short form: the head, then the two slots, each a length (u16, little-endian) and so
/// many bytes. With bit 0 of the first byte behind them the slots are JSON, for which valid records
/// are made; with bit 1 the head is valid for the flash size it has.
pub(crate) fn open(data: &[u8], path: &Path) {
    let Some((head, mut rest)) = data.split_first_chunk::<HEAD>() else {
        std::fs::write(path, data).expect("file");
        assert!(SimCard::open(path).is_err());
        return;
    };
    let mut slots = Vec::new();
    for _ in 0..2 {
        let Some(([low, high], after)) = rest.split_first_chunk() else {
            break;
        };
        let len = usize::from(u16::from_le_bytes([*low, *high])).min(after.len());
        let (slot, after) = after.split_at(len);
        slots.push(slot);
        rest = after;
    }
    let flags = rest.first().copied().unwrap_or(0);
    let size = u32::from_le_bytes([head[20], head[21], head[22], head[23]]);
    let head = if flags & 2 != 0 { valid_head(size) } else { *head };
    let file = File::create(path).expect("file");
    file.set_len(65536 + u64::from(size.min(LARGEST))).expect("size");
    file.write_all_at(&head, 0).expect("head");
    for (n, slot) in slots.iter().enumerate() {
        let made = record(n as u64 + 1, slot).filter(|_| flags & 1 != 0);
        let bytes = made.unwrap_or_else(|| slot[..slot.len().min(SLOT_LEN)].to_vec());
        file.write_all_at(&bytes, SLOTS_AT[n]).expect("slot");
    }
    drop(file);
    let Ok(card) = SimCard::open(path) else {
        return;
    };
    // What opens is a card: it is saved as it is, and works.
    let (spec, faults, running) = (card.spec(), card.faults(), card.running());
    let flash = card.flash();
    assert_eq!(flash.len(), spec.chip.size() as usize);
    drop(card);
    let card = SimCard::open(path).expect("a card that was saved");
    assert_eq!((card.spec(), card.faults(), card.running()), (spec, faults, running));
    assert!(card.flash() == flash);
    for at in [0xF0014, 0xF03FC, 0x41270, 0xF0400] {
        let _ = card.bar0().read(crate::card::CrOffset(at));
    }
    card.power_cycle();
    let hung = matches!(card.running(), crate::sim::BootOutcome::Hung { .. });
    assert!(hung || card.running() == card.boot_outcome());
}
