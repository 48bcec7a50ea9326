//! Checks and what a plan shows.

use schemars::JsonSchema;
use serde::Serialize;

/// One check with its outcome.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize)]
pub struct Check {
    pub id: CheckId,
    /// Passed, or waived by an option that `detail` names.
    pub ok: bool,
    /// Could not be judged because another check refuses; then `ok` is false.
    pub skipped: bool,
    /// One sentence with the figures.
    pub detail: String,
}

impl Check {
    /// Whether a file has the SHA-256 that was specified for it.
    pub fn expected_file(found: &str, expected: &str) -> Self {
        let ok = found == expected;
        let detail = if ok {
            format!("the file has the SHA-256 specified: {found}")
        } else {
            format!("the SHA-256 of the file is {found}, specified is {expected}")
        };
        Self { id: CheckId::ExpectedFile, ok, skipped: false, detail }
    }

    /// The card's record contradicts what a job needs.
    pub fn selftest(detail: String) -> Self {
        Self { id: CheckId::Selftest, ok: false, skipped: false, detail }
    }

    pub(super) fn refuses(&self) -> bool {
        !self.ok && !self.skipped
    }
}

/// Stable names of checks, in the order in which a plan shows them. What mstflint checks:
/// docs/flint.md#checks-before-the-first-erase; what it does not: docs/fs2.md#order-of-a-burn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckId {
    /// The file is the one whose SHA-256 was specified (`--expect`); judged before the card is opened.
    ExpectedFile,
    /// A self-test of the card contradicts what a job needs; listed only where it refuses.
    Selftest,
    /// The image verifies, stricter rules included.
    ImageValid,
    /// The chain ends inside the file; another size in the header is corrected.
    ImageSize,
    /// ROM in the result is for the image's device.
    RomDevice,
    /// The backup verifies against its manifest and holds an image that boots (restore only).
    BackupValid,
    /// The card holds no valid image (recover only; otherwise `burn` is the way).
    NoValidImage,
    /// At most one of the signatures found can be the one that boots.
    Signatures,
    /// The card holds an image to take the identity from; damage of its ROM or code is a note.
    OldImage,
    /// Firmware that runs has an image that can be read, or none that a job would overwrite.
    RunningImage,
    /// The card's identity can be read and is valid (P4).
    Identity,
    /// The image can hold the identity (6 GUID entries, a VSD tag when one is to be kept).
    IdentityFits,
    /// Failsafe onto failsafe, non-failsafe onto non-failsafe.
    Layout,
    /// Chunk sizes equal.
    ChunkSize,
    /// Same or newer; older with `--allow-older`, or with another PSID. Refuses also when the image has no
    /// version.
    Version,
    /// PSID equal, or the change specified.
    Psid,
    /// Configuration pad equal.
    ConfigPad,
    /// Silicon and revision.
    Silicon,
    /// Which ROM will be on the card.
    Rom,
    /// The result was verified in memory after patching.
    PatchedImage,
    /// Size against half or whole flash less the NV area.
    Fits,
    /// ini's log_flashdev_size against the chip.
    FlashSize,
    /// No erase reaches the NV configuration area or the half in use.
    NvArea,
    /// Nothing write protected that must change (docs/hardware.md#write-protection).
    Protection,
    /// A failsafe burn leaves the image that boots alone; a non-failsafe one reports what an
    /// interruption means (P1).
    Interruption,
}

impl CheckId {
    /// Its name in JSON.
    pub fn name(self) -> String {
        serde_json::to_value(self)
            .ok()
            .and_then(|v| v.as_str().map(str::to_owned))
            .unwrap_or_default()
    }
}

/// Something that will be different afterwards.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize)]
pub struct Change {
    pub field: String,
    /// `None` = nothing there.
    pub from: Option<String>,
    pub to: Option<String>,
}

/// Something that stays.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize)]
pub struct Kept {
    pub field: String,
    pub value: String,
}

/// Result of a rule: `Ok` = passed, `Err` = refused, each with one sentence.
pub(super) type Verdict = Result<String, String>;

/// Checks in the making.
#[derive(Debug, Default)]
pub(super) struct Checks(Vec<Check>);

impl Checks {
    /// Adds an outcome; `None` = it depends on one that is missing.
    pub(super) fn add(&mut self, id: CheckId, verdict: impl Into<Option<Verdict>>) {
        let (ok, skipped, detail) = match verdict.into() {
            Some(Ok(detail)) => (true, false, detail),
            Some(Err(detail)) => (false, false, detail),
            None => {
                let refusing = self.0.iter().filter(|c| c.refuses());
                let because: Vec<String> = refusing.map(|c| c.id.name()).collect();
                let verb = if because.len() == 1 { "refuses" } else { "refuse" };
                let detail = format!("not judged: {} {verb}", because.join(", "));
                (false, true, detail)
            }
        };
        self.0.push(Check { id, ok, skipped, detail });
    }

    /// Adds the outcome of a step; its result, for the checks that depend on it.
    pub(super) fn step<T>(
        &mut self,
        id: CheckId,
        outcome: Option<Result<(T, String), String>>,
    ) -> Option<T> {
        let (result, verdict) = match outcome {
            Some(Ok((result, detail))) => (Some(result), Some(Ok(detail))),
            Some(Err(detail)) => (None, Some(Err(detail))),
            None => (None, None),
        };
        self.add(id, verdict);
        result
    }

    /// Nothing refuses so far.
    pub(super) fn all_ok(&self) -> bool {
        self.0.iter().all(|c| c.ok)
    }

    /// In the order of [`CheckId`].
    pub(super) fn finish(mut self) -> Vec<Check> {
        self.0.sort_by_key(|c| c.id);
        self.0
    }
}
