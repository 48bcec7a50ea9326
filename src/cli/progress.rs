//! Progress of a job: a bar on a terminal, then one line for each phase; nothing with `-q`.

use super::stop::{StopFlag, Work};
use super::terminal::{Out, OutputMode, columns};
use super::text::{kib, name_of};
use crate::escape;
use crate::flash::{Event, Events, Phase};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{self, IsTerminal};

/// Columns that rate and time left need.
const WIDE: usize = 45;

pub(super) struct Progress {
    quiet: bool,
    terminal: bool,
    stop: StopFlag,
    total: u64,
    /// The bar of the phase on a terminal.
    bar: Option<ProgressBar>,
}

impl Progress {
    pub(super) fn new(mode: OutputMode, stop: StopFlag) -> Self {
        Self { quiet: mode.quiet, terminal: io::stderr().is_terminal(), stop, total: 0, bar: None }
    }

    fn line(&self, text: &str) {
        Out::new(OutputMode { quiet: self.quiet, ..OutputMode::default() }).remark(text);
    }

    fn end_bar(&mut self) {
        self.stop.works_on(Work::Card, None);
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

impl Events for Progress {
    fn emit(&mut self, event: Event) {
        tracing::info!(event = ?event, "progress");
        match event {
            Event::Started { phase, total } => {
                self.end_bar();
                self.total = total;
                let bar = (self.terminal && !self.quiet).then(|| new_bar(phase, total));
                // A dumb terminal has none, and what is printed above it would be lost.
                self.bar = bar.filter(|bar| !bar.is_hidden());
                self.stop.works_on(Work::Phase(phase), self.bar.clone());
            }
            Event::Advanced { done, .. } => {
                if let Some(bar) = &self.bar {
                    bar.set_position(done);
                }
            }
            Event::Finished { phase } => {
                self.end_bar();
                self.line(&finished(phase, self.total));
            }
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

impl Drop for Progress {
    /// A job that stopped: what was done of its phase stays on the screen.
    fn drop(&mut self) {
        if let Some(bar) = self.bar.take() {
            self.stop.works_on(Work::Card, None);
            bar.abandon();
        }
    }
}

fn finished(phase: Phase, total: u64) -> String {
    let name = name_of(&phase);
    if total == 0 { format!("{name:7} done") } else { format!("{name:7} {:>9} done", kib(total)) }
}

fn new_bar(phase: Phase, total: u64) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template(template(total, columns())) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_prefix(name_of(&phase));
    bar
}

/// One line in as many columns.
fn template(total: u64, columns: usize) -> &'static str {
    match (total, columns) {
        (0, _) => "{prefix:7} {elapsed}",
        (_, WIDE..) => {
            "{prefix:7} [{wide_bar}] {percent:>3}% {binary_bytes_per_sec:>12} {eta:>4} left"
        }
        _ => "{prefix:7} {percent:>3}%",
    }
}

#[cfg(test)]
mod tests {
    use super::template;

    #[test]
    fn a_terminal_that_is_wide_enough_shows_percent_rate_and_time_left() {
        for part in ["{percent", "{binary_bytes_per_sec", "{eta"] {
            assert!(template(1, 60).contains(part), "{part}");
        }
        assert_eq!(template(1, 20), "{prefix:7} {percent:>3}%");
    }
}
