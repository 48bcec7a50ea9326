//! Linux: which cards there are, who uses them, borrowing one from its driver, VFIO, and putting the
//! host back.
//!
//! | file | what |
//! |---|---|
//! | [`root`](Host) | where sysfs, procfs and our own state are; one root directory for tests |
//! | [`bdf`](Bdf) | PCI addresses |
//! | [`card`](PciCard) | what sysfs says of a card |
//! | [`vfio`](VfioCard) | a card opened through VFIO |
//! | [`kvm`](kvm_findings) | could a virtual machine take the card? |
//! | [`ethtool`](driver_info) | what a network device's driver says of itself |
//!
//! Facts: `reference/linux-vfio.md`.

mod bdf;
mod card;
mod ethtool;
mod finding;
mod kvm;
mod root;
mod vfio;

pub use bdf::{BadBdf, Bdf};
pub use card::{Function, NetDev, PciCard, Sibling};
pub use ethtool::{DriverInfo, driver_info};
pub use finding::Finding;
pub use kvm::kvm_findings;
pub use root::Host;
pub use vfio::{BadBarAccess, BarAccess, BarFault, VfioCard, VfioError};
