//! The data folder of a broker that does not run, for tools that look at it or repair it. On one shard.
//!
//! Holds the folder's lock: no broker starts on it meanwhile. The catalog is read and not changed.

use std::path::{Path, PathBuf};

use runtime::file::{self, FileError, FolderLock};
use storage::{PartitionSpec, PartitionUid, StorageOptions};
use thiserror::Error;

use crate::catalog::{CatalogLog, CatalogLogError};
use crate::meta::{META_FILE, Meta, MetaError};

/// A data folder, locked.
pub struct StoppedData {
    pub options: StorageOptions,
    pub partitions: Vec<PartitionSpec>,
    /// The first uid that the catalog has never given.
    pub uid_limit: PartitionUid,
    /// How many shards the broker ran with.
    pub shards: u16,
    _lock: FolderLock,
}

/// Why a data folder cannot be opened.
#[derive(Debug, Error)]
pub enum StoppedError {
    #[error("{0} is no data folder of corelog: there is no {META_FILE} in it")]
    NoData(PathBuf),
    #[error("{0}: a broker runs on this folder; stop it first")]
    Running(FileError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Meta(#[from] MetaError),
    #[error(transparent)]
    Catalog(#[from] CatalogLogError),
}

impl StoppedData {
    /// Locks the folder and reads its catalog.
    pub async fn open(data: &Path) -> Result<Self, StoppedError> {
        if Meta::read(data).await?.is_none() {
            return Err(StoppedError::NoData(data.to_path_buf()));
        }
        let lock = file::lock_folder(data).await.map_err(|error| match error.is_locked() {
            true => StoppedError::Running(error),
            false => StoppedError::File(error),
        })?;
        file::prepare_device(data).await?;
        let catalog = CatalogLog::read(data).await?;
        Ok(Self {
            options: StorageOptions { rings_before: catalog.rings_before(), ..StorageOptions::new(data) },
            partitions: catalog.partition_specs(),
            uid_limit: PartitionUid(catalog.next_uid()),
            shards: catalog.shards(),
            _lock: lock,
        })
    }
}
