//! The port above the card: what it does when the link goes down, which may happen while the chip
//! resets.
//!
//! * pciehp takes a lost link as surprise removal of the card (kernel drivers/pci/hotplug/pciehp_hpc.c).
//!   mlx5_core refuses to reset its firmware below a port with hot-plug events on
//!   (drivers/net/ethernet/mellanox/mlx5/core/fw_reset.c, `mlx5_check_hotplug_interrupt`).
//! * Downstream port containment keeps the link down after a fatal error (drivers/pci/pcie/dpc.c).
//! * Where the firmware handles PCIe errors first, a lost link that the port reports as an error is
//!   handled by the firmware, which may halt the machine.
//!
//! Whether the link of a ConnectX-3 goes down at its software reset is UNCONFIRMED. mlx4_core
//! resets the chip the same way at every probe.

use super::config_space::SysfsConfig;
use super::{Bdf, Host, PciCard, hest, sysfs};
use serde::Serialize;
use std::io;
use std::path::Path;

// include/uapi/linux/pci_regs.h
const PCIE_CAPABILITY: u8 = 0x10;
const FLAGS_SLOT: u32 = 0x0100 << 16;
const LINK_CAPABILITIES: u16 = 0x0c;
const SURPRISE_DOWN_CAPABLE: u32 = 0x0008_0000;
const SLOT_CAPABILITIES: u16 = 0x14;
const HOTPLUG_SURPRISE: u32 = 0x20;
const HOTPLUG_CAPABLE: u32 = 0x40;
const SLOT_CONTROL: u16 = 0x18;
/// Hot-plug interrupt and data link layer state changed, both enabled.
const LINK_EVENTS: u32 = 0x1020;
const AER_CAPABILITY: u16 = 0x0001;
const UNCORRECTABLE_MASK: u16 = 0x08;
const SURPRISE_DOWN: u32 = 0x20;
const DPC_CAPABILITY: u16 = 0x001d;
/// The control register is the upper half of this dword.
const DPC_CONTROL: u16 = 0x04;
/// Triggers on fatal errors, or on non-fatal ones too.
const DPC_TRIGGERS: u32 = 0x3 << 16;
/// Red Hat: QEMU's ports (QEMU docs/specs/pci-ids.rst).
const QEMU: u64 = 0x1b36;

/// What the port above a card does when the link goes down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PortReport {
    pub bdf: Bdf,
    /// The port is a virtual machine's. The real slot cannot be seen, and the fields below are
    /// false.
    pub emulated: bool,
    /// A lost link is taken as removal of the card.
    pub hotplug_surprise: bool,
    /// Downstream port containment is on.
    pub dpc: bool,
    /// The firmware handles PCIe errors before the kernel does.
    pub firmware_first: bool,
    /// The port reports a lost link as an error.
    pub surprise_down: bool,
    /// Names of what could not be read: only root may read a port's registers.
    pub unknown: Vec<&'static str>,
}

impl PortReport {
    // Names in `unknown`.
    pub const HOTPLUG: &str = "hot-plug";
    pub const CONTAINMENT: &str = "containment";
    pub const LINK_ERRORS: &str = "errors of the link";
    pub const FIRST: &str = "who handles errors first";

    /// Why the card must not be reset while it is borrowed; `None` when it may be.
    pub fn reset_objection(&self) -> Option<String> {
        self.objections().into_iter().flatten().next()
    }

    /// What hot-plug, containment and error reporting of this port object to a reset.
    fn objections(&self) -> [Option<String>; 3] {
        let port = self.bdf;
        let object = |condition: bool, text| condition.then(|| format!("port {port} {text}"));
        [
            object(self.hotplug_surprise, "takes a lost link as removal of the card (hot-plug)"),
            object(self.dpc, "keeps the link down after an error (downstream port containment)"),
            object(
                self.firmware_first && self.surprise_down,
                "reports a lost link as an error, and the firmware handles errors first",
            ),
        ]
    }

    /// Details of the findings `port_hotplug`, `port_dpc` and `firmware_first`.
    fn details(&self) -> [String; 3] {
        let port = self.bdf;
        if self.emulated {
            return [(); 3].map(|()| format!("unknown: port {port} is a virtual machine's"));
        }
        let unknown = |name| self.unknown.contains(&name);
        let unread = || format!("port {port}: only root may read it");
        let hotplug = if unknown(Self::HOTPLUG) {
            unread()
        } else {
            format!("port {port} does not remove the card when the link goes down")
        };
        let containment =
            if unknown(Self::CONTAINMENT) { unread() } else { format!("off at port {port}") };
        let first = match self.firmware_first {
            true if unknown(Self::LINK_ERRORS) => format!(
                "yes; only root may read whether port {port} reports a lost link as an error"
            ),
            true => format!("yes; port {port} does not report a lost link as an error"),
            false if unknown(Self::FIRST) => "only root may read the ACPI table HEST".into(),
            false => "no: the kernel handles PCIe errors".into(),
        };
        let mut details = [hotplug, containment, first];
        for (detail, objection) in details.iter_mut().zip(self.objections()) {
            if let Some(objection) = objection {
                *detail = format!("{objection}: the card is not reset while it is borrowed");
            }
        }
        details
    }
}

