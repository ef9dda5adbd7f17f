//! Finds places in a log: of an offset, of a time. Control path: a reader that goes on reading does not come here.

use std::rc::Rc;

use bytes::Bytes;
use runtime::file::{self, File};
use runtime::task;
use wire::batch::{BATCH_HEADER_BYTES, BatchError, BatchHeader, Compression};

use crate::error::ReadError;
use crate::index::SegmentIndex;
use crate::limits::{self, COLD_READ_BYTES_MIN, page_ceil, page_floor};
use crate::log::close::{INDEX_FILE_BYTES_MAX, write_index};
use crate::log::read::{Cursor, Place};
use crate::log::segment::segment_path;
use crate::log::{Log, LogInner};

impl Log {
    /// The first record at or after this time: its offset and timestamp. `None` where all records are older. A compressed batch
    /// is opened for it, on a thread beside the shard; one that cannot be, or holds more than 8 MiB, is told by its first offset
    /// and its largest timestamp.
    pub async fn offset_at_time(&self, timestamp_ms: i64) -> Result<Option<(i64, i64)>, ReadError> {
        self.while_it_starts_there(async || self.find_time(timestamp_ms).await).await
    }

    /// Looks once more where the start was raised meanwhile: segments that were looked at may be gone.
    async fn while_it_starts_there<T>(
        &self,
        look: impl AsyncFn() -> Result<T, ReadError>,
    ) -> Result<T, ReadError> {
        loop {
            let log_start = self.offsets().log_start;
            match look().await {
                Err(_) if self.offsets().log_start > log_start => {}
                outcome => return outcome.map_err(|error| self.inner.removed_or(error)),
            }
        }
    }

    async fn find_time(&self, timestamp_ms: i64) -> Result<Option<(i64, i64)>, ReadError> {
        let log = &self.inner;
        log.load().await?;
        for segment_base in log.segment_bases() {
            let index = log.index_of(segment_base).await?;
            let mut next = index.position_at_time(timestamp_ms);
            while let Some(position) = next {
                let from = Place { segment_base, position };
                let Some((position, header)) = log.batch_at_time(from, timestamp_ms).await? else { break };
                let place = Place { segment_base, position };
                let found = self.record_of(place, &header, timestamp_ms, first_at_time).await?;
                if found.is_some() {
                    return Ok(found);
                }
                // Only its header claimed so late a time, or the log begins behind the record.
                next = Some(position + header.length as u64);
            }
        }
        Ok(None)
    }

    /// The record of a batch that `look` finds for a time, from the log's start on.
    async fn record_of(
        &self,
        place: Place,
        header: &BatchHeader,
        timestamp_ms: i64,
        look: Look,
    ) -> Result<Option<(i64, i64)>, ReadError> {
        let from = header.base_offset.max(self.offsets().log_start);
        if header.attributes.is_log_append_time() {
            return Ok(Some((from, header.max_timestamp_ms)));
        }
        let slices = self.read(&mut Cursor::at(from), 1).await?;
        let batch: Bytes = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
        let Place { segment_base, position } = place;
        if header.attributes.compression() == Ok(Compression::None) {
            let found = look(&batch, from, timestamp_ms);
            return found.map_err(|source| ReadError::RottenBatch { segment_base, position, source });
        }
        let _turn = self.inner.shard.decompressions.acquire(1).await;
        let found = task::run_blocking(move || look(&batch, from, timestamp_ms)).await;
        // Only its producer knows what is in it: it was stored unopened.
        Ok(found.unwrap_or(Some((from, header.max_timestamp_ms))))
    }

    /// The record with the largest timestamp, the earliest of equals: its offset and that timestamp; as
    /// [`Log::offset_at_time`] finds it.
    pub async fn offset_of_max_timestamp(&self) -> Result<Option<(i64, i64)>, ReadError> {
        self.while_it_starts_there(async || self.find_max_timestamp().await).await
    }

