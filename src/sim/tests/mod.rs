//! Tests of the simulated card.

mod booting;
mod boots;
mod chips;
mod driver;
mod faults;
mod files;
mod firmware;
mod nv_log;
mod register_faults;
mod speed;
mod strict;
mod trace;
