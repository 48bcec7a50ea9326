//! The cards of this host, from sysfs alone: readable under every lockdown level
//! (docs/linux.md#kernel-lockdown), and reading changes nothing on the card or the host.

use super::config_space::SysfsConfig;
use super::{Bdf, DiscoverError, Host, VFIO_PCI, sysfs};
use crate::card::Function;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::Path;
use std::{fmt, fs};

/// Mellanox.
pub(super) const VENDOR: u64 = 0x15b3;
/// Device serial number, an extended capability.
const SERIAL_CAPABILITY: u16 = 0x0003;
/// `flags` of a line in `resource`: memory (`IORESOURCE_MEM`, include/linux/ioport.h).
const RESOURCE_MEMORY: u64 = 0x200;

/// One network device of a card.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetDev {
    pub name: String,
    /// MAC address as sysfs writes it.
    pub mac: String,
    /// `operstate`.
    pub state: String,
    /// `dev_port`: 0 is port 1.
    pub port: u32,
}

/// Another function in the card's IOMMU group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Sibling {
    pub bdf: Bdf,
    pub driver: Option<String>,
    /// Keeps the group from being viable: see `blocks_group`.
    pub blocks: bool,
}

impl fmt::Display for Sibling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let driver = self.driver.as_deref().unwrap_or("no driver");
        write!(f, "{} is on {driver}", self.bdf)
    }
}

/// A card of the family.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PciCard {
    pub bdf: Bdf,
    /// PCI device id; the vendor is 15b3.
    pub device_id: u16,
    pub function: Function,
    pub revision: u8,
    /// Subsystem vendor and device.
    pub subsystem: (u16, u16),
    /// Serial number capability, when configuration space shows one.
    pub serial: Option<u64>,
    /// Driver bound now.
    pub driver: Option<String>,
    /// `driver_override`; `None` when it reads `(null)`.
    pub driver_override: Option<String>,
    /// Number of its IOMMU group; `None` without an IOMMU.
    pub iommu_group: Option<u32>,
    /// Other functions in that group.
    pub siblings: Vec<Sibling>,
    /// Length of BAR0 in bytes; `None` when it has none.
    pub bar0: Option<u64>,
    /// `reset_method`, word by word.
    pub reset_methods: Vec<String>,
    /// Enabled virtual functions.
    pub vfs: Vec<Bdf>,
    /// Its network devices, by port.
    pub netdevs: Vec<NetDev>,
    pub rdma: Vec<String>,
    /// `mlx4_port1`, `mlx4_port2`: `ib`, `eth`, `auto (eth)` …
    pub port_types: Vec<String>,
    /// PSID the running firmware reports (`board_id`), through mlx4_ib.
    pub board_id: Option<String>,
    /// Version of the running firmware, through mlx4_ib (`fw_ver`).
    pub fw_version: Option<String>,
}

impl PciCard {
    /// The serial number as lspci shows it (`e4-1d-2d-03-00-ab-cd-ef`, the high dword first);
    /// `None` when configuration space shows none, or may not be read by this user.
    pub fn serial_number(&self) -> Option<String> {
        let bytes = self.serial?.to_be_bytes();
        Some(bytes.map(|byte| format!("{byte:02x}")).join("-"))
    }

    pub fn on_vfio(&self) -> bool {
        self.driver.as_deref() == Some(VFIO_PCI)
    }

    /// Address and names of its ports, for lists of cards.
    pub(super) fn short(&self) -> String {
        let mut names: Vec<&str> = self.netdevs.iter().map(|n| n.name.as_str()).collect();
        names.extend(self.rdma.iter().map(String::as_str));
        if names.is_empty() {
            self.bdf.to_string()
        } else {
            format!("{} ({})", self.bdf, names.join(", "))
        }
    }
}

