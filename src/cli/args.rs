//! What may be typed.

use super::args_parts::{ConfigCommand, FlashCommand, IdentityCommand, RomCommand};
use super::args_sim::SimCommand;
use crate::host::{BarAccess, UseId};
use crate::image::{Guid, Mac};
use crate::job::Exit;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// The whole command line.
#[derive(Parser, Debug)]
#[command(
    name = "cx3flash",
    version,
    about = "Flash Mellanox ConnectX-3 firmware from Linux userspace, safely",
    long_about = "Flashes Mellanox ConnectX-3 and ConnectX-3 Pro cards: backs up first, verifies the whole \
                  body before it becomes bootable, keeps the card's GUIDs, MACs and VSD.\n\n\
                  A real card is borrowed from its driver through VFIO and given back at the end: its \
                  network is gone meanwhile. `cx3flash doctor` says whether the host is ready; \
                  `cx3flash demo` shows the whole job on a simulated card.",
    after_help = "Results go to stdout, everything else to stderr. Exit codes: `cx3flash --help`.",
    after_long_help = exit_help(),
    disable_help_subcommand = true,
    arg_required_else_help = true,
    max_term_width = 100
)]
pub struct Cli {
    /// The card: PCI address, network or RDMA device name, or `sim:FILE`
    #[arg(
        short = 'd',
        long = "device",
        value_name = "CARD",
        env = "CX3FLASH_DEVICE",
        global = true
    )]
    pub device: Option<String>,
    /// One JSON document on stdout instead of text
    #[arg(long, global = true)]
    pub json: bool,
    /// No progress and no remarks on stderr; errors stay
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Show on stderr what is done at the card; twice: every register access
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Borrow the card although it is in use this way (ids: see `doctor`); once for each use
    #[arg(long, value_name = "ID", global = true)]
    pub allow: Vec<UseId>,
    /// Way to a real card's registers [default: the best that answers]
    #[arg(long, value_name = "WAY", global = true)]
    pub bar_access: Option<BarAccess>,
    /// Put an archive for a bug report into this directory, whatever becomes of the command; addresses
    /// and serial numbers are masked
    #[arg(long, value_name = "DIR", global = true)]
    pub report: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

fn exit_help() -> String {
    let rows = Exit::TABLE.map(|(exit, meaning)| format!("  {:>3}  {meaning}\n", exit.code()));
    format!("Exit codes:\n{}", rows.concat())
}

/// Commands.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Cards that can be seen: address, model, driver, chip revision, readiness
    List,
    /// Check the host and the card; every finding says how to mend it
    Doctor,
    /// What is on the card, or in an image file when one is given
    Query(QueryArgs),
    /// Check every section and CRC of the card's images, or of an image file
    Verify(VerifyArgs),
    /// Whole flash, image, settings, ROM and identity into a new directory
    Backup(BackupArgs),
    /// Say what `burn` would do; touches nothing
    Plan(PlanArgs),
    /// Put an image on the card: backup, erase, write, verify, commit
    Burn(BurnArgs),
    /// Put a backup back
    Restore(RestoreArgs),
    /// Bring back a card that has no valid image
    Recover(RecoverArgs),
    /// Load the flashed firmware without a reboot
    Activate,
    /// The expansion ROM on the card or in an image file
    #[command(subcommand, arg_required_else_help = true)]
    Rom(RomCommand),
    /// The ini inside the image; the settings the firmware keeps; their sectors
    #[command(subcommand, arg_required_else_help = true)]
    Config(ConfigCommand),
    /// GUIDs, MACs and VSD
    #[command(subcommand, arg_required_else_help = true)]
    Identity(IdentityCommand),
    /// The flash chip: kind, status, protection; raw read
    #[command(subcommand, arg_required_else_help = true)]
    Flash(FlashCommand),
    /// Free a stale flash semaphore, after proof that nobody uses it
    Unlock(ConfirmArgs),
    /// flint's own command line, for fingers and scripts that know it: `flint -d CARD query full`
    #[command(disable_help_flag = true)]
    Flint(FlintArgs),
    /// Cards that were borrowed and not given back; putting the host back
    #[command(subcommand, arg_required_else_help = true)]
    Host(HostCommand),
    /// Write one attribute of sysfs; a helper of this program's own
    #[command(name = "__host-write", hide = true)]
    HostWrite(HostWriteArgs),
    /// Make and look into simulated cards and test images
    #[command(subcommand, arg_required_else_help = true)]
    Sim(SimCommand),
    /// Watch the whole job on a fresh simulated card
    Demo(DemoArgs),
    /// Completions for a shell, on stdout
    Completions(CompletionsArgs),
    /// The manual page(s) in roff
    Man(ManArgs),
}

