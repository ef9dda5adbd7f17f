//! What the storage of a shard is told from outside: where its data lies, how durable a write has to be, how much
//! memory it may use, and what each partition is called. Plain values, `Send`, copied to every shard.

use std::path::{Path, PathBuf};

use runtime::executor::ShardId;

use crate::limits;

/// What an acknowledgement promises, for the whole broker. The two are never mixed in one ring: a durable write does
/// not make the plain writes before it durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// On the device: survives a power cut.
    Fsync,
    /// In the kernel: survives a crash of the process, as Kafka's default does.
    Written,
}

/// As `--durability` takes it.
impl std::fmt::Display for Durability {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Fsync => "fsync",
            Self::Written => "written",
        })
    }
}

/// The number of a partition for all its life; the catalog gives it and never gives it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionUid(pub u64);

impl std::fmt::Display for PartitionUid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// The settings of a topic that its logs obey.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// A segment that would grow beyond this is closed and the next begun (`segment.bytes`).
    pub segment_bytes_max: u64,
    /// The largest batch accepted, header included (`max.message.bytes`).
    pub batch_bytes_max: u32,
    /// Segments whose newest record is older go (`retention.ms`); `None`: by age nothing goes.
    pub retention_ms: Option<i64>,
    /// The oldest segments go while the log is longer without them (`retention.bytes`); `None`: by size nothing goes.
    pub retention_bytes: Option<u64>,
    /// A segment whose first batch is older is closed and the next begun (`segment.ms`).
    pub segment_ms: Option<i64>,
    /// Records without a key are refused (`cleanup.policy` with `compact`).
    pub needs_keys: bool,
    /// The broker gives records their time (`message.timestamp.type`).
    pub log_append_time: bool,
    /// Else: how far a record's time may lie before and after now (`message.timestamp.before.max.ms`, `.after.max.ms`).
    pub timestamp_before_ms_max: Option<i64>,
    pub timestamp_after_ms_max: Option<i64>,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self {
            segment_bytes_max: limits::SEGMENT_BYTES_DEFAULT,
            batch_bytes_max: limits::BATCH_BYTES_DEFAULT,
            retention_ms: None,
            retention_bytes: None,
            segment_ms: None,
            needs_keys: false,
            log_append_time: false,
            timestamp_before_ms_max: None,
            timestamp_after_ms_max: None,
        }
    }
}

/// One partition as the catalog describes it.
#[derive(Clone, Debug)]
pub struct PartitionSpec {
    pub uid: PartitionUid,
    /// Relative to the data folder: `topics/<topic>/<partition>-<uid>`.
    pub folder: PathBuf,
    /// The shard that owns the partition from this start on.
    pub shard: ShardId,
    /// Stamped into every batch appended from now on; it only grows.
    pub leader_epoch: i32,
    pub settings: LogSettings,
}

/// How one shard stores its partitions.
#[derive(Clone, Debug)]
pub struct StorageOptions {
    pub data: PathBuf,
    pub durability: Durability,
    /// The number of shards of the last start whose placement was made durable, 0 where there was none: so many rings have
    /// to be there, and a recovery that misses one refuses to start.
    pub rings_before: u16,
    /// This shard's share of the broker's memory: unjournaled batches, dirty bytes, caches and reads together.
    pub memory_bytes: usize,
    pub ring_files: u32,
    /// A multiple of 4 KiB.
    pub ring_file_bytes: u64,
    /// The largest gathered journal write.
    pub journal_write_bytes_max: usize,
    /// The largest single write to a segment.
    pub chunk_bytes_max: usize,
    /// From this many pending bytes on, a partition's whole pages go to its segment and not through the ring.
    pub bypass_bytes_min: usize,
    /// The first piece of disk space a segment takes; each next one is twice as large, up to
    /// [`limits::ALLOCATION_STEP_BYTES_MAX`].
    pub allocation_step_bytes_min: u64,
    /// Recover what is sound where a start would refuse. For [`crate::repair`], never for a broker.
    pub salvage: bool,
}

