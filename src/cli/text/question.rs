//! What a person reads before a job that writes: the plan on one screen, and the question.

use super::figures::{shown, wrapped};
use super::plan::{flash_work, from_to, identity_table, interruption, is_identity};
use crate::cli::page::{Colour, Page};
use crate::image::Version;
use crate::job::{NvChange, ProtectQuestion, WriteJob};
use crate::plan::{Change, PlanReport};
use crate::words::counted;

/// Columns of a label and the blanks behind it.
const LABEL: usize = 10;
/// Fields with a line of their own, and their labels.
const LINES: [(&str, &str); 3] = [("fw_version", "firmware"), ("rom", "ROM"), ("psid", "PSID")];
/// Settings that a question lists; more are counted.
const SETTINGS: usize = 3;

/// The plan without what is as it should be.
pub(in crate::cli) fn summary(plan: &PlanReport, colours: bool) -> Page {
    let mut out = Page::default();
    let mut row = |label: &str, text: &str| wrapped(&mut out, text, &format!("{label:LABEL$}"));
    let passed = plan.checks.iter().filter(|check| check.ok).count();
    row("checks", &format!("{passed} ok (-v lists them)"));
    let table = identity_table(plan);
    let own_line = |field: &str| LINES.iter().find(|(name, _)| *name == field);
    for (field, label) in LINES {
        if let Some(change) = plan.changes.iter().find(|change| change.field == field) {
            row(label, &from_to(change));
        }
    }
    let listed = |field: &str| own_line(field).is_none() && !is_identity(field);
    let others = plan.changes.iter().filter(|change| listed(&change.field)).count();
    if others > 0 {
        row("also", &format!("{} of the image (-v lists them)", counted(others, "other field")));
    }
    let stays = |field: &str| own_line(field).is_some() || is_identity(field);
    if let Some(kept) = names(plan.kept.iter().map(|k| k.field.as_str()).filter(|f| stays(f))) {
        row("kept", &kept);
    }
    if let Some(boards) = &plan.crossflash {
        if let Some(ini) = &boards.ini {
            row(
                "ini",
                &format!("{} of it differ (`plan` lists them)", counted(ini.changes.len(), "key")),
            );
        }
        boards.notes.iter().for_each(|note| row("board", note));
    }
    if let Some(action) = &plan.action {
        // Where the card would not boot, a warning reports that in full.
        let cut = Some(interruption(action)).filter(|_| action.survives_interruption);
        row(
            "flash",
            &[Some(flash_work(action).as_str()), cut]
                .into_iter()
                .flatten()
                .collect::<Vec<_>>()
                .join("; "),
        );
    }
    if let Some(start) = &plan.start {
        row("start", &start.detail);
    }
    if let Some(table) = &table {
        out.append(table);
        out.push_str("\n");
    }
    plan.warnings.iter().for_each(|warning| wrapped(&mut out, warning, "! "));
    for line in loudest(plan) {
        out.coloured(colours.then_some(Colour::Red), &line);
        out.push_str("\n");
    }
    out
}

fn names<'a>(fields: impl Iterator<Item = &'a str>) -> Option<String> {
    let name = |field: &str| match field {
        "guids" | "macs" => field.to_uppercase().replace('S', "s"),
        "vsd" | "psid" | "rom" => field.to_uppercase(),
        "fw_version" => "firmware".to_owned(),
        field => field.to_owned(),
    };
    let names: Vec<String> = fields.map(name).collect();
    (!names.is_empty()).then(|| names.join(", "))
}

/// What must not be missed: the last lines above the question.
fn loudest(plan: &PlanReport) -> Vec<String> {
    let mut out = Vec::new();
    if let Some((from, to)) = other_psid(plan) {
        out.push(format!("!!! THE PSID CHANGES: {from} becomes {to}, another board"));
    }
    if let Some((from, to)) = downgrade(plan) {
        out.push(format!("!!! DOWNGRADE: {to} is older than {from}"));
    }
    out
}

fn other_psid(plan: &PlanReport) -> Option<(String, String)> {
    let (from, to) = (plan.from_psid.as_ref()?, plan.to_psid.as_ref()?);
    (from != to).then(|| (shown(from.as_str()), shown(to.as_str())))
}

fn downgrade(plan: &PlanReport) -> Option<(Version, Version)> {
    plan.from_version.zip(plan.to_version).filter(|(from, to)| from > to)
}

/// The question of a job that writes; `card` names the card and its board, `running` is what runs on it.
pub(in crate::cli) fn question(
    job: WriteJob,
    plan: &PlanReport,
    card: &str,
    running: Option<Version>,
) -> String {
    let from = plan.from_version.or(running);
    let on_it = from.map_or_else(|| "the image".to_owned(), |from| from.to_string());
    let over = from.map_or_else(String::new, |from| format!(" over {from}"));
    let new = plan.to_version.map_or_else(|| "the image".to_owned(), |to| to.to_string());
    let change = plan.changes.iter().find(|change| change.field == "rom");
    let rom = |side: fn(&Change) -> Option<&String>| {
        change
            .and_then(side)
            .map_or_else(|| "the ROM".to_owned(), |rom| format!("ROM {}", shown(rom)))
    };
    let psid = other_psid(plan);
    let psid = psid.map_or_else(String::new, |(from, to)| {
        format!(", and change its PSID from {from} to {to}")
    });
    match job {
        WriteJob::Burn => format!("Write {new}{over} to {card}{psid}?"),
        WriteJob::Restore => format!("Restore the backup of {new}{over} to {card}{psid}?"),
        WriteJob::Recover => format!("Recover {card} with {new}?"),
        WriteJob::IdentitySet => format!("Write this identity into {on_it} on {card}?"),
        WriteJob::RomWrite => format!("Write {} into {on_it} on {card}?", rom(|c| c.to.as_ref())),
        WriteJob::RomRemove => {
            format!("Remove {} from {on_it} on {card}?", rom(|c| c.from.as_ref()))
        }
        WriteJob::ConfigReset => {
            format!("Erase the stored settings of {card}{}?", running_on(running))
        }
    }
}

