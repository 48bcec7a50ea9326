//! Where image bytes come from. The reader asks; a slice or a card answers.

use super::FlashAddr;

/// Random access to the bytes of a file or of a flash chip. The reader never asks for the same
/// bytes twice if it can help it, and never for more than it needs: on a card every byte costs.
pub trait Source {
    /// Size in bytes of the file or chip.
    fn size(&self) -> u32;
    /// Fill `buf` from `at`. The whole range must lie inside [`Source::size`].
    ///
    /// # Errors
    /// [`SourceError`] when the range is outside or the carrier could not be read.
    fn read_at(&mut self, at: FlashAddr, buf: &mut [u8]) -> Result<(), SourceError>;
}

/// Why bytes could not be had.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The range is not inside the source.
    #[error("{len:#x} bytes at {at:#010x} are outside of {size:#x} bytes")]
    Outside {
        /// First address asked for.
        at: u32,
        /// Bytes asked for.
        len: usize,
        /// Size of the source.
        size: u32,
    },
    /// The carrier failed (a card that vanished, for one).
    #[error("{len:#x} bytes at {at:#010x} could not be read")]
    Failed {
        /// First address asked for.
        at: u32,
        /// Bytes asked for.
        len: usize,
        /// What went wrong below.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Source for &[u8] {
    fn size(&self) -> u32 {
        u32::try_from(self.len()).unwrap_or(u32::MAX)
    }

    fn read_at(&mut self, at: FlashAddr, buf: &mut [u8]) -> Result<(), SourceError> {
        let start = at.0 as usize;
        let found = start
            .checked_add(buf.len())
            .and_then(|end| self.get(start..end));
        match found {
            Some(bytes) => {
                buf.copy_from_slice(bytes);
                Ok(())
            }
            None => Err(SourceError::Outside {
                at: at.0,
                len: buf.len(),
                size: self.size(),
            }),
        }
    }
}

impl<S: Source + ?Sized> Source for &mut S {
    fn size(&self) -> u32 {
        (**self).size()
    }

    fn read_at(&mut self, at: FlashAddr, buf: &mut [u8]) -> Result<(), SourceError> {
        (**self).read_at(at, buf)
    }
}
