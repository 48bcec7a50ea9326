//! Power is cut at every mutating operation of every writing job (P1, P2, P4).

mod burns;
mod changes;
mod config;
mod engine;
mod trials;
pub(crate) mod world;
