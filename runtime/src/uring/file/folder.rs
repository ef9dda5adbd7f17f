//! Folders, names, small whole files and the folder lock: ordinary system calls, made beside the shard.

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::blocking;
use crate::file::{FileError, FolderEntry, LOCK_FILE, LOCK_OPERATION, Space};

async fn call<T: Send + 'static>(
    operation: &'static str,
    path: &Path,
    body: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
) -> Result<T, FileError> {
    let owned = path.to_path_buf();
    let result = blocking::run(move || body(&owned)).await;
    result.map_err(|source| FileError::new(operation, path, source))
}

/// Creates a folder and those above it that are missing, durably: each new name is flushed in its parent.
pub async fn create_folder_all(path: &Path) -> Result<(), FileError> {
    call("create folder", path, create_durably).await
}

/// How often a parent may be removed under a folder that is being made: each shard removes its part of a topic once.
const PARENT_REMOVALS_MAX: usize = 64;

fn create_durably(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let parent = parent_of(folder);
    let mut removals_left = PARENT_REMOVALS_MAX;
    loop {
        create_durably(&parent)?;
        match fs::create_dir(folder) {
            // Another shard was faster.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => break,
            // Another shard removed the parent while it was empty.
            Err(error) if error.kind() == io::ErrorKind::NotFound && removals_left > 0 => removals_left -= 1,
            other => break other?,
        }
    }
    sync(&parent)
}

fn parent_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent.to_path_buf(),
        _ => PathBuf::from("."),
    }
}

fn sync(folder: &Path) -> io::Result<()> {
    fs::File::open(folder)?.sync_all()
}

/// Makes the names in a folder durable: after creating, renaming or removing files in it.
pub async fn sync_folder(path: &Path) -> Result<(), FileError> {
    call("flush folder", path, sync).await
}

/// Renames a file or folder, replacing a file of the new name; durable after [`sync_folder`] on both parents.
pub async fn rename(from: &Path, to: &Path) -> Result<(), FileError> {
    let to = to.to_path_buf();
    call("rename", from, move |from| fs::rename(from, to)).await
}

/// Removes a file's name; durable after [`sync_folder`].
pub async fn remove_file(path: &Path) -> Result<(), FileError> {
    call("remove", path, |path| fs::remove_file(path)).await
}

/// Removes a folder with all in it.
pub async fn remove_folder_all(path: &Path) -> Result<(), FileError> {
    call("remove folder", path, |path| fs::remove_dir_all(path)).await
}

/// Removes a folder if it is there and has nothing in it, in one step: what another shard puts into it meanwhile stays.
pub async fn remove_empty_folder(path: &Path) -> Result<(), FileError> {
    let remove = |path: &Path| match fs::remove_dir(path) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty) => {
            Ok(())
        }
        other => other,
    };
    call("remove empty folder", path, remove).await
}

/// True if there is a file or folder of this name. A name that cannot be looked up is an error, not a no.
pub async fn exists(path: &Path) -> Result<bool, FileError> {
    call("look for", path, |path| path.try_exists()).await
}

/// The room of the file system that holds `path`.
pub async fn space_of(path: &Path) -> Result<Space, FileError> {
    let space = |path: &Path| {
        let status = rustix::fs::statvfs(path)?;
        let bytes = |blocks: u64| blocks.saturating_mul(status.f_frsize);
        Ok(Space { total_bytes: bytes(status.f_blocks), free_bytes: bytes(status.f_bavail) })
    };
    call("ask for free space at", path, space).await
}

/// The files and folders in a folder, ordered by name. Names that are not UTF-8 are not ours and are left out.
pub async fn list_folder(path: &Path) -> Result<Vec<FolderEntry>, FileError> {
    call("list folder", path, list).await
}

fn list(folder: &Path) -> io::Result<Vec<FolderEntry>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = match entry.metadata() {
            Ok(metadata) => metadata,
            // Removed between the two calls.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let is_folder = metadata.is_dir();
        if let Ok(name) = entry.file_name().into_string() {
            entries.push(FolderEntry { name, is_folder, bytes: if is_folder { 0 } else { metadata.size() } });
        }
    }
    entries.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(entries)
}

/// Reads a small file whole; one larger than `bytes_max` is an error before memory is taken for it.
pub async fn read_whole(path: &Path, bytes_max: usize) -> Result<Vec<u8>, FileError> {
    let read = move |path: &Path| {
        let mut bytes = Vec::new();
        // One byte more than allowed tells a file that is too large from one that just fits.
        fs::File::open(path)?.take(bytes_max as u64 + 1).read_to_end(&mut bytes)?;
        if bytes.len() > bytes_max {
            let text = format!("it is larger than the {bytes_max} bytes it may have");
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
        }
        Ok(bytes)
    };
    call("read", path, read).await
}

/// Replaces a small file whole, durably: after a crash at any moment there is the old content or the new.
pub async fn write_whole_durably(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let bytes = bytes.to_vec();
    call("write", path, move |path| replace(path, &bytes)).await
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut temporary = path.as_os_str().to_os_string();
    temporary.push(".new");
    let temporary = PathBuf::from(temporary);
    let mut file = fs::File::create(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    sync(&parent_of(path))
}

/// A locked folder, until dropped. The kernel frees the lock when the process ends, however it ends.
#[derive(Debug)]
pub struct FolderLock {
    /// Holds the lock; nothing is done with it.
    _file: fs::File,
}

/// Locks a folder against other processes, and against a second lock of this one. If it is locked,
/// [`FileError::is_locked`] is true and the message names the process.
pub async fn lock_folder(path: &Path) -> Result<FolderLock, FileError> {
    let owned = path.to_path_buf();
    let locked = blocking::run(move || lock(&owned)).await;
    match locked {
        Ok(Ok(file)) => Ok(FolderLock { _file: file }),
        Ok(Err(Held { owner_pid })) => Err(FileError::locked(path, owner_pid)),
        Err(source) => Err(FileError::new(LOCK_OPERATION, path, source)),
    }
}

struct Held {
    owner_pid: Option<u32>,
}

fn lock(folder: &Path) -> io::Result<Result<fs::File, Held>> {
    let mut options = fs::OpenOptions::new();
    let mut file =
        options.read(true).write(true).create(true).truncate(false).open(folder.join(LOCK_FILE))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let mut text = String::new();
            // The owner may be about to write it; the lock is what counts.
            let owner_pid = file.read_to_string(&mut text).ok().and_then(|_| text.trim().parse().ok());
            return Ok(Err(Held { owner_pid }));
        }
        Err(error) => return Err(error.into()),
    }
    // The file stays when the lock goes: removing it would let two processes hold locks on two files of one name.
    file.set_len(0)?;
    writeln!(file, "{}", std::process::id())?;
    Ok(Ok(file))
}