/// The question of `config set`.
pub(in crate::cli) fn settings_question(
    changes: &[NvChange],
    card: &str,
    running: Option<Version>,
) -> String {
    let list = changes.iter().map(|change| format!("{}={}", change.name, change.to_text));
    let what = match changes.len() {
        0..=SETTINGS => list.collect::<Vec<_>>().join(" "),
        many => format!("these {many} settings"),
    };
    format!("Store {what} on {card}{}?", running_on(running))
}

/// The question of `flash protect`.
pub(in crate::cli) fn protect_question(
    question: &ProtectQuestion,
    card: &str,
    running: Option<Version>,
) -> String {
    let runs = running_on(running);
    match &question.wanted {
        None => format!("Clear the write protection of the flash of {card}{runs}?"),
        Some(range) => format!(
            "Write protect 0x{:x}..0x{:x} of the flash of {card}{runs}?",
            range.start, range.end
        ),
    }
}

/// The question of `unlock`.
pub(in crate::cli) fn unlock_question(card: &str, running: Option<Version>) -> String {
    format!("Free the semaphores of {card}{}?", running_on(running))
}

fn running_on(running: Option<Version>) -> String {
    running.map_or_else(String::new, |version| format!(", which runs {version}"))
}

#[cfg(test)]
mod tests {
    use super::{question, summary};
    use crate::image::Version;
    use crate::job::WriteJob;
    use crate::plan::{Change, PlanReport};

    fn plan(from: &str, to: &str) -> PlanReport {
        let version = |text: &str| text.parse::<Version>().ok();
        let psid = |text: &str| Some(text.to_owned().into());
        PlanReport {
            from_version: version(from),
            to_version: version(to),
            from_psid: psid("MT_1"),
            to_psid: psid("MT_1"),
            ..PlanReport::default()
        }
    }

    #[test]
    fn every_question_names_the_job_the_card_and_the_version() {
        let rom = |from: Option<&str>, to: Option<&str>| Change {
            field: "rom".into(),
            from: from.map(str::to_owned),
            to: to.map(str::to_owned),
        };
        let mut roms = plan("2.35.5100", "2.35.5100");
        roms.changes.push(rom(Some("PXE 3.4.1"), Some("PXE 3.4.2")));
        for (job, plan, wanted) in [
            (
                WriteJob::Burn,
                plan("2.35.5100", "2.42.5000"),
                "Write 2.42.5000 over 2.35.5100 to CARD?",
            ),
            (WriteJob::Burn, plan("", "2.42.5000"), "Write 2.42.5000 to CARD?"),
            (
                WriteJob::Restore,
                plan("2.42.5000", "2.35.5100"),
                "Restore the backup of 2.35.5100 over 2.42.5000 to CARD?",
            ),
            (WriteJob::Recover, plan("", "2.42.5000"), "Recover CARD with 2.42.5000?"),
            (
                WriteJob::IdentitySet,
                plan("2.35.5100", ""),
                "Write this identity into 2.35.5100 on CARD?",
            ),
            (WriteJob::RomWrite, roms.clone(), "Write ROM PXE 3.4.2 into 2.35.5100 on CARD?"),
            (WriteJob::RomRemove, roms, "Remove ROM PXE 3.4.1 from 2.35.5100 on CARD?"),
        ] {
            assert_eq!(question(job, &plan, "CARD", None), wanted);
        }
        let running = "2.35.5100".parse().ok();
        assert_eq!(
            question(WriteJob::ConfigReset, &PlanReport::default(), "CARD", running),
            "Erase the stored settings of CARD, which runs 2.35.5100?"
        );
    }

    #[test]
    fn a_change_of_psid_and_a_downgrade_are_the_last_lines_in_capitals() {
        let mut both = plan("2.42.5000", "2.35.5100");
        both.to_psid = Some("OEM_1".to_owned().into());
        both.warnings.push("a warning".into());
        let text = summary(&both, false);
        assert!(
            text.as_str().ends_with(
                "!!! THE PSID CHANGES: MT_1 becomes OEM_1, another board\n!!! DOWNGRADE: 2.35.5100 is older than 2.42.5000\n"
            ),
            "{}",
            text.as_str()
        );
        assert!(summary(&both, true).as_str().contains("\x1b[31m!!! DOWNGRADE"));
        let asked = question(WriteJob::Burn, &both, "CARD", None);
        assert_eq!(
            asked,
            "Write 2.35.5100 over 2.42.5000 to CARD, and change its PSID from MT_1 to OEM_1?"
        );
        assert!(!summary(&plan("2.35.5100", "2.42.5000"), false).as_str().contains("!!!"));
    }
}
