//! flint's progress text for our jobs (docs/hardware.md#write-order-in-mstflint).

use super::card::Talk;
use crate::flash::{Event, Events, Phase};

/// The two lines of one writing command.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stages {
    /// In front of the percentage, padded.
    work: Option<&'static str>,
    /// In front of the last `OK`.
    end: &'static str,
}

impl Stages {
    pub(super) const BURN: Self = Self {
        work: Some("Burning FS2 FW image without signatures - "),
        end: "Restoring signature                     - ",
    };
    /// What is left of it where the GUIDs of a card that waits for them are set.
    pub(super) const SIGNATURE: Self = Self {
        work: None,
        ..Self::BURN
    };
    pub(super) const VSD: Self = Self {
        work: Some("Setting the VSD      - "),
        end: "Restoring signature  - ",
    };
    pub(super) const ROM: Self = Self {
        work: Some("Burning ROM image    - "),
        end: "Restoring signature  - ",
    };
    pub(super) const NO_ROM: Self = Self {
        work: Some("Removing ROM image    - "),
        end: "Restoring signature  - ",
    };
}

/// Draws them. Our backup shows on stderr only.
pub(super) struct FlintProgress<'a> {
    talk: &'a mut dyn Talk,
    stages: Option<Stages>,
    total: u64,
    percent: Option<u64>,
    done: bool,
}

impl<'a> FlintProgress<'a> {
    /// Without stages nothing is drawn (`-s`).
    pub(super) fn new(talk: &'a mut dyn Talk, stages: Option<Stages>) -> Self {
        Self {
            talk,
            stages,
            total: 0,
            percent: None,
            done: false,
        }
    }

    /// The body stands.
    fn finish(&mut self) {
        if let Some(work) = self.stages.and_then(|s| s.work)
            && !self.done
        {
            self.talk.say(&format!("\r{work}OK  \n"));
        }
        self.done = true;
    }

    /// All of it stands.
    pub(super) fn end(mut self) {
        self.finish();
        if let Some(stages) = self.stages {
            self.talk.say(&format!("\r{}OK\n", stages.end));
        }
    }

    /// Nothing had to be done.
    pub(super) fn nothing(self) {
        self.talk
            .say("-I- The card holds exactly this already. Nothing was written.\n");
    }

    /// It failed: an error does not go into the line of the percentage.
    pub(super) fn broken(self) {
        if self.percent.is_some() && !self.done {
            self.talk.say("\n");
        }
    }
}

impl Events for FlintProgress<'_> {
    fn emit(&mut self, event: Event) {
        tracing::info!(event = ?event, "progress");
        match event {
            Event::Started { total, .. } => self.total = total,
            Event::Advanced {
                phase: Phase::Write,
                done,
            } if self.total > 0 && !self.done => {
                let percent = done.saturating_mul(100) / self.total;
                // flint prints OK in the place of 100.
                if let Some(work) = self.stages.and_then(|s| s.work)
                    && percent < 100
                    && self.percent != Some(percent)
                {
                    self.percent = Some(percent);
                    self.talk.say(&format!("\r{work}{percent:3}%"));
                }
            }
            Event::Note { text } => self.talk.remark(&text),
            Event::Advanced { .. } | Event::Finished { .. } => {}
        }
    }

    fn stop_requested(&self) -> bool {
        self.talk.stop_requested()
    }
}
