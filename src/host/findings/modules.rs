//! The kernel modules of VFIO.

use super::{CheckResult, fault};
use crate::host::{Host, sysfs};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Module {
    /// Or built in.
    Loaded,
    Loadable,
    Missing,
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
    let release = host.kernel_release();
    let listed = |list: &str| {
        ["lib/modules", "usr/lib/modules"].iter().any(|dir| {
            let file = host.path(dir).join(&release).join(list);
            sysfs::is_name(&release) && sysfs::lines(file).iter().any(matches)
        })
    };
    if listed("modules.builtin") || host.path("sys/module").join(&plain).exists() {
        Module::Loaded
    } else if listed("modules.dep") {
        Module::Loadable
    } else {
        Module::Missing
    }
}

pub(super) fn vfio_pci(host: &Host) -> CheckResult {
    if host.driver("vfio-pci").exists() {
        return Ok("vfio-pci is loaded".into());
    }
    match module(host, "vfio-pci") {
        Module::Loaded => {
            fault("vfio_pci is loaded but has registered no PCI driver", "journalctl -k -g vfio")
        }
        // The lease loads the driver it binds to.
        Module::Loadable => Ok("vfio-pci is a module; it is loaded when a card is borrowed".into()),
        Module::Missing => missing(host, "vfio-pci", "CONFIG_VFIO_PCI"),
    }
}

/// `/dev/vfio/vfio` with the TYPE1 backend: what the group interface needs
/// (docs/linux.md#groups-and-containers).
pub(super) fn container(host: &Host) -> CheckResult {
    let node = host.path("dev/vfio/vfio").exists();
    match module(host, "vfio_iommu_type1") {
        Module::Loaded if node => Ok("/dev/vfio/vfio with vfio_iommu_type1".into()),
        // vfio-pci has a soft dependency on it (docs/linux.md#binding).
        Module::Loadable if !host.driver("vfio-pci").exists() => {
            Ok("vfio_iommu_type1 is a module; it is loaded with vfio-pci".into())
        }
        Module::Loadable => {
            fault("vfio_iommu_type1 is not loaded; the module exists", "modprobe vfio_iommu_type1")
        }
        Module::Missing => {
            missing(host, "vfio_iommu_type1", "CONFIG_VFIO_CONTAINER and CONFIG_VFIO_IOMMU_TYPE1")
        }
        Module::Loaded
            if module(host, "vfio") == Module::Loaded && host.path("dev/iommu").exists() =>
        {
            fault(
                "no /dev/vfio/vfio: this kernel has iommufd only",
                "boot a kernel with CONFIG_VFIO_CONTAINER, or build with --features cdev",
            )
        }
        Module::Loaded if host.is_container() => fault(
            "no /dev/vfio/vfio in this container",
            "give the container /dev/vfio, or run cx3flash on its host",
        ),
        Module::Loaded => fault("no /dev/vfio/vfio", "modprobe vfio"),
    }
}

fn missing(host: &Host, name: &str, option: &str) -> CheckResult {
    let release = host.kernel_release();
    let lists = ["lib/modules", "usr/lib/modules"].map(|dir| host.path(dir).join(&release));
    let gone = sysfs::is_name(&release) && !lists.iter().any(|dir| dir.exists());
    let fix = if gone && host.is_container() {
        format!(
            "modprobe {name}   # on the host of this container; if that fails, there: cx3flash doctor"
        )
    // Debian's and Ubuntu's cloud kernels lack drivers.
    } else if release.contains("-cloud") {
        "apt install linux-image-amd64 && reboot".to_owned()
    } else if gone {
        // As after an update of the kernel that removes the one that runs.
        format!(
            "reboot   # there are no modules of the running kernel; into a kernel with {option}"
        )
    } else if host.path("etc/fedora-release").exists() {
        format!("dnf install kernel-modules-{release}   # or boot a kernel with {option}")
    } else {
        format!("boot a kernel with {option}")
    };
    fault(format!("kernel {release} has no {name}"), fix)
}
