//! File systems on loop devices.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use clap::ValueEnum;

use super::run;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FileSystemKind {
    Ext4,
    Xfs,
}

impl FileSystemKind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
        }
    }

    /// Lazy initialisation is off: its background writes would fill the log of a recorded disk.
    pub(crate) fn make(self, device: &Path) -> Result<()> {
        let device = device.to_string_lossy();
        match self {
            Self::Ext4 => {
                run("mkfs.ext4", &["-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", &device])
            }
            Self::Xfs => run("mkfs.xfs", &["-q", "-f", &device]),
        }
        .map(|_| ())
    }
}

pub(crate) struct Mount {
    path: PathBuf,
    mounted: bool,
}

impl Mount {
    pub(crate) fn attach(kind: FileSystemKind, device: &Path, path: &Path) -> Result<Self> {
        std::fs::create_dir_all(path)?;
        run("mount", &["-t", kind.name(), &device.to_string_lossy(), &path.to_string_lossy()])?;
        Ok(Self { path: path.to_path_buf(), mounted: true })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn unmount(mut self) -> Result<()> {
        self.take_down()
    }

    /// A process that was just killed may hold its files open a moment longer.
    fn take_down(&mut self) -> Result<()> {
        let mut outcome = Ok(());
        for _ in 0..50 {
            outcome = run("umount", &[&self.path.to_string_lossy()]).map(|_| ());
            if outcome.is_ok() {
                self.mounted = false;
                break;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        outcome
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if self.mounted
            && let Err(error) = self.take_down()
        {
            eprintln!("{error:#}");
        }
    }
}
