//! What flint printed, as structures.

/// One line of the section table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyLine {
    /// The place between slashes as printed: `0x00000038-0x0000065b (0x000624)`.
    pub range: String,
    /// Section name.
    pub name: String,
    /// What follows the name: `OK`, `wrong CRC (exp:0x1, act:0x2)`.
    pub verdict: String,
}

/// How `verify` ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VerifyEnd {
    /// "FW image verification succeeded."
    Bootable,
    /// "FW image verification failed: TEXT. AN HCA DEVICE …"
    Failed(String),
    /// "Failed to get Guids status. TEXT"
    NoGuidStatus(String),
    /// "BLANK GUIDS"
    BlankGuids,
    /// "Cannot open Image: FILE. TEXT"
    CannotOpen(String),
}

/// The complete output of `verify`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyText {
    /// `None` = non-failsafe; start address and chunk size otherwise. No heading at all is the
    /// outer `None`.
    pub heading: Option<Option<(u32, u32)>>,
    /// The table, full image line last.
    pub lines: Vec<VerifyLine>,
    /// Other lines: what stopped the walk.
    pub notes: Vec<String>,
    /// How it ended.
    pub end: VerifyEnd,
    /// Exit code.
    pub code: i32,
}

/// Read the output of `verify`.
pub fn verify(text: &str, code: i32) -> Result<VerifyText, String> {
    let (table, end) = split_end(text).ok_or_else(|| format!("no verdict in {text:?}"))?;
    let mut heading = None;
    let mut lines = Vec::new();
    let mut notes = Vec::new();
    for line in table.lines().map(str::trim).filter(|l| !l.is_empty()) {
        if let Some(rest) = line.strip_prefix("FS2 failsafe image. Start address: ") {
            let (start, chunk) =
                rest.strip_suffix(':').and_then(|r| r.split_once(". Chunk size ")).ok_or(line)?;
            heading = Some(Some((hex(start)?, hex(chunk)?)));
        } else if line == "FS2 non failsafe image:" {
            heading = Some(None);
        } else if line.starts_with("NOTE: The addresses below")
            || line.starts_with("flash may be different")
        {
            // Belongs to the heading.
        } else if line.starts_with("/0x") {
            lines.push(table_line(line).ok_or(line)?);
        } else {
            notes.push(line.to_owned());
        }
    }
    Ok(VerifyText { heading, lines, notes, end, code })
}

/// What comes before the verdict, and the verdict. Its text may hold line ends and blanks of its
/// own, and is kept byte for byte.
fn split_end(text: &str) -> Option<(&str, VerifyEnd)> {
    const HCA: &str = ". AN HCA DEVICE CAN NOT BOOT FROM THIS IMAGE.";
    if let Some((table, rest)) = text.split_once("-E- Cannot open Image: ") {
        // A second verdict follows, about formats that are not ours (docs/flint.md#verdicts-of-verify).
        let (_, error) = rest.lines().next()?.split_once(". ")?;
        return Some((table, VerifyEnd::CannotOpen(error.to_owned())));
    }
    if let Some((table, rest)) = text.split_once("-E- FW image verification failed: ") {
        let (why, _) = rest.rsplit_once(HCA)?;
        let end = if why == "BLANK GUIDS" {
            VerifyEnd::BlankGuids
        } else {
            VerifyEnd::Failed(why.to_owned())
        };
        return Some((table, end));
    }
    if let Some((table, rest)) = text.split_once("-E- Failed to get Guids status. ") {
        let why = rest.strip_suffix('\n').unwrap_or(rest);
        return Some((table, VerifyEnd::NoGuidStatus(why.to_owned())));
    }
    let (table, _) = text.split_once("-I- FW image verification succeeded. Image is bootable.")?;
    Some((table, VerifyEnd::Bootable))
}

fn hex(text: &str) -> Result<u32, String> {
    u32::from_str_radix(text.trim_start_matches("0x"), 16).map_err(|e| format!("{text}: {e}"))
}

fn table_line(line: &str) -> Option<VerifyLine> {
    let rest = line.strip_prefix('/')?;
    let (range, rest) = rest.split_once("/ (")?;
    // The name may hold parentheses itself: `UNKNOWN (0)`.
    let (name, verdict) = match rest.split_once(") - ") {
        Some((name, verdict)) if !name.contains(") /") => (name, verdict.to_owned()),
        _ => {
            // `NAME) /0x00000038/ - wrong CRC …`: the address is the start of the block.
            let (name, verdict) = rest.split_once(") /")?;
            (name, format!("/{verdict}"))
        }
    };
    Some(VerifyLine { range: range.to_owned(), name: name.to_owned(), verdict })
}

/// The lines of `query full` as (label, value); texts that are no field have an empty label.
pub fn query(text: &str) -> Vec<(String, String)> {
    let mut fields: Vec<(String, String)> = Vec::new();
    for line in text.lines() {
        if line.trim().is_empty() {
            continue;
        }
        if line.starts_with("                       ") {
            // A further ROM.
            if let Some((_, value)) = fields.last_mut() {
                value.push('\n');
                let more: Vec<&str> = line.split_whitespace().collect();
                value.push_str(&more.join(" "));
            }
            continue;
        }
        let (line, glued) = match line.split_once("-W- ") {
            Some((field, warning)) if field.starts_with("GUIDs:") => (field, Some(warning)),
            _ => (line, None),
        };
        let field = line
            .split_once(':')
            .filter(|(label, _)| !label.starts_with('-') && !label.contains(". "));
        match field {
            Some((label, value)) => {
                let value = value.split_whitespace().collect::<Vec<_>>().join(" ");
                fields.push((label.to_owned(), value));
            }
            None => fields.push((String::new(), line.trim().to_owned())),
        }
        if let Some(warning) = glued {
            fields.push((String::new(), format!("-W- {}", warning.trim())));
        }
    }
    fields
}
