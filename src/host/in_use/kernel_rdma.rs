//! Kernel users of the card's RDMA devices (NVMe over RDMA, NFS, iSER, SRP, SMC, RDS, SMB Direct):
//! they have no file open. `rdma resource` shows them, over netlink.
//!
//! Sources: Linux include/uapi/rdma/rdma_netlink.h, drivers/infiniband/core/nldev.c. A resource of
//! the kernel has the name of the module that made it (`RDMA_NLDEV_ATTR_RES_KERN_NAME`), one of a
//! process has its pid; processes are detected by their open files.

use super::use_id::{InUse, UseId};
use crate::host::netlink::{self, Netlink};
use crate::host::sysfs::zero_terminated;
use std::collections::BTreeMap;
use std::io;

// Commands of `enum rdma_nldev_command`.
const GET: u16 = 1;
const QP_GET: u16 = 10;
const CM_ID_GET: u16 = 11;
const CQ_GET: u16 = 12;
const MR_GET: u16 = 13;

// Attributes of `enum rdma_nldev_attr`.
const DEV_INDEX: u16 = 1;
const DEV_NAME: u16 = 2;
const KERN_NAME: u16 = 29;

/// A kind of resource: command, table, entry, name.
const KINDS: [(u16, u16, u16, &str); 4] = [
    (QP_GET, 19, 20, "QP"),
    (CM_ID_GET, 30, 31, "CM id"),
    (CQ_GET, 35, 36, "CQ"),
    (MR_GET, 40, 41, "MR"),
];

/// Modules that hold resources of every RDMA device, used or not: management datagrams, the driver
/// itself, and IP over InfiniBand, whose use the checks of the network see. Protection domains are
/// not counted: rds_rdma and ib_srp allocate one of every device.
const ALWAYS: [&str; 3] = ["ib_core", "mlx4_ib", "ib_ipoib"];

/// Kernel modules that use one of the RDMA devices `names`. An error when the kernel does not list
/// resources of RDMA devices.
pub(in crate::host) fn users(
    netlink: &mut dyn Netlink,
    names: &[String],
) -> io::Result<Vec<InUse>> {
    let mut uses = Vec::new();
    for (index, name) in devices(netlink)? {
        if !names.contains(&name) {
            continue;
        }
        for (module, counts) in modules(netlink, index)? {
            let counts: Vec<String> = counts
                .iter()
                .map(|(kind, count)| match count {
                    1 => format!("1 {kind}"),
                    _ => format!("{count} {kind}s"),
                })
                .collect();
            let counts = counts.join(", ");
            uses.push(InUse::new(
                UseId::RdmaKernel,
                format!("kernel module {module} uses {name}: {counts}"),
            ));
        }
    }
    Ok(uses)
}

/// Index and name of every RDMA device.
fn devices(netlink: &mut dyn Netlink) -> io::Result<Vec<(u32, String)>> {
    let messages = netlink.dump(GET, &[])?;
    let devices = messages.iter().filter_map(|message| {
        let attribute = |id| netlink::attributes(message).find(|(kind, _)| *kind == id);
        let (_, index) = attribute(DEV_INDEX)?;
        let (_, name) = attribute(DEV_NAME)?;
        Some((u32::from_ne_bytes(index.try_into().ok()?), zero_terminated(name)))
    });
    Ok(devices.collect())
}

/// Resources by module and kind, without those that every device has.
fn modules(
    netlink: &mut dyn Netlink,
    index: u32,
) -> io::Result<BTreeMap<String, BTreeMap<&'static str, usize>>> {
    let mut modules: BTreeMap<String, BTreeMap<&str, usize>> = BTreeMap::new();
    let device = netlink::attribute(DEV_INDEX, &index.to_ne_bytes());
    let mut failures = Vec::new();
    for (command, table, entry, kind) in KINDS {
        // Older kernels know some kinds only.
        let messages = match netlink.dump(command, &device) {
            Ok(messages) => messages,
            Err(error) => {
                failures.push(error);
                continue;
            }
        };
        for message in messages {
            for module in owners(&message, table, entry) {
                if !ALWAYS.contains(&module.as_str()) {
                    *modules.entry(module).or_default().entry(kind).or_default() += 1;
                }
            }
        }
    }
    match failures.pop() {
        Some(error) if failures.len() + 1 == KINDS.len() => Err(error),
        _ => Ok(modules),
    }
}

