//! `rom …`, `config …`, `identity …`, `flash …`.

use super::args::{ConfirmArgs, IdentityArgs, WriteArgs, number};
use super::settings::setting;
use crate::card::nv::Parameter;
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// `rom …`
#[derive(Subcommand, Debug)]
pub enum RomCommand {
    /// Versions in the card's ROM, in an image's, or in a ROM file
    Info {
        /// Image or ROM file; without it the card's
        file: Option<PathBuf>,
    },
    /// Copy the ROM out
    Read {
        /// File to make; must not exist
        out: PathBuf,
        /// Image file to read from; without it the card
        #[arg(long, value_name = "FILE")]
        image: Option<PathBuf>,
    },
    /// Put a ROM on the card (the image is burned again with it)
    Write(RomWriteArgs),
    /// Take the ROM off the card (the image is burned again without it)
    Remove(WriteArgs),
}

/// `config …`
#[derive(Subcommand, Debug)]
pub enum ConfigCommand {
    /// Print the ini inside the card's image, or inside an image file
    Show {
        /// Image file; without it the card's
        image: Option<PathBuf>,
        /// Value of one key alone, as SECTION.key (exit 1 when there is none; near names are said)
        #[arg(long, value_name = "SECTION.KEY", conflicts_with = "summary")]
        key: Option<String>,
        /// SR-IOV, virtual functions, ports, BAR size, flash size, boot ROM options in words
        #[arg(long)]
        summary: bool,
    },
    /// The settings the running firmware keeps: default, and what it takes at its next start
    Query,
    /// Have the running firmware store settings; the card must be reset for them to act
    Set(ConfigSetArgs),
    /// Erase the NV configuration sectors: settings fall back to the ini's
    Reset(WriteArgs),
}

/// `identity …`
#[derive(Subcommand, Debug)]
pub enum IdentityCommand {
    /// GUIDs, MACs and VSD of the card, or of an image file
    Show {
        /// Image file; without it the card's
        image: Option<PathBuf>,
    },
    /// Give the card another identity (the image is burned again with it)
    ///
    /// What is not named stays. --guid G gives the node G, port 1 G+1, port 2 G+2, the system image
    /// G+3; --mac M gives port 1 M, port 2 M+1 (as flint's -guid and -mac do). Nothing else is
    /// derived: MACs do not follow from GUIDs, nor GUIDs from MACs. A MAC must fit 48 bits, have the
    /// multicast bit clear and not be 0. Sectors that stay equal are neither erased nor written.
    Set(IdentitySetArgs),
}

/// `flash …`
#[derive(Subcommand, Debug)]
pub enum FlashCommand {
    /// Chip, size, erase sizes, status register, protection
    Info,
    /// Copy raw flash bytes out
    Read {
        /// File to make; must not exist
        out: PathBuf,
        /// First address
        #[arg(long, value_name = "ADDR", default_value = "0", value_parser = number)]
        from: u32,
        /// Bytes [default: to the end]
        #[arg(long, value_name = "BYTES", value_parser = number)]
        len: Option<u32>,
    },
    /// The chip's own write protection: shown, taken off, put on
    Protect(ProtectArgs),
}

/// `flash protect`
#[derive(Args, Debug)]
pub struct ProtectArgs {
    /// Take all protection off
    #[arg(long, conflicts_with = "on")]
    pub off: bool,
    /// Protect the whole flash, or the part named; chips whose bits are known only
    #[arg(long)]
    pub on: bool,
    /// Blocks of 64 KiB at the end of the flash: 1, 2, 4 …
    #[arg(long, value_name = "BLOCKS", requires = "on", conflicts_with_all = ["bottom", "off"], value_parser = number)]
    pub top: Option<u32>,
    /// Blocks of 64 KiB at its beginning
    #[arg(long, value_name = "BLOCKS", requires = "on", conflicts_with = "off", value_parser = number)]
    pub bottom: Option<u32>,
    #[command(flatten)]
    pub confirm: ConfirmArgs,
}

/// `rom write`
#[derive(Args, Debug)]
pub struct RomWriteArgs {
    /// ROM file
    pub rom: PathBuf,
    #[command(flatten)]
    pub write: WriteArgs,
}

/// `config set`
#[derive(Args, Debug)]
pub struct ConfigSetArgs {
    /// Setting and value, as `config query` shows them: SRIOV_EN=1 LINK_TYPE_P1=ETH
    #[arg(required = true, value_name = "KEY=VALUE", value_parser = setting)]
    pub settings: Vec<(Parameter, u32)>,
    #[command(flatten)]
    pub write: WriteArgs,
}

/// `identity set`
#[derive(Args, Debug)]
pub struct IdentitySetArgs {
    #[command(flatten)]
    pub identity: IdentityArgs,
    #[command(flatten)]
    pub write: WriteArgs,
}
