//! `list`: the cards that can be seen. Real ones by sysfs alone: listing must not take a card away
//! from its user.

use super::doctor::{doctor_of_card, doctor_without_card};
use super::proofs::ProofStore;
use super::session::CardFacts;
use super::{CardSelector, JobError, open_sim};
use crate::card::DeviceType;
use crate::host::{
    BarAccess, BorrowOptions, Function, Host, HostFinding, OtherDevice, PciCard, driver_info,
};
use crate::image::{Image, Version};
use crate::sim::SimCard;
use schemars::JsonSchema;
use serde::Serialize;
use std::path::{Path, PathBuf};

#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize)]
pub struct ListEntry {
    /// What to give to `-d`.
    pub device: CardSelector,
    pub bdf: Option<String>,
    pub board: Option<String>,
    /// `ConnectX-3 A1`; without the revision for a card that only sysfs describes.
    pub chip_name: Option<String>,
    pub device_id: Option<u16>,
    pub driver: Option<String>,
    /// Number of its IOMMU group.
    pub iommu_group: Option<u32>,
    /// Length of BAR0 in bytes.
    pub bar0: Option<u64>,
    /// Bus address of BAR0.
    pub bar0_address: Option<u64>,
    /// PCI revision id, as configuration space (a real card) has it. It is what firmware put there:
    /// on these cards 0, whatever the silicon's revision is, so it is not `chip_name`'s letter.
    pub pci_revision: Option<u8>,
    /// What MST would call it: `mt4099_pci_cr0`, numbered in the order of addresses among cards with
    /// the same device id. `None` for a simulated card.
    pub mst_name: Option<String>,
    /// Ways to its registers: `vfio` with `mmap`, `pread`, `config`, or `simulated`.
    pub access: Vec<String>,
    pub netdevs: Vec<String>,
    pub rdma: Vec<String>,
    /// Part number, from the vital product data of a real card, which only root can read.
    pub part_number: Option<String>,
    /// Serial number, likewise.
    pub serial: Option<String>,
    pub psid: Option<String>,
    /// Where `psid` is from.
    pub psid_from: Option<PsidSource>,
    /// No firmware runs.
    pub recovery: bool,
    #[serde(rename = "running_fw_version")]
    pub running: Option<Version>,
    /// Firmware on the flash. `None` = not known: a real card would have to be borrowed for it.
    #[serde(rename = "flash_fw_version")]
    pub flashed: Option<Version>,
    /// `doctor` would report nothing, as far as that is known without taking the card.
    pub ready: bool,
    /// Why not.
    pub problem: Option<String>,
}

/// How the PSID of a card is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PsidSource {
    /// The driver reports that of the running firmware.
    Driver,
    /// It was on the flash when a command last read this card.
    Record,
    /// It is on the flash.
    Flash,
}

/// Answer of `list`.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize)]
pub struct ListOutcome {
    /// In the order they were named; without names, real cards by address first.
    pub cards: Vec<ListEntry>,
    /// Without a name: Mellanox devices of other families and virtual functions, by address.
    pub others: Vec<OtherDevice>,
}

/// Lists the named card, or every card: the real ones and those in `simulated`. A card that cannot be
/// inspected is listed with its problem.
pub fn list(
    named: Option<&CardSelector>,
    simulated: &[PathBuf],
    host: &Host,
    options: &BorrowOptions,
) -> Result<ListOutcome, JobError> {
    let mut cards = Vec::new();
    let others = if named.is_none() { host.other_devices() } else { Vec::new() };
    match named {
        Some(CardSelector::Sim(path)) => cards.push(simulation(path)),
        Some(selector) => cards.push(real(selector, &selector.find(host)?, host, options)),
        None => {
            for card in host.cards()? {
                if card.function != Function::Virtual {
                    let selector = CardSelector::Host(card.bdf.to_string());
                    cards.push(real(&selector, &card, host, options));
                }
            }
            cards.extend(simulated.iter().map(|path| simulation(path)));
        }
    }
    Ok(ListOutcome { cards, others })
}

fn empty(selector: &CardSelector) -> ListEntry {
    ListEntry {
        device: selector.clone(),
        bdf: None,
        board: None,
        chip_name: None,
        device_id: None,
        driver: None,
        iommu_group: None,
        bar0: None,
        bar0_address: None,
        pci_revision: None,
        mst_name: None,
        access: Vec::new(),
        netdevs: Vec::new(),
        rdma: Vec::new(),
        part_number: None,
        serial: None,
        psid: None,
        psid_from: None,
        recovery: false,
        running: None,
        flashed: None,
        ready: false,
        problem: None,
    }
}

