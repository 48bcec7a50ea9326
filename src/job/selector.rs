//! Which card a user means: the argument of `-d`, parsed once.

use crate::escape::{self, string_schema};
use crate::host::{Bdf, DiscoverError, Host, Lease, PciCard};
use crate::sim::SimCard;
use serde::{Serialize, Serializer};
use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

const SIM: &str = "sim:";
/// Extension of card files.
pub(super) const CARD_FILE: &str = "cx3";
/// Directory of the nodes of the vendor's `mst` driver.
const MST: &str = "/dev/mst/";

/// The name of a card. `Display` and JSON give back what was typed; a card file has `sim:` in front.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CardSelector {
    /// A simulated card in this file.
    Sim(PathBuf),
    /// `mt4099_pci_cr0`: among the cards with this PCI device id, the one with this number, in the
    /// order of addresses.
    Mst { typed: String, device_id: u16, number: usize },
    /// A PCI address with or without domain, a network device or an RDMA device, or another name of
    /// one of these ([`Host::find`]): only the host shows which.
    Host(String),
}

impl CardSelector {
    pub fn is_sim(&self) -> bool {
        matches!(self, Self::Sim(_))
    }

    /// The name as a shell needs it.
    pub fn shell_word(&self) -> String {
        match self {
            Self::Sim(path) => {
                let mut word = OsString::from(SIM);
                word.push(path);
                escape::shell_word(word)
            }
            Self::Mst { typed, .. } | Self::Host(typed) => escape::shell_word(typed),
        }
    }

    /// The simulated card that a name of mst means, which has the number behind those of the real cards;
    /// `simulated` are the card files that count. Every other name is returned as it is, also that of a
    /// card that does not exist.
    pub fn or_simulated(&self, simulated: &[PathBuf], host: &Host) -> Self {
        let Self::Mst { device_id, number, .. } = self else {
            return self.clone();
        };
        let real = host.cards().unwrap_or_default();
        let real = real.iter().filter(|card| card.device_id == *device_id).count();
        let with_id = |path: &&PathBuf| {
            SimCard::open(path).is_ok_and(|sim| sim.pci_device_id() == *device_id)
        };
        let named = number.checked_sub(real).and_then(|n| simulated.iter().filter(with_id).nth(n));
        named.map_or_else(|| self.clone(), |path| Self::Sim(path.clone()))
    }

    /// Address of the real card of this name, or of a journal: it outlives its card.
    pub fn address(&self, host: &Host) -> Result<Bdf, DiscoverError> {
        match self {
            Self::Host(name) => host.address(name, &Lease::addresses(host)),
            _ => Ok(self.find(host)?.bdf),
        }
    }

    /// The real card of this name.
    /// The error names the cards there are.
    pub(crate) fn find(&self, host: &Host) -> Result<PciCard, DiscoverError> {
        match self {
            Self::Mst { typed, device_id, number } => {
                let mut cards = host.cards()?;
                cards.retain(|card| card.device_id == *device_id);
                match cards.get(*number) {
                    Some(card) => host.find(&card.bdf.to_string()),
                    None => host.find(typed),
                }
            }
            Self::Host(name) => host.find(name),
            Self::Sim(_) => host.find(&self.to_string()),
        }
    }
}

impl FromStr for CardSelector {
    type Err = Infallible;

    fn from_str(typed: &str) -> Result<Self, Infallible> {
        Ok(if let Some(path) = card_file(typed.as_bytes()) {
            Self::Sim(path.into())
        } else if let Some((device_id, number)) = mst(typed) {
            Self::Mst { typed: typed.to_owned(), device_id, number }
        } else {
            Self::Host(typed.to_owned())
        })
    }
}

impl From<&OsStr> for CardSelector {
    /// The file of a simulated card may have any name.
    fn from(typed: &OsStr) -> Self {
        match card_file(typed.as_bytes()) {
            Some(path) => Self::Sim(path.into()),
            None => escape::file_name(typed).parse().unwrap_or_else(|never| match never {}),
        }
    }
}

/// The card file that a name means: one behind `sim:`, or a path with the extension of card files.
fn card_file(typed: &[u8]) -> Option<&OsStr> {
    let path = OsStr::from_bytes(typed);
    let plain = || Path::new(path).extension().is_some_and(|x| x == CARD_FILE).then_some(path);
    typed.strip_prefix(SIM.as_bytes()).map(OsStr::from_bytes).or_else(plain)
}

impl fmt::Display for CardSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sim(path) => write!(f, "{SIM}{}", escape::file_name(path)),
            Self::Mst { typed, .. } | Self::Host(typed) => f.write_str(typed),
        }
    }
}

impl Serialize for CardSelector {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

string_schema!(CardSelector, "description": "The name of a card, as `-d` takes it.");

/// Device id and number in a name of mst: `mt4099_pciconf0`. What may follow a dot is a function of the same
/// card.
fn mst(name: &str) -> Option<(u16, usize)> {
    let name = name.strip_prefix(MST).unwrap_or(name);
    let (id, access) = name.strip_prefix("mt")?.split_once('_')?;
    let number = access.strip_prefix("pci_cr").or_else(|| access.strip_prefix("pciconf"))?;
    let (number, function) = number.split_once('.').unwrap_or((number, "0"));
    let decimal = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if ![id, number, function].into_iter().all(decimal) || function.is_empty() {
        return None;
    }
    Some((id.parse().ok()?, number.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::{CardSelector, mst};
    use std::ffi::OsStr;

    #[test]
    fn names_of_mst_are_parsed() {
        for (name, parsed) in [
            ("/dev/mst/mt4099_pci_cr0", Some((4099, 0))),
            ("mt4103_pciconf1", Some((4103, 1))),
            ("/dev/mst/mt502_pciconf0", Some((502, 0))),
            ("/dev/mst/mt4099_pciconf0.1", Some((4099, 0))),
            ("mt4099_pciconf0.", None),
            ("mt4099_pciconf+1", None),
            ("mt4099_pciconf-05:00.0", None),
            ("/dev/mst/mt4099_pci_cr", None),
            ("mt4099", None),
            ("mt4099_i2c0", None),
            ("01:00.0", None),
            ("mlx4_0", None),
            ("mt99999_pci_cr0", None),
        ] {
            assert_eq!(mst(name), parsed, "{name}");
        }
    }

    #[test]
    fn a_selector_is_shown_as_typed() {
        let file: CardSelector = "dir/card.cx3".parse().unwrap();
        assert_eq!(file, CardSelector::from(OsStr::new("dir/card.cx3")));
        assert_eq!(file.to_string(), "sim:dir/card.cx3");
        for (typed, is_sim) in [
            ("sim:my card.cx3", true),
            ("card.cx3.bak", false),
            (".cx3", false),
            ("sim:", true),
            ("/dev/mst/mt4099_pci_cr0", false),
            ("05:00.0", false),
            (" 0000:05:00.0", false),
            ("", false),
        ] {
            let selector: CardSelector = typed.parse().unwrap();
            assert_eq!(selector.to_string(), typed);
            assert_eq!(selector.is_sim(), is_sim, "{typed}");
            assert_eq!(serde_json::to_value(&selector).unwrap(), typed);
        }
    }
}