    async fn find_max_timestamp(&self) -> Result<Option<(i64, i64)>, ReadError> {
        let log = &self.inner;
        log.load().await?;
        let mut largest = -1;
        for segment_base in log.segment_bases() {
            largest = largest.max(self.max_timestamp_of(segment_base).await?);
        }
        if largest < 0 { Ok(None) } else { self.find_time(largest).await }
    }

    /// The largest timestamp of a segment's records at or behind the start; -1 where there is none.
    async fn max_timestamp_of(&self, segment_base: i64) -> Result<i64, ReadError> {
        let log = &self.inner;
        let log_start = self.offsets().log_start;
        if segment_base >= log_start {
            return Ok(log.index_of(segment_base).await?.max_timestamp_ms());
        }
        // The index speaks of what lies below the start too.
        let (mut largest, mut cut) = (-1, None);
        let from = Place { segment_base, position: 0 };
        log.walk(from, &mut |position, header| {
            if header.base_offset >= log_start {
                largest = largest.max(header.max_timestamp_ms);
            } else if header.next_offset() > log_start {
                cut = Some((position, *header));
            }
            true
        })
        .await?;
        if let Some((position, header)) = cut {
            let place = Place { segment_base, position };
            let found = self.record_of(place, &header, i64::MIN, largest_timestamp).await?;
            largest = found.map_or(largest, |(_, timestamp_ms)| largest.max(timestamp_ms));
        }
        Ok(largest)
    }

    /// Bytes in the log's segments, those only in memory and in the ring included.
    pub async fn bytes(&self) -> Result<u64, ReadError> {
        self.inner.load().await?;
        let state = self.inner.state.borrow();
        let closed: u64 = state.closed.iter().map(|segment| segment.length).sum();
        Ok(closed + state.open.iter().map(|segment| segment.durable_end).sum::<u64>())
    }

    pub async fn segment_count(&self) -> Result<usize, ReadError> {
        self.inner.load().await?;
        let state = self.inner.state.borrow();
        Ok(state.closed.len() + state.open.len())
    }
}

/// Finds a record of a batch, from an offset on, for a time: its offset and timestamp.
type Look = fn(&Bytes, i64, i64) -> Result<Option<(i64, i64)>, BatchError>;

/// The first record of a batch from an offset on that is not before a time.
fn first_at_time(batch: &Bytes, from: i64, timestamp_ms: i64) -> Result<Option<(i64, i64)>, BatchError> {
    for record in wire::batch::records_within(batch, limits::OPENED_BATCH_BYTES_MAX)? {
        let record = record?;
        if record.offset >= from && record.timestamp_ms >= timestamp_ms {
            return Ok(Some((record.offset, record.timestamp_ms)));
        }
    }
    Ok(None)
}

/// The record of a batch from an offset on that has the largest timestamp.
fn largest_timestamp(batch: &Bytes, from: i64, _: i64) -> Result<Option<(i64, i64)>, BatchError> {
    let mut largest: Option<(i64, i64)> = None;
    for record in wire::batch::records_within(batch, limits::OPENED_BATCH_BYTES_MAX)? {
        let record = record?;
        let is_larger = largest.is_none_or(|(_, timestamp_ms)| record.timestamp_ms > timestamp_ms);
        if record.offset >= from && is_larger {
            largest = Some((record.offset, record.timestamp_ms));
        }
    }
    Ok(largest)
}

impl LogInner {
    /// The first batch from a place on, within its segment, whose largest timestamp is not before `timestamp_ms`: its position
    /// and header.
    async fn batch_at_time(
        self: &Rc<Self>,
        from: Place,
        timestamp_ms: i64,
    ) -> Result<Option<(u64, BatchHeader)>, ReadError> {
        let log_start = self.state.borrow().log_start;
        let mut found = None;
        self.walk(from, &mut |position, header| {
            if header.max_timestamp_ms >= timestamp_ms && header.next_offset() > log_start {
                found = Some((position, *header));
            }
            found.is_none()
        })
        .await?;
        Ok(found)
    }

