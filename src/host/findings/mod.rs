//! The host checks of `doctor`. They change nothing. A check that returns text is never a fault. The text
//! and JSON of `cx3flash doctor` are made from the fields of [`HostFinding`].

mod card;
mod configuration;
mod iommu;
mod libvirt;
mod managers;
mod modules;

use super::{Host, Lockdown, PciCard, port};
use schemars::JsonSchema;
use serde::Serialize;

/// One check and its result.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize)]
pub struct HostFinding {
    /// Stable name, snake_case.
    pub id: &'static str,
    /// Nothing to fix; also when the check was skipped for a reason that is no fault of the host
    /// (`/dev/kvm` is missing).
    pub ok: bool,
    /// It was not made, because it depends on one that is not ok.
    pub skipped: bool,
    /// One sentence with the figures.
    pub detail: String,
    /// The command that fixes it.
    pub fix: Option<String>,
}

impl HostFinding {
    /// A check without a fault.
    pub fn good(id: &'static str, detail: impl Into<String>) -> Self {
        Self { id, ok: true, skipped: false, detail: detail.into(), fix: None }
    }

    /// A fault, with the command that fixes it.
    pub fn bad(id: &'static str, detail: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { id, ok: false, skipped: false, detail: detail.into(), fix: Some(fix.into()) }
    }

    /// A check that was not made; why.
    pub fn skipped(id: &'static str, why: impl Into<String>) -> Self {
        Self { id, ok: false, skipped: true, detail: why.into(), fix: None }
    }

    /// The check was made and found a fault.
    pub fn is_fault(&self) -> bool {
        !self.ok && !self.skipped
    }
}

/// Result of a check: a detail, or a fault and the command that fixes it.
type CheckResult = Result<String, (String, String)>;

fn fault(detail: impl Into<String>, fix: impl Into<String>) -> CheckResult {
    Err((detail.into(), fix.into()))
}

impl Host {
    /// Checks the host, and `card` if there is one, in a fixed order.
    pub fn findings(&self, card: Option<&PciCard>) -> Vec<HostFinding> {
        let mut checks = vec![
            ("iommu", iommu::groups(self)),
            ("vfio_pci", modules::vfio_pci(self)),
            ("vfio_container", modules::container(self)),
            ("lockdown", Ok(lockdown(self.lockdown()))),
            ("secure_boot", Ok(secure_boot(self.secure_boot()))),
        ];
        if let Some(card) = card {
            let [hotplug, containment, first] = port::findings(self, card);
            checks.extend([
                ("card_answers", card::answers(self, card)),
                ("bar0", card::bar0(card)),
                ("group_viable", card::group_viable(self, card)),
                ("driver", Ok(card::driver(card))),
                ("holder", card::holder(self, card)),
                ("managers", Ok(managers::check(self, card))),
                ("reset_methods", Ok(card::reset_methods(card))),
                ("port_hotplug", Ok(hotplug)),
                ("port_dpc", Ok(containment)),
                ("firmware_first", Ok(first)),
            ]);
            checks.extend(card::rdma_kernel(self, card).map(|detail| ("rdma_kernel", Ok(detail))));
            if self.is_system() {
                checks.push(("rights", card::rights(self, card, super::is_root())));
            }
        }
        let finding = |(id, check)| match check {
            Ok(detail) => HostFinding::good(id, detail),
            Err((detail, fix)) => HostFinding::bad(id, detail, fix),
        };
        checks.into_iter().map(finding).collect()
    }
}

fn lockdown(level: Lockdown) -> String {
    match level {
        Lockdown::Absent => "the kernel has no lockdown, or securityfs is not mounted".into(),
        Lockdown::None => "none".into(),
        // VFIO is never closed.
        Lockdown::Integrity | Lockdown::Confidentiality => format!(
            "{level}: closed are /dev/mem, mapping sysfs resourceN, writing PCI config through \
             sysfs and /proc/bus/pci, unsigned kernel modules, iopl and ioperm; VFIO is open"
        ),
    }
}

fn secure_boot(on: Option<bool>) -> String {
    match on {
        Some(true) => "on: out-of-tree modules such as mstflint_access need an enrolled signature",
        Some(false) => "off",
        None => "unknown: the firmware's variables cannot be read",
    }
    .into()
}

#[cfg(test)]
mod tests {
    use super::card::rights;
    use crate::host::tests::fake::{CARD, FakeHost};

    #[test]
    fn only_root_or_a_user_of_the_group_node_has_rights() {
        let fake = FakeHost::new();
        fake.ethernet_card();
        assert!(rights(&fake.host(), &fake.card(), true).is_ok());
        // On mlx4_core only root may, whatever the node's mode.
        fake.write("/dev/vfio/17", "");
        let (_, fix) = rights(&fake.host(), &fake.card(), false).unwrap_err();
        assert_eq!(fix, "sudo cx3flash -d 0000:05:00.0 doctor");
        fake.driver(CARD, Some("vfio-pci"));
        assert!(rights(&fake.host(), &fake.card(), false).is_ok());
        fake.remove("/dev/vfio/17");
        assert!(rights(&fake.host(), &fake.card(), false).is_err());
    }
}
