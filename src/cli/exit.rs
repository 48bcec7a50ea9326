//! Exit codes: one table, the contract of the program's callers.

use serde::Serialize;

/// How a command ended. The numbers are part of the contract and never change meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// Failed; nothing changed on the card.
    Failed = 1,
    /// Nothing to do: the card already holds exactly this.
    NothingToDo = 2,
    /// No such card, or ambiguous.
    NoCard = 3,
    /// Refused by a check.
    Refused = 4,
    /// Host not ready, or the card is held by another program.
    NotReady = 5,
    /// Failed after erase began; the card still boots.
    FailedBoots = 6,
    /// Failed; the card needs `recover`.
    NeedsRecover = 7,
    /// Flashed, but the host could not be put back.
    HostNotRestored = 8,
    /// The flash was changed, and what would boot could not be read.
    OutcomeUnknown = 9,
    /// Wrong arguments.
    Usage = 64,
    /// Done, and the result could not be written to stdout.
    Stdout = 74,
    /// Interrupted before the first erase.
    Interrupted = 130,
}

impl Exit {
    /// Every code, in the order of the table.
    pub const ALL: [Self; 13] = [
        Self::Done,
        Self::Failed,
        Self::NothingToDo,
        Self::NoCard,
        Self::Refused,
        Self::NotReady,
        Self::FailedBoots,
        Self::NeedsRecover,
        Self::HostNotRestored,
        Self::OutcomeUnknown,
        Self::Usage,
        Self::Stdout,
        Self::Interrupted,
    ];

    /// The number the shell sees.
    #[must_use]
    pub fn code(self) -> u8 {
        self as u8
    }

    /// The row of the table, for `--help`, the manual page and the README.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed; nothing changed on the card",
            Self::NothingToDo => "nothing to do: the card already holds exactly this",
            Self::NoCard => "no such card, or ambiguous",
            Self::Refused => "refused by a check",
            Self::NotReady => "host not ready, or the card is held by another program",
            Self::FailedBoots => "failed after erase began; the card still boots",
            Self::NeedsRecover => "failed; the card needs `recover`",
            Self::HostNotRestored => "the host could not be put back: run `cx3flash host restore`",
            Self::OutcomeUnknown => "the flash was changed, and what would boot could not be read",
            Self::Usage => "wrong arguments",
            Self::Stdout => "done, and the result could not be written to stdout",
            Self::Interrupted => "interrupted before the first erase",
        }
    }
}

impl Serialize for Exit {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_u8(self.code())
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        exit.code().into()
    }
}

/// The table as text, one line per code.
#[must_use]
pub(super) fn table() -> String {
    Exit::ALL
        .iter()
        .map(|e| format!("  {:>3}  {}\n", e.code(), e.meaning()))
        .collect()
}
