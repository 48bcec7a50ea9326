//! Reading by image offset: each byte once, within the limits of mstflint.

use crate::image::words::HEADER_LEN;
use crate::image::{AddressMap, FlashAddr, ImageOffset, RangeError, Source, SourceError, be32};

/// Why something was not read.
pub(super) enum ReadFailure<F> {
    /// A finding about the image.
    Fault(F),
    /// The device failed; the reading ends.
    Source(SourceError),
}

pub(super) type ReadError = ReadFailure<RangeError>;

impl<F> ReadFailure<F> {
    /// The fault; an error of the device is passed on.
    pub(super) fn fault(self) -> Result<F, SourceError> {
        match self {
            Self::Fault(fault) => Ok(fault),
            Self::Source(error) => Err(error),
        }
    }
}

impl<F> From<SourceError> for ReadFailure<F> {
    fn from(error: SourceError) -> Self {
        Self::Source(error)
    }
}

/// The bytes of one image. Keeps what was read, so that no byte is read twice: a byte of a card
/// costs a flash access.
pub(super) struct Reader<'a> {
    source: &'a mut dyn Source,
    map: AddressMap,
    /// Bytes of the source.
    pub(super) size: u32,
    /// Bytes of an image the source can hold under the map.
    pub(super) capacity: u32,
    /// The image as far as needed. Never longer than `capacity`, which is never more than the
    /// source's size.
    bytes: Vec<u8>,
    /// Which dwords of `bytes` were read.
    have: Vec<bool>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(source: &'a mut dyn Source, map: AddressMap) -> Self {
        let size = source.size();
        Self {
            source,
            map,
            size,
            capacity: map.capacity(size),
            bytes: Vec::new(),
            have: Vec::new(),
        }
    }

    /// Takes the header, which was read already.
    pub(super) fn provide_header(&mut self, header: &[u8; HEADER_LEN]) {
        if HEADER_LEN <= self.capacity as usize {
            self.grow(HEADER_LEN);
            self.bytes[..HEADER_LEN].copy_from_slice(header);
            self.have[..HEADER_LEN / 4].fill(true);
        }
    }

    /// Whether the range can be read, in the order of mstflint's tests
    /// (docs/flint.md#order-of-verify). Its arithmetic has 32 bits, so a range around the end of
    /// the address space passes the first limit and fails the second. Two differences: mstflint
    /// refuses a range of an interleaved file that ends exactly where a chunk and the file end
    /// (docs/fs2.md#chunk-interleaving), and its addresses wrap at 2 GiB.
    pub(super) fn check(&self, at: u32, len: u32) -> Result<(), RangeError> {
        if !at.is_multiple_of(4) {
            return Err(RangeError::UnalignedOffset);
        }
        if !len.is_multiple_of(4) {
            return Err(RangeError::UnalignedLength);
        }
        let end = u64::from(at) + u64::from(len);
        if end <= u64::from(self.capacity) {
            return Ok(());
        }
        let wrapped = ImageOffset(at.wrapping_add(len));
        if self.map.to_flash(wrapped).is_none_or(|p| p.0 > self.size) {
            return Err(RangeError::Outside {
                at,
                len,
                size: self.size,
                striped: self.map != AddressMap::Contiguous,
            });
        }
        if len == 0 {
            return Ok(());
        }
        // The first piece that is not in the source. A range that leaves 32 bits fails at its first
        // piece: mstflint cuts that at the wrapped end and gets a huge length (measured with
        // mstflint 4.21 and an Image Info pointer into blank flash).
        let wraps = end > u64::from(u32::MAX);
        let mut runs = self.map.runs(ImageOffset(at), len);
        let missing = runs.find(|(start, run)| {
            wraps || start.0.checked_add(*run).is_none_or(|end| end > self.size)
        });
        let start = missing.map_or(FlashAddr(0), |(start, _)| start);
        Err(RangeError::Missing(start))
    }

    /// The bytes of a range.
    pub(super) fn read(&mut self, at: u32, len: u32) -> Result<&[u8], ReadError> {
        self.check(at, len).map_err(ReadFailure::Fault)?;
        if len == 0 {
            return Ok(&[]);
        }
        // Inside `capacity`, as checked; so the sum fits.
        let end = at + len;
        self.fetch(at, end)?;
        Ok(&self.bytes[at as usize..end as usize])
    }

    /// The big-endian dword at `at`.
    pub(super) fn word(&mut self, at: u32) -> Result<u32, ReadError> {
        Ok(be32(self.read(at, 4)?, 0).unwrap_or(0))
    }

    fn grow(&mut self, end: usize) {
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
            self.have.resize(end / 4, false);
        }
    }

    /// Reads what is missing of `at..end`, which is aligned and inside `capacity`.
    fn fetch(&mut self, at: u32, end: u32) -> Result<(), SourceError> {
        self.grow(end as usize);
        let mut next = at;
        while next < end {
            if self.have[next as usize / 4] {
                next += 4;
                continue;
            }
            let mut known = (next..end).step_by(4).filter(|at| self.have[*at as usize / 4]);
            let gap_end = known.next().unwrap_or(end);
            let mut from = next;
            for (address, run) in self.map.runs(ImageOffset(next), gap_end - next) {
                let into = &mut self.bytes[from as usize..(from + run) as usize];
                self.source.read_at(address, into)?;
                from += run;
            }
            self.have[next as usize / 4..gap_end as usize / 4].fill(true);
            next = gap_end;
        }
        Ok(())
    }
}
