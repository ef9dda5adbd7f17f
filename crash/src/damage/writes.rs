//! The journal writes of a ring, as they lie in its files.

use std::collections::HashMap;
use std::path::PathBuf;

use anyhow::{Context, Result};
use storage::journal::format::{Entries, EntryHeader, WriteHeader};

use super::site::Site;
use crate::broker::Lost;

pub(super) const PAGE: usize = 4096;

pub(super) struct Write {
    pub(super) path: PathBuf,
    pub(super) position: u64,
    pub(super) header: WriteHeader,
    pub(super) entries: Vec<EntryHeader>,
}

/// All whole writes of the last start, in their order.
pub(super) fn writes(site: &Site) -> Result<Vec<Write>> {
    let mut found = Vec::new();
    for path in site.ring_files()? {
        let bytes = std::fs::read(&path)?;
        for position in (0..bytes.len()).step_by(PAGE) {
            let Ok(header) = WriteHeader::decode(&bytes[position..]) else { continue };
            let start = position + WRITE_HEADER_BYTES;
            let Some(entries) = bytes.get(start..start + header.entries_length as usize) else { continue };
            if header.check_entries(entries).is_ok() {
                let entries =
                    Entries::new(entries).filter_map(|entry| entry.ok().map(|entry| entry.0)).collect();
                found.push(Write { path: path.clone(), position: position as u64, header, entries });
            }
        }
    }
    let last_start =
        found.iter().map(|write| write.header.start_epoch).max().context("a ring without writes")?;
    found.retain(|write| write.header.start_epoch == last_start);
    found.sort_by_key(|write| write.header.sequence);
    Ok(found)
}

const WRITE_HEADER_BYTES: usize = 128;

/// What the very last write acknowledged: rot in it looks like a tear, and it is cut.
pub(super) fn acknowledged_by_the_last(site: &Site) -> Result<Lost> {
    let writes = writes(site)?;
    let (last, before) = writes.split_last().context("a ring without writes")?;
    let mut ends: HashMap<u64, i64> = HashMap::new();
    for entry in before.iter().flat_map(|write| &write.entries) {
        let end = ends.entry(entry.uid).or_default();
        *end = (*end).max(entry.next_offset);
    }
    let mut lost = Lost::new();
    for entry in &last.entries {
        let from = ends.get(&entry.uid).copied().unwrap_or(0);
        lost.insert(site.partition(entry.uid).context("a partition of the ring")?, from.cast_unsigned());
    }
    Ok(lost)
}
