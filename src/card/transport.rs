//! The transports to a card's registers, by name.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The transport to the registers.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum BarAccess {
    /// BAR0 mapped: one load or store an access.
    Mmap,
    /// BAR0 by system calls of 4 bytes: slower, and an error where a mapping faults.
    Pread,
    /// Configuration cycles: slowest, and always there.
    Config,
}

impl BarAccess {
    pub const ALL: [Self; 3] = [Self::Mmap, Self::Pread, Self::Config];

    pub fn name(self) -> &'static str {
        match self {
            Self::Mmap => "mmap",
            Self::Pread => "pread",
            Self::Config => "config",
        }
    }
}

impl fmt::Display for BarAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// No transport has this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no register access (mmap, pread, config)")]
pub struct BadBarAccess(pub String);

impl FromStr for BarAccess {
    type Err = BadBarAccess;

    fn from_str(text: &str) -> Result<Self, BadBarAccess> {
        let found = Self::ALL.into_iter().find(|access| access.name() == text);
        found.ok_or_else(|| BadBarAccess(text.to_owned()))
    }
}
