//! The kernel refuses a step, or does not answer.

use super::fake::{GUARD, Kernel, SIBLING, VF, differences};
use crate::host::lease::error::in_full;
use crate::host::lease::{Lease, LeaseError};
use crate::host::tests::fake::CARD;
use nix::libc;
use std::time::Duration;

const ERRNOS: [(i32, &str); 6] = [
    (libc::EAGAIN, "semaphore"),
    (libc::EINVAL, "ownership"),
    (libc::EIO, "firmware does not answer"),
    (libc::EBUSY, "group is still in use"),
    (libc::ENODEV, "did not come back"),
    (libc::ENOMEM, "no memory"),
];

#[test]
fn a_refused_step_of_giving_back_is_reported_and_can_be_repeated() {
    for (errno, meaning) in ERRNOS {
        let kernel = Kernel::new();
        let was = kernel.sys();
        let mut lease = kernel.take().unwrap();
        kernel.fail("mlx4_core/bind", errno);
        match lease.give_back() {
            Err(error @ LeaseError::NotBack { .. }) => {
                assert!(error.host_changed());
                assert!(error.to_string().contains(meaning), "{error}");
                let LeaseError::NotBack { source, .. } = error else { unreachable!() };
                assert_eq!(source.raw_os_error(), Some(errno));
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(kernel.text(GUARD), "1\n", "other cards keep their recovery");
        assert_eq!(kernel.journals(), 1);
        kernel.heal();
        lease.give_back().unwrap();
        assert_eq!(differences(&was, &kernel.sys()), [""; 0]);
    }
}

#[test]
fn every_errno_of_a_probe_has_words_and_what_to_type() {
    for errno in [
        libc::EAGAIN,
        libc::EINVAL,
        libc::EIO,
        libc::EBUSY,
        libc::ENODEV,
        libc::ENOMEM,
        libc::ENOSPC,
        libc::EACCES,
        libc::EPERM,
        libc::ENOENT,
        libc::ENXIO,
        libc::ETIMEDOUT,
        libc::EOPNOTSUPP,
    ] {
        for path in ["vfio-pci/bind", "mlx4_core/bind"] {
            let kernel = Kernel::new();
            kernel.fail(path, errno);
            let error = match kernel.take() {
                Ok(mut lease) => lease.give_back().unwrap_err(),
                Err(error) => error,
            };
            let text = error.to_string();
            let driver = path.split('/').next().unwrap();
            let typed = format!("; details: journalctl -k -g {driver})");
            assert!(text.contains(" (") && text.contains(&typed), "{errno}: {text}");
        }
    }
}

#[test]
fn a_probe_that_the_kernel_refuses_for_a_moment_is_tried_again() {
    for errno in [libc::EAGAIN, libc::EIO] {
        for path in ["vfio-pci/bind", "mlx4_core/bind", "ahci/bind"] {
            let kernel = Kernel::crowded();
            let was = kernel.sys();
            kernel.fail_times(path, errno, 3);
            kernel.take().unwrap().give_back().unwrap();
            assert_eq!(differences(&was, &kernel.sys()), [""; 0], "{path} {errno}");
            assert_eq!(kernel.waited(), Duration::from_secs(8), "{path} {errno}");
            assert_eq!(kernel.journals(), 0, "{path} {errno}");
        }
    }
    // Nothing else, and not for ever.
    for (errno, tries) in [(libc::EAGAIN, 4), (libc::EIO, 4), (libc::EINVAL, 1), (libc::ENOMEM, 1)]
    {
        let kernel = Kernel::new();
        let mut lease = kernel.take().unwrap();
        kernel.fail("mlx4_core/bind", errno);
        lease.give_back().unwrap_err();
        let binds = kernel.log().iter().filter(|line| line.ends_with("mlx4_core/bind")).count();
        assert_eq!(binds, tries, "{errno}");
    }
    // A driver that waited for the firmware for a minute has its answer.
    let kernel = Kernel::new();
    let mut lease = kernel.take().unwrap();
    kernel.fail("mlx4_core/bind", libc::EIO);
    kernel.failures_take(Duration::from_secs(62));
    lease.give_back().unwrap_err();
    let binds = kernel.log().iter().filter(|line| line.ends_with("mlx4_core/bind")).count();
    assert_eq!(binds, 1);
}

#[test]
fn a_card_that_others_took_from_vfio_pci_goes_back_to_its_new_driver() {
    let kernel = Kernel::new();
    kernel.files.driver(CARD, Some("vfio-pci"));
    drop(kernel.take().unwrap());
    assert_eq!(kernel.journals(), 1, "a journal of a process that was killed");
    kernel.files.remove(&format!("/sys/bus/pci/drivers/vfio-pci/{CARD}"));
    kernel.files.driver(CARD, Some("mlx4_core"));
    let was = kernel.sys();
    kernel.take().unwrap().give_back().unwrap();
    assert_eq!(differences(&was, &kernel.sys()), [""; 0]);
    assert_eq!(kernel.journals(), 0);
}

#[test]
fn a_refusal_of_vfio_pci_is_reported_and_undone() {
    for (errno, meaning) in [
        (libc::EINVAL, "no IOMMU group"),
        (libc::EBUSY, "virtual functions"),
        (libc::ENODEV, ""),
        (libc::EPERM, ""),
    ] {
        let kernel = Kernel::crowded();
        // Its virtual function could not go back to vfio-pci either.
        kernel.files.remove(&format!("/sys/bus/pci/drivers/vfio-pci/{VF}"));
        kernel.files.driver(VF, None);
        let was = kernel.sys();
        kernel.fail("vfio-pci/bind", errno);
        match kernel.take() {
            Err(error @ LeaseError::Refused { .. }) => {
                assert!(!error.host_changed());
                assert!(error.to_string().contains(meaning), "{error}");
            }
            other => panic!("{:?}", other.err()),
        }
        assert_eq!(differences(&was, &kernel.sys()), [""; 0]);
        assert_eq!(kernel.journals(), 0);
    }
}

#[test]
fn every_refused_step_of_taking_is_undone() {
    for path in ["mlx4_core/unbind", "ahci/unbind", "05:00.0/driver_override"] {
        let kernel = Kernel::crowded();
        let was = kernel.sys();
        kernel.fail(path, libc::EACCES);
        let error = kernel.take().err();
        assert!(matches!(error, Some(LeaseError::Refused { .. })), "{path}: {error:?}");
        kernel.heal();
        assert_eq!(differences(&was, &kernel.sys()), [""; 0], "{path}");
        assert_eq!(kernel.journals(), 0, "{path}");
    }
}

#[test]
fn both_errors_are_reported_when_restoring_fails_too() {
    let kernel = Kernel::new();
    let was = kernel.sys();
    kernel.fail("vfio-pci/bind", libc::EINVAL);
    kernel.fail("mlx4_core/bind", libc::EIO);
    let error = kernel.take().err().unwrap();
    assert!(error.host_changed());
    let text = error.to_string();
    assert!(text.contains("no IOMMU group") && text.contains("does not answer"), "{text}");
    kernel.heal();
    kernel.restore().unwrap();
    assert_eq!(differences(&was, &kernel.sys()), [""; 0]);
}

#[test]
fn without_an_iommu_group_nothing_is_touched() {
    let kernel = Kernel::new();
    kernel.files.remove(&format!("{}/iommu_group", kernel.files.device(CARD)));
    let was = kernel.sys();
    assert!(matches!(kernel.take().err(), Some(LeaseError::Refused { .. })));
    assert_eq!(differences(&was, &kernel.sys()), [""; 0]);
    assert!(!kernel.log().iter().any(|l| l.contains("> /")), "{:?}", kernel.log());
}

#[test]
fn without_vfio_pci_nothing_is_touched() {
    let kernel = Kernel::new();
    kernel.absent("vfio-pci");
    let was = kernel.sys();
    match kernel.take().err() {
        Some(LeaseError::NoDriver { driver, .. }) => assert_eq!(driver, "vfio-pci"),
        other => panic!("{other:?}"),
    }
    assert_eq!(differences(&was, &kernel.sys()), [""; 0]);
    assert!(!kernel.log().iter().any(|l| l.contains("> /")), "{:?}", kernel.log());
    assert_eq!(kernel.journals(), 0);
}

#[test]
fn a_module_that_is_not_loaded_is_loaded_before_the_card_moves() {
    let kernel = Kernel::new();
    let mut lease = kernel.take().unwrap();
    kernel.files.remove("/sys/bus/pci/drivers/mlx4_core");
    lease.give_back().unwrap();
    let log = kernel.log();
    let at = |words: &str| log.iter().position(|l| l.contains(words)).unwrap();
    assert!(at("modprobe mlx4_core") < at("vfio-pci/unbind"), "{log:#?}");
    assert_eq!(kernel.driver_of(CARD).as_deref(), Some("mlx4_core"));
}

#[test]
fn an_override_that_cannot_be_cleared_is_an_error() {
    let kernel = Kernel::new();
    let was = kernel.sys();
    let mut lease = kernel.take().unwrap();
    kernel.stubborn_override();
    let error = lease.give_back().unwrap_err();
    assert!(error.host_changed());
    let text = error.to_string();
    assert!(text.contains("driver_override") && text.contains("it reads vfio-pci"), "{text}");
    assert_eq!(kernel.journals(), 1);
    drop(lease);
    kernel.heal();
    kernel.restore().unwrap();
    assert_eq!(differences(&was, &kernel.sys()), [""; 0]);
}

#[test]
fn an_unbind_that_never_returns_keeps_the_journal() {
    let kernel = Kernel::new();
    let was = kernel.sys();
    kernel.hang("mlx4_core/unbind");
    match kernel.take().err() {
        Some(error @ LeaseError::Stuck { .. }) => {
            assert!(error.host_changed());
            assert!(error.to_string().contains("240 s"), "{error}");
        }
        other => panic!("{other:?}"),
    }
    let log = kernel.log();
    assert!(log.last().unwrap().contains("mlx4_core/unbind"), "nothing after it: {log:#?}");
    assert_eq!(kernel.journals(), 1);
    kernel.heal();
    kernel.restore().unwrap();
    assert_eq!(differences(&was, &kernel.sys()), [""; 0]);
}

#[test]
fn a_renamed_netdev_is_a_warning() {
    let kernel = Kernel::new();
    let mut lease = kernel.take().unwrap();
    kernel.netdevs_return_as(["enp5s0", "eth7"]);
    let warnings = lease.give_back().unwrap();
    let netdevs = kernel.card().netdevs.into_iter().map(|net| net.name);
    assert_eq!(netdevs.collect::<Vec<_>>(), ["enp5s0", "eth7"]);
    assert_eq!(warnings, ["enp5s0d1 is called eth7 now"]);
    assert_eq!(kernel.waited(), Duration::from_secs(60));
    assert_eq!(kernel.journals(), 0);
}

#[test]
fn a_sibling_that_does_not_go_back_keeps_the_journal() {
    let kernel = Kernel::crowded();
    let was = kernel.sys();
    let mut lease = kernel.take().unwrap();
    kernel.fail("ahci/bind", libc::ENODEV);
    assert!(matches!(lease.give_back(), Err(LeaseError::NotBack { .. })));
    assert_eq!(kernel.driver_of(CARD).as_deref(), Some("mlx4_core"));
    assert_eq!(kernel.journals(), 1);
    drop(lease);
    kernel.heal();
    kernel.restore().unwrap();
    assert_eq!(differences(&was, &kernel.sys()), [""; 0]);
}

#[test]
fn a_parameter_that_cannot_be_written_does_not_keep_the_card() {
    let kernel = Kernel::new();
    let mut lease = kernel.take().unwrap();
    kernel.fail("internal_err_reset", libc::EACCES);
    lease.give_back().unwrap();
    assert_eq!(kernel.driver_of(CARD).as_deref(), Some("mlx4_core"));
}

#[test]
fn two_cards_given_back_at_once_restore_the_parameter() {
    let kernel = Kernel::new();
    let mut lease = kernel.take().unwrap();
    // Another process is in its probe: the parameter reads 0, and that is not what it was.
    let path = kernel.host().lock_dir().join("internal_err_reset.lock");
    let other = std::fs::File::create(&path).unwrap();
    let other = nix::fcntl::Flock::lock(other, nix::fcntl::FlockArg::LockExclusive).unwrap();
    let was = kernel.text(GUARD);
    kernel.held_until_a_pause(other);
    lease.give_back().unwrap();
    let log = kernel.log();
    let at = |word: &str| log.iter().position(|line| line.contains(word));
    let (done, guarded) = (at("another process"), at("parameters/internal_err_reset"));
    assert!(done.is_some() && done < guarded, "{log:#?}");
    assert_eq!(kernel.text(GUARD), was);
    assert_eq!(kernel.driver_of(CARD).as_deref(), Some("mlx4_core"));
}

#[test]
fn a_probe_that_never_returns_stays_guarded() {
    let kernel = Kernel::new();
    let mut lease = kernel.take().unwrap();
    kernel.hang("mlx4_core/bind");
    assert!(matches!(lease.give_back(), Err(LeaseError::Stuck { .. })));
    assert_eq!(kernel.text(GUARD), "0\n");
    drop(lease);
    // Another card's process does not end it.
    let users = kernel.host().lock_dir().join("internal_err_reset.users");
    let exclusive = rustix::fs::FlockOperation::NonBlockingLockExclusive;
    assert!(crate::host::lease::lock::acquire(&users, exclusive, 0o600).unwrap().is_none());
}

#[test]
fn without_lock_files_one_process_still_restores_the_parameter() {
    for errno in [libc::EROFS, libc::ENOSPC] {
        let kernel = Kernel::new();
        let was = kernel.sys();
        kernel.no_lock_files(errno);
        let mut lease = kernel.take().unwrap();
        let warnings = lease.give_back().unwrap();
        let warned = warnings.iter().any(|w| w.contains("internal_err_reset.lock"));
        assert!(warned, "{warnings:?}");
        let log = kernel.log();
        assert!(log.iter().any(|line| line.starts_with("\"0\\n\" >")), "unguarded: {log:#?}");
        assert_eq!(differences(&was, &kernel.sys()), [""; 0]);
    }
}

#[test]
fn a_foreign_file_in_the_place_of_a_lock_of_the_parameter_does_not_keep_the_card() {
    for name in ["lock", "users"] {
        let kernel = Kernel::new();
        let was = kernel.sys();
        let path = kernel.host().lock_dir().join(format!("internal_err_reset.{name}"));
        std::fs::create_dir_all(&path).unwrap();
        let warnings = kernel.take().unwrap().give_back().unwrap();
        assert!(!warnings.is_empty(), "{name}");
        assert_eq!(differences(&was, &kernel.sys()), [""; 0], "{name}");
    }
}

#[test]
fn a_parameter_left_off_by_a_dead_process_is_restored_by_the_next_user() {
    // What a process leaves that is killed in its probe: the note, and the parameter at 0.
    let kernel = Kernel::new();
    let was = kernel.sys();
    let dir = kernel.host().lock_dir();
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("internal_err_reset.lock"), "1").unwrap();
    kernel.files.write(GUARD, "0\n");
    kernel.take().unwrap().give_back().unwrap();
    assert_eq!(differences(&was, &kernel.sys()), [""; 0]);
    // A parameter that is off by the administrator's choice stays off.
    kernel.files.write(GUARD, "0\n");
    kernel.take().unwrap().give_back().unwrap();
    assert_eq!(kernel.text(GUARD), "0\n");
}

#[test]
fn a_failed_step_of_giving_back_does_not_stop_the_others() {
    // The card cannot go back to its driver: its sibling and its override do.
    let kernel = Kernel::crowded();
    let mut lease = kernel.take().unwrap();
    kernel.fail("mlx4_core/bind", libc::EIO);
    assert!(lease.give_back().unwrap_err().host_changed());
    assert_eq!(kernel.driver_of(SIBLING).as_deref(), Some("ahci"));
    assert_eq!(kernel.card().driver_override, None);
    assert_eq!(kernel.text(GUARD), "1\n");
    // The others fail: each is reported, and the card is back.
    let kernel = Kernel::crowded();
    let was = kernel.sys();
    let mut lease = kernel.take().unwrap();
    for path in ["vfio-pci/bind", "ahci/bind"] {
        kernel.fail(path, libc::EIO);
    }
    let error = lease.give_back().unwrap_err();
    let text = error.to_string();
    assert!(error.host_changed() && text.contains(VF) && text.contains(SIBLING), "{text}");
    assert_eq!(kernel.driver_of(CARD).as_deref(), Some("mlx4_core"));
    assert_eq!(kernel.text(&format!("{}/mlx4_port1", kernel.files.device(CARD))), "eth\n");
    kernel.heal();
    lease.give_back().unwrap();
    assert_eq!(differences(&was, &kernel.sys()), [""; 0]);
}

#[test]
fn a_driver_that_cannot_be_loaded_again_is_reported_as_a_host_that_is_not_restored() {
    let kernel = Kernel::new();
    let mut lease = kernel.take().unwrap();
    kernel.absent("mlx4_core");
    let error = lease.give_back().unwrap_err();
    assert!(error.host_changed(), "{error:?}");
    assert_eq!(kernel.journals(), 1);
}

#[test]
fn a_driver_that_is_there_although_its_modprobe_failed_is_used() {
    let kernel = Kernel::new();
    kernel.absent("vfio-pci");
    let files = kernel.files.share();
    kernel.at_step("modprobe vfio-pci", move || files.mkdir("/sys/bus/pci/drivers/vfio-pci"));
    kernel.take().unwrap();
}

#[test]
fn a_module_whose_loading_has_not_ended_is_waited_for_once() {
    let kernel = Kernel::crowded();
    let mut lease = kernel.take().unwrap();
    // The sibling has the driver of the card.
    lease.record.original.siblings[0].driver = "mlx4_core".into();
    kernel.files.remove("/sys/bus/pci/drivers/mlx4_core");
    kernel.hang("mlx4_core");
    for giving_back in [Lease::give_back, Lease::reenumerate] {
        let error = giving_back(&mut lease).unwrap_err();
        assert!(error.host_changed(), "{error}");
        let text = in_full(&error);
        assert!(text.contains("modprobe had not ended"), "{text}");
        assert_eq!(kernel.journals(), 1);
    }
    let log = kernel.log();
    assert_eq!(log.iter().filter(|line| *line == "modprobe mlx4_core").count(), 1, "{log:#?}");
}

#[test]
fn the_type_of_the_second_port_is_not_given_to_the_first_one() {
    let kernel = Kernel::new();
    // Read while the driver removes them.
    let dir = kernel.files.device(CARD);
    kernel.files.remove(&format!("{dir}/mlx4_port1"));
    kernel.files.write(&format!("{dir}/mlx4_port2"), "ib\n");
    kernel.files.driver(CARD, Some("vfio-pci"));
    assert_eq!(kernel.take().unwrap().original().port_types, [""; 0]);
}
