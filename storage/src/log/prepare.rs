//! Gets a log ready to take batches: reads what lies in its folder, opens the active segment, takes disk space ahead,
//! begins the next segment. One task a log, off the hot path; a bounded number of them a shard.
//!
//! **Invariant**: when it ends without an error, the first batch that waits has space. The space is durable before a batch
//! is placed into it, so that a full disk can only refuse what is new.

use std::path::Path;
use std::rc::Rc;

use runtime::file::{self, Access, Create, File, FileError, OpenOptions};
use runtime::task;

use crate::error::{AppendError, ReadError};
use crate::limits::{self, PAGE, page_ceil, page_floor};
use crate::log::LogInner;
use crate::log::append::Placed;
use crate::log::segment::{Segment, segment_path};
use crate::options::Durability;

impl LogInner {
    /// Starts the task unless it runs.
    pub(crate) fn prepare(self: &Rc<Self>) {
        let mut state = self.state.borrow_mut();
        if state.preparing {
            return;
        }
        state.preparing = true;
        drop(state);
        let log = self.clone();
        drop(task::spawn(async move { log.prepare_until_placed().await }));
    }

    async fn prepare_until_placed(self: Rc<Self>) {
        let _permit = self.shard.openings.acquire(1).await;
        loop {
            let outcome = self.prepare_once().await;
            if let Err(error) = outcome {
                self.refuse_waiting(&error);
                break;
            }
            if self.place_waiting() {
                break;
            }
        }
        self.state.borrow_mut().preparing = false;
        self.shard.progress.notify_all();
    }

    /// True when nothing waits any more.
    fn place_waiting(self: &Rc<Self>) -> bool {
        loop {
            let Some(waiting) = self.state.borrow_mut().waiting.pop_front() else { return true };
            let refusal = self.shard.refusal().or_else(|| self.state.borrow().refusal());
            if let Some(error) = refusal {
                self.shard.pending_fell(waiting.bytes.len());
                waiting.acks.push(waiting.token, Err(error));
            } else if let Placed::NoSpace(waiting) = self.place(waiting) {
                self.state.borrow_mut().waiting.push_front(waiting);
                return false;
            }
        }
    }

    /// Refuses what waits, and only that: what has its place keeps it.
    fn refuse_waiting(&self, error: &ReadError) {
        let error = match error {
            ReadError::File(error) if error.is_out_of_space() => AppendError::DiskFull,
            ReadError::Removed => AppendError::Removed,
            other => AppendError::Unavailable { reason: other.to_string() },
        };
        let waiting = {
            let mut state = self.state.borrow_mut();
            let waiting = std::mem::take(&mut state.waiting);
            waiting.iter().for_each(|batch| state.producers.could_not_be_stored(&batch.header));
            waiting
        };
        for batch in waiting {
            self.shard.pending_fell(batch.bytes.len());
            batch.acks.push(batch.token, Err(error.clone()));
        }
    }

    async fn prepare_once(self: &Rc<Self>) -> Result<(), ReadError> {
        self.load().await?;
        if self.state.borrow().open.back().is_some_and(|segment| segment.file.is_none()) {
            self.open_active().await?;
        }
        self.load_producers().await?;
        let (needed, is_full) = {
            let state = self.state.borrow();
            let needed = state.waiting.front().map_or(0, |waiting| waiting.bytes.len() as u64);
            let segment = state.open.back().expect("a loaded log has an active segment");
            let full = segment.end > 0
                && (segment.end + needed > state.settings.segment_bytes_max || segment.roll_wanted);
            (needed, full)
        };
        if is_full {
            self.roll().await?;
        }
        self.extend(needed).await?;
        Ok(())
    }

