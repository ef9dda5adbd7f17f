//! Fields of the catalog's log and snapshots: fixed width, little-endian, lists and texts behind their length.
//!
//! Invariant: a length from the disk is compared with the bytes that are left before anything is reserved.

use std::collections::BTreeMap;

use thiserror::Error;
use uuid::Uuid;

/// Bytes of the catalog that do not follow the format. Their checksum was right, so this is a newer format or a bug.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CatalogFormatError {
    #[error("{field} at byte {position} needs {needed} bytes, {left} are left")]
    Short { field: &'static str, position: usize, needed: usize, left: usize },
    #[error("{field} at byte {position} holds {found}, which means nothing to this version")]
    Invalid { field: &'static str, position: usize, found: u64 },
    #[error("{field} at byte {position} is no UTF-8")]
    Text { field: &'static str, position: usize },
    #[error("{left} bytes follow the last field")]
    Trailing { left: usize },
}

/// Writes fields.
#[derive(Default)]
pub(super) struct Encoder {
    bytes: Vec<u8>,
}

impl Encoder {
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    pub(super) fn u16(&mut self, value: u16) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    pub(super) fn u32(&mut self, value: u32) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    pub(super) fn u64(&mut self, value: u64) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    pub(super) fn i32(&mut self, value: i32) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    pub(super) fn i64(&mut self, value: i64) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    pub(super) fn flag(&mut self, value: bool) {
        self.bytes.push(u8::from(value));
    }

    pub(super) fn uuid(&mut self, value: Uuid) {
        self.bytes.extend_from_slice(value.as_bytes());
    }

    pub(super) fn text(&mut self, value: &str) {
        self.length(value.len());
        self.bytes.extend_from_slice(value.as_bytes());
    }

    pub(super) fn settings(&mut self, settings: &BTreeMap<String, String>) {
        self.length(settings.len());
        for (name, value) in settings {
            self.text(name);
            self.text(value);
        }
    }

    pub(super) fn list<T>(&mut self, items: &[T], encode: impl Fn(&mut Self, &T)) {
        self.length(items.len());
        for item in items {
            encode(self, item);
        }
    }

    fn length(&mut self, length: usize) {
        self.u32(u32::try_from(length).expect("the catalog's limits keep lists far below 2^32"));
    }
}

/// Reads fields.
pub(super) struct Decoder<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Decoder<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    /// That everything was read.
    pub(super) fn end(&self) -> Result<(), CatalogFormatError> {
        match self.bytes.len() {
            0 => Ok(()),
            left => Err(CatalogFormatError::Trailing { left }),
        }
    }

    pub(super) fn invalid(&self, field: &'static str, found: u64) -> CatalogFormatError {
        CatalogFormatError::Invalid { field, position: self.position, found }
    }

    pub(super) fn u16(&mut self, field: &'static str) -> Result<u16, CatalogFormatError> {
        self.take(field).map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self, field: &'static str) -> Result<u32, CatalogFormatError> {
        self.take(field).map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self, field: &'static str) -> Result<u64, CatalogFormatError> {
        self.take(field).map(u64::from_le_bytes)
    }

    pub(super) fn i32(&mut self, field: &'static str) -> Result<i32, CatalogFormatError> {
        self.take(field).map(i32::from_le_bytes)
    }

    pub(super) fn i64(&mut self, field: &'static str) -> Result<i64, CatalogFormatError> {
        self.take(field).map(i64::from_le_bytes)
    }

    pub(super) fn flag(&mut self, field: &'static str) -> Result<bool, CatalogFormatError> {
        match self.take::<1>(field)? {
            [0] => Ok(false),
            [1] => Ok(true),
            [found] => Err(self.invalid(field, u64::from(found))),
        }
    }

    pub(super) fn uuid(&mut self, field: &'static str) -> Result<Uuid, CatalogFormatError> {
        self.take(field).map(Uuid::from_bytes)
    }

    pub(super) fn text(&mut self, field: &'static str) -> Result<String, CatalogFormatError> {
        let length = self.length(field, 1)?;
        let (text, rest) = self.bytes.split_at(length);
        let text = std::str::from_utf8(text)
            .map_err(|_| CatalogFormatError::Text { field, position: self.position })?;
        self.bytes = rest;
        self.position += length;
        Ok(text.to_owned())
    }

    pub(super) fn settings(&mut self) -> Result<BTreeMap<String, String>, CatalogFormatError> {
        let pairs = self
            .list("settings", 4 + 4, |from| Ok((from.text("setting name")?, from.text("setting value")?)))?;
        Ok(pairs.into_iter().collect())
    }

    /// A list whose items take `item_bytes_min` at least.
    pub(super) fn list<T>(
        &mut self,
        field: &'static str,
        item_bytes_min: usize,
        decode: impl Fn(&mut Self) -> Result<T, CatalogFormatError>,
    ) -> Result<Vec<T>, CatalogFormatError> {
        let length = self.length(field, item_bytes_min)?;
        (0..length).map(|_| decode(self)).collect()
    }

    fn length(&mut self, field: &'static str, item_bytes_min: usize) -> Result<usize, CatalogFormatError> {
        let length = self.u32(field)? as usize;
        let needed = length.saturating_mul(item_bytes_min);
        if needed > self.bytes.len() {
            return Err(self.short(field, needed));
        }
        Ok(length)
    }

    fn take<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], CatalogFormatError> {
        let Some((taken, rest)) = self.bytes.split_first_chunk::<N>() else {
            return Err(self.short(field, N));
        };
        self.bytes = rest;
        self.position += N;
        Ok(*taken)
    }

    fn short(&self, field: &'static str, needed: usize) -> CatalogFormatError {
        CatalogFormatError::Short { field, position: self.position, needed, left: self.bytes.len() }
    }
}