impl StorageOptions {
    pub fn new(data: impl Into<PathBuf>) -> Self {
        Self {
            data: data.into(),
            durability: Durability::Fsync,
            rings_before: 0,
            memory_bytes: 1 << 30,
            ring_files: limits::RING_FILES_DEFAULT,
            ring_file_bytes: limits::RING_FILE_BYTES_DEFAULT,
            journal_write_bytes_max: limits::JOURNAL_WRITE_BYTES_MAX,
            chunk_bytes_max: limits::CHUNK_BYTES_MAX,
            bypass_bytes_min: limits::BYPASS_BYTES_MIN,
            allocation_step_bytes_min: limits::ALLOCATION_STEP_BYTES_MIN,
            salvage: false,
        }
    }

    pub(crate) fn ring_bytes(&self) -> u64 {
        u64::from(self.ring_files) * self.ring_file_bytes
    }

    /// The folder of the ring with this number. Rings are numbered as shards are, but a start with fewer shards finds
    /// rings that no shard owns any more.
    pub(crate) fn ring_folder(&self, ring: u16) -> PathBuf {
        self.rings_folder().join(ring.to_string())
    }

    pub(crate) fn rings_folder(&self) -> PathBuf {
        self.data.join("journal")
    }

    pub(crate) fn partition_folder(&self, folder: &Path) -> PathBuf {
        self.data.join(folder)
    }

    /// Journaled bytes that are not yet in a segment: at most half the ring, so that the ring is never the limit, and
    /// a quarter of the memory.
    pub(crate) fn dirty_bytes_max(&self) -> u64 {
        (self.ring_bytes() / 2).min(self.memory_bytes as u64 / 4)
    }

    /// Batches taken in and not yet journaled; beyond it [`crate::Store::has_room`] says no.
    pub(crate) fn pending_bytes_max(&self) -> usize {
        self.memory_bytes / 8
    }

    /// Bytes kept in memory for readers near the tail, dirty ones included.
    pub(crate) fn cache_bytes_max(&self) -> usize {
        self.memory_bytes / 2
    }

    /// Bytes fetched ahead for cold readers, of all cursors together; beyond it they read when they are asked.
    pub(crate) fn read_ahead_bytes_max(&self) -> usize {
        self.memory_bytes / 24
    }
}

/// The limits of what a shard's storage holds in memory, in bytes. Together at most [`StorageOptions::memory_bytes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryShare {
    /// Batches taken in and not journaled.
    pub pending_bytes: usize,
    /// For readers near the tail, the journaled bytes that are in no segment included.
    pub cache_bytes: usize,
    /// Copies of journaled bytes in the buffers from which segments are written: each once at most. What goes round the
    /// journal counts as pending until it is acknowledged.
    pub run_bytes: usize,
    pub read_ahead_bytes: usize,
}

impl StorageOptions {
    /// How the memory is divided.
    pub fn share(&self) -> MemoryShare {
        MemoryShare {
            pending_bytes: self.pending_bytes_max(),
            cache_bytes: self.cache_bytes_max(),
            run_bytes: self.dirty_bytes_max() as usize,
            read_ahead_bytes: self.read_ahead_bytes_max(),
        }
    }

    /// A batch that is too small for a bypass must fit into a journal write, with a page's beginning before it.
    pub(crate) fn assert_sound(&self, ring_file_bytes: u64) {
        let write_bytes_max = self.journal_write_bytes_max;
        let entry_bytes_max = self.bypass_bytes_min + 2 * limits::PAGE as usize;
        assert!(
            entry_bytes_max <= write_bytes_max,
            "{entry_bytes_max} bytes do not fit into a write of {write_bytes_max}"
        );
        assert!(
            write_bytes_max as u64 <= ring_file_bytes,
            "a write of {write_bytes_max} in a file of {ring_file_bytes}"
        );
    }
}
