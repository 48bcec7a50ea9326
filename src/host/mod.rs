//! Linux: which cards there are, who uses them, borrowing one from its driver, VFIO, and putting the
//! host back.
//!
//! | file | what |
//! |---|---|
//! | [`root`](Host) | where sysfs, procfs and our own state are; one root directory for tests |
//! | [`bdf`](Bdf) | PCI addresses |
//! | [`card`](PciCard) | what sysfs says of a card |
//! | [`discover`, `select`](Host::find) | which cards there are, and which one is meant |
//! | [`in_use`](InUse) | who would miss the card |
//! | [`findings`](Host::findings), [`lockdown`](Lockdown), [`holder`](Holder) | what `doctor` asks of the host |
//! | `config_space`, `hest`, `netlink` | readers: PCI configuration space, the ACPI table HEST, dumps of RDMA devices |
//! | [`port`](PortReport) | what the slot's port does when the link goes down |
//! | [`lease`](Lease), [`journal`](HostStep) | a card taken from its driver and given back, also by another process |
//! | [`borrow`](Borrowed) | look, lease, open, close, give back |
//! | [`vfio`](VfioCard) | a card opened through VFIO |
//! | [`kvm`](kvm_findings) | could a virtual machine take the card? |
//! | [`ethtool`](driver_info) | what a network device's driver says of itself |
//!
//! Facts: `reference/docs/linux.md#sources-and-marks.

mod bdf;
mod borrow;
mod card;
mod config_space;
mod discover;
mod error;
mod ethtool;
mod files;
mod finding;
mod findings;
mod hest;
mod holder;
mod in_use;
mod journal;
mod kvm;
mod lease;
mod lockdown;
mod look_error;
mod netdev;
mod netlink;
mod port;
mod process;
mod root;
mod select;
mod sysfs;
#[cfg(test)]
mod tests;
mod vfio;

pub use crate::card::Function;
pub use bdf::{BadBdf, Bdf};
pub use borrow::{BorrowOptions, Borrowed, Ending, give_back, objections};
pub use card::{NetDev, PciCard, Sibling};
pub use error::HostError;
pub use ethtool::{DriverInfo, driver_info};
pub use files::{UserDirs, create_file, is_root, replace_file, sync_dir};
pub use finding::HostFinding;
pub use holder::Holder;
pub use in_use::{BadUseId, InUse, UseId};
pub use journal::{HostStep, JournalError, Marks, MovedSibling, OriginalFunction, OriginalState};
pub use kvm::kvm_findings;
pub use lease::{GivenBack, HELPER_COMMAND, Lease, LeaseError, Mark, Pending, write_attribute};
pub use lockdown::Lockdown;
pub use look_error::DiscoverError;
pub use port::PortReport;
pub use root::Host;
pub use vfio::{BadBarAccess, BarAccess, BarFault, VfioCard, VfioError};

/// The driver that hands a PCI function to userspace.
pub const VFIO_PCI: &str = "vfio-pci";
