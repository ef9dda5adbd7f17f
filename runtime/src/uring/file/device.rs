//! The device under a folder, made ready once an executor.
//!
//! On the first file that an executor opens on a device, glommio reads one block to see whether the device can be polled
//! for completions, and remembers the answer. If that file is empty, the read ends at once and counts as "can", after
//! which every write takes milliseconds at full CPU and every read fails with EOPNOTSUPP. So the first file must hold a
//! block: a small file of our own, written, flushed, opened, removed.

use std::cell::RefCell;
use std::collections::HashSet;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use glommio::io::DmaFile;

use super::{blocking, plain};
use crate::buffer::PAGE_BYTES;
use crate::file::FileError;

thread_local! {
    /// By device number (`st_dev`). glommio keeps its answers by thread too, and as long.
    static PREPARED: RefCell<HashSet<u64>> = RefCell::default();
}

/// Tells the probe files of one process apart.
static PROBES: AtomicU64 = AtomicU64::new(0);

/// What `statfs` says of a file system that lives in memory only.
const TMPFS_MAGIC: u64 = 0x0102_1994;
const RAMFS_MAGIC: u64 = 0x8584_58f6;

/// Makes the device of `folder`, which must exist and be writable, ready for this executor, and checks that files there
/// take direct I/O. Once an executor, before any other file; later calls do nothing.
pub async fn prepare_device(folder: &Path) -> Result<(), FileError> {
    let operation = "prepare for direct I/O";
    let owned = folder.to_path_buf();
    let status = blocking::run(move || {
        let file_system = rustix::fs::statfs(&owned)?;
        Ok::<_, io::Error>((rustix::fs::stat(&owned)?.st_dev, file_system.f_type as u64))
    });
    let (device, magic) = status.await.map_err(|source| FileError::new(operation, folder, source))?;
    if matches!(magic, TMPFS_MAGIC | RAMFS_MAGIC) {
        let text = "it is on a file system that lives in memory only (tmpfs); use a folder on a disk";
        return Err(FileError::new(operation, folder, io::Error::new(io::ErrorKind::Unsupported, text)));
    }
    prepare(device, folder).await
}

/// The same for whoever opens a file without having called it. Here a file system in memory is let through: reading a
/// file from `/dev/shm` is no reason to stop anybody.
pub(super) async fn prepare_device_of(file: &Path) -> Result<(), FileError> {
    let folder = match file.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    // Not beside the shard: the folder is in the kernel's cache, and opening looks it up anyway. A missing folder is
    // for the opening itself to report.
    match rustix::fs::stat(folder) {
        // Major number 0 is no block device (overlay, btrfs, /proc): glommio does not ask whether it can be polled.
        Ok(status) if rustix::fs::major(status.st_dev) == 0 => Ok(()),
        Ok(status) if !PREPARED.with_borrow(|devices| devices.contains(&status.st_dev)) => {
            if let Err(error) = prepare(status.st_dev, folder).await {
                return prepare_with_the_file_itself(status.st_dev, file).await.map_err(|_| error);
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

async fn prepare(device: u64, folder: &Path) -> Result<(), FileError> {
    if PREPARED.with_borrow(|devices| devices.contains(&device)) {
        return Ok(());
    }
    let operation = "prepare for direct I/O";
    let number = PROBES.fetch_add(1, Ordering::Relaxed);
    let probe: PathBuf = folder.join(format!(".direct-io-probe-{}-{number}", std::process::id()));
    let path = probe.clone();
    blocking::run(move || write_probe(&path))
        .await
        .map_err(|source| FileError::new(operation, &probe, source))?;
    let opened = DmaFile::open(&probe).await;
    let path = probe.clone();
    let removed = blocking::run(move || fs::remove_file(&path)).await;
    let file = opened.map_err(|source| open_error(operation, folder, plain(source)))?;
    file.close().await.map_err(|source| FileError::new(operation, &probe, plain(source)))?;
    removed.map_err(|source| FileError::new(operation, &probe, source))?;
    PREPARED.with_borrow_mut(|devices| devices.insert(device));
    Ok(())
}

fn write_probe(path: &Path) -> io::Result<()> {
    // Not zeros: some file systems keep those as a hole, which has no block to read.
    let mut file = fs::File::create(path)?;
    file.write_all(&[0xA5; PAGE_BYTES])?;
    file.sync_all()
}

/// In a folder that cannot be written: the file to open serves as its own probe, if it holds a block.
async fn prepare_with_the_file_itself(device: u64, path: &Path) -> Result<(), FileError> {
    let operation = "prepare for direct I/O";
    let size =
        rustix::fs::stat(path).map_err(|source| FileError::new(operation, path, source.into()))?.st_size;
    if size < PAGE_BYTES as i64 {
        return Err(FileError::new(operation, path, io::ErrorKind::Unsupported.into()));
    }
    let file = DmaFile::open(path).await.map_err(|source| FileError::new(operation, path, plain(source)))?;
    file.close().await.map_err(|source| FileError::new(operation, path, plain(source)))?;
    PREPARED.with_borrow_mut(|devices| devices.insert(device));
    Ok(())
}

/// A file system without direct I/O says no more than "invalid argument".
pub(super) fn open_error(operation: &'static str, path: &Path, source: io::Error) -> FileError {
    let source = match source.kind() {
        io::ErrorKind::InvalidInput => io::Error::new(
            io::ErrorKind::Unsupported,
            "its file system refuses direct I/O (O_DIRECT), which every file of the broker's data needs; use ext4 or XFS \
             on a disk, in a container through a volume",
        ),
        _ => source,
    };
    FileError::new(operation, path, source)
}
