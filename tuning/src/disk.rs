//! Measures a disk with the writes and reads that the broker makes, not with a benchmark's.
//!
//! | part | as the broker does it |
//! |---|---|
//! | journal | `O_DIRECT`, `O_DSYNC`, one in flight, over a file of written zeros, round and round |
//! | segment | `O_DIRECT`, `O_DSYNC`, four in flight, into space that is allocated and was never written |
//! | read | `O_DIRECT`, eight in flight, from what was written |
//!
//! Bounds: [`Limits`]. The files have no name: they are gone with the process, even after `kill -9`.

mod buffer;
mod report;
mod run;

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FallocateFlags, OFlags, fallocate};

pub use report::{DiskReport, Measurement, Part};

use crate::check::{Mount, free_bytes, nameless_file};
use buffer::AlignedBuffer;

const JOURNAL_WRITE_BYTES: [usize; 5] = [4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20];
const SEGMENT_CHUNK_BYTES: [usize; 5] = [64 << 10, 128 << 10, 256 << 10, 512 << 10, 1 << 20];
const READ_BYTES: [usize; 2] = [128 << 10, 1 << 20];
const SEGMENT_WRITES_IN_FLIGHT: usize = 4;
const READS_IN_FLIGHT: usize = 8;
/// One file of the journal's ring.
const JOURNAL_FILE_BYTES: u64 = 64 << 20;
/// Below this the largest chunks would be through before the clock says anything.
const SEGMENT_FILE_BYTES_MIN: u64 = 64 << 20;

/// What a measurement may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Of each of the twelve rows.
    pub time: Duration,
    /// Of disk space at once, beside the journal's 64 MiB; no more than a tenth of what is free is taken.
    pub segment_bytes_max: u64,
}

impl Default for Limits {
    /// 12 rows of 3 s, and the filling: 40 s on a disk with 500 MB/s.
    fn default() -> Self {
        Self { time: Duration::from_secs(3), segment_bytes_max: 2 << 30 }
    }
}

#[derive(Debug)]
pub enum DiskError {
    /// Fewer bytes are free than a measurement needs.
    NoSpace {
        free_bytes: u64,
        needed_bytes: u64,
    },
    /// The folder's file system has no direct I/O, or no files without a name.
    Unsuitable {
        folder: PathBuf,
        source: io::Error,
    },
    Io {
        operation: &'static str,
        source: io::Error,
    },
}

impl std::fmt::Display for DiskError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoSpace { free_bytes, needed_bytes } => write!(
                formatter,
                "{} MiB are free; a measurement takes a tenth of that at most, and needs {} MiB",
                free_bytes >> 20,
                needed_bytes >> 20
            ),
            Self::Unsuitable { folder, .. } => write!(
                formatter,
                "cannot open a file for direct I/O in {} (is it a folder on a disk with ext4 or XFS, writable for this \
                 user?)",
                folder.display()
            ),
            Self::Io { operation, .. } => write!(formatter, "{operation} failed"),
        }
    }
}

impl std::error::Error for DiskError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NoSpace { .. } => None,
            Self::Unsuitable { source, .. } | Self::Io { source, .. } => Some(source),
        }
    }
}

