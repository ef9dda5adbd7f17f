//! A recorded disk in use: FUSE mount, loop device, file system. Taken down in the reverse order, also on failure.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use fuser::{BackgroundSession, Config, MountOption, Session};

use super::filesystem::{DISK_NAME, OneFile};
use super::recorder::Recorder;
use crate::host::{FileSystemKind, LoopDevice, Mount};

pub(crate) struct RecordedMountOptions {
    /// Where the images, the spool and the mount points live.
    pub(crate) folder: PathBuf,
    pub(crate) bytes: u64,
    pub(crate) kind: FileSystemKind,
    /// A disk to go on from; without one a new file system is made.
    pub(crate) base: Option<PathBuf>,
}

/// Fields are dropped in order: the file system, the loop device, then the FUSE session under both.
pub(crate) struct RecordedMount {
    mount: Option<Mount>,
    device: Option<LoopDevice>,
    session: Option<BackgroundSession>,
    recorder: Arc<Recorder>,
}

impl RecordedMount {
    pub(crate) fn start(options: RecordedMountOptions) -> Result<Self> {
        let fuse_folder = options.folder.join("fuse");
        std::fs::create_dir_all(&fuse_folder)?;
        let is_new = options.base.is_none();
        let recorder = Arc::new(Recorder::new(&options.folder, options.bytes, options.base)?);
        let mut config = Config::default();
        config.mount_options = vec![MountOption::FSName("corelog-crash".into()), MountOption::RW];
        // Enough that slow writes do not hold up reads.
        config.n_threads = Some(8);
        let session = Session::new(OneFile::new(Arc::clone(&recorder)), &fuse_folder, &config)
            .and_then(Session::spawn)
            .context("cannot mount a FUSE file system: it takes root and /dev/fuse")?;
        let mut this = Self { mount: None, device: None, session: Some(session), recorder };
        let device = this.device.insert(LoopDevice::attach(&fuse_folder.join(DISK_NAME), true)?);
        if is_new {
            options.kind.make(device.path())?;
        }
        this.mount = Some(Mount::attach(options.kind, device.path(), &options.folder.join("mnt"))?);
        Ok(this)
    }

    pub(crate) fn path(&self) -> &Path {
        self.mount.as_ref().expect("mounted until stopped").path()
    }

    pub(crate) fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    /// Takes the file system down and keeps the log.
    pub(crate) fn stop(mut self) -> Result<Arc<Recorder>> {
        if let Some(mount) = self.mount.take() {
            mount.unmount()?;
        }
        if let Some(device) = self.device.take() {
            device.detach()?;
        }
        if let Some(session) = self.session.take() {
            session.umount_and_join().context("cannot unmount the FUSE file system")?;
        }
        Ok(Arc::clone(&self.recorder))
    }
}
