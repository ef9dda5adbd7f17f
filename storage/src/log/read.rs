//! Reads whole batches: from the shard's memory near the tail, from the segment otherwise. Hot path.
//!
//! A cursor that goes on reading keeps its place and does not search the index again. Cold bytes are read directly, in
//! whole pages, with checksums checked; the next piece is fetched while the last is being sent.

use std::rc::Rc;

use runtime::buffer::Buffer;
use runtime::file::{Access, Create, File, FileError, OpenOptions};
use runtime::task::{self, JoinHandle};
use wire::batch::{self, BATCH_HEADER_BYTES, BatchHeader};

use crate::error::ReadError;
use crate::limits::{COLD_READ_BYTES_MAX, COLD_READ_BYTES_MIN, page_ceil, page_floor};
use crate::log::segment::segment_path;
use crate::log::state::LogState;
use crate::log::{Log, LogInner};
use crate::slice::Slice;
use crate::stats;

/// A reader's place in a log.
pub struct Cursor {
    offset: i64,
    place: Option<Place>,
    file: Option<(i64, File)>,
    /// How much the next cold read takes; it grows while the reader goes on.
    window: usize,
    ahead: Option<Ahead>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) segment_base: i64,
    pub(crate) position: u64,
}

/// Pages being fetched for the next read.
struct Ahead {
    segment_base: i64,
    position: u64,
    /// One past the last byte that was in the file when the fetch began.
    valid_to: u64,
    pages: JoinHandle<Result<(Buffer, AheadBytes), FileError>>,
}

/// Memory that is held for what a cursor may read next; counted until it is read, or until cursor and read are gone.
struct AheadBytes {
    log: Rc<LogInner>,
    bytes: u64,
}

impl AheadBytes {
    /// `None` where the cursors of the shard hold all they may. One alone is let through.
    fn reserve(log: &Rc<LogInner>, bytes: usize) -> Option<Self> {
        let counter = &log.shard.counters.read_ahead_bytes;
        let (before, held) = (counter.get(), counter.get() + bytes as u64);
        if before > 0 && held > log.shard.options.read_ahead_bytes_max() as u64 {
            return None;
        }
        counter.set(held);
        Some(Self { log: log.clone(), bytes: bytes as u64 })
    }
}

impl Drop for AheadBytes {
    fn drop(&mut self) {
        let held = &self.log.shard.counters.read_ahead_bytes;
        held.set(held.get() - self.bytes);
    }
}

/// Pages of a segment, and one past the last byte of the log in them: behind it they may be older than the file is now.
struct Pages {
    buffer: Buffer,
    valid_to: u64,
}

impl Cursor {
    /// A reader that begins with the batch that holds `offset`.
    pub fn at(offset: i64) -> Self {
        Self { offset, place: None, file: None, window: COLD_READ_BYTES_MIN, ahead: None }
    }

    /// The next offset to be read.
    pub fn offset(&self) -> i64 {
        self.offset
    }
}

/// What a segment holds that readers may see.
#[derive(Clone, Copy)]
struct Bounds {
    /// One past the last acknowledged byte.
    end: u64,
    /// One past the last byte in the file.
    written_to: u64,
    /// The segment after it, if there is one.
    next: Option<i64>,
}

impl Log {
    /// Whole batches from the one that holds the cursor's offset, at least one even if it is larger than `bytes_max`; nothing
    /// at the high watermark. The cursor moves past what is returned.
    pub async fn read(&self, cursor: &mut Cursor, bytes_max: usize) -> Result<Vec<Slice>, ReadError> {
        let read = self.read_from(cursor, bytes_max).await;
        read.map_err(|error| self.inner.freed_or(cursor.offset, error))
    }

    async fn read_from(&self, cursor: &mut Cursor, bytes_max: usize) -> Result<Vec<Slice>, ReadError> {
        let log = &self.inner;
        log.load().await?;
        if !log.has_something_at(cursor.offset)? {
            return Ok(Vec::new());
        }
        loop {
            let place = match cursor.place {
                Some(place) => place,
                None => log.locate(cursor.offset, &mut cursor.file).await?,
            };
            cursor.place = Some(place);
            // The segment may have been freed since the last read: then the offset is looked for again, or refused.
            let Some(bounds) = log.state.borrow().bounds(place.segment_base) else {
                cursor.place = None;
                log.has_something_at(cursor.offset)?;
                continue;
            };
            if place.position >= bounds.end {
                cursor.place = Some(following(cursor.offset, bounds)?);
                continue;
            }
            let in_memory = log.state.borrow().read_memory(place, bounds.end, bytes_max);
            let run = match in_memory {
                Some(run) => {
                    // It has caught up: what was fetched ahead is in memory twice.
                    cursor.ahead = None;
                    run
                }
                None => log.read_cold(cursor, place, bounds.written_to, bytes_max).await?,
            };
            cursor.offset = run.next_offset;
            cursor.place = Some(Place { position: place.position + run.bytes, ..place });
            return Ok(Slice::compact(run.slices));
        }
    }
}

