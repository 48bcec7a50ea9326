//! The hermetic suite: no card, no root, no network. Tests of one subject are one module.
//!
//! Modules that start the program need a build that takes `CX3FLASH_ROOT`, or they would meet the real host.

// clippy recognizes tests by their attribute; their helpers are the same kind of code.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    unreachable_pub,
    reason = "a panic is the report of a test"
)]
#![cfg_attr(
    not(debug_assertions),
    allow(dead_code, reason = "helpers of the modules that are left out")
)]

mod build_script;
mod campaign;
#[cfg(debug_assertions)]
mod cli_advice;
#[cfg(debug_assertions)]
mod cli_all;
#[cfg(debug_assertions)]
mod cli_archive;
#[cfg(debug_assertions)]
mod cli_bad_input;
#[cfg(debug_assertions)]
mod cli_bad_parts;
#[cfg(debug_assertions)]
mod cli_complete;
#[cfg(debug_assertions)]
mod cli_crossflash;
#[cfg(debug_assertions)]
mod cli_demo;
#[cfg(debug_assertions)]
mod cli_doctor;
#[cfg(debug_assertions)]
mod cli_expect;
#[cfg(debug_assertions)]
mod cli_files;
mod cli_flint_text;
#[cfg(debug_assertions)]
mod cli_forms;
#[cfg(debug_assertions)]
mod cli_golden;
#[cfg(debug_assertions)]
mod cli_hints;
#[cfg(debug_assertions)]
mod cli_host;
#[cfg(debug_assertions)]
mod cli_hostile_text;
#[cfg(debug_assertions)]
mod cli_identity;
#[cfg(debug_assertions)]
mod cli_images;
#[cfg(debug_assertions)]
mod cli_journal;
#[cfg(debug_assertions)]
mod cli_json;
#[cfg(debug_assertions)]
mod cli_list;
#[cfg(debug_assertions)]
mod cli_locked;
#[cfg(debug_assertions)]
mod cli_man;
#[cfg(debug_assertions)]
mod cli_modes;
#[cfg(debug_assertions)]
mod cli_nvconfig;
#[cfg(debug_assertions)]
mod cli_older;
#[cfg(debug_assertions)]
mod cli_outcome;
#[cfg(debug_assertions)]
mod cli_question;
#[cfg(debug_assertions)]
mod cli_readme;
#[cfg(debug_assertions)]
mod cli_report;
#[cfg(debug_assertions)]
mod cli_roms;
#[cfg(debug_assertions)]
mod cli_selftest;
#[cfg(debug_assertions)]
mod cli_silicon;
#[cfg(debug_assertions)]
mod cli_size_word;
#[cfg(debug_assertions)]
mod cli_story;
#[cfg(debug_assertions)]
mod cli_streams;
#[cfg(debug_assertions)]
mod cli_usage;
mod disturbed;
mod documents;
mod flash_chains;
mod flash_cost;
mod flash_erase;
mod flash_open;
mod flash_order;
mod flash_readings;
mod flash_session;
mod flash_shapes;
#[cfg(debug_assertions)]
mod flint_card;
#[cfg(debug_assertions)]
mod flint_files;
mod flint_lines;
#[cfg(debug_assertions)]
mod flint_promises;
#[cfg(debug_assertions)]
mod links;
mod modules;
#[cfg(debug_assertions)]
mod owner_story;
mod readiness;
mod sectors;
#[cfg(debug_assertions)]
mod serve;
mod shape;
mod support;
mod sweep;
#[cfg(debug_assertions)]
mod traces;
mod two_boot_roms;
mod vfio_setup;
mod witness;
mod witness_mstconfig;
