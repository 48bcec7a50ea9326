//! Reading by image offset: each byte once, flint's limits and texts.

use crate::image::{AddressMap, FlashAddr, ImageOffset, Source, SourceError, be32};
use std::collections::BTreeMap;

/// Why a range of the image could not be had.
pub(super) enum Miss {
    /// It is not inside the source, or not aligned: flint's text, docs/flint.md#order-of-verify.
    Text(String),
    /// The carrier failed; the reading ends.
    Source(SourceError),
}

impl Miss {
    /// flint's text; a failing carrier passes through.
    pub(super) fn text(self) -> Result<String, SourceError> {
        match self {
            Self::Text(text) => Ok(text),
            Self::Source(error) => Err(error),
        }
    }
}

impl From<SourceError> for Miss {
    fn from(error: SourceError) -> Self {
        Self::Source(error)
    }
}

/// The bytes of one image. Keeps what was read, so that no byte is read twice.
pub(super) struct Reader<'a> {
    source: &'a mut dyn Source,
    map: AddressMap,
    /// Bytes of the source.
    size: u32,
    /// Bytes of an image the source can hold under the map.
    capacity: u32,
    /// The image as far as needed; only the ranges in `have` mean something. Never longer than
    /// `capacity`, which is never more than the source's size.
    bytes: Vec<u8>,
    /// Ranges read, start to end, apart from each other.
    have: BTreeMap<u32, u32>,
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
            have: BTreeMap::new(),
        }
    }

    /// Bytes of the source (not of the image).
    pub(super) fn source_size(&self) -> u32 {
        self.size
    }

    /// Bytes an image can have in this source.
    pub(super) fn capacity(&self) -> u32 {
        self.capacity
    }

    /// Bytes that are known already and need no reading.
    pub(super) fn provide(&mut self, at: u32, known: &[u8]) {
        let end = (at as usize).saturating_add(known.len());
        if end <= self.capacity as usize {
            self.grow(end);
            self.bytes[at as usize..end].copy_from_slice(known);
            // `end` is at most `capacity`, a u32.
            self.mark(at, end as u32);
        }
    }

    /// Whether the range can be read, with flint's order of tests. Arithmetic is in 32 bits there,
    /// so a range around the end of the address space passes the first limit and fails the second.
    pub(super) fn check(&self, at: u32, len: u32) -> Result<(), String> {
        if !at.is_multiple_of(4) {
            return Err("Address should be 4-bytes aligned.".to_owned());
        }
        if !len.is_multiple_of(4) {
            return Err("Length should be 4-bytes aligned.".to_owned());
        }
        let end = u64::from(at) + u64::from(len);
        if end <= u64::from(self.capacity) {
            return Ok(());
        }
        let wrapped = ImageOffset(at.wrapping_add(len));
        if self.map.to_flash(wrapped).is_none_or(|p| p.0 > self.size) {
            let space = match self.map {
                AddressMap::Contiguous => "",
                AddressMap::Striped { .. } => "physical ",
            };
            return Err(format!(
                "Reading {len:#x} bytes from {space} address {at:#x} is out of image limits ({:#x} bytes)",
                self.size
            ));
        }
        if len == 0 {
            return Ok(());
        }
        // The first piece that the file does not hold whole. A range that leaves 32 bits fails at its
        // first piece already: flint cuts that at the wrapped end and gets a huge length (measured
        // on mstflint 4.21 with an Image Info pointer into blank flash).
        let wraps = end > u64::from(u32::MAX);
        let failing = self.map.runs(ImageOffset(at), len).find(|(start, run)| {
            wraps || start.0.checked_add(*run).is_none_or(|end| end > self.size)
        });
        let offset = match failing {
            // "%#x" gives a plain 0 for zero.
            Some((FlashAddr(0), _)) | None => "0".to_owned(),
            Some((start, _)) => format!("{:#x}", start.0),
        };
        Err(format!(
            "Failed to read from FW file, offset: {offset} - Success"
        ))
    }

    /// The bytes of a range.
    pub(super) fn read(&mut self, at: u32, len: u32) -> Result<&[u8], Miss> {
        self.check(at, len).map_err(Miss::Text)?;
        if len == 0 {
            return Ok(&[]);
        }
        // Inside `capacity`, as checked; so the sum fits.
        let end = at + len;
        self.fetch(at, end)?;
        Ok(&self.bytes[at as usize..end as usize])
    }

    /// The big-endian dword at `at`.
    pub(super) fn word(&mut self, at: u32) -> Result<u32, Miss> {
        Ok(be32(self.read(at, 4)?, 0).unwrap_or(0))
    }

    /// The image so far as one piece, the first `len` bytes, reading what is missing.
    pub(super) fn into_bytes(mut self, len: u32) -> Result<Vec<u8>, SourceError> {
        let len = len.min(self.capacity);
        self.fetch(0, len)?;
        self.bytes.truncate(len as usize);
        Ok(self.bytes)
    }

    fn grow(&mut self, end: usize) {
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
    }

    /// Read what is missing of `at..end`, which is inside `capacity`.
    fn fetch(&mut self, at: u32, end: u32) -> Result<(), SourceError> {
        self.grow(end as usize);
        let mut next = at;
        while next < end {
            let behind = self.have.range(..=next).next_back();
            if let Some((_, &known)) = behind
                && known > next
            {
                next = known;
                continue;
            }
            let ahead = self.have.range(next..end).next();
            let gap_end = ahead.map_or(end, |(&start, _)| start);
            let mut from = next;
            for (address, run) in self.map.runs(ImageOffset(next), gap_end - next) {
                let into = &mut self.bytes[from as usize..(from + run) as usize];
                self.source.read_at(address, into)?;
                from += run;
            }
            self.mark(next, gap_end);
            next = gap_end;
        }
        Ok(())
    }

    fn mark(&mut self, mut start: u32, mut end: u32) {
        if let Some((&before, &known)) = self.have.range(..=start).next_back()
            && known >= start
        {
            start = before;
            end = end.max(known);
        }
        while let Some((&at, &known)) = self.have.range(start..=end).next() {
            end = end.max(known);
            self.have.remove(&at);
        }
        self.have.insert(start, end);
    }
}
