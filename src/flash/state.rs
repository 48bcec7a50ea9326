//! The typestate machine.
//!
//! ```text
//! let locked   = Flash::lock(&mut card, &clock)?;      // semaphores 40 and 63, RAII
//! let erased   = locked.erase(&plan, probe, events)?;  // blank-checked
//! let written  = erased.write(events)?;                // signature withheld
//! let verified = written.verify(events)?;              // whole body read back
//! let done     = verified.commit(signature, events)?;  // the 16 bytes that make it boot
//! ```

use super::Boots;
use crate::image::{FlashAddr, Source};

/// Entry to the machine.
pub struct Flash;

/// Semaphores held, nothing changed.
pub struct Locked<'c> {
    _todo: std::marker::PhantomData<&'c ()>,
}
/// The region is erased and blank.
pub struct Erased<'c> {
    _todo: std::marker::PhantomData<&'c ()>,
}
/// The body is programmed.
pub struct Written<'c> {
    _todo: std::marker::PhantomData<&'c ()>,
}
/// The whole body was read back and is right.
pub struct Verified<'c> {
    _todo: std::marker::PhantomData<&'c ()>,
}
/// The image boots.
pub struct Done<'c> {
    _todo: std::marker::PhantomData<&'c ()>,
}

/// The last act: what makes the new image bootable and the old one not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// The 16 bytes, or `None` when the job has none to write (equal already, or a job that leaves
    /// the signature alone).
    pub bytes: Option<[u8; 16]>,
    /// Value for the boot address register (image start << 8), if it should be set.
    pub boot_address: Option<u32>,
    /// Signatures to void afterwards (first word programmed to 0).
    pub retire: Vec<FlashAddr>,
}

/// Says what would boot; the flash room does not know images.
pub trait BootProbe {
    /// Judge from the flash alone.
    fn boots(&self, flash: &mut dyn Source) -> Boots;
}
