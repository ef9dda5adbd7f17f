//! Finds places in a log: of an offset, of a time. Control path: a reader that goes on reading does not come here.

use std::rc::Rc;

use runtime::file::{self, File};
use wire::batch::{BATCH_HEADER_BYTES, BatchHeader};

use crate::error::ReadError;
use crate::index::SegmentIndex;
use crate::limits::{COLD_READ_BYTES_MIN, page_ceil, page_floor};
use crate::log::close::{INDEX_FILE_BYTES_MAX, write_index};
use crate::log::read::Place;
use crate::log::segment::segment_path;
use crate::log::{Log, LogInner};

impl Log {
    /// The first batch with a record at or after this time: its base offset and largest timestamp. `None` where all
    /// records are older.
    pub async fn offset_at_time(&self, timestamp_ms: i64) -> Result<Option<(i64, i64)>, ReadError> {
        let log = &self.inner;
        log.load().await?;
        for segment_base in log.segment_bases() {
            let index = log.index_of(segment_base).await?;
            let Some(position) = index.position_at_time(timestamp_ms) else { continue };
            let mut found = None;
            let log_start = log.state.borrow().log_start;
            log.walk(Place { segment_base, position }, &mut |_, header| {
                let is_found = header.max_timestamp_ms >= timestamp_ms && header.next_offset() > log_start;
                if is_found {
                    found = Some((header.base_offset.max(log_start), header.max_timestamp_ms));
                }
                !is_found
            })
            .await?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// The batch with the largest timestamp, the earliest of equals: its base offset and that timestamp.
    pub async fn offset_of_max_timestamp(&self) -> Result<Option<(i64, i64)>, ReadError> {
        let log = &self.inner;
        log.load().await?;
        let mut largest = -1;
        for segment_base in log.segment_bases() {
            largest = largest.max(log.index_of(segment_base).await?.max_timestamp_ms());
        }
        if largest < 0 { Ok(None) } else { self.offset_at_time(largest).await }
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

impl LogInner {
    fn segment_bases(&self) -> Vec<i64> {
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
        let segment_base = self.state.borrow().segment_of(offset).ok_or_else(|| self.out_of_range(offset))?;
        let active =
            self.state.borrow().segment(segment_base).map(|segment| segment.index.position_before(offset));
        let position = match active {
            // An index that begins in the middle says 0 for what came before it: then the rest is made first.
            Some(0) | None => self.index_of(segment_base).await?.position_before(offset),
            Some(position) => position,
        };
        let mut found = None;
        self.walk_with(Place { segment_base, position }, kept, &mut |position, header| {
            if header.next_offset() > offset {
                found = Some(Place { segment_base, position });
            }
            found.is_none()
        })
        .await?;
        found.ok_or_else(|| self.out_of_range(offset))
    }

    fn out_of_range(&self, offset: i64) -> ReadError {
        let state = self.state.borrow();
        let (log_start, high_watermark) = (state.log_start, state.high_watermark);
        ReadError::OffsetOutOfRange { offset, log_start, high_watermark }
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
                break;
            }
        }
        Ok(())
    }

    /// The whole index of a segment: in memory, from its file, or made from the batches.
    pub(crate) async fn index_of(self: &Rc<Self>, segment_base: i64) -> Result<SegmentIndex, ReadError> {
        let (folder, resumed_at) = {
            let state = self.state.borrow();
            match state.segment(segment_base) {
                Some(segment) if segment.index_from == 0 => return Ok(segment.index.clone()),
                segment => (state.folder.clone(), segment.map(|segment| segment.index_from)),
            }
        };
        let path = segment_path(&folder, segment_base, "index");
        if resumed_at.is_none() && file::exists(&path).await? {
            let bytes = file::read_whole(&path, INDEX_FILE_BYTES_MAX).await?;
            if let Ok(index) = SegmentIndex::decode(&bytes, segment_base) {
                return Ok(index);
            }
        }
        let mut index = SegmentIndex::new(segment_base);
        self.walk(Place { segment_base, position: 0 }, &mut |position, header| {
            index.add(position, header, header.base_offset);
            true
        })
        .await?;
        match resumed_at {
            None => write_index(&folder, &index, segment_base).await,
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

    async fn walk(
        self: &Rc<Self>,
        from: Place,
        visit: &mut dyn FnMut(u64, &BatchHeader) -> bool,
    ) -> Result<(), ReadError> {
        self.walk_with(from, &mut None, visit).await
    }

    /// Calls `visit` with the position and header of each acknowledged batch of one segment, until it says false.
    async fn walk_with(
        self: &Rc<Self>,
        from: Place,
        kept: &mut Option<(i64, File)>,
        visit: &mut dyn FnMut(u64, &BatchHeader) -> bool,
    ) -> Result<(), ReadError> {
        let segment_base = from.segment_base;
        let mut position = from.position;
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
                continue;
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
                if !visit(position, &header) {
                    return Ok(());
                }
                position += header.length as u64;
            }
            if position == before {
                let length = start + pages.len() as u64;
                return Err(ReadError::ShortSegment { segment_base, length, expected: end });
            }
        }
    }
}
