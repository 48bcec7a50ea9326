//! What was known of a card before it was taken from its driver.

use crate::host::{Host, PciCard};
use crate::job::stage::StageFinding;
use crate::job::{CardSelector, JobError};
use crate::sim::SimCard;
use schemars::JsonSchema;
use serde::Serialize;

/// What the host knew of the card before it was taken, without an access to its registers.
#[derive(Clone, Debug, Default, PartialEq, Eq, JsonSchema, Serialize)]
pub struct DriverFacts {
    /// Driver that had it.
    pub driver: Option<String>,
    /// Version that the driver reports.
    pub fw_version: Option<String>,
    /// PSID that the driver reports (`board_id`).
    pub board_id: Option<String>,
    /// MAC addresses of its ports.
    pub macs: Vec<String>,
    /// PCI device id, four hexadecimal digits.
    pub device_id: Option<String>,
    /// Ids of its PCI capabilities, and of its extended ones.
    pub capabilities: Vec<String>,
    /// `reset_method` in sysfs.
    pub reset_methods: Vec<String>,
    /// The port above, and what it objects to a reset.
    pub port: Option<String>,
    /// Serial number in configuration space; of a simulated card its own.
    pub serial: Option<String>,
    /// Serial number in the vital product data.
    pub vpd_serial: Option<String>,
    /// Release of the kernel.
    pub kernel: String,
}

impl DriverFacts {
    /// Reads them. The card stays with its driver.
    pub fn read(selector: &CardSelector, host: &Host) -> Result<Self, JobError> {
        let kernel = host.kernel_release();
        if let CardSelector::Sim(path) = selector {
            let serial = SimCard::open(path)?.serial();
            let vpd_serial = Some(SimCard::VPD_SERIAL.to_owned());
            return Ok(Self { serial, vpd_serial, kernel, ..Self::default() });
        }
        let card = selector.find(host)?;
        Ok(Self { kernel, ..Self::of(&card, host) })
    }

    fn of(card: &PciCard, host: &Host) -> Self {
        let port = host.port_above(card).map(|port| match port.reset_objection() {
            Some(why) => why,
            None => format!("{} objects to nothing", port.bdf),
        });
        Self {
            driver: card.driver.clone(),
            fw_version: card.fw_version.clone(),
            board_id: card.board_id.clone(),
            macs: card.netdevs.iter().map(|net| net.mac.clone()).collect(),
            device_id: Some(format!("{:04x}", card.device_id)),
            capabilities: host.capabilities(card.bdf),
            reset_methods: card.reset_methods.clone(),
            port,
            serial: card.serial_number(),
            vpd_serial: host.vpd_label(card.bdf).serial,
            kernel: String::new(),
        }
    }

    /// What the owner may name the card by: its serial numbers, without one the MACs of its ports.
    pub(super) fn names(&self) -> Vec<&str> {
        let serials = [&self.vpd_serial, &self.serial];
        let serials: Vec<&str> = serials.into_iter().flatten().map(String::as_str).collect();
        match serials.is_empty() {
            true => self.macs.iter().map(String::as_str).collect(),
            false => serials,
        }
    }

    pub(super) fn finding(&self) -> StageFinding {
        let driver = self.driver.as_deref().unwrap_or("none");
        let mut finding = match (&self.fw_version, &self.board_id) {
            (Some(version), Some(board)) => {
                StageFinding::proved(format!("{driver} reported firmware {version} of {board}"))
            }
            (Some(version), None) => {
                StageFinding::proved(format!("{driver} reported firmware {version}"))
            }
            _ => StageFinding::unknown(format!("no driver reported a firmware version ({driver})")),
        };
        let lists = [
            ("macs", &self.macs),
            ("capabilities", &self.capabilities),
            ("reset_methods", &self.reset_methods),
        ];
        for (name, list) in lists.into_iter().filter(|(_, list)| !list.is_empty()) {
            finding = finding.with(name, list.join(" "));
        }
        match &self.port {
            Some(port) => finding.with("port", port.clone()),
            None => finding,
        }
    }
}
