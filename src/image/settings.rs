//! A summary of an ini, and look-ups with similar names
//! (docs/fs2.md#fw-configuration-and-hash-file).
//!
//! No list of the keys is public. Those seen in a real image count as confirmed; others are known
//! from what owners of cards posted, or are recognised by the words in their names (INFERRED): they
//! are shown with `confirmed: false`.

use super::ini::{ini_count, ini_number, ini_switch};
use super::{Ini, IniEntry};
use schemars::JsonSchema;
use serde::Serialize;
use strsim::levenshtein;

/// One line of a summary.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize)]
pub struct IniSetting {
    /// Stable name: `sriov`, `vfs`, `pfs`, `ports`, `port_type` (one for each port), `bar_size`,
    /// `boot_rom` (one for each key), `flash_size`, `sector_size`, `nv_config`.
    pub id: &'static str,
    /// Of the settings that an ini may have several of: the port, or the number in the order of keys.
    pub number: Option<u32>,
    /// `SECTION.key`; `None` when the ini has no such key: the firmware's default holds, which no
    /// source states.
    pub key: Option<String>,
    pub value: Option<String>,
    /// In words and units, where the value can be read.
    pub meaning: Option<String>,
    /// The key is known from a real image; otherwise its effect is INFERRED.
    pub confirmed: bool,
}

/// A setting: id, key (lower case), known from a real image, meaning of a value.
type KnownKey = (&'static str, &'static str, bool, fn(&str) -> Option<String>);

const KNOWN_KEYS: [KnownKey; 8] = [
    ("sriov", "sriov_en", false, switch),
    ("vfs", "total_vfs", false, |v| counted(v, "virtual function")),
    ("pfs", "num_pfs", false, |v| counted(v, "physical function")),
    ("ports", "num_of_ports", true, |v| counted(v, "port")),
    ("bar_size", "log2_uar_bar_megabytes", false, |v| power(v, 20)),
    ("flash_size", "log_flashdev_size", true, |v| power(v, 0)),
    ("sector_size", "log_flash_sector_size", true, |v| power(v, 10)),
    ("nv_config", "nv_cfg_en", true, switch),
];

/// Words in names of keys about the boot ROM (INFERRED: no list of the keys is public).
const ROM_WORDS: [&str; 5] = ["exp_rom", "expansion_rom", "option_rom", "boot_rom", "pxe"];

fn switch(value: &str) -> Option<String> {
    Some(if ini_switch(value)? { "on".into() } else { "off".into() })
}

fn counted(value: &str, what: &str) -> Option<String> {
    let n = ini_count(value)?;
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
    /// SR-IOV, functions, ports, BAR size, flash size and boot ROM, in a fixed order. Settings the
    /// ini does not have are listed without a key, except ports and ROM options.
    pub fn summary(&self) -> Vec<IniSetting> {
        let entries = self.entries();
        let mut out = Vec::new();
        for (id, key, confirmed, meaning) in KNOWN_KEYS {
            let entry = entries.iter().find(|e| e.key.eq_ignore_ascii_case(key));
            out.push(setting(id, entry, meaning, confirmed));
            if id == "ports" {
                let ports = entries.iter().filter_map(|e| Some((port_of(&e.key)?, e)));
                let mut ports: Vec<_> = ports.collect();
                ports.sort_by_key(|(port, _)| *port);
                out.extend(ports.into_iter().map(|(port, e)| IniSetting {
                    number: Some(port),
                    ..setting("port_type", Some(e), port_type, true)
                }));
            }
        }
        let rom = |e: &&IniEntry| {
            let key = e.key.to_ascii_lowercase();
            ROM_WORDS.iter().any(|word| key.contains(word))
        };
        let mut roms: Vec<_> = entries.iter().filter(rom).collect();
        roms.sort_by_cached_key(|e| full(e));
        out.extend(roms.into_iter().zip(1..).map(|(e, number)| IniSetting {
            number: Some(number),
            ..setting("boot_rom", Some(e), switch, false)
        }));
        out
    }

    /// Value of `SECTION.key`, or of `key` alone where only one section has it. Exact case.
    pub fn lookup(&self, name: &str) -> Option<IniEntry> {
        let entries = self.entries();
        if name.contains('.') {
            return entries.into_iter().find(|e| full(e) == name);
        }
        let mut matches = entries.into_iter().filter(|e| e.key == name);
        let first = matches.next()?;
        matches.all(|e| e.section == first.section).then_some(first)
    }

    /// At most `most` names of keys similar to `name`, the most similar first.
    pub fn near(&self, name: &str, most: usize) -> Vec<String> {
        // The key behind the dot decides; the section counts less.
        let key_of =
            |name: &str| name.rsplit_once('.').map_or(name, |(_, key)| key).to_ascii_lowercase();
        let wanted = key_of(name);
        let full_name = name.to_ascii_lowercase();
        let limit = (wanted.chars().count() / 3).max(2);
        let mut near: Vec<(usize, String)> = self
            .entries()
            .iter()
            .filter_map(|entry| {
                let key = key_of(&entry.key);
                let contains =
                    wanted.len() >= 3 && (key.contains(&wanted) || wanted.contains(&key));
                let far = if contains { 1 } else { levenshtein(&wanted, &key) };
                let name = full(entry);
                let weight = far * 64 + levenshtein(&full_name, &name.to_ascii_lowercase()).min(63);
                (far <= limit).then_some((weight, name))
            })
            .collect();
        near.sort();
        near.dedup();
        near.into_iter().take(most).map(|(_, name)| name).collect()
    }
}

