//! Every reason by its own name; hosts made of files.

use super::super::errno::{attach_error, crate_error, node_error};
use super::super::open::{is_viable, judge_bar};
use super::super::session::until_free;
use super::super::space::CR_SPACE;
use super::super::sys::Region;
use super::*;
use crate::card::Patience;
use crate::host::{Function, Host, PciCard};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;
use vfio_ioctls::VfioError as CrateError;

/// A host with one card in group 17, bound to `driver`.
fn host_with(driver: Option<&str>) -> (TempDir, Host, PciCard) {
    let dir = tempfile::tempdir().unwrap();
    let host = Host::at(dir.path());
    let device = host.device(BDF);
    let group = host.path("sys/kernel/iommu_groups/17");
    fs::create_dir_all(&device).unwrap();
    fs::create_dir_all(group.join("devices")).unwrap();
    fs::create_dir_all(host.path("dev/vfio")).unwrap();
    symlink(&group, device.join("iommu_group")).unwrap();
    add_to_group(&host, BDF, driver);
    let card = PciCard {
        bdf: BDF,
        device_id: 0x1003,
        function: Function::Physical,
        revision: 0,
        subsystem: (0x15b3, 0x55),
        serial: None,
        driver: driver.map(str::to_owned),
        driver_override: None,
        iommu_group: Some(17),
        siblings: vec![],
        bar0: Some(0x10_0000),
        reset_methods: vec![],
        vfs: vec![],
        netdevs: vec![],
        rdma: vec![],
        port_types: vec![],
        board_id: None,
        fw_version: None,
    };
    (dir, host, card)
}

fn add_to_group(host: &Host, bdf: Bdf, driver: Option<&str>) {
    let device = host.device(bdf);
    fs::create_dir_all(&device).unwrap();
    if let Some(driver) = driver {
        fs::create_dir_all(host.driver(driver)).unwrap();
        symlink(host.driver(driver), device.join("driver")).unwrap();
    }
    let devices = host.path("sys/kernel/iommu_groups/17/devices");
    symlink(&device, devices.join(bdf.to_string())).unwrap();
}

fn refused(host: &Host, card: &PciCard) -> VfioError {
    VfioCard::open(host, card, None).unwrap_err()
}

#[test]
fn errors_visible_in_sysfs_come_before_anything_is_opened() {
    let (_dir, host, card) = host_with(Some("mlx4_core"));
    assert!(matches!(
        refused(&host, &card),
        VfioError::WrongDriver { driver: Some(d), .. } if d == "mlx4_core"
    ));
    let (_dir, host, card) = host_with(None);
    assert!(matches!(
        refused(&host, &card),
        VfioError::WrongDriver { driver: None, .. }
    ));
    fs::remove_file(host.device(BDF).join("iommu_group")).unwrap();
    assert!(matches!(
        refused(&host, &card),
        VfioError::NoIommu { bdf: BDF }
    ));
}

#[test]
fn a_missing_group_node_and_a_plain_file_are_errors() {
    let (_dir, host, card) = host_with(Some("vfio-pci"));
    assert!(matches!(
        refused(&host, &card),
        VfioError::NoGroupNode { group: 17, .. }
    ));
    fs::write(host.path("dev/vfio/17"), "").unwrap();
    // A file takes no ioctl: the status is asked for before anything else.
    let error = refused(&host, &card);
    assert!(
        matches!(&error, VfioError::Ioctl { call: "VFIO_GROUP_GET_STATUS", source: Some(e) }
            if e.raw_os_error() == Some(libc::ENOTTY)),
        "{error:?}"
    );
}

#[test]
fn a_card_with_only_a_character_device_needs_the_feature_cdev() {
    let (_dir, host, card) = host_with(Some("vfio-pci"));
    // The sysfs directory is there even where the kernel offers no character device.
    fs::create_dir_all(host.device(BDF).join("vfio-dev/vfio0")).unwrap();
    assert!(matches!(
        refused(&host, &card),
        VfioError::NoGroupNode { .. }
    ));
    fs::create_dir_all(host.path("dev/vfio/devices")).unwrap();
    fs::write(host.path("dev/vfio/devices/vfio0"), "").unwrap();
    fs::write(host.path("dev/iommu"), "").unwrap();
    let error = refused(&host, &card);
    if cfg!(feature = "cdev") {
        assert!(
            matches!(error, VfioError::NotThisMachine { .. }),
            "{error:?}"
        );
    } else {
        assert!(
            matches!(&error, VfioError::OnlyCdev { path } if path.ends_with("devices/vfio0")),
            "{error:?}"
        );
    }
}

#[test]
fn each_errno_at_a_node_has_its_error() {
    let at = |errno| {
        node_error(
            Path::new("/dev/vfio/17"),
            17,
            io::Error::from_raw_os_error(errno),
        )
    };
    assert!(matches!(at(libc::EBUSY), VfioError::Busy { group: 17, .. }));
    assert!(matches!(at(libc::EACCES), VfioError::NoRights { .. }));
    assert!(matches!(at(libc::EPERM), VfioError::NoRights { .. }));
    assert!(matches!(at(libc::ENOENT), VfioError::NoGroupNode { .. }));
    assert!(matches!(at(libc::EIO), VfioError::Node { .. }));
}

#[test]
fn each_errno_at_set_container_has_its_error() {
    let of = |errno| attach_error(17, io::Error::from_raw_os_error(errno));
    assert!(matches!(of(libc::EPERM), VfioError::NoDmaOwnership { .. }));
    assert!(matches!(
        of(libc::EINVAL),
        VfioError::FirmwareMapping { .. }
    ));
    assert!(matches!(of(libc::ENOMEM), VfioError::Attach { .. }));
}

