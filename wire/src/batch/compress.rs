//! The codecs of a batch's records. Clients and tools only.
//!
//! Invariants:
//! - Decompression stops at the limit given; memory grows with what came out, never with what a header claims. Exceptions,
//!   bounded by their own format: lz4 takes the block size its frame names (4 MiB at most), zstd the window
//!   (128 MiB at most, of which only what is written is ever touched).
//! - What is written is what Kafka's own clients read: gzip, xerial-framed snappy, lz4 frames with independent blocks,
//!   zstd frames.

use std::io::{self, Read, Write};

use super::validate::XERIAL_MAGIC;
use super::{BatchError, Compression};

/// Kafka's default levels.
const GZIP_LEVEL: flate2::Compression = flate2::Compression::new(6);
const ZSTD_LEVEL: i32 = 3;
/// What a zstd frame may ask its reader to keep: the largest its own library takes unasked.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;
/// Blocks of snappy-java's stream: the size Kafka's Java client writes.
const XERIAL_BLOCK_BYTES: usize = 32 * 1024;
/// Version and the oldest version that reads it, both 1.
const XERIAL_VERSIONS: [u8; 8] = [0, 0, 0, 1, 0, 0, 0, 1];
/// A snappy copy of 3 bytes gives at most 64: a block that claims more than 22 times its size lies.
const SNAPPY_EXPANSION_MAX: usize = 22;

/// Appends the compressed `records` to `out`.
pub(super) fn compress(codec: Compression, records: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    match codec {
        Compression::None => out.extend_from_slice(records),
        Compression::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(out, GZIP_LEVEL);
            encoder.write_all(records)?;
            encoder.finish()?;
        }
        Compression::Snappy => compress_xerial(records, out)?,
        Compression::Lz4 => {
            let frame = lz4_flex::frame::FrameInfo::new()
                .block_mode(lz4_flex::frame::BlockMode::Independent)
                .block_size(lz4_flex::frame::BlockSize::Max64KB);
            let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(frame, out);
            encoder.write_all(records)?;
            encoder.finish()?;
        }
        Compression::Zstd => {
            let mut encoder = zstd::stream::write::Encoder::new(out, ZSTD_LEVEL)?;
            encoder.set_pledged_src_size(Some(records.len() as u64))?;
            encoder.write_all(records)?;
            encoder.finish()?;
        }
    }
    Ok(())
}

/// The records behind `compressed`, at most `bytes_max` of them.
pub(super) fn decompress(
    codec: Compression,
    compressed: &[u8],
    bytes_max: usize,
) -> Result<Vec<u8>, BatchError> {
    match codec {
        Compression::None => Ok(compressed.to_vec()),
        Compression::Gzip => read_bounded(codec, flate2::read::MultiGzDecoder::new(compressed), bytes_max),
        Compression::Lz4 => read_bounded(codec, lz4_flex::frame::FrameDecoder::new(compressed), bytes_max),
        Compression::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(compressed).map_err(refused(codec))?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(refused(codec))?;
            read_bounded(codec, decoder, bytes_max)
        }
        Compression::Snappy => decompress_snappy(compressed, bytes_max),
    }
}

fn read_bounded(codec: Compression, reader: impl Read, bytes_max: usize) -> Result<Vec<u8>, BatchError> {
    let mut records = Vec::new();
    reader.take(bytes_max as u64 + 1).read_to_end(&mut records).map_err(refused(codec))?;
    if records.len() > bytes_max {
        return Err(BatchError::DecompressedTooLarge { limit: bytes_max });
    }
    Ok(records)
}

fn refused<E: std::fmt::Display>(codec: Compression) -> impl Fn(E) -> BatchError {
    move |error| BatchError::Decompress { codec: codec.name(), reason: error.to_string() }
}

/// `magic 8 | version 4 | oldest reader 4`, then blocks of `length 4, big-endian | snappy`.
fn compress_xerial(records: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    out.extend_from_slice(&XERIAL_MAGIC);
    out.extend_from_slice(&XERIAL_VERSIONS);
    let mut encoder = snap::raw::Encoder::new();
    for block in records.chunks(XERIAL_BLOCK_BYTES) {
        let compressed = encoder.compress_vec(block).map_err(io::Error::other)?;
        let length = u32::try_from(compressed.len()).map_err(io::Error::other)?;
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(&compressed);
    }
    Ok(())
}

fn decompress_snappy(compressed: &[u8], bytes_max: usize) -> Result<Vec<u8>, BatchError> {
    let mut records = Vec::new();
    if !compressed.starts_with(&XERIAL_MAGIC) {
        append_snappy_block(compressed, bytes_max, &mut records)?;
        return Ok(records);
    }
    let mut rest = compressed.get(XERIAL_MAGIC.len() + XERIAL_VERSIONS.len()..).unwrap_or_default();
    while !rest.is_empty() {
        let block = rest.split_first_chunk::<4>().and_then(|(length, after)| {
            let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
            after.split_at_checked(length)
        });
        let Some((block, after)) = block else {
            return Err(refused(Compression::Snappy)("a block is cut"));
        };
        append_snappy_block(block, bytes_max, &mut records)?;
        rest = after;
    }
    Ok(records)
}

fn append_snappy_block(block: &[u8], bytes_max: usize, records: &mut Vec<u8>) -> Result<(), BatchError> {
    let claimed = snap::raw::decompress_len(block).map_err(refused(Compression::Snappy))?;
    let begin = records.len();
    if claimed > bytes_max - begin {
        return Err(BatchError::DecompressedTooLarge { limit: bytes_max });
    }
    if claimed > block.len().saturating_mul(SNAPPY_EXPANSION_MAX) {
        return Err(refused(Compression::Snappy)("a block claims more than it can hold"));
    }
    records.resize(begin + claimed, 0);
    let room = records.get_mut(begin..).unwrap_or_default();
    let written = snap::raw::Decoder::new().decompress(block, room).map_err(refused(Compression::Snappy))?;
    records.truncate(begin + written);
    Ok(())
}
