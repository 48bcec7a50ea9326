//! Kernel lockdown and Secure Boot: what they close, and what stays open
//! (docs/linux.md#kernel-lockdown).

use super::{Host, sysfs};
use serde::Serialize;
use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Lockdown {
    /// The kernel has no lockdown, or securityfs is not mounted.
    Absent,
    /// Built in, off.
    None,
    /// Root cannot write to the kernel.
    Integrity,
    /// Root cannot read from the kernel either.
    Confidentiality,
}

impl fmt::Display for Lockdown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Absent => "absent",
            Self::None => "none",
            Self::Integrity => "integrity",
            Self::Confidentiality => "confidentiality",
        })
    }
}

/// The variable `SecureBoot` of the UEFI global variable GUID.
const SECURE_BOOT: &str =
    "sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";

impl Host {
    pub fn lockdown(&self) -> Lockdown {
        let text = sysfs::text(self.path("sys/kernel/security/lockdown")).unwrap_or_default();
        let word = text
            .split_once('[')
            .and_then(|(_, rest)| rest.split_once(']'))
            .map_or("", |(word, _)| word);
        match word {
            "none" => Lockdown::None,
            "integrity" => Lockdown::Integrity,
            "confidentiality" => Lockdown::Confidentiality,
            _ => Lockdown::Absent,
        }
    }

    /// Whether the machine was booted with Secure Boot; `None` when the firmware's variables cannot
    /// be read.
    pub fn secure_boot(&self) -> Option<bool> {
        if !self.path("sys/firmware/efi").exists() {
            // No UEFI, or booted in legacy mode.
            return Some(false);
        }
        // Four bytes of attributes, then the value (Documentation/filesystems/efivarfs.rst).
        let variable = std::fs::read(self.path(SECURE_BOOT)).ok()?;
        variable.get(4).map(|value| *value == 1)
    }
}
