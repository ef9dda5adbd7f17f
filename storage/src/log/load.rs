//! Learns what lies in a log's folder, the first time somebody reads or appends: a start touches no partition that the
//! ring does not speak of.

use std::rc::Rc;

use runtime::file;
use wire::batch::BatchHeader;

use crate::error::ReadError;
use crate::log::LogInner;
use crate::log::close::PRODUCERS_FILE;
use crate::log::segment::{ClosedSegment, base_offset_of, segment_path};
use crate::producers::Producers;

/// The largest snapshot: 4,096 producers with five batches each take 426 KiB.
const PRODUCERS_FILE_BYTES_MAX: usize = 1 << 20;

impl LogInner {
    pub(crate) async fn load(self: &Rc<Self>) -> Result<(), ReadError> {
        if self.state.borrow().loaded {
            return Ok(());
        }
        let (folder, active, log_start) = {
            let state = self.state.borrow();
            let active = state.open.front().ok_or(ReadError::Removed)?.base_offset;
            (state.folder.clone(), active, state.log_start)
        };
        let mut closed = Vec::new();
        if file::exists(&folder).await? {
            for entry in file::list_folder(&folder).await? {
                let Some(base_offset) = base_offset_of(&entry.name, "log") else { continue };
                if base_offset < active {
                    closed.push(ClosedSegment { base_offset, length: entry.bytes });
                } else if base_offset > active {
                    // Begun before a crash that acknowledged nothing in it.
                    file::remove_file(&segment_path(&folder, base_offset, "log")).await?;
                }
            }
        }
        closed.sort_by_key(|segment: &ClosedSegment| segment.base_offset);
        let next_bases: Vec<_> =
            closed.iter().skip(1).map(|segment| segment.base_offset).chain([active]).collect();
        let ends_above_start = |(_, next): &(ClosedSegment, i64)| *next > log_start;
        let closed =
            closed.into_iter().zip(next_bases).filter(ends_above_start).map(|(segment, _)| segment).collect();
        let mut state = self.state.borrow_mut();
        if !state.loaded {
            state.closed = closed;
            state.loaded = true;
        }
        Ok(())
    }

    /// Rebuilds the producers from the snapshot and the batches behind it, before the first append.
    pub(crate) async fn load_producers(self: &Rc<Self>) -> Result<(), ReadError> {
        if self.state.borrow().producers_loaded {
            return Ok(());
        }
        let (folder, high_watermark, active) = {
            let state = self.state.borrow();
            let active = state.open.back().ok_or(ReadError::Removed)?.base_offset;
            (state.folder.clone(), state.high_watermark, active)
        };
        let path = folder.join(PRODUCERS_FILE);
        let (mut producers, mut from) = (Producers::default(), active);
        if file::exists(&path).await? {
            let bytes = file::read_whole(&path, PRODUCERS_FILE_BYTES_MAX).await?;
            // A damaged snapshot, or one of a future that a crash undid, is done without.
            if let Ok((snapshot, next_offset)) = Producers::decode(&bytes)
                && next_offset <= high_watermark
            {
                (producers, from) = (snapshot, next_offset);
            }
        }
        let mut remember = |header: &BatchHeader| producers.stored(header, header.base_offset);
        self.scan(from, high_watermark, &mut remember).await?;
        let mut state = self.state.borrow_mut();
        state.producers = producers;
        state.producers_loaded = true;
        Ok(())
    }
}
