//! A card borrowed from the host: looked at, leased, opened, closed, given back, in this order
//! (docs/linux.md#sequence-of-a-job).

use super::{
    BarAccess, GivenBack, Host, HostError, InUse, Lease, LeaseError, Mark, PciCard, PortReport,
    UseId, VfioCard,
};
use crate::card::CrSpace;
use std::cell::RefCell;
use std::rc::Rc;

/// What the user allows and prefers.
#[derive(Clone, Debug, Default)]
pub struct BorrowOptions {
    /// Uses of the card that are waived, by name.
    pub allow: Vec<UseId>,
    /// Way to BAR0; chosen by the card when not named.
    pub access: Option<BarAccess>,
}

/// How a borrowing ended.
#[derive(Debug)]
pub enum Ending {
    /// The card was on vfio-pci already, and still is: nothing had to be put back.
    Untouched,
    /// The host is as it was found.
    GivenBack(GivenBack),
    /// A card that left recovery mode: the kernel found it anew.
    Reenumerated(Box<PciCard>),
    /// Left on vfio-pci on purpose, journal kept: nothing on its flash boots.
    Left,
    /// Not put back; the journal is kept.
    Failed(HostError),
}

struct Inner {
    host: Host,
    card: PciCard,
    lease: Option<Lease>,
    vfio: VfioCard,
    ending: Option<Ending>,
    /// What the user must learn beside how it ended.
    warnings: Vec<String>,
    /// Semaphores of others that were freed, by number.
    freed: Vec<u8>,
}

/// A borrowed card; clones are handles on the same borrowing.
#[derive(Clone)]
pub struct Borrowed(Rc<RefCell<Inner>>);

/// Uses of `card` that `allow` does not waive.
#[must_use]
pub fn objections(host: &Host, card: &PciCard, allow: &[UseId]) -> Vec<InUse> {
    let mut uses = host.in_use(card);
    uses.retain(|used| !(used.id.waivable() && allow.contains(&used.id)));
    uses
}

impl Borrowed {
    /// Look who uses the card, take it from its driver, open it through VFIO. When opening fails the
    /// host is put back before this returns.
    ///
    /// # Errors
    /// [`HostError`]; the host is as it was, or the error says that it is not.
    pub fn take(host: &Host, card: PciCard, options: &BorrowOptions) -> Result<Self, HostError> {
        Self::take_with(host, card, options, &mut |_| {})
    }

    /// The same, with a look at the card between binding and opening, when its group is still free.
    ///
    /// # Errors
    /// As [`Borrowed::take`].
    pub fn take_with(
        host: &Host,
        card: PciCard,
        options: &BorrowOptions,
        bound: &mut dyn FnMut(&PciCard),
    ) -> Result<Self, HostError> {
        let bdf = card.bdf;
        let uses = objections(host, &card, &options.allow);
        if !uses.is_empty() {
            return Err(HostError::InUse { bdf, uses });
        }
        if card.iommu_group.is_none() {
            return Err(HostError::NoIommu { bdf });
        }
        let mut lease = Lease::take(host, &card, &options.allow)?;
        // From here on a killed process leaves semaphores of ours behind.
        lease.mark(Mark::SemaphoresHeld(true))?;
        let card = host.card(bdf)?;
        bound(&card);
        match VfioCard::open(host, &card, options.access) {
            Ok(vfio) => Ok(Self::of(host, card, lease, vfio)),
            Err(error) => {
                if let Err(back) = lease.give_back() {
                    tracing::error!(%bdf, %error, "VFIO refused");
                    return Err(back.into());
                }
                Err(error.into())
            }
        }
    }

    /// Open a card that a dead process left on vfio-pci.
    ///
    /// # Errors
    /// [`HostError`]; the journal is kept.
    pub fn resume(host: &Host, lease: Lease, access: Option<BarAccess>) -> Result<Self, HostError> {
        let card = host.card(lease.bdf())?;
        let vfio = VfioCard::open(host, &card, access)?;
        Ok(Self::of(host, card, lease, vfio))
    }

    fn of(host: &Host, card: PciCard, lease: Lease, vfio: VfioCard) -> Self {
        Self(Rc::new(RefCell::new(Inner {
            host: host.clone(),
            card,
            lease: Some(lease),
            vfio,
            ending: None,
            warnings: Vec::new(),
            freed: Vec::new(),
        })))
    }

