//! The one question this program asks.

use super::progress::StopFlag;
use std::io::{self, BufRead, IsTerminal, Write};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

/// What the user said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// `y` or `yes`.
    Yes,
    /// Anything else, end of input included.
    No,
    /// SIGINT or SIGTERM while we waited.
    Interrupted,
    /// There is no terminal to ask on.
    NobodyThere,
}

/// Ask `[y/N]` on stderr.
pub(super) fn ask(question: &str, stop: &StopFlag) -> Said {
    if !io::stdin().is_terminal() {
        return Said::NobodyThere;
    }
    let mut stderr = io::stderr().lock();
    let _ = write!(stderr, "{question} [y/N] ").and_then(|()| stderr.flush());
    drop(stderr);
    // The handlers restart a blocked read, so the read waits in a thread of its own and the flag is
    // looked at here. After an interruption the process ends and the thread with it.
    let (send, receive) = channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        let read = io::stdin().lock().read_line(&mut line);
        let _ = send.send(read.map(|_| line));
    });
    loop {
        match receive.recv_timeout(Duration::from_millis(50)) {
            Ok(Ok(line)) => return answer(&line),
            Ok(Err(_)) | Err(RecvTimeoutError::Disconnected) => return Said::No,
            Err(RecvTimeoutError::Timeout) if stop.raised() => return Said::Interrupted,
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

fn answer(line: &str) -> Said {
    match line.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Said::Yes,
        _ => Said::No,
    }
}

#[cfg(test)]
mod tests {
    use super::{Said, answer};

    #[test]
    fn silence_counts_as_yes() {
        for text in ["", "\n", "n", "no", "yess", "j"] {
            assert_eq!(answer(text), Said::No, "{text:?}");
        }
        for text in ["y\n", "YES", " y "] {
            assert_eq!(answer(text), Said::Yes, "{text:?}");
        }
    }
}
