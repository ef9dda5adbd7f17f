//! Brings a data folder to where a broker starts again, when damage makes a start refuse. Run on one shard, with the folder's
//! lock held.
//!
//! What a start refuses is a question that only a person can answer: give up what cannot be read, or look for another copy.
//! [`plan`] says what would be given up and changes nothing. [`apply`] first copies every file that it is about to lose
//! something of into a folder beside, then recovers as a start does, but keeps what is sound where a start would refuse:
//!
//! - a journal with a damaged write in its middle: up to that write;
//! - a partition whose end cannot be told: up to its last whole batch;
//! - a journal without tables and ring files: a new one, with what the segments hold.
//!
//! **Invariant**: nothing is lost that was not copied before.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use runtime::buffer::Buffer;
use runtime::file::{self, Access, Create, File, FileError, OpenOptions};

use crate::error::RecoveryError;
use crate::limits::page_ceil;
use crate::losses;
use crate::options::{Durability, PartitionSpec, PartitionUid, StorageOptions};
use crate::recovery;

/// Copied at once.
const COPY_BYTES: u64 = 1 << 20;

/// Something that a repair gives up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// The ring's folder, or the segment.
    pub path: PathBuf,
    /// Why a start refuses it, and what would be lost.
    pub what: String,
}

/// What a repair would give up; empty where a start refuses nothing.
pub async fn plan(
    options: &StorageOptions,
    shards: u16,
    partitions: &[PartitionSpec],
    uid_limit: PartitionUid,
) -> Result<Vec<Loss>, RecoveryError> {
    let options = StorageOptions { salvage: true, ..options.clone() };
    match losses::losses(&options, shards, partitions, uid_limit).await {
        Err(RecoveryError::DurabilityChanged { .. }) => {
            let options = StorageOptions { durability: Durability::Written, ..options };
            losses::losses(&options, shards, partitions, uid_limit).await
        }
        other => other,
    }
}

/// Copies what [`plan`] names into the folder `export`, which must not exist yet, and recovers without it. Does nothing where there
/// is nothing to give up.
pub async fn apply(
    options: &StorageOptions,
    shards: u16,
    partitions: &[PartitionSpec],
    uid_limit: PartitionUid,
    export: &Path,
) -> Result<Vec<Loss>, RecoveryError> {
    let losses = plan(options, shards, partitions, uid_limit).await?;
    if losses.is_empty() {
        return Ok(losses);
    }
    for loss in &losses {
        // A segment that stands in the ring only is copied with the ring.
        if !file::exists(&loss.path).await? {
            continue;
        }
        let within = loss.path.strip_prefix(&options.data).unwrap_or(&loss.path);
        copy(&loss.path, &export.join(within)).await?;
    }
    let options = StorageOptions { salvage: true, ..options.clone() };
    match recovery::recover(&options, shards, partitions, uid_limit).await {
        Err(RecoveryError::DurabilityChanged { .. }) => {
            let options = StorageOptions { durability: Durability::Written, ..options };
            recovery::recover(&options, shards, partitions, uid_limit).await?;
        }
        other => drop(other?),
    }
    Ok(losses)
}

/// Copies a file, or the files of a folder, durably.
async fn copy(from: &Path, to: &Path) -> Result<(), FileError> {
    let Some(above) = to.parent() else { return Ok(()) };
    file::create_folder_all(above).await?;
    match file::list_folder(from).await {
        Ok(entries) => {
            file::create_folder_all(to).await?;
            for entry in entries.iter().filter(|entry| !entry.is_folder) {
                copy_file(&from.join(&entry.name), &to.join(&entry.name)).await?;
            }
            file::sync_folder(to).await?;
        }
        Err(_) => copy_file(from, to).await?,
    }
    file::sync_folder(above).await
}

async fn copy_file(from: &Path, to: &Path) -> Result<(), FileError> {
    let source = File::open(from, OpenOptions::read()).await?;
    let options = OpenOptions { access: Access::Write, create: Create::New, durable_writes: false };
    let target = File::open(to, options).await?;
    let size = source.size().await?;
    let mut position = 0;
    while position < size {
        let length = page_ceil(COPY_BYTES.min(size - position)) as usize;
        let read = source.read_at(position, length).await?;
        let mut buffer = Buffer::zeroed(length);
        buffer[..read.len()].copy_from_slice(&read);
        target.write_at(Rc::new(buffer), position).await?;
        position += length as u64;
    }
    target.truncate(size).await?;
    target.datasync().await?;
    target.close().await?;
    source.close().await
}
