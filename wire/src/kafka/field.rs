//! The types of fields: how each is read and written, in the old form and in the flexible one (compact lengths, tags).
//! Hot path.
//!
//! Source: <https://kafka.apache.org/protocol#protocol_types>, and KIP-482 for the flexible form.

use std::fmt;

use bytes::Bytes;
use uuid::Uuid;

use super::read::{DecodeError, Problem, Reader};
use super::write::Writer;

/// How a message is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    pub version: i16,
    pub flexible: bool,
}

/// Something that stands in a message.
pub trait Field: Sized {
    /// It takes at least so much on the wire, in any form: what bounds the count of an array.
    const BYTES_MIN: usize;

    /// Reads it.
    fn read(from: &mut Reader, form: Form) -> Result<Self, DecodeError>;

    /// Writes it.
    fn write(&self, to: &mut Writer, form: Form);
}

/// UTF-8 text, shared with the frame it came in.
#[derive(Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Text(Bytes);

impl Text {
    /// The text.
    pub fn as_str(&self) -> &str {
        // It was checked when it was made, and safe code cannot say so.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(Bytes::copy_from_slice(text.as_bytes()))
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), formatter)
    }
}

impl fmt::Display for Text {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// Record batches of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Records {
    /// These.
    Here(Bytes),
    /// So many bytes, which who sends the frame puts into its gap.
    Elsewhere(usize),
}

impl Default for Records {
    fn default() -> Self {
        Self::Here(Bytes::new())
    }
}

macro_rules! numbers {
    ($($number:ty)*) => {$(
        impl Field for $number {
            const BYTES_MIN: usize = size_of::<$number>();

            #[inline]
            fn read(from: &mut Reader, _form: Form) -> Result<Self, DecodeError> {
                from.array().map(<$number>::from_be_bytes)
            }

            #[inline]
            fn write(&self, to: &mut Writer, _form: Form) {
                to.put(&self.to_be_bytes());
            }
        }
    )*};
}

numbers! { i8 i16 i32 i64 u16 u32 f64 }

impl Field for bool {
    const BYTES_MIN: usize = 1;

    fn read(from: &mut Reader, _form: Form) -> Result<Self, DecodeError> {
        Ok(from.i8()? != 0)
    }

    fn write(&self, to: &mut Writer, _form: Form) {
        to.put(&[u8::from(*self)]);
    }
}

impl Field for Uuid {
    const BYTES_MIN: usize = 16;

    fn read(from: &mut Reader, _form: Form) -> Result<Self, DecodeError> {
        from.array().map(Uuid::from_bytes)
    }

    fn write(&self, to: &mut Writer, _form: Form) {
        to.put(self.as_bytes());
    }
}

impl Field for Option<Text> {
    const BYTES_MIN: usize = 1;

    fn read(from: &mut Reader, form: Form) -> Result<Self, DecodeError> {
        let Some(length) = from.length(form.flexible, true)? else { return Ok(None) };
        let bytes = from.take(length)?;
        match std::str::from_utf8(&bytes) {
            Ok(_) => Ok(Some(Text(bytes))),
            Err(_) => Err(from.error(Problem::Utf8)),
        }
    }

    fn write(&self, to: &mut Writer, form: Form) {
        to.length(self.as_ref().map(|text| text.0.len()), form.flexible, true);
        to.put(self.as_ref().map_or(&[], |text| &text.0));
    }
}

impl Field for Text {
    const BYTES_MIN: usize = 1;

    fn read(from: &mut Reader, form: Form) -> Result<Self, DecodeError> {
        Option::<Self>::read(from, form)?.ok_or_else(|| from.error(Problem::Null))
    }

    fn write(&self, to: &mut Writer, form: Form) {
        to.length(Some(self.0.len()), form.flexible, true);
        to.put(&self.0);
    }
}

impl Field for Option<Bytes> {
    const BYTES_MIN: usize = 1;

    fn read(from: &mut Reader, form: Form) -> Result<Self, DecodeError> {
        from.length(form.flexible, false)?.map(|length| from.take(length)).transpose()
    }

    fn write(&self, to: &mut Writer, form: Form) {
        to.length(self.as_ref().map(Bytes::len), form.flexible, false);
        to.put(self.as_ref().map_or(&[], |bytes| bytes));
    }
}

impl Field for Bytes {
    const BYTES_MIN: usize = 1;

    fn read(from: &mut Reader, form: Form) -> Result<Self, DecodeError> {
        Option::<Self>::read(from, form)?.ok_or_else(|| from.error(Problem::Null))
    }

    fn write(&self, to: &mut Writer, form: Form) {
        to.length(Some(self.len()), form.flexible, false);
        to.put(self);
    }
}

impl Field for Records {
    const BYTES_MIN: usize = 1;

    /// Null is nothing.
    fn read(from: &mut Reader, form: Form) -> Result<Self, DecodeError> {
        Ok(Self::Here(Option::<Bytes>::read(from, form)?.unwrap_or_default()))
    }

    fn write(&self, to: &mut Writer, form: Form) {
        match self {
            Self::Here(bytes) => bytes.write(to, form),
            Self::Elsewhere(bytes) => {
                to.length(Some(*bytes), form.flexible, false);
                to.leave(*bytes);
            }
        }
    }
}

/// A struct that may be null.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Nullable<T>(pub Option<T>);

impl<T: Field> Field for Nullable<T> {
    const BYTES_MIN: usize = 1;

    /// A byte in front tells: below 0 it is null (KIP-893).
    fn read(from: &mut Reader, form: Form) -> Result<Self, DecodeError> {
        Ok(Self(if from.i8()? < 0 { None } else { Some(T::read(from, form)?) }))
    }

    fn write(&self, to: &mut Writer, form: Form) {
        match &self.0 {
            None => to.put(&(-1_i8).to_be_bytes()),
            Some(some) => {
                to.put(&1_i8.to_be_bytes());
                some.write(to, form);
            }
        }
    }
}

/// Elements whose memory is taken before the first is read; a struct may be larger in memory than on the wire.
const ELEMENTS_RESERVED_MAX: usize = 1024;

impl<T: Field> Field for Option<Vec<T>> {
    const BYTES_MIN: usize = 1;

    fn read(from: &mut Reader, form: Form) -> Result<Self, DecodeError> {
        let Some(count) = from.count(form.flexible, T::BYTES_MIN)? else { return Ok(None) };
        let mut elements = Vec::with_capacity(count.min(ELEMENTS_RESERVED_MAX));
        for _ in 0..count {
            elements.push(T::read(from, form)?);
        }
        Ok(Some(elements))
    }

    fn write(&self, to: &mut Writer, form: Form) {
        let Some(elements) = self else {
            // A count is laid out as the length of bytes is.
            return to.length(None, form.flexible, false);
        };
        elements.write(to, form);
    }
}

impl<T: Field> Field for Vec<T> {
    const BYTES_MIN: usize = 1;

    fn read(from: &mut Reader, form: Form) -> Result<Self, DecodeError> {
        Option::<Self>::read(from, form)?.ok_or_else(|| from.error(Problem::Null))
    }

    fn write(&self, to: &mut Writer, form: Form) {
        to.length(Some(self.len()), form.flexible, false);
        self.iter().for_each(|element| element.write(to, form));
    }
}
