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
//!
//! Facts: `reference/linux-vfio.md`.

mod bdf;
mod card;
mod discover;
mod finding;
mod findings;
mod holder;
mod in_use;
mod lockdown;
mod look_error;
mod netdev;
mod process;
mod root;
mod select;
mod sysfs;
#[cfg(test)]
mod tests;

pub use bdf::{BadBdf, Bdf};
pub use card::{Function, NetDev, PciCard, Sibling};
pub use finding::Finding;
pub use holder::Holder;
pub use in_use::{BadUseId, InUse, UseId};
pub use lockdown::Lockdown;
pub use look_error::LookError;
pub use root::Host;
