//! Where the card of a journal is (docs/linux.md#the-card-of-a-journal).

use super::LeaseError;
use super::error::one_of;
use super::steps::Lease;
use crate::card::DeviceType;
use crate::host::card::NotACard;
use crate::host::journal::JournalRecord;
use crate::host::{Bdf, Function, Host, PciCard, VFIO_PCI};
use std::fmt;

/// Where the card of a journal is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    /// At its address.
    Card,
    /// At another address.
    Moved(Bdf),
    /// It may be one of these cards, and which one cannot be known.
    Unclear(Vec<Bdf>),
    /// Nowhere, and there is nothing at its address.
    Gone,
    /// Nowhere, and another device, or another card, is at its address.
    Other { was: String, is: String },
}

impl fmt::Display for Presence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Card => f.write_str("the card is there"),
            Self::Moved(to) => write!(f, "the card is at {to} now"),
            Self::Unclear(cards) => write!(f, "it may belong to {}", one_of(cards)),
            Self::Gone => f.write_str("the card is gone"),
            Self::Other { was, is } => {
                write!(f, "another card is there now ({is}; the journal's is {was})")
            }
        }
    }
}

impl Lease {
    pub(super) fn presence(&self) -> Result<Presence, LeaseError> {
        Presence::of(&self.host, &self.record)
    }

    /// Whether the card that was borrowed is at its address.
    pub fn card_is_here(&self) -> bool {
        matches!(self.presence(), Ok(Presence::Card))
    }
}

impl Presence {
    /// An error when the device at the address cannot be identified.
    pub(super) fn of(host: &Host, record: &JournalRecord) -> Result<Self, LeaseError> {
        let first = Self::read(host, record)?;
        // A reading that failed must not pass for a card that is gone, or for another card.
        if first == Self::Card || host.try_ids(record.bdf).is_err() {
            return Ok(Self::Card);
        }
        Self::read(host, record)
    }

    fn read(host: &Host, record: &JournalRecord) -> Result<Self, LeaseError> {
        let cards = host.cards()?;
        let fits = cards.iter().filter_map(|card| Some((Fit::of(host, record, card)?, card.bdf)));
        let mut fits: Vec<(Fit, Bdf)> = fits.collect();
        if fits.contains(&(Fit::Exact, record.bdf)) {
            return Ok(Self::Card);
        }
        // One that may be any card of its kind does not count beside those that show more.
        if fits.iter().any(|(fit, _)| *fit != Fit::Possible) {
            fits.retain(|(fit, _)| *fit != Fit::Possible);
        }
        match fits[..] {
            [] => Self::absent(host, record),
            [(Fit::Possible, _)] | [_, _, ..] => {
                Ok(Self::Unclear(fits.into_iter().map(|(_, bdf)| bdf).collect()))
            }
            [(_, bdf)] if bdf == record.bdf => Ok(Self::Card),
            [(_, bdf)] => Ok(Self::Moved(bdf)),
        }
    }

    fn absent(host: &Host, record: &JournalRecord) -> Result<Self, LeaseError> {
        let bdf = record.bdf;
        let other = |is| Self::Other {
            was: describe(record.device_id, record.subsystem, record.serial, record.slot.as_ref()),
            is,
        };
        match host.read_card(bdf) {
            Ok(card) => {
                let slot = host.slot(bdf);
                Ok(other(describe(card.device_id, card.subsystem, card.serial, slot.as_ref())))
            }
            Err(NotACard::Gone) => Ok(Self::Gone),
            Err(NotACard::OtherDevice) => Ok(other(host.describe(bdf))),
            Err(NotACard::Odd { .. }) => match host.card(bdf) {
                Ok(_) => Ok(Self::Card),
                Err(error) => Err(error.into()),
            },
        }
    }
}

