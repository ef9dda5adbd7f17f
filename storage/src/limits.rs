//! Every bound of the storage, with its arithmetic and what happens there.

use runtime::buffer::PAGE_BYTES;

/// Direct I/O and journal writes go in pages of this size.
pub const PAGE: u64 = PAGE_BYTES as u64;

/// `segment.bytes`, as Kafka's default.
pub const SEGMENT_BYTES_DEFAULT: u64 = 1 << 30;
/// Positions in a segment are kept in 32 bits in the indexes; Kafka's own bound is the same.
pub const SEGMENT_BYTES_MAX: u64 = (1 << 31) - 1;
/// Kafka's `max.message.bytes` default is 1 MiB and 12 bytes; large batches are what this log is good at.
pub const BATCH_BYTES_DEFAULT: u32 = 8 << 20;

/// A ring of 256 MiB bounds what a recovery has to redo to about a third of a second of this disk's writing.
pub const RING_FILES_DEFAULT: u32 = 4;
pub const RING_FILE_BYTES_DEFAULT: u64 = 64 << 20;
/// A ring needs somewhere to go while the oldest file is still needed.
pub const RING_FILES_MIN: u32 = 2;

/// Space of a new table slot: 1,362 partitions. It is taken ahead, because a disk that is full must not stop the ring.
pub const TABLE_BYTES_RESERVED: u64 = 64 << 10;

/// Larger gathered writes gain nothing (2.2 GB/s at 1 MiB) and make the next one wait longer.
pub const JOURNAL_WRITE_BYTES_MAX: usize = 1 << 20;
pub const CHUNK_BYTES_MAX: usize = 1 << 20;
/// What a smaller journal write brings is copied for the cache: one record of 100 bytes would keep 8 KiB of pages there.
pub const SHARED_WRITE_BYTES_MIN: usize = 64 << 10;
/// What a slice in the cache takes beside its bytes: its place in the tail, in the order of the cache, its mark.
pub const SLICE_BYTES: usize = 160;
/// What a read returns keeps at most so many times its own bytes in buffers; where it would be more, it is a copy. A run of
/// 1 MiB out of buffers of 1 MiB keeps up to three, and is worth no copy; records of a hundred partitions that shared a
/// journal write would each keep all of it for as long as a slow reader takes.
pub const KEPT_PER_BYTE_READ_MAX: usize = 4;
/// On an idle disk writing twice costs more than a second flush from about 64 to 128 KiB on. But a log that goes round the
/// journal takes turns with it, and beside others a gathered write costs less processor time (`docs/performance.md`, 64 KiB
/// batches). Where the disk cannot keep up, more is pending, and this is reached by itself.
pub const BYPASS_BYTES_MIN: usize = 500 << 10;
/// A compressed batch is opened to find a time or keys in it if it holds no more than this.
pub const OPENED_BATCH_BYTES_MAX: usize = wire::limits::OPENED_BATCH_BYTES_MAX;
/// Of a batch that is refused for them, so many records without a key are named.
pub const KEYLESS_RECORDS_NAMED_MAX: usize = 1_000;
/// One run writes at most this much unless a single batch is larger: it bounds the copies in memory.
pub const RUN_BYTES_MAX: u64 = 8 << 20;
/// Chunks of one run under way at once.
pub const RUN_CHUNKS_IN_FLIGHT: usize = 4;
/// Checkpoint runs under way at once while there is time: beside more the journal's writes take several times as long
/// (`docs/performance.md`, the journal beside chunks).
pub const CHECKPOINT_RUNS_PACED: usize = 2;
/// Checkpoint runs under way at once when the dirty budget is half used: many small partitions need depth.
pub const CHECKPOINT_RUNS_PRESSED: usize = 16;

pub const ALLOCATION_STEP_BYTES_MIN: u64 = 128 << 10;
pub const ALLOCATION_STEP_BYTES_MAX: u64 = 64 << 20;
/// Logs being opened, extended or rolled at once on a shard; the others wait their turn.
pub const OPENINGS_IN_FLIGHT: usize = 64;

/// An index entry each so many bytes: 512 KiB of index in memory for a full segment of 1 GiB.
pub const INDEX_INTERVAL_BYTES: u64 = 32 << 10;

/// Idempotent producers remembered for a partition; beyond it the one silent for longest is forgotten: a retry of its
/// last batch would be stored twice.
pub const PRODUCERS_PER_PARTITION_MAX: usize = 4096;
/// A producer that is silent for longer is forgotten, as with Kafka's `producer.id.expiration.ms`.
pub const PRODUCER_HOURS_REMEMBERED: u8 = 24;
/// A producer may have five requests in flight, so a retry can only be one of its last five batches (Kafka's rule).
pub const PRODUCER_BATCHES_REMEMBERED: usize = 5;
/// Producer state is written down after this much was appended: a start scans at most this much of a log.
pub const PRODUCER_SNAPSHOT_INTERVAL_BYTES: u64 = 64 << 20;

/// A cold read takes at least this much from the disk, and up to the larger figure for one who goes on reading.
pub const COLD_READ_BYTES_MIN: usize = 64 << 10;
pub const COLD_READ_BYTES_MAX: usize = 1 << 20;

/// Freeing space goes in steps of this size, this far apart: one large unlink on a disk mounted with discard holds up
/// every journal write for milliseconds.
pub const DELETE_STEP_BYTES: u64 = 4 << 20;
pub const DELETE_STEP_INTERVAL_MS: u64 = 10;

/// A round of retention reads at most so many folders, indexes and first batches, some milliseconds of a disk's time; what is known in
/// memory it looks at in any case.
pub const RETENTION_READS_A_ROUND: usize = 64;

/// So often everything dirty is written to its segment although nothing presses, and files of partitions that have gone idle are let
/// go: a look at every log of the shard.
pub const CHECKPOINT_AGE_MS: u64 = 4_000;
/// After this long without an append everything dirty is written and the table names the last write.
pub const CHECKPOINT_QUIET_MS: u64 = 1_000;

const _: () = assert!((JOURNAL_WRITE_BYTES_MAX as u64).is_multiple_of(PAGE));
const _: () = assert!((CHUNK_BYTES_MAX as u64).is_multiple_of(PAGE));
const _: () = assert!(RING_FILE_BYTES_DEFAULT.is_multiple_of(PAGE));
const _: () = assert!(TABLE_BYTES_RESERVED.is_multiple_of(PAGE));
const _: () = assert!(RING_FILE_BYTES_DEFAULT >= 2 * JOURNAL_WRITE_BYTES_MAX as u64);
const _: () = assert!(BYPASS_BYTES_MIN < JOURNAL_WRITE_BYTES_MAX / 2);

/// The beginning of the page that holds `position`.
pub(crate) const fn page_floor(position: u64) -> u64 {
    position & !(PAGE - 1)
}

/// The end of the page that holds the last byte before `position`.
pub(crate) const fn page_ceil(position: u64) -> u64 {
    position.next_multiple_of(PAGE)
}
