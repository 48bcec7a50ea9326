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
