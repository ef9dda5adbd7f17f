//! Kafka's numbers of variable length: zigzag, seven bits a byte, least significant first.
//!
//! Hot path. Most numbers in a batch take one byte, so that case comes first and is inlined.

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
