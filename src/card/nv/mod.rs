//! Non-volatile settings the running firmware keeps: registers, TLVs, parameters (docs/hardware.md#settings-in-the-firmware).
//!
//! The firmware alone knows how they lie in the flash; requests go through [`super::ToolsInterface`]. Bit
//! positions come from the source of mstflint 4.21 and agree with what its mstconfig sends to the
//! simulated card; on a real card they are UNCONFIRMED.

mod fields;
mod register;
mod settings;

#[cfg(test)]
mod tests;

pub use fields::{FIELDS, Field, Parameter};
pub use register::TlvId;
pub use settings::{Limits, NvSetting, NvSettings, TlvWrites};