/// Where a reader goes on that has read a segment to its end. The next segment has to begin with the next offset: a
/// segment that was cut short or is missing must not pass for a log without those records.
fn following(offset: i64, bounds: Bounds) -> Result<Place, ReadError> {
    match bounds.next {
        Some(segment_base) if segment_base == offset => Ok(Place { segment_base, position: 0 }),
        next => Err(ReadError::MissingOffset { offset, next_segment: next }),
    }
}

/// Whole batches.
struct Run {
    slices: Vec<Slice>,
    bytes: u64,
    next_offset: i64,
}

impl LogInner {
    /// A log that is removed while it is read loses segments and files at any moment: that is no damage.
    pub(crate) fn removed_or(&self, error: ReadError) -> ReadError {
        if self.state.borrow().removed { ReadError::Removed } else { error }
    }

    /// A segment below the start is no damage where it is gone, also while it is read.
    fn freed_or(&self, offset: i64, error: ReadError) -> ReadError {
        let below_start = self.has_something_at(offset).err();
        below_start.unwrap_or(error)
    }

    fn has_something_at(&self, offset: i64) -> Result<bool, ReadError> {
        let state = self.state.borrow();
        if state.removed {
            return Err(ReadError::Removed);
        }
        let (log_start, high_watermark) = (state.log_start, state.high_watermark);
        if offset < log_start || offset > high_watermark {
            return Err(ReadError::OffsetOutOfRange { offset, log_start, high_watermark });
        }
        Ok(offset < high_watermark)
    }

    async fn read_cold(
        self: &Rc<Self>,
        cursor: &mut Cursor,
        place: Place,
        written_to: u64,
        bytes_max: usize,
    ) -> Result<Run, ReadError> {
        if place.position >= written_to {
            // Neither in memory nor in the file: a damaged length has led here.
            let (segment_base, expected) = (place.segment_base, place.position + 1);
            return Err(ReadError::ShortSegment { segment_base, length: written_to, expected });
        }
        let file = self.file_of(place.segment_base, &mut cursor.file).await?;
        // What is read beyond what is asked for would be kept with it, and read again.
        let window_max =
            (page_ceil(bytes_max as u64) as usize).clamp(COLD_READ_BYTES_MIN, COLD_READ_BYTES_MAX);
        cursor.window = cursor.window.min(window_max);
        let mut pages = self.pages_at(cursor, place, &file, written_to).await?;
        let floor = page_floor(place.position);
        let start = (place.position - floor) as usize;
        loop {
            let readable = pages.buffer.len().min((pages.valid_to - floor) as usize);
            let bytes = &pages.buffer[start.min(readable)..readable];
            match whole_batches(bytes, place, cursor.offset, bytes_max)? {
                Whole::Batches { bytes, next_offset } => {
                    cursor.window = (cursor.window * 2).min(window_max);
                    self.fetch_ahead(cursor, place, &file, written_to, start + bytes as usize);
                    let slice = Slice::new(Rc::new(pages.buffer), start..start + bytes as usize);
                    return Ok(Run { slices: vec![slice], bytes, next_offset });
                }
                Whole::Needs(bytes) => {
                    let expected = place.position + bytes as u64;
                    let length = page_ceil(expected - floor) as usize;
                    if expected <= written_to {
                        pages.buffer = self.read_pages(&file, floor, length).await?;
                        pages.valid_to = written_to;
                    }
                    // A file that ends early would be read again for ever.
                    if expected > written_to || pages.buffer.len() < start + bytes {
                        let length = floor + pages.buffer.len() as u64;
                        let segment_base = place.segment_base;
                        return Err(ReadError::ShortSegment { segment_base, length, expected });
                    }
                }
            }
        }
    }