    async fn open_active(self: &Rc<Self>) -> Result<(), ReadError> {
        let (folder, base_offset, end, cleaned) = {
            let state = self.state.borrow();
            let segment = state.open.back().expect("a loaded log has an active segment");
            (state.folder.clone(), segment.base_offset, segment.end, segment.cleaned)
        };
        let path = segment_path(&folder, base_offset, "log");
        // A file without acknowledged bytes may stand only in the cache of a kernel whose broker was killed: it is made
        // durable again, with the folders above it.
        let file = match end {
            0 => self.create_first_segment(&folder, &path).await?,
            _ => self.open_segment(&path, Create::Never).await?,
        };
        let mut size = file.size().await?;
        if size < end {
            return Err(ReadError::ShortSegment { segment_base: base_offset, length: size, expected: end });
        }
        if !cleaned && size > 0 {
            // Both wait for writes that a killed process left in flight; the second removes what they left beyond the end.
            file.allocate(0, PAGE).await?;
            size = file.size().await?;
            if !size.is_multiple_of(PAGE) {
                // As a clean stop or a segment's close leaves it: all is written in whole pages.
                file.allocate(size, page_ceil(size) - size).await?;
                file.datasync().await?;
                size = page_ceil(size);
            }
            let beyond = page_ceil(end);
            if size > beyond {
                file.zero_range(beyond, size - beyond).await?;
            }
        }
        let mut prefix = Vec::new();
        let within = (end - page_floor(end)) as usize;
        if within > 0 {
            let page = file.read_at(page_floor(end), PAGE as usize).await?;
            let found = page.len() as u64;
            let short = ReadError::ShortSegment {
                segment_base: base_offset,
                length: page_floor(end) + found,
                expected: end,
            };
            prefix = page.get(..within).ok_or(short)?.to_vec();
        }
        let mut state = self.state.borrow_mut();
        let segment = state.open.back_mut().expect("a loaded log has an active segment");
        segment.file = Some(file);
        segment.allocated = size;
        segment.cleaned = true;
        segment.page_prefix = prefix;
        segment.prefix_journaled = false;
        Ok(())
    }

    pub(crate) async fn open_segment(&self, path: &Path, create: Create) -> Result<File, FileError> {
        let durable_writes = self.shard.options.durability == Durability::Fsync;
        File::open(path, OpenOptions { access: Access::Write, create, durable_writes }).await
    }

    async fn create_first_segment(&self, folder: &Path, path: &Path) -> Result<File, FileError> {
        file::create_folder_all(folder).await?;
        for parent in
            folder.ancestors().skip(1).take_while(|parent| parent.starts_with(&self.shard.options.data))
        {
            file::sync_folder(parent).await?;
        }
        self.create_segment(folder, path).await
    }

    /// Makes a segment's file; its place in the folder is durable.
    async fn create_segment(&self, folder: &Path, path: &Path) -> Result<File, FileError> {
        let file = self.open_segment(path, Create::IfMissing).await?;
        file::sync_folder(folder).await?;
        Ok(file)
    }

    /// Begins the next segment; the one before is closed when its bytes are in its file.
    async fn roll(self: &Rc<Self>) -> Result<(), ReadError> {
        let (folder, base_offset) = {
            let state = self.state.borrow();
            (state.folder.clone(), state.next_offset)
        };
        let path = segment_path(&folder, base_offset, "log");
        let file = self.create_segment(&folder, &path).await?;
        file.truncate(0).await?;
        let mut state = self.state.borrow_mut();
        assert!(state.next_offset == base_offset, "batches were placed while a log was rolling");
        let mut segment = Segment::new(base_offset);
        segment.file = Some(file);
        segment.cleaned = true;
        state.open.push_back(segment);
        drop(state);
        self.snapshot_at_roll();
        self.close_settled();
        Ok(())
    }

    /// Takes the next piece of disk space: as much again as the segment has, within bounds, and at least what is needed.
    async fn extend(&self, needed: u64) -> Result<(), ReadError> {
        let (file, allocated, target) = {
            let state = self.state.borrow();
            let segment = state.open.back().expect("a loaded log has an active segment");
            let (end, allocated) = (segment.end, segment.allocated);
            if end + needed <= allocated && allocated - end >= allocated / 4 && allocated > 0 {
                return Ok(());
            }
            let segment_bytes_max = state.settings.segment_bytes_max;
            let step = allocated
                .clamp(self.shard.options.allocation_step_bytes_min, limits::ALLOCATION_STEP_BYTES_MAX)
                .min(segment_bytes_max.saturating_sub(allocated));
            let target = page_ceil((allocated + step).max(end + needed));
            (segment.file.clone().expect("an active segment is open"), allocated, target)
        };
        if target <= allocated {
            return Ok(());
        }
        file.allocate(allocated, target - allocated).await?;
        file.datasync().await?;
        let mut state = self.state.borrow_mut();
        if let Some(segment) = state.open.back_mut() {
            segment.allocated = segment.allocated.max(target);
        }
        Ok(())
    }
}
