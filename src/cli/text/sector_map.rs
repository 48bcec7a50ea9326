//! A map of the flash: one glyph per cell, 64 cells a row, each row with its address.

use crate::cli::page::{Colour, Page};
use crate::flash::{SectorAction, SectorMap};

const ROW: usize = 64;

/// Action of a cell, its glyph, its colour, and what it means.
const LEGEND: [(SectorAction, char, Colour, &str); 6] = [
    (SectorAction::Keep, '=', Colour::Green, "kept (already equal)"),
    (SectorAction::Write, 'w', Colour::Yellow, "blank, written"),
    (SectorAction::EraseWrite, 'W', Colour::Red, "erased and written"),
    (SectorAction::Erase, 'e', Colour::Magenta, "erased"),
    (SectorAction::Outside, '.', Colour::Grey, "not part of the job"),
    (SectorAction::Protected, '#', Colour::Cyan, "in use, never erased"),
];

/// Equal rows are drawn as well: a flash of 4 MiB has 16 rows.
pub(super) fn draw(map: &SectorMap, colours: bool) -> Page {
    let mut out = Page::default();
    for (number, row) in map.cells.chunks(ROW).enumerate() {
        let at = (number * ROW) as u64 * u64::from(map.cell);
        out.part(format_args!("  0x{at:06x}  "));
        let entries =
            row.iter().filter_map(|cell| LEGEND.iter().find(|(action, ..)| action == cell));
        let entries: Vec<_> = entries.collect();
        for run in entries.chunk_by(|a, b| a.2 == b.2) {
            let glyphs: String = run.iter().map(|(_, c, ..)| *c).collect();
            out.coloured(run.first().map(|(.., colour, _)| *colour).filter(|_| colours), &glyphs);
        }
        out.push_str("\n");
    }
    for (action, c, colour, meaning) in LEGEND {
        let count = map.cells.iter().filter(|c| **c == action).count();
        if count == 0 {
            continue;
        }
        let size = super::figures::kib(count as u64 * u64::from(map.cell));
        out.part("  ");
        out.coloured(colours.then_some(colour), &c.to_string());
        out.line(format_args!(" {meaning}: {size}"));
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
        let page = draw(&map(), false);
        let text = page.as_str();
        let rows: Vec<&str> = text.lines().collect();
        assert_eq!(rows[0], format!("  0x000000  W={}", ".".repeat(62)));
        assert_eq!(rows[1], format!("  0x040000  {}", ".".repeat(64)));
        assert_eq!(rows[2], "  0x080000  .#");
        assert!(text.contains("  W erased and written: 4 KiB\n"), "{text}");
        assert!(!text.contains("blank, written"), "{text}");
    }

    #[test]
    fn colours_are_used_only_on_request() {
        assert!(!draw(&map(), false).as_str().contains('\x1b'));
        let coloured = draw(&map(), true);
        assert_eq!(coloured.as_str().matches("\x1b[0m\n").count(), 3);
    }
}
