//! Loop devices.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::run;

pub(crate) struct LoopDevice {
    path: PathBuf,
    attached: bool,
}

impl LoopDevice {
    /// With `direct` the device passes the page cache by: each write reaches the file when it is made, not when
    /// the kernel writes it back.
    pub(crate) fn attach(file: &Path, direct: bool) -> Result<Self> {
        let direct = if direct { "--direct-io=on" } else { "--direct-io=off" };
        let path = run("losetup", &["--find", "--show", direct, &file.to_string_lossy()])?;
        Ok(Self { path: PathBuf::from(path), attached: true })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn detach(mut self) -> Result<()> {
        self.attached = false;
        run("losetup", &["--detach", &self.path.to_string_lossy()]).map(|_| ())
    }
}

impl Drop for LoopDevice {
    fn drop(&mut self) {
        if self.attached
            && let Err(error) = run("losetup", &["--detach", &self.path.to_string_lossy()])
        {
            eprintln!("{error:#}");
        }
    }
}