    /// The largest timestamp of a segment's first batch; -1 without one.
    pub(crate) async fn first_timestamp_of(self: &Rc<Self>, segment_base: i64) -> Result<i64, ReadError> {
        let mut first_ms = -1;
        self.walk(Place { segment_base, position: 0 }, &mut |_, header| {
            first_ms = header.max_timestamp_ms;
            false
        })
        .await?;
        Ok(first_ms)
    }

    pub(crate) fn segment_bases(&self) -> Vec<i64> {
        let state = self.state.borrow();
        let closed = state.closed.iter().map(|segment| segment.base_offset);
        closed.chain(state.open.iter().map(|segment| segment.base_offset)).collect()
    }

    /// The place of the batch that holds `offset`, which the caller has found to be below the high watermark.
    pub(crate) async fn locate(
        self: &Rc<Self>,
        offset: i64,
        kept: &mut Option<(i64, File)>,
    ) -> Result<Place, ReadError> {
        let Some(segment_base) = self.state.borrow().segment_of(offset) else {
            return Err(self.not_found(offset));
        };
        let active =
            self.state.borrow().segment(segment_base).map(|segment| segment.index.batch_before(offset));
        let start = match active {
            // An index that begins in the middle says 0 for what came before it: then the rest is made first.
            Some((_, 0)) | None => self.index_of(segment_base).await.map(|index| index.batch_before(offset)),
            Some(start) => Ok(start),
        };
        if let Ok(start) = start
            && start.1 > 0
            && let Ok(Some(place)) = self.find(segment_base, start, offset, kept).await
        {
            return Ok(place);
        }
        // The index could not be made or leads astray. What is sound before the damage is served all the same.
        let found = self.find(segment_base, (segment_base, 0), offset, kept).await?;
        found.ok_or_else(|| self.not_found(offset))
    }

    /// Walks one segment from a batch with this base offset and position to the one that holds `offset`.
    async fn find(
        self: &Rc<Self>,
        segment_base: i64,
        (first_offset, position): (i64, u64),
        offset: i64,
        kept: &mut Option<(i64, File)>,
    ) -> Result<Option<Place>, ReadError> {
        let (mut found, mut astray) = (None, None);
        self.walk_with(Place { segment_base, position }, kept, &mut |at, header| {
            if at == position && header.base_offset != first_offset {
                astray = Some(header.base_offset);
            } else if header.next_offset() > offset {
                found = Some(Place { segment_base, position: at });
            }
            found.is_none() && astray.is_none()
        })
        .await?;
        match astray {
            Some(found) => {
                Err(ReadError::WrongOffset { segment_base, position, found, expected: first_offset })
            }
            None => Ok(found),
        }
    }

    /// Below the log's start, or lost: what is acknowledged and not freed has to be in a segment.
    fn not_found(&self, offset: i64) -> ReadError {
        let state = self.state.borrow();
        let (log_start, high_watermark) = (state.log_start, state.high_watermark);
        if offset < log_start || offset > high_watermark {
            return ReadError::OffsetOutOfRange { offset, log_start, high_watermark };
        }
        let bases = state.closed.iter().map(|segment| segment.base_offset);
        let bases = bases.chain(state.open.iter().map(|segment| segment.base_offset));
        ReadError::MissingOffset { offset, next_segment: bases.filter(|base| *base > offset).min() }
    }

    /// Calls `visit` with the batches of `[from, to)`, in order.
    pub(crate) async fn scan(
        self: &Rc<Self>,
        from: i64,
        to: i64,
        visit: &mut dyn FnMut(&BatchHeader),
    ) -> Result<(), ReadError> {
        let mut offset = from;
        while offset < to {
            let place = self.locate(offset, &mut None).await?;
            let before = offset;
            self.walk(place, &mut |_, header| {
                if header.base_offset >= from {
                    visit(header);
                }
                offset = header.next_offset();
                offset < to
            })
            .await?;
            if offset == before {
                return Err(self.not_found(offset));
            }
        }
        Ok(())
    }