#[test]
fn each_error_of_vfio_ioctls_has_its_error() {
    let (_dir, host, _) = host_with(Some("vfio-pci"));
    let of = |error| crate_error(&host, BDF, 17, error);
    let io = io::Error::from_raw_os_error;
    // The crate's errno type is the one kvm-ioctls shows.
    let sys = kvm_ioctls::Error::new;
    use CrateError as E;
    assert!(matches!(
        of(E::OpenContainer(io(libc::ENOENT))),
        VfioError::NotLoaded { .. }
    ));
    assert!(matches!(
        of(E::OpenContainer(io(libc::ENODEV))),
        VfioError::NotLoaded { .. }
    ));
    assert!(matches!(
        of(E::OpenContainer(io(libc::EACCES))),
        VfioError::NoRights { .. }
    ));
    assert!(matches!(
        of(E::OpenContainer(io(libc::EMFILE))),
        VfioError::Node { .. }
    ));
    assert!(matches!(
        of(E::OpenGroup(io(libc::EBUSY), "17".into())),
        VfioError::Busy { .. }
    ));
    assert!(matches!(of(E::VfioExtension), VfioError::Unfit { .. }));
    assert!(matches!(
        of(E::ContainerSetIOMMU(sys(libc::EPERM))),
        VfioError::NoInterruptRemapping { group: 17 }
    ));
    assert!(matches!(
        of(E::ContainerSetIOMMU(sys(libc::ENOMEM))),
        VfioError::SetIommu { .. }
    ));
    assert!(matches!(
        of(E::GroupGetDeviceFD(sys(libc::EAGAIN))),
        VfioError::ResetBusy { .. }
    ));
    assert!(matches!(
        of(E::GroupGetDeviceFD(sys(libc::ENODEV))),
        VfioError::Left { .. }
    ));
    assert!(matches!(
        of(E::GroupGetDeviceFD(sys(libc::EIO))),
        VfioError::Enable { .. }
    ));
    match of(E::VfioDeviceGetInfo(sys(libc::EINVAL))) {
        VfioError::Ioctl { call, source } => {
            assert_eq!(call, "VFIO_DEVICE_GET_INFO");
            assert_eq!(source.unwrap().raw_os_error(), Some(libc::EINVAL));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn blocking_siblings_are_named() {
    let (_dir, host, _) = host_with(Some("vfio-pci"));
    let sibling = |function| Bdf { function, ..BDF };
    add_to_group(&host, sibling(1), Some("ahci"));
    add_to_group(&host, sibling(2), Some("pcieport"));
    add_to_group(&host, sibling(3), None);
    match crate_error(&host, BDF, 17, CrateError::GroupViable) {
        VfioError::NotViable { group, siblings } => {
            assert_eq!(group, 17);
            let named: Vec<_> = siblings
                .iter()
                .map(|s| (s.bdf, s.driver.as_deref()))
                .collect();
            assert_eq!(named, [(sibling(1), Some("ahci"))]);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_viable_group_with_a_container_is_viable() {
    // vfio-ioctls takes only exactly 1 (`VfioGroup::new`).
    let viable: Vec<_> = [0, 1, 2, 3].map(is_viable).into();
    assert_eq!(viable, [false, true, false, true]);
}

#[test]
fn bar0_is_usable_by_what_the_kernel_reports() {
    let judge = |size, flags| {
        let region = Region {
            flags,
            size,
            offset: 0,
        };
        judge_bar(region, true)
    };
    let whole = u64::from(CR_SPACE);
    assert_eq!(judge(0, 0).usable, Err(BarFault::Missing));
    assert_eq!(judge(whole - 1, 7).usable, Err(BarFault::Small(whole - 1)));
    assert_eq!(judge(whole, 5).usable, Err(BarFault::Flags(5)));
    let fine = judge(whole, 3);
    assert!(fine.usable.is_ok() && !fine.mappable);
    assert!(judge(2 * whole, 0xf).mappable);
    let sparse = Region {
        flags: 0xf,
        size: whole,
        offset: 0,
    };
    assert!(!judge_bar(sparse, false).mappable);
}

#[test]
fn closing_waits_for_the_group_with_a_limit() {
    let node = Path::new("/dev/vfio/17");
    let limit = Duration::from_secs(1);
    let patience = Patience::every(limit, Duration::from_millis(10));
    let busy = || Err(io::Error::from_raw_os_error(libc::EBUSY));
    let clock = Held::default();
    let mut left = 5;
    let free_later = || {
        left -= 1;
        if left == 0 { Ok(()) } else { busy() }
    };
    until_free(node, free_later, &clock, patience).unwrap();
    assert!(clock.now() > Duration::ZERO && clock.now() < limit);

    let clock = Held::default();
    match until_free(node, busy, &clock, patience) {
        Err(VfioError::StillBusy { waited_ms, .. }) => assert_eq!(waited_ms, 1000),
        other => panic!("{other:?}"),
    }
    // A node that went with the card holds nobody up.
    let clock = Held::default();
    let gone = || Err(io::Error::from_raw_os_error(libc::ENOENT));
    until_free(node, gone, &clock, patience).unwrap();
    assert_eq!(clock.now(), Duration::ZERO);
}

#[test]
fn the_name_of_a_transport_parses() {
    for access in BarAccess::ALL {
        assert_eq!(access.to_string().parse(), Ok(access));
    }
    assert!("MMAP".parse::<BarAccess>().is_err());
}
