//! The lab's guests: which machine each is, and what is plugged in.

use crate::guest::Slot;

/// One guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Room {
    /// A ConnectX-3 Pro alone, no lockdown. The scenarios of a real card are those of this room.
    Plain,
    /// The same machine, for jobs that are killed.
    Kills,
    /// `lockdown=integrity`.
    Integrity,
    /// `lockdown=confidentiality`.
    Confidentiality,
    /// No IOMMU.
    NoIommu,
    /// Four cards: alone, with a sibling in its IOMMU group, in recovery mode, and one with the id of a VF.
    Crowd,
}

/// A card of a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plugged {
    /// Arguments of `sim create` after the file.
    pub create: &'static [&'static str],
    /// Whether it comes with the first of the small images.
    pub small: bool,
    /// Where it sits.
    pub slot: Slot,
    /// A device id that QEMU shows instead of the card's own.
    pub shown_as: Option<u16>,
}

const PRO: Plugged = Plugged {
    create: &["--board", "mcx312b"],
    small: false,
    slot: Slot::Alone,
    shown_as: None,
};

const ONE: &[Plugged] = &[PRO];

/// The small chip keeps twenty burns short: a backup reads all of it.
const KILLED: &[Plugged] = &[Plugged {
    create: &["--board", "mcx312b", "--part", "w25q80"],
    small: true,
    ..PRO
}];

const CROWD: &[Plugged] = &[
    PRO,
    Plugged {
        slot: Slot::WithSibling,
        ..PRO
    },
    Plugged {
        create: &["--board", "mcx311a", "--blank"],
        ..PRO
    },
    Plugged {
        // The VF of a ConnectX-3 Pro has the id of that of a ConnectX-3 (docs/linux.md#probe-of-mlx4_core).
        shown_as: Some(0x1004),
        ..PRO
    },
];

impl Room {
    /// All of them, those that take longest first: two run side by side.
    pub const ALL: [Room; 6] = [
        Room::Kills,
        Room::Plain,
        Room::Crowd,
        Room::Integrity,
        Room::Confidentiality,
        Room::NoIommu,
    ];

    /// Its name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Room::Plain => "plain",
            Room::Kills => "kills",
            Room::Integrity => "integrity",
            Room::Confidentiality => "confidentiality",
            Room::NoIommu => "no_iommu",
            Room::Crowd => "crowd",
        }
    }

    /// What is added to the kernel's command line.
    #[must_use]
    pub fn append(self) -> &'static str {
        match self {
            Room::Integrity => "lockdown=integrity",
            Room::Confidentiality => "lockdown=confidentiality",
            _ => "",
        }
    }

    /// Whether the machine has an IOMMU.
    #[must_use]
    pub fn iommu(self) -> bool {
        self != Room::NoIommu
    }

    /// The cards, in the order of their buses.
    #[must_use]
    pub fn cards(self) -> &'static [Plugged] {
        match self {
            Room::Crowd => CROWD,
            Room::Kills => KILLED,
            _ => ONE,
        }
    }
}
