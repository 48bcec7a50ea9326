//! A host made of files: sysfs and procfs trees in a temporary directory, laid out and linked as
//! the kernel does it (relative links).

use crate::host::in_use::network::Address;
use crate::host::{Bdf, Host, PciCard};
use std::cell::RefCell;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;

/// The host. Paths are given as on a real one (`/sys/…`).
pub(in crate::host) struct FakeHost {
    dir: Arc<TempDir>,
    /// Addresses of the host, which the kernel lists.
    pub(super) addresses: RefCell<Vec<Address>>,
}

/// Where the tests' card is, unless they put it elsewhere.
pub(in crate::host) const CARD: &str = "0000:05:00.0";

impl FakeHost {
    /// A host with an IOMMU, without any PCI device, netdev or process but our own (pid 1000, below
    /// a shell with pid 900, below pid 1).
    pub(in crate::host) fn new() -> Self {
        let host = Self {
            // In memory where that can be had: the lease syncs to the disk, and its sweeps do so
            // thousands of times.
            dir: Arc::new(
                tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap(),
            ),
            addresses: RefCell::default(),
        };
        for dir in [
            "/sys/bus/pci/devices",
            "/sys/bus/pci/drivers",
            "/sys/class/net",
            "/sys/class/infiniband",
            "/sys/kernel/iommu_groups",
            "/dev",
            "/run",
            "/etc",
        ] {
            host.mkdir(dir);
        }
        host.write("/proc/sys/kernel/osrelease", "6.12.107-amd64\n");
        host.write("/proc/cmdline", "root=/dev/sda1 ro quiet\n");
        host.write("/proc/mounts", "/dev/sda1 / ext4 rw 0 0\n");
        host.process(1, "systemd", 0);
        host.process(900, "bash", 1);
        host.process(1000, "cx3flash", 900);
        symlink("1000", host.at("/proc/self")).unwrap();
        host
    }

    /// The same files, for another process.
    pub(in crate::host) fn share(&self) -> Self {
        Self { dir: Arc::clone(&self.dir), addresses: RefCell::default() }
    }

    pub(in crate::host) fn host(&self) -> Host {
        Host::at(self.dir.path())
    }

    /// Where a host's path is in the file system of the test.
    pub(in crate::host) fn at(&self, path: &str) -> PathBuf {
        self.dir.path().join(path.trim_start_matches('/'))
    }

    pub(in crate::host) fn mkdir(&self, path: &str) {
        fs::create_dir_all(self.at(path)).unwrap();
    }