    /// The card as it was looked at after binding.
    #[must_use]
    pub fn card(&self) -> PciCard {
        self.0.borrow().card.clone()
    }

    /// The way its registers are reached.
    #[must_use]
    pub fn access(&self) -> BarAccess {
        self.0.borrow().vfio.access()
    }

    /// The port above the card.
    #[must_use]
    pub fn port_above(&self) -> Option<PortReport> {
        let inner = self.0.borrow();
        inner.host.port_above(&inner.card)
    }

    /// The road to its registers; closed with the borrowing.
    #[must_use]
    pub fn space(&self) -> Box<dyn CrSpace> {
        self.0.borrow().vfio.space()
    }

    /// Driver it was taken from and will go back to; `None` when there was none, or when it was on
    /// vfio-pci already.
    #[must_use]
    pub fn original_driver(&self) -> Option<String> {
        let inner = self.0.borrow();
        let lease = inner.lease.as_ref()?;
        lease
            .original()
            .driver
            .clone()
            .filter(|driver| driver != super::VFIO_PCI)
    }

    /// It was on vfio-pci when it was found: a passthrough host.
    #[must_use]
    pub fn was_on_vfio(&self) -> bool {
        let inner = self.0.borrow();
        inner
            .lease
            .as_ref()
            .is_some_and(|lease| lease.original().driver.as_deref() == Some(super::VFIO_PCI))
    }

    /// Write down what whoever puts the host back must know, synced.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub fn mark(&self, mark: Mark) -> Result<(), HostError> {
        if let Some(lease) = &mut self.0.borrow_mut().lease {
            lease.mark(mark)?;
        }
        Ok(())
    }

    /// Something the user must learn, whatever the outcome.
    pub fn warn(&self, text: String) {
        tracing::warn!("{text}");
        self.0.borrow_mut().warnings.push(text);
    }

    /// What was said by [`Borrowed::warn`].
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        self.0.borrow().warnings.clone()
    }

    /// A semaphore that somebody else had left taken was freed.
    pub fn freed(&self, number: u8, text: String) {
        self.0.borrow_mut().freed.push(number);
        self.warn(text);
    }

    /// Semaphores reported by [`Borrowed::freed`].
    #[must_use]
    pub fn freed_semaphores(&self) -> Vec<u8> {
        self.0.borrow().freed.clone()
    }

    /// It ended, one way or another.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.0.borrow().ending.is_some()
    }

    /// Look at how it ended.
    pub fn with_ending<T>(&self, look: impl FnOnce(Option<&Ending>) -> T) -> T {
        look(self.0.borrow().ending.as_ref())
    }

    /// Close VFIO and give the card back. `again`: the chip was reset out of recovery mode, so the
    /// kernel must forget it and find it anew. Does nothing the second time.
    pub fn end(&self, again: bool) {
        let mut inner = self.0.borrow_mut();
        if inner.ending.is_some() {
            return;
        }
        let ending = inner.finish(again).unwrap_or_else(|error| {
            tracing::error!(bdf = %inner.card.bdf, error = ?error, "the host is not as it was");
            Ending::Failed(error)
        });
        inner.ending = Some(ending);
    }
}

impl Inner {
    fn finish(&mut self, again: bool) -> Result<Ending, HostError> {
        self.vfio.close()?;
        let Some(mut lease) = self.lease.take() else {
            return Ok(Ending::Untouched);
        };
        lease.mark(Mark::SemaphoresHeld(false))?;
        let ending = if again {
            Ending::Reenumerated(Box::new(lease.reenumerate()?))
        } else {
            give_back(lease)?
        };
        self.card = self.host.card(self.card.bdf)?;
        Ok(ending)
    }
}

/// Give back a card that is not open.
///
/// # Errors
/// [`LeaseError`]; the journal is kept.
pub fn give_back(mut lease: Lease) -> Result<Ending, LeaseError> {
    let home = lease.original().driver.as_deref();
    if lease.marks().boots == Some(false) && home.is_some_and(|d| d != super::VFIO_PCI) {
        // A driver that meets dead firmware takes a minute to give up, and may take the kernel with
        // it (docs/linux.md#failures-of-a-rebind).
        lease.leave();
        return Ok(Ending::Left);
    }
    let changed = lease.changed_host();
    let back = lease.give_back()?;
    Ok(if changed {
        Ending::GivenBack(back)
    } else {
        Ending::Untouched
    })
}
