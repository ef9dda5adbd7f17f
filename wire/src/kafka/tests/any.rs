//! Any value of any field: what the other implementation is asked to read.

use bytes::Bytes;
use uuid::Uuid;

use super::super::field::{Nullable, Records, Text};

/// xorshift64*: a seed is a run.
pub(in super::super) struct Random(u64);

impl Random {
    pub(in super::super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 7
    }

    fn is_null(&mut self) -> bool {
        self.next().is_multiple_of(3)
    }
}

/// What can be made up.
pub(in super::super) trait Any {
    fn any(random: &mut Random) -> Self;
}

macro_rules! numbers {
    ($($number:ty)*) => {$(
        impl Any for $number {
            fn any(random: &mut Random) -> Self {
                random.next() as $number
            }
        }
    )*};
}

numbers! { i8 i16 i32 i64 u16 u32 f64 }

impl Any for bool {
    fn any(random: &mut Random) -> Self {
        random.next().is_multiple_of(2)
    }
}

impl Any for Uuid {
    fn any(random: &mut Random) -> Self {
        Self::from_u64_pair(random.next(), random.next())
    }
}

impl Any for Text {
    /// Long enough now and then for a length of two bytes as a varint.
    fn any(random: &mut Random) -> Self {
        let length = random.next() % 200;
        (0..length)
            .map(|_| if random.next().is_multiple_of(5) { 'é' } else { 'k' })
            .collect::<String>()
            .into()
    }
}

impl Any for Bytes {
    fn any(random: &mut Random) -> Self {
        let length = random.next() % 300;
        (0..length).map(|_| random.next() as u8).collect()
    }
}

impl Any for Records {
    fn any(random: &mut Random) -> Self {
        Self::Here(Bytes::any(random))
    }
}

impl<T: Any> Any for Vec<T> {
    fn any(random: &mut Random) -> Self {
        let count = random.next() % 4;
        (0..count).map(|_| T::any(random)).collect()
    }
}

impl<T: Any> Any for Nullable<T> {
    fn any(random: &mut Random) -> Self {
        Self(Option::any(random))
    }
}

impl<T: Any> Any for Option<T> {
    fn any(random: &mut Random) -> Self {
        (!random.is_null()).then(|| T::any(random))
    }
}
