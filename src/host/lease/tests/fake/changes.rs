//! What a write does to the tree.

use super::{Kernel, VF};
use crate::host::lease::lock;
use crate::host::tests::fake::CARD;
use nix::libc;
use rustix::fs::FlockOperation;
use std::fs::{self, File};
use std::io;

impl Kernel {
    pub(super) fn store(&self, path: &str, value: &str, held: Option<&File>) -> io::Result<()> {
        let refused = |errno| Err(io::Error::from_raw_os_error(errno));
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        let device = if let ["sys", "bus", "pci", "devices", device, ..] = parts[..] {
            device
        } else {
            value
        };
        // A probe has the device's lock.
        while self.files.at(&format!("/run/probing/{device}")).exists() {
            if self.pause("device lock") {
                return Err(io::Error::other("killed"));
            }
        }
        match parts[..] {
            ["sys", "bus", "pci", "drivers", driver, "unbind"] => {
                if self.driver_of(value).as_deref() != Some(driver) {
                    return refused(libc::ENODEV);
                }
                self.detach(value);
            }
            ["sys", "bus", "pci", "drivers", driver, "bind"] => {
                let device = self.files.device(value);
                if !self.files.at(&device).exists() || !self.matches(value, driver) {
                    return refused(libc::ENODEV);
                }
                if self.driver_of(value).is_some() {
                    return refused(libc::EBUSY);
                }
                if driver == "vfio-pci" {
                    if !self.files.at(&format!("{device}/iommu_group")).exists() {
                        return refused(libc::EINVAL);
                    }
                    if self.files.at(&format!("{device}/virtfn0")).exists() {
                        return refused(libc::EBUSY);
                    }
                }
                if driver == "mlx4_core" && self.state.borrow().pause.is_some() {
                    // A file of its own stands for the one the helper inherits.
                    let users = self.host().lock_dir().join("internal_err_reset.users");
                    let shared = FlockOperation::NonBlockingLockShared;
                    let helper = held.and_then(|_| lock::acquire(&users, shared, 0o600).unwrap());
                    return self.probe(helper);
                }
                self.attach(value, driver);
            }
            ["sys", "bus", "pci", "devices", gone, _]
                if !self.files.at(&self.files.device(gone)).exists() =>
            {
                return refused(libc::ENOENT);
            }
            ["sys", "bus", "pci", "devices", _, "driver_override"] => {
                // Nothing at all is no write (docs/linux.md#binding).
                if !value.is_empty() && !self.state.borrow().stubborn {
                    let text = value.trim_end_matches('\n');
                    let text = if text.is_empty() { "(null)" } else { text };
                    self.files.write(path, format!("{text}\n"));
                }
            }
            ["sys", "bus", "pci", "devices", _, "mlx4_port1" | "mlx4_port2"] => {
                if !["ib\n", "eth\n", "auto\n"].contains(&value) {
                    return refused(libc::EINVAL);
                }
                let text = if value == "auto\n" { "auto (eth)\n" } else { value };
                self.files.write(path, text);
            }
            ["sys", "module", _, "parameters", _] => {
                let probing =
                    fs::read_dir(self.files.at("/run/probing")).map_or(0, Iterator::count);
                assert!(value == "0\n" || probing == 0, "switched on in a probe");
                self.files.write(path, value);
            }
            ["sys", "bus", "pci", "devices", device, "remove"] => {
                if self.driver_of(device).is_some() {
                    self.detach(device);
                }
                let real = fs::canonicalize(self.files.at(&self.files.device(device))).unwrap();
                self.files.remove(&self.files.device(device));
                fs::remove_dir_all(real).unwrap();
            }
            ["sys", "bus", "pci", .., "rescan"] => {
                if !self.files.at(&self.files.device(CARD)).exists() {
                    let id = self.state.borrow().rescanned_as;
                    self.files.pci(CARD, 0x15b3, id, 0x02_00_00);
                    self.files.group(17, &[CARD]);
                    let driver = self.state.borrow().rescan_binds;
                    if let Some(driver) = driver {
                        self.attach(CARD, driver);
                    }
                }
            }
            _ => return refused(libc::EACCES),
        }
        Ok(())
    }

    /// May this driver have the function?
    pub(super) fn matches(&self, bdf: &str, driver: &str) -> bool {
        let file = |name: &str| self.text(&format!("{}/{name}", self.files.device(bdf)));
        let wanted = file("driver_override");
        if wanted.trim() != "(null)" {
            return wanted.trim() == driver;
        }
        match driver {
            "mlx4_core" => matches!(file("device").trim(), "0x1003" | "0x1004"),
            "ahci" => file("device").trim() == "0x2922",
            _ => false,
        }
    }

    pub(super) fn detach(&self, bdf: &str) {
        let driver = self.driver_of(bdf).unwrap();
        self.files.remove(&format!("/sys/bus/pci/drivers/{driver}/{bdf}"));
        self.files.remove(&format!("{}/driver", self.files.device(bdf)));
        if bdf != self.card || driver != "mlx4_core" {
            return;
        }
        let dir = self.files.device(self.card);
        for net in fs::read_dir(self.files.at(&format!("{dir}/net"))).unwrap() {
            let name = net.unwrap().file_name();
            let name = name.to_str().unwrap();
            self.files.remove(&format!("/sys/class/net/{name}"));
        }
        self.files.remove(&format!("/sys/class/infiniband/{}", self.rdma));
        for gone in
            ["net", "infiniband", "infiniband_verbs", "infiniband_mad", "mlx4_port1", "mlx4_port2"]
        {
            self.files.remove(&format!("{dir}/{gone}"));
        }
        if self.files.at(&self.files.device(VF)).exists() {
            if self.driver_of(VF).is_some() {
                self.detach(VF);
            }
            let real = fs::canonicalize(self.files.at(&self.files.device(VF))).unwrap();
            self.files.remove(&self.files.device(VF));
            self.files.remove(&format!("{dir}/virtfn0"));
            self.files.remove(&format!("/sys/kernel/iommu_groups/18/devices/{VF}"));
            fs::remove_dir_all(real).unwrap();
        }
    }

    pub(super) fn attach(&self, bdf: &str, driver: &str) {
        let had_vf = self.files.at("/sys/kernel/iommu_groups/18").exists();
        self.files.driver(bdf, Some(driver));
        if bdf != self.card || driver != "mlx4_core" {
            return;
        }
        let names = self.state.borrow().names;
        self.files.port(self.card, names[0], 0);
        self.files.port(self.card, names[1], 1);
        self.files.rdma(self.card, self.rdma);
        // Without a module option both ports choose for themselves (docs/linux.md#state-to-keep).
        let dir = self.files.device(self.card);
        self.files.write(&format!("{dir}/mlx4_port1"), "auto (eth)\n");
        self.files.write(&format!("{dir}/mlx4_port2"), "auto (eth)\n");
        if had_vf {
            // By the module option num_vfs, on the driver that claims its id.
            self.make_vf();
            self.files.driver(VF, Some("mlx4_core"));
        }
    }
}
