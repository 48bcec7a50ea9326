//! Mellanox devices of other families, named as what they are, with what flashes them
//! (docs/linux.md#other-mellanox-devices).

use super::card::{NotACard, VENDOR};
use super::{Bdf, Function, Host, sysfs};
use schemars::JsonSchema;
use serde::Serialize;

/// What flashes a family.
const MSTFLINT: &str = "mstflint";
const OLD_MSTFLINT: &str = "mstflint 3.8, the last version for it";
/// The card of a virtual function.
const PHYSICAL: &str = "the address of its physical function";

/// Ids, name of the family, and what to use.
type OtherFamily = (&'static [u16], &'static str, &'static str);

#[rustfmt::skip]
static FAMILIES: [OtherFamily; 25] = [
    (&[0x5a44, 0x5a45, 0x5a46], "InfiniHost", OLD_MSTFLINT),
    (&[0x6278, 0x6279, 0x6282], "InfiniHost III Ex", OLD_MSTFLINT),
    (&[0x6274, 0x5e8c, 0x5e8d], "InfiniHost III Lx", OLD_MSTFLINT),
    (&[0x6340, 0x634a, 0x6354, 0x6368, 0x6372], "ConnectX", OLD_MSTFLINT),
    (&[0x0191, 0x6732, 0x673c, 0x6750, 0x675a], "ConnectX or ConnectX-2", OLD_MSTFLINT),
    (&[0x1000, 0x1001, 0x6746, 0x6764, 0x676e, 0x6778], "ConnectX-2", OLD_MSTFLINT),
    (&[0x1002], "ConnectX-2 virtual function", PHYSICAL),
    (&[0x1004], "ConnectX-3 virtual function", PHYSICAL),
    (&[0x1011, 0x01ff], "Connect-IB", MSTFLINT),
    (&[0x1012], "Connect-IB virtual function", PHYSICAL),
    (&[0x1013, 0x0209], "ConnectX-4", MSTFLINT),
    (&[0x1014], "ConnectX-4 virtual function", PHYSICAL),
    (&[0x1015, 0x020b], "ConnectX-4 Lx", MSTFLINT),
    (&[0x1016], "ConnectX-4 Lx virtual function", PHYSICAL),
    (&[0x1017, 0x1019, 0x020d], "ConnectX-5", MSTFLINT),
    (&[0x1018, 0x101a], "ConnectX-5 virtual function", PHYSICAL),
    (&[0x101b, 0x020f], "ConnectX-6", MSTFLINT),
    (&[0x101c], "ConnectX-6 virtual function", PHYSICAL),
    (&[0x101d, 0x0212], "ConnectX-6 Dx", MSTFLINT),
    (&[0x101e], "virtual function of a ConnectX-6 Dx or later", PHYSICAL),
    (&[0x101f, 0x0216], "ConnectX-6 Lx", MSTFLINT),
    (&[0x1021, 0x0218], "ConnectX-7", MSTFLINT),
    (&[0x1023], "ConnectX-8", MSTFLINT),
    (&[0xa2d2, 0xa2d6, 0xa2dc], "BlueField", MSTFLINT),
    (&[0xa2d3], "BlueField virtual function", PHYSICAL),
];

/// A Mellanox device that this program does not flash.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize)]
pub struct OtherDevice {
    pub bdf: Bdf,
    /// PCI device id; the vendor is 15b3.
    pub device_id: u16,
    /// Name of its family; `None` when it is not known.
    pub name: Option<&'static str>,
    pub driver: Option<String>,
    /// What flashes it.
    pub instead: Option<&'static str>,
}

fn family(device_id: u16) -> Option<&'static OtherFamily> {
    FAMILIES.iter().find(|(ids, ..)| ids.contains(&device_id))
}

impl Host {
    /// Mellanox devices of other families, and virtual functions, sorted by address.
    pub fn other_devices(&self) -> Vec<OtherDevice> {
        let names = sysfs::names(self.path("sys/bus/pci/devices"));
        let mut all: Vec<OtherDevice> =
            names.iter().filter_map(|name| self.other_device(name.parse().ok()?)).collect();
        all.sort_by_key(|other| other.bdf);
        all
    }

    fn mellanox_id(&self, bdf: Bdf) -> Option<u16> {
        let dir = self.device(bdf);
        let vendor: u64 = sysfs::number(dir.join("vendor"))?;
        sysfs::number(dir.join("device")).filter(|_| vendor == VENDOR)
    }

