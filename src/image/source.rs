//! Where image bytes come from: a slice or a card.

use super::FlashAddr;

/// Random access to the bytes of a file or of a flash chip. On a card every byte costs time, so the
/// reader requests no byte twice and none that it does not need.
pub trait Source {
    /// Size in bytes of the file or chip.
    fn size(&self) -> u32;
    /// Fills `buf` from `at`. The whole range must lie inside [`Source::size`].
    fn read_at(&mut self, at: FlashAddr, buf: &mut [u8]) -> Result<(), SourceError>;
}

#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    #[error("{len:#x} bytes at {at:#010x} are outside of {size:#x} bytes")]
    Outside { at: u32, len: usize, size: u32 },
    /// The device failed, for example a card that vanished.
    #[error("{len:#x} bytes at {at:#010x} could not be read")]
    Failed {
        at: u32,
        len: usize,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Why a range of an image is not in its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    #[error("the offset is not a multiple of 4")]
    UnalignedOffset,
    #[error("the length is not a multiple of 4")]
    UnalignedLength,
    /// The range ends outside of the source.
    #[error("{len:#x} bytes at {at:#x} end outside of {size:#x} bytes")]
    Outside {
        /// Image offset.
        at: u32,
        len: u32,
        /// Bytes of the source.
        size: u32,
        /// The source holds an interleaved image.
        striped: bool,
    },
    /// The end of the range maps into the source, but the piece that starts here does not lie in
    /// it.
    #[error("the bytes from {:#x} on are missing", .0.0)]
    Missing(FlashAddr),
}

crate::escape::string_schema!(RangeError, "description": "Why bytes cannot be read, in one line.");

impl serde::Serialize for RangeError {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl Source for &[u8] {
    fn size(&self) -> u32 {
        u32::try_from(self.len()).unwrap_or(u32::MAX)
    }

    fn read_at(&mut self, at: FlashAddr, buf: &mut [u8]) -> Result<(), SourceError> {
        let rest = self.get(at.0 as usize..);
        match rest.and_then(|rest| rest.get(..buf.len())) {
            Some(bytes) => {
                buf.copy_from_slice(bytes);
                Ok(())
            }
            None => Err(SourceError::Outside { at: at.0, len: buf.len(), size: self.size() }),
        }
    }
}
