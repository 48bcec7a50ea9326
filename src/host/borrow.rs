//! A borrowed card: in-use check, lease, open, close, give back, in this order
//! (docs/linux.md#sequence-of-a-job).

use super::{
    Awake, BarAccess, Bdf, DiscoverError, Host, InUse, Lease, LeaseError, Mark, PciCard,
    PortReport, UseId, VFIO_PCI, VfioCard, VfioError,
};
use crate::card::{CrSpace, HwKey};
use crate::flash::trace::{TraceMark, TraceRecorder};
use std::cell::RefCell;
use std::rc::Rc;

/// The card cannot be used, or the host cannot be restored.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    #[error(transparent)]
    Discover(#[from] DiscoverError),
    /// The card is in use, and not every use was waived by its id.
    #[error("{bdf} is in use: {}", list(.uses))]
    InUse {
        bdf: Bdf,
        /// Every use that was not waived.
        uses: Vec<InUse>,
    },
    #[error("{bdf} has no IOMMU group: the IOMMU is off in the firmware or the kernel")]
    NoIommu { bdf: Bdf },
    #[error(transparent)]
    Lease(#[from] LeaseError),
    #[error(transparent)]
    Vfio(#[from] VfioError),
}

fn list(uses: &[InUse]) -> String {
    let lines: Vec<String> =
        uses.iter().map(|used| format!("{}: {}", used.id.name(), used.detail)).collect();
    lines.join("; ")
}

#[derive(Clone, Debug, Default)]
pub struct BorrowOptions {
    /// Uses of the card that are waived.
    pub allow: Vec<UseId>,
    /// Register access; chosen by the card when `None`.
    pub access: Option<BarAccess>,
    /// The owner's key for a locked card.
    pub key: Option<HwKey>,
    /// Where accesses are recorded.
    pub trace: Option<TraceRecorder>,
}

/// How a borrowing ended.
#[derive(Debug)]
pub enum Ending {
    /// The host is as it was, but for what these messages name.
    Restored(Vec<String>),
    /// Left on vfio-pci because nothing on its flash boots; the journal is kept.
    Left,
    /// Left on vfio-pci because no firmware runs, whatever the flash holds; the journal is kept.
    NoFirmware,
    /// Not restored; the journal is kept.
    Failed(HostError),
}

struct Inner {
    host: Host,
    card: PciCard,
    lease: Lease,
    vfio: VfioCard,
    ending: Option<Ending>,
    /// Messages for the user, whatever the ending.
    warnings: Vec<String>,
    /// Numbers of semaphores of others that were freed.
    freed: Vec<u8>,
    trace: Option<TraceRecorder>,
}

/// A borrowed card. Clones refer to the same borrowing.
#[derive(Clone)]
pub struct Borrowed(Rc<RefCell<Inner>>);

/// Uses of `card` that `allow` does not waive.
pub fn objections(host: &Host, card: &PciCard, allow: &[UseId]) -> Vec<InUse> {
    let mut uses = host.in_use(card);
    uses.retain(|used| !(used.id.waivable() && allow.contains(&used.id)));
    uses
}

impl Borrowed {
    /// Checks who uses the card, takes it from its driver and opens it through VFIO. If that fails,
    /// the host is restored before this returns, unless [`LeaseError::host_changed`]. `bound` is
    /// called between binding and opening, when the group is still free.
    pub fn take(
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
        let trace = options.trace.as_ref();
        record_taken(trace, &lease);
        match open(host, &mut lease, options.access, bound) {
            Ok((card, vfio)) => Ok(Self::of(host, card, lease, vfio, trace.cloned())),
            Err(error) => Err(lease.undo(error)),
        }
    }

    /// Opens a card that a dead process left on vfio-pci. On an error the lease is handed back.
    pub fn resume(host: &Host, lease: Lease) -> Result<Self, Box<(Lease, HostError)>> {
        let opened = host.card(lease.bdf()).map_err(HostError::from).and_then(|card| {
            let vfio = VfioCard::open(host, &card, None)?;
            Ok((card, vfio))
        });
        match opened {
            Ok((card, vfio)) => Ok(Self::of(host, card, lease, vfio, None)),
            Err(error) => Err(Box::new((lease, error))),
        }
    }

    pub(super) fn of(
        host: &Host,
        card: PciCard,
        mut lease: Lease,
        vfio: VfioCard,
        trace: Option<TraceRecorder>,
    ) -> Self {
        let warnings = lease.take_warnings();
        Self(Rc::new(RefCell::new(Inner {
            host: host.clone(),
            card,
            lease,
            vfio,
            ending: None,
            warnings,
            freed: Vec::new(),
            trace,
        })))
    }

    /// The card as it was after binding.
    pub fn card(&self) -> PciCard {
        self.0.borrow().card.clone()
    }

    pub fn port_above(&self) -> Option<PortReport> {
        let inner = self.0.borrow();
        inner.host.port_above(&inner.card)
    }

    /// Dwords of its configuration space by offset.
    pub fn configuration(&self) -> Vec<(u16, u32)> {
        let inner = self.0.borrow();
        inner.host.configuration(inner.card.bdf)
    }

    /// Its registers; closed when the borrowing ends.
    pub fn space(&self) -> Box<dyn CrSpace> {
        self.0.borrow().vfio.space()
    }

    /// Driver it was taken from and goes back to; `None` when there was none, or when it was on
    /// vfio-pci already.
    pub fn original_driver(&self) -> Option<String> {
        let driver = self.0.borrow().lease.original().driver.clone();
        driver.filter(|driver| driver != VFIO_PCI)
    }

    /// Whether it was on vfio-pci already, as on a passthrough host.
    pub fn was_on_vfio(&self) -> bool {
        self.0.borrow().lease.original().on_vfio()
    }

    /// Adds a fact about the card to the journal before it becomes true; synced.
    pub fn mark(&self, mark: Mark) -> Result<(), HostError> {
        let mut inner = self.0.borrow_mut();
        if inner.ending.is_none() {
            inner.lease.mark(mark)?;
        }
        Ok(())
    }

    /// Adds a fact about the card that is true already; a failing disk does not change it.
    pub fn note(&self, mark: Mark) {
        let mut inner = self.0.borrow_mut();
        if inner.ending.is_none() {
            inner.lease.note(mark);
        }
    }

    /// Sleep and shutdown of the host wait until the result is dropped.
    pub fn keep_awake(&self) -> Option<Awake> {
        let inner = self.0.borrow();
        inner.host.keep_awake(&format!("the firmware of card {} is written", inner.card.bdf))
    }

    /// Adds a message for the user, whatever the ending.
    pub fn warn(&self, text: String) {
        tracing::warn!("{text}");
        self.0.borrow_mut().warnings.push(text);
    }

    pub fn warnings(&self) -> Vec<String> {
        self.0.borrow().warnings.clone()
    }

    /// Reports that a semaphore that another program had left taken was freed.
    pub fn freed(&self, number: u8, text: String) {
        self.0.borrow_mut().freed.push(number);
        self.warn(text);
    }

    /// Semaphores reported by [`Borrowed::freed`].
    pub fn freed_semaphores(&self) -> Vec<u8> {
        self.0.borrow().freed.clone()
    }

    pub fn has_ended(&self) -> bool {
        self.0.borrow().ending.is_some()
    }

    pub fn with_ending<T>(&self, read: impl FnOnce(Option<&Ending>) -> T) -> T {
        read(self.0.borrow().ending.as_ref())
    }

    /// Closes VFIO and gives the card back. `reenumerate`: the chip left recovery mode by a reset,
    /// so the kernel must remove it and enumerate it again. Does nothing the second time.
    pub fn end(&self, reenumerate: bool) {
        let mut inner = self.0.borrow_mut();
        if inner.ending.is_some() {
            return;
        }
        let ending = inner.finish(reenumerate).unwrap_or_else(|error| {
            tracing::error!(bdf = %inner.card.bdf, error = ?error, "the host was not restored");
            Ending::Failed(error)
        });
        inner.ending = Some(ending);
    }
}

/// The bindings of a card that was taken.
fn record_taken(trace: Option<&TraceRecorder>, lease: &Lease) {
    let Some(trace) = trace else {
        return;
    };
    let original = lease.original();
    if let Some(driver) = original.driver.clone().filter(|_| !original.on_vfio()) {
        trace.mark(TraceMark::Unbind { driver });
    }
    trace.mark(TraceMark::Bind { driver: VFIO_PCI.to_owned() });
}

impl Inner {
    fn record(&self, mark: TraceMark) {
        if let Some(trace) = &self.trace {
            trace.mark(mark);
        }
    }

    fn finish(&mut self, reenumerate: bool) -> Result<Ending, HostError> {
        self.vfio.close()?;
        self.record(TraceMark::Close);
        let ending = self.restore(reenumerate);
        self.lease.unlock();
        ending
    }

    fn restore(&mut self, reenumerate: bool) -> Result<Ending, HostError> {
        self.lease.note(Mark::SemaphoresHeld(false));
        let ending = if reenumerate {
            self.lease.reenumerate().map(Ending::Restored)
        } else {
            give_back(&mut self.lease)
        };
        self.warnings.append(&mut self.lease.take_warnings());
        let ending = ending?;
        // The card may have another address now, where its journal has followed it.
        let bdf = self.lease.bdf();
        if let Some(driver) = self.host.driver_of(bdf) {
            self.record(TraceMark::Bind { driver });
        }
        match self.host.card(bdf) {
            Ok(card) => self.card = card,
            // It was removed; what is not its own is restored.
            Err(_) => {
                self.card.driver = None;
                self.card.netdevs.clear();
            }
        }
        Ok(ending)
    }
}

fn open(
    host: &Host,
    lease: &mut Lease,
    access: Option<BarAccess>,
    bound: &mut dyn FnMut(&PciCard),
) -> Result<(PciCard, VfioCard), HostError> {
    // A process that is killed from here on leaves its semaphores taken.
    lease.mark(Mark::SemaphoresHeld(true))?;
    let card = host.card(lease.bdf())?;
    bound(&card);
    let vfio = VfioCard::open(host, &card, access)?;
    Ok((card, vfio))
}

/// Gives back a card that is not open. On an error the journal is kept.
pub fn give_back(lease: &mut Lease) -> Result<Ending, LeaseError> {
    if lease.card_is_here() && lease.must_stay() {
        // A driver that meets dead firmware fails after a minute and may crash the kernel
        // (docs/linux.md#failures-of-a-rebind).
        lease.leave();
        return Ok(if lease.marks().no_firmware { Ending::NoFirmware } else { Ending::Left });
    }
    Ok(Ending::Restored(lease.give_back()?))
}
