//! From batch to batch over a run of them, without touching their records.
//!
//! Hot path.

use std::ops::Range;

use super::{BatchError, BatchHeader};

/// Iterates over concatenated batches: the range of each in the bytes given, and its header. Structure only: a checksum
/// is the business of [`super::validate_run`] and [`super::check_stored`]. After an error it ends.
#[derive(Clone, Debug)]
pub struct Batches<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Batches<'a> {
    /// Walks `bytes` from their beginning. A cut batch at the end gives [`BatchError::Short`].
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    /// Where the next batch would begin: after an error, where the bad one does.
    pub fn position(&self) -> usize {
        self.position
    }

    fn parse_next(&self) -> Result<(Range<usize>, BatchHeader), BatchError> {
        let rest = self.bytes.get(self.position..).unwrap_or_default();
        let header = BatchHeader::parse(rest)?;
        if header.length > rest.len() {
            return Err(BatchError::Short { needed: header.length, found: rest.len() });
        }
        Ok((self.position..self.position + header.length, header))
    }
}

impl Iterator for Batches<'_> {
    type Item = Result<(Range<usize>, BatchHeader), BatchError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.position >= self.bytes.len() {
            return None;
        }
        let next = self.parse_next();
        match &next {
            Ok((range, _)) => self.position = range.end,
            Err(_) => self.bytes = self.bytes.get(..self.position).unwrap_or_default(),
        }
        Some(next)
    }
}

impl std::iter::FusedIterator for Batches<'_> {}
