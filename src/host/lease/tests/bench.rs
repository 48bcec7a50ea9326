//! A borrowed card without VFIO: the kernel of these tests, and registers that the test brings.

use super::fake::{GUARD, Kernel, SIBLING};
use super::presence::pull;
use crate::card::CrSpace;
use crate::host::{Borrowed, Ending, Host, VfioCard};
use std::rc::Rc;

/// A host with a card of two ports on mlx4_core, a SATA controller in its group, and a virtual function.
pub(crate) struct BorrowedBench(Rc<Kernel>);

impl BorrowedBench {
    pub(crate) fn new() -> Self {
        Self(Kernel::crowded())
    }

    /// Takes the card; its registers are those of `space`.
    pub(crate) fn borrow(&self, space: Box<dyn CrSpace>) -> Borrowed {
        let lease = self.0.take().unwrap();
        Borrowed::of(&self.0.host(), self.0.card(), lease, VfioCard::over(space), None)
    }

    /// The host, as programs see it.
    pub(crate) fn host(&self) -> Host {
        self.0.host()
    }

    /// Takes the card out of its slot: what is of it in sysfs goes.
    pub(crate) fn pull(&self) -> impl FnOnce() + 'static {
        let kernel = Rc::clone(&self.0);
        move || pull(&kernel)
    }

    /// The host is as found but for the card, which is gone or on its driver, and nothing is owed.
    pub(crate) fn assert_restored(&self, borrowed: &Borrowed, gone: bool, what: &str) {
        borrowed.with_ending(|ending| match ending {
            Some(Ending::Restored(warnings)) => {
                let reported = warnings.iter().any(|w| w.contains("gone"));
                assert_eq!(reported, gone, "{what}: {warnings:?}");
            }
            other => panic!("{what}: {other:?}"),
        });
        assert_eq!(self.0.driver_of(SIBLING).as_deref(), Some("ahci"), "{what}");
        assert_eq!(self.0.text(GUARD), "1\n", "{what}");
        assert_eq!(self.0.journals(), 0, "{what}");
    }
}
