//! `sim …`: simulated cards and test images.

use super::shared::{IdentityArgs, bytes};
use crate::image::Version;
use crate::sim::{CardSpec, SimChip};
use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;

#[derive(Subcommand, Debug)]
pub enum SimCommand {
    /// Create a card file
    Create(CreateArgs),
    /// Show what a card file holds: silicon, chip, what would boot, counters, faults, misuse
    Info {
        /// Card file
        file: PathBuf,
    },
    /// Inject a fault; it acts from the next command on
    #[command(after_help = FAULT_HELP)]
    Fault {
        /// Card file
        file: PathBuf,
        /// The fault as JSON, e.g. '{"fault":"power_cut","op":100,"seed":1}'
        fault: String,
    },
    /// Switch the power off and on: the card boots, semaphores and faults are cleared, but for those of firmware
    PowerCycle {
        /// Card file
        file: PathBuf,
    },
    /// Create a valid image for tests
    Image(ImageArgs),
    /// Attach a card to a virtual machine over vfio-user (QEMU 11: vfio-user-pci)
    Serve(ServeArgs),
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageShape {
    /// MT_1170110023, 2.35.5100, non-failsafe
    #[value(name = "mcx311a-2.35.5100")]
    Mcx311aOld,
    /// MT_1170110023, 2.42.5000, non-failsafe
    #[value(name = "mcx311a-2.42.5000")]
    Mcx311aNew,
    /// MT_1200111023, 2.36.5150, failsafe
    #[value(name = "mcx312b-2.36.5150")]
    Mcx312bOld,
    /// MT_1200111023, 2.42.5000, failsafe
    #[value(name = "mcx312b-2.42.5000")]
    Mcx312bNew,
}

#[derive(Args, Debug)]
pub struct CreateArgs {
    /// Card file to create; must not exist
    pub file: PathBuf,
    /// Which board
    #[arg(long, default_value = "mcx311a", value_parser = clap::builder::PossibleValuesParser::new(CardSpec::names()))]
    pub board: String,
    /// Image file to put on the flash [default: one that is built for the board]
    #[arg(long, value_name = "FILE", conflicts_with = "blank")]
    pub image: Option<PathBuf>,
    /// Leave the flash blank: the card starts in recovery mode
    #[arg(long, conflicts_with_all = ["identity", "guid", "guids", "mac", "macs", "blank_guids", "vsd"])]
    pub blank: bool,
    #[command(flatten)]
    pub identity: IdentityArgs,
    /// Flash chip [default: the board's]
    #[arg(long, value_name = "CHIP", value_parser = chip)]
    pub part: Option<SimChip>,
    /// Silicon revision [default: the board's]
    #[arg(long, value_name = "N")]
    pub revision: Option<u8>,
    /// PCI address shown by `list` [default: one that no card of the host and no card file beside it has]
    #[arg(long, value_name = "BDF")]
    pub bdf: Option<String>,
    /// Lock CR-space like a secure host; its key is 0123456789abcdef
    #[arg(long)]
    pub secure_host: bool,
    /// How long the chip boots after a reset or at power-on; its registers change meanwhile
    #[arg(long, value_name = "MS", default_value_t = 0)]
    pub boot_ms: u32,
    /// What a PCI reset does to a chip with a boot time (VFIO resets a card when it opens and closes it)
    #[arg(long, value_name = "KIND", default_value = "boots")]
    pub pci_reset: PciReset,
    /// Which of two valid images the boot ROM starts
    #[arg(long, value_name = "ORDER", default_value = "lowest-first")]
    pub boot_order: BootOrder,
    /// What the boot address register means to a software reset
    #[arg(long, value_name = "KIND", default_value = "honoured")]
    pub boot_address: BootAddress,
    /// Whether the address register of the configuration gateway can be read back
    #[arg(long, value_name = "KIND", default_value = "readable")]
    pub config_gateway: GatewayReadback,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum GatewayReadback {
    /// The register returns what was written
    Readable,
    /// The register returns badacce5; bit 0 requests a read
    WriteOnly,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum PciReset {
    /// The chip restarts
    Boots,
    /// Configuration registers are cleared, firmware and semaphores stay
    Keeps,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum BootOrder {
    /// The one at the lowest address
    LowestFirst,
    /// The one at the highest address
    HighestFirst,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum BootAddress {
    /// A valid image at that address is started
    Honoured,
    /// The boot ROM searches as at power-on
    Ignored,
}

#[derive(Args, Debug)]
#[command(after_help = CONTROL_HELP)]
pub struct ServeArgs {
    /// Card file
    pub file: PathBuf,
    /// Unix socket to create for the virtual machine
    #[arg(long, value_name = "PATH")]
    pub socket: PathBuf,
    /// Unix socket to create for control commands, one a line
    #[arg(long, value_name = "PATH")]
    pub control: Option<PathBuf>,
    /// How time passes while the flash is busy
    #[arg(long, value_name = "PACE", default_value = "fast")]
    pub time: PaceArg,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum PaceArg {
    /// Each poll of the status register ends a third of the wait
    Fast,
    /// Erases and programs take as long as on a real chip
    Wall,
}

const FAULT_HELP: &str = "\
Firmware that fails is named by its version, and stays so whatever happens to the power:
  {\"fault\":\"firmware\",\"fw_version\":\"2.42.5000\",\"defect\":DEFECT}
where DEFECT is one of
  {\"never_starts\":{\"recovery_id\":true}}   loaded, and hangs; the PCI id is the recovery id or the image's
  {\"dies\":{\"ms\":2000,\"silent\":false}}    hangs later; its registers freeze or read all ones
  \"needs_driver\"                           starts when a driver enables bus mastering
docs/schema.json lists every fault (`Fault`).";

const CONTROL_HELP: &str = "\
The control socket takes one command a line and answers each with `ok`, `ok JSON` or `error WHY`:
  fault JSON           inject a fault, as `sim fault` takes it
  power-cycle          power off and on
  info                 everything about the card and its host side, as JSON
  silent on|off        all registers read all ones, writes are lost
  firmware dead|alive  whether the driver's commands are answered
  boot-ms N            from the next reset on, the chip takes N ms to boot
  pci-reset-boots on|off  whether a PCI reset restarts a chip with a boot time
  hold-at-mutation N   at operation N print `at N` and leave that access unanswered
                       until `release`, at most 3.5 s; 0 = never
  release              answer it
  forget               set counters and misuse to zero
  quit                 end

Virtual machine, after the options for shared memory and a virtual IOMMU with caching-mode=on:
  -device '{\"driver\":\"vfio-user-pci\",\"socket\":{\"type\":\"unix\",\"path\":\"PATH\"}}'";

#[derive(Args, Debug)]
pub struct ImageArgs {
    /// Image file to create; must not exist
    pub out: PathBuf,
    /// Description as JSON; missing fields have the defaults of a ConnectX-3 A1 image
    #[arg(long, value_name = "FILE.json", conflicts_with = "like")]
    pub recipe: Option<PathBuf>,
    /// Start from a known shape
    #[arg(long, value_name = "SHAPE")]
    pub like: Option<ImageShape>,
    /// PSID instead of the shape's
    #[arg(long)]
    pub psid: Option<String>,
    /// Version instead of the shape's
    #[arg(long, value_name = "A.B.C", id = "fw_version")]
    pub fw_version: Option<Version>,
    /// Pad the image to this size
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    pub size: Option<u32>,
    /// Seed of the filler code
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Include this expansion ROM
    #[arg(long, value_name = "FILE", conflicts_with = "no_rom")]
    pub rom: Option<PathBuf>,
    /// Without the shape's expansion ROM
    #[arg(long)]
    pub no_rom: bool,
}

fn chip(text: &str) -> Result<SimChip, String> {
    use serde::Deserialize;
    use serde::de::IntoDeserializer;
    use serde::de::value::{Error, StrDeserializer};
    let name: StrDeserializer<'_, Error> = text.into_deserializer();
    SimChip::deserialize(name).map_err(|e| e.to_string())
}