    /// The whole index of a segment: in memory, from its file, or made from the batches.
    pub(crate) async fn index_of(self: &Rc<Self>, segment_base: i64) -> Result<SegmentIndex, ReadError> {
        let (uid, folder, resumed_at) = {
            let state = self.state.borrow();
            match state.segment(segment_base) {
                Some(segment) if segment.index_from == 0 => return Ok(segment.index.clone()),
                segment => (state.uid, state.folder.clone(), segment.map(|segment| segment.index_from)),
            }
        };
        let path = segment_path(&folder, segment_base, "index");
        // Missing, unreadable, damaged or another segment's: it is made again.
        if resumed_at.is_none()
            && let Ok(bytes) = file::read_whole(&path, INDEX_FILE_BYTES_MAX).await
            && let Ok(index) = SegmentIndex::decode(&bytes, uid, segment_base)
        {
            return Ok(index);
        }
        let mut index = SegmentIndex::new(segment_base);
        self.walk(Place { segment_base, position: 0 }, &mut |position, header| {
            index.add(position, header, header.base_offset);
            true
        })
        .await?;
        match resumed_at {
            None => write_index(&folder, &index, uid, segment_base).await,
            Some(_) => self.complete_index(segment_base, &index),
        }
        Ok(index)
    }

    /// Gives an open segment the part of its index that an earlier process had made.
    fn complete_index(&self, segment_base: i64, whole: &SegmentIndex) {
        let mut state = self.state.borrow_mut();
        if let Some(segment) = state.open.iter_mut().find(|segment| segment.base_offset == segment_base)
            && segment.durable_end == segment.end
        {
            segment.index = whole.clone();
            segment.index_from = 0;
        }
    }

    pub(crate) async fn walk(
        self: &Rc<Self>,
        from: Place,
        visit: &mut dyn FnMut(u64, &BatchHeader) -> bool,
    ) -> Result<(), ReadError> {
        self.walk_with(from, &mut None, visit).await
    }

    /// Calls `visit` with the position and header of each acknowledged batch of one segment, until it says false. Offsets
    /// have to go on from batch to batch, and to begin with the segment's where the walk does.
    async fn walk_with(
        self: &Rc<Self>,
        from: Place,
        kept: &mut Option<(i64, File)>,
        visit: &mut dyn FnMut(u64, &BatchHeader) -> bool,
    ) -> Result<(), ReadError> {
        let segment_base = from.segment_base;
        let mut position = from.position;
        let mut expected = (position == 0).then_some(segment_base);
        loop {
            let Some((end, written_to)) = self.state.borrow().ends(segment_base) else { return Ok(()) };
            if position >= end {
                return Ok(());
            }
            let in_memory = self.state.borrow().header_in_memory(Place { segment_base, position });
            if let Some(header) = in_memory {
                if !visit(position, &header) {
                    return Ok(());
                }
                position += header.length as u64;
                expected = Some(header.next_offset());
                continue;
            }
            if position >= written_to {
                // Neither in memory nor in the file: a damaged length has led here.
                return Err(ReadError::ShortSegment { segment_base, length: written_to, expected: end });
            }
            let file = self.file_of(segment_base, kept).await?;
            let start = page_floor(position);
            let length = page_ceil(written_to - start).min(COLD_READ_BYTES_MIN as u64 + 4096) as usize;
            let pages = self.read_pages(&file, start, length).await?;
            let readable = pages.len().min((written_to - start) as usize);
            let before = position;
            while let Some(bytes) =
                pages.get((position - start) as usize..readable).filter(|b| b.len() >= BATCH_HEADER_BYTES)
            {
                let header = BatchHeader::parse(bytes).map_err(|source| ReadError::RottenBatch {
                    segment_base,
                    position,
                    source,
                })?;
                if let Some(expected) = expected.filter(|expected| *expected != header.base_offset) {
                    let found = header.base_offset;
                    return Err(ReadError::WrongOffset { segment_base, position, found, expected });
                }
                if !visit(position, &header) {
                    return Ok(());
                }
                position += header.length as u64;
                expected = Some(header.next_offset());
            }
            if position == before {
                let length = start + pages.len() as u64;
                return Err(ReadError::ShortSegment { segment_base, length, expected: end });
            }
        }
    }
}
