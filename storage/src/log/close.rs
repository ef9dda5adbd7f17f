//! Closes segments that are complete, and lets go of what an idle log holds.

use std::path::Path;
use std::rc::Rc;

use runtime::file::{self, Create, File, FileError};
use runtime::task;

use crate::index::SegmentIndex;
use crate::limits;
use crate::log::LogInner;
use crate::log::segment::{ClosedSegment, segment_path};
use crate::options::PartitionUid;

/// The newest snapshot of a partition's producers.
pub(crate) const PRODUCERS_FILE: &str = "producers.snapshot";

impl LogInner {
    /// Closes the oldest open segment if a newer one has begun and all its bytes are in its file.
    pub(crate) fn close_settled(self: &Rc<Self>) {
        let mut state = self.state.borrow_mut();
        if state.open.len() < 2 || state.removed || state.run.is_some() {
            return;
        }
        let Some(segment) = state.open.front_mut() else { return };
        if !segment.is_settled() || segment.closing || segment.file.is_none() {
            return;
        }
        segment.closing = true;
        drop(state);
        let log = self.clone();
        drop(task::spawn(async move {
            let closed = log.close_oldest().await;
            if closed.is_err() {
                // Closing only tidies: the next settled run tries again, and recovery closes what was left.
                if let Some(segment) = log.state.borrow_mut().open.front_mut() {
                    segment.closing = false;
                }
            }
            log.shard.progress.notify_all();
            if closed.is_ok() {
                log.close_settled();
            }
        }));
    }

    async fn close_oldest(self: &Rc<Self>) -> Result<(), FileError> {
        let (uid, folder, base_offset, end, file, index) = {
            let state = self.state.borrow();
            let segment = state.open.front().expect("a segment is closing");
            let index = (segment.index_from == 0).then(|| segment.index.clone());
            (state.uid, state.folder.clone(), segment.base_offset, segment.end, segment.file.clone(), index)
        };
        let file = file.expect("a segment that closes has its file");
        let newest_ms = index.as_ref().map(SegmentIndex::max_timestamp_ms);
        file.truncate(end).await?;
        file.datasync().await?;
        if let Some(index) = index {
            write_index(&folder, &index, uid, base_offset).await;
        }
        self.write_roll_snapshot().await;
        let mut state = self.state.borrow_mut();
        state.open.pop_front();
        state.closed.push(ClosedSegment { base_offset, length: end, newest_ms });
        drop(state);
        self.leave_below_start();
        Ok(())
    }

    /// The number of appends of a log that holds a file and in which none has happened since this was asked last, or in which
    /// none is expected now.
    pub(crate) fn idle_since(&self, quiet: bool) -> Option<u64> {
        let mut state = self.state.borrow_mut();
        let appends = state.appends;
        let is_idle = std::mem::replace(&mut state.appends_seen, appends) == appends || quiet;
        let holds_file = state.open.front().is_some_and(|segment| segment.file.is_some());
        (is_idle && holds_file && state.is_quiet()).then_some(appends)
    }

    /// Lets go of the file and the page of a log in which nothing has happened since `appends`. Returns the file, for
    /// the caller to close.
    pub(crate) fn take_idle_file(&self, appends: u64) -> Option<File> {
        let mut state = self.state.borrow_mut();
        if state.appends != appends || !state.is_quiet() || state.open.len() != 1 {
            return None;
        }
        let segment = state.open.front_mut()?;
        segment.page_prefix = Vec::new();
        segment.prefix_journaled = false;
        segment.file.take()
    }

    /// Gives back the space that was taken ahead, at the last of a clean stop: the newest segment's file then ends where its
    /// last batch ends, like every other's, which Kafka's tools want. Only tidies: where it fails, zeros stay.
    pub(crate) async fn cut_to_end(&self) {
        let (path, end) = {
            let mut state = self.state.borrow_mut();
            if !state.is_quiet() || state.read_only.is_some() || state.removed {
                return;
            }
            let folder = state.folder.clone();
            let Some(segment) = state.open.back_mut().filter(|segment| segment.allocated > segment.end)
            else {
                return;
            };
            // Whoever wrote to it again would open it again.
            segment.file = None;
            (segment_path(&folder, segment.base_offset, "log"), segment.end)
        };
        if let Ok(file) = self.open_segment(&path, Create::Never).await {
            let _ = file.truncate(end).await;
            let _ = file.close().await;
        }
    }

    /// Remembers the producers as they are at a roll, to be written down when the older segment closes. Also where there
    /// are none: a log of several segments without a snapshot is one that lost it, and is scanned from its start.
    pub(crate) fn snapshot_at_roll(&self) {
        let mut state = self.state.borrow_mut();
        let snapshot = state.producers.encode(state.uid, state.next_offset);
        state.roll_snapshot = Some(snapshot);
    }

    async fn write_roll_snapshot(&self) {
        let snapshot = self.state.borrow_mut().roll_snapshot.take();
        if let Some(snapshot) = snapshot {
            self.write_snapshot(&snapshot).await;
        }
    }

    /// Writes the producers down while nothing is pending, so that the snapshot speaks of durable batches only.
    pub(crate) async fn snapshot_producers(&self, appended_bytes_min: u64) {
        let snapshot = {
            let mut state = self.state.borrow_mut();
            let quiet = state.next_offset == state.high_watermark;
            if !quiet
                || state.producers.is_empty()
                || state.appended_since_snapshot < appended_bytes_min.max(1)
            {
                return;
            }
            state.appended_since_snapshot = 0;
            state.producers.encode(state.uid, state.high_watermark)
        };
        self.write_snapshot(&snapshot).await;
    }

    /// A snapshot only saves a scan: one that cannot be written is done without.
    async fn write_snapshot(&self, snapshot: &[u8]) {
        let path = self.state.borrow().folder.join(PRODUCERS_FILE);
        let _ = file::write_whole_durably(&path, snapshot).await;
    }
}

/// An index is a hint: one that cannot be written is made again when it is needed.
pub(crate) async fn write_index(folder: &Path, index: &SegmentIndex, uid: PartitionUid, base_offset: i64) {
    let path = segment_path(folder, base_offset, "index");
    let _ = file::write_whole_durably(&path, &index.encode(uid)).await;
}

/// The largest index file that can be: an entry each 32 KiB of the largest segment, and as much again to be safe.
pub(crate) const INDEX_FILE_BYTES_MAX: usize =
    2 * 20 * (limits::SEGMENT_BYTES_MAX / limits::INDEX_INTERVAL_BYTES) as usize;
