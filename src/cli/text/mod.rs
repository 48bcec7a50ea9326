//! Outcomes as text for people.

mod crossflash;
mod figures;
mod images;
mod list;
mod plan;
mod query;
mod question;
mod sector_map;
mod selftest;
mod table;
mod verify;
mod write;

pub(super) use figures::{kib, name_of, time};
pub(super) use images::{choice, images};
pub(super) use list::{checks, list};
pub(super) use plan::plan;
pub(super) use query::{card_line, flash_line, query};
pub(super) use question::{
    protect_question, question, settings_question, summary, unlock_question,
};
pub(super) use selftest::{selftest, selftest_plan};
pub(super) use verify::{against, unsteady, verify};
pub(super) use write::{command_for, running, written};
