//! The document of `trace show`, whose lists have millions of entries: they are written as they are read.

use crate::job::ShownTrace;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::Value;

/// A document with the lists of its result.
pub(in crate::cli) struct Listing<'d> {
    pub(in crate::cli) document: &'d Value,
    pub(in crate::cli) lists: &'d ShownTrace,
}

impl Serialize for Listing<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (key, value) in self.document.as_object().into_iter().flatten() {
            match key.as_str() {
                "result" => map.serialize_entry(key, &ListingResult(value, self.lists))?,
                _ => map.serialize_entry(key, value)?,
            }
        }
        map.end()
    }
}

struct ListingResult<'d>(&'d Value, &'d ShownTrace);

impl Serialize for ListingResult<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(result, lists) = self;
        let mut map = serializer.serialize_map(None)?;
        for (key, value) in result.as_object().into_iter().flatten() {
            match key.as_str() {
                "marks" => map.serialize_entry(key, &ReadList(|| lists.marks()))?,
                "lines" if value.is_array() => {
                    map.serialize_entry(key, &ReadList(|| lists.lines()))?
                }
                _ => map.serialize_entry(key, value)?,
            }
        }
        map.end()
    }
}

struct ReadList<F>(F);

impl<I: Iterator<Item: Serialize>, F: Fn() -> I> Serialize for ReadList<F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq((self.0)())
    }
}
