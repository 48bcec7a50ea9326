//! Register access between a job and a simulated card that a test watches or spoils.

use cx3flash::card::{CrError, CrOffset, CrSpace};
use cx3flash::sim::SimCard;

/// What a test does with the accesses of a job; by default nothing.
pub trait Intercept {
    fn read(&mut self, card: &mut dyn CrSpace, at: CrOffset) -> Result<u32, CrError> {
        card.read(at)
    }

    fn write(&mut self, card: &mut dyn CrSpace, at: CrOffset, value: u32) -> Result<(), CrError> {
        card.write(at, value)
    }
}

struct Intercepted<I> {
    card: Box<dyn CrSpace>,
    by: I,
}

/// Access to `card` through BAR0, by way of `by`.
pub fn intercepted(card: &SimCard, by: impl Intercept + 'static) -> Box<dyn CrSpace> {
    Box::new(Intercepted { card: card.bar0(), by })
}

impl<I: Intercept> CrSpace for Intercepted<I> {
    fn read(&mut self, at: CrOffset) -> Result<u32, CrError> {
        self.by.read(&mut *self.card, at)
    }

    fn write(&mut self, at: CrOffset, value: u32) -> Result<(), CrError> {
        self.by.write(&mut *self.card, at, value)
    }

    fn posts_writes(&self) -> bool {
        self.card.posts_writes()
    }

    fn pci_device_id(&mut self) -> Result<u16, CrError> {
        self.card.pci_device_id()
    }

    fn back_after_reset(&mut self) -> Result<bool, CrError> {
        self.card.back_after_reset()
    }
}
