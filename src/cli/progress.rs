//! Progress of a job: a bar on a terminal, one line per phase elsewhere, nothing with `-q`.

use super::terminal::{OutputMode, StopFlag};
use super::text::{kib, name_of};
use crate::flash::{Event, Events, Phase};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{self, IsTerminal, Write};

enum Drawing {
    Silent,
    Lines,
    Bar(Option<ProgressBar>),
}

pub(super) struct Progress {
    drawing: Drawing,
    stop: StopFlag,
    total: u64,
}

impl Progress {
    #[must_use]
    pub(super) fn new(mode: OutputMode, stop: StopFlag) -> Self {
        let drawing = if mode.quiet {
            Drawing::Silent
        } else if io::stderr().is_terminal() {
            Drawing::Bar(None)
        } else {
            Drawing::Lines
        };
        Self {
            drawing,
            stop,
            total: 0,
        }
    }

    fn line(text: &str) {
        let _ = writeln!(io::stderr().lock(), "{text}");
    }

    /// The bar of a job that stopped stays on the screen.
    fn close(&mut self) {
        if let Drawing::Bar(bar) = &mut self.drawing
            && let Some(bar) = bar.take()
        {
            bar.abandon();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.close();
    }
}

impl Events for Progress {
    fn emit(&mut self, event: Event) {
        tracing::info!(event = ?event, "progress");
        match event {
            Event::Started { phase, total } => {
                self.close();
                self.total = total;
                if let Drawing::Bar(bar) = &mut self.drawing {
                    *bar = Some(new_bar(phase, total));
                }
            }
            Event::Advanced { done, .. } => {
                if let Drawing::Bar(Some(bar)) = &self.drawing {
                    bar.set_position(done);
                }
            }
            Event::Finished { phase } => match &mut self.drawing {
                Drawing::Silent => {}
                Drawing::Lines => Self::line(&finished(phase, self.total)),
                Drawing::Bar(bar) => {
                    if let Some(bar) = bar.take() {
                        bar.finish();
                    }
                }
            },
            Event::Note { text } => match &self.drawing {
                Drawing::Silent => {}
                Drawing::Bar(Some(bar)) => bar.println(text),
                Drawing::Bar(None) | Drawing::Lines => Self::line(&text),
            },
        }
    }

    fn stop_requested(&self) -> bool {
        self.stop.raised()
    }
}

fn finished(phase: Phase, total: u64) -> String {
    let name = name_of(&phase);
    if total == 0 {
        format!("{name:7} done")
    } else {
        format!("{name:7} {:>9} done", kib(total))
    }
}

fn new_bar(phase: Phase, total: u64) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
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
