//! News of a job, drawn: a bar on a terminal, one line per phase elsewhere, nothing with `-q`.

use super::out::Manner;
use crate::flash::{Event, Events, Phase};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A request to stop, raised by a signal.
#[derive(Clone, Debug, Default)]
pub(super) struct StopFlag(Arc<AtomicBool>);

impl StopFlag {
    /// From now on SIGINT, SIGTERM, SIGHUP and SIGQUIT raise the flag instead of killing the process: a
    /// job reads it between sectors, leaves the card bootable and returns it to its driver.
    ///
    /// # Errors
    /// When the system refuses a handler.
    pub(super) fn catch(&self) -> io::Result<()> {
        use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
        for signal in [SIGINT, SIGTERM, SIGHUP, SIGQUIT] {
            signal_hook::flag::register(signal, Arc::clone(&self.0))?;
        }
        Ok(())
    }

    #[must_use]
    pub(super) fn raised(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

enum Style {
    Silent,
    Lines,
    Bar(Option<ProgressBar>),
}

/// Draws events on stderr.
pub(super) struct Progress {
    style: Style,
    stop: StopFlag,
    total: u64,
}

impl Progress {
    /// In the manner the user wants.
    #[must_use]
    pub(super) fn new(manner: Manner, stop: StopFlag) -> Self {
        let style = if manner.quiet {
            Style::Silent
        } else if io::stderr().is_terminal() {
            Style::Bar(None)
        } else {
            Style::Lines
        };
        Self {
            style,
            stop,
            total: 0,
        }
    }

    fn line(text: &str) {
        let _ = writeln!(io::stderr().lock(), "{text}");
    }

    fn close(&mut self) {
        if let Style::Bar(bar) = &mut self.style
            && let Some(bar) = bar.take()
        {
            bar.abandon();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        // A job that stopped half-way leaves its bar where it got to.
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
                if let Style::Bar(bar) = &mut self.style {
                    *bar = Some(new_bar(phase, total));
                }
            }
            Event::Advanced { done, .. } => {
                if let Style::Bar(Some(bar)) = &self.style {
                    bar.set_position(done);
                }
            }
            Event::Finished { phase } => match &mut self.style {
                Style::Silent => {}
                Style::Lines => Self::line(&finished(phase, self.total)),
                Style::Bar(bar) => {
                    if let Some(bar) = bar.take() {
                        bar.finish();
                    }
                }
            },
            Event::Note { text } => match &self.style {
                Style::Silent => {}
                Style::Bar(Some(bar)) => bar.println(text),
                Style::Bar(None) | Style::Lines => Self::line(&text),
            },
        }
    }

    fn stop_requested(&self) -> bool {
        self.stop.raised()
    }
}

/// Name of a phase for people.
fn phase_name(phase: Phase) -> &'static str {
    match phase {
        Phase::Backup => "backup",
        Phase::Erase => "erase",
        Phase::Write => "write",
        Phase::Verify => "verify",
        Phase::Commit => "commit",
        Phase::Read => "read",
    }
}

fn finished(phase: Phase, total: u64) -> String {
    if total == 0 {
        format!("{:7} done", phase_name(phase))
    } else {
        format!(
            "{:7} {:>9} done",
            phase_name(phase),
            super::units::kib(total)
        )
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
    bar.set_prefix(phase_name(phase));
    bar
}
