//! Each reason has its own error; hosts that are directories.

use super::super::errno::{attach_error, crate_error, node_error};
use super::super::open::{is_viable, judge_bar};
use super::super::session::until_free;
use super::super::space::CR_SPACE;
use super::super::sys::Region;
use super::*;
use crate::card::Patience;
use crate::host::tests::fake::{CARD, FakeHost};
use crate::host::{Host, PciCard};
use std::fs;
use std::path::Path;
use std::time::Duration;
use vfio_ioctls::VfioError as CrateError;

/// A host with one card in group 17, bound to `driver`.
fn host_with(driver: Option<&str>) -> (FakeHost, Host, PciCard) {
    let fake = FakeHost::new();
    fake.pci(CARD, 0x15b3, 0x1003, 0x02_00_00);
    fake.driver(CARD, driver);
    fake.group(17, &[CARD]);
    fake.mkdir("/dev/vfio");
    let (host, card) = (fake.host(), fake.card());
    (fake, host, card)
}

fn refused(host: &Host, card: &PciCard) -> VfioError {
    VfioCard::open(host, card, None).err().unwrap()
}

#[test]
fn errors_visible_in_sysfs_come_before_anything_is_opened() {
    let (_fake, host, card) = host_with(Some("mlx4_core"));
    assert!(matches!(
        refused(&host, &card),
        VfioError::WrongDriver { driver: Some(d), .. } if d == "mlx4_core"
    ));
    let (_fake, host, card) = host_with(None);
    assert!(matches!(refused(&host, &card), VfioError::WrongDriver { driver: None, .. }));
    fs::remove_file(host.device(BDF).join("iommu_group")).unwrap();
    assert!(matches!(refused(&host, &card), VfioError::NoIommu { bdf: BDF }));
}

#[test]
fn a_missing_group_node_and_a_plain_file_are_errors() {
    let (_fake, host, card) = host_with(Some("vfio-pci"));
    assert!(matches!(refused(&host, &card), VfioError::NoGroupNode { group: 17, .. }));
    fs::write(host.path("dev/vfio/17"), "").unwrap();
    // A plain file has no ioctl: the status is read first.
    let error = refused(&host, &card);
    assert!(
        matches!(&error, VfioError::Ioctl { call: "VFIO_GROUP_GET_STATUS", source: Some(e) }
            if e.raw_os_error() == Some(libc::ENOTTY)),
        "{error:?}"
    );
}

#[test]
fn a_card_with_only_a_character_device_needs_the_feature_cdev() {
    let (_fake, host, card) = host_with(Some("vfio-pci"));
    // The sysfs directory is there even where the kernel offers no character device.
    fs::create_dir_all(host.device(BDF).join("vfio-dev/vfio0")).unwrap();
    assert!(matches!(refused(&host, &card), VfioError::NoGroupNode { .. }));
    fs::create_dir_all(host.path("dev/vfio/devices")).unwrap();
    fs::write(host.path("dev/vfio/devices/vfio0"), "").unwrap();
    fs::write(host.path("dev/iommu"), "").unwrap();
    let error = refused(&host, &card);
    if cfg!(feature = "cdev") {
        assert!(matches!(error, VfioError::NotThisMachine { .. }), "{error:?}");
    } else {
        assert!(
            matches!(&error, VfioError::OnlyCdev { path } if path.ends_with("devices/vfio0")),
            "{error:?}"
        );
    }
}

#[test]
fn each_errno_at_a_node_has_its_error() {
    let at = |errno| node_error(Path::new("/dev/vfio/17"), 17, io::Error::from_raw_os_error(errno));
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
    assert!(matches!(of(libc::EINVAL), VfioError::FirmwareMapping { .. }));
    assert!(matches!(of(libc::ENOMEM), VfioError::Attach { .. }));
}

