//! The cards of the sweeps, the jobs done on them, and how to count cases.

use super::tap::{self, Pauses, ReadNotes, Spoil};
use crate::sweep::world::{SweepSetup, small_cx3, small_pro};
use cx3flash::card::nv::Parameter;
use cx3flash::flash::Events;
use cx3flash::image::Half;
use cx3flash::job::{
    self, Activation, Backup, JobError, NvSetOutcome, VerifyOutcome, WriteOutcome, WriteRequest,
};
use cx3flash::plan::BurnOptions;
use cx3flash::sim::SimCard;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Serial number of every card here.
const SERIAL: &str = "f4-52-14-03-00-aa-bb-c0";

/// How images lie in the flash.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum CardLayout {
    Failsafe,
    NonFailsafe,
}

impl CardLayout {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Failsafe => "failsafe",
            Self::NonFailsafe => "non-failsafe",
        }
    }

    /// A card that runs 2.36.5150 (2.35.5100), and 2.42.5000 to burn.
    pub(crate) fn bench(self) -> SweepSetup {
        match self {
            Self::Failsafe => {
                let (old, new) = (small_pro("2.36.5150"), small_pro("2.42.5000"));
                SweepSetup::failsafe(&old, Half::Even, true, &new)
            }
            Self::NonFailsafe => {
                SweepSetup::non_failsafe(&small_cx3("2.35.5100"), &small_cx3("2.42.5000"))
            }
        }
    }
}

/// Whether this program has met the card before.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Contact {
    /// The card has no serial number: nothing is kept about it.
    NoSerial,
    /// It has not: chained reads are compared with single ones.
    First,
    /// Chained reads were proven.
    Known,
}

impl Contact {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::NoSerial => "no serial number",
            Self::First => "first contact",
            Self::Known => "known card",
        }
    }

    /// How `card` is opened: with a directory below `dir` in which proofs are kept, where it has one.
    pub(crate) fn opened(self, dir: &Path, card: &SimCard) -> Opened {
        let opened = Opened {
            proofs: (self != Self::NoSerial).then(|| dir.join("proofs")),
            ..Opened::default()
        };
        if self == Self::Known {
            opened.backup(&card.fork(), dir).unwrap();
            assert_eq!(opened.verdict().as_deref(), Some("proven"));
        }
        opened
    }
}

/// How the card is opened.
#[derive(Clone, Default)]
pub(crate) struct Opened {
    pub(crate) pauses: Option<Pauses>,
    pub(crate) notes: Option<ReadNotes>,
    /// With [`Opened::notes`], which know the phase.
    pub(crate) spoil: Option<Spoil>,
    /// Where it is kept what the card has shown about chained reads.
    pub(crate) proofs: Option<PathBuf>,
}

impl Opened {
    fn device(&self, card: &SimCard) -> Result<job::Device, JobError> {
        let device = tap::open(card, self.pauses, self.notes.clone(), self.spoil)?;
        Ok(match &self.proofs {
            Some(dir) => device.keeping_proofs(dir, SERIAL.into()),
            None => device,
        })
    }

    /// The same with a copy of the record in `dir`.
    pub(crate) fn copied(&self, dir: &Path) -> Self {
        let copy = dir.join("proofs");
        std::fs::create_dir(&copy).unwrap();
        for file in std::fs::read_dir(self.proofs.as_ref().unwrap()).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), copy.join(file.file_name())).unwrap();
        }
        Self { proofs: Some(copy), ..self.clone() }
    }

    /// The verdict about chained reads that is kept.
    pub(crate) fn verdict(&self) -> Option<String> {
        let mut files = std::fs::read_dir(self.proofs.as_ref()?).ok()?;
        let record = std::fs::read(files.next()?.unwrap().path()).unwrap();
        let record: serde_json::Value = serde_json::from_slice(&record).unwrap();
        record["chains"]["verdict"].as_str().map(str::to_owned)
    }

    fn events(&self) -> Box<dyn Events> {
        match &self.notes {
            Some(notes) => Box::new(notes.clone()),
            None => Box::new(()),
        }
    }

    pub(crate) fn burn(
        &self,
        bench: &SweepSetup,
        card: &SimCard,
        backups: &Path,
    ) -> Result<WriteOutcome, JobError> {
        Self::burn_with(&mut self.device(card)?, bench, backups, &mut *self.events())
    }

    /// The same on a card that is open.
    pub(crate) fn burn_on(
        device: &mut job::Device,
        bench: &SweepSetup,
        backups: &Path,
    ) -> Result<WriteOutcome, JobError> {
        Self::burn_with(device, bench, backups, &mut ())
    }

    fn burn_with(
        device: &mut job::Device,
        bench: &SweepSetup,
        backups: &Path,
        events: &mut dyn Events,
    ) -> Result<WriteOutcome, JobError> {
        let (image, options) = (bench.image(), BurnOptions::default());
        let request = WriteRequest::Burn(&image, &options);
        job::write(device, &request, job::WriteOptions::later(backups), &mut |_| true, events)
    }

    pub(crate) fn backup(&self, card: &SimCard, out: &Path) -> Result<Backup, JobError> {
        Ok(job::backup(&mut self.device(card)?, out, &mut *self.events())?.backup)
    }

    pub(crate) fn verify(&self, card: &SimCard) -> Result<VerifyOutcome, JobError> {
        job::verify_card(&mut self.device(card)?, &mut *self.events())
    }

    pub(crate) fn activate(&self, card: &SimCard) -> Result<Activation, JobError> {
        Ok(job::activate(&mut self.device(card)?, &mut *self.events())?.activation)
    }

    /// Set three settings, two of which are stored together.
    pub(crate) fn config_set(
        &self,
        card: &SimCard,
        backups: &Path,
    ) -> Result<NvSetOutcome, JobError> {
        let wanted = [("NUM_OF_VFS", 3), ("SRIOV_EN", 1), ("BOOT_VLAN_P1", 17)];
        let wanted = wanted.map(|(name, value)| (Parameter::named(name).unwrap(), value));
        let mut device = self.device(card)?;
        let mut events = self.events();
        job::nv_set(&mut device, &wanted, backups, &mut |_, _| true, &mut *events)
    }
}

/// How the cases of a sweep ended.
#[derive(Default)]
pub(crate) struct CaseTally(BTreeMap<String, u64>);

impl CaseTally {
    pub(crate) fn count(&mut self, outcome: impl Into<String>) {
        *self.0.entry(outcome.into()).or_default() += 1;
    }

    /// Prints the figures past the test harness, so that they are seen in every run.
    pub(crate) fn print(&self, name: &str) {
        let cases: u64 = self.0.values().sum();
        let ends: Vec<String> = self.0.iter().map(|(end, n)| format!("{end} {n}")).collect();
        let line = format!("{name}: {cases} cases, {}\n", ends.join(", "));
        let _ = std::io::stderr().write_all(line.as_bytes());
    }
}
