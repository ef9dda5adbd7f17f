//! Removes a log: what is pending is refused, what is under way is waited for, then its folder goes in small steps.

use std::path::Path;
use std::rc::Rc;

use runtime::clock;
use runtime::file::{self, Access, Create, File, FileError, OpenOptions};

use std::time::Duration;

use crate::error::AppendError;
use crate::limits::{DELETE_STEP_BYTES, DELETE_STEP_INTERVAL_MS};
use crate::log::LogInner;

impl LogInner {
    /// Stops all use of the log; resolves when no task works on it any more.
    pub(crate) async fn retire(self: &Rc<Self>) {
        self.state.borrow_mut().removed = true;
        self.fail_pending(&AppendError::Removed);
        self.readable.notify_all();
        loop {
            let progress = self.shard.progress.wait();
            let busy = {
                let state = self.state.borrow();
                let closing = state.open.iter().any(|segment| segment.closing);
                state.run.is_some() || state.preparing || closing || state.entry_in_flight || state.freeing
            };
            if !busy {
                break;
            }
            progress.await;
        }
        self.fail_pending(&AppendError::Removed);
        let (cleared, uncached, files) = {
            let mut state = self.state.borrow_mut();
            let cleared = state.dirty_bytes();
            state.dirty.clear();
            let uncached = state.drop_tail();
            let files: Vec<_> = state.open.drain(..).filter_map(|segment| segment.file).collect();
            (cleared, uncached, files)
        };
        self.shard.cache_fell(uncached);
        self.shard.dirty_fell(cleared);
        self.shard.reorder(self);
        self.shard.progress.notify_all();
        for file in files {
            // The file goes away next; an error of closing it changes nothing.
            let _ = file.close().await;
        }
    }
}

/// Frees a partition's folder, which nobody uses any more. The folder is renamed first, so that a new partition of the
/// same name never meets it, and an interrupted deletion is known at the next start.
pub(crate) async fn delete_folder(folder: &Path) -> Result<(), FileError> {
    if !file::exists(folder).await? {
        return Ok(());
    }
    let mut doomed = folder.as_os_str().to_owned();
    doomed.push(".deleted");
    let doomed = std::path::PathBuf::from(doomed);
    file::rename(folder, &doomed).await?;
    if let Some(parent) = folder.parent() {
        file::sync_folder(parent).await?;
    }
    for entry in file::list_folder(&doomed).await? {
        free_in_steps(&doomed.join(&entry.name), entry.bytes, &|| true).await?;
    }
    file::remove_folder_all(&doomed).await?;
    // Other shards remove theirs at the same time, or make those of a new topic of the same name.
    match folder.parent() {
        Some(topic) => file::remove_empty_folder(topic).await,
        None => Ok(()),
    }
}

/// Cuts a file shorter and shorter, and removes it. False where it was told to stop before.
pub(crate) async fn free_in_steps(
    path: &Path,
    bytes: u64,
    goes_on: &dyn Fn() -> bool,
) -> Result<bool, FileError> {
    if bytes > DELETE_STEP_BYTES {
        let options = OpenOptions { access: Access::Write, create: Create::Never, durable_writes: false };
        let file = File::open(path, options).await?;
        let mut left = file.size().await?;
        while left > DELETE_STEP_BYTES {
            left -= DELETE_STEP_BYTES;
            if !goes_on() {
                return Ok(false);
            }
            file.truncate(left).await?;
            clock::sleep(Duration::from_millis(DELETE_STEP_INTERVAL_MS)).await;
        }
        file.close().await?;
    }
    file::remove_file(path).await?;
    Ok(true)
}
