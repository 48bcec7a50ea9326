//! What people want to know of an ini: a summary, look-ups with near names (docs/fs2.md#fw-configuration-and-hash-file).
//!
//! Nobody published a list of the keys. Those docs/fs2.md#fw-configuration-and-hash-file has seen in a real image count as confirmed; others
//! are known from what owners of cards posted, or are found by the words in their names: they are
//! shown with `confirmed: false`.

use super::{Ini, IniEntry, ini_number};
use serde::Serialize;
use strsim::levenshtein;

/// One line of a summary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct IniSetting {
    /// Stable name: `sriov`, `vfs`, `pfs`, `ports`, `port_type` (one for each port), `bar_size`,
    /// `boot_rom` (one for each key), `flash_size`, `sector_size`, `nv_config`.
    pub id: &'static str,
    /// `SECTION.key` it stands under; `None` when the ini has no such key: the firmware's default
    /// holds, which no source states.
    pub key: Option<String>,
    /// As it is written.
    pub value: Option<String>,
    /// In words and units, where the value can be read.
    pub meaning: Option<String>,
    /// The key is known from a real image (docs/fs2.md#fw-configuration-and-hash-file); otherwise what it does is an inference.
    pub confirmed: bool,
}

/// A kind of setting: id, key names (lower case), known from docs/fs2.md#fw-configuration-and-hash-file, how a value reads.
type Kind = (
    &'static str,
    &'static [&'static str],
    bool,
    fn(&str) -> Option<String>,
);

const KINDS: [Kind; 8] = [
    ("sriov", &["sriov_en"], false, switch),
    ("vfs", &["total_vfs"], false, |v| {
        counted(v, "virtual function")
    }),
    ("pfs", &["num_pfs"], false, |v| {
        counted(v, "physical function")
    }),
    ("ports", &["num_of_ports"], true, |v| counted(v, "port")),
    ("bar_size", &["log2_uar_bar_megabytes"], false, |v| {
        power(v, 20)
    }),
    ("flash_size", &["log_flashdev_size"], true, |v| power(v, 0)),
    ("sector_size", &["log_flash_sector_size"], true, |v| {
        power(v, 10)
    }),
    ("nv_config", &["nv_cfg_en"], true, switch),
];

/// Words in names of keys that have to do with the boot ROM. Which there are is not published.
const ROM_WORDS: [&str; 5] = ["exp_rom", "expansion_rom", "option_rom", "boot_rom", "pxe"];

fn switch(value: &str) -> Option<String> {
    match value.to_ascii_lowercase().as_str() {
        "true" | "on" | "enable" | "enabled" => Some("on".into()),
        "false" | "off" | "disable" | "disabled" => Some("off".into()),
        _ => match ini_number(value)? {
            0 => Some("off".into()),
            1 => Some("on".into()),
            _ => None,
        },
    }
}

fn counted(value: &str, what: &str) -> Option<String> {
    let n = ini_number(value)?;
    Some(format!("{n} {what}{}", if n == 1 { "" } else { "s" }))
}

/// 2^value units of 2^`unit` bytes.
fn power(value: &str, unit: u32) -> Option<String> {
    let log2 = u32::try_from(ini_number(value)?).ok()?.checked_add(unit)?;
    let bytes = 1_u64.checked_shl(log2)?;
    Some(if bytes >= 1 << 20 {
        format!("{} MiB", bytes >> 20)
    } else if bytes >= 1 << 10 {
        format!("{} KiB", bytes >> 10)
    } else {
        format!("{bytes} bytes")
    })
}

/// `SECTION.key`
fn full(entry: &IniEntry) -> String {
    format!("{}.{}", entry.section, entry.key)
}

impl Ini {
    /// SR-IOV, functions, ports, BAR size, flash size and boot ROM, in a fixed order. Kinds the ini
    /// does not mention are listed without a key; of ports and ROM options only what is there.
    #[must_use]
    pub fn summary(&self) -> Vec<IniSetting> {
        let entries = self.entries();
        let mut out = Vec::new();
        for (id, names, confirmed, read) in KINDS {
            let found = entries
                .iter()
                .find(|e| names.contains(&e.key.to_ascii_lowercase().as_str()));
            out.push(IniSetting {
                id,
                key: found.map(full),
                value: found.map(|e| e.value.clone()),
                meaning: found.and_then(|e| read(&e.value)),
                confirmed,
            });
            if id == "ports" {
                out.extend(entries.iter().filter(|e| is_port_type(&e.key)).map(port));
            }
        }
        let rom = |e: &&IniEntry| {
            let key = e.key.to_ascii_lowercase();
            ROM_WORDS.iter().any(|word| key.contains(word))
        };
        out.extend(entries.iter().filter(rom).map(|e| IniSetting {
            id: "boot_rom",
            key: Some(full(e)),
            value: Some(e.value.clone()),
            meaning: switch(&e.value),
            confirmed: false,
        }));
        out
    }

    /// Value of `SECTION.key`, or of `key` alone where only one section has it. Exact case.
    #[must_use]
    pub fn lookup(&self, name: &str) -> Option<IniEntry> {
        let entries = self.entries();
        if let Some((section, key)) = name.split_once('.') {
            return entries
                .into_iter()
                .find(|e| e.section == section && e.key == key);
        }
        let mut found = entries.into_iter().filter(|e| e.key == name);
        let first = found.next()?;
        found.all(|e| e.section == first.section).then_some(first)
    }

