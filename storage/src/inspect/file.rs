//! One file, by itself. What it is, is told by its name, and by its first bytes where the name says nothing.

use std::path::Path;

use runtime::file;

use crate::error::FormatError;
use crate::index::SegmentIndex;
use crate::inspect::segment::{self, Expected, damaged};
use crate::inspect::{InspectError, Line, Report};
use crate::journal::format::{Entries, WRITE_HEADER_BYTES, WriteHeader};
use crate::journal::reader::{Reader, Shape};
use crate::journal::table::Table;
use crate::limits::PAGE;
use crate::log::close::INDEX_FILE_BYTES_MAX;
use crate::log::segment::base_offset_of;
use crate::options::PartitionUid;
use crate::producers::Producers;

/// Read at once of a table: more than a million partitions.
const TABLE_BYTES_MAX: usize = 64 << 20;
const MAGICS: [(&[u8], Kind); 4] =
    [(b"CLJW", Kind::Ring), (b"CLJT", Kind::Table), (b"CLIX", Kind::Index), (b"CLPS", Kind::Producers)];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Segment,
    Index,
    Ring,
    Table,
    Producers,
}

/// Says what a segment, an index, a ring file, a table or a producer snapshot holds; `visit` sees each thing in it.
pub async fn inspect_file(path: &Path, visit: &mut dyn FnMut(&Line)) -> Result<Report, InspectError> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let kind = match kind_of_name(name) {
        Some(kind) => kind,
        None => kind_of_content(path).await?,
    };
    let mut report = Report::default();
    match kind {
        Kind::Segment => inspect_segment(path, name, &mut report, visit).await?,
        Kind::Ring => inspect_ring(path, &mut report, visit).await?,
        Kind::Index | Kind::Table | Kind::Producers => {
            inspect_whole(path, kind, name, &mut report, visit).await?
        }
    }
    Ok(report)
}

fn kind_of_name(name: &str) -> Option<Kind> {
    let numbered = |what: &str| name.strip_prefix(what).is_some_and(|number| number.parse::<u32>().is_ok());
    match name {
        _ if base_offset_of(name, "log").is_some() => Some(Kind::Segment),
        _ if base_offset_of(name, "index").is_some() => Some(Kind::Index),
        _ if numbered("ring.") => Some(Kind::Ring),
        _ if numbered("table.") => Some(Kind::Table),
        crate::log::close::PRODUCERS_FILE => Some(Kind::Producers),
        _ => None,
    }
}

async fn kind_of_content(path: &Path) -> Result<Kind, InspectError> {
    let file = file::File::open(path, file::OpenOptions::read()).await?;
    let head = file.read_at(0, PAGE as usize).await?;
    let known = MAGICS.iter().find(|(magic, _)| head.starts_with(magic)).map(|(_, kind)| *kind);
    let is_batch = wire::batch::BatchHeader::parse(&head).is_ok();
    let unknown = || InspectError::Unknown { path: path.display().to_string() };
    known.or(is_batch.then_some(Kind::Segment)).ok_or_else(unknown)
}

/// The uid in the name of the folder that holds a file: `<partition>-<uid>`.
fn uid_of_folder(path: &Path) -> Option<PartitionUid> {
    let folder = path.parent()?.file_name()?.to_str()?;
    folder.rsplit_once('-')?.1.parse().ok().map(PartitionUid)
}

async fn inspect_segment(
    path: &Path,
    name: &str,
    report: &mut Report,
    visit: &mut dyn FnMut(&Line),
) -> Result<(), InspectError> {
    let base_offset = match base_offset_of(name, "log") {
        Some(base_offset) => base_offset,
        None => {
            let file = file::File::open(path, file::OpenOptions::read()).await?;
            let head = file.read_at(0, PAGE as usize).await?;
            wire::batch::BatchHeader::parse(&head).map_or(0, |header| header.base_offset)
        }
    };
    let expected = Expected { base_offset, uid: uid_of_folder(path), end: None, dirty: Default::default() };
    segment::inspect(path, expected, report, visit).await
}

