//! Errors of selecting a card.

use super::Bdf;
use crate::escape;
use std::path::PathBuf;

/// No card was selected.
#[derive(Debug, thiserror::Error)]
pub enum DiscoverError {
    /// PCI devices cannot be listed.
    #[error("cannot list {}: {source}", escape::path(path))]
    Sysfs { path: PathBuf, source: std::io::Error },
    /// A virtual function. Its physical function `pf` is the card; a guest may not see it.
    #[error("{bdf} is a virtual function of {}", physical(*pf))]
    VirtualFunction { bdf: Bdf, pf: Option<Bdf> },
    /// What the selector means instead of a card, or that it means several.
    #[error("{0}")]
    NoCard(String),
}

fn physical(pf: Option<Bdf>) -> String {
    pf.map_or_else(
        || "a card that is not visible from this system".to_owned(),
        |bdf| format!("the card {bdf}"),
    )
}