    /// At most `most` names of keys that `name` may have meant, the likeliest first.
    #[must_use]
    pub fn near(&self, name: &str, most: usize) -> Vec<String> {
        // Everything about `num_pfs` is said by the part behind the dot; the section weighs less.
        let key_of = |name: &str| {
            name.rsplit_once('.')
                .map_or(name, |(_, key)| key)
                .to_ascii_lowercase()
        };
        let wanted = key_of(name);
        let whole = name.to_ascii_lowercase();
        let limit = (wanted.chars().count() / 3).max(2);
        let mut near: Vec<(usize, String)> = self
            .entries()
            .iter()
            .filter_map(|entry| {
                let key = key_of(&entry.key);
                let part = wanted.len() >= 3 && (key.contains(&wanted) || wanted.contains(&key));
                let far = if part { 1 } else { levenshtein(&wanted, &key) };
                let name = full(entry);
                let weight = far * 64 + levenshtein(&whole, &name.to_ascii_lowercase()).min(63);
                (far <= limit).then_some((weight, name))
            })
            .collect();
        near.sort();
        near.dedup();
        near.into_iter().take(most).map(|(_, name)| name).collect()
    }
}

/// `phy_type_port1` and its sisters.
fn is_port_type(key: &str) -> bool {
    key.to_ascii_lowercase()
        .strip_prefix("phy_type_port")
        .is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

fn port(entry: &IniEntry) -> IniSetting {
    let value = &entry.value;
    let kind = match value.to_ascii_uppercase().as_str() {
        "XFI" => Some("Ethernet 10G (XFI)"),
        "SGMII" => Some("Ethernet 1G (SGMII)"),
        "XAUI" => Some("Ethernet 10G (XAUI)"),
        _ => None,
    };
    IniSetting {
        id: "port_type",
        key: Some(full(entry)),
        value: Some(value.clone()),
        meaning: kind.map(str::to_owned),
        confirmed: true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ini(text: &str) -> Ini {
        Ini {
            bytes: text.as_bytes().to_vec(),
        }
    }

    const TEXT: &str = "[HCA]\nnum_pfs = 1\ntotal_vfs = 0x10\nsriov_en = true\n\
        log2_uar_bar_megabytes = 5\nexp_rom_en = 0\n[IB]\nnum_of_ports = 2\n\
        phy_type_port1 = XFI\nphy_type_port2 = odd\n[FW]\nlog_flashdev_size = 21\n\
        log_flash_sector_size = 2\n[A]\ntwice = 1\n[B]\ntwice = 2\n";

    #[test]
    fn a_summary_misreads_units_or_hides_that_it_guesses() {
        let list = ini(TEXT).summary();
        let of = |id: &str| list.iter().find(|s| s.id == id).unwrap();
        let says = |id: &str| of(id).meaning.clone().unwrap_or_default();
        assert_eq!(says("sriov"), "on");
        assert_eq!(says("vfs"), "16 virtual functions");
        assert_eq!(says("bar_size"), "32 MiB");
        assert_eq!(says("flash_size"), "2 MiB");
        assert_eq!(says("sector_size"), "4 KiB");
        assert_eq!(of("boot_rom").key.as_deref(), Some("HCA.exp_rom_en"));
        assert!(!of("vfs").confirmed && of("flash_size").confirmed);
        let ports: Vec<_> = list.iter().filter(|s| s.id == "port_type").collect();
        assert_eq!(ports.len(), 2);
        assert_eq!(ports[1].meaning, None, "an unknown type is not explained");
        // What the ini does not say is listed as not said.
        assert_eq!(
            (&of("nv_config").key, &of("nv_config").value),
            (&None, &None)
        );
    }

    #[test]
    fn absurd_numbers_are_explained() {
        let list = ini("[F]\nlog_flashdev_size = 64\ntotal_vfs = many\nsriov_en = 7\n").summary();
        for setting in list.iter().filter(|s| s.value.is_some()) {
            assert_eq!(setting.meaning, None, "{setting:?}");
        }
    }

    #[test]
    fn a_key_in_two_sections_is_guessed() {
        let ini = ini(TEXT);
        assert_eq!(ini.lookup("HCA.num_pfs").unwrap().value, "1");
        assert_eq!(ini.lookup("num_pfs").unwrap().value, "1");
        assert_eq!(ini.lookup("B.twice").unwrap().value, "2");
        assert_eq!(ini.lookup("twice"), None);
        assert_eq!(ini.lookup("HCA.NUM_PFS"), None);
    }

    #[test]
    fn near_names_are_far_or_missing() {
        let ini = ini(TEXT);
        assert_eq!(ini.near("HCA.num_pf", 3)[0], "HCA.num_pfs");
        assert_eq!(ini.near("hca.Num_PFs", 3)[0], "HCA.num_pfs");
        assert_eq!(ini.near("HCA.vfs", 3)[0], "HCA.total_vfs");
        assert_eq!(ini.near("twice", 3), ["A.twice", "B.twice"]);
        assert!(ini.near("completely.unrelated_words", 3).is_empty());
    }
}
