//! The port above the card. Reported, and never a fault: the card works there, and only a reset while
//! it is borrowed is refused.

use crate::host::{Host, HostFinding, PciCard, PortReport};

const KEPT: &str = "the card is not reset while it is borrowed";

/// `port_hotplug`, `port_dpc` and `firmware_first`.
pub(super) fn check(host: &Host, card: &PciCard) -> [HostFinding; 3] {
    let details = match host.port_above(card) {
        None => ["none: the card is attached to the root complex"; 3].map(str::to_owned),
        Some(port) if port.emulated => {
            [(); 3].map(|()| format!("port {} is a virtual machine's: not known", port.bdf))
        }
        Some(port) => details(&port),
    };
    let [hotplug, containment, first] = details;
    [
        HostFinding::good("port_hotplug", hotplug),
        HostFinding::good("port_dpc", containment),
        HostFinding::good("firmware_first", first),
    ]
}

fn details(port: &PortReport) -> [String; 3] {
    let bdf = port.bdf;
    let unknown = |name| port.unknown.contains(&name);
    let hotplug = if port.hotplug_surprise {
        format!("port {bdf} takes a lost link as removal: {KEPT}")
    } else if unknown(PortReport::HOTPLUG) {
        format!("port {bdf}: only root may read it")
    } else {
        format!("port {bdf} does not remove the card when the link goes down")
    };
    let containment = if port.dpc {
        format!("port {bdf} keeps the link down after an error: {KEPT}")
    } else if unknown(PortReport::CONTAINMENT) {
        format!("port {bdf}: only root may read it")
    } else {
        format!("off at port {bdf}")
    };
    let first = match (port.firmware_first, port.surprise_down) {
        (true, true) => {
            format!("yes, and port {bdf} reports a lost link as an error: {KEPT}")
        }
        (true, false) if unknown(PortReport::LINK_ERRORS) => {
            format!("yes; whether port {bdf} reports a lost link as an error, only root may read")
        }
        (true, false) => format!("yes; port {bdf} does not report a lost link as an error"),
        (false, _) if unknown(PortReport::FIRST) => "only root may read the ACPI table HEST".into(),
        (false, _) => "no: the kernel handles PCIe errors".into(),
    };
    [hotplug, containment, first]
}
