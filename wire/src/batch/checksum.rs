//! CRC-32C (Castagnoli), the checksum of a batch.
//!
//! Hot path. crc-fast uses carry-less multiplication where the processor has it: measured in `benches/`.

/// CRC-32C of `bytes`.
#[inline]
pub fn crc32c(bytes: &[u8]) -> u32 {
    crc_fast::crc32_iscsi(bytes)
}
