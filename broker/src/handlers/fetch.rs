//! Reads batches: once, or again and again from one place. Hot path.

use std::time::Duration;

use futures_lite::future;
use runtime::clock;
use runtime::executor::ShardId;
use storage::{Cursor, Log, LogOffsets, PartitionUid};
use wire::codes::ErrorCode;

use crate::limits;
use crate::request::{BatchRun, FetchRequest, Fetched, NO_OFFSETS, PartitionName, read_code};
use crate::session::{Action, Resource, Session, authorize};
use crate::shard::{Ask, CopiedFetch, Route, Shard, Told};

/// A place in a partition's log, here or at another shard.
pub(crate) enum PartitionReader {
    Local {
        log: Log,
        cursor: Box<Cursor>,
    },
    /// With the offsets that were told last.
    Remote {
        shard: ShardId,
        uid: PartitionUid,
        offset: i64,
        offsets: LogOffsets,
    },
}

impl PartitionReader {
    /// A reader that begins at `offset`.
    pub(crate) fn open(
        shard: &Shard,
        session: &Session,
        partition: &PartitionName,
        offset: i64,
    ) -> Result<Self, ErrorCode> {
        authorize(session, Action::Read, Resource::TopicId(&partition.topic_id))
            .map_err(|_| ErrorCode::NotAuthorized)?;
        Ok(match shard.routes().find(partition)? {
            Route::Local(log) => Self::Local { log: log.clone(), cursor: Box::new(Cursor::at(offset)) },
            Route::Remote { shard, uid } => {
                Self::Remote { shard: *shard, uid: *uid, offset, offsets: NO_OFFSETS }
            }
        })
    }

    /// Where the next read begins.
    pub(crate) fn offset(&self) -> i64 {
        match self {
            Self::Local { cursor, .. } => cursor.offset(),
            Self::Remote { offset, .. } => *offset,
        }
    }

    /// Reads on from `offset`.
    pub(crate) fn seek(&mut self, to: i64) {
        match self {
            Self::Local { cursor, .. } => **cursor = Cursor::at(to),
            Self::Remote { offset, .. } => *offset = to,
        }
    }

    /// The log's offsets; where another shard has it, as they were when it was read last.
    pub(crate) fn offsets(&self) -> LogOffsets {
        match self {
            Self::Local { log, .. } => log.offsets(),
            Self::Remote { offsets, .. } => *offsets,
        }
    }

    /// Resolves when there is something to read, or an error to be found. Nothing is held meanwhile.
    pub(crate) async fn readable(&self, own: &Shard) {
        match self {
            Self::Local { log, cursor } => readable_past(log, cursor.offset()).await,
            Self::Remote { shard, uid, offset, .. } => loop {
                let ask = Ask::WaitPast { uid: *uid, offset: *offset, wait: limits::REMOTE_READ_WAIT };
                match own.lanes.ask(*shard, ask).await {
                    Some(Told::Readable(false)) => {}
                    // Gone, or there is something: reading tells.
                    _ => return,
                }
            },
        }
    }

    /// Whole batches from here on, at least one if there is one; nothing at the high watermark.
    pub(crate) async fn read(&mut self, own: &Shard, bytes_max: usize) -> Fetched {
        match self {
            Self::Local { log, cursor } => read_log(own, log, cursor, bytes_max).await,
            Self::Remote { shard, uid, offset, offsets } => {
                let (uid, offset_now, wait) = (*uid, *offset, Duration::ZERO);
                let ask = Ask::Fetch { uid, offset: offset_now, bytes_max, bytes_min: 0, wait };
                let fetched = ask_fetch(own, *shard, ask).await;
                if fetched.code.is_none() {
                    (*offset, *offsets) = (fetched.next_offset, fetched.offsets);
                }
                fetched
            }
        }
    }
}

/// Resolves when a read at `offset` has something to tell: batches, or that there is no such offset.
pub(super) async fn readable_past(log: &Log, offset: i64) {
    if offset <= log.offsets().high_watermark {
        log.wait_past(offset).await;
    }
}

async fn ask_fetch(own: &Shard, shard: ShardId, ask: Ask) -> Fetched {
    own.metrics.forwarded_requests.add(1);
    match own.lanes.ask(shard, ask).await {
        Some(Told::Fetched(CopiedFetch { code, offsets, bytes, next_offset })) => {
            Fetched { code, offsets, run: BatchRun::Copied(bytes), next_offset }
        }
        Some(_) => panic!("shard {shard} answered a fetch with something else"),
        None => Fetched::refused(ErrorCode::NotServing),
    }
}

async fn read_log(shard: &Shard, log: &Log, cursor: &mut Cursor, bytes_max: usize) -> Fetched {
    let read = log.read(cursor, bytes_max).await;
    let offsets = log.offsets();
    match read {
        Ok(slices) => Fetched {
            code: ErrorCode::None,
            offsets,
            run: BatchRun::Slices(slices),
            next_offset: cursor.offset(),
        },
        Err(error) => {
            let code = read_code(&error);
            // Whoever reads on while a topic is deleted needs no operator.
            if !matches!(code, ErrorCode::OffsetOutOfRange | ErrorCode::TopicDeleted)
                && let Some(left_out) = shard.said.read_failed.due()
            {
                tracing::warn!(%error, uid = %log.uid(), left_out, "a read failed");
            }
            Fetched { code, offsets, run: BatchRun::empty(), next_offset: -1 }
        }
    }
}

/// Reads once, waiting for `bytes_min` as long as the request says.
pub(crate) async fn fetch(shard: &Shard, session: &Session, request: &FetchRequest) -> Fetched {
    let FetchRequest { partition, offset, bytes_max, bytes_min, wait } = *request;
    match PartitionReader::open(shard, session, &partition, offset) {
        Ok(PartitionReader::Local { log, .. }) => {
            fetch_log(shard, &log, offset, bytes_max, bytes_min, wait).await
        }
        Ok(PartitionReader::Remote { shard: to, uid, .. }) => {
            ask_fetch(shard, to, Ask::Fetch { uid, offset, bytes_max, bytes_min, wait }).await
        }
        Err(code) => Fetched::refused(code),
    }
}

/// [`fetch`] of a log of this shard. Bytes are not pinned while it waits: it reads again when there is more.
pub(super) async fn fetch_log(
    shard: &Shard,
    log: &Log,
    offset: i64,
    bytes_max: usize,
    bytes_min: usize,
    wait: Duration,
) -> Fetched {
    let deadline = clock::now() + wait.min(limits::FETCH_WAIT_MAX);
    loop {
        let mut cursor = Cursor::at(offset);
        let fetched = read_log(shard, log, &mut cursor, bytes_max).await;
        let enough = fetched.run.len() >= bytes_min.min(bytes_max);
        if enough || !fetched.code.is_none() || clock::now() >= deadline {
            return fetched;
        }
        let end = fetched.offsets.high_watermark;
        drop(fetched);
        let grown = async { log.wait_past(end).await };
        future::or(grown, clock::sleep_until(deadline)).await;
    }
}
