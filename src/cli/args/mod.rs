//! The command line, and with it the help texts and the manual pages.

pub(super) mod shared;
pub(super) mod sim;

use super::build_info::long_version;
use crate::card::nv::Parameter;
use crate::host::{BarAccess, UseId};
use crate::image::Mac;
use crate::job::{CardSelector, Exit};
use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::parser::ValueSource;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use serde::Serialize;
use shared::{
    ActivateArgs, BurnOptionArgs, CardsArgs, ConfirmArgs, IdentityArgs, ImageSourceArgs, WriteArgs,
    accesses, bytes, mac_change, setting, use_ids,
};
use sim::SimCommand;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Groups of the options that every command has; the command's own stand before them.
const CARD: &str = "Card";
const OUTPUT: &str = "Output";

#[derive(Parser, Debug)]
#[command(
    name = "cx3flash",
    version,
    long_version = long_version(),
    about = "Flash Mellanox ConnectX-3 firmware from Linux userspace, safely",
    long_about = "Flashes Mellanox ConnectX-3 and ConnectX-3 Pro cards. The flash is backed up first, the new \
                  firmware is verified before it becomes bootable, and the card keeps its GUIDs, MACs and VSD.\n\n\
                  During a command a real card is unbound from its driver and opened through VFIO, so its \
                  network is down; afterwards the driver is bound again. `cx3flash doctor` checks whether the \
                  host is ready. `cx3flash demo` runs a complete update on a simulated card.",
    after_help = "Results go to stdout, everything else to stderr. Exit codes: `cx3flash --help`.",
    after_long_help = exit_help(),
    disable_help_subcommand = true,
    arg_required_else_help = true,
    max_term_width = 100
)]
pub struct Cli {
    /// The card: PCI address, network or RDMA device name, or `sim:FILE` (`FILE.cx3` alone as well)
    #[arg(
        short = 'd',
        long = "device",
        value_name = "CARD",
        env = "CX3FLASH_DEVICE",
        global = true,
        help_heading = CARD,
        value_parser = OsStringValueParser::new().map(|typed| CardSelector::from(typed.as_os_str()))
    )]
    pub device: Option<CardSelector>,
    /// Print one JSON document on stdout instead of text
    #[arg(long, global = true, help_heading = OUTPUT)]
    pub json: bool,
    /// Print only errors on stderr, no progress and no remarks
    #[arg(short, long, global = true, help_heading = OUTPUT, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Log each step on stderr; twice: every register access
    #[arg(short, long, global = true, help_heading = OUTPUT, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Colours on stdout
    #[arg(long, value_name = "WHEN", global = true, help_heading = OUTPUT, default_value = "auto")]
    pub color: ColourChoice,
    /// Use the card although it is in use in this way (ids: see `doctor`); repeat for each use
    #[arg(
        long,
        value_name = "ID",
        global = true,
        help_heading = CARD,
        hide_possible_values = true,
        value_parser = use_ids()
    )]
    pub allow: Vec<UseId>,
    /// Register access [default: the fastest one that works]
    #[arg(long, value_name = "ACCESS", global = true, help_heading = CARD, value_parser = accesses())]
    pub bar_access: Option<BarAccess>,
    /// Write an archive for a bug report into this directory, also when the command fails; addresses and
    /// serial numbers are masked
    #[arg(long, value_name = "DIR", global = true, help_heading = OUTPUT)]
    pub report: Option<PathBuf>,
    /// Record every register access into this new file (docs/traces.md); identity, serial numbers and the
    /// contents of the flash are not in it
    #[arg(long, value_name = "FILE", global = true, help_heading = OUTPUT)]
    pub trace: Option<PathBuf>,
    /// File with the key of a locked card (secure host), `-` for stdin; used when the card is locked. It
    /// enables hardware access until the chip is reset; no key is set or changed
    #[arg(long, value_name = "FILE", global = true, help_heading = CARD)]
    pub key_file: Option<PathBuf>,
    #[command(subcommand)]
    pub command: Command,
    /// The command as typed (`rom info`), for JSON and the names of logs
    #[arg(skip)]
    pub name: String,
    /// The card is named on the command line, not by the environment.
    #[arg(skip)]
    pub device_typed: bool,
}

