//! `rom …`, `config …`, `identity …`, `flash …`.

use super::args::{IdentityArgs, WriteArgs, number};
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