#[test]
fn each_error_of_vfio_ioctls_has_its_error() {
    let (_fake, host, _) = host_with(Some("vfio-pci"));
    let of = |error| crate_error(&host, BDF, 17, error);
    let io = io::Error::from_raw_os_error;
    // The crate's errno type is the one kvm-ioctls shows.
    let sys = kvm_ioctls::Error::new;
    use CrateError as E;
    assert!(matches!(of(E::OpenContainer(io(libc::ENOENT))), VfioError::NotLoaded { .. }));
    assert!(matches!(of(E::OpenContainer(io(libc::ENODEV))), VfioError::NotLoaded { .. }));
    assert!(matches!(of(E::OpenContainer(io(libc::EACCES))), VfioError::NoRights { .. }));
    assert!(matches!(of(E::OpenContainer(io(libc::EMFILE))), VfioError::Node { .. }));
    assert!(matches!(of(E::OpenGroup(io(libc::EBUSY), "17".into())), VfioError::Busy { .. }));
    assert!(matches!(of(E::VfioExtension), VfioError::Unfit { .. }));
    assert!(matches!(
        of(E::ContainerSetIOMMU(sys(libc::EPERM))),
        VfioError::NoInterruptRemapping { group: 17 }
    ));
    assert!(matches!(of(E::ContainerSetIOMMU(sys(libc::ENOMEM))), VfioError::SetIommu { .. }));
    assert!(matches!(of(E::GroupGetDeviceFD(sys(libc::EAGAIN))), VfioError::ResetBusy { .. }));
    assert!(matches!(of(E::GroupGetDeviceFD(sys(libc::ENODEV))), VfioError::Left { .. }));
    assert!(matches!(of(E::GroupGetDeviceFD(sys(libc::EIO))), VfioError::Enable { .. }));
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
    let (fake, host, _) = host_with(Some("vfio-pci"));
    let siblings = [
        ("0000:05:00.1", Some("ahci")),
        ("0000:05:00.2", Some("pcieport")),
        ("0000:05:00.3", None),
    ];
    for (sibling, driver) in siblings {
        fake.pci(sibling, 0x8086, 0x2922, 0x01_06_01);
        fake.driver(sibling, driver);
        fake.group(17, &[sibling]);
    }
    match crate_error(&host, BDF, 17, CrateError::GroupViable) {
        VfioError::NotViable { group, siblings } => {
            assert_eq!(group, 17);
            let named: Vec<_> = siblings.iter().map(|s| (s.bdf, s.driver.as_deref())).collect();
            assert_eq!(named, [("0000:05:00.1".parse().unwrap(), Some("ahci"))]);
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
        let region = Region { flags, size, offset: 0 };
        judge_bar(region, true)
    };
    let full = u64::from(CR_SPACE);
    assert_eq!(judge(0, 0).usable, Err(BarFault::Missing));
    assert_eq!(judge(full - 1, 7).usable, Err(BarFault::Small(full - 1)));
    assert_eq!(judge(full, 5).usable, Err(BarFault::Flags(5)));
    let fine = judge(full, 3);
    assert!(fine.usable.is_ok() && !fine.mappable);
    assert!(judge(2 * full, 0xf).mappable);
    let sparse = Region { flags: 0xf, size: full, offset: 0 };
    assert!(!judge_bar(sparse, false).mappable);
}

#[test]
fn closing_waits_for_the_group_with_a_limit() {
    let node = Path::new("/dev/vfio/17");
    let limit = Duration::from_secs(1);
    let patience = Patience::every(limit, Duration::from_millis(10));
    let busy = || Err(io::Error::from_raw_os_error(libc::EBUSY));
    let clock = SteppedClock::default();
    let mut left = 5;
    let free_later = || {
        left -= 1;
        if left == 0 { Ok(()) } else { busy() }
    };
    until_free(node, free_later, &clock, patience).unwrap();
    assert!(clock.now() > Duration::ZERO && clock.now() < limit);

    let clock = SteppedClock::default();
    match until_free(node, busy, &clock, patience) {
        Err(VfioError::StillBusy { waited_ms, .. }) => assert_eq!(waited_ms, 1000),
        other => panic!("{other:?}"),
    }
    // A node that was removed with the card does not wait.
    let clock = SteppedClock::default();
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
