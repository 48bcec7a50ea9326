//! One look at the host, for `doctor`.

use serde::Serialize;

/// What one look showed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HostFinding {
    /// Stable name, snake_case.
    pub id: &'static str,
    /// Fine, or not looked at for a reason that is no fault (`/dev/kvm` missing).
    pub ok: bool,
    /// One sentence with the figures.
    pub detail: String,
    /// The command that mends it, when it is not fine.
    pub fix: Option<String>,
}

impl HostFinding {
    /// Nothing to mend.
    #[must_use]
    pub fn good(id: &'static str, detail: impl Into<String>) -> Self {
        Self {
            id,
            ok: true,
            detail: detail.into(),
            fix: None,
        }
    }

    /// Something to mend, with the command that does it.
    #[must_use]
    pub fn bad(id: &'static str, detail: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            id,
            ok: false,
            detail: detail.into(),
            fix: Some(fix.into()),
        }
    }
}
