//! The result of one check of the host. `doctor` lists them; the text and JSON of `cx3flash doctor`
//! are made from the fields.

use serde::Serialize;

/// One check and its result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HostFinding {
    /// Stable name, snake_case.
    pub id: &'static str,
    /// Nothing to fix; also when the check was skipped for a reason that is no fault of the host
    /// (`/dev/kvm` is missing).
    pub ok: bool,
    /// One sentence with the figures.
    pub detail: String,
    /// The command that fixes it.
    pub fix: Option<String>,
}

impl HostFinding {
    /// A check without a fault.
    pub fn good(id: &'static str, detail: impl Into<String>) -> Self {
        Self { id, ok: true, detail: detail.into(), fix: None }
    }

    /// A fault, with the command that fixes it.
    pub fn bad(id: &'static str, detail: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { id, ok: false, detail: detail.into(), fix: Some(fix.into()) }
    }
}
