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
use std::fmt::Display;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;

const ID: &str = "kvm_passthrough";

/// The finding `kvm_passthrough` of `doctor`. No fault, with `not checked` and the reason, without
/// KVM, without a card, or when the card is not on vfio-pci and free.
pub fn kvm_findings(host: &Host, card: Option<&PciCard>) -> Vec<HostFinding> {
    vec![probe(host, card).unwrap_or_else(|ended_early| ended_early)]
}

fn not_checked(why: impl Display) -> HostFinding {
    HostFinding::good(ID, format!("not checked: {why}"))
}

fn probe(host: &Host, card: Option<&PciCard>) -> Result<HostFinding, HostFinding> {
    let node = host.path("dev/kvm");
    if !node.exists() {
        return Err(not_checked("there is no /dev/kvm"));
    }
    let card = card.ok_or_else(|| not_checked("no card is selected"))?;
    let bdf = card.bdf;
    let Some(group) = card.iommu_group else {
        return Err(not_checked(format!("{bdf} has no IOMMU group")));
    };
    // The group first: without it no machine is needed.
    let group_file = open_group(host, card, group)?;
    let path = CString::new(node.as_os_str().as_bytes())
        .map_err(|_| not_checked("/dev/kvm has an invalid path"))?;
    let kvm = Kvm::new_with_path(path)
        .map_err(|error| not_checked(format!("/dev/kvm cannot be opened: {error}")))?;
    let version = kvm.get_api_version();
    if i64::from(version) != i64::from(KVM_API_VERSION) {
        let why = format!("/dev/kvm has API version {version}, not {KVM_API_VERSION}");
        return Err(not_checked(why));
    }
    let device = vfio_device(&kvm)?;
    add_and_remove(&device, &group_file)?;
    let detail = format!(
        "a KVM machine accepts IOMMU group {group} of {bdf} (container, interrupts and DMA not tried)"
    );
    Ok(HostFinding::good(ID, detail))
}

fn open_group(host: &Host, card: &PciCard, group: u32) -> Result<File, HostFinding> {
    let bdf = card.bdf;
    open_viable_group(host, bdf, group).map_err(|error| match error {
        VfioError::NotViable { .. } => HostFinding::bad(
            ID,
            error.to_string(),
            format!(
                "unbind the siblings that /sys/bus/pci/devices/{bdf}/iommu_group/devices lists, or bind them to vfio-pci too"
            ),
        ),
        VfioError::NoGroupNode { .. } => not_checked(format!(
            "{bdf} is bound to {}, not to vfio-pci",
            card.driver.as_deref().unwrap_or("no driver")
        )),
        error => not_checked(error),
    })
}

/// The VFIO device of a new machine, which it keeps alive.
///
/// Without KVM_CREATE_DEVICE_TEST: kvm-ioctls would return descriptor 0 and close it, which is our
/// stdin (docs/linux.md#kvm-probe).
fn vfio_device(kvm: &Kvm) -> Result<DeviceFd, HostFinding> {
    let machine = kvm.create_vm().map_err(|error| {
        let why = format!("KVM cannot create a machine: {error}");
        HostFinding::bad(ID, why, "journalctl -k -g kvm")
    })?;
    let lacking = |what: String| {
        let fix = "modprobe vfio; grep KVM_VFIO /boot/config-$(uname -r)";
        HostFinding::bad(ID, what, fix)
    };
    if !machine.check_extension(Cap::DeviceCtrl) {
        return Err(lacking("this KVM has no device control".into()));
    }
    let mut device =
        kvm_create_device { type_: kvm_device_type_KVM_DEV_TYPE_VFIO, fd: 0, flags: 0 };
    machine
        .create_device(&mut device)
        .map_err(|error| lacking(format!("KVM cannot create its VFIO device: {error}")))
}

/// Adds the group, adds it again (EEXIST proves that it was added), removes it.
fn add_and_remove(device: &DeviceFd, group: &File) -> Result<(), HostFinding> {
    let refused = |what: &str, errno: i32| {
        let why = match errno {
            libc::EBADF => "the descriptor is bad".to_owned(),
            libc::EINVAL => {
                "it does not recognise a VFIO file, or the module vfio is missing".to_owned()
            }
            other => std::io::Error::from_raw_os_error(other).to_string(),
        };
        let why = format!("KVM cannot {what} the card's group: {why}");
        HostFinding::bad(ID, why, "modprobe vfio-pci")
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
        device.set_device_attr(&request).map_err(|error| error.errno())
    };
    set(KVM_DEV_VFIO_FILE_ADD).map_err(|errno| refused("add", errno))?;
    match set(KVM_DEV_VFIO_FILE_ADD) {
        Err(libc::EEXIST) => {}
        other => return Err(refused("keep", other.err().unwrap_or(0))),
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
        PciCard { iommu_group: group, ..fake.card() }
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
        assert_eq!(skipped(&host, Some(&without)), "0000:05:00.0 has no IOMMU group");
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