/// `flint`
#[derive(Args, Debug)]
pub struct FlintArgs {
    /// flint's words; `flint -h` lists them
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub words: Vec<String>,
}

/// `host …`
#[derive(Subcommand, Debug)]
pub enum HostCommand {
    /// What the journals say
    Status,
    /// Put the host back after a process that could not do it itself; may be run any number of times
    Restore,
}

/// `__host-write`
#[derive(Args, Debug)]
pub struct HostWriteArgs {
    /// Path below /sys; the value comes on stdin
    pub attribute: PathBuf,
}

/// `query`
#[derive(Args, Debug)]
pub struct QueryArgs {
    /// Image file; without it the card is queried
    pub image: Option<PathBuf>,
    /// Every field
    #[arg(long)]
    pub full: bool,
}

/// `verify`
#[derive(Args, Debug)]
pub struct VerifyArgs {
    /// Image file; without it the card is verified
    pub image: Option<PathBuf>,
    /// Compare the card with this image file, identity aside
    #[arg(long, value_name = "FILE", conflicts_with = "image")]
    pub against: Option<PathBuf>,
}

/// `backup`
#[derive(Args, Debug)]
pub struct BackupArgs {
    /// Directory in which the backup's own directory is made
    /// [default: the state directory, see `cx3flash man`]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// Options that change what a burn does to the card.
#[derive(Args, Debug, Clone)]
pub struct BurnOptionArgs {
    /// Put an image of another PSID on the card; both spelled out
    #[arg(long, value_name = "FROM:TO", value_parser = psid_change)]
    pub change_psid: Option<(String, String)>,
    /// Whose expansion ROM will be on the card [default: the image's, or the card's if it has none]
    #[arg(long, value_name = "WHOSE")]
    pub rom: Option<RomArg>,
}

/// `--rom`
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum RomArg {
    /// The image's
    Image,
    /// The card's
    Device,
    /// None
    None,
}

/// `plan`
#[derive(Args, Debug)]
pub struct PlanArgs {
    /// Image file
    pub image: PathBuf,
    #[command(flatten)]
    pub options: BurnOptionArgs,
    /// Every key in which the settings of another board differ
    #[arg(long)]
    pub full: bool,
}

/// `burn`
#[derive(Args, Debug)]
pub struct BurnArgs {
    /// Image file
    pub image: PathBuf,
    #[command(flatten)]
    pub options: BurnOptionArgs,
    #[command(flatten)]
    pub write: WriteArgs,
    #[command(flatten)]
    pub activate: ActivateArgs,
}

/// `--yes`
#[derive(Args, Debug, Clone)]
pub struct ConfirmArgs {
    /// Do not ask
    #[arg(short = 'y', long)]
    pub yes: bool,
}

/// Options of every command that writes to the card.
#[derive(Args, Debug, Clone)]
pub struct WriteArgs {
    #[command(flatten)]
    pub confirm: ConfirmArgs,
    /// Directory in which the backup's own directory is made [default: the state directory]
    #[arg(long, value_name = "DIR")]
    pub backup_dir: Option<PathBuf>,
}

/// `--no-activate`
#[derive(Args, Debug, Clone)]
pub struct ActivateArgs {
    /// Leave the old firmware running; the new one starts with the next power-on
    #[arg(long)]
    pub no_activate: bool,
}

/// `restore`
#[derive(Args, Debug)]
pub struct RestoreArgs {
    /// Backup directory (it holds manifest.json), or the flash.bin of one
    pub backup: PathBuf,
    /// Put back a backup made before the identity was changed: MAC of port 1 on the card, and in the
    /// backup
    #[arg(long, value_name = "FROM:TO", value_parser = mac_change)]
    pub change_mac: Option<(Mac, Mac)>,
    #[command(flatten)]
    pub write: WriteArgs,
    #[command(flatten)]
    pub activate: ActivateArgs,
}

/// Whom a card shall be; shared by `recover`, `identity set` and `sim create`.
#[derive(Args, Debug, Clone, Default)]
pub struct IdentityArgs {
    /// identity.json of a backup
    #[arg(long, value_name = "FILE", conflicts_with_all = ["guid", "guids", "mac", "macs", "blank_guids", "vsd"])]
    pub identity: Option<PathBuf>,
    /// Node GUID; ports 1 and 2 get +1 and +2, the system image +3 (as flint derives them). MACs stay as they are
    #[arg(long, value_name = "GUID", conflicts_with_all = ["guids", "blank_guids"])]
    pub guid: Option<Guid>,
    /// Node, port 1, port 2, system image GUID
    #[arg(
        long,
        value_name = "G,G,G,G",
        value_parser = list::<Guid, 4>,
        conflicts_with = "blank_guids"
    )]
    pub guids: Option<[Guid; 4]>,
    /// All four GUIDs blank, as on many Ethernet cards
    #[arg(long)]
    pub blank_guids: bool,
    /// Port 1 MAC; port 2 gets +1. GUIDs stay as they are; no bit 40 (multicast), not 0
    #[arg(long, value_name = "MAC", conflicts_with = "macs")]
    pub mac: Option<Mac>,
    /// Port 1 and port 2 MAC
    #[arg(long, value_name = "M,M", value_parser = list::<Mac, 2>)]
    pub macs: Option<[Mac; 2]>,
    /// Vendor specific data, at most 208 bytes
    #[arg(long, value_name = "TEXT")]
    pub vsd: Option<String>,
}

