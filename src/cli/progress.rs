//! Progress of a job: a bar on a terminal, one line per phase elsewhere, nothing with `-q`.

use super::terminal::{Out, OutputMode, StopFlag};
use super::text::{kib, name_of};
use crate::escape;
use crate::flash::{Event, Events, Phase};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressFinish, ProgressStyle};
use std::io::{self, IsTerminal};

pub(super) struct Progress {
    quiet: bool,
    terminal: bool,
    stop: StopFlag,
    total: u64,
    /// The bar of the phase on a terminal. One that is dropped before its end stays on the screen.
    bar: Option<ProgressBar>,
}

impl Progress {
    pub(super) fn new(mode: OutputMode, stop: StopFlag) -> Self {
        Self { quiet: mode.quiet, terminal: io::stderr().is_terminal(), stop, total: 0, bar: None }
    }

    fn line(&self, text: &str) {
        Out::new(OutputMode { json: false, quiet: self.quiet }).remark(text);
    }
}

impl Events for Progress {
    fn emit(&mut self, event: Event) {
        tracing::info!(event = ?event, "progress");
        match event {
            Event::Started { phase, total } => {
                self.total = total;
                self.bar = (self.terminal && !self.quiet).then(|| new_bar(phase, total));
            }
            Event::Advanced { done, .. } => {
                if let Some(bar) = &self.bar {
                    bar.set_position(done);
                }
            }
            Event::Finished { phase } => match self.bar.take() {
                Some(bar) => bar.finish(),
                None => self.line(&finished(phase, self.total)),
            },
            Event::Note { text } => match &self.bar {
                Some(bar) => bar.println(escape::line(&text)),
                None => self.line(&text),
            },
        }
    }

    fn stop_requested(&self) -> bool {
        self.stop.raised()
    }
}

fn finished(phase: Phase, total: u64) -> String {
    let name = name_of(&phase);
    if total == 0 { format!("{name:7} done") } else { format!("{name:7} {:>9} done", kib(total)) }
}

fn new_bar(phase: Phase, total: u64) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr())
        .with_finish(ProgressFinish::Abandon);
    let template = if total == 0 {
        "{prefix:7} {spinner}"
    } else {
        "{prefix:7} [{bar:40}] {binary_bytes:>10} of {binary_total_bytes}"
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_prefix(name_of(&phase));
    bar
}
