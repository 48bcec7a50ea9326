//! What the machines and networks of libvirt take from the host (<https://libvirt.org/formatdomain.html>,
//! <https://libvirt.org/formatnetwork.html>).

use super::configuration::Configuration;
use crate::host::{Bdf, PciCard, sysfs};
use roxmltree::{Document, Node, ParsingOptions};
use std::path::PathBuf;
use std::{fs, io};

/// Elements of a file, far above what a machine needs.
const MOST_NODES: u32 = 1 << 20;
/// Bytes of a file.
const MOST_BYTES: u64 = 1 << 24;

/// Directories of XML files. The first word of a note, and its end.
const DIRECTORIES: [(&str, &str, &str); 6] = [
    ("etc/libvirt/qemu", "machine", "takes it when it starts"),
    ("etc/libvirt/libxl", "Xen machine", "takes it when it starts"),
    ("etc/libvirt/qemu/networks", "network", "gives it to machines that start"),
    // Also of machines and networks that have no file below /etc.
    ("run/libvirt/qemu", "machine", "has it now"),
    ("run/libvirt/libxl", "Xen machine", "has it now"),
    ("run/libvirt/network", "network", "gives it to machines that start"),
];

pub(super) fn entries(files: &Configuration<'_>, card: &PciCard) -> Vec<String> {
    let mut notes = Vec::new();
    for (dir, what, takes) in DIRECTORIES {
        for file in files.names(dir) {
            let Some(name) = file.strip_suffix(".xml") else {
                continue;
            };
            let Some(text) = files.read(format!("{dir}/{file}"), contents) else {
                continue;
            };
            // libvirt writes no DTD, whose entities could fill the memory.
            let options = ParsingOptions { nodes_limit: MOST_NODES, ..ParsingOptions::default() };
            match Document::parse_with_options(&text, options) {
                Ok(document) => {
                    let mut nodes = document.descendants();
                    if nodes.any(|node| gives_function(node, card.bdf)) {
                        notes.push(format!("libvirt {what} {name} {takes}"));
                    }
                    let mut nodes = document.descendants();
                    if nodes.any(|node| gives_virtual_functions(node, card)) {
                        notes.push(format!(
                            "libvirt {what} {name} gives its virtual functions to machines"
                        ));
                    }
                }
                Err(error) => notes.push(format!(
                    "/{dir}/{file} is not valid XML ({error}): what it takes is unknown"
                )),
            }
        }
    }
    notes
}

/// The text of a file; `None` when it is gone.
fn contents(path: PathBuf) -> io::Result<Option<String>> {
    let about = match fs::metadata(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        about => about?,
    };
    if !about.is_file() || about.len() > MOST_BYTES {
        return Err(io::Error::other("it is no file, or too large"));
    }
    sysfs::try_text(path)
}

/// An `<address>` of the host: in the `<source>` of a `<hostdev>` or `<interface>`, or in the `<forward>`
/// of a network. Others are addresses inside of the machine.
fn gives_function(node: Node<'_, '_>, bdf: Bdf) -> bool {
    let name =
        |node: Option<Node<'_, '_>>| node.map_or("", |node| node.tag_name().name()).to_owned();
    let type_of = |node: Option<Node<'_, '_>>| {
        node.and_then(|node| node.attribute("type").map(str::to_owned))
    };
    if !node.has_tag_name("address") {
        return false;
    }
    let parent = node.parent_element();
    let device = parent.and_then(|parent| parent.parent_element());
    let own = type_of(Some(node));
    let is_pci = match (name(parent).as_str(), name(device).as_str()) {
        ("source", "hostdev") => own.or(type_of(device)).as_deref() == Some("pci"),
        ("source", "interface") | ("forward", _) => own.is_none_or(|own| own == "pci"),
        _ => false,
    };
    is_pci && address(node) == Some(bdf)
}

/// `<forward mode='hostdev'><pf dev='enp5s0'/>`.
fn gives_virtual_functions(node: Node<'_, '_>, card: &PciCard) -> bool {
    let port = node.attribute("dev").filter(|_| node.has_tag_name("pf"));
    port.is_some_and(|port| card.netdevs.iter().any(|net| net.name == port))
}

/// libvirt takes what is missing for 0.
fn address(node: Node<'_, '_>) -> Option<Bdf> {
    let part = |name| node.attribute(name).map_or(Some(0), number);
    let byte = |name| u8::try_from(part(name)?).ok();
    Some(Bdf {
        domain: part("domain")?,
        bus: byte("bus")?,
        device: byte("slot")?,
        function: byte("function")?,
    })
}

/// A number as C reads it: `0x05`, `05` (octal), `5`.
fn number(text: &str) -> Option<u32> {
    let text = text.trim();
    let (digits, radix) = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => (digits, 16),
        None if text.len() > 1 && text.starts_with('0') => (&text[1..], 8),
        None => (text, 10),
    };
    let plain = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    plain.then(|| u32::from_str_radix(digits, radix).ok())?
}