    fn other_device(&self, bdf: Bdf) -> Option<OtherDevice> {
        let device_id = self.mellanox_id(bdf)?;
        match self.read_card(bdf) {
            Ok(card) if card.function != Function::Virtual => return None,
            Err(NotACard::Gone | NotACard::Odd { .. }) => return None,
            Ok(_) | Err(NotACard::OtherDevice) => {}
        }
        let family = family(device_id);
        Some(OtherDevice {
            bdf,
            device_id,
            name: family.map(|(_, name, _)| *name),
            driver: self.driver_of(bdf),
            instead: family.map(|(.., instead)| *instead),
        })
    }

    /// For a host without a card: what it has instead.
    pub fn no_card(&self) -> String {
        let others = self.other_devices();
        let others: Vec<String> = others
            .iter()
            .filter_map(|other| Some(format!("{} ({})", other.bdf, other.name?)))
            .collect();
        let others = match others.as_slice() {
            [] => String::new(),
            some => format!("; other Mellanox devices: {}", some.join(", ")),
        };
        format!("no ConnectX-3 card found{others}")
    }

    /// Name of the family of a device, with its article; `None` for other vendors.
    pub(super) fn family_name(&self, bdf: Bdf) -> Option<String> {
        let (_, name, _) = family(self.mellanox_id(bdf)?)?;
        let article = if name.starts_with("Infini") { "an" } else { "a" };
        Some(format!("{article} {name}"))
    }

    /// What flashes the device, as the end of a message; empty when that is not known.
    pub(super) fn instead(&self, bdf: Bdf) -> String {
        let family = self.mellanox_id(bdf).and_then(family);
        family.map_or_else(String::new, |(.., instead)| format!(": use {instead}"))
    }
}

#[cfg(test)]
mod tests {
    use super::FAMILIES;
    use crate::host::tests::fake::FakeHost;
    use std::collections::HashSet;

    #[test]
    fn other_mellanox_devices_are_listed_as_what_they_are() {
        let fake = FakeHost::new();
        fake.ethernet_card();
        fake.pci("0000:06:00.0", 0x15b3, 0x6764, 0x02_00_00);
        fake.driver("0000:06:00.0", Some("mlx4_core"));
        fake.pci("0000:07:00.0", 0x15b3, 0x6274, 0x0c_06_00);
        fake.pci("0000:08:00.0", 0x15b3, 0x1015, 0x02_00_00);
        fake.pci("0000:09:00.0", 0x15b3, 0xcafe, 0x02_00_00);
        fake.pci("0000:0a:00.0", 0x8086, 0x1013, 0x02_00_00);
        fake.vf("0000:05:00.0", 0, "0000:05:00.1", None);
        let all = fake.host().other_devices();
        let named: Vec<_> =
            all.iter().map(|other| (other.bdf.to_string(), other.name, other.instead)).collect();
        let row = |bdf: &str, name, instead| (bdf.to_owned(), name, instead);
        assert_eq!(
            named,
            [
                row(
                    "0000:05:00.1",
                    Some("ConnectX-3 virtual function"),
                    Some("the address of its physical function")
                ),
                row(
                    "0000:06:00.0",
                    Some("ConnectX-2"),
                    Some("mstflint 3.8, the last version for it")
                ),
                row(
                    "0000:07:00.0",
                    Some("InfiniHost III Lx"),
                    Some("mstflint 3.8, the last version for it")
                ),
                row("0000:08:00.0", Some("ConnectX-4 Lx"), Some("mstflint")),
                row("0000:09:00.0", None, None),
            ]
        );
    }

    #[test]
    fn an_error_names_what_another_device_is_and_what_to_use() {
        let fake = FakeHost::new();
        fake.pci("0000:06:00.0", 0x15b3, 0x673c, 0x02_00_00);
        for selector in
            ["06:00.0", "/proc/bus/pci/06/00.0", "/sys/bus/pci/devices/0000:06:00.0/config"]
        {
            assert_eq!(
                fake.host().find(selector).unwrap_err().to_string(),
                "0000:06:00.0 is a ConnectX or ConnectX-2 [15b3:673c], no driver: use mstflint 3.8, the \
                 last version for it; no ConnectX-3 card found; other Mellanox devices: 0000:06:00.0 \
                 (ConnectX or ConnectX-2)"
            );
        }
        fake.pci("0000:07:00.0", 0x15b3, 0x5a44, 0x0c_06_00);
        let error = fake.host().find("07:00.0").unwrap_err().to_string();
        assert!(error.starts_with("0000:07:00.0 is an InfiniHost [15b3:5a44]"), "{error}");
    }

    #[test]
    fn an_id_belongs_to_one_family() {
        let mut seen = HashSet::new();
        for id in FAMILIES.iter().flat_map(|(ids, ..)| *ids) {
            assert!(seen.insert(id), "{id:#06x}");
            let card = crate::host::Function::of(*id);
            assert!(matches!(card, None | Some(crate::host::Function::Virtual)), "{id:#06x}");
        }
    }
}
