//! What shards say to each other: one enum, owned data only.
//!
//! Requests and replies are gathered: what piles up while a message is on its way goes into the next one.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use storage::{AppendError, Appended, EpochEnd, PartitionUid, ProducerStanding, ShardRecovery};
use wire::batch::BatchHeader;
use wire::codes::ErrorCode;

use crate::catalog::{Catalog, Command, CommandError, Outcome, Record};
use crate::groups::{Answer, GroupError, GroupRequest, ListedGroup};
use crate::meta::Meta;
use crate::request::{FoundOffset, OffsetQuery, PartitionStanding};
use crate::shard::Addresses;

/// One message of the mesh.
pub(crate) enum ShardMessage {
    /// Steps of start and stop.
    Life(Box<LifeMessage>),
    /// Catalog records, in order: shard 0 to the others.
    Records(Vec<Record>),
    /// Every record up to this one is applied: to shard 0.
    Applied { revision: u64 },
    /// What the sender wants done, in order.
    Requests(Vec<ShardRequest>),
    /// What came of it.
    Replies(Vec<ShardReply>),
}

/// Start: `Begin` to each shard, `Listening` from each, `Serve` to each. Stop: `Drain`, `Drained`, `Close`, `Closed`,
/// `Leave`; shard 0 sends the commands and waits for all answers between. `Failed` ends a start everywhere.
pub(crate) enum LifeMessage {
    // Boxed: it holds the catalog, and a start is told once.
    Begin(Box<ShardStart>),
    Listening {
        own: SocketAddr,
    },
    Serve(Addresses),
    Failed {
        reason: String,
    },
    Drain,
    Drained,
    Close,
    /// The error, if the shard's storage did not stop well.
    Closed {
        error: Option<String>,
    },
    Leave,
}

/// What a shard needs to begin.
pub(crate) struct ShardStart {
    pub(crate) meta: Meta,
    pub(crate) recovery: ShardRecovery,
    pub(crate) catalog: Catalog,
    /// Where all shards listen; the port is the one that shard 0 got.
    pub(crate) shared: SocketAddr,
}

/// Something one shard asks of another.
pub(crate) struct ShardRequest {
    /// The asker's, repeated in the reply.
    pub(crate) id: u64,
    pub(crate) ask: Ask,
}

/// What is asked.
pub(crate) enum Ask {
    /// A validated batch whose partition lives there.
    Produce {
        uid: PartitionUid,
        batch: Bytes,
        header: BatchHeader,
    },
    Fetch {
        uid: PartitionUid,
        offset: i64,
        bytes_max: usize,
        bytes_min: usize,
        wait: Duration,
    },
    /// Whether there is a record at or after `offset`, after a wait for one.
    WaitPast {
        uid: PartitionUid,
        offset: i64,
        wait: Duration,
    },
    FindOffset {
        uid: PartitionUid,
        query: OffsetQuery,
    },
    /// The log begins at `offset` from now on.
    RaiseStart {
        uid: PartitionUid,
        offset: i64,
    },
    /// Several partitions at once.
    Standing {
        uids: Vec<PartitionUid>,
    },
    /// To a group that is kept there.
    Group {
        group: String,
        request: GroupRequest,
    },
    ListGroups,
    /// Where a leader epoch ended.
    EndOfEpoch {
        uid: PartitionUid,
        leader_epoch: i32,
    },
    /// The idempotent producers that are remembered.
    Producers {
        uid: PartitionUid,
    },
    /// Of shard 0 alone.
    Change(Command),
    DescribeShard,
}

/// The answer to a [`ShardRequest`].
pub(crate) struct ShardReply {
    pub(crate) id: u64,
    pub(crate) told: Told,
}

/// What is answered.
pub(crate) enum Told {
    Produced(Result<Appended, AppendError>),
    Fetched(CopiedFetch),
    Readable(bool),
    Offset(Result<FoundOffset, ErrorCode>),
    /// Where the log begins.
    Start(Result<i64, ErrorCode>),
    /// In the order of the question.
    Standing(Vec<Option<PartitionStanding>>),
    Group(Box<Answer>),
    Groups(Result<Vec<ListedGroup>, GroupError>),
    EndOfEpoch(Result<Option<EpochEnd>, ErrorCode>),
    Producers(Result<Vec<ProducerStanding>, ErrorCode>),
    Changed(Result<Outcome, CommandError>),
    /// JSON.
    Shard(serde_json::Value),
}

/// A fetch whose bytes have left their shard's buffers.
pub(crate) struct CopiedFetch {
    pub(crate) code: ErrorCode,
    pub(crate) offsets: storage::LogOffsets,
    pub(crate) bytes: Bytes,
    pub(crate) next_offset: i64,
}