impl Host {
    /// The port above `card`; `None` when the card is attached to the root complex itself.
    pub fn port_above(&self, card: &PciCard) -> Option<PortReport> {
        let real = std::fs::canonicalize(self.device(card.bdf)).ok()?;
        let bdf = sysfs::owner(real.parent()?)?;
        let root = real.iter().find_map(|part| part.to_str()?.parse::<Bdf>().ok()).unwrap_or(bdf);
        let mut report = PortReport {
            bdf,
            emulated: false,
            hotplug_surprise: false,
            dpc: false,
            firmware_first: false,
            surprise_down: false,
            unknown: Vec::new(),
        };
        let dir = self.device(bdf);
        if self.is_guest() || sysfs::number(dir.join("vendor")) == Some(QEMU) {
            report.emulated = true;
            return Some(report);
        }
        // The kernel's drivers of port services: any user may read them.
        let driven = |driver| services(&dir, bdf).iter().any(|d| d == driver);
        let mut known = |name, read: Option<bool>, driven: bool| {
            if read.is_none() && !driven {
                report.unknown.push(name);
            }
            driven || read.unwrap_or(false)
        };
        let config = SysfsConfig::open(&dir).ok();
        let read = |what: fn(&SysfsConfig) -> io::Result<bool>| what(config.as_ref()?).ok();
        report.hotplug_surprise =
            known(PortReport::HOTPLUG, read(removes_on_link_loss), driven("pciehp"));
        report.dpc = known(PortReport::CONTAINMENT, read(contains), driven("dpc"));
        report.surprise_down = known(PortReport::LINK_ERRORS, read(reports_link_loss), false);
        report.firmware_first = known(
            PortReport::FIRST,
            self.firmware_first_table(),
            self.aer_is_kept_from_the_kernel(root),
        );
        Some(report)
    }

    /// Whether this is a virtual machine, by the CPU flag that every hypervisor sets.
    pub(super) fn is_guest(&self) -> bool {
        let cpu = sysfs::text(self.path("proc/cpuinfo")).unwrap_or_default();
        cpu.split_whitespace().any(|word| word == "hypervisor")
    }

    /// Whether the firmware handles errors of PCIe devices first, by the ACPI table HEST; `None`
    /// when it may not be read.
    fn firmware_first_table(&self) -> Option<bool> {
        match std::fs::read(self.path("sys/firmware/acpi/tables/HEST")) {
            Ok(table) => Some(hest::firmware_first(&table)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Some(false),
            Err(_) => None,
        }
    }

    /// The kernel has its AER driver and the root port can report errors, but the driver is not
    /// bound to it: the firmware has kept error reporting for itself (ACPI `_OSC`; kernel
    /// drivers/pci/pcie/portdrv.c, `get_port_device_capability`).
    fn aer_is_kept_from_the_kernel(&self, root: Bdf) -> bool {
        let cmdline = sysfs::text(self.path("proc/cmdline")).unwrap_or_default();
        let off = cmdline
            .split_whitespace()
            .filter_map(|word| word.strip_prefix("pci="))
            .any(|options| options.split(',').any(|option| option == "noaer"));
        let dir = self.device(root);
        !off && self.path("sys/bus/pci_express/drivers/aer").is_dir()
            // Present where the AER capability is (drivers/pci/pcie/aer.c).
            && dir.join("aer_dev_fatal").exists()
            && !services(&dir, root).iter().any(|driver| driver == "aer")
    }
}

/// Drivers on the services of a port (`0000:00:01.0:pcie004/driver`).
fn services(dir: &Path, bdf: Bdf) -> Vec<String> {
    let prefix = format!("{bdf}:pcie");
    sysfs::names(dir)
        .into_iter()
        .filter(|name| name.starts_with(&prefix))
        .filter_map(|name| sysfs::link(dir.join(name).join("driver")))
        .collect()
}

fn removes_on_link_loss(config: &SysfsConfig) -> io::Result<bool> {
    let Some(at) = config.capability(PCIE_CAPABILITY)? else {
        return Ok(false);
    };
    let slot = config.dword(at + SLOT_CAPABILITIES)?;
    if config.dword(at)? & FLAGS_SLOT == 0 || slot & HOTPLUG_CAPABLE == 0 {
        return Ok(false);
    }
    let control = config.dword(at + SLOT_CONTROL)?;
    Ok(slot & HOTPLUG_SURPRISE != 0 || control & LINK_EVENTS == LINK_EVENTS)
}

fn contains(config: &SysfsConfig) -> io::Result<bool> {
    let Some(at) = config.extended(DPC_CAPABILITY)? else {
        return Ok(false);
    };
    Ok(config.dword(at + DPC_CONTROL)? & DPC_TRIGGERS != 0)
}

fn reports_link_loss(config: &SysfsConfig) -> io::Result<bool> {
    let pcie = config.capability(PCIE_CAPABILITY)?;
    let (Some(pcie), Some(aer)) = (pcie, config.extended(AER_CAPABILITY)?) else {
        return Ok(false);
    };
    let link = config.dword(pcie + LINK_CAPABILITIES)?;
    let mask = config.dword(aer + UNCORRECTABLE_MASK)?;
    Ok(link & SURPRISE_DOWN_CAPABLE != 0 && mask & SURPRISE_DOWN == 0)
}

/// Details of `port_hotplug`, `port_dpc` and `firmware_first`. Never a fault: the card works there,
/// and only a reset while it is borrowed is refused.
pub(super) fn findings(host: &Host, card: &PciCard) -> [String; 3] {
    host.port_above(card).map_or_else(
        || ["none: the card is attached to the root complex"; 3].map(str::to_owned),
        |port| port.details(),
    )
}