/// Measures the disk under `folder`; `progress` is called with what comes next and the part done, 0 to 1.
pub fn measure(
    folder: &Path,
    limits: Limits,
    progress: &mut dyn FnMut(&str, f64),
) -> Result<DiskReport, DiskError> {
    let free_bytes =
        free_bytes(folder).map_err(|source| DiskError::Unsuitable { folder: folder.into(), source })?;
    let segment_bytes = limits.segment_bytes_max.min(free_bytes / 10) >> 20 << 20;
    if segment_bytes < SEGMENT_FILE_BYTES_MIN {
        return Err(DiskError::NoSpace { free_bytes, needed_bytes: 10 * SEGMENT_FILE_BYTES_MIN });
    }
    let mut rows = Vec::new();
    let row_count = (JOURNAL_WRITE_BYTES.len() + SEGMENT_CHUNK_BYTES.len() + READ_BYTES.len()) as f64;
    let mut next = |rows: &[Measurement], part: Part, bytes: usize| {
        progress(&format!("{part} {} KiB", bytes >> 10), rows.len() as f64 / row_count);
    };

    let journal = DirectFile::new(folder)?;
    journal.fill_with_zeros(JOURNAL_FILE_BYTES)?;
    for bytes in JOURNAL_WRITE_BYTES {
        next(&rows, Part::Journal, bytes);
        rows.push(run::journal(&journal, JOURNAL_FILE_BYTES, bytes, limits.time)?);
    }
    drop(journal);
    let segment = DirectFile::new(folder)?;
    for bytes in SEGMENT_CHUNK_BYTES {
        next(&rows, Part::Segment, bytes);
        segment.allocate_unwritten(segment_bytes)?;
        rows.push(run::segment(&segment, segment_bytes, bytes, limits.time)?);
    }
    let written_bytes = rows.last().map_or(0, Measurement::bytes).max(SEGMENT_FILE_BYTES_MIN);
    let written_bytes = written_bytes.min(segment_bytes);
    for bytes in READ_BYTES {
        next(&rows, Part::Read, bytes);
        rows.push(run::read(&segment, written_bytes, bytes, limits.time)?);
    }
    let absolute = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let mount = Mount::of(&absolute);
    Ok(DiskReport {
        folder: absolute,
        file_system: mount.as_ref().map_or_else(String::new, |mount| mount.kind.clone()),
        device: mount.map_or_else(String::new, |mount| mount.source),
        rows,
    })
}

/// A nameless file, opened twice: with durable writes and without.
struct DirectFile {
    plain: File,
    durable: File,
}

impl DirectFile {
    fn new(folder: &Path) -> Result<Self, DiskError> {
        let unsuitable = |source| DiskError::Unsuitable { folder: folder.into(), source };
        let plain = nameless_file(folder, OFlags::DIRECT).map_err(unsuitable)?;
        // The only way to open a file without a name again, with other flags.
        let durable = File::options()
            .read(true)
            .write(true)
            .custom_flags((OFlags::DIRECT | OFlags::DSYNC).bits().cast_signed())
            .open(format!("/proc/self/fd/{}", plain.as_raw_fd()))
            .map_err(unsuitable)?;
        Ok(Self { plain, durable })
    }

    /// Space that is written is twice as fast to overwrite as space that is only allocated.
    fn fill_with_zeros(&self, length: u64) -> Result<(), DiskError> {
        let failed = |source| DiskError::Io { operation: "filling the journal's file", source };
        let zeros = AlignedBuffer::zeroed(1 << 20);
        for position in (0..length).step_by(zeros.len()) {
            self.plain.write_all_at(&zeros, position).map_err(failed)?;
        }
        self.plain.sync_all().map_err(failed)
    }

    /// Gives all space back and takes it anew, so that no row writes where an earlier one did.
    fn allocate_unwritten(&self, length: u64) -> Result<(), DiskError> {
        let failed = |source| DiskError::Io { operation: "allocating the segment's file", source };
        self.plain.set_len(0).map_err(failed)?;
        fallocate(&self.plain, FallocateFlags::empty(), 0, length).map_err(|error| failed(error.into()))?;
        self.plain.sync_all().map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_measurement_has_every_row_and_leaves_no_file() {
        let folder = std::env::temp_dir().join(format!("corelog-disk-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let limits = Limits { time: Duration::from_millis(20), segment_bytes_max: 64 << 20 };
        let mut steps = 0;
        let report = match measure(&folder, limits, &mut |_, part| {
            assert!((0.0..1.0).contains(&part), "{part}");
            steps += 1;
        }) {
            Ok(report) => report,
            // Where tests run on tmpfs without direct I/O there is nothing to measure.
            Err(DiskError::Unsuitable { .. }) => return,
            Err(error) => panic!("{error}"),
        };
        assert_eq!((report.rows.len(), steps), (12, 12));
        for row in &report.rows {
            assert!(row.operations > 0 && row.p50_us <= row.p99_us, "{row:?}");
        }
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
        std::fs::remove_dir(&folder).unwrap();
    }
}
