//! Whether a virtual machine could use the card: creates a machine, adds the card's VFIO group to
//! it, and removes both (docs/linux.md#kvm-probe, the light probe). Neither the card nor its driver
//! is touched.
//!
//! It does not prove that the group can join a container (RMRR), nor interrupt remapping, nor DMA.

use super::vfio::{VfioError, open_viable_group};
use super::{Host, HostFinding, PciCard};
use kvm_bindings::{
    KVM_API_VERSION, KVM_DEV_VFIO_FILE, KVM_DEV_VFIO_FILE_ADD, KVM_DEV_VFIO_FILE_DEL,
    kvm_create_device, kvm_device_attr, kvm_device_type_KVM_DEV_TYPE_VFIO,
};
use kvm_ioctls::{Cap, DeviceFd, Kvm};
use nix::libc;
use std::ffi::CString;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;

const ID: &str = "kvm_passthrough";

/// The finding `kvm_passthrough` of `doctor`. No fault, with `not checked` and the reason, without
/// KVM, without a card, or when the card is not on vfio-pci and free.
pub fn kvm_findings(host: &Host, card: Option<&PciCard>) -> Vec<HostFinding> {
    vec![match probe(host, card) {
        Ok(detail) => HostFinding::good(ID, detail),
        Err(ProbeEnd::NotChecked(why)) => HostFinding::good(ID, format!("not checked: {why}")),
        Err(ProbeEnd::NotReady { why, fix }) => HostFinding::bad(ID, why, fix),
    }]
}

/// Why the probe ended early.
enum ProbeEnd {
    NotChecked(String),
    NotReady { why: String, fix: String },
}

fn probe(host: &Host, card: Option<&PciCard>) -> Result<String, ProbeEnd> {
    let node = host.path("dev/kvm");
    if !node.exists() {
        return Err(ProbeEnd::NotChecked("there is no /dev/kvm".into()));
    }
    let card = card.ok_or_else(|| ProbeEnd::NotChecked("no card is selected".into()))?;
    let bdf = card.bdf;
    let Some(group) = card.iommu_group else {
        return Err(ProbeEnd::NotChecked(format!("{bdf} has no IOMMU group")));
    };
    // The group first: without it no machine is needed.
    let group_file = open_group(host, card, group)?;
    let path = CString::new(node.as_os_str().as_bytes())
        .map_err(|_| ProbeEnd::NotChecked("/dev/kvm has an invalid path".into()))?;
    let kvm = Kvm::new_with_path(path)
        .map_err(|error| ProbeEnd::NotChecked(format!("/dev/kvm cannot be opened: {error}")))?;
    match kvm.get_api_version() {
        version if i64::from(version) == i64::from(KVM_API_VERSION) => {}
        version => {
            let why = format!("/dev/kvm has API version {version}, not {KVM_API_VERSION}");
            return Err(ProbeEnd::NotChecked(why));
        }
    }
    let device = vfio_device(&kvm)?;
    add_and_remove(&device, &group_file)?;
    Ok(format!(
        "a KVM machine accepts IOMMU group {group} of {bdf} (container, interrupts and DMA not tried)"
    ))
}

fn open_group(host: &Host, card: &PciCard, group: u32) -> Result<File, ProbeEnd> {
    let bdf = card.bdf;
    match open_viable_group(host, bdf, group) {
        Ok(file) => Ok(file),
        Err(error @ VfioError::NotViable { .. }) => Err(ProbeEnd::NotReady {
            why: error.to_string(),
            fix: format!(
                "unbind the siblings that /sys/bus/pci/devices/{bdf}/iommu_group/devices lists, or bind them to vfio-pci too"
            ),
        }),
        Err(VfioError::NoGroupNode { .. }) => Err(ProbeEnd::NotChecked(format!(
            "{bdf} is bound to {}, not to vfio-pci",
            card.driver.as_deref().unwrap_or("no driver")
        ))),
        Err(error) => Err(ProbeEnd::NotChecked(error.to_string())),
    }
}

