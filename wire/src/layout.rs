//! Fixed fields at constant positions: the one way frame and batch headers are read and patched.
//!
//! Hot path. Positions are constants of a layout, so that the compiler sees both lengths and no branch stays.

/// `N` bytes at `position` of a header of `LENGTH` bytes. A position outside is a bug of the layout, not of the bytes.
#[inline(always)]
pub(crate) fn field<const LENGTH: usize, const N: usize>(header: &[u8; LENGTH], position: usize) -> [u8; N] {
    match header.get(position..).and_then(<[u8]>::first_chunk::<N>) {
        Some(found) => *found,
        None => unreachable!("{N} bytes at {position} do not fit a header of {LENGTH}"),
    }
}

/// Overwrites `N` bytes at `position` of a header of `LENGTH` bytes.
#[inline(always)]
pub(crate) fn set_field<const LENGTH: usize, const N: usize>(
    header: &mut [u8; LENGTH],
    position: usize,
    value: [u8; N],
) {
    match header.get_mut(position..).and_then(<[u8]>::first_chunk_mut::<N>) {
        Some(found) => *found = value,
        None => unreachable!("{N} bytes at {position} do not fit a header of {LENGTH}"),
    }
}