impl Host {
    /// Every card, virtual functions included, sorted by address. Cards that vanish while they are
    /// read are left out.
    pub fn cards(&self) -> Result<Vec<PciCard>, DiscoverError> {
        let path = self.path("sys/bus/pci/devices");
        let entries = match fs::read_dir(&path) {
            // A container, or a virtual machine without PCI.
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
                Err(NotACard::Odd { file, text }) => {
                    tracing::warn!(%bdf, file, text, "this device has no readable id");
                }
                Err(NotACard::Gone | NotACard::OtherDevice) => {}
            }
        }
        cards.sort_by_key(|c| c.bdf);
        Ok(cards)
    }

    /// Reads one card, or one virtual function.
    pub fn card(&self, bdf: Bdf) -> Result<PciCard, DiscoverError> {
        self.read_card(bdf).map_err(|other| {
            DiscoverError::NoCard(match other {
                NotACard::Gone => {
                    format!("there is no PCI device at {bdf}; {}", self.present())
                }
                NotACard::OtherDevice => {
                    format!(
                        "{bdf} is {}{}; {}",
                        self.describe(bdf),
                        self.instead(bdf),
                        self.present()
                    )
                }
                NotACard::Odd { file, text } => format!("{bdf}: {file} reads {text:?}"),
            })
        })
    }

    /// Bus address of BAR0, as `mst status -v` and lspci show it; `None` when it has none, or when
    /// the kernel hides addresses from this user (they read 0 then).
    pub fn bar0_address(&self, bdf: Bdf) -> Option<u64> {
        bar0_range(&self.device(bdf)).map(|(start, _)| start).filter(|start| *start != 0)
    }

    /// The cards of this host, for error messages.
    pub(super) fn present(&self) -> String {
        let mut cards = self.cards().unwrap_or_default();
        cards.retain(|c| c.function != Function::Virtual);
        if cards.is_empty() {
            return self.no_card();
        }
        let cards: Vec<_> = cards.iter().map(PciCard::short).collect();
        format!("cards found: {}", cards.join(", "))
    }

    /// Family or class, ids and driver of a device.
    pub(super) fn describe(&self, bdf: Bdf) -> String {
        let dir = self.device(bdf);
        let id = |file| sysfs::number(dir.join(file)).unwrap_or(0xffff_u64);
        let kind = self.family_name(bdf).unwrap_or_else(|| {
            class_name(sysfs::number(dir.join("class")).unwrap_or(0)).to_owned()
        });
        let driver =
            self.driver_of(bdf).map_or_else(|| "no driver".to_owned(), |d| format!("driver {d}"));
        format!("{kind} [{:04x}:{:04x}], {driver}", id("vendor"), id("device"))
    }

    pub(super) fn read_card(&self, bdf: Bdf) -> Result<PciCard, NotACard> {
        let dir = self.device(bdf);
        if id(&dir, "vendor")? != VENDOR {
            return Err(NotACard::OtherDevice);
        }
        let device_id = id(&dir, "device")?;
        let Some((device_id, function)) =
            u16::try_from(device_id).ok().and_then(|id| Some((id, Function::of(id)?)))
        else {
            return Err(NotACard::OtherDevice);
        };
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
            revision: sysfs::number(dir.join("revision")).unwrap_or(0),
            subsystem: (
                sysfs::number(dir.join("subsystem_vendor")).unwrap_or(0),
                sysfs::number(dir.join("subsystem_device")).unwrap_or(0),
            ),
            serial: serial(&dir),
            driver: self.driver_of(bdf),
            driver_override: sysfs::driver_override(&dir),
            iommu_group,
            siblings: self.siblings(bdf),
            bar0: bar0_range(&dir).map(|(_, length)| length),
            reset_methods: sysfs::text(dir.join("reset_method"))
                .unwrap_or_default()
                .split_whitespace()
                .map(str::to_owned)
                .collect(),
            vfs: vfs(&dir).unwrap_or_default(),
            netdevs: netdevs(&dir),
            board_id: of_rdma("board_id"),
            fw_version: of_rdma("fw_ver"),
            rdma,
            port_types: (1..=2)
                .filter_map(|port| sysfs::text(dir.join(format!("mlx4_port{port}"))))
                .collect(),
        };
        // If the device was removed meanwhile, what was read cannot be trusted.
        if dir.join("vendor").exists() { Ok(card) } else { Err(NotACard::Gone) }
    }

    /// Other functions in the IOMMU group of a function, sorted by address.
    pub(super) fn siblings(&self, bdf: Bdf) -> Vec<Sibling> {
        let mut siblings: Vec<Sibling> = sysfs::names(self.device(bdf).join("iommu_group/devices"))
            .into_iter()
            .filter_map(|name| name.parse::<Bdf>().ok())
            .filter(|sibling| *sibling != bdf)
            .map(|sibling| {
                let driver = self.driver_of(sibling);
                let registered = self.device(sibling).join("vfio-dev").is_dir();
                Sibling {
                    bdf: sibling,
                    blocks: driver.as_deref().is_some_and(|d| blocks_group(d, registered)),
                    driver,
                }
            })
            .collect();
        siblings.sort_by_key(|sibling| sibling.bdf);
        siblings
    }
}

