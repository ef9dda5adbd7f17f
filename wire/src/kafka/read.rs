//! A request's bytes, read field by field. Hot path.
//!
//! Strings and records are slices of the frame: nothing is copied.

use bytes::Bytes;
use thiserror::Error;

/// Bytes that are no such message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{field}, at byte {position}: {problem}")]
pub struct DecodeError {
    /// Struct and field that was being read.
    pub field: &'static str,
    /// From the beginning of the frame, without its length.
    pub position: usize,
    pub problem: Problem,
}

/// What is wrong there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Problem {
    #[error("{needed} bytes are needed, {left} are left")]
    Short { needed: usize, left: usize },
    #[error("a length of {found}, with {left} bytes left")]
    Length { found: i64, left: usize },
    #[error("{found} elements of at least {bytes_min} bytes, with {left} bytes left")]
    Count { found: i64, bytes_min: usize, left: usize },
    #[error("{found} elements, of {left} that a request may still have")]
    Elements { found: usize, left: usize },
    #[error("null where a value is needed")]
    Null,
    #[error("text that is not UTF-8")]
    Utf8,
    #[error("a varint that does not end within {bytes_max} bytes")]
    Varint { bytes_max: usize },
    #[error("tag {found} after tag {before}")]
    TagOrder { before: u32, found: u32 },
    #[error("tag {tag} holds {found} bytes, and its field takes {taken}")]
    TagLength { tag: u32, found: usize, taken: usize },
    #[error("{left} bytes after the end of the message")]
    Trailing { left: usize },
    #[error("version {found} is not one of {min} to {max}")]
    Version { found: i16, min: i16, max: i16 },
}

/// Reads from the front of a frame.
#[derive(Clone, Debug)]
pub struct Reader {
    frame: Bytes,
    position: usize,
    field: &'static str,
    /// Elements of arrays that may still come.
    elements_left: usize,
}

impl Reader {
    /// Reads a frame, which begins behind its length.
    pub fn new(frame: Bytes) -> Self {
        Self::with_elements_max(frame, usize::MAX)
    }

    /// The same, of a peer that is not trusted: all arrays together, also those within others, have at most so many elements,
    /// which take more memory than their bytes.
    pub fn with_elements_max(frame: Bytes, elements_max: usize) -> Self {
        Self { frame, position: 0, field: "header", elements_left: elements_max }
    }

    /// Names what is read next, for errors.
    #[inline]
    pub(super) fn enter(&mut self, field: &'static str) {
        self.field = field;
    }

    /// Bytes that were not read yet.
    #[inline]
    pub fn left(&self) -> usize {
        self.frame.len() - self.position
    }

    pub(super) fn position(&self) -> usize {
        self.position
    }

    pub(super) fn error(&self, problem: Problem) -> DecodeError {
        DecodeError { field: self.field, position: self.position, problem }
    }

    /// So many bytes, shared with the frame.
    #[inline]
    pub(super) fn take(&mut self, bytes: usize) -> Result<Bytes, DecodeError> {
        let left = self.left();
        if bytes > left {
            return Err(self.error(Problem::Short { needed: bytes, left }));
        }
        let taken = self.frame.slice(self.position..self.position + bytes);
        self.position += bytes;
        Ok(taken)
    }

    /// Passes over so many bytes.
    pub(super) fn skip(&mut self, bytes: usize) -> Result<(), DecodeError> {
        let left = self.left();
        if bytes > left {
            return Err(self.error(Problem::Short { needed: bytes, left }));
        }
        self.position += bytes;
        Ok(())
    }

    /// A number's bytes.
    #[inline]
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let left = self.left();
        let found = self.frame.get(self.position..).and_then(|rest| rest.first_chunk::<N>()).copied();
        let found = found.ok_or_else(|| self.error(Problem::Short { needed: N, left }))?;
        self.position += N;
        Ok(found)
    }

    pub(super) fn i8(&mut self) -> Result<i8, DecodeError> {
        self.array().map(i8::from_be_bytes)
    }

    pub(super) fn i16(&mut self) -> Result<i16, DecodeError> {
        self.array().map(i16::from_be_bytes)
    }

    pub(super) fn i32(&mut self) -> Result<i32, DecodeError> {
        self.array().map(i32::from_be_bytes)
    }

    /// An unsigned varint of up to 32 bits: seven bits a byte, the lowest first.
    pub(super) fn varint(&mut self) -> Result<u32, DecodeError> {
        const BYTES_MAX: usize = 5;
        let mut value = 0_u64;
        for place in 0..BYTES_MAX {
            let [byte] = self.array::<1>()?;
            value |= u64::from(byte & 0x7f) << (7 * place);
            if byte & 0x80 == 0 {
                return u32::try_from(value)
                    .map_err(|_| self.error(Problem::Varint { bytes_max: BYTES_MAX }));
            }
        }
        Err(self.error(Problem::Varint { bytes_max: BYTES_MAX }))
    }

    /// The length of a text or of bytes; `None` for null.
    pub(super) fn length(&mut self, flexible: bool, short: bool) -> Result<Option<usize>, DecodeError> {
        let found = match (flexible, short) {
            (true, _) => i64::from(self.varint()?) - 1,
            (false, true) => i64::from(self.i16()?),
            (false, false) => i64::from(self.i32()?),
        };
        if found == -1 {
            return Ok(None);
        }
        let left = self.left();
        match usize::try_from(found) {
            Ok(length) if length <= left => Ok(Some(length)),
            _ => Err(self.error(Problem::Length { found, left })),
        }
    }

    /// The number of elements of an array; `None` for null. Each takes at least `bytes_min` of what is left.
    pub(super) fn count(&mut self, flexible: bool, bytes_min: usize) -> Result<Option<usize>, DecodeError> {
        let found = if flexible { i64::from(self.varint()?) - 1 } else { i64::from(self.i32()?) };
        if found == -1 {
            return Ok(None);
        }
        let left = self.left();
        match usize::try_from(found) {
            Ok(count) if count.saturating_mul(bytes_min.max(1)) <= left => {
                let elements_left = self.elements_left;
                self.elements_left = elements_left
                    .checked_sub(count)
                    .ok_or_else(|| self.error(Problem::Elements { found: count, left: elements_left }))?;
                Ok(Some(count))
            }
            _ => Err(self.error(Problem::Count { found, bytes_min, left })),
        }
    }

    /// The message has to end here.
    pub(super) fn finish(&self) -> Result<(), DecodeError> {
        match self.left() {
            0 => Ok(()),
            left => Err(self.error(Problem::Trailing { left })),
        }
    }
}
