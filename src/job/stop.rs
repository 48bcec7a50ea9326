//! When a wish to stop is heard.

use crate::flash::{Event, Events, Phase};

/// Passes news on. From the first erase a job on a layout that cannot survive an interruption goes
/// on to its end; and nobody stops between the signatures.
pub(super) struct Guarded<'e> {
    inner: &'e mut dyn Events,
    survives: bool,
    deaf: bool,
}

impl<'e> Guarded<'e> {
    pub(super) fn new(inner: &'e mut dyn Events, survives: bool) -> Self {
        Self {
            inner,
            survives,
            deaf: false,
        }
    }
}

impl Events for Guarded<'_> {
    fn tell(&mut self, event: Event) {
        if let Event::Started { phase, .. } = &event {
            match phase {
                Phase::Erase | Phase::Write | Phase::Verify => self.deaf = !self.survives,
                Phase::Commit => self.deaf = true,
                Phase::Backup | Phase::Read => {}
            }
        }
        self.inner.tell(event);
    }

    fn stop_wanted(&self) -> bool {
        !self.deaf && self.inner.stop_wanted()
    }
}
