//! Exit codes.

use crate::flash::Boots;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;
use std::borrow::Cow;

/// Exit code of the program. The numbers are part of the contract and never change meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Exit {
    Done = 0,
    Failed = 1,
    NothingToDo = 2,
    NoCard = 3,
    Refused = 4,
    NotReady = 5,
    StillBoots = 6,
    NeedsRecover = 7,
    HostNotRestored = 8,
    OutcomeUnknown = 9,
    Usage = 64,
    Stdout = 74,
    Interrupted = 130,
}

impl Exit {
    /// Every exit code with its meaning, for `--help`, the manual page and the README.
    pub const TABLE: [(Self, &'static str); 13] = [
        (Self::Done, "done"),
        (Self::Failed, "failed; nothing changed on the card"),
        (Self::NothingToDo, "nothing to do: the card already holds exactly this"),
        (Self::NoCard, "no such card, or ambiguous"),
        (Self::Refused, "refused by a check"),
        (Self::NotReady, "host not ready, or the card is held by another program"),
        (Self::StillBoots, "failed after erase began; the card still boots"),
        (Self::NeedsRecover, "failed; the card needs `recover`"),
        (Self::HostNotRestored, "the host could not be restored: run `cx3flash host restore`"),
        (Self::OutcomeUnknown, "the flash was changed, and what would boot could not be read"),
        (Self::Usage, "wrong arguments, or a question without a terminal and without `--yes`"),
        (Self::Stdout, "done, and the result could not be written to stdout"),
        (Self::Interrupted, "interrupted before the first erase"),
    ];

    /// The number the shell sees.
    pub fn code(self) -> u8 {
        self as u8
    }

    pub fn meaning(self) -> &'static str {
        let row = Self::TABLE.iter().find(|(exit, _)| *exit == self);
        row.map_or("", |(_, meaning)| meaning)
    }

    /// From the best to the worst.
    const ORDER: [Self; 13] = [
        Self::NothingToDo,
        Self::Done,
        Self::Stdout,
        Self::Refused,
        Self::NotReady,
        Self::NoCard,
        Self::Failed,
        Self::Usage,
        Self::Interrupted,
        Self::StillBoots,
        Self::HostNotRestored,
        Self::OutcomeUnknown,
        Self::NeedsRecover,
    ];

    /// How bad it is among several.
    pub fn rank(self) -> usize {
        Self::ORDER.iter().position(|exit| *exit == self).unwrap_or(Self::ORDER.len())
    }

    /// A job on several cards ends at a card with this exit code: its flash or its host may not be as it was, or
    /// the user ended it. Before anything was changed the next card is as good as before.
    pub fn ends_all(self) -> bool {
        self.rank() >= Self::Interrupted.rank()
    }

    /// The exit code of a job that changed the flash and failed.
    pub(super) fn changed(boots: Boots) -> Self {
        match boots {
            Boots::OldImage | Boots::NewImage | Boots::EitherImage => Self::StillBoots,
            Boots::Nothing => Self::NeedsRecover,
            Boots::Unknown => Self::OutcomeUnknown,
        }
    }
}

impl Serialize for Exit {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_u8(self.code())
    }
}

impl JsonSchema for Exit {
    fn schema_name() -> Cow<'static, str> {
        "Exit".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let codes = Self::TABLE.map(|(exit, _)| exit.code());
        json_schema!({ "description": "The exit code of the program.", "enum": codes })
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        exit.code().into()
    }
}

#[cfg(test)]
mod tests {
    use super::Exit;

    #[test]
    fn several_cards_end_where_one_may_not_be_as_it_was() {
        let ending = Exit::TABLE.map(|(exit, _)| exit).into_iter().filter(|exit| exit.ends_all());
        let codes: Vec<u8> = ending.map(Exit::code).collect();
        assert_eq!(codes, [6, 7, 8, 9, 130]);
        assert!(Exit::TABLE.iter().all(|(exit, _)| exit.rank() < Exit::ORDER.len()));
    }
}