/// `recover`
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

/// `demo`
#[derive(Args, Debug)]
pub struct DemoArgs {
    /// Where card files, images and backups go; a fresh subdirectory is made when it exists
    #[arg(long, value_name = "DIR", default_value = "cx3flash-demo")]
    pub dir: PathBuf,
}

/// `completions`
#[derive(Args, Debug)]
pub struct CompletionsArgs {
    /// Which shell
    pub shell: clap_complete::Shell,
}

/// `man`
#[derive(Args, Debug)]
pub struct ManArgs {
    /// Directory for one page per command; without it the main page goes to stdout
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// Decimal, or hexadecimal after `0x`.
pub(super) fn number(text: &str) -> Result<u32, String> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) => u32::from_str_radix(hex, 16),
        None => text.parse(),
    }
    .map_err(|_| format!("{text:?} is not a 32-bit number (decimal, or hexadecimal after 0x)"))
}

/// Exactly `N` values with commas between them.
fn list<T: std::str::FromStr<Err = String>, const N: usize>(text: &str) -> Result<[T; N], String> {
    let parsed: Result<Vec<T>, String> = text.split(',').map(str::parse).collect();
    parsed?.try_into().map_err(|found: Vec<T>| {
        format!("{N} values with commas between them, not {}", found.len())
    })
}

fn psid_change(text: &str) -> Result<(String, String), String> {
    match text.split_once(':') {
        Some((from, to)) if !from.is_empty() && !to.is_empty() && !to.contains(':') => {
            Ok((from.to_owned(), to.to_owned()))
        }
        _ => Err("both PSIDs must be spelled out as FROM:TO".into()),
    }
}

/// Two MACs without colons, so that one colon is left to part them.
fn mac_change(text: &str) -> Result<(Mac, Mac), String> {
    let mac = |text: &str| {
        text.parse::<Mac>()
            .ok()
            .filter(|mac| mac.is_valid())
            .ok_or_else(|| format!("{text:?} is no MAC of 12 hexadecimal digits"))
    };
    match text.split_once(':') {
        Some((from, to)) if !to.contains(':') => Ok((mac(from)?, mac(to)?)),
        _ => Err("both MACs must be spelled out as FROM:TO, without colons of their own".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::{Cli, mac_change, number, psid_change};
    use clap::CommandFactory;

    #[test]
    fn definitions_contradict_each_other() {
        Cli::command().debug_assert();
    }

    #[test]
    fn half_a_mac_change_is_taken() {
        for text in [
            "",
            ":",
            "e41d2ddd7850",
            "e41d2ddd7850:",
            "e4:1d:2d:dd:78:50",
            "ffffffffffff:1",
        ] {
            assert!(mac_change(text).is_err(), "{text:?}");
        }
        let (from, to) = mac_change("e41d2ddd7850:e41d2ddd7852").unwrap();
        assert_eq!((from.0, to.0), (0xE41D_2DDD_7850, 0xE41D_2DDD_7852));
    }

    #[test]
    fn half_a_psid_change_is_taken() {
        for text in ["", ":", "A:", ":B", "A", "A:B:C"] {
            assert!(psid_change(text).is_err(), "{text:?}");
        }
        assert_eq!(psid_change("A:B"), Ok(("A".into(), "B".into())));
    }

    #[test]
    fn numbers_are_misread() {
        assert_eq!(number("0x10"), Ok(16));
        assert_eq!(number("10"), Ok(10));
        for text in ["", "0x", "10h", "-1", "0x100000000"] {
            assert!(number(text).is_err(), "{text:?}");
        }
    }
}