/// Whether a sibling on this driver keeps the group from being viable.
///
/// Linux accepts unbound siblings and drivers that manage DMA ownership themselves
/// (`driver_managed_dma`: VFIO drivers, pci-stub, pcieport; docs/linux.md#vfio-errors). Older kernels
/// accept unbound siblings, bridges, pci-stub, and functions that are registered with VFIO
/// (drivers/vfio/vfio.c, `vfio_dev_viable` and `vfio_dev_driver_allowed`).
///
/// sysfs does not show the flag. `registered`, the directory `vfio-dev` of the function, proves a
/// VFIO driver of any name (Documentation/ABI/testing/sysfs-devices-vfio-dev). Kernels without that
/// directory leave the name: VFIO PCI drivers of the kernel end in `vfio_pci`.
///
/// A wrong `false` is reported by `VFIO_GROUP_GET_STATUS` before the card is opened. A wrong `true`
/// would have another program's device unbound.
fn blocks_group(driver: &str, registered: bool) -> bool {
    let name = driver.replace('-', "_");
    !registered && !name.ends_with("vfio_pci") && name != "pci_stub" && name != "pcieport"
}

/// Why a device is not a card.
pub(super) enum NotACard {
    /// Nothing there, or removed while it was read.
    Gone,
    OtherDevice,
    /// A file that must hold an id holds something else.
    Odd {
        file: &'static str,
        text: String,
    },
}

/// A file that must hold a number.
fn id(dir: &Path, file: &'static str) -> Result<u64, NotACard> {
    let text = sysfs::text(dir.join(file)).ok_or(NotACard::Gone)?;
    sysfs::hex(&text).ok_or(NotACard::Odd { file, text })
}

/// Whether another card of the host shows this serial number, which identifies neither then.
pub(super) fn is_shared(cards: &[PciCard], bdf: Bdf, serial: u64) -> bool {
    let mut others =
        cards.iter().filter(|card| card.bdf != bdf && card.function != Function::Virtual);
    others.any(|other| other.serial == Some(serial))
}

/// First line of `resource`: start, end, flags. Start and length.
fn bar0_range(dir: &Path) -> Option<(u64, u64)> {
    let text = sysfs::text(dir.join("resource"))?;
    let mut words = text.lines().next()?.split_whitespace().map(sysfs::hex);
    let (start, end, flags) = (words.next()??, words.next()??, words.next()??);
    let length = end.checked_sub(start)?.checked_add(1)?;
    (flags & RESOURCE_MEMORY != 0 && length > 1).then_some((start, length))
}

/// Virtual functions of the function with this sysfs directory.
pub(super) fn vfs(dir: &Path) -> io::Result<Vec<Bdf>> {
    let mut vfs = Vec::new();
    for name in sysfs::try_names(dir)?.iter().filter(|name| name.starts_with("virtfn")) {
        vfs.extend(sysfs::try_link(dir.join(name))?.and_then(|target| target.parse::<Bdf>().ok()));
    }
    vfs.sort();
    Ok(vfs)
}

fn netdevs(dir: &Path) -> Vec<NetDev> {
    let mut netdevs: Vec<NetDev> = sysfs::entries(dir.join("net"))
        .into_iter()
        .map(|(name, at)| {
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
    let config = SysfsConfig::open(dir).ok()?;
    let at = config.extended(SERIAL_CAPABILITY).ok()??;
    let (low, high) = (config.dword(at + 4).ok()?, config.dword(at + 8).ok()?);
    let serial = u64::from(high) << 32 | u64::from(low);
    (serial != 0 && serial != u64::MAX).then_some(serial)
}

/// Name of a class code (PCI Code and ID Assignment, base and sub class).
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