/// The VFIO device of a new machine, which it keeps alive.
///
/// Without KVM_CREATE_DEVICE_TEST: kvm-ioctls would return descriptor 0 and close it, which is our
/// stdin (docs/linux.md#kvm-probe).
fn vfio_device(kvm: &Kvm) -> Result<DeviceFd, ProbeEnd> {
    let machine = kvm.create_vm().map_err(|error| ProbeEnd::NotReady {
        why: format!("KVM cannot create a machine: {error}"),
        fix: "journalctl -k -g kvm".into(),
    })?;
    let lacking = |what: String| ProbeEnd::NotReady {
        why: what,
        fix: "modprobe vfio; grep KVM_VFIO /boot/config-$(uname -r)".into(),
    };
    if !machine.check_extension(Cap::DeviceCtrl) {
        return Err(lacking("this KVM has no device control".into()));
    }
    let mut device = kvm_create_device {
        type_: kvm_device_type_KVM_DEV_TYPE_VFIO,
        fd: 0,
        flags: 0,
    };
    machine
        .create_device(&mut device)
        .map_err(|error| lacking(format!("KVM cannot create its VFIO device: {error}")))
}

/// Adds the group, adds it again (EEXIST proves that it was added), removes it.
fn add_and_remove(device: &DeviceFd, group: &File) -> Result<(), ProbeEnd> {
    let refused = |what: &str, errno: i32| {
        let why = match errno {
            libc::EBADF => "the descriptor is bad".to_owned(),
            libc::EINVAL => {
                "it does not recognise a VFIO file, or the module vfio is missing".to_owned()
            }
            other => std::io::Error::from_raw_os_error(other).to_string(),
        };
        ProbeEnd::NotReady {
            why: format!("KVM cannot {what} the card's group: {why}"),
            fix: "modprobe vfio-pci".into(),
        }
    };
    let fd: i32 = group.as_raw_fd();
    let set = |attr: u32| {
        let request = kvm_device_attr {
            flags: 0,
            group: KVM_DEV_VFIO_FILE,
            attr: u64::from(attr),
            // KVM reads an i32 there; `fd` lives until the end of this function.
            addr: &raw const fd as u64,
        };
        device
            .set_device_attr(&request)
            .map_err(|error| error.errno())
    };
    set(KVM_DEV_VFIO_FILE_ADD).map_err(|errno| refused("add", errno))?;
    match set(KVM_DEV_VFIO_FILE_ADD) {
        Err(libc::EEXIST) => {}
        Ok(()) => return Err(refused("keep", 0)),
        Err(errno) => return Err(refused("keep", errno)),
    }
    set(KVM_DEV_VFIO_FILE_DEL).map_err(|errno| refused("remove", errno))
}

#[cfg(test)]
mod tests {
    use super::{ID, kvm_findings};
    use crate::host::tests::fake::{CARD, FakeHost};
    use crate::host::{Host, PciCard};

    /// The card on this driver, in group 17 or in none.
    fn card(fake: &FakeHost, driver: &str, group: Option<u32>) -> PciCard {
        fake.driver(CARD, Some(driver));
        PciCard {
            iommu_group: group,
            ..fake.card()
        }
    }

    /// The reason for `not checked`.
    fn skipped(host: &Host, card: Option<&PciCard>) -> String {
        let findings = kvm_findings(host, card);
        assert_eq!(findings.len(), 1);
        assert_eq!((findings[0].id, findings[0].ok), (ID, true));
        assert_eq!(findings[0].fix, None);
        let detail = findings[0].detail.clone();
        let why = detail.strip_prefix("not checked: ");
        why.map(str::to_owned).unwrap_or_else(|| panic!("{detail}"))
    }

    #[test]
    fn a_missing_precondition_is_reported_and_no_fault() {
        let fake = FakeHost::new();
        fake.pci(CARD, 0x15b3, 0x1003, 0x02_00_00);
        let host = fake.host();
        let free = card(&fake, "vfio-pci", Some(17));
        assert_eq!(skipped(&host, Some(&free)), "there is no /dev/kvm");

        fake.write("/dev/kvm", "");
        assert_eq!(skipped(&host, None), "no card is selected");
        let without = card(&fake, "mlx4_core", None);
        assert_eq!(
            skipped(&host, Some(&without)),
            "0000:05:00.0 has no IOMMU group"
        );
        let bound = card(&fake, "mlx4_core", Some(17));
        assert_eq!(
            skipped(&host, Some(&bound)),
            "0000:05:00.0 is bound to mlx4_core, not to vfio-pci"
        );
        // A node that is not a group is no fault of the host.
        fake.write("/dev/vfio/17", "");
        assert_eq!(skipped(&host, Some(&free)), "VFIO_GROUP_GET_STATUS failed");
    }
}
