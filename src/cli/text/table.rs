//! A table with a header, and lines of detail below its rows.

use crate::cli::page::Page;
use crate::escape;

/// Columns between two columns of a table.
const GAP: usize = 2;
/// Indentation of a line of detail.
const INDENT: &str = "    ";
/// Columns of a line of detail, where its words allow that.
const WIDTH: usize = 80;

/// Columns as wide as their widest cell; the last one is not padded.
pub(super) struct Table<const N: usize> {
    header: [&'static str; N],
    rows: Vec<([String; N], Vec<String>)>,
}

impl<const N: usize> Table<N> {
    pub(super) fn new(header: [&'static str; N]) -> Self {
        Self { header, rows: Vec::new() }
    }

    /// A row, and the lines of detail below it. An empty cell is shown as `-`.
    pub(super) fn row(&mut self, cells: [String; N], details: Vec<String>) {
        let cell = |cell: String| match cell.is_empty() {
            true => "-".to_owned(),
            false => escape::line(&cell).into_owned(),
        };
        self.rows.push((cells.map(cell), details));
    }

    pub(super) fn page(&self) -> Page {
        let width = |column: usize| {
            let cells = self.rows.iter().map(|(cells, _)| cells[column].chars().count());
            cells.chain([self.header[column].len()]).max().unwrap_or_default()
        };
        let widths: Vec<usize> = (0..N).map(width).collect();
        let line = |cells: [&str; N]| {
            let mut line = String::new();
            for (cell, width) in cells.into_iter().zip(&widths) {
                line.push_str(&format!("{cell:width$}", width = width + GAP));
            }
            line.trim_end().to_owned()
        };
        let mut page = Page::of(line(self.header));
        for (cells, details) in &self.rows {
            page.line(line(cells.each_ref().map(String::as_str)));
            for detail in details {
                let detail = escape::line(detail);
                broken(&detail).for_each(|line| page.line(format_args!("{INDENT}{line}")));
            }
        }
        page
    }
}

/// The lines of a text, broken at blanks.
fn broken(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let end = text.char_indices().nth(WIDTH - INDENT.len()).map(|(at, _)| at);
        let cut = end.and_then(|end| match text[end..].starts_with(' ') {
            true => Some(end),
            false => text[..end].rfind(' ').or_else(|| text.find(' ')),
        });
        let (line, left) = cut.map_or((text, None), |at| (&text[..at], Some(&text[at + 1..])));
        rest = left;
        Some(line)
    })
}

#[cfg(test)]
mod tests {
    use super::{Table, broken};

    #[test]
    fn a_detail_is_broken_at_blanks_and_a_word_is_not() {
        let word = "x".repeat(100);
        for (text, lines) in [
            ("a  b", vec!["a  b"]),
            (&format!("{word} b"), vec![&*word, "b"]),
            (&format!("{}{}", "ab ".repeat(26), "c"), vec!["ab ".repeat(25).trim_end(), "ab c"]),
            (&"\u{e4}".repeat(200), vec![&*"\u{e4}".repeat(200)]),
            (&format!("\u{e4} {word}"), vec!["\u{e4}", &*word]),
        ] {
            assert_eq!(broken(text).collect::<Vec<_>>(), lines);
        }
    }

    #[test]
    fn columns_are_as_wide_as_their_cells_and_text_of_others_stays_in_its_cell() {
        let mut table = Table::new(["A", "LONG", "C"]);
        table.row(["1".into(), "x".into(), "end".into()], vec!["why it is".into()]);
        table.row(["123456".into(), String::new(), "a\nb".into()], Vec::new());
        let expected = "A       LONG  C\n1       x     end\n    why it is\n123456  -     a\\nb\n";
        assert_eq!(table.page().as_str(), expected);
    }
}
