//! A manual page in the language of man(7).

use roff::{Inline, Roff, bold, roman};

/// A page; what is between backquotes in a text is bold.
pub(super) struct Sheet {
    roff: Roff,
    /// Nothing stands between the heading and the next paragraph.
    at_heading: bool,
}

impl Sheet {
    pub(super) fn new(name: &str, date: &str) -> Self {
        let mut roff = Roff::new();
        let source = concat!("cx3flash ", env!("CARGO_PKG_VERSION"));
        roff.control("TH", [&*name.to_uppercase(), "1", date, source, "User Commands"]);
        Self { roff, at_heading: true }
    }

    pub(super) fn section(&mut self, heading: &str) {
        self.roff.control("SH", [heading]);
        self.at_heading = true;
    }

    pub(super) fn subsection(&mut self, heading: &str) {
        self.roff.control("SS", [heading]);
        self.at_heading = true;
    }

    /// One line of text.
    pub(super) fn line(&mut self, line: impl Into<Vec<Inline>>) {
        self.roff.text(line.into());
        self.at_heading = false;
    }

    /// Paragraphs, with an empty line between them.
    pub(super) fn paragraphs(&mut self, text: &str) {
        for paragraph in text.split("\n\n") {
            if !self.at_heading {
                self.roff.control("PP", []);
            }
            self.line(marked(&sentence(paragraph)));
        }
    }

    /// A term and what it means.
    pub(super) fn item(&mut self, term: impl Into<Vec<Inline>>, text: &str) {
        self.roff.control("TP", []);
        self.roff.text(term.into());
        let mut paragraphs = text.split("\n\n");
        self.roff.text(marked(&sentence(paragraphs.next().unwrap_or_default())));
        for paragraph in paragraphs {
            self.roff.control("IP", []);
            self.roff.text(marked(&sentence(paragraph)));
        }
        self.at_heading = false;
    }

    /// What `inside` adds is part of the item before.
    pub(super) fn indented(&mut self, inside: impl FnOnce(&mut Self)) {
        self.roff.control("RS", []);
        inside(self);
        self.roff.control("RE", []);
    }

    /// Lines as they are, but for blanks that all begin with.
    pub(super) fn verbatim(&mut self, text: &str) {
        if !self.at_heading {
            self.roff.control("PP", []);
        }
        self.roff.control("nf", []);
        let blanks = |line: &str| line.len() - line.trim_start().len();
        let lines = || text.trim_end().lines().filter(|line| !line.is_empty());
        let common = lines().map(blanks).min().unwrap_or_default();
        for line in text.trim_end().lines() {
            self.roff.text([roman(line.get(common..).unwrap_or_default())]);
        }
        self.roff.control("fi", []);
        self.at_heading = false;
    }

    pub(super) fn render(&self) -> String {
        self.roff.render()
    }
}

/// Text in which what is between backquotes is bold.
pub(super) fn marked(text: &str) -> Vec<Inline> {
    let inlines = text.split('`').enumerate().filter(|(_, part)| !part.is_empty());
    inlines.map(|(n, part)| if n % 2 == 1 { bold(part) } else { roman(part) }).collect()
}

/// In one line, with a full stop: help texts have none.
fn sentence(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.is_empty() || text.ends_with(['.', ':', '?', '!']) { text } else { text + "." }
}

#[cfg(test)]
mod tests {
    use super::Sheet;

    #[test]
    fn no_text_is_a_request_of_roff() {
        let mut sheet = Sheet::new("cx3flash-x", "2026-11-27");
        sheet.section("EXAMPLES");
        sheet.paragraphs(".SH `.PP`\n\n'br\n.so it's\\fB");
        sheet.item(super::marked("`.x`"), "-a\n.PP");
        sheet.verbatim(".TH\n  'x");
        let page = sheet.render();
        let requests = page.lines().skip(2).filter(|line| line.starts_with(['.', '\'']));
        let requests: Vec<&str> = requests.collect();
        let expected = [
            ".TH CX3FLASH-X 1 2026-11-27 \"cx3flash 0.1.0\" \"User Commands\"",
            ".SH EXAMPLES",
            ".PP",
            ".TP",
            ".PP",
            ".nf",
            ".fi",
        ];
        assert_eq!(requests, expected, "{page}");
        assert!(page.contains(r"\\fB"), "{page}");
    }
}
