//! Device names as flint takes them, and those of the vendor's `mst` driver.

use crate::host::{BorrowOptions, Host};
use crate::job;

/// Where mst's nodes are.
const MST: &str = "/dev/mst/";

/// The card a device name means. `mt4099_pci_cr0` is the first card with PCI device id 4099, by address;
/// simulated cards of the current directory come after the real ones. Any other name goes on as it is.
///
/// # Errors
/// The names there are, when there is no such card.
pub(super) fn resolve(
    name: &str,
    simulated: &[String],
    host: &Host,
    options: &BorrowOptions,
) -> Result<String, Vec<String>> {
    let Some((device_id, number)) = mst(name) else {
        return Ok(name.to_owned());
    };
    let cards = job::list(None, simulated, host, options).map_or_else(|_| Vec::new(), |l| l.cards);
    let mut fits = cards.iter().filter(|c| c.device_id == Some(device_id));
    match fits.nth(number) {
        Some(card) => Ok(card.device.clone()),
        None => Err(cards.into_iter().map(|card| card.device).collect()),
    }
}

/// Device id and number in an mst name.
fn mst(name: &str) -> Option<(u16, usize)> {
    let name = name.strip_prefix(MST).unwrap_or(name);
    let (id, access) = name.strip_prefix("mt")?.split_once('_')?;
    let number = access
        .strip_prefix("pci_cr")
        .or_else(|| access.strip_prefix("pciconf"))?;
    Some((id.parse().ok()?, number.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::mst;

    #[test]
    fn a_name_of_mst_is_not_known() {
        for (name, found) in [
            ("/dev/mst/mt4099_pci_cr0", Some((4099, 0))),
            ("mt4103_pciconf1", Some((4103, 1))),
            ("/dev/mst/mt502_pciconf0", Some((502, 0))),
            ("/dev/mst/mt4099_pci_cr", None),
            ("mt4099", None),
            ("mt4099_i2c0", None),
            ("01:00.0", None),
            ("mlx4_0", None),
            ("mt99999_pci_cr0", None),
        ] {
            assert_eq!(mst(name), found, "{name}");
        }
    }
}
