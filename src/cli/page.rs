//! Text for people on its way to a terminal.

use crate::escape;
use std::fmt;

/// Lines of text. Whatever is formatted into a line stays inside it and is text only: line ends and
/// colours are put in here, never found in a value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Page(String);

/// A colour of a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Colour {
    Red = 31,
    Green = 32,
    Yellow = 33,
    Magenta = 35,
    Cyan = 36,
    Grey = 90,
}

impl Page {
    /// One line and its end.
    pub(super) fn of(line: impl fmt::Display) -> Self {
        let mut page = Self::default();
        page.line(line);
        page
    }

    /// A line and its end.
    pub(super) fn line(&mut self, line: impl fmt::Display) {
        self.part(line);
        self.0.push('\n');
    }

    /// A part of a line.
    pub(super) fn part(&mut self, part: impl fmt::Display) {
        self.0.push_str(&escape::line(&part.to_string()));
    }

    /// Text of this program, with its line ends.
    pub(super) fn push_str(&mut self, ours: &'static str) {
        self.0.push_str(ours);
    }

    /// Several lines, whose values are escaped already or which are to be shown as they are; line ends and
    /// tabs stay.
    pub(super) fn lines(&mut self, text: &str) {
        self.0.push_str(&escape::lines(text));
    }

    pub(super) fn append(&mut self, other: &Self) {
        self.0.push_str(&other.0);
    }

    /// A part of a line in a colour, or without one.
    pub(super) fn coloured(&mut self, colour: Option<Colour>, text: &str) {
        let Some(colour) = colour else {
            return self.part(text);
        };
        self.0.push_str(&format!("\x1b[{}m{}\x1b[0m", colour as u8, escape::line(text)));
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl<T: fmt::Display> FromIterator<T> for Page {
    /// A line for each.
    fn from_iter<I: IntoIterator<Item = T>>(lines: I) -> Self {
        let mut page = Self::default();
        lines.into_iter().for_each(|line| page.line(line));
        page
    }
}

#[cfg(test)]
mod tests {
    use super::{Colour, Page};

    #[test]
    fn a_value_does_not_end_its_line_or_colour_it() {
        let mut page = Page::of("a\nerror: b");
        page.part("\x1b[8m\n");
        page.coloured(Some(Colour::Red), "c\x1b[0m");
        assert_eq!(page.as_str(), "a\\nerror: b\n\\x1b[8m\\n\x1b[31mc\\x1b[0m\x1b[0m");
    }
}
