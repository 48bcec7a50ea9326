//! The lab's guests: machine, kernel command line and cards of each.

use crate::guest::CardSlot;

/// One guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum GuestKind {
    /// A ConnectX-3 Pro alone with small images, no lockdown. A host with a real card runs the scenarios of this
    /// guest.
    Plain,
    /// The same machine, for kills and failures at steps on the host.
    Kills,
    /// The same machine, for kills inside a burn, which take as long as all of [`GuestKind::Plain`].
    KilledBurns,
    /// The same machine, whose card has 2 MiB and images of real size.
    FullSize,
    /// `lockdown=integrity`.
    Integrity,
    /// `lockdown=confidentiality`.
    Confidentiality,
    /// No IOMMU.
    NoIommu,
    /// Four cards: alone, with a sibling in its IOMMU group, in recovery mode, and one with the id
    /// of a VF.
    SeveralCards,
}

/// A card of a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CardSetup {
    /// Arguments of `sim create` after the file.
    pub create: &'static [&'static str],
    /// It comes with the first of the small images.
    pub small: bool,
    pub slot: CardSlot,
    /// A device id that QEMU shows instead of the card's own.
    pub shown_as: Option<u16>,
}

/// With the images of the board on 2 MiB, as on real cards.
const FULL_SIZE: CardSetup = CardSetup {
    create: &["--board", "mcx312b"],
    small: false,
    slot: CardSlot::Alone,
    shown_as: None,
};

/// A chip of 1 MiB with small images: most scenarios read all of it, 16 bytes a gateway command.
const PRO: CardSetup =
    CardSetup { create: &["--board", "mcx312b", "--part", "w25q80"], small: true, ..FULL_SIZE };

const SEVERAL: &[CardSetup] = &[
    PRO,
    CardSetup { slot: CardSlot::WithSibling, ..PRO },
    CardSetup {
        create: &["--board", "mcx311a", "--part", "w25q80", "--blank"],
        small: false,
        ..PRO
    },
    CardSetup {
        // The VF of a ConnectX-3 Pro has the id of that of a ConnectX-3
        // (docs/linux.md#probe-of-mlx4_core).
        shown_as: Some(0x1004),
        ..PRO
    },
];

impl GuestKind {
    /// Longest first: two run side by side.
    pub const ALL: [GuestKind; 8] = [
        GuestKind::KilledBurns,
        GuestKind::Plain,
        GuestKind::Kills,
        GuestKind::FullSize,
        GuestKind::SeveralCards,
        GuestKind::Confidentiality,
        GuestKind::Integrity,
        GuestKind::NoIommu,
    ];

    /// Its name in reports and on the command line of the tests.
    pub fn name(self) -> &'static str {
        self.row().0
    }

    /// Added to the kernel's command line.
    pub fn append(self) -> &'static str {
        self.row().1
    }

    /// The cards, in the order of their buses.
    pub fn cards(self) -> &'static [CardSetup] {
        self.row().2
    }

    pub fn has_iommu(self) -> bool {
        self != GuestKind::NoIommu
    }

    fn row(self) -> (&'static str, &'static str, &'static [CardSetup]) {
        match self {
            GuestKind::Plain => ("plain", "", &[PRO]),
            GuestKind::Kills => ("kills", "", &[PRO]),
            GuestKind::KilledBurns => ("killed_burns", "", &[PRO]),
            GuestKind::FullSize => ("full_size", "", &[FULL_SIZE]),
            GuestKind::Integrity => ("integrity", "lockdown=integrity", &[PRO]),
            GuestKind::Confidentiality => ("confidentiality", "lockdown=confidentiality", &[PRO]),
            GuestKind::NoIommu => ("no_iommu", "", &[PRO]),
            GuestKind::SeveralCards => ("several_cards", "", SEVERAL),
        }
    }
}
