//! What a user asked for, step by step, on any card behind [`Device`].
//!
//! Every job opens one session: the semaphores are taken once, the flash is read through them, and
//! they are free again when the job returns, whatever happened. Jobs that write share the
//! same steps: snapshot, plan, confirm, backup on disk, the typestate, a reading of what would boot,
//! activation.
//!
//! Outcomes are plain data with `Serialize`; the command line draws them and prints them as JSON.

mod activate;
mod assumptions;
mod backup;
mod bug_report;
mod cards;
mod choice;
mod code;
mod device;
mod doctor;
mod error;
mod error_text;
mod exit;
mod file;
mod first_start;
mod flash;
mod hint;
mod host;
mod host_report;
mod identity;
mod image_store;
mod images;
mod list;
mod look;
mod nvconfig;
mod outcome;
mod proofs;
mod protect;
mod query;
pub(crate) mod readings;
mod request;
mod restore;
mod rom;
mod run;
mod running;
mod second_reading;
mod selector;
mod selftest;
pub(crate) mod session;
mod settle;
mod split;
mod stage;
mod store;
#[cfg(test)]
pub(crate) mod tests;
mod trace;
mod typed_line;
mod unlock;
mod verify;

pub use crate::plan::BootReport;
pub use activate::{ActivateOutcome, ActivatedBy, Activation, activate};
pub use backup::{Backup, BackupOutcome, Manifest, backup, prove_backup_dir};
pub use bug_report::{BugReport, FinishedCommand};
pub use cards::{all_cards, card_files, free_address};
pub use choice::{LeftOutImage, NotChosen, StoreChoice, UnreadFile};
pub use code::{Code, WriteAnew};
pub use device::{Device, open, open_sim};
pub use doctor::{CardChecks, DoctorOutcome, doctor, doctor_all};
pub use error::{AfterReset, JobError, NvError, UNSURE};
pub(crate) use error_text::{causes, error_chain, one_line};
pub use exit::Exit;
pub use file::{ImageFile, RomFile, read_image, read_rom};
pub(crate) use file::{read_bytes, read_key};
pub use first_start::FirstStart;
pub use flash::{FlashInfo, FlashReadOutcome, flash_bytes, flash_info, flash_read};
pub use hint::HintContext;
pub use host::{
    HostForgetOutcome, HostRestoreOutcome, HostStatusOutcome, host_forget, host_restore,
    host_status,
};
pub use host_report::HostReport;
pub use identity::{IdentityChange, IdentityOutcome, identity_in, identity_show, read_identity};
pub use image_store::{ImageStore, StoredImage};
pub use images::ImageReport;
pub use list::{ListEntry, ListOutcome, PsidSource, list};
pub use nvconfig::{
    NvChange, NvConfirm, NvEntry, NvQueryOutcome, NvSetOutcome, nv_query, nv_set, nv_set_reporting,
};
pub use outcome::Outcome;
pub use protect::{
    ProtectOutcome, ProtectQuestion, ProtectRequest, flash_protect, flash_protection,
};
pub use query::{
    ConfigOutcome, QueryOutcome, config_show, config_show_image, query_card, query_image,
};
pub use readings::UnsteadyRange;
pub use request::{WriteJob, WriteRequest};
pub use restore::read_backup;
pub use rom::{RomOutcome, rom_info, rom_info_file, rom_read, rom_read_image};
pub use run::{
    Confirm, PlanOutcome, StopReport, WriteOptions, WriteOutcome, plan, write, write_reporting,
};
pub use running::{RunningNow, running};
pub use selector::CardSelector;
pub use selftest::{
    DriverFacts, Expendable, SelftestOutcome, SelftestRequest, selftest, selftest_unopened,
};
pub use session::{CardDescription, CardReport};
pub use stage::{Figure, FigureValue, StageId, StageReport, StageResult};
#[cfg(any(test, fuzzing))]
pub(crate) use store::digest;
pub use store::{BackupFile, OutputFile, default_backup_dir};
pub use trace::{
    FinishedTrace, RegisterCount, ReplayedResult, ShownTrace, TraceDiffOutcome, TraceFile,
    TraceLine, TraceReplayOutcome, TraceShowOutcome, cut, read_trace, trace_diff, trace_replay,
    trace_show,
};
pub use unlock::{SemaphoreReport, UnlockOutcome, unlock};
pub use verify::{
    Comparison, Difference, VerifyOutcome, verify_against, verify_card, verify_image,
};
