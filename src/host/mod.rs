//! Linux: which cards there are, who uses them, borrowing one from its driver, VFIO, and putting the
//! host back.
//!
//! | file | what |
//! |---|---|
//! | [`root`](Host) | where sysfs, procfs and our own state are; one root directory for tests |
//! | [`bdf`](Bdf) | PCI addresses |
//! | [`card`](PciCard) | what sysfs says of a card |
//!
//! Facts: `reference/linux-vfio.md`.

mod bdf;
mod borrow;
mod card;
mod error;
mod finding;
mod root;

pub use bdf::{BadBdf, Bdf};
pub use borrow::{BorrowOptions, Borrowed, Ending, give_back, objections};
pub use card::{Function, NetDev, PciCard, Sibling};
pub use error::HostError;
pub use finding::Finding;
pub use root::Host;

/// The driver that hands a PCI function to userspace.
pub const VFIO_PCI: &str = "vfio-pci";
