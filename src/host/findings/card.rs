//! Checks of one card.

use super::{CheckResult, fault, iommu};
use crate::escape;
use crate::host::config_space::SysfsConfig;
use crate::host::in_use::kernel_rdma;
use crate::host::{Function, Host, PciCard, VFIO_PCI};

/// Registers reach to 0xf0xxx (docs/hardware.md#cr-space); the BAR is 1 MiB on every known card.
const BAR0: u64 = 0x10_0000;

/// Offset of revision and class. They read all ones when the card does not answer; the ids may come
/// from the kernel (docs/linux.md#configuration-space).
const CLASS: u16 = 8;

pub(super) fn answers(host: &Host, card: &PciCard) -> CheckResult {
    match SysfsConfig::open(&host.device(card.bdf)).and_then(|config| config.dword(CLASS)) {
        Ok(u32::MAX) => fault(
            "configuration space reads all ones: the card is gone, or its link is down",
            reenumerate(card),
        ),
        Ok(class) => Ok(format!("revision {:#04x}", class as u8)),
        Err(error) => {
            fault(format!("configuration space cannot be read: {error}"), reenumerate(card))
        }
    }
}

pub(super) fn bar0(card: &PciCard) -> CheckResult {
    match card.bar0 {
        Some(length) if length >= BAR0 => Ok(format!("{length:#x} bytes of memory")),
        Some(length) => fault(
            format!("{length:#x} bytes of memory, the registers need {BAR0:#x}"),
            reenumerate(card),
        ),
        None if card.function == Function::Recovery => {
            Ok("none; in recovery mode the registers are reached through configuration space"
                .into())
        }
        None => fault("the kernel has assigned no memory to it", reenumerate(card)),
    }
}

/// Removes the device and rescans: the kernel assigns new BARs.
fn reenumerate(card: &PciCard) -> String {
    format!("echo 1 > /sys/bus/pci/devices/{}/remove; echo 1 > /sys/bus/pci/rescan", card.bdf)
}

pub(super) fn group_viable(host: &Host, card: &PciCard) -> CheckResult {
    let Some(group) = card.iommu_group else {
        let why = "the card is in no IOMMU group";
        // Where the IOMMU is off, that is what to fix; else the kernel's messages show why it has none.
        return match iommu::groups(host) {
            Ok(_) => fault(why, "journalctl -k -g 'DMAR|AMD-Vi|iommu'"),
            Err((_, fix)) => fault(why, fix),
        };
    };
    let (mut what, mut unbind) = (Vec::new(), Vec::new());
    for sibling in card.siblings.iter().filter(|s| s.blocks) {
        let bdf = sibling.bdf;
        what.push(format!("{bdf} ({})", host.describe(bdf)));
        unbind.push(format!("echo {bdf} > /sys/bus/pci/devices/{bdf}/driver/unbind"));
    }
    if what.is_empty() {
        let others = card.siblings.len();
        return Ok(format!("group {group}, {others} other functions, none blocks it"));
    }
    fault(
        format!("group {group} also holds {}", what.join(", ")),
        format!(
            "{}   # if the host does not need it; else move the card to another slot",
            unbind.join("; ")
        ),
    )
}

pub(super) fn driver(card: &PciCard) -> String {
    let mut detail = match (card.driver.as_deref(), card.function) {
        (Some(VFIO_PCI), _) => "vfio-pci: stays there".to_owned(),
        (Some(other), _) => format!("{other}: borrowed from it and given back"),
        (None, Function::Recovery) => "none, as always in recovery mode".to_owned(),
        (None, _) => "none".to_owned(),
    };
    if let Some(forced) = &card.driver_override {
        detail += &format!("; driver_override is {forced}");
    }
    detail
}

pub(super) fn holder(host: &Host, card: &PciCard) -> CheckResult {
    if let Some(holder) = host.holder(card) {
        // A number alone is from Proxmox, `guest=` from libvirt
        // (docs/linux.md#cards-in-virtual-machines).
        let fix = match &holder.vm {
            Some(vm) => match vm.split(' ').next() {
                Some(id) if id.bytes().all(|b| b.is_ascii_digit()) => format!("qm shutdown {id}"),
                _ => format!("virsh shutdown {}", escape::shell_word(vm)),
            },
            None => format!("kill {}", holder.pid),
        };
        return fault(holder.to_string(), fix);
    }
    if card.on_vfio() && host.group_busy(card) == Some(true) {
        let group = card.iommu_group.unwrap_or_default();
        return fault(
            "its group is open, by a process of another user",
            format!("fuser -v /dev/vfio/{group}   # as root; then end that process"),
        );
    }
    Ok("no process has it open through VFIO".into())
}

pub(super) fn reset_methods(card: &PciCard) -> String {
    if card.reset_methods.is_empty() {
        return "none: VFIO opens and closes the card without a reset".into();
    }
    card.reset_methods.join(", ")
}

/// Kernel users of RDMA have no file open, so they are listed over netlink.
pub(super) fn rdma_kernel(host: &Host, card: &PciCard) -> Option<String> {
    let listed =
        host.rdma_socket(card)?.and_then(|mut socket| kernel_rdma::users(&mut socket, &card.rdma));
    Some(match listed {
        Ok(_) => "kernel users of its RDMA devices can be listed".into(),
        Err(error) => format!(
            "kernel users of its RDMA devices cannot be listed ({error}): \
             check for NVMe, NFS, iSER, SRP, SMC and SMB over RDMA by hand"
        ),
    })
}

/// Root may borrow. A user who may open the group can use a card that is on vfio-pci already
/// (docs/linux.md#rights-and-limits).
pub(super) fn rights(host: &Host, card: &PciCard, root: bool) -> CheckResult {
    if root {
        return Ok("root".into());
    }
    let Some(group) = card.iommu_group.filter(|_| card.on_vfio()) else {
        return fault(
            "only root can take a card from its driver",
            format!("sudo cx3flash -d {} doctor", card.bdf),
        );
    };
    // Checked without opening: an open node keeps a virtual machine from starting.
    let node = host.path(format!("dev/vfio/{group}"));
    let flags = nix::unistd::AccessFlags::R_OK | nix::unistd::AccessFlags::W_OK;
    match nix::unistd::access(&node, flags) {
        Ok(()) => Ok(format!("may open /dev/vfio/{group}")),
        Err(errno) => fault(
            format!("/dev/vfio/{group} may not be opened: {errno}"),
            format!("sudo {} --user \"$USER\"   # then log in again", setup(host)),
        ),
    }
}

/// The script that adds a user to the group of the nodes: of the package, or of the tarball.
fn setup(host: &Host) -> &'static str {
    const OF_PACKAGE: &str = "/usr/share/cx3flash/setup";
    match host.path(&OF_PACKAGE[1..]).exists() {
        true => OF_PACKAGE,
        false => "vfio-setup/setup",
    }
}
