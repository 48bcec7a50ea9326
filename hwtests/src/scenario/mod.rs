//! What is shown: scenarios over a bench.

mod crowd;
mod faults;
mod fidelity;
mod flint;
mod kills;
mod refusals;
mod steps;
mod story;
mod ways;

use anyhow::Result;

use crate::bench::Bench;
use crate::bench::rooms::Room;

/// What a scenario asks of a bench.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Only reads the card; the host is borrowed and put back.
    Reads,
    /// Writes the flash: a card must have named itself expendable.
    Writes,
    /// Faults, kill points or devices that only the lab has.
    Lab,
}

/// How a scenario that did not fail ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shown {
    /// It was seen.
    Yes,
    /// It could not be tried, for this reason.
    Skipped(String),
}

/// What a scenario does.
type Run = fn(&mut dyn Bench) -> Result<Shown>;

/// One scenario.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    /// Its name in reports, snake_case.
    pub name: &'static str,
    /// The guest it runs in; a card bench runs those of [`Room::Plain`].
    pub room: Room,
    /// What it asks for.
    pub need: Need,
    /// The scenario itself.
    pub run: Run,
}

/// All scenarios; those of one room run in this order, in one guest.
#[must_use]
pub fn all() -> Vec<Scenario> {
    use Need::{Lab, Reads, Writes};
    use Room::{Confidentiality, Crowd, Integrity, Kills, NoIommu, Plain};
    let table: &[(Room, Need, &'static str, Run)] = &[
        (
            Plain,
            Reads,
            "lspci_lists_the_capabilities",
            fidelity::lspci,
        ),
        (
            Plain,
            Reads,
            "mlx4_brings_up_netdevs_with_the_macs_of_the_flash",
            fidelity::driver,
        ),
        (
            Plain,
            Lab,
            "mlx4_interrupt_test_passes",
            fidelity::interrupt,
        ),
        (
            Plain,
            Reads,
            "ethtool_shows_what_the_tool_shows",
            fidelity::ethtool,
        ),
        (
            Plain,
            Reads,
            "unbind_and_bind_again_and_again",
            fidelity::rebind,
        ),
        (Plain, Reads, "vfio_pci_binds_by_hand", fidelity::vfio),
        (
            Plain,
            Lab,
            "mstflint_queries_reads_verifies",
            fidelity::witness_reads,
        ),
        (Plain, Lab, "mstflint_burns", fidelity::witness_burns),
        (
            Plain,
            Lab,
            "scripts_that_know_flint_look",
            flint::scripts_that_look,
        ),
        (
            Plain,
            Lab,
            "a_script_that_knows_flint_burns",
            flint::a_script_that_burns,
        ),
        (
            Plain,
            Reads,
            "looking_leaves_the_host_as_found",
            story::looking_changes_nothing,
        ),
        (
            Plain,
            Reads,
            "a_report_of_a_real_card",
            story::report_of_a_card,
        ),
        (
            Plain,
            Writes,
            "burn_and_go_on_with_new_firmware",
            story::burn_and_go_on,
        ),
        (
            Plain,
            Lab,
            "mstflint_agrees_with_what_was_burnt",
            story::witness_agrees,
        ),
        (
            Plain,
            Writes,
            "burning_the_same_is_nothing_to_do",
            story::burn_the_same,
        ),
        (Plain, Writes, "activate_alone", story::activate_alone),
        (
            Plain,
            Lab,
            "a_chip_that_boots_slowly_is_waited_for",
            story::slow_boot,
        ),
        (
            Plain,
            Reads,
            "three_ways_to_the_registers",
            ways::bar_access,
        ),
        (
            Plain,
            Lab,
            "a_user_of_the_group_queries_a_card_on_vfio",
            ways::without_root,
        ),
        (
            Plain,
            Writes,
            "a_card_that_lives_on_vfio_stays_there",
            ways::passthrough_host,
        ),
        (Plain, Lab, "kvm_probe_runs_and_is_skipped", ways::kvm_probe),
        (
            Plain,
            Lab,
            "card_in_use_is_refused_and_waived_by_name",
            refusals::card_in_use,
        ),
        (
            Plain,
            Reads,
            "a_waiver_must_have_a_name",
            refusals::unknown_waiver,
        ),
        (
            Plain,
            Lab,
            "a_group_held_by_another_process",
            refusals::group_busy,
        ),
        (
            Plain,
            Reads,
            "two_instances_cannot_have_one_card",
            refusals::second_instance,
        ),
        (
            Plain,
            Lab,
            "vfio_pci_is_missing",
            refusals::vfio_pci_missing,
        ),
        (
            Plain,
            Lab,
            "an_image_for_another_card",
            refusals::wrong_image,
        ),
        (
            Plain,
            Lab,
            "interrupted_in_the_middle_of_a_burn",
            refusals::interrupted,
        ),
        (
            Plain,
            Lab,
            "semaphore_left_by_a_killed_mstflint",
            faults::stale_semaphore,
        ),
        (
            Plain,
            Lab,
            "the_card_vanishes_during_a_burn",
            faults::card_vanishes,
        ),
        (
            Plain,
            Lab,
            "firmware_that_does_not_answer_the_driver",
            faults::dead_firmware,
        ),
        (Kills, Lab, "nothing_to_restore", kills::nothing_to_restore),
        (
            Kills,
            Lab,
            "killed_at_every_host_step",
            kills::at_every_host_step,
        ),
        (Kills, Lab, "killed_inside_the_burn", kills::inside_the_burn),
        (
            Integrity,
            Lab,
            "mstflint_is_shut_out",
            fidelity::witness_is_shut_out,
        ),
        (
            Integrity,
            Lab,
            "doctor_names_lockdown",
            ways::doctor_names_lockdown,
        ),
        (Integrity, Lab, "burn_by_pread", story::burn_by_pread),
        (
            Confidentiality,
            Lab,
            "mstflint_is_shut_out",
            fidelity::witness_is_shut_out,
        ),
        (
            Confidentiality,
            Lab,
            "doctor_names_lockdown",
            ways::doctor_names_lockdown,
        ),
        (
            Confidentiality,
            Lab,
            "burn_by_configuration_cycles",
            story::burn_by_config,
        ),
        (
            NoIommu,
            Lab,
            "without_iommu_nothing_is_touched",
            refusals::no_iommu,
        ),
        (
            Crowd,
            Lab,
            "several_cards_and_none_named",
            crowd::several_cards,
        ),
        (Crowd, Lab, "selectors", crowd::selectors),
        (Crowd, Lab, "sibling_in_the_iommu_group", crowd::sibling),
        (
            Crowd,
            Lab,
            "a_virtual_function_is_no_card",
            crowd::virtual_function,
        ),
        (
            Crowd,
            Lab,
            "virtual_functions_are_enabled",
            crowd::virtual_functions_enabled,
        ),
        (
            Crowd,
            Lab,
            "a_card_in_recovery_mode_comes_back",
            crowd::recovery,
        ),
    ];
    table
        .iter()
        .map(|&(room, need, name, run)| Scenario {
            name,
            room,
            need,
            run,
        })
        .collect()
}
