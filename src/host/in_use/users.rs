//! Other users of the card: RDMA programs, virtual functions, virtual machines, siblings.

use super::usage::Usage;
use super::use_id::{InUse, UseId};
use crate::host::process::OpenFile;
use crate::host::{Bdf, Host, PciCard, sysfs};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

pub(super) fn check(usage: &Usage<'_>) -> Vec<InUse> {
    let mut uses = rdma(usage);
    uses.extend(vfs(usage));
    uses.extend(machines(usage));
    uses.extend(siblings(usage));
    uses
}

/// Character devices of user RDMA, the subnet manager and the clock.
fn rdma(usage: &Usage<'_>) -> Vec<InUse> {
    let mut nodes: Vec<String> = Vec::new();
    for bdf in &usage.devices {
        let dir = usage.host.device(*bdf);
        for class in ["infiniband_verbs", "infiniband_mad"] {
            let names = sysfs::names(dir.join(class));
            nodes.extend(names.iter().map(|n| format!("/dev/infiniband/{n}")));
        }
        let clocks = sysfs::names(dir.join("ptp"));
        nodes.extend(clocks.iter().map(|n| format!("/dev/{n}")));
    }
    let has_rdma = !usage.card.rdma.is_empty();
    let mut by_process: BTreeMap<u32, Vec<String>> = BTreeMap::new();
    for file in &usage.files {
        let ours = nodes.contains(&file.target);
        // The connection manager belongs to no device; a process with verbs of another card open
        // uses it for that card.
        let verbs =
            |f: &&OpenFile| f.pid == file.pid && f.target.starts_with("/dev/infiniband/uverbs");
        let manager = has_rdma
            && file.target == "/dev/infiniband/rdma_cm"
            && !usage.files.iter().any(|f| verbs(&f));
        if ours || manager {
            let list = by_process.entry(file.pid).or_default();
            if !list.contains(&file.target) {
                list.push(file.target.clone());
            }
        }
    }
    by_process
        .into_iter()
        .map(|(pid, nodes)| {
            let name = usage.host.process_name(pid).unwrap_or_default();
            InUse::new(UseId::Rdma, format!("{name} (pid {pid}) has {} open", nodes.join(", ")))
        })
        .collect()
}

fn vfs(usage: &Usage<'_>) -> Option<InUse> {
    let vfs = &usage.card.vfs;
    if vfs.is_empty() {
        return None;
    }
    let list: Vec<String> = vfs
        .iter()
        .map(|vf| {
            let driver = usage.host.driver_of(*vf);
            format!("{vf} ({})", driver.as_deref().unwrap_or("no driver"))
        })
        .collect();
    Some(InUse::new(UseId::Vfs, format!("{} virtual functions: {}", vfs.len(), list.join(", "))))
}

/// The card or one of its virtual functions in a virtual machine.
fn machines(usage: &Usage<'_>) -> Vec<InUse> {
    let vfs = usage.card.vfs.iter();
    let vfs = vfs.filter_map(|vf| usage.host.card(*vf).ok());
    let detail = |card: PciCard| {
        let bdf = card.bdf;
        let on_vfio =
            card.driver.as_deref().is_some_and(|d| d.replace('-', "_").ends_with("vfio_pci"));
        let busy = || on_vfio && usage.host.group_busy(&card) == Some(true);
        let holder = usage.host.holder_among(&card, &usage.files);
        holder
            .map(|holder| format!("{bdf}: {holder}"))
            .or_else(|| reserved(usage.host, bdf))
            .or_else(|| {
                busy().then(|| format!("{bdf}: its group is open in a process of another user"))
            })
    };
    let details = std::iter::once(usage.card.clone()).chain(vfs).filter_map(detail);
    details.map(|d| InUse::new(UseId::HeldByVm, d)).collect()
}