#[cfg(test)]
mod tests {
    use super::super::managers;
    use crate::host::tests::fake::FakeHost;

    const ADDRESS: &str = "domain='0x0000' bus='0x05' slot='0x00' function='0x0'";

    fn hostdev(source: &str) -> String {
        format!(
            "<domain type='kvm'><name>nas</name><devices><hostdev mode='subsystem' type='pci' managed='yes'>\
             {source}<address type='pci' domain='0x0000' bus='0x01' slot='0x00' function='0x0'/>\
             </hostdev></devices></domain>"
        )
    }

    fn notes(path: &str, text: &str) -> Vec<String> {
        let fake = FakeHost::new();
        fake.ethernet_card();
        fake.write(path, text);
        let notes = managers::check(&fake.host(), &fake.card());
        let notes = notes.split("; ").filter(|note| !note.starts_with("no entry in "));
        notes.map(str::to_owned).collect()
    }

    #[test]
    fn a_host_device_is_named_however_its_xml_is_written() {
        for source in [
            &format!("<source><address {ADDRESS}/></source>"),
            &format!("<source writeFiltering='no'><address {ADDRESS}/></source>"),
            &format!("<source startupPolicy=\"optional\"><address {ADDRESS}></address></source>"),
            "<source>\n<address\n function = \"0x0\"\tslot='0'\nbus=\"5\"/></source>",
            "<source><!-- <address bus='0x06'/> --><address bus='&#x30;x05'/></source>",
            "<source><address type='pci' bus='05' multifunction='on'/></source>",
        ] {
            let noted = notes("/etc/libvirt/qemu/nas.xml", &hostdev(source));
            assert_eq!(noted, ["libvirt machine nas takes it when it starts"], "{source}");
        }
        let status = format!(
            "<domstatus state='running'>{}</domstatus>",
            hostdev("<source><address bus='0x05'/></source>")
        );
        let running = notes("/run/libvirt/qemu/nas.xml", &status);
        assert_eq!(running, ["libvirt machine nas has it now"]);
    }

    #[test]
    fn an_interface_and_a_network_of_host_devices_are_named() {
        let interface = format!(
            "<domain><devices><interface type='hostdev' managed='yes'><source><address type='pci' {ADDRESS}/>\
             </source></interface></devices></domain>"
        );
        let noted = notes("/etc/libvirt/qemu/nas.xml", &interface);
        assert_eq!(noted, ["libvirt machine nas takes it when it starts"]);
        let network = |inside: &str| {
            let text = format!(
                "<network><name>pt</name><forward mode='hostdev' managed='yes'>{inside}</forward></network>"
            );
            notes("/etc/libvirt/qemu/networks/pt.xml", &text)
        };
        let noted = network(&format!("<address type='pci' {ADDRESS}/>"));
        assert_eq!(noted, ["libvirt network pt gives it to machines that start"]);
        let noted = network("<pf dev='enp5s0'/>");
        assert_eq!(noted, ["libvirt network pt gives its virtual functions to machines"]);
        assert_eq!(network("<pf dev='enp6s0'/>"), [""; 0]);
    }

    #[test]
    fn other_addresses_are_not_taken_for_the_hosts() {
        for source in [
            // Commented out, of the machine, of another card, of another bus.
            &format!("<!-- <source><address {ADDRESS}/></source> -->"),
            &format!("<address type='pci' {ADDRESS}/>"),
            &format!("<rom file='/source'/><address {ADDRESS}/>"),
            "<source><address bus='0x06'/></source>",
            // Decimal, and octal.
            "<source><address bus='5' slot='010'/></source>",
            "<source><address bus='five'/></source>",
            "<source><address bus='0x105'/></source>",
        ] {
            assert_eq!(notes("/etc/libvirt/qemu/nas.xml", &hostdev(source)), [""; 0], "{source}");
        }
        let usb = hostdev(&format!("<source><address {ADDRESS}/></source>"));
        let usb = usb.replace("type='pci' managed", "type='usb' managed");
        assert_eq!(notes("/etc/libvirt/qemu/nas.xml", &usb), [""; 0]);
    }

    #[test]
    fn xml_that_is_broken_is_named_and_not_believed() {
        let cut = hostdev(&format!("<source><address {ADDRESS}/></source>"));
        let laughs = "<!DOCTYPE a [<!ENTITY a \"aaaa\">]><a>&a;&a;</a>";
        for text in [&cut[..cut.len() - 9], "", "<domain", "\u{0}", laughs] {
            let noted = notes("/etc/libvirt/qemu/nas.xml", text);
            assert_eq!(noted.len(), 1, "{text}");
            assert!(
                noted[0].starts_with("/etc/libvirt/qemu/nas.xml is not valid XML (")
                    && noted[0].ends_with("what it takes is unknown"),
                "{noted:?}"
            );
        }
        let noted = notes("/etc/libvirt/qemu/nas.xml/file", "");
        assert!(noted[0].starts_with("/etc/libvirt/qemu/nas.xml cannot be read ("), "{noted:?}");
    }
}
