//! The hermetic suite: no card, no root, no network. Tests of one subject are one module.

// clippy recognizes tests by their attribute; their helpers are the same kind of code.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    unreachable_pub,
    reason = "a panic is the report of a test"
)]

mod cli_bad_input;
mod cli_bad_parts;
mod cli_crossflash;
mod cli_demo;
mod cli_files;
mod cli_flint_text;
mod cli_golden;
mod cli_host;
mod cli_hostile_text;
mod cli_identity;
mod cli_json;
mod cli_list;
mod cli_modes;
mod cli_nvconfig;
mod cli_outcome;
mod cli_readme;
mod cli_report;
mod cli_story;
mod cli_streams;
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
mod flint_card;
mod flint_files;
mod flint_lines;
mod flint_promises;
mod modules;
mod owner_story;
mod readiness;
mod sectors;
mod serve;
mod shape;
mod support;
mod sweep;
mod two_boot_roms;
mod vfio_setup;
mod witness;
mod witness_mstconfig;