/// The module of every entry that has one.
fn owners(message: &[u8], table: u16, entry: u16) -> Vec<String> {
    let of_kind = |bytes, wanted| {
        netlink::attributes(bytes)
            .filter_map(move |(kind, inner)| (kind == wanted).then_some(inner))
    };
    of_kind(message, table)
        .flat_map(|rows| of_kind(rows, entry))
        .flat_map(|row| of_kind(row, KERN_NAME))
        .map(zero_terminated)
        .collect()
}

#[cfg(test)]
pub(in crate::host) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A kernel that answers dumps: RDMA devices, and the owners of their resources.
    #[derive(Default)]
    pub(in crate::host) struct FakeRdma {
        devices: Vec<(u32, &'static str)>,
        /// Device, command, owner.
        resources: Vec<(u32, u16, ResourceOwner)>,
        /// Errno of every dump.
        refuses: Option<i32>,
        /// A kind that this kernel cannot list.
        lacks: Option<u16>,
    }

    #[derive(Clone, Copy)]
    enum ResourceOwner {
        Module(&'static str),
        Process(u32),
    }

    impl FakeRdma {
        /// A kernel module gets a QP and a connection.
        pub(in crate::host) fn kernel_user(&mut self, device: &str, module: &'static str) {
            let (index, _) = self.devices.iter().find(|d| d.1 == device).unwrap();
            for command in [QP_GET, CM_ID_GET] {
                self.resources.push((*index, command, ResourceOwner::Module(module)));
            }
        }

        /// Refuses every dump.
        pub(in crate::host) fn refuse(&mut self, errno: i32) {
            self.refuses = Some(errno);
        }
    }

    fn string(kind: u16, text: &str) -> Vec<u8> {
        netlink::attribute(kind, format!("{text}\0").as_bytes())
    }

    fn number(kind: u16, value: u32) -> Vec<u8> {
        netlink::attribute(kind, &value.to_ne_bytes())
    }

    impl Netlink for FakeRdma {
        fn dump(&mut self, command: u16, attributes: &[u8]) -> io::Result<Vec<Vec<u8>>> {
            if let Some(errno) = self.refuses {
                return Err(io::Error::from_raw_os_error(errno));
            }
            if self.lacks == Some(command) {
                return Err(io::Error::from_raw_os_error(nix::libc::EINVAL));
            }
            if command == GET {
                let devices = self.devices.iter();
                return Ok(devices
                    .map(|(index, name)| [number(1, *index), string(2, name)].concat())
                    .collect());
            }
            let (_, table, entry, _) = KINDS.into_iter().find(|k| k.0 == command).unwrap();
            let of_this =
                |r: &&(u32, u16, ResourceOwner)| number(1, r.0) == attributes && r.1 == command;
            let rows = self.resources.iter().filter(of_this).map(|resource| {
                let owner = match resource.2 {
                    ResourceOwner::Module(name) => string(29, name),
                    ResourceOwner::Process(pid) => number(28, pid),
                };
                // A QP number and a type come before the owner.
                let row = [number(21, 77), netlink::attribute(26, &[2]), owner].concat();
                netlink::attribute(entry, &row)
            });
            let rows: Vec<u8> = rows.flatten().collect();
            // The kernel marks tables as nested.
            let table = netlink::attribute(table | 0x8000, &rows);
            Ok(vec![[attributes.to_vec(), table].concat()])
        }
    }

    /// The card's `mlx4_0` with what every device has, and another card with a busy NVMe host.
    pub(in crate::host) fn idle() -> FakeRdma {
        let mut rdma =
            FakeRdma { devices: vec![(7, "mlx4_0"), (8, "mlx5_0")], ..FakeRdma::default() };
        for module in ALWAYS {
            rdma.resources.push((7, QP_GET, ResourceOwner::Module(module)));
            rdma.resources.push((7, CQ_GET, ResourceOwner::Module(module)));
        }
        rdma.resources.push((8, QP_GET, ResourceOwner::Module("nvme_rdma")));
        // A process is detected by its open file.
        rdma.resources.push((7, QP_GET, ResourceOwner::Process(4711)));
        rdma
    }

    fn details(rdma: &mut FakeRdma) -> Vec<String> {
        let uses = users(rdma, &["mlx4_0".into()]).unwrap();
        assert!(uses.iter().all(|used| used.id == UseId::RdmaKernel));
        uses.into_iter().map(|used| used.detail).collect()
    }

    #[test]
    fn resources_of_every_device_are_no_use() {
        assert_eq!(details(&mut idle()), [""; 0]);
    }

    #[test]
    fn kernel_modules_that_use_the_card_are_named_with_their_resources() {
        let mut rdma = idle();
        for (command, module) in [
            (QP_GET, "nvme_rdma"),
            (QP_GET, "nvme_rdma"),
            (CM_ID_GET, "nvme_rdma"),
            (MR_GET, "nvme_rdma"),
            (QP_GET, "rpcrdma"),
            (CQ_GET, "smc"),
        ] {
            rdma.resources.push((7, command, ResourceOwner::Module(module)));
        }
        assert_eq!(
            details(&mut rdma),
            [
                "kernel module nvme_rdma uses mlx4_0: 1 CM id, 1 MR, 2 QPs",
                "kernel module rpcrdma uses mlx4_0: 1 QP",
                "kernel module smc uses mlx4_0: 1 CQ",
            ]
        );
    }

    /// The four tables as the numbers of rdma_netlink.h have them: one entry with an owner each.
    #[cfg(target_endian = "little")]
    #[test]
    fn the_numbers_are_those_of_the_kernel() {
        for (command, table, entry) in [(10, 19, 20), (11, 30, 31), (12, 35, 36), (13, 40, 41)] {
            let mut answer = b"\x08\0\x01\0\x07\0\0\0\x0b\0\x02\0mlx4_0\0\0".to_vec();
            answer.extend([0x20, 0, table, 0x80, 0x1c, 0, entry, 0x80]);
            answer.extend(b"\x08\0\x15\0\x4d\0\0\0\x0e\0\x1d\0nvme_rdma\0\0\0");
            let kind = KINDS.iter().find(|kind| kind.0 == command).unwrap();
            assert_eq!(owners(&answer, kind.1, kind.2), ["nvme_rdma"], "{command}");
            let mut kernel = Same(answer);
            assert_eq!(devices(&mut kernel).unwrap(), [(7, "mlx4_0".to_owned())]);
        }
    }

    #[test]
    fn a_kind_that_an_older_kernel_cannot_list_hides_no_other() {
        let mut rdma = idle();
        rdma.resources.push((7, QP_GET, ResourceOwner::Module("nvme_rdma")));
        rdma.lacks = Some(CM_ID_GET);
        assert_eq!(details(&mut rdma), ["kernel module nvme_rdma uses mlx4_0: 1 QP"]);
    }

    #[test]
    fn a_kernel_that_cannot_list_resources_is_an_error() {
        for errno in [nix::libc::EPERM, nix::libc::EOPNOTSUPP, nix::libc::EINVAL] {
            let mut rdma = idle();
            rdma.refuses = Some(errno);
            let error = users(&mut rdma, &["mlx4_0".into()]).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(errno));
        }
    }

    /// Answers every dump with the same bytes.
    struct Same(Vec<u8>);

    impl Netlink for Same {
        fn dump(&mut self, _: u16, _: &[u8]) -> io::Result<Vec<Vec<u8>>> {
            Ok(vec![self.0.clone()])
        }
    }

    proptest! {
        #[test]
        fn any_answer_is_read_without_a_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let head = [number(1, 7), string(2, "mlx4_0")].concat();
            bytes.splice(0..0, head);
            let uses = users(&mut Same(bytes), &["mlx4_0".into()]).unwrap();
            for used in uses {
                prop_assert!(!used.detail.contains(char::is_control));
            }
        }
    }
}
