//! Entries about the card in the configuration of driverctl, modprobe, the kernel, Unraid, Proxmox and
//! libvirt (docs/linux.md#virtual-machine-managers). None is a fault: they show which driver or machine
//! gets the card at the next start.

use super::configuration::Configuration;
use super::libvirt;
use crate::host::{Bdf, Host, PciCard};

pub(super) fn check(host: &Host, card: &PciCard) -> String {
    let files = Configuration::of(host);
    let mut notes = Vec::new();
    notes.extend(driverctl(&files, card.bdf));
    notes.extend(modprobe(&files, card));
    notes.extend(kernel_line(&files, card));
    notes.extend(unraid(&files, card));
    notes.extend(proxmox(&files, card.bdf));
    notes.extend(libvirt::entries(&files, card));
    notes.extend(files.into_unread());
    if notes.is_empty() {
        return "no entry in driverctl, modprobe.d, the kernel command line, Unraid, Proxmox and libvirt".into();
    }
    notes.join("; ")
}

fn driverctl(files: &Configuration<'_>, bdf: Bdf) -> Option<String> {
    let driver = files.text(format!("etc/driverctl.d/pci-{bdf}"))?;
    Some(format!("driverctl binds it to {driver} at every boot"))
}

/// Drivers that take devices by a parameter `ids`, in the same form.
const BY_IDS: [(&str, &str); 2] = [("vfio_pci", "vfio-pci"), ("pci_stub", "pci-stub")];

/// The driver of this module name, in which `-` and `_` are equal.
fn by_ids(module: &str) -> Option<&'static str> {
    let module = module.replace('-', "_");
    BY_IDS.iter().find(|(name, _)| *name == module).map(|(_, driver)| *driver)
}

/// `options vfio-pci ids=15b3:1003,…`, `softdep mlx4_core pre: vfio-pci`, `blacklist mlx4_core` (modprobe.d(5)).
fn modprobe(files: &Configuration<'_>, card: &PciCard) -> Vec<String> {
    let dirs =
        ["etc", "run", "usr/local/lib", "usr/lib", "lib"].map(|dir| format!("{dir}/modprobe.d"));
    let in_dir = |dir: &String| {
        let name = |name| (format!("{dir}/{name}"), name);
        files.names(dir).into_iter().map(name).collect::<Vec<_>>()
    };
    let mut notes = Vec::new();
    for (file, name) in dirs.iter().flat_map(in_dir).filter(|(_, name)| name.ends_with(".conf")) {
        // A line goes on behind a backslash.
        let text = files.text(file).unwrap_or_default().replace("\\\n", " ");
        for line in text.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            notes.extend(match words[..] {
                ["options", module, ref options @ ..] => by_ids(module).and_then(|driver| {
                    let mut ids = options.iter().filter_map(|option| option.strip_prefix("ids="));
                    ids.any(|ids| lists(ids, card))
                        .then(|| format!("{name} gives every {} to {driver} at boot", id(card)))
                }),
                ["softdep", MLX4, ref modules @ ..] => {
                    let mut before = modules.iter().take_while(|word| **word != "post:");
                    before
                        .find_map(|module| by_ids(module))
                        .map(|driver| format!("{name} loads {driver} before {MLX4}"))
                }
                ["blacklist", MLX4, ..] => {
                    Some(format!("{name} keeps {MLX4} from loading at boot"))
                }
                ["install", MLX4, ..] => Some(format!("{name} replaces the loading of {MLX4}")),
                _ => None,
            });
        }
    }
    notes
}

/// `vfio-pci.ids=15b3:1003,…` and lists of modules that are not loaded
/// (Documentation/admin-guide/kernel-parameters.rst).
fn kernel_line(files: &Configuration<'_>, card: &PciCard) -> Vec<String> {
    let line = files.text("proc/cmdline").unwrap_or_default();
    // What follows `--` is for init.
    let words = line.split_whitespace().take_while(|word| *word != "--");
    let note = |word: &str| {
        let (name, value) = word.trim_matches('"').split_once('=')?;
        match name {
            "modprobe.blacklist" | "module_blacklist" => value
                .split(',')
                .any(|module| module == MLX4)
                .then(|| format!("the kernel command line keeps {MLX4} from loading")),
            _ => {
                let driver = by_ids(name.strip_suffix(".ids")?)?;
                let text = || {
                    format!("the kernel command line gives every {} to {driver} at boot", id(card))
                };
                lists(value, card).then(text)
            }
        }
    };
    words.filter_map(note).collect()
}