    /// The pages from the cursor's place on, fetched ahead or now.
    async fn pages_at(
        &self,
        cursor: &mut Cursor,
        place: Place,
        file: &File,
        written_to: u64,
    ) -> Result<Pages, ReadError> {
        let position = page_floor(place.position);
        if let Some(ahead) = cursor.ahead.take() {
            if ahead.segment_base == place.segment_base && ahead.position == position {
                // From here on it is what the reader asked for, and no longer ahead.
                let (buffer, _) = ahead.pages.await?;
                return Ok(Pages { buffer, valid_to: ahead.valid_to });
            }
            cursor.window = COLD_READ_BYTES_MIN;
        }
        let length = page_ceil(written_to - position).min(cursor.window as u64);
        let buffer = self.read_pages(file, position, length as usize).await?;
        Ok(Pages { buffer, valid_to: written_to })
    }

    /// Begins to fetch what comes after `used` bytes of the pages just read.
    fn fetch_ahead(
        self: &Rc<Self>,
        cursor: &mut Cursor,
        place: Place,
        file: &File,
        written_to: u64,
        used: usize,
    ) {
        let position = page_floor(page_floor(place.position) + used as u64);
        if position >= written_to {
            return;
        }
        let length = page_ceil(written_to - position).min(cursor.window as u64) as usize;
        let Some(held) = AheadBytes::reserve(self, length) else { return };
        let file = file.clone();
        let pages = task::spawn_background(async move {
            let pages = held.log.read_pages(&file, position, length).await?;
            Ok((pages, held))
        });
        let valid_to = written_to;
        cursor.ahead = Some(Ahead { segment_base: place.segment_base, position, valid_to, pages });
    }

    pub(crate) async fn read_pages(
        &self,
        file: &File,
        position: u64,
        length: usize,
    ) -> Result<Buffer, FileError> {
        stats::add(&self.shard.counters.cold_reads, 1);
        stats::add(&self.shard.counters.cold_read_bytes, length as u64);
        file.read_at(position, length).await
    }

    pub(crate) async fn file_of(
        &self,
        segment_base: i64,
        kept: &mut Option<(i64, File)>,
    ) -> Result<File, FileError> {
        if let Some((base, file)) = kept.as_ref().filter(|(base, _)| *base == segment_base) {
            debug_assert!(*base == segment_base);
            return Ok(file.clone());
        }
        let path = segment_path(&self.state.borrow().folder, segment_base, "log");
        let options = OpenOptions { access: Access::Read, create: Create::Never, durable_writes: false };
        let file = File::open(&path, options).await?;
        *kept = Some((segment_base, file.clone()));
        Ok(file)
    }
}

enum Whole {
    Batches {
        bytes: u64,
        next_offset: i64,
    },
    /// Not even the first batch is whole: so many bytes are needed.
    Needs(usize),
}

/// How many of these bytes are whole, sound batches within the limit; the first is taken whatever its size.
fn whole_batches(bytes: &[u8], place: Place, offset: i64, bytes_max: usize) -> Result<Whole, ReadError> {
    let (mut at, mut next_offset) = (0, offset);
    while bytes.len() - at >= BATCH_HEADER_BYTES {
        let here = Place { position: place.position + at as u64, ..place };
        let is_first = at == 0;
        let room = if is_first { usize::MAX } else { bytes_max.saturating_sub(at) };
        match sound_batch(&bytes[at..], here, next_offset, is_first, room) {
            Ok(Whole::Batches { bytes, next_offset: next }) => {
                (at, next_offset) = (at + bytes as usize, next)
            }
            needs_or_error if is_first => return needs_or_error,
            // Damage behind sound batches is told by the read that begins there.
            _ => break,
        }
    }
    Ok(if at == 0 {
        Whole::Needs(BATCH_HEADER_BYTES)
    } else {
        Whole::Batches { bytes: at as u64, next_offset }
    })
}

/// The batch at the beginning of these bytes, if it is whole and has room. The first of a read holds `offset`, and each next
/// one goes on where the one before ended: offsets lie outside the batches' own checksums.
fn sound_batch(
    bytes: &[u8],
    place: Place,
    offset: i64,
    is_first: bool,
    room: usize,
) -> Result<Whole, ReadError> {
    let Place { segment_base, position } = place;
    let rotten = |source| ReadError::RottenBatch { segment_base, position, source };
    let header = BatchHeader::parse(bytes).map_err(rotten)?;
    let Some(whole) = bytes.get(..header.length).filter(|whole| whole.len() <= room) else {
        return Ok(Whole::Needs(header.length));
    };
    batch::check_stored(whole).map_err(rotten)?;
    let (found, next_offset) = (header.base_offset, header.next_offset());
    let goes_on = if is_first { found <= offset && next_offset > offset } else { found == offset };
    if !goes_on {
        return Err(ReadError::WrongOffset { segment_base, position, found, expected: offset });
    }
    Ok(Whole::Batches { bytes: whole.len() as u64, next_offset })
}

