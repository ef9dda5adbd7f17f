//! One segment, batch by batch, and the index beside it.

use std::path::Path;

use runtime::file;
use wire::batch::BatchHeader;

use crate::batches::{Found, Runs, SegmentReader};
use crate::index::SegmentIndex;
use crate::inspect::{Damage, InspectError, Line, Report};
use crate::log::close::INDEX_FILE_BYTES_MAX;
use crate::log::segment::segment_path;
use crate::options::PartitionUid;

/// What is known of a segment from elsewhere.
pub(super) struct Expected {
    pub(super) base_offset: i64,
    pub(super) uid: Option<PartitionUid>,
    /// Where its batches end, and the next offset there; where it is not known, zeros may follow the last batch.
    pub(super) end: Option<(u64, i64)>,
    pub(super) dirty: Runs,
}

/// Reads a segment through; `visit` sees each batch.
pub(super) async fn inspect(
    path: &Path,
    expected: Expected,
    report: &mut Report,
    visit: &mut dyn FnMut(&Line),
) -> Result<(), InspectError> {
    let Expected { base_offset, uid, end, dirty } = expected;
    let is_in_ring_only = !dirty.is_empty() && !file::exists(path).await?;
    let mut reader =
        if is_in_ring_only { SegmentReader::without_file() } else { SegmentReader::open(path, 0).await? };
    if let Some((end, _)) = end {
        reader = reader.with_dirty(dirty, end);
    }
    report.files += u64::from(!is_in_ring_only);
    report.bytes += reader.size();
    let mut index = SegmentIndex::new(base_offset);
    let mut next_offset = base_offset;
    let stopped = loop {
        let found = reader.next().await?;
        let Found::Batch { position, header } = &found else { break found };
        if header.base_offset != next_offset {
            let (found, expected) = (header.base_offset, next_offset);
            let reason = format!("the batch begins at offset {found}, expected {expected}");
            damaged(path, Some(*position), reason, false, report, visit);
        }
        next_offset = header.next_offset();
        index.add(*position, header, header.base_offset);
        report.batches += 1;
        report.records += u64::try_from(header.record_count).unwrap_or(0);
        visit(&Line::Batch { position: *position, header: *header });
    };
    let position = reader.position();
    let reason = match (stopped, end) {
        (Found::End, Some((end, next))) if position < end => {
            Some(format!("the file is over, and the log goes on to byte {end}, offset {next}"))
        }
        (_, Some((_, next))) if next_offset == next && position >= reader.size() => None,
        (Found::End, Some((_, next))) => {
            Some(format!("the batches end at offset {next_offset}, expected {next}"))
        }
        (Found::End, None) => None,
        (Found::Bad { error, header, .. }, end) => match (end, reader.first_used_byte().await?) {
            (None, None) => None,
            _ => Some(format!("no whole batch{}: {error}", described(header))),
        },
        (Found::Batch { .. }, _) => None,
    };
    let is_whole = reason.is_none();
    if let Some(reason) = reason {
        damaged(path, Some(position), reason, false, report, visit);
    }
    if is_whole && let Some(uid) = uid {
        check_index(path, uid, base_offset, &index, report, visit).await?;
    }
    Ok(())
}

fn described(header: Option<BatchHeader>) -> String {
    header.map_or(String::new(), |header| {
        format!(" (offset {}, {} bytes, {} records)", header.base_offset, header.length, header.record_count)
    })
}

/// An index file has to say what the batches do.
async fn check_index(
    segment: &Path,
    uid: PartitionUid,
    base_offset: i64,
    expected: &SegmentIndex,
    report: &mut Report,
    visit: &mut dyn FnMut(&Line),
) -> Result<(), InspectError> {
    let Some(folder) = segment.parent() else { return Ok(()) };
    let path = segment_path(folder, base_offset, "index");
    if !file::exists(&path).await? {
        return Ok(());
    }
    report.files += 1;
    let bytes = file::read_whole(&path, INDEX_FILE_BYTES_MAX).await?;
    let reason = match SegmentIndex::decode(&bytes, uid, base_offset) {
        Ok(index) if index == *expected => return Ok(()),
        Ok(_) => "the index does not fit the segment's batches".to_owned(),
        Err(error) => error.to_string(),
    };
    damaged(&path, None, reason, true, report, visit);
    Ok(())
}

pub(super) fn damaged(
    path: &Path,
    position: Option<u64>,
    reason: String,
    is_hint: bool,
    report: &mut Report,
    visit: &mut dyn FnMut(&Line),
) {
    let damage = Damage { path: path.to_owned(), position, reason, is_hint };
    visit(&Line::Damage(damage.clone()));
    report.damage.push(damage);
}
