//! Which cards of the family there are, from sysfs alone: readable under every lockdown
//! (docs/linux.md#kernel-lockdown), and nothing is changed by reading it.

use super::config_space::SysfsConfig;
use super::look_error::short;
use super::{Bdf, DiscoverError, Function, Host, NetDev, PciCard, Sibling, sysfs};
use std::fs;
use std::path::Path;

/// Mellanox.
const VENDOR: u64 = 0x15b3;
/// Device serial number, an extended capability.
const SERIAL_CAPABILITY: u16 = 0x0003;
/// `flags` of a line in `resource`: memory (`IORESOURCE_MEM`, include/linux/ioport.h).
const RESOURCE_MEMORY: u64 = 0x200;

impl Host {
    /// Every card of the family, virtual functions included, sorted by address. Cards that vanish
    /// while being read are left out.
    ///
    /// # Errors
    ///
    /// [`DiscoverError::Sysfs`] when PCI devices cannot be listed.
    pub fn cards(&self) -> Result<Vec<PciCard>, DiscoverError> {
        let path = self.path("sys/bus/pci/devices");
        let entries = match fs::read_dir(&path) {
            // No PCI at all (a container, a virtual machine without it): no cards.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(|source| DiscoverError::Sysfs { path, source })?,
        };
        let mut cards = Vec::new();
        for entry in entries.flatten() {
            let name = entry.file_name();
            let Some(bdf) = name.to_str().and_then(|n| n.parse::<Bdf>().ok()) else {
                continue;
            };
            match self.read_card(bdf) {
                Ok(card) => cards.push(card),
                Err(Other::Odd { file, text }) => {
                    tracing::warn!(%bdf, file, text, "a device that does not say what it is");
                }
                Err(Other::Gone | Other::Stranger) => {}
            }
        }
        cards.sort_by_key(|c| c.bdf);
        Ok(cards)
    }

    /// A fresh look at one card, or at one virtual function.
    ///
    /// # Errors
    ///
    /// [`DiscoverError`]: nothing there, or something else.
    pub fn card(&self, bdf: Bdf) -> Result<PciCard, DiscoverError> {
        self.read_card(bdf).map_err(|other| match other {
            Other::Gone => DiscoverError::NoDevice {
                bdf,
                there: self.there(),
            },
            Other::Stranger => DiscoverError::OtherDevice {
                bdf,
                what: self.describe(bdf),
                there: self.there(),
            },
            Other::Odd { file, text } => DiscoverError::Odd { bdf, file, text },
        })
    }

    /// Bus address of BAR0, as `mst status -v` and lspci show it; `None` when it has none, or when
    /// the kernel hides addresses from this user (they read 0 then).
    #[must_use]
    pub fn bar0_address(&self, bdf: Bdf) -> Option<u64> {
        bar0_range(&self.device(bdf))
            .map(|(start, _)| start)
            .filter(|start| *start != 0)
    }

    /// The cards that could be meant, for error texts.
    pub(super) fn there(&self) -> Vec<String> {
        let cards = self.cards().unwrap_or_default();
        let real = cards.iter().filter(|c| c.function != Function::Virtual);
        real.map(short).collect()
    }

    /// A device in a few words: class, ids, driver.
    pub(super) fn describe(&self, bdf: Bdf) -> String {
        let dir = self.device(bdf);
        let id = |file| number(&dir, file).unwrap_or(0xffff);
        let class = number(&dir, "class").unwrap_or(0);
        let driver = sysfs::link(dir.join("driver"))
            .map_or_else(|| "no driver".to_owned(), |d| format!("driver {d}"));
        format!(
            "{} [{:04x}:{:04x}], {driver}",
            class_name(class),
            id("vendor"),
            id("device")
        )
    }

    fn read_card(&self, bdf: Bdf) -> Result<PciCard, Other> {
        let dir = self.device(bdf);
        if id(&dir, "vendor")? != VENDOR {
            return Err(Other::Stranger);
        }
        let device_id = id(&dir, "device")?;
        let Some((device_id, function)) = u16::try_from(device_id)
            .ok()
            .and_then(|id| Some((id, Function::of(id)?)))
        else {
            return Err(Other::Stranger);
        };
        let small = |file| number(&dir, file).unwrap_or(0);
        let rdma = sysfs::names(dir.join("infiniband"));
        let of_rdma = |file| {
            let dir = dir.join("infiniband").join(rdma.first()?);
            sysfs::text(dir.join(file)).filter(|t| !t.is_empty())
        };
        let iommu_group = sysfs::link(dir.join("iommu_group")).and_then(|n| n.parse().ok());
        let card = PciCard {
            bdf,
            device_id,
            function,
            revision: u8::try_from(small("revision")).unwrap_or(0),
            subsystem: (
                u16::try_from(small("subsystem_vendor")).unwrap_or(0),
                u16::try_from(small("subsystem_device")).unwrap_or(0),
            ),
            serial: serial(&dir),
            driver: sysfs::link(dir.join("driver")),
            driver_override: sysfs::text(dir.join("driver_override"))
                .filter(|t| !t.is_empty() && t != "(null)"),
            iommu_group,
            siblings: iommu_group.map_or_else(Vec::new, |group| self.siblings(group, bdf)),
            bar0: bar0(&dir),
            reset_methods: sysfs::text(dir.join("reset_method"))
                .unwrap_or_default()
                .split_whitespace()
                .map(str::to_owned)
                .collect(),
            vfs: vfs(&dir),
            netdevs: netdevs(&dir),
            board_id: of_rdma("board_id"),
            fw_version: of_rdma("fw_ver"),
            rdma,
            port_types: (1..=2)
                .filter_map(|port| sysfs::text(dir.join(format!("mlx4_port{port}"))))
                .collect(),
        };
        // The device may have gone in between; what was read of it then is worth nothing.
        if dir.join("vendor").exists() {
            Ok(card)
        } else {
            Err(Other::Gone)
        }
    }

