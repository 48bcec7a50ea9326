//! The process that has a card open through VFIO, usually a virtual machine.

use super::process::OpenFile;
use super::{Bdf, Host, PciCard, sysfs};
use serde::Serialize;
use std::fmt;

/// A process that has a card, or its IOMMU group, open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Holder {
    pub pid: u32,
    pub name: String,
    /// Name of the virtual machine, from the arguments.
    pub vm: Option<String>,
    /// The node below `/dev/vfio`, or the function, that it has open.
    pub node: String,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(vm) = &self.vm {
            write!(f, "VM {vm}: ")?;
        }
        write!(f, "{} (pid {}) has {} open", self.name, self.pid, self.node)
    }
}

impl Host {
    /// The process that has the card's group, or a device of it, open through VFIO; not this one.
    /// Only root sees the open files of other users: for others this may be `None` while
    /// [`group_busy`](Self::group_busy) is true.
    pub fn holder(&self, card: &PciCard) -> Option<Holder> {
        self.holder_among(card, &self.open_files())
    }

    pub(super) fn holder_among(&self, card: &PciCard, files: &[OpenFile]) -> Option<Holder> {
        let functions: Vec<Bdf> =
            std::iter::once(card.bdf).chain(card.siblings.iter().map(|s| s.bdf)).collect();
        let nodes = self.vfio_nodes(card.iommu_group, &functions);
        files.iter().find_map(|file| {
            let node = if nodes.contains(&file.target) {
                file.target.clone()
            } else if file.target.starts_with("anon_inode:[vfio-device") {
                let function = self.vfio_function(file)?;
                functions.iter().find(|b| b.to_string() == function)?.to_string()
            } else {
                return None;
            };
            let arguments = self.arguments(file.pid);
            Some(Holder {
                pid: file.pid,
                name: self.process_name(file.pid).unwrap_or_else(|| "a process".to_owned()),
                vm: vm_name(&arguments),
                node,
            })
        })
    }

    /// Whether another process has the card's group open. Opens it for a moment, which does not
    /// touch the card (docs/linux.md#cards-in-virtual-machines, docs/linux.md#kvm-probe). `None`:
    /// there is no group node, or this user may not open it.
    pub fn group_busy(&self, card: &PciCard) -> Option<bool> {
        let name = format!("/dev/vfio/{}", card.iommu_group?);
        let own = self.own_pid().map(|pid| self.open_files_of(pid));
        if own.into_iter().flatten().any(|f| f.target == name) {
            return Some(false);
        }
        let node = self.path(&name);
        let opened = std::fs::OpenOptions::new().read(true).write(true).open(node);
        match opened {
            Ok(_) => Some(false),
            Err(e) if e.raw_os_error() == Some(nix::libc::EBUSY) => Some(true),
            Err(_) => None,
        }
    }

    /// Nodes that give access to these functions (docs/linux.md#groups-and-containers,
    /// docs/linux.md#character-devices-and-iommufd, docs/linux.md#no-iommu-mode).
    fn vfio_nodes(&self, group: Option<u32>, functions: &[Bdf]) -> Vec<String> {
        let mut nodes = Vec::new();
        if let Some(group) = group {
            nodes.push(format!("/dev/vfio/{group}"));
            nodes.push(format!("/dev/vfio/noiommu-{group}"));
        }
        for bdf in functions {
            for name in sysfs::names(self.device(*bdf).join("vfio-dev")) {
                nodes.push(format!("/dev/vfio/devices/{name}"));
            }
        }
        nodes
    }
}

/// Name of a QEMU machine: `-name guest=NAME,…` (libvirt), `-name NAME`, `-id VMID` (Proxmox).
fn vm_name(arguments: &[String]) -> Option<String> {
    let after = |option: &str| {
        let at = arguments
            .iter()
            .position(|a| a.trim_start_matches('-') == option && a.starts_with('-'))?;
        arguments.get(at + 1)
    };
    let name = after("name").and_then(|value| {
        let mut parts = value.split(',');
        let guest = value
            .split(',')
            .find_map(|part| part.strip_prefix("guest="))
            .or_else(|| parts.next().filter(|first| !first.contains('=')));
        guest.map(str::to_owned)
    });
    let id = after("id").filter(|id| id.bytes().all(|b| b.is_ascii_digit()));
    match (id, name) {
        (Some(id), Some(name)) => Some(format!("{id} ({name})")),
        (Some(id), None) => Some(id.clone()),
        (None, name) => name,
    }
}
