//! Whether there is an IOMMU, and how to switch it on.

use crate::host::{Host, HostFinding, sysfs};

const ID: &str = "iommu";

/// `/sys/kernel/iommu_groups` is empty when the IOMMU is off in the firmware or in the kernel
/// (docs/linux.md#vfio-errors).
pub(super) fn groups(host: &Host) -> HostFinding {
    let groups = sysfs::names(host.path("sys/kernel/iommu_groups"));
    if !groups.is_empty() {
        return HostFinding::good(ID, format!("on, {} groups", groups.len()));
    }
    let cmdline = sysfs::text(host.path("proc/cmdline")).unwrap_or_default();
    let off = cmdline
        .split_whitespace()
        .find(|w| matches!(*w, "intel_iommu=off" | "amd_iommu=off" | "iommu=off"));
    if let Some(word) = off {
        return HostFinding::bad(
            ID,
            format!("off: the kernel was started with {word}"),
            without(host, word),
        );
    }
    let cpu = sysfs::text(host.path("proc/cpuinfo")).unwrap_or_default();
    // ACPI tables that describe the IOMMU: DMAR (Intel), IVRS (AMD).
    let has_table = |table: &str| host.path("sys/firmware/acpi/tables").join(table).exists();
    // The CPU flag `hypervisor`: a guest, whose firmware setup has no such switch.
    if cpu.split_whitespace().any(|w| w == "hypervisor") && !has_table("DMAR") && !has_table("IVRS")
    {
        return HostFinding::bad(
            ID,
            "off: this is a virtual machine without an IOMMU of its own",
            "give it one, with the card behind it: QEMU -device intel-iommu,intremap=on,caching-mode=on; \
             libvirt <iommu model='intel'><driver intremap='on' caching_mode='on'/></iommu>",
        );
    }
    if cpu.contains("GenuineIntel") {
        if has_table("DMAR") {
            let requested = cmdline.split_whitespace().any(|w| w == "intel_iommu=on");
            if requested {
                return HostFinding::bad(
                    ID,
                    "off, though the kernel was started with intel_iommu=on",
                    "journalctl -k -g DMAR   # shows the reason; then update the machine's firmware",
                );
            }
            return HostFinding::bad(
                ID,
                "off: the machine has VT-d, the kernel does not use it",
                with(host, "intel_iommu=on"),
            );
        }
        return HostFinding::bad(
            ID,
            "off: the firmware does not report VT-d (no ACPI table DMAR)",
            format!(
                "systemctl reboot --firmware-setup   # enable VT-d there; then: {}",
                with(host, "intel_iommu=on")
            ),
        );
    }
    if cpu.contains("AuthenticAMD") || cpu.contains("HygonGenuine") {
        if has_table("IVRS") {
            // The driver is on by default where the table exists (drivers/iommu/amd/init.c).
            return HostFinding::bad(
                ID,
                "off: the machine has AMD-Vi, the kernel does not use it",
                "journalctl -k -g AMD-Vi   # shows the reason; a cloud kernel lacks the driver: apt install linux-image-amd64",
            );
        }
        return HostFinding::bad(
            ID,
            "off: the firmware does not report AMD-Vi (no ACPI table IVRS)",
            "systemctl reboot --firmware-setup   # enable IOMMU (AMD-Vi) there",
        );
    }
    HostFinding::bad(
        ID,
        "off: there is no IOMMU group",
        "systemctl reboot --firmware-setup   # enable the IOMMU or SMMU there",
    )
}

/// How kernel parameters are set on this host.
enum Loader {
    /// Proxmox with systemd-boot.
    Proxmox,
    /// Fedora and relatives.
    Grubby,
    /// Debian and relatives.
    Grub,
    Unknown,
}

fn loader(host: &Host) -> Loader {
    let has = |path: &str| host.path(path).exists();
    if has("etc/kernel/proxmox-boot-uuids") && has("etc/kernel/cmdline") {
        Loader::Proxmox
    } else if has("usr/sbin/grubby") || has("usr/bin/grubby") || has("sbin/grubby") {
        Loader::Grubby
    } else if has("etc/default/grub") {
        Loader::Grub
    } else {
        Loader::Unknown
    }
}

fn with(host: &Host, word: &str) -> String {
    match loader(host) {
        Loader::Proxmox => format!(
            "sed -i '1s/$/ {word}/' /etc/kernel/cmdline && proxmox-boot-tool refresh && reboot"
        ),
        Loader::Grubby => format!("grubby --update-kernel=ALL --args={word} && reboot"),
        Loader::Grub => format!(
            "sed -i 's/^GRUB_CMDLINE_LINUX=\"/&{word} /' /etc/default/grub && update-grub && reboot"
        ),
        Loader::Unknown => format!("add {word} to the kernel command line and reboot"),
    }
}

fn without(host: &Host, word: &str) -> String {
    match loader(host) {
        Loader::Proxmox => format!(
            "sed -i 's/ *\\b{word}\\b//' /etc/kernel/cmdline && proxmox-boot-tool refresh && reboot"
        ),
        Loader::Grubby => format!("grubby --update-kernel=ALL --remove-args={word} && reboot"),
        Loader::Grub => {
            format!("sed -i 's/\\b{word}\\b//' /etc/default/grub && update-grub && reboot")
        }
        Loader::Unknown => format!("remove {word} from the kernel command line and reboot"),
    }
}
