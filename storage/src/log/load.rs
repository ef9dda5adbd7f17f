//! Learns what lies in a log's folder, the first time somebody reads or appends: a start touches no partition that the
//! ring does not speak of.

use std::rc::Rc;

use runtime::file;
use wire::batch::BatchHeader;

use crate::error::ReadError;
use crate::log::close::PRODUCERS_FILE;
use crate::log::segment::{ClosedSegment, base_offset_of, segment_path};
use crate::log::start::FREED;
use crate::log::state::BelowStart;
use crate::log::{Log, LogInner};
use crate::producers::{ProducerStanding, Producers};

/// The largest snapshot: 4,096 producers with five batches each take 448 KiB.
pub(crate) const PRODUCERS_FILE_BYTES_MAX: usize = 1 << 20;

impl Log {
    /// The idempotent producers that the partition remembers.
    pub async fn producers(&self) -> Result<Vec<ProducerStanding>, ReadError> {
        let loaded = async {
            self.inner.load().await?;
            self.inner.load_producers().await
        };
        loaded.await.map_err(|error| self.inner.removed_or(error))?;
        Ok(self.inner.state.borrow().producers.standing())
    }
}

impl LogInner {
    pub(crate) async fn load(self: &Rc<Self>) -> Result<(), ReadError> {
        if self.state.borrow().loaded {
            return Ok(());
        }
        let (folder, active) = {
            let state = self.state.borrow();
            let active = state.open.front().ok_or(ReadError::Removed)?.base_offset;
            (state.folder.clone(), active)
        };
        let (mut closed, mut half_freed) = (Vec::new(), Vec::new());
        if file::exists(&folder).await? {
            for entry in file::list_folder(&folder).await? {
                half_freed.extend(base_offset_of(&entry.name, FREED));
                let Some(base_offset) = base_offset_of(&entry.name, "log") else { continue };
                if base_offset < active {
                    closed.push(ClosedSegment { base_offset, length: entry.bytes, newest_ms: None });
                } else if base_offset > active {
                    // Begun before a crash that acknowledged nothing in it.
                    file::remove_file(&segment_path(&folder, base_offset, "log")).await?;
                }
            }
        }
        closed.sort_by_key(|segment: &ClosedSegment| segment.base_offset);
        half_freed.sort_unstable();
        {
            let mut state = self.state.borrow_mut();
            if state.loaded {
                return Ok(());
            }
            state.closed = closed;
            state.loaded = true;
            let may_go = |base_offset| BelowStart { base_offset, freed_after: 0 };
            state.below_start.extend(half_freed.iter().copied().map(may_go));
        }
        if !half_freed.is_empty() {
            self.shard.will_free(self);
        }
        self.leave_below_start();
        Ok(())
    }

    /// Rebuilds the producers from the snapshot and the batches behind it, before the first append. Without a sound
    /// snapshot everything is scanned: a retry must not be stored twice because a file is gone. A log that never rolled has
    /// none, and only its one segment to scan.
    pub(crate) async fn load_producers(self: &Rc<Self>) -> Result<(), ReadError> {
        loop {
            let log_start = self.state.borrow().log_start;
            match self.load_producers_once().await {
                // What was being scanned may be gone.
                Err(_) if self.state.borrow().log_start > log_start => {}
                outcome => return outcome,
            }
        }
    }

    async fn load_producers_once(self: &Rc<Self>) -> Result<(), ReadError> {
        if self.state.borrow().producers_loaded {
            return Ok(());
        }
        let (uid, folder, high_watermark, first_kept) = {
            let state = self.state.borrow();
            // Batches below the start that are still there count: what they hold may come again.
            let first = state.closed.first().map(|segment| segment.base_offset);
            let first = first.or(state.open.front().map(|segment| segment.base_offset));
            (state.uid, state.folder.clone(), state.high_watermark, first.unwrap_or(state.log_start))
        };
        let snapshot = file::read_whole(&folder.join(PRODUCERS_FILE), PRODUCERS_FILE_BYTES_MAX).await;
        // Not one of a future that a crash undid.
        let snapshot = snapshot.ok().and_then(|bytes| Producers::decode(&bytes, uid).ok());
        let snapshot = snapshot.filter(|(_, next_offset)| *next_offset <= high_watermark);
        let (mut producers, from) = snapshot.unwrap_or((Producers::default(), first_kept));
        let mut remember = |header: &BatchHeader| producers.stored(header, header.base_offset);
        self.scan(from.max(first_kept), high_watermark, &mut remember).await?;
        let mut state = self.state.borrow_mut();
        // Somebody who only looks may load them at the same time as the first append.
        if !state.producers_loaded {
            state.producers = producers.with_refused_of(std::mem::take(&mut state.producers));
            state.producers_loaded = true;
        }
        Ok(())
    }
}
