//! Outcomes as people read them.

mod crossflash;
mod identity;
mod plan;
mod query;
mod verify;
mod write;

pub(super) use plan::{plan, plan_full};
pub(super) use query::{card_line, flash_line, query};
pub(super) use verify::{against, unsteady, verify};
pub(super) use write::{running, written};

use crate::image::{Finding, Half, Severity};
use std::fmt::Write as _;

/// Column at which values start, as flint's.
const COLUMN: usize = 23;

fn line(out: &mut String, label: &str, value: &str) {
    let _ = writeln!(out, "{label:COLUMN$}{value}");
}

pub(super) fn half_name(half: Half) -> &'static str {
    match half {
        Half::Even => "even half",
        Half::Odd => "odd half",
    }
}

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Note => "note",
        Severity::Warning => "warning",
        Severity::Error => "error",
    }
}

/// One line per finding.
fn findings(out: &mut String, findings: &[Finding]) {
    for finding in findings {
        let place = finding
            .at
            .map(|at| format!(" at 0x{:08x}", at.0))
            .unwrap_or_default();
        let _ = writeln!(
            out,
            "  {:8} {}{place}: {}",
            severity(finding.severity),
            super::names::of(&finding.id),
            crate::job::one_line(&finding.detail),
        );
    }
}
