//! The folder everything of one run lives in; removed at the end.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};

static FOLDERS_MADE: AtomicU32 = AtomicU32::new(0);

pub(crate) struct WorkFolder {
    path: PathBuf,
}

impl WorkFolder {
    /// Under `parent`, or the system's temporary folder.
    pub(crate) fn create(parent: Option<&Path>, name: &str) -> Result<Self> {
        let parent = parent.map_or_else(std::env::temp_dir, Path::to_path_buf);
        let number = FOLDERS_MADE.fetch_add(1, Ordering::Relaxed);
        let path = parent.join(format!("corelog-crash-{}-{number}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self { path })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for WorkFolder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.path) {
            eprintln!("cannot remove {}: {error}", self.path.display());
        }
    }
}
