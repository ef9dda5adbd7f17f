//! Files on a shard: direct I/O for data, whole small files and folders for the rest.
//!
//! - Positions and lengths of [`File::read_at`] and [`File::write_at`] are multiples of
//!   [`PAGE_BYTES`](crate::buffer::PAGE_BYTES); anything else is a bug of the caller.
//! - A write runs to its end in a task of its own: dropping the future that waits for it neither cancels it nor makes it
//!   unknown whether it was submitted. An executor ends only when its writes have ended.
//! - An error says operation, path and position. After a failed write or flush nobody knows what is on the disk: it is
//!   for the caller to stop, never to try a flush again.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

pub use crate::backend::file::{
    File, FolderLock, create_folder_all, exists, list_folder, lock_folder, prepare_device, read_whole,
    remove_empty_folder, remove_file, remove_folder_all, rename, space_of, sync_folder, write_whole_durably,
};

/// Waits for the writes that a killed process left in flight: they land after the process is gone, and would fall on what
/// is written now. Mode 0 of `fallocate` waits for them; within the file, so that nothing changes. An empty file has none,
/// where nothing is written behind a file's end.
pub async fn wait_for_late_writes(file: &File) -> Result<(), FileError> {
    match file.size().await? {
        0 => Ok(()),
        size => file.allocate(0, size.min(crate::buffer::PAGE_BYTES as u64)).await,
    }
}

/// What an opened file is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// Reading.
    Read,
    /// Reading and writing.
    Write,
}

/// What opening does about a missing or present file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Create {
    /// A missing file is an error.
    Never,
    /// A missing file is created, a present one opened as it is.
    IfMissing,
    /// A present file is an error.
    New,
}

/// How to open a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OpenOptions {
    /// What for.
    pub access: Access,
    /// Creating needs [`Access::Write`]; the new name is durable after [`sync_folder`].
    pub create: Create,
    /// Each write is on the device when it is done (`O_DSYNC`).
    pub durable_writes: bool,
}

impl OpenOptions {
    /// For reading a file that is there.
    pub fn read() -> OpenOptions {
        OpenOptions { access: Access::Read, create: Create::Never, durable_writes: false }
    }
}

/// The room of a file system.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Space {
    /// All of it, used or not.
    pub total_bytes: u64,
    /// What this process may still write.
    pub free_bytes: u64,
}

/// The bytes that this process may still write to the file system that holds `path`.
pub async fn free_bytes(path: &Path) -> Result<u64, FileError> {
    space_of(path).await.map(|space| space.free_bytes)
}

/// One name in a folder.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FolderEntry {
    /// The name, without the folder.
    pub name: String,
    /// True for a folder.
    pub is_folder: bool,
    /// The file's size; 0 for a folder.
    pub bytes: u64,
}

/// An operation on a file or folder failed.
#[derive(Debug)]
pub struct FileError {
    /// What was tried, as a verb: "write".
    pub operation: &'static str,
    /// On what.
    pub path: PathBuf,
    /// Where in the file, for reads and writes.
    pub position: Option<u64>,
    /// What the system said.
    pub source: io::Error,
}

impl FileError {
    /// An error of `operation` on `path`.
    pub fn new(operation: &'static str, path: &Path, source: io::Error) -> FileError {
        FileError { operation, path: path.to_path_buf(), position: None, source }
    }

    /// The same at a position.
    pub fn at(operation: &'static str, path: &Path, position: u64, source: io::Error) -> FileError {
        FileError { position: Some(position), ..FileError::new(operation, path, source) }
    }

    /// The disk, or the quota, is full.
    pub fn is_out_of_space(&self) -> bool {
        matches!(self.source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }

    /// No such file or folder.
    pub fn is_not_found(&self) -> bool {
        self.source.kind() == io::ErrorKind::NotFound
    }

    /// The folder is locked by another process; the message says which.
    pub fn is_locked(&self) -> bool {
        self.operation == LOCK_OPERATION && self.source.kind() == io::ErrorKind::WouldBlock
    }

    /// The error of [`lock_folder`] on a folder that `owner_pid` holds.
    pub(crate) fn locked(path: &Path, owner_pid: Option<u32>) -> FileError {
        let owner = match owner_pid {
            Some(pid) => format!("process {pid} holds it"),
            None => "another process holds it".to_string(),
        };
        FileError::new(LOCK_OPERATION, path, io::Error::new(io::ErrorKind::WouldBlock, owner))
    }
}

pub(crate) const LOCK_OPERATION: &str = "lock";

/// The file in a locked folder that carries the lock and its owner's pid.
#[cfg(not(feature = "simulator"))]
pub(crate) const LOCK_FILE: &str = ".lock";

impl fmt::Display for FileError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "cannot {} {}", self.operation, self.path.display())?;
        if let Some(position) = self.position {
            write!(formatter, " at byte {position}")?;
        }
        write!(formatter, ": {}", self.source)
    }
}

/// What the system said is part of the text already.
impl std::error::Error for FileError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_what_where_and_why() {
        let full = io::Error::from(io::ErrorKind::StorageFull);
        let error = FileError::at("write", Path::new("/data/a.log"), 4096, full);
        assert!(error.to_string().starts_with("cannot write /data/a.log at byte 4096: "), "{error}");
        assert!(error.is_out_of_space() && !error.is_not_found() && !error.is_locked());
        let locked = FileError::locked(Path::new("/data"), Some(17));
        assert!(locked.is_locked());
        assert_eq!(locked.to_string(), "cannot lock /data: process 17 holds it");
    }
}