/// A shell whose command lines can be completed.
#[derive(ValueEnum, Serialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum ShellName {
    Bash,
    Zsh,
    Fish,
}

/// `--color`.
#[derive(ValueEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ColourChoice {
    /// At a terminal, unless the environment decides: NO_COLOR, CLICOLOR_FORCE, CLICOLOR
    #[default]
    Auto,
    Always,
    Never,
}

impl Cli {
    /// Parses a command line, the program's name first.
    pub(super) fn of(argv: &[OsString]) -> Result<Self, clap::Error> {
        let matches = Self::command().try_get_matches_from(argv)?;
        let mut cli = Self::from_arg_matches(&matches)?;
        cli.device_typed = matches.value_source("device") == Some(ValueSource::CommandLine);
        let mut words = Vec::new();
        let mut inner = matches.subcommand();
        while let Some((word, matches)) = inner {
            words.push(word);
            inner = matches.subcommand();
        }
        cli.name = words.join(" ");
        Ok(cli)
    }
}

fn exit_help() -> String {
    let rows = Exit::TABLE.map(|(exit, meaning)| format!("  {:>3}  {meaning}\n", exit.code()));
    format!("Exit codes:\n{}", rows.concat())
}

#[derive(Subcommand, Debug)]
pub enum Command {
    /// List the cards: model, PSID, firmware, readiness; takes no card from its driver
    List {
        /// Every field: IOMMU group, BAR0, mst name, register access
        #[arg(long)]
        full: bool,
    },
    /// Check the host and every card, or the named one; each finding comes with its fix
    Doctor,
    /// Test on this card what the program assumes of it; the flash is only read
    ///
    /// Takes the card (its network is down), takes and frees its semaphores and writes gateway registers.
    /// The results are kept: a burn does what is not proved the conservative way, and is refused where it
    /// needs what is contradicted.
    Selftest(SelftestArgs),
    /// Show what is on the card, or in an image file
    Query {
        /// Image file; without it the card is queried
        image: Option<PathBuf>,
        /// Every field
        #[arg(long)]
        full: bool,
    },
    /// Check every section and CRC of the card's images, or of an image file
    Verify {
        /// Image file; without it the card is verified
        image: Option<PathBuf>,
        /// Compare the card with this image file; the identity may differ
        #[arg(long, value_name = "FILE", conflicts_with = "image")]
        against: Option<PathBuf>,
    },
    /// Save the flash, image, settings, ROM and identity into a new directory
    Backup {
        /// Directory in which the backup's own directory is created
        /// [default: the state directory, see `cx3flash man`]
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
    /// List the images in directories, files and archives
    ///
    /// Shows PSID, version, release date, part number and state of each. Directories are read with everything below
    /// them; symbolic links in them are not followed.
    Images {
        /// Directory, image file or archive
        #[arg(required = true, value_name = "DIR")]
        store: Vec<PathBuf>,
    },
    /// Show what `burn` would do; changes nothing
    Plan(PlanArgs),
    /// Write an image to the card: backup, erase, write, verify, commit
    Burn(BurnArgs),
    /// Write a backup to the card
    Restore(RestoreArgs),
    /// Write an image to a card that has no valid image
    Recover(RecoverArgs),
    /// Start the firmware on the flash without a reboot
    Activate,
    /// The expansion ROM on the card or in an image file
    #[command(subcommand, arg_required_else_help = true)]
    Rom(RomCommand),
    /// The ini inside the image, and the settings that the firmware stores
    #[command(subcommand, arg_required_else_help = true)]
    Config(ConfigCommand),
    /// GUIDs, MACs and VSD
    #[command(subcommand, arg_required_else_help = true)]
    Identity(IdentityCommand),
    /// The flash chip: type, status, write protection, raw read
    #[command(subcommand, arg_required_else_help = true)]
    Flash(FlashCommand),
    /// Free a stale flash semaphore, after proof that no program uses it; with the key of a locked card,
    /// enable hardware access
    Unlock {
        /// The key; other users see it in the list of processes, so prefer --key-file
        #[arg(long, value_name = "KEY", conflicts_with = "key_file")]
        key: Option<String>,
        #[command(flatten)]
        confirm: ConfirmArgs,
    },
    /// flint's command line, for users and scripts that know it: `flint -d CARD query full`
    #[command(disable_help_flag = true)]
    Flint {
        /// flint's flags and commands; `flint -h` lists them
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
    /// Cards that were not returned to their driver
    #[command(subcommand, arg_required_else_help = true)]
    Host(HostCommand),
    /// Write one sysfs attribute (internal)
    #[command(name = "__host-write", hide = true)]
    HostWrite {
        /// Path below /sys; the value is read from stdin
        attribute: PathBuf,
    },
    /// Show a trace, play it back, or compare it with the simulated card
    #[command(subcommand, arg_required_else_help = true)]
    Trace(TraceCommand),
    /// Create and inspect simulated cards and test images
    #[command(subcommand, arg_required_else_help = true)]
    Sim(SimCommand),
    /// Run a complete update on new simulated cards; at a terminal with pauses to read
    Demo {
        /// No pauses
        #[arg(long)]
        fast: bool,
        /// Directory for card files, images and backups; if it exists, a new subdirectory is created
        #[arg(long, value_name = "DIR", default_value = "cx3flash-demo")]
        dir: PathBuf,
    },
    /// Show the help of a command
    Help {
        /// The command, such as `sim create`; without it the list of commands
        command: Vec<String>,
    },
    /// Print a script that makes a shell complete commands, cards and ids
    ///
    /// The script asks this program for what fits; cards come from sysfs and from the names of card files
    /// (*.cx3), none is opened. The examples in the manual page have the places where shells look for scripts.
    Completions {
        /// Which shell
        shell: ShellName,
    },
    /// Print the JSON Schema of the documents of `--json`, all or those of one command
    Schema {
        /// The command, such as `rom info`
        command: Vec<String>,
    },
    /// Print the manual pages in roff
    Man {
        /// Write one page per command into this directory instead
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
}

#[derive(Subcommand, Debug)]
pub enum HostCommand {
    /// List the cards that were not returned
    Status,
    /// Return the cards of processes that ended without doing so; can be repeated
    Restore,
    /// Drop the journals of a card that cannot be returned: another card is at its address, or its
    /// journal cannot be used
    Forget {
        /// The address, as `host status` shows it
        card: CardSelector,
        #[command(flatten)]
        confirm: ConfirmArgs,
    },
}

#[derive(Subcommand, Debug)]
pub enum TraceCommand {
    /// Show what a trace holds: header, marks, accesses to each register
    Show {
        /// Trace, as `--trace` writes it
        file: PathBuf,
        /// List every access
        #[arg(long)]
        accesses: bool,
    },
    /// Run the recorded query, verify, doctor or selftest with the trace as its card
    Replay {
        /// Trace, as `--trace` writes it
        file: PathBuf,
    },
    /// Run the recorded command on a simulated card and list where the accesses differ
    Diff {
        /// Trace, as `--trace` writes it
        file: PathBuf,
    },
}

#[derive(Args, Debug, Clone)]
pub struct SelftestArgs {
    /// Send commands to the running firmware as well
    #[arg(long)]
    pub tools_interface: bool,
    /// Reset the card as well, and see whether it loads its firmware
    #[arg(long)]
    pub reset: bool,
    /// Erase and program as well, on a card that may be lost: its serial number, from the vital product data or
    /// from configuration space. A backup is made first
    #[arg(long, value_name = "SERIAL")]
    pub expendable: Option<String>,
    #[command(flatten)]
    pub write: WriteArgs,
}

#[derive(Args, Debug)]
pub struct PlanArgs {
    #[command(flatten)]
    pub source: ImageSourceArgs,
    #[command(flatten)]
    pub cards: CardsArgs,
    #[command(flatten)]
    pub options: BurnOptionArgs,
    /// List every ini key that differs when the image is for another board
    #[arg(long)]
    pub full: bool,
}

#[derive(Args, Debug)]
pub struct BurnArgs {
    #[command(flatten)]
    pub source: ImageSourceArgs,
    #[command(flatten)]
    pub cards: CardsArgs,
    #[command(flatten)]
    pub options: BurnOptionArgs,
    #[command(flatten)]
    pub write: WriteArgs,
    #[command(flatten)]
    pub activate: ActivateArgs,
}

#[derive(Args, Debug)]
pub struct RestoreArgs {
    /// Backup directory (with manifest.json), or the flash.bin of one
    pub backup: PathBuf,
    /// Restore a backup from before a change of identity: port 1 MAC on the card, and in the backup
    #[arg(long, value_name = "FROM:TO", value_parser = mac_change)]
    pub change_mac: Option<(Mac, Mac)>,
    #[command(flatten)]
    pub write: WriteArgs,
    #[command(flatten)]
    pub activate: ActivateArgs,
}

#[derive(Args, Debug)]
pub struct RecoverArgs {
    /// Image file
    pub image: PathBuf,
    #[command(flatten)]
    pub identity: IdentityArgs,
    #[command(flatten)]
    pub write: WriteArgs,
    #[command(flatten)]
    pub activate: ActivateArgs,
}

#[derive(Subcommand, Debug)]
pub enum RomCommand {
    /// Show the versions in the card's ROM, in an image's, or in a ROM file
    Info {
        /// Image or ROM file; without it the card's
        file: Option<PathBuf>,
    },
    /// Copy the ROM to a file
    Read {
        /// File to create; must not exist
        out: PathBuf,
        /// Image file to read from; without it the card
        #[arg(long, value_name = "FILE")]
        image: Option<PathBuf>,
    },
    /// Put a ROM on the card (rewrites the image with it)
    Write {
        /// ROM file
        rom: PathBuf,
        #[command(flatten)]
        write: WriteArgs,
    },
    /// Remove the ROM from the card (rewrites the image without it)
    Remove(WriteArgs),
}

#[derive(Subcommand, Debug)]
pub enum ConfigCommand {
    /// Print the ini inside the card's image, or inside an image file
    Show {
        /// Image file; without it the card's
        image: Option<PathBuf>,
        /// Value of one key, as SECTION.key (exit 1 if there is none; the error lists similar names)
        #[arg(long, value_name = "SECTION.KEY", conflicts_with = "summary")]
        key: Option<String>,
        /// SR-IOV, virtual functions, ports, BAR size, flash size and boot ROM options
        #[arg(long)]
        summary: bool,
    },
    /// Show the settings that the running firmware stores: default, and value at its next start
    Query,
    /// Store settings in the running firmware; they take effect after a reset of the card
    Set {
        /// Setting and value, as `config query` shows them: SRIOV_EN=1 LINK_TYPE_P1=ETH
        #[arg(required = true, value_name = "KEY=VALUE", value_parser = setting)]
        settings: Vec<(Parameter, u32)>,
        #[command(flatten)]
        write: WriteArgs,
    },
    /// Erase the NV configuration sectors: the settings return to the defaults of the ini
    Reset(WriteArgs),
}

#[derive(Subcommand, Debug)]
pub enum IdentityCommand {
    /// Show GUIDs, MACs and VSD of the card, or of an image file
    Show {
        /// Image file; without it the card's
        image: Option<PathBuf>,
    },
    /// Change the card's identity (rewrites the image with it)
    ///
    /// Values that are not given stay. --guid G gives the node G, port 1 G+1, port 2 G+2 and the system
    /// image G+3; --mac M gives port 1 M and port 2 M+1 (as flint's -guid and -mac do). Nothing else is
    /// derived: MACs are not derived from GUIDs, nor GUIDs from MACs. A MAC must fit 48 bits, have the
    /// multicast bit clear and not be 0. Sectors that stay equal are neither erased nor written.
    Set {
        #[command(flatten)]
        identity: IdentityArgs,
        #[command(flatten)]
        write: WriteArgs,
    },
}

#[derive(Subcommand, Debug)]
pub enum FlashCommand {
    /// Show chip, size, erase sizes, status register, write protection
    Info,
    /// Copy raw flash bytes to a file
    Read {
        /// File to create; must not exist
        out: PathBuf,
        /// First address, such as 0x1000 or 64k
        #[arg(long, value_name = "ADDR", default_value = "0", value_parser = bytes)]
        from: u32,
        /// Length, such as 0x1000, 4k or 2M [default: to the end]
        #[arg(long, value_name = "BYTES", value_parser = bytes)]
        len: Option<u32>,
    },
    /// Show, clear or set the chip's own write protection
    Protect(ProtectArgs),
}

#[derive(Args, Debug)]
pub struct ProtectArgs {
    /// Clear all protection
    #[arg(long, conflicts_with = "on")]
    pub off: bool,
    /// Protect the whole flash, or --top or --bottom; only on chips whose protection bits are known
    #[arg(long)]
    pub on: bool,
    /// Blocks of 64 KiB at the end of the flash: 1, 2, 4 …
    #[arg(long, value_name = "BLOCKS", requires = "on", conflicts_with_all = ["bottom", "off"])]
    pub top: Option<u32>,
    /// Blocks of 64 KiB at its beginning
    #[arg(long, value_name = "BLOCKS", requires = "on", conflicts_with = "off")]
    pub bottom: Option<u32>,
    #[command(flatten)]
    pub confirm: ConfirmArgs,
}

impl Command {
    /// The file that is read instead of a card.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::Query { image, .. }
            | Self::Verify { image, .. }
            | Self::Rom(RomCommand::Info { file: image } | RomCommand::Read { image, .. })
            | Self::Config(ConfigCommand::Show { image, .. })
            | Self::Identity(IdentityCommand::Show { image }) => image.as_deref(),
            _ => None,
        }
    }

    /// The command is for every card of the host (`--all`).
    pub fn is_for_all(&self) -> bool {
        matches!(
            self,
            Self::Plan(PlanArgs { cards: CardsArgs { all: true }, .. })
                | Self::Burn(BurnArgs { cards: CardsArgs { all: true }, .. })
        )
    }

    /// Whether the command changes a card, or resets it.
    pub fn changes_card(&self) -> bool {
        match self {
            Self::Burn(_)
            | Self::Restore(_)
            | Self::Recover(_)
            | Self::Activate
            | Self::Unlock { .. }
            | Self::Rom(RomCommand::Write { .. } | RomCommand::Remove(_))
            | Self::Config(ConfigCommand::Set { .. } | ConfigCommand::Reset(_))
            | Self::Identity(IdentityCommand::Set { .. }) => true,
            Self::Flash(FlashCommand::Protect(args)) => args.on || args.off,
            Self::Selftest(args) => args.reset || args.expendable.is_some(),
            _ => false,
        }
    }

    /// Whether the command opens a card; then it is a job and has a log.
    pub fn opens_card(&self) -> bool {
        match self {
            command if command.file().is_some() => false,
            Self::Completions { .. }
            | Self::Images { .. }
            | Self::Help { .. }
            | Self::Schema { .. }
            | Self::Man { .. }
            | Self::Sim(_)
            | Self::Trace(_)
            | Self::HostWrite { .. }
            | Self::Host(HostCommand::Status | HostCommand::Forget { .. }) => false,
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Cli;
    use clap::CommandFactory;

    #[test]
    fn the_definitions_agree_with_each_other() {
        Cli::command().debug_assert();
    }
}
