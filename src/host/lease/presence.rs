//! Whether the card of a journal is the one at its address.

use super::LeaseError;
use super::steps::Lease;
use crate::host::card::NotACard;
use crate::host::journal::JournalRecord;
use crate::host::{Bdf, Function, Host, PciCard, VFIO_PCI};
use std::fmt;

/// What is at the address of a journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    /// The card itself.
    Card,
    Gone,
    /// Another device, or another card.
    Other {
        was: String,
        is: String,
    },
}

impl fmt::Display for Presence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Card => f.write_str("the card is there"),
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
    /// An error when the device cannot be identified.
    pub(super) fn of(host: &Host, record: &JournalRecord) -> Result<Self, LeaseError> {
        let first = Self::read(host, record)?;
        // A reading that failed must not pass for a card that is gone, or for another card.
        if first == Self::Card || host.try_ids(record.bdf).is_err() {
            return Ok(Self::Card);
        }
        Self::read(host, record)
    }

    fn read(host: &Host, record: &JournalRecord) -> Result<Self, LeaseError> {
        let bdf = record.bdf;
        let other = |is| Self::Other {
            was: describe(record.device_id, record.subsystem, record.serial, record.slot.as_ref()),
            is,
        };
        let slot = host.slot(bdf);
        let since_reboot = is_before_reboot(host, record);
        match host.read_card(bdf) {
            Ok(card) if since_reboot && is_known(record, &card) => Ok(Self::Card),
            Ok(card) if is_same(record, &card, &slot) => Ok(Self::Card),
            Ok(card) => {
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

/// Where the card of a journal from before a reboot is now, when that is another address: a board that was
/// added or removed, or a setting of the firmware, renumbers the buses. Known by its serial number alone.
pub(super) fn moved_to(host: &Host, record: &JournalRecord) -> Option<Bdf> {
    if !is_before_reboot(host, record) || matches!(Presence::of(host, record), Ok(Presence::Card)) {
        return None;
    }
    let mut cards = host.cards().ok()?;
    cards.retain(|card| card.bdf != record.bdf && is_known(record, card));
    match cards.as_slice() {
        [one] => Some(one.bdf),
        _ => None,
    }
}

/// A boot id that cannot be read is no reboot.
fn is_before_reboot(host: &Host, record: &JournalRecord) -> bool {
    host.try_boot_id().is_ok_and(|now| now != record.boot_id)
}

/// Whether this is the card of the record by device and serial number. After a reboot that is enough: the
/// addresses of bridges may be others, and new firmware may show another subsystem id.
fn is_known(record: &JournalRecord, card: &PciCard) -> bool {
    card.function != Function::Virtual
        && record.device_id == card.device_id
        && record.serial.is_some()
        && record.serial == card.serial
}

/// Leaving recovery mode changes the ids. A serial number or a slot that is not known fits. The serial
/// number is the node GUID of the running image, so a job may have changed it: it does not count for a
/// device that still has the `driver_override` of a lease, which another card in the slot would not
/// have (docs/linux.md#binding).
fn is_same(record: &JournalRecord, card: &PciCard, slot: &Option<String>) -> bool {
    let leased = card.driver_override.as_deref() == Some(VFIO_PCI)
        || card.driver_override.is_some() && card.driver_override == record.original.driver;
    let recovery = |id| Function::of(id) == Some(Function::Recovery);
    let ids_fit = recovery(record.device_id)
        || recovery(card.device_id)
        || record.device_id == card.device_id && record.subsystem == card.subsystem;
    (leased || fits(&record.serial, &card.serial)) && fits(&record.slot, slot) && ids_fit
}

fn fits<T: PartialEq>(was: &Option<T>, is: &Option<T>) -> bool {
    was.is_none() || is.is_none() || was == is
}

fn describe(id: u16, subsystem: (u16, u16), serial: Option<u64>, slot: Option<&String>) -> String {
    let serial = serial.map_or_else(String::new, |s| format!(", serial {s:016x}"));
    let slot = slot.map_or_else(String::new, |slot| format!(", at {slot}"));
    format!("15b3:{id:04x}, subsystem {:04x}:{:04x}{serial}{slot}", subsystem.0, subsystem.1)
}