/// Proxmox records which machine has which function: `BDF VMID pid:N`, or `BDF VMID time:EPOCH`
/// while the machine starts (docs/linux.md#cards-in-virtual-machines).
fn reserved(host: &Host, bdf: Bdf) -> Option<String> {
    let lines = sysfs::lines(host.path("run/qemu-server/pci-id-reservations"));
    lines.iter().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [at, vm, since, ..] = words.as_slice() else {
            return None;
        };
        if at.parse::<Bdf>().ok()? != bdf {
            return None;
        }
        if let Some(until) = since.strip_prefix("time:") {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs();
            // The end of the time limit for the start (INFERRED from the cleanup of the file).
            let starting = until.parse::<u64>().is_ok_and(|until| until >= now);
            return starting.then(|| format!("{bdf}: Proxmox VM {vm} is being started with it"));
        }
        let pid = since.strip_prefix("pid:")?;
        // The file is cleaned up late, so the process is checked.
        host.path("proc")
            .join(pid)
            .exists()
            .then(|| format!("{bdf}: Proxmox VM {vm} (pid {pid}) has reserved it"))
    })
}

fn siblings(usage: &Usage<'_>) -> Vec<InUse> {
    let mut uses = Vec::new();
    for sibling in usage.card.siblings.iter().filter(|s| s.blocks) {
        let what = usage.host.describe(sibling.bdf);
        let (bdf, group) = (sibling.bdf, usage.card.iommu_group.unwrap_or_default());
        uses.push(InUse::new(
            UseId::Siblings,
            format!("{bdf} is in the same IOMMU group {group}: {what}"),
        ));
        let disks = disks_in_use(usage.host, &usage.host.device(bdf));
        if !disks.is_empty() {
            let disks = disks.join(", ");
            uses.push(InUse::new(
                UseId::SiblingDisk,
                format!("{disks} in use behind {bdf}: {what}"),
            ));
        }
    }
    uses
}

/// Block devices below a PCI function that are mounted, used as swap, or part of another device.
fn disks_in_use(host: &Host, device: &Path) -> Vec<String> {
    let Ok(device) = std::fs::canonicalize(device) else {
        return Vec::new();
    };
    let disks = sysfs::entries(host.path("sys/class/block")).into_iter();
    let behind = disks
        .filter(|(_, dir)| std::fs::canonicalize(dir).is_ok_and(|real| real.starts_with(&device)));
    let used = behind.filter_map(|(name, dir)| {
        let how = disk_use(host, &name, &dir)?;
        Some(format!("{name} ({how})"))
    });
    used.collect()
}

fn disk_use(host: &Host, name: &str, dir: &Path) -> Option<String> {
    let node = format!("/dev/{name}");
    let first = |line: &String| line.split_whitespace().next() == Some(&node);
    let mounts = sysfs::lines(host.path("proc/mounts"));
    if let Some(line) = mounts.iter().find(|l| first(l)) {
        return Some(line.split_whitespace().nth(1)?.to_owned());
    }
    if sysfs::lines(host.path("proc/swaps")).iter().any(first) {
        return Some("swap".to_owned());
    }
    // LVM, md, dm-crypt, bcache.
    let holders = sysfs::names(dir.join("holders"));
    if !holders.is_empty() {
        return Some(format!("part of {}", holders.join(", ")));
    }
    // Only one disk of a btrfs over several is in the mount table.
    let btrfs = host.path("sys/fs/btrfs");
    let member = |uuid: &String| btrfs.join(uuid).join("devices").join(name).exists();
    if sysfs::names(&btrfs).iter().any(member) {
        return Some("btrfs".to_owned());
    }
    // ZFS is not visible in sysfs; udev has read the disk's label.
    let number = sysfs::text(dir.join("dev"))?;
    let label = sysfs::lines(host.path(format!("run/udev/data/b{number}")));
    let zfs = label.iter().any(|l| l == "E:ID_FS_TYPE=zfs_member");
    (zfs && host.path("sys/module/zfs").exists()).then(|| "ZFS".to_owned())
}