/// What shows that a card is the one of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fit {
    /// Nothing shows that it is another one.
    Possible,
    /// It is in the slot of the record, and its serial number is unknown.
    Slot,
    /// It has the serial number.
    Serial,
    /// It has the serial number, and is at the address and in the slot of the record; or the kernel did
    /// not enumerate it since, and a job may have changed the serial number.
    Exact,
}

impl Fit {
    /// `None`: it is another card.
    fn of(host: &Host, record: &JournalRecord, card: &PciCard) -> Option<Self> {
        // A virtual function has no kind.
        let kind = |id| DeviceType::with_pci_id(id).map(|device| device.hw_id);
        let recovery = [record.device_id, card.device_id]
            .iter()
            .any(|id| Function::of(*id) == Some(Function::Recovery));
        let same_device = if recovery {
            kind(card.device_id).is_some() && kind(card.device_id) == kind(record.device_id)
        } else {
            card.function != Function::Virtual && card.device_id == record.device_id
        };
        if !same_device {
            return None;
        }
        let here = card.bdf == record.bdf;
        let in_slot = match (&record.slot, host.slot(card.bdf)) {
            (Some(was), Some(is)) => place(was).eq(place(&is)),
            // Unknown.
            _ => here,
        };
        let same_boot = !is_before_reboot(host, record);
        // New firmware shows another subsystem id once the kernel enumerates the card again.
        let same_board = recovery || !same_boot || card.subsystem == record.subsystem;
        if here && in_slot && same_boot && same_board && is_leased(record, card) {
            return Some(Self::Exact);
        }
        let knows = |serial| record.serial == Some(serial) || record.new_serials.contains(&serial);
        match card.serial {
            Some(serial) if knows(serial) => Some(match (here, in_slot && same_board) {
                (true, true) => Self::Exact,
                (true, false) if same_boot && !in_slot => Self::Possible,
                _ => Self::Serial,
            }),
            // Within a boot a card changes its address only by hand, and then its serial number counts.
            _ if same_boot && !here => None,
            Some(_) if record.serial.is_some() && !recovery => {
                // A job may have changed the serial number to one that is not in the record.
                (in_slot && same_board && record.marks.flash_touched).then_some(Self::Possible)
            }
            _ if !same_board => None,
            _ if in_slot => Some(Self::Slot),
            _ => Some(Self::Possible),
        }
    }
}

/// A boot id that cannot be read is no reboot.
fn is_before_reboot(host: &Host, record: &JournalRecord) -> bool {
    host.try_boot_id().is_ok_and(|now| now != record.boot_id)
}

/// Whether the device still has the driver or the `driver_override` of the lease, so that the kernel did not
/// enumerate it since (docs/linux.md#binding).
fn is_leased(record: &JournalRecord, card: &PciCard) -> bool {
    let now = &card.driver_override;
    let ours = now.as_deref() == Some(VFIO_PCI) || *now == record.original.driver;
    let is_new = now.is_some() && *now != record.original.driver_override;
    // Nothing is owed to a card that is on vfio-pci always, but what is known of its flash.
    ours && is_new || record.original.on_vfio() && card.on_vfio()
}

/// The root bus, and the device and function numbers from there to the card. Bus numbers may be others
/// after a reboot.
fn place(slot: &str) -> impl Iterator<Item = &str> {
    let (root, below) = slot.split_once('/').unwrap_or((slot, ""));
    let numbers = |part: &'_ str| part.rfind(':').map_or(0, |colon| colon + 1);
    std::iter::once(root).chain(below.split('/').map(move |part| &part[numbers(part)..]))
}

fn describe(id: u16, subsystem: (u16, u16), serial: Option<u64>, slot: Option<&String>) -> String {
    let serial = serial.map_or_else(String::new, |s| format!(", serial {s:016x}"));
    let slot = slot.map_or_else(String::new, |slot| format!(", at {slot}"));
    format!("15b3:{id:04x}, subsystem {:04x}:{:04x}{serial}{slot}", subsystem.0, subsystem.1)
}