    fn siblings(&self, group: u32, own: Bdf) -> Vec<Sibling> {
        let dir = self.path(format!("sys/kernel/iommu_groups/{group}/devices"));
        let others = sysfs::names(dir)
            .into_iter()
            .filter_map(|n| n.parse::<Bdf>().ok())
            .filter(|bdf| *bdf != own);
        others
            .map(|bdf| {
                let driver = sysfs::link(self.device(bdf).join("driver"));
                let blocks = driver.as_deref().is_some_and(|d| !manages_dma(d));
                Sibling {
                    bdf,
                    driver,
                    blocks,
                }
            })
            .collect()
    }
}

/// Drivers that leave a group viable (docs/linux.md#vfio-errors): vfio-pci and its variants, pci-stub, and
/// the driver of bridges.
fn manages_dma(driver: &str) -> bool {
    let name = driver.replace('-', "_");
    name.ends_with("vfio_pci") || name == "pci_stub" || name == "pcieport"
}

/// Why a device is no card of the family.
enum Other {
    Gone,
    Stranger,
    Odd { file: &'static str, text: String },
}

/// A file that must hold a number.
fn id(dir: &Path, file: &'static str) -> Result<u64, Other> {
    let text = sysfs::text(dir.join(file)).ok_or(Other::Gone)?;
    sysfs::hex(&text).ok_or(Other::Odd { file, text })
}

fn number(dir: &Path, file: &str) -> Option<u64> {
    sysfs::hex(&sysfs::text(dir.join(file))?)
}

/// Length of BAR0.
fn bar0(dir: &Path) -> Option<u64> {
    bar0_range(dir).map(|(_, length)| length)
}

/// First line of `resource`: start, end, flags. Start and length.
fn bar0_range(dir: &Path) -> Option<(u64, u64)> {
    let text = sysfs::text(dir.join("resource"))?;
    let mut words = text.lines().next()?.split_whitespace().map(sysfs::hex);
    let (start, end, flags) = (words.next()??, words.next()??, words.next()??);
    let length = end.checked_sub(start)?.checked_add(1)?;
    (flags & RESOURCE_MEMORY != 0 && length > 1).then_some((start, length))
}

fn vfs(dir: &Path) -> Vec<Bdf> {
    let mut vfs: Vec<Bdf> = sysfs::names(dir)
        .iter()
        .filter(|n| n.starts_with("virtfn"))
        .filter_map(|n| sysfs::link(dir.join(n))?.parse().ok())
        .collect();
    vfs.sort();
    vfs
}

fn netdevs(dir: &Path) -> Vec<NetDev> {
    let mut netdevs: Vec<NetDev> = sysfs::names(dir.join("net"))
        .into_iter()
        .map(|name| {
            let at = dir.join("net").join(&name);
            let text = |file| sysfs::text(at.join(file));
            NetDev {
                mac: text("address").unwrap_or_default(),
                state: text("operstate").unwrap_or_else(|| "unknown".to_owned()),
                port: text("dev_port").and_then(|t| t.parse().ok()).unwrap_or(0),
                name,
            }
        })
        .collect();
    netdevs.sort_by(|a, b| (a.port, &a.name).cmp(&(b.port, &b.name)));
    netdevs
}

/// The serial number capability. `None` without one, and where this user may not read it.
fn serial(dir: &Path) -> Option<u64> {
    let config = SysfsConfig::open(dir)?;
    let at = config.extended(SERIAL_CAPABILITY).ok()??;
    let (low, high) = (config.dword(at + 4)?, config.dword(at + 8)?);
    let serial = u64::from(high) << 32 | u64::from(low);
    (serial != 0 && serial != u64::MAX).then_some(serial)
}

/// What people call a class code (PCI Code and ID Assignment, base and sub class). Only what shares
/// a slot or a group with network cards.
pub(super) fn class_name(class: u64) -> &'static str {
    match class >> 8 {
        0x0101 => "an IDE controller",
        0x0104 => "a RAID controller",
        0x0106 => "a SATA controller",
        0x0107 => "a SAS controller",
        0x0108 => "an NVMe drive",
        0x0200 => "an Ethernet controller",
        0x0207 => "an InfiniBand controller",
        0x0280 => "a network controller",
        0x0300 => "a graphics card",
        0x0403 => "an audio device",
        0x0500 | 0x0580 => "a memory controller",
        0x0600 => "a host bridge",
        0x0601 => "an ISA bridge",
        0x0604 => "a PCI bridge",
        0x0c03 => "a USB controller",
        0x0c05 => "an SMBus controller",
        _ => match class >> 16 {
            0x01 => "a storage controller",
            0x02 => "a network controller",
            0x03 => "a display controller",
            0x06 => "a bridge",
            _ => "another PCI device",
        },
    }
}