/// The port of `phy_type_port1`, `phy_type_port2` …
fn port_of(key: &str) -> Option<u32> {
    let key = key.to_ascii_lowercase();
    let number = key.strip_prefix("phy_type_port")?;
    number.bytes().all(|b| b.is_ascii_digit()).then(|| number.parse().ok())?
}

fn port_type(value: &str) -> Option<String> {
    let kind = match value.to_ascii_uppercase().as_str() {
        "XFI" => "Ethernet 10G (XFI)",
        "SGMII" => "Ethernet 1G (SGMII)",
        "XAUI" => "Ethernet 10G (XAUI)",
        _ => return None,
    };
    Some(kind.to_owned())
}

fn setting(
    id: &'static str,
    entry: Option<&IniEntry>,
    meaning: fn(&str) -> Option<String>,
    confirmed: bool,
) -> IniSetting {
    IniSetting {
        id,
        number: None,
        key: entry.map(full),
        value: entry.map(|e| e.value.clone()),
        meaning: entry.and_then(|e| meaning(&e.value)),
        confirmed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ini(text: &str) -> Ini {
        Ini { bytes: text.as_bytes().to_vec() }
    }

    const TEXT: &str = "[HCA]\nnum_pfs = 1\ntotal_vfs = 0x10\nsriov_en = true\n\
        log2_uar_bar_megabytes = 5\nexp_rom_en = 0\n[IB]\nnum_of_ports = 2\n\
        phy_type_port1 = XFI\nphy_type_port2 = odd\n[FW]\nlog_flashdev_size = 21\n\
        log_flash_sector_size = 2\n[A]\ntwice = 1\n[B]\ntwice = 2\n";

    #[test]
    fn a_summary_gives_units_and_marks_unconfirmed_keys() {
        let list = ini(TEXT).summary();
        let of = |id: &str| list.iter().find(|s| s.id == id).unwrap();
        let meaning = |id: &str| of(id).meaning.clone().unwrap_or_default();
        assert_eq!(meaning("sriov"), "on");
        assert_eq!(meaning("vfs"), "16 virtual functions");
        assert_eq!(meaning("bar_size"), "32 MiB");
        assert_eq!(meaning("flash_size"), "2 MiB");
        assert_eq!(meaning("sector_size"), "4 KiB");
        assert_eq!(of("boot_rom").key.as_deref(), Some("HCA.exp_rom_en"));
        assert!(!of("vfs").confirmed && of("flash_size").confirmed);
        let ports: Vec<_> = list.iter().filter(|s| s.id == "port_type").collect();
        assert_eq!(ports.len(), 2);
        assert_eq!(ports[1].meaning, None, "an unknown type has no meaning");
        // A setting that the ini does not have is listed without a key.
        assert_eq!((&of("nv_config").key, &of("nv_config").value), (&None, &None));
    }

    #[test]
    fn rows_of_one_kind_are_numbered_and_sorted() {
        let text = "[IB]\nnum_of_ports = Two_Ports\nphy_type_port10 = XFI\nphy_type_port2 = SGMII\n\
            phy_type_port1 = XFI\n[B]\nexp_rom_b = Enabled\n[A]\npxe_a = 0\n";
        let list = ini(text).summary();
        let rows = |id: &str| -> Vec<(u32, String)> {
            let of = list.iter().filter(|s| s.id == id);
            of.map(|s| (s.number.unwrap(), s.key.clone().unwrap())).collect()
        };
        let name = |n: u32, key: &str| (n, key.to_owned());
        let ports = [1, 2, 10].map(|n| (n, format!("IB.phy_type_port{n}")));
        assert_eq!(rows("port_type"), ports);
        assert_eq!(rows("boot_rom"), [name(1, "A.pxe_a"), name(2, "B.exp_rom_b")]);
        let of = |id: &str| list.iter().find(|s| s.id == id).unwrap().meaning.clone();
        assert_eq!(of("ports").as_deref(), Some("2 ports"));
    }

    #[test]
    fn impossible_numbers_have_no_meaning() {
        let list = ini("[F]\nlog_flashdev_size = 64\ntotal_vfs = many\nsriov_en = 7\n").summary();
        for setting in list.iter().filter(|s| s.value.is_some()) {
            assert_eq!(setting.meaning, None, "{setting:?}");
        }
    }

    #[test]
    fn a_key_of_a_section_with_a_dot_is_found_by_the_name_that_is_shown() {
        let ini = ini("[v1.2]\nkey.x = 3\n");
        assert_eq!(ini.lookup("v1.2.key.x").unwrap().value, "3");
    }

    #[test]
    fn a_key_in_two_sections_needs_its_section() {
        let ini = ini(TEXT);
        assert_eq!(ini.lookup("HCA.num_pfs").unwrap().value, "1");
        assert_eq!(ini.lookup("num_pfs").unwrap().value, "1");
        assert_eq!(ini.lookup("B.twice").unwrap().value, "2");
        assert_eq!(ini.lookup("twice"), None);
        assert_eq!(ini.lookup("HCA.NUM_PFS"), None);
    }

    #[test]
    fn similar_keys_are_suggested_most_similar_first() {
        let ini = ini(TEXT);
        assert_eq!(ini.near("HCA.num_pf", 3)[0], "HCA.num_pfs");
        assert_eq!(ini.near("hca.Num_PFs", 3)[0], "HCA.num_pfs");
        assert_eq!(ini.near("HCA.vfs", 3)[0], "HCA.total_vfs");
        assert_eq!(ini.near("twice", 3), ["A.twice", "B.twice"]);
        assert!(ini.near("completely.unrelated_words", 3).is_empty());
    }
}
