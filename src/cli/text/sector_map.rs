//! A map of the flash: one glyph per cell, 64 cells a row, each row with its address.

use crate::flash::{SectorAction, SectorMap};
use std::fmt::Write as _;

const ROW: usize = 64;

/// Action of a cell, its glyph, its SGR colour, and what it means.
const LEGEND: [(SectorAction, char, &str, &str); 6] = [
    (SectorAction::Keep, '=', "32", "kept (already equal)"),
    (SectorAction::Write, 'w', "33", "blank, written"),
    (SectorAction::EraseWrite, 'W', "31", "erased and written"),
    (SectorAction::Erase, 'e', "35", "erased"),
    (SectorAction::Outside, '.', "90", "not part of the job"),
    (SectorAction::Protected, '#', "36", "in use, never erased"),
];

/// Equal rows are drawn as well: a flash of 4 MiB has 16 rows.
pub(super) fn draw(map: &SectorMap, colours: bool) -> String {
    let mut out = String::new();
    for (number, row) in map.cells.chunks(ROW).enumerate() {
        let at = (number * ROW) as u64 * u64::from(map.cell);
        let _ = write!(out, "  0x{at:06x}  ");
        let mut last = "";
        let entries =
            row.iter().filter_map(|cell| LEGEND.iter().find(|(action, ..)| action == cell));
        for (_, c, colour, _) in entries {
            if colours && *colour != last {
                let _ = write!(out, "\x1b[{colour}m");
                last = colour;
            }
            out.push(*c);
        }
        out.push_str(if colours { "\x1b[0m\n" } else { "\n" });
    }
    for (action, c, colour, meaning) in LEGEND {
        let count = map.cells.iter().filter(|c| **c == action).count();
        if count == 0 {
            continue;
        }
        let size = super::figures::kib(count as u64 * u64::from(map.cell));
        if colours {
            let _ = writeln!(out, "  \x1b[{colour}m{c}\x1b[0m {meaning}: {size}");
        } else {
            let _ = writeln!(out, "  {c} {meaning}: {size}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::draw;
    use crate::flash::{SectorAction, SectorMap};

    fn map() -> SectorMap {
        let mut cells = vec![SectorAction::Outside; 130];
        cells[0] = SectorAction::EraseWrite;
        cells[1] = SectorAction::Keep;
        cells[129] = SectorAction::Protected;
        SectorMap { cell: 0x1000, cells }
    }

    #[test]
    fn each_cell_is_drawn_at_its_address() {
        let text = draw(&map(), false);
        let rows: Vec<&str> = text.lines().collect();
        assert_eq!(rows[0], format!("  0x000000  W={}", ".".repeat(62)));
        assert_eq!(rows[1], format!("  0x040000  {}", ".".repeat(64)));
        assert_eq!(rows[2], "  0x080000  .#");
        assert!(text.contains("  W erased and written: 4 KiB\n"), "{text}");
        assert!(!text.contains("blank, written"), "{text}");
    }

    #[test]
    fn colours_are_used_only_on_request() {
        assert!(!draw(&map(), false).contains('\x1b'));
        let coloured = draw(&map(), true);
        assert_eq!(coloured.matches("\x1b[0m\n").count(), 3);
    }
}
