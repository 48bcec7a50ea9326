//! The settings the firmware keeps: what `config set` reports.

use super::bench::*;
use crate::card::nv::{NvSettings, Parameter};
use crate::flash::{Event, Events};
use crate::job::nvconfig::not_stored;
use crate::job::*;
use crate::sim::{Fault, SimCard};

const VFS: &str = "NUM_OF_VFS";
const SRIOV: &str = "SRIOV_EN";

fn parameter(name: &str) -> Parameter {
    Parameter::named(name).unwrap()
}

/// What a card with these values for the next boot reports.
fn settings(values: &[(Parameter, u32)]) -> NvSettings {
    let card = owner_card();
    let mut device = opened(&card);
    let mut settings = device.card.tools().unwrap().settings().unwrap();
    for setting in &mut settings.settings {
        if let Some((_, value)) = values.iter().find(|(p, _)| *p == setting.parameter) {
            setting.next_boot = Some(*value);
        }
    }
    settings
}

#[test]
fn a_setting_is_reported_as_not_stored_when_two_readings_show_it() {
    let wanted = [(parameter(SRIOV), 0), (parameter(VFS), 16)];
    let [sriov, vfs] = wanted;
    let (other_sriov, other_vfs) = ((sriov.0, 1), (vfs.0, 8));
    // First reading, second reading, names reported, readings taken.
    type Values<'a> = &'a [(Parameter, u32)];
    let cases: [(Values<'_>, Values<'_>, &[&str], usize); 4] = [
        (&[sriov, vfs], &[], &[], 1),
        (&[other_sriov, vfs], &[sriov, vfs], &[], 2),
        (&[other_sriov, vfs], &[sriov, other_vfs], &[], 2),
        (&[other_sriov, other_vfs], &[sriov, other_vfs], &[VFS], 2),
    ];
    for (first, second, wrong, readings) in cases {
        let mut taken = 0;
        let mut read = || {
            taken += 1;
            Ok(settings(if taken == 1 { first } else { second }))
        };
        assert_eq!(not_stored(&wanted, &mut read).unwrap(), wrong);
        assert_eq!(taken, readings);
    }
}

/// Makes the card's tools semaphore unavailable once the backup is reported.
struct HoldsAfterBackup<'a>(&'a SimCard);

impl Events for HoldsAfterBackup<'_> {
    fn emit(&mut self, event: Event) {
        if let Event::Note { text } = event
            && text.starts_with("backup in")
        {
            self.0.inject(Fault::SemaphoreHeld { number: 47, reads: None, owner_alive: true });
        }
    }
}

#[test]
fn settings_that_were_never_sent_do_not_count_as_a_change() {
    let bench = Bench::new();
    let card = owner_card();
    let before = card.flash();
    let mut device = opened(&card);
    let error = nv_set(
        &mut device,
        &[(parameter(SRIOV), 0)],
        &bench.backups(),
        &mut |_, _| true,
        &mut HoldsAfterBackup(&card),
    )
    .unwrap_err();
    assert!(matches!(error, JobError::Card(_)), "{error:?}");
    assert_eq!(error.outcome().exit, Exit::NotReady);
    assert!(card.flash() == before);
}
