//! The host checks of `doctor`. They change nothing.
//!
//! Always:
//!
//! | id | what |
//! |---|---|
//! | `iommu` | the kernel has IOMMU groups |
//! | `vfio_pci` | the driver is there |
//! | `vfio_container` | so is the IOMMU backend of VFIO's group interface |
//! | `lockdown` | its level and what it closes; never a fault: VFIO stays open |
//! | `secure_boot` | on, off, or unknown; never a fault |
//!
//! With a card:
//!
//! | id | what |
//! |---|---|
//! | `card_answers` | configuration space is not all ones |
//! | `bar0` | memory BAR of the registers |
//! | `group_viable` | no other function of its IOMMU group blocks it |
//! | `driver` | its driver now |
//! | `holder` | the process that has it open through VFIO |
//! | `managers` | entries about this card in the host's configuration |
//! | `reset_methods` | how the kernel can reset it; never a fault |
//! | `port_hotplug` | whether the port above takes a lost link as removal; never a fault |
//! | `port_dpc` | whether that port keeps the link down after an error; never a fault |
//! | `firmware_first` | whether the firmware handles PCIe errors before the kernel; never a fault |
//! | `rdma_kernel` | whether kernel users of its RDMA devices can be listed (only on the machine itself, and with such devices); never a fault |
//! | `rights` | whether this user may borrow or open it (only on the machine itself) |

mod card;
mod iommu;
mod managers;
mod modules;

use super::{Host, HostFinding, Lockdown, PciCard, port};

impl Host {
    /// Checks the host, and `card` if there is one, in a fixed order.
    pub fn findings(&self, card: Option<&PciCard>) -> Vec<HostFinding> {
        let mut findings = vec![
            iommu::groups(self),
            modules::vfio_pci(self),
            modules::container(self),
            lockdown(self.lockdown()),
            secure_boot(self.secure_boot()),
        ];
        if let Some(card) = card {
            findings.extend([
                card::answers(self, card),
                card::bar0(card),
                card::group_viable(self, card),
                card::driver(card),
                card::holder(self, card),
                managers::check(self, card),
                card::reset_methods(card),
            ]);
            findings.extend(port::findings(self, card));
            findings.extend(card::rdma_kernel(self, card));
            if self.is_system() {
                findings.push(card::rights(self, card, super::is_root()));
            }
        }
        findings
    }
}

fn lockdown(level: Lockdown) -> HostFinding {
    let detail = match level {
        Lockdown::Absent => "the kernel has no lockdown, or securityfs is not mounted".to_owned(),
        Lockdown::None => "none".to_owned(),
        Lockdown::Integrity | Lockdown::Confidentiality => format!(
            "{level}: closed are {}; VFIO is open",
            level.closes().join(", ")
        ),
    };
    HostFinding::good("lockdown", detail)
}

fn secure_boot(on: Option<bool>) -> HostFinding {
    let detail = match on {
        Some(true) => "on: out-of-tree modules such as mstflint_access need an enrolled signature",
        Some(false) => "off",
        None => "unknown: the firmware's variables cannot be read",
    };
    HostFinding::good("secure_boot", detail)
}

#[cfg(test)]
mod tests {
    use super::card::rights;
    use crate::host::tests::fake::{CARD, FakeHost};

    #[test]
    fn only_root_or_a_user_of_the_group_node_has_rights() {
        let fake = FakeHost::new();
        fake.ethernet_card();
        assert!(rights(&fake.host(), &fake.card(), true).ok);
        // On mlx4_core only root may, whatever the node's mode.
        fake.write("/dev/vfio/17", "");
        let bound = rights(&fake.host(), &fake.card(), false);
        assert_eq!(
            bound.fix.as_deref(),
            Some("sudo cx3flash -d 0000:05:00.0 doctor")
        );
        fake.driver(CARD, Some("vfio-pci"));
        assert!(rights(&fake.host(), &fake.card(), false).ok);
        fake.remove("/dev/vfio/17");
        assert!(!rights(&fake.host(), &fake.card(), false).ok);
    }
}
