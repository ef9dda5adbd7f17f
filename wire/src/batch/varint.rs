//! Kafka's numbers of variable length: zigzag, seven bits a byte, least significant first.
//!
//! Hot path. Most numbers in a batch take one byte, so that case comes first and is inlined.

use bytes::{BufMut, BytesMut};

/// Takes a 32-bit number off the front of `bytes`. `None` when it does not end, or does not fit.
#[inline(always)]
pub(super) fn take_varint(bytes: &mut &[u8]) -> Option<i32> {
    let (&first, rest) = bytes.split_first()?;
    if first < 0x80 {
        *bytes = rest;
        return Some(unzigzag_32(u32::from(first)));
    }
    take_long_varint(bytes)
}

#[inline]
fn take_long_varint(bytes: &mut &[u8]) -> Option<i32> {
    let value = take_unsigned(bytes)?;
    u32::try_from(value).ok().map(unzigzag_32)
}

/// Takes a 64-bit number off the front of `bytes`. `None` when it does not end, or does not fit.
#[inline(always)]
pub(super) fn take_varlong(bytes: &mut &[u8]) -> Option<i64> {
    let (&first, rest) = bytes.split_first()?;
    if first < 0x80 {
        *bytes = rest;
        return Some(unzigzag_64(u64::from(first)));
    }
    take_unsigned(bytes).map(unzigzag_64)
}

#[inline]
fn take_unsigned(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    let mut shift = 0_u32;
    let mut rest = *bytes;
    loop {
        let (&byte, after) = rest.split_first()?;
        rest = after;
        let bits = u64::from(byte & 0x7f);
        // The tenth byte holds the 64th bit alone.
        if shift == 63 && bits > 1 {
            return None;
        }
        value |= bits << shift;
        if byte < 0x80 {
            *bytes = rest;
            return Some(value);
        }
        shift += 7;
        if shift > 63 {
            return None;
        }
    }
}

#[inline(always)]
fn unzigzag_32(value: u32) -> i32 {
    (value >> 1).cast_signed() ^ -((value & 1).cast_signed())
}

#[inline(always)]
fn unzigzag_64(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -((value & 1).cast_signed())
}

/// Appends a 32-bit number.
pub(super) fn put_varint(out: &mut BytesMut, value: i32) {
    put_unsigned(out, u64::from(zigzag_32(value)));
}

/// Appends a 64-bit number.
pub(super) fn put_varlong(out: &mut BytesMut, value: i64) {
    put_unsigned(out, zigzag_64(value));
}

/// Bytes [`put_varint`] takes.
pub(super) fn varint_bytes(value: i32) -> usize {
    unsigned_bytes(u64::from(zigzag_32(value)))
}

/// Bytes [`put_varlong`] takes.
pub(super) fn varlong_bytes(value: i64) -> usize {
    unsigned_bytes(zigzag_64(value))
}

fn put_unsigned(out: &mut BytesMut, mut value: u64) {
    while value >= 0x80 {
        let [low, ..] = value.to_le_bytes();
        out.put_u8(low | 0x80);
        value >>= 7;
    }
    let [low, ..] = value.to_le_bytes();
    out.put_u8(low);
}

/// One byte for every seven bits begun; zero takes one, too.
fn unsigned_bytes(value: u64) -> usize {
    let bits = 64 - (value | 1).leading_zeros();
    bits.div_ceil(7) as usize
}

fn zigzag_32(value: i32) -> u32 {
    ((value << 1) ^ (value >> 31)).cast_unsigned()
}

fn zigzag_64(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_and_take_the_bytes_foretold() {
        for shift in 0..64 {
            for value in [1_i64 << shift, -(1_i64 << (shift % 63)), (1_i64 << shift).wrapping_sub(1)] {
                let mut out = BytesMut::new();
                put_varlong(&mut out, value);
                assert_eq!(out.len(), varlong_bytes(value));
                assert_eq!(take_varlong(&mut &out[..]), Some(value));
                let Ok(value) = i32::try_from(value) else { continue };
                let mut out = BytesMut::new();
                put_varint(&mut out, value);
                assert_eq!(out.len(), varint_bytes(value));
                assert_eq!(take_varint(&mut &out[..]), Some(value));
            }
        }
    }

    #[test]
    fn a_number_that_does_not_end_or_fit_is_refused() {
        assert_eq!(take_varint(&mut &[][..]), None);
        assert_eq!(take_varint(&mut &[0x80, 0x80][..]), None);
        assert_eq!(take_varint(&mut &[0xff, 0xff, 0xff, 0xff, 0x1f][..]), None);
        assert_eq!(take_varlong(&mut &[0xff; 11][..]), None);
        assert_eq!(take_varlong(&mut &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2][..]), None);
        assert_eq!(take_varint(&mut &[0xff, 0xff, 0xff, 0xff, 0x0f][..]), Some(i32::MIN));
    }
}
