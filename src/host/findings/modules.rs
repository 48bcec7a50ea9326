//! The kernel modules of VFIO.

use crate::host::{Host, HostFinding, sysfs};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Module {
    Loaded,
    BuiltIn,
    Loadable,
    Missing,
}

impl Module {
    fn ready(self) -> bool {
        matches!(self, Self::Loaded | Self::BuiltIn)
    }
}

/// Module names use `-` and `_` alike.
fn module(host: &Host, name: &str) -> Module {
    let plain = name.replace('-', "_");
    let matches = |line: &String| {
        // `kernel/drivers/vfio/pci/vfio-pci.ko.xz: …`
        let path = line.split(':').next().unwrap_or_default();
        let file = path.rsplit('/').next().unwrap_or_default();
        file.split('.').next().unwrap_or_default().replace('-', "_") == plain
    };
    let release = sysfs::text(host.path("proc/sys/kernel/osrelease")).unwrap_or_default();
    let listed = |list: &str| {
        ["lib/modules", "usr/lib/modules"].iter().any(|dir| {
            let file = host.path(dir).join(&release).join(list);
            sysfs::is_name(&release) && sysfs::lines(file).iter().any(matches)
        })
    };
    // A built-in module with parameters is below /sys/module too, so the list comes first.
    if listed("modules.builtin") {
        Module::BuiltIn
    } else if host.path("sys/module").join(&plain).exists() {
        Module::Loaded
    } else if listed("modules.dep") {
        Module::Loadable
    } else {
        Module::Missing
    }
}

pub(super) fn vfio_pci(host: &Host) -> HostFinding {
    const ID: &str = "vfio_pci";
    if host.driver("vfio-pci").exists() {
        return HostFinding::good(ID, "vfio-pci is loaded");
    }
    match module(host, "vfio-pci") {
        Module::Loaded | Module::BuiltIn => HostFinding::bad(
            ID,
            "vfio_pci is loaded but has registered no PCI driver",
            "journalctl -k -g vfio",
        ),
        // The lease loads the driver it binds to.
        Module::Loadable => HostFinding::good(
            ID,
            "vfio-pci is a module; it is loaded when a card is borrowed",
        ),
        Module::Missing => missing(host, ID, "vfio-pci", "CONFIG_VFIO_PCI"),
    }
}

/// `/dev/vfio/vfio` with the TYPE1 backend: what the group interface needs
/// (docs/linux.md#groups-and-containers).
pub(super) fn container(host: &Host) -> HostFinding {
    const ID: &str = "vfio_container";
    let node = host.path("dev/vfio/vfio").exists();
    let type1 = module(host, "vfio_iommu_type1");
    match (node, type1) {
        (true, t) if t.ready() => HostFinding::good(ID, "/dev/vfio/vfio with vfio_iommu_type1"),
        // vfio-pci has a soft dependency on it (docs/linux.md#binding).
        (_, Module::Loadable) if !host.driver("vfio-pci").exists() => HostFinding::good(
            ID,
            "vfio_iommu_type1 is a module; it is loaded with vfio-pci",
        ),
        (_, Module::Loadable) => HostFinding::bad(
            ID,
            "vfio_iommu_type1 is not loaded; the module exists",
            "modprobe vfio_iommu_type1",
        ),
        (_, Module::Missing) => missing(
            host,
            ID,
            "vfio_iommu_type1",
            "CONFIG_VFIO_CONTAINER and CONFIG_VFIO_IOMMU_TYPE1",
        ),
        (false, _) if module(host, "vfio").ready() && host.path("dev/iommu").exists() => {
            HostFinding::bad(
                ID,
                "no /dev/vfio/vfio: this kernel has iommufd only",
                "boot a kernel with CONFIG_VFIO_CONTAINER, or build with --features cdev",
            )
        }
        (false, _) => HostFinding::bad(ID, "no /dev/vfio/vfio", "modprobe vfio"),
        // `ready` covers the rest.
        (true, _) => HostFinding::good(ID, "/dev/vfio/vfio"),
    }
}

fn missing(host: &Host, id: &'static str, name: &str, option: &str) -> HostFinding {
    let release = sysfs::text(host.path("proc/sys/kernel/osrelease")).unwrap_or_default();
    // Debian's and Ubuntu's cloud kernels lack drivers.
    let fix = if release.contains("-cloud") {
        "apt install linux-image-amd64 && reboot".to_owned()
    } else if host.path("etc/debian_version").exists() {
        format!("apt install --reinstall linux-image-{release}   # or boot a kernel with {option}")
    } else if host.path("etc/fedora-release").exists() {
        format!("dnf install kernel-modules-{release}   # or boot a kernel with {option}")
    } else {
        format!("boot a kernel with {option}")
    };
    HostFinding::bad(id, format!("kernel {release} has no {name}"), fix)
}