/// A ring file holds writes of several laps. A write that a later one has cut into is no damage.
async fn inspect_ring(
    path: &Path,
    report: &mut Report,
    visit: &mut dyn FnMut(&Line),
) -> Result<(), InspectError> {
    let size = file::File::open(path, file::OpenOptions::read()).await?.size().await?;
    let mut reader = Reader::of_file(path, Shape { files: 1, file_bytes: size }).await?;
    report.files += 1;
    report.bytes += size;
    let mut offset = 0;
    while offset < size {
        let page = reader.bytes(0, offset, PAGE as usize).await?;
        let header = match WriteHeader::decode(page) {
            Ok(header) if header.file_offset == offset && offset + u64::from(header.length) <= size => header,
            Ok(header) => {
                let reason = format!("a write of offset {} stands here", header.file_offset);
                damaged(path, Some(offset), reason, false, report, visit);
                offset += PAGE;
                continue;
            }
            Err(error) => {
                if page.starts_with(b"CLJW") {
                    damaged(path, Some(offset), error.to_string(), false, report, visit);
                }
                offset += PAGE;
                continue;
            }
        };
        let length = header.length as usize;
        let write = reader.bytes(0, offset, length).await?;
        let entries = write[WRITE_HEADER_BYTES..WRITE_HEADER_BYTES + header.entries_length as usize].to_vec();
        let cut_into = (PAGE as usize..length)
            .step_by(PAGE as usize)
            .any(|at| WriteHeader::decode(&write[at..]).is_ok_and(|later| later.sequence > header.sequence));
        if cut_into {
            offset += PAGE;
            continue;
        }
        report.journal_writes += 1;
        visit(&Line::Write { offset, header: header.clone() });
        match header.check_entries(&entries) {
            Ok(()) => visit_entries(path, offset, &entries, report, visit),
            Err(error) => damaged(path, Some(offset), error.to_string(), false, report, visit),
        }
        offset += length as u64;
    }
    Ok(())
}

fn visit_entries(
    path: &Path,
    offset: u64,
    entries: &[u8],
    report: &mut Report,
    visit: &mut dyn FnMut(&Line),
) {
    for entry in Entries::new(entries) {
        match entry {
            Ok((header, _)) => visit(&Line::Entry(header)),
            Err(error) => damaged(path, Some(offset), error.to_string(), false, report, visit),
        }
    }
}

/// A small file with one checksum.
async fn inspect_whole(
    path: &Path,
    kind: Kind,
    name: &str,
    report: &mut Report,
    visit: &mut dyn FnMut(&Line),
) -> Result<(), InspectError> {
    let bytes_max = if kind == Kind::Table { TABLE_BYTES_MAX } else { INDEX_FILE_BYTES_MAX };
    let bytes = file::read_whole(path, bytes_max).await?;
    report.files += 1;
    report.bytes += bytes.len() as u64;
    // A file that was copied away does not have its partition's name around it: then it is believed what it is.
    let field = |at: usize| {
        bytes.get(at..at + 8).and_then(|field| field.try_into().ok()).map_or(0, u64::from_le_bytes)
    };
    let uid = uid_of_folder(path).unwrap_or(PartitionUid(field(8)));
    let outcome: Result<(), FormatError> = match kind {
        Kind::Table if bytes.iter().all(|byte| *byte == 0) => Ok(()),
        Kind::Table => Table::decode(&bytes).map(|table| {
            visit(&Line::Table(Table { records: Vec::new(), ..table.clone() }));
            table.records.into_iter().for_each(|record| visit(&Line::Record(record)));
        }),
        Kind::Index => {
            let base_offset = base_offset_of(name, "index").unwrap_or(field(16) as i64);
            SegmentIndex::decode(&bytes, uid, base_offset).map(|index| {
                for (offset, position, max_timestamp_ms) in index.entries() {
                    visit(&Line::Index { offset, position, max_timestamp_ms });
                }
            })
        }
        _ => Producers::decode(&bytes, uid).map(|(producers, next_offset)| {
            visit(&Line::Producers { count: producers.len(), next_offset });
        }),
    };
    if let Err(error) = outcome {
        damaged(path, None, error.to_string(), kind != Kind::Table, report, visit);
    }
    Ok(())
}