impl LogState {
    fn bounds(&self, segment_base: i64) -> Option<Bounds> {
        if let Some(at) = self.open.iter().position(|segment| segment.base_offset == segment_base) {
            let segment = &self.open[at];
            let next = self.open.get(at + 1).map(|segment| segment.base_offset);
            let written_to = segment.written_to.min(segment.durable_end);
            return Some(Bounds { end: segment.durable_end, written_to, next });
        }
        let at = self.closed.iter().position(|segment| segment.base_offset == segment_base)?;
        let length = self.closed[at].length;
        let next = self.closed.get(at + 1).map(|segment| segment.base_offset);
        let next = next.or(self.open.front().map(|segment| segment.base_offset));
        Some(Bounds { end: length, written_to: length, next })
    }

    /// Whole batches out of the tail, or `None` where the place is not in memory.
    fn read_memory(&self, place: Place, end: u64, bytes_max: usize) -> Option<Run> {
        let first = self.slice_at(place)?;
        let (mut position, mut next_offset) = (place.position, 0);
        let (mut slices, mut at) = (Vec::new(), first);
        while position < end {
            while self.tail[at].end() <= position {
                at += 1;
            }
            let header = self.header_at(at, position)?;
            let length = header.length as u64;
            let taken = position - place.position;
            if taken > 0 && taken + length > bytes_max as u64 {
                break;
            }
            position += length;
            next_offset = header.base_offset + i64::from(header.last_offset_delta) + 1;
        }
        let (mut from, mut at) = (place.position, first);
        while from < position {
            let slice = &self.tail[at];
            let to = slice.end().min(position);
            if from < to {
                slices
                    .push(slice.bytes.part((from - slice.position) as usize..(to - slice.position) as usize));
                from = to;
            }
            at += 1;
        }
        Some(Run { slices, bytes: position - place.position, next_offset })
    }

    /// The slice that holds this place.
    fn slice_at(&self, place: Place) -> Option<usize> {
        let key = (place.segment_base, place.position);
        let after = self.tail.partition_point(|slice| (slice.segment_base, slice.position) <= key);
        let at = after.checked_sub(1)?;
        let slice = &self.tail[at];
        (slice.segment_base == place.segment_base && place.position < slice.end()).then_some(at)
    }

    /// The header of the batch at this position, which begins in this slice and may end in the next.
    fn header_at(&self, at: usize, position: u64) -> Option<BatchHeader> {
        let slice = &self.tail[at];
        let bytes = &slice.bytes[(position - slice.position) as usize..];
        if let Some(whole) = bytes.get(..BATCH_HEADER_BYTES) {
            return BatchHeader::parse(whole).ok();
        }
        let mut copy = [0; BATCH_HEADER_BYTES];
        let mut filled = 0;
        let mut at = at;
        let mut rest = bytes;
        while filled < BATCH_HEADER_BYTES {
            let fits = rest.len().min(BATCH_HEADER_BYTES - filled);
            copy[filled..filled + fits].copy_from_slice(&rest[..fits]);
            filled += fits;
            at += 1;
            rest = if filled < BATCH_HEADER_BYTES { &self.tail.get(at)?.bytes } else { &[] };
        }
        BatchHeader::parse(&copy).ok()
    }

    /// The header of the batch at this place, if it is in memory.
    pub(crate) fn header_in_memory(&self, place: Place) -> Option<BatchHeader> {
        self.header_at(self.slice_at(place)?, place.position)
    }

    /// The segment whose batches hold this offset.
    pub(crate) fn segment_of(&self, offset: i64) -> Option<i64> {
        let open = self
            .open
            .iter()
            .rev()
            .find(|segment| segment.base_offset <= offset)
            .map(|segment| segment.base_offset);
        open.or_else(|| {
            self.closed.iter().rev().find(|segment| segment.base_offset <= offset).map(|s| s.base_offset)
        })
    }

    /// Where readers' bytes end, in memory and in the file.
    pub(crate) fn ends(&self, segment_base: i64) -> Option<(u64, u64)> {
        self.bounds(segment_base).map(|bounds| (bounds.end, bounds.written_to))
    }
}