const MLX4: &str = "mlx4_core";

fn id(card: &PciCard) -> String {
    format!("15b3:{:04x}", card.device_id)
}

/// Whether `VENDOR:DEVICE[:SUBVENDOR[:SUBDEVICE[:CLASS[:MASK]]]]`, divided by commas, lists the card
/// (drivers/vfio/pci/vfio_pci.c, `vfio_pci_fill_ids`). The class is not compared.
fn lists(ids: &str, card: &PciCard) -> bool {
    let number = |text: &str| {
        let text = text.trim_matches('"');
        u32::from_str_radix(text.strip_prefix("0x").unwrap_or(text), 16).ok()
    };
    let of_card =
        [0x15b3, card.device_id, card.subsystem.0, card.subsystem.1].map(|id| Some(id.into()));
    ids.split(',').any(|entry| {
        let fields: Vec<&str> = entry.split(':').collect();
        // All ones stand for any.
        let fits = |(field, is): (&&str, _)| {
            matches!(number(field), Some(u32::MAX)) || number(field) == is
        };
        fields.len() >= 2 && fields.iter().zip(of_card).all(fits)
    })
}

/// `BIND=0000:05:00.0|15b3:1003 …`, address and ids or one of the two.
fn unraid(files: &Configuration<'_>, card: &PciCard) -> Option<String> {
    let lines = files.lines("boot/config/vfio-pci.cfg");
    let binds = |entry: &str| {
        let entry = entry.trim_matches('"');
        entry.split('|').all(|part| names(part, card.bdf) || lists(part, card))
    };
    let mut entries = lines.iter().filter_map(|line| line.trim().strip_prefix("BIND="));
    entries
        .any(|entries| entries.split_whitespace().any(binds))
        .then(|| "Unraid (vfio-pci.cfg) binds it to vfio-pci at boot".to_owned())
}

/// `hostpci0: 0000:05:00.0,pcie=1` or `hostpci0: mapping=NAME`, resolved in `mapping/pci.cfg`.
fn proxmox(files: &Configuration<'_>, bdf: Bdf) -> Vec<String> {
    let mappings = mappings(files, bdf);
    let mut notes = Vec::new();
    for name in files.names("etc/pve/qemu-server") {
        let Some(vm) = name.strip_suffix(".conf") else {
            continue;
        };
        // Sections in brackets are snapshots.
        let lines = files.lines(format!("etc/pve/qemu-server/{name}"));
        let now = lines.iter().take_while(|l| !l.starts_with('['));
        let takes = now.filter(|l| l.starts_with("hostpci")).any(|line| {
            let value = line.split_once(':').map_or("", |(_, v)| v.trim());
            value.split(',').any(|part| {
                let part = part.trim();
                let part = part.strip_prefix("host=").unwrap_or(part);
                match part.strip_prefix("mapping=") {
                    Some(mapping) => mappings.iter().any(|m| m == mapping),
                    None => part.split(';').any(|address| names(address, bdf)),
                }
            })
        });
        if takes {
            notes.push(format!("Proxmox VM {vm} takes it when it starts"));
        }
    }
    notes
}

/// Names of the mappings that hold the card: a line `NAME`, then `map …,path=0000:05:00.0`.
fn mappings(files: &Configuration<'_>, bdf: Bdf) -> Vec<String> {
    let mut mappings = Vec::new();
    let mut name = String::new();
    for line in files.lines("etc/pve/mapping/pci.cfg") {
        if !line.starts_with(char::is_whitespace) {
            name = line.trim().to_owned();
            continue;
        }
        let mut paths = line.split([',', ' ', '\t']);
        if paths.any(|part| {
            part.strip_prefix("path=").is_some_and(|p| p.split(';').any(|a| names(a, bdf)))
        }) {
            mappings.push(name.clone());
        }
    }
    mappings
}

/// Proxmox may leave out the domain, and the function for all functions.
fn names(text: &str, bdf: Bdf) -> bool {
    let address =
        if text.contains('.') { text.to_owned() } else { format!("{text}.{:x}", bdf.function) };
    address.parse::<Bdf>() == Ok(bdf)
}