fn simulation(path: &Path) -> ListEntry {
    let selector = &CardSelector::Sim(path.to_owned());
    let inspect = || -> Result<_, JobError> {
        let sim = SimCard::open(path)?;
        let device_id = sim.pci_device_id();
        let mut device = open_sim(&sim, &selector.to_string())?;
        let facts = CardFacts::of(&mut device)?;
        // A card can be listed while another program holds its semaphores.
        let found = doctor_of_card(&mut device);
        let query = found.query.as_ref();
        let image = query.and_then(|query| query.images.get(query.active?)?.image.as_ref());
        Ok(ListEntry {
            bdf: facts.bdf,
            board: device.board.clone(),
            part_number: device.board.clone(),
            serial: sim.serial(),
            psid: image.and_then(|image| image.psid()).map(ToString::to_string),
            psid_from: image.and_then(|image| image.psid()).map(|_| PsidSource::Flash),
            device_id: Some(device_id),
            chip_name: Some(facts.chip.name()),
            recovery: facts.recovery,
            running: facts.running,
            flashed: image.and_then(Image::fw_version),
            access: vec!["simulated".to_owned()],
            ready: found.ok,
            problem: problem(&found.checks),
            ..empty(selector)
        })
    };
    match inspect() {
        Ok(entry) => entry,
        Err(error) => ListEntry { problem: Some(error.to_string()), ..empty(selector) },
    }
}

fn real(
    selector: &CardSelector,
    card: &PciCard,
    host: &Host,
    options: &BorrowOptions,
) -> ListEntry {
    let running = card
        .netdevs
        .iter()
        .find_map(|net| driver_info(&net.name).ok())
        .map(|info| info.fw_version)
        .or_else(|| card.fw_version.clone())
        .and_then(|text| text.parse().ok());
    let recovery = card.function == Function::Recovery;
    let recovery = recovery.then(|| "firmware: none runs: recovery mode".to_owned());
    let problem = problem(&doctor_without_card(selector, card, host, options)).or(recovery);
    let label = host.vpd_label(card.bdf);
    let record = || ProofStore::of(host, card.serial_number()?).last_psid();
    let reported = card.board_id.clone().map(|psid| (psid, PsidSource::Driver));
    let known = reported.or_else(|| record().map(|psid| (psid, PsidSource::Record)));
    let (psid, psid_from) = known.unzip();
    ListEntry {
        bdf: Some(card.bdf.to_string()),
        chip_name: DeviceType::with_pci_id(card.device_id).map(|device| device.name.to_owned()),
        device_id: Some(card.device_id),
        driver: card.driver.clone(),
        iommu_group: card.iommu_group,
        bar0: card.bar0,
        bar0_address: host.bar0_address(card.bdf),
        pci_revision: Some(card.revision),
        mst_name: mst_name(card, host),
        access: access(card),
        netdevs: card.netdevs.iter().map(|n| n.name.clone()).collect(),
        rdma: card.rdma.clone(),
        part_number: label.part_number,
        serial: label.serial,
        psid,
        psid_from,
        recovery: card.function == Function::Recovery,
        running,
        ready: problem.is_none(),
        problem,
        ..empty(selector)
    }
}

/// What `doctor` would report first.
fn problem(findings: &[HostFinding]) -> Option<String> {
    let first = findings.iter().find(|finding| finding.is_fault())?;
    Some(format!("{}: {}", first.id, first.detail))
}

/// MST numbers the devices of a kind in the order it meets them on the bus.
fn mst_name(card: &PciCard, host: &Host) -> Option<String> {
    let same = host.cards().ok()?;
    let number =
        same.iter().filter(|c| c.device_id == card.device_id).position(|c| c.bdf == card.bdf)?;
    Some(format!("mt{}_pci_cr{number}", card.device_id))
}

/// Ways that are there; `doctor` tries them.
fn access(card: &PciCard) -> Vec<String> {
    if card.iommu_group.is_none() {
        return Vec::new();
    }
    let bar = card.bar0.is_some();
    BarAccess::ALL
        .into_iter()
        .filter(|way| bar || *way == BarAccess::Config)
        .map(|way| format!("vfio {way}"))
        .collect()
}
