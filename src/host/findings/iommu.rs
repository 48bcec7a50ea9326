//! Whether there is an IOMMU, and how to switch it on.

use super::{CheckResult, fault};
use crate::host::{Host, sysfs};
use crate::words::counted;

/// `/sys/kernel/iommu_groups` is empty when the IOMMU is off in the firmware or in the kernel
/// (docs/linux.md#vfio-errors).
pub(super) fn groups(host: &Host) -> CheckResult {
    let groups = sysfs::names(host.path("sys/kernel/iommu_groups"));
    if !groups.is_empty() {
        return Ok(format!("on, {}", counted(groups.len(), "group")));
    }
    let cmdline = sysfs::text(host.path("proc/cmdline")).unwrap_or_default();
    let off = cmdline
        .split_whitespace()
        .find(|w| matches!(*w, "intel_iommu=off" | "amd_iommu=off" | "iommu=off"));
    if let Some(word) = off {
        return fault(
            format!("off: the kernel was started with {word}"),
            change_command_line(host, false, word),
        );
    }
    let with_vtd = || change_command_line(host, true, "intel_iommu=on");
    let cpu = sysfs::text(host.path("proc/cpuinfo")).unwrap_or_default();
    let intel = cpu.contains("GenuineIntel");
    let amd = cpu.contains("AuthenticAMD") || cpu.contains("HygonGenuine");
    // ACPI tables that describe the IOMMU: DMAR (Intel), IVRS (AMD).
    let table = |name: &str| host.path("sys/firmware/acpi/tables").join(name).exists();
    let (dmar, ivrs) = (table("DMAR"), table("IVRS"));
    if host.is_guest() && !dmar && !ivrs {
        // Its firmware setup has no such switch.
        fault(
            "off: this is a virtual machine without an IOMMU of its own",
            "give it one, with the card behind it: QEMU -device intel-iommu,intremap=on,caching-mode=on; \
             libvirt <iommu model='intel'><driver intremap='on' caching_mode='on'/></iommu>",
        )
    } else if intel && dmar && cmdline.split_whitespace().any(|w| w == "intel_iommu=on") {
        fault(
            "off, though the kernel was started with intel_iommu=on",
            "journalctl -k -g DMAR   # shows the reason; then update the machine's firmware",
        )
    } else if intel && dmar {
        fault("off: the machine has VT-d, the kernel does not use it", with_vtd())
    } else if intel {
        fault(
            "off: the firmware does not report VT-d (no ACPI table DMAR)",
            format!(
                "systemctl reboot --firmware-setup   # enable VT-d there; then: {}",
                with_vtd()
            ),
        )
    } else if amd && ivrs {
        // The driver is on by default where the table exists (drivers/iommu/amd/init.c).
        fault(
            "off: the machine has AMD-Vi, the kernel does not use it",
            "journalctl -k -g AMD-Vi   # shows the reason; a cloud kernel lacks the driver: apt install linux-image-amd64",
        )
    } else if amd {
        fault(
            "off: the firmware does not report AMD-Vi (no ACPI table IVRS)",
            "systemctl reboot --firmware-setup   # enable IOMMU (AMD-Vi) there",
        )
    } else {
        fault(
            "off: there is no IOMMU group",
            "systemctl reboot --firmware-setup   # enable the IOMMU or SMMU there",
        )
    }
}

/// How a kernel parameter is added or removed on this host.
fn change_command_line(host: &Host, add: bool, word: &str) -> String {
    let has = |path: &str| host.path(path).exists();
    let remove = format!("s/ *\\b{word}\\b//");
    // Proxmox with systemd-boot.
    if has("etc/kernel/proxmox-boot-uuids") && has("etc/kernel/cmdline") {
        let edit = if add { format!("1s/$/ {word}/") } else { remove };
        format!("sed -i '{edit}' /etc/kernel/cmdline && proxmox-boot-tool refresh && reboot")
    // Fedora and relatives.
    } else if has("usr/sbin/grubby") || has("usr/bin/grubby") || has("sbin/grubby") {
        let option = if add { "args" } else { "remove-args" };
        format!("grubby --update-kernel=ALL --{option}={word} && reboot")
    // Debian and relatives.
    } else if has("etc/default/grub") {
        let edit = if add {
            format!("s/^GRUB_CMDLINE_LINUX=\"/&{word} /")
        } else {
            format!("s/\\b{word}\\b//")
        };
        format!("sed -i '{edit}' /etc/default/grub && update-grub && reboot")
    } else if add {
        format!("add {word} to the kernel command line and reboot")
    } else {
        format!("remove {word} from the kernel command line and reboot")
    }
}
