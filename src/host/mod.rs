//! Linux: discovery of cards, in-use checks, borrowing a card from its driver, VFIO, and restoring
//! the host.
//!
//! | file | what |
//! |---|---|
//! | `sysfs` | [`Host`]: where sysfs, procfs and our directories are; readers |
//! | `files` | [`UserDirs`], atomic writes |
//! | `input`, `tree`, `output` | files and directory trees that a user names; new files and directories |
//! | `bdf` | PCI addresses |
//! | `card`, `select`, `other` | the cards of this host, the one that is meant, and devices of other families |
//! | `config_space`, `vpd`, `hest`, `netdev`, `netlink`, `process` | readers: PCI configuration space, vital product data, the ACPI table HEST, netdevs, RDMA devices, processes |
//! | `program` | programs of the system, with a limit of time |
//! | `awake` | sleep and shutdown wait for a write |
//! | `system_log` | lines in the system's log |
//! | `in_use`, `holder` | who uses the card |
//! | `findings`, `lockdown`, `port`, `kvm` | host checks of `doctor` |
//! | `lease`, `journal` | a card taken from its driver and given back, also by another process |
//! | `kernel_log` | what the kernel logs about a card |
//! | `borrow` | check, lease, open, close, give back |
//! | `vfio` | a card opened through VFIO |
//!
#![doc = include_str!("../../docs/linux.md")]

mod awake;
mod bdf;
mod borrow;
mod card;
mod config_space;
mod error;
mod files;
mod findings;
mod hest;
mod holder;
mod in_use;
mod input;
mod journal;
mod kernel_log;
mod kvm;
mod lease;
mod lockdown;
mod netdev;
mod netlink;
mod other;
mod output;
mod port;
mod process;
mod program;
mod select;
mod sysfs;
mod system_log;
#[cfg(test)]
mod tests;
mod tree;
mod vfio;
mod vpd;

pub use crate::card::{BadBarAccess, BarAccess, Function};
pub use awake::Awake;
pub use bdf::{BadBdf, Bdf};
pub use borrow::{BorrowOptions, Borrowed, Ending, HostError, give_back, objections};
pub use card::{NetDev, PciCard, Sibling};
pub use error::DiscoverError;
pub use files::{UserDirs, create_file, is_root, replace_file, sync_dir};
pub use findings::HostFinding;
pub use holder::Holder;
pub use in_use::{BadUseId, InUse, UseId};
pub use input::{
    FileStart, InputDir, InputError, NamedInput, read_input, read_input_or_member, read_stdin,
    unless_stopped,
};
#[cfg(any(test, fuzzing))]
pub(crate) use journal::decode_and_encode as fuzz_journal;
pub use journal::{HostStep, JournalError, Marks, MovedSibling, OriginalFunction, OriginalState};
pub use kernel_log::KernelLog;
pub use kvm::kvm_findings;
#[cfg(test)]
pub(crate) use lease::tests::bench::BorrowedBench;
pub use lease::{
    Droppable, ForgetChoice, HELPER_COMMAND, Lease, LeaseError, Mark, Pending, write_attribute,
};
pub use lockdown::Lockdown;
pub use netdev::{DriverInfo, driver_info};
pub use other::OtherDevice;
#[cfg(test)]
pub(crate) use output::failing_at;
pub use output::{FileMode, HeldDir, MadeDir, NewFile, write_stdout};
pub use port::PortReport;
pub use program::output_within;
pub use sysfs::{Host, PciIds, VFIO_PCI};
pub use tree::{TreeError, TreeLimits, walk_tree};
pub use vfio::{BarFault, VfioCard, VfioError};
pub use vpd::CardLabel;
