//! The lab and the bench: the tool on a real kernel.
//!
//! Two benches run the same scenarios. The *lab* boots Debian's kernel in QEMU with a virtual IOMMU and a simulated
//! card served over vfio-user; it needs no card and provisions itself from Debian's packages into the workspace's
//! target directory. The *card* bench drives a real card named by a TOML file. `README.md` beside this crate says
//! how to run both.

#![allow(
    clippy::print_stderr,
    reason = "a test harness talks to the person in front of it"
)]

pub mod bench;
pub mod cpio;
pub mod guest;
pub mod junit;
pub mod provision;
pub mod run;
pub mod scenario;