    pub(in crate::host) fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.at(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Adds to a file that may not be there yet.
    pub(in crate::host) fn append(&self, path: &str, line: &str) {
        let mut text = fs::read_to_string(self.at(path)).unwrap_or_default();
        text.push_str(line);
        text.push('\n');
        self.write(path, text);
    }

    /// Removes a file, link or tree.
    pub(in crate::host) fn remove(&self, path: &str) {
        let at = self.at(path);
        if at.is_dir() && !at.is_symlink() {
            fs::remove_dir_all(at).unwrap();
        } else {
            fs::remove_file(at).unwrap();
        }
    }

    /// A relative link from `path` to the real place of `target`, as sysfs has them.
    pub(in crate::host) fn link(&self, path: &str, target: &str) {
        let path = self.at(path);
        let parent = path.parent().unwrap();
        fs::create_dir_all(parent).unwrap();
        let from = fs::canonicalize(parent).unwrap();
        let to = fs::canonicalize(self.at(target)).unwrap();
        let _ = fs::remove_file(&path);
        symlink(relative(&from, &to), path).unwrap();
    }

    /// Sysfs directory of a function.
    pub(in crate::host) fn device(&self, bdf: &str) -> String {
        format!("/sys/bus/pci/devices/{bdf}")
    }

    /// A bare PCI function without driver: ids and class as numbers.
    pub(in crate::host) fn pci(&self, bdf: &str, vendor: u16, device: u16, class: u32) {
        let root = &bdf[..bdf.len() - 5];
        let real = format!("/sys/devices/pci{root}/{bdf}");
        self.write(&format!("{real}/vendor"), format!("0x{vendor:04x}\n"));
        self.write(&format!("{real}/device"), format!("0x{device:04x}\n"));
        self.write(&format!("{real}/class"), format!("0x{class:06x}\n"));
        self.write(&format!("{real}/revision"), "0x00\n");
        self.write(&format!("{real}/subsystem_vendor"), "0x15b3\n");
        self.write(&format!("{real}/subsystem_device"), "0x0055\n");
        self.write(&format!("{real}/driver_override"), "(null)\n");
        self.write(&format!("{real}/reset_method"), "flr bus\n");
        self.write(
            &format!("{real}/resource"),
            "0x00000000f7a00000 0x00000000f7afffff 0x0000000000140204\n\
             0x0000000000000000 0x0000000000000000 0x0000000000000000\n\
             0x00000000f0000000 0x00000000f07fffff 0x000000000014220c\n",
        );
        self.write(&format!("{real}/config"), config_space(vendor, device));
        self.link(&self.device(bdf), &real);
    }

    /// Binds a function to a driver; `None` takes the driver away.
    pub(in crate::host) fn driver(&self, bdf: &str, driver: Option<&str>) {
        let link = format!("{}/driver", self.device(bdf));
        if self.at(&link).is_symlink() {
            self.remove(&link);
        }
        if let Some(name) = driver {
            let dir = format!("/sys/bus/pci/drivers/{name}");
            self.mkdir(&dir);
            self.write(&format!("{dir}/bind"), "");
            self.write(&format!("{dir}/unbind"), "");
            self.link(&format!("{dir}/{bdf}"), &self.device(bdf));
            self.link(&link, &dir);
        }
    }

    /// Puts a bridge above a function that has nothing but its own files yet. Its configuration
    /// space has the PCIe capability at 0x40 and AER and containment behind each other at 0x100.
    pub(in crate::host) fn port_above(&self, bdf: &str, port: &str) {
        self.pci(port, 0x8086, 0x1901, 0x06_04_00);
        let real = fs::canonicalize(self.at(&self.device(bdf))).unwrap();
        let above = fs::canonicalize(self.at(&self.device(port))).unwrap();
        let below = above.join(bdf);
        fs::rename(real, &below).unwrap();
        let below = below.strip_prefix(self.dir.path()).unwrap();
        self.link(&self.device(bdf), below.to_str().unwrap());
        let config = format!("{}/config", self.device(port));
        self.write(&config, vec![0; 0x1000]);
        for (at, value) in [
            (0x04, 0x0010_0000),
            (0x34, 0x40),
            // A root port with a slot.
            (0x40, 0x0142_0010),
            (0x100, 0x148 << 20 | 1 << 16 | 0x0001),
            (0x148, 1 << 16 | 0x001d),
        ] {
            self.port_register(port, at, value);
        }
    }

    /// Writes a dword of a port's configuration space.
    pub(in crate::host) fn port_register(&self, port: &str, at: usize, value: u32) {
        let path = format!("{}/config", self.device(port));
        let mut config = fs::read(self.at(&path)).unwrap();
        config[at..at + 4].copy_from_slice(&value.to_le_bytes());
        self.write(&path, config);
    }

    /// Gives a function another serial number; 0 is none.
    pub(in crate::host) fn serial(&self, bdf: &str, serial: u64) {
        let path = format!("{}/config", self.device(bdf));
        let mut config = fs::read(self.at(&path)).unwrap();
        config[0x14c..0x150].copy_from_slice(&(serial as u32).to_le_bytes());
        config[0x150..0x154].copy_from_slice(&((serial >> 32) as u32).to_le_bytes());
        self.write(&path, config);
    }

    /// Puts functions into an IOMMU group.
    pub(in crate::host) fn group(&self, number: u32, members: &[&str]) {
        let dir = format!("/sys/kernel/iommu_groups/{number}");
        for bdf in members {
            self.link(&format!("{dir}/devices/{bdf}"), &self.device(bdf));
            self.link(&format!("{}/iommu_group", self.device(bdf)), &dir);
        }
    }

    /// A two-port Ethernet card on mlx4_core: netdevs `enp5s0` and `enp5s0d1`, RDMA `mlx4_0`, alone
    /// in group 17.
    pub(in crate::host) fn ethernet_card(&self) {
        self.ethernet_card_at(CARD, 17, ["enp5s0", "enp5s0d1"], "mlx4_0");
    }

    /// Another card like it.
    pub(in crate::host) fn ethernet_card_at(
        &self,
        bdf: &str,
        group: u32,
        names: [&str; 2],
        rdma: &str,
    ) {
        self.pci(bdf, 0x15b3, 0x1003, 0x02_00_00);
        self.driver(bdf, Some("mlx4_core"));
        self.group(group, &[bdf]);
        self.port(bdf, names[0], 0);
        self.port(bdf, names[1], 1);
        self.rdma(bdf, rdma);
        let dir = self.device(bdf);
        self.write(&format!("{dir}/mlx4_port1"), "eth\n");
        self.write(&format!("{dir}/mlx4_port2"), "auto (eth)\n");
    }

    /// The card as `Host::card` sees it now.
    pub(in crate::host) fn card(&self) -> PciCard {
        self.host().card(bdf(CARD)).unwrap()
    }

    /// A netdev of a PCI function.
    pub(in crate::host) fn port(&self, bdf: &str, name: &str, port: u32) {
        let dir = format!("{}/net/{name}", self.device(bdf));
        self.netdev_files(&dir, port);
        self.link(&format!("{dir}/device"), &self.device(bdf));
        self.link(&format!("/sys/class/net/{name}"), &dir);
    }

    /// A netdev without hardware; `kind` is the `DEVTYPE`, if any.
    pub(in crate::host) fn virtual_netdev(&self, name: &str, kind: &str) {
        let dir = format!("/sys/devices/virtual/net/{name}");
        self.netdev_files(&dir, 0);
        if !kind.is_empty() {
            self.write(&format!("{dir}/uevent"), format!("DEVTYPE={kind}\nINTERFACE={name}\n"));
        }
        self.link(&format!("/sys/class/net/{name}"), &dir);
    }

    fn netdev_files(&self, dir: &str, port: u32) {
        self.write(&format!("{dir}/address"), format!("02:00:00:00:00:{port:02x}\n"));
        self.write(&format!("{dir}/operstate"), "up\n");
        self.write(&format!("{dir}/dev_port"), format!("{port}\n"));
        self.write(&format!("{dir}/uevent"), "IFINDEX=2\n");
    }

    /// Lays `upper` on `lower`, as VLANs do.
    pub(in crate::host) fn stack(&self, upper: &str, lower: &str) {
        let net = |name: &str| format!("/sys/class/net/{name}");
        self.link(&format!("{}/upper_{upper}", net(lower)), &net(upper));
        self.link(&format!("{}/lower_{lower}", net(upper)), &net(lower));
    }

    /// Makes `lower` a member of `master`.
    pub(in crate::host) fn enslave(&self, master: &str, lower: &str) {
        self.stack(master, lower);
        let net = format!("/sys/class/net/{lower}");
        self.link(&format!("{net}/master"), &format!("/sys/class/net/{master}"));
    }

    /// A bond of these netdevs.
    pub(in crate::host) fn bond(&self, name: &str, slaves: &[&str]) {
        self.virtual_netdev(name, "bond");
        let dir = format!("/sys/class/net/{name}/bonding");
        self.write(&format!("{dir}/slaves"), slaves.join(" "));
        for slave in slaves {
            self.enslave(name, slave);
            self.write(&format!("/sys/class/net/{slave}/bonding_slave/mii_status"), "up\n");
        }
    }

    /// A bridge of these netdevs.
    pub(in crate::host) fn bridge(&self, name: &str, ports: &[&str]) {
        self.virtual_netdev(name, "bridge");
        self.mkdir(&format!("/sys/class/net/{name}/bridge"));
        for port in ports {
            self.enslave(name, port);
            let brport = format!("/sys/class/net/{port}/brport");
            self.mkdir(&brport);
            self.link(&format!("{brport}/bridge"), &format!("/sys/class/net/{name}"));
            self.link(&format!("/sys/class/net/{name}/brif/{port}"), &brport);
        }
    }

    /// An RDMA device with its uverbs and umad nodes (numbered like the device).
    pub(in crate::host) fn rdma(&self, bdf: &str, name: &str) {
        let dir = format!("{}/infiniband/{name}", self.device(bdf));
        self.write(&format!("{dir}/fw_ver"), "2.42.5000\n");
        self.write(&format!("{dir}/board_id"), "MT_1090120019\n");
        self.link(&format!("/sys/class/infiniband/{name}"), &dir);
        let number = name.rsplit('_').next().unwrap();
        self.mkdir(&format!("{}/infiniband_verbs/uverbs{number}", self.device(bdf)));
        self.mkdir(&format!("{}/infiniband_mad/umad{number}", self.device(bdf)));
        self.mkdir(&format!("{}/infiniband_mad/issm{number}", self.device(bdf)));
    }

    /// A virtual function of `pf`.
    pub(in crate::host) fn vf(&self, pf: &str, index: u32, vf: &str, driver: Option<&str>) {
        self.pci(vf, 0x15b3, 0x1004, 0x02_00_00);
        self.driver(vf, driver);
        self.link(&format!("{}/physfn", self.device(vf)), &self.device(pf));
        self.link(&format!("{}/virtfn{index}", self.device(pf)), &self.device(vf));
    }

    /// A process without open files.
    pub(in crate::host) fn process(&self, pid: u32, name: &str, parent: u32) {
        // A name may hold spaces and brackets; `stat` does not escape them.
        self.write(
            &format!("/proc/{pid}/stat"),
            format!("{pid} ({name}) S {parent} {pid} {pid} 0 -1 4194560 1 2 3\n"),
        );
        self.write(&format!("/proc/{pid}/comm"), format!("{name}\n"));
        self.write(&format!("/proc/{pid}/cmdline"), format!("{name}\0"));
        self.write(&format!("/proc/{pid}/environ"), "LANG=C\0");
        self.mkdir(&format!("/proc/{pid}/fd"));
    }

    /// The command line of a process, words apart by blanks.
    pub(in crate::host) fn arguments(&self, pid: u32, words: &str) {
        let words = words.replace(' ', "\0");
        self.write(&format!("/proc/{pid}/cmdline"), format!("{words}\0"));
    }

    /// An open file of a process; `target` is the text of the link.
    pub(in crate::host) fn open_file(&self, pid: u32, fd: u32, target: &str) {
        symlink(target, self.at(&format!("/proc/{pid}/fd/{fd}"))).unwrap();
    }
}

/// An address from text.
pub(in crate::host) fn bdf(text: &str) -> Bdf {
    text.parse().unwrap()
}

/// Serial number in the configuration space of every fake function.
pub(in crate::host) const SERIAL: u64 = 0x0002_c903_00ab_cdef;

/// Configuration space with the extended capabilities of a real card (docs/linux.md#reset): ARI at
/// 0x100, serial number at 0x148, AER at 0x154.
pub(in crate::host) fn config_space(vendor: u16, device: u16) -> Vec<u8> {
    let mut config = vec![0u8; 0x1000];
    config[0..2].copy_from_slice(&vendor.to_le_bytes());
    config[2..4].copy_from_slice(&device.to_le_bytes());
    let mut dword =
        |at: usize, value: u32| config[at..at + 4].copy_from_slice(&value.to_le_bytes());
    dword(0x100, 0x148 << 20 | 1 << 16 | 0x000e);
    dword(0x148, 0x154 << 20 | 1 << 16 | 0x0003);
    dword(0x14c, SERIAL as u32);
    dword(0x150, (SERIAL >> 32) as u32);
    dword(0x154, 2 << 16 | 0x0001);
    config
}

/// `to`, as seen from the directory `from`; both without links.
fn relative(from: &Path, to: &Path) -> PathBuf {
    let (from, to): (Vec<Component<'_>>, Vec<_>) =
        (from.components().collect(), to.components().collect());
    let same = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    let up = from[same..].iter().map(|_| Component::ParentDir);
    up.chain(to[same..].iter().copied()).collect()
}
