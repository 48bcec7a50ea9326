//! Entries about the card in the configuration of driverctl, modprobe, Proxmox and libvirt
//! (docs/linux.md#hosts-with-virtual-machines). None is a fault: they show which driver or machine
//! gets the card at the next start.

use crate::host::{Bdf, Host, PciCard, sysfs};
use regex::Regex;

pub(super) fn check(host: &Host, card: &PciCard) -> String {
    let mut notes = Vec::new();
    notes.extend(driverctl(host, card.bdf));
    notes.extend(modprobe(host, card.device_id));
    notes.extend(proxmox(host, card.bdf));
    notes.extend(libvirt(host, card.bdf));
    if notes.is_empty() {
        return "no entry in driverctl, modprobe.d, Proxmox and libvirt".into();
    }
    notes.join("; ")
}

fn driverctl(host: &Host, bdf: Bdf) -> Option<String> {
    let driver = sysfs::text(host.path("etc/driverctl.d").join(format!("pci-{bdf}")))?;
    Some(format!("driverctl binds it to {driver} at every boot"))
}

/// `options vfio-pci ids=15b3:1003,…`; subsystem ids and class may follow an id.
fn modprobe(host: &Host, device_id: u16) -> Vec<String> {
    let id = format!("15b3:{device_id:04x}");
    let option = Regex::new(&format!(
        r#"(?m)^[ \t]*options[ \t]+vfio[-_]pci[ \t](?:.*[ \t])?ids=(?:\S*[,"])?(?i:{id})(?:[:,"\s]|$)"#
    ))
    .expect("an id has no special characters");
    let dirs = ["etc/modprobe.d", "run/modprobe.d", "usr/lib/modprobe.d"];
    let files = dirs.iter().flat_map(|dir| sysfs::entries(host.path(dir)));
    files
        .filter(|(name, file)| {
            let text = || sysfs::text(file).unwrap_or_default();
            name.ends_with(".conf") && option.is_match(&text())
        })
        .map(|(name, _)| format!("{name} gives every {id} to vfio-pci at boot"))
        .collect()
}

/// `hostpci0: 0000:05:00.0,pcie=1` or `hostpci0: mapping=NAME`, resolved in `mapping/pci.cfg`.
fn proxmox(host: &Host, bdf: Bdf) -> Vec<String> {
    let mappings = mappings(host, bdf);
    let mut notes = Vec::new();
    for (name, file) in sysfs::entries(host.path("etc/pve/qemu-server")) {
        let Some(vm) = name.strip_suffix(".conf") else {
            continue;
        };
        // Sections in brackets are snapshots.
        let lines = sysfs::lines(file);
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
fn mappings(host: &Host, bdf: Bdf) -> Vec<String> {
    let mut mappings = Vec::new();
    let mut name = String::new();
    for line in sysfs::lines(host.path("etc/pve/mapping/pci.cfg")) {
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

/// `<hostdev>` with `<address domain='0x0000' bus='0x05' slot='0x00' function='0x0'/>` in its
/// source.
fn libvirt(host: &Host, bdf: Bdf) -> Vec<String> {
    let source = Regex::new(r"(?s)<source>.*?(?:</source>|\z)").expect("a constant pattern");
    let mut notes = Vec::new();
    for (name, file) in sysfs::entries(host.path("etc/libvirt/qemu")) {
        let Some(vm) = name.strip_suffix(".xml") else {
            continue;
        };
        let text = sysfs::text(file).unwrap_or_default();
        // The address of the device inside of the machine is outside of `<source>`.
        let takes = source.find_iter(&text).any(|source| {
            let mut addresses = source.as_str().split("<address").skip(1);
            addresses.any(|element| address(element) == Some(bdf))
        });
        if takes {
            notes.push(format!("libvirt machine {vm} takes it when it starts"));
        }
    }
    notes
}

fn address(element: &str) -> Option<Bdf> {
    let element = element.split('>').next()?;
    let number = |name: &str| {
        let (_, value) = element.split_once(&format!(" {name}="))?;
        let value = value.trim_start_matches(['\'', '"']);
        sysfs::hex(value.split(['\'', '"']).next()?)
    };
    let byte = |name| u8::try_from(number(name)?).ok();
    Some(Bdf {
        domain: u32::try_from(number("domain").unwrap_or(0)).ok()?,
        bus: byte("bus")?,
        device: byte("slot")?,
        function: byte("function")?,
    })
}
