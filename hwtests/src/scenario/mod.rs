//! The scenarios, and which guest runs each (docs/lab.md#writing-a-scenario).

mod access;
mod burns;
mod faults;
mod fidelity;
mod flint;
mod kills;
mod refusals;
mod several_cards;
mod steps;

use anyhow::Result;

use crate::host::TestHost;
use crate::host::guests::GuestKind;

/// What a scenario requires of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Requires {
    /// A card to read; the host is borrowed and restored.
    Reads,
    /// A card whose flash may be written.
    Writes,
    /// Faults, kill points or devices that only the lab has.
    Lab,
}

/// One scenario.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    pub name: &'static str,
    /// The guest it runs in; a host with a real card runs those of [`GuestKind::Plain`].
    pub guest: GuestKind,
    pub requires: Requires,
    pub run: fn(&mut dyn TestHost) -> Result<()>,
}

/// Makes the list of scenarios; each is named after its function.
macro_rules! scenarios {
    ($($guest:ident: $($requires:ident $module:ident::$name:ident),+;)+) => {
        vec![$($(Scenario {
            name: stringify!($name),
            guest: GuestKind::$guest,
            requires: Requires::$requires,
            run: $module::$name,
        }),+),+]
    };
}

/// All scenarios; those of one guest run in this order.
pub fn all() -> Vec<Scenario> {
    scenarios! {
        Plain:
            Reads fidelity::lspci_lists_the_capabilities,
            Reads fidelity::mlx4_brings_up_netdevs_with_the_macs_of_the_flash,
            Lab fidelity::mlx4_interrupt_test_passes,
            Reads fidelity::ethtool_reports_the_version_of_query,
            Reads fidelity::repeated_rebinding_restores_the_host,
            Reads fidelity::vfio_pci_binds_by_hand,
            Lab fidelity::mstflint_queries_reads_and_verifies,
            Lab flint::flint_burns_as_mstflint_does,
            Reads burns::reading_commands_restore_the_host,
            Reads burns::a_bug_report_holds_lspci_and_no_macs,
            Writes burns::burn_starts_the_new_firmware,
            Lab burns::firmware_that_never_starts_gives_way_to_the_old_one,
            Lab burns::mstflint_agrees_with_the_burnt_image,
            Writes burns::burning_the_same_image_is_nothing_to_do,
            Writes burns::activate_restores_the_host,
            Lab burns::a_chip_that_boots_slowly_gives_the_same_results,
            Reads access::three_register_accesses_agree,
            Reads access::selftest_tries_the_reset_of_vfio,
            Lab access::a_user_of_the_vfio_group_may_query,
            Writes access::a_card_on_vfio_pci_stays_there,
            Lab access::kvm_probe_runs_with_dev_kvm_only,
            Lab refusals::card_in_use_is_refused_and_waived_by_name,
            Reads refusals::an_unknown_waiver_is_refused,
            Lab refusals::a_group_held_by_another_process_is_refused,
            Reads refusals::a_second_instance_is_refused,
            Lab refusals::a_missing_vfio_pci_is_reported,
            Lab refusals::an_image_for_another_card_is_refused,
            Lab refusals::an_interrupted_burn_restores_the_host,
            Lab faults::unlock_frees_semaphores_of_a_killed_mstflint,
            Lab faults::a_card_that_vanishes_during_a_burn_is_reported,
            Lab faults::a_failed_rebind_is_left_to_host_restore;
        Kills:
            Lab kills::host_restore_without_a_journal_changes_nothing,
            Lab kills::host_restore_follows_a_kill_at_every_host_step,
            Lab kills::the_host_comes_back_after_a_failure_of_any_host_step;
        KilledBurns:
            Lab kills::the_card_boots_after_a_kill_inside_the_burn;
        FullSize:
            Lab flint::flint_reads_as_mstflint_does,
            Lab fidelity::mstflint_burns_and_the_tool_verifies,
            Lab burns::burn_starts_the_new_firmware,
            Lab burns::mstflint_agrees_with_the_burnt_image;
        Integrity:
            Lab fidelity::mstflint_fails_under_lockdown,
            Lab access::doctor_reports_lockdown,
            Lab burns::burn_by_pread_succeeds;
        Confidentiality:
            Lab fidelity::mstflint_fails_under_lockdown,
            Lab access::doctor_reports_lockdown,
            Lab burns::burn_by_configuration_cycles_succeeds;
        NoIommu:
            Lab refusals::without_iommu_the_host_is_unchanged;
        SeveralCards:
            Lab several_cards::without_a_selector_several_cards_are_refused,
            Lab several_cards::a_card_is_selected_by_address_or_netdev,
            Lab several_cards::a_sibling_in_the_iommu_group_is_refused_and_waived,
            Lab several_cards::a_virtual_function_is_refused,
            Lab several_cards::a_card_with_virtual_functions_is_refused,
            Lab several_cards::recover_brings_back_a_card_in_recovery_mode;
    }
}
