//! Files and folders on the simulated disk, behind the same calls as the real ones.

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use super::buffer::ReadBlock;
use super::clock::sleep;
use super::disk::{DiskState, FaultKind, Inode, Node};
use super::world::{self, State};
use crate::buffer::{Buffer, PAGE_BYTES};
use crate::file::{Access, Create, FileError, FolderEntry, OpenOptions, Space};

/// An open file. A clone is the same handle; the file lives on when its name goes.
#[derive(Clone)]
pub struct File {
    shared: Rc<Shared>,
}

struct Shared {
    inode: Inode,
    path: PathBuf,
    options: OpenOptions,
}

impl Drop for Shared {
    fn drop(&mut self) {
        world::try_with(|world| world.disk.count_close(&self.path));
    }
}

/// A call that takes a while, as one on the disk does.
async fn call<R>(
    operation: &'static str,
    path: &Path,
    act: impl FnOnce(&mut State) -> io::Result<R>,
) -> Result<R, FileError> {
    let delay_ns = world::with(|world| 5_000 + world.rng.below(100_000));
    sleep(Duration::from_nanos(delay_ns)).await;
    world::with(act).map_err(|source| FileError::new(operation, path, source))
}

impl File {
    pub async fn open(path: &Path, options: OpenOptions) -> Result<File, FileError> {
        let inode = call("open", path, |world| {
            let inode = match (world.disk.find(path), options.create) {
                (Ok(_), Create::New) => Err(io::ErrorKind::AlreadyExists.into()),
                (Ok(inode), _) => Ok(inode),
                (Err(error), Create::Never) => Err(error),
                (Err(_), _) => world.disk.create(path, DiskState::new_file()),
            }?;
            world.disk.count_open(path);
            Ok(inode)
        })
        .await?;
        Ok(File { shared: Rc::new(Shared { inode, path: path.to_owned(), options }) })
    }

    pub fn write_at(
        &self,
        buffer: Rc<Buffer>,
        position: u64,
    ) -> impl Future<Output = Result<(), FileError>> + use<> {
        assert!(
            position % PAGE_BYTES as u64 == 0 && buffer.len() % PAGE_BYTES == 0,
            "{position} {}",
            buffer.len()
        );
        assert!(
            self.shared.options.access == Access::Write,
            "{} was opened for reading",
            self.shared.path.display()
        );
        let shared = self.shared.clone();
        let begun = world::with(|world| {
            world.disk.fault(&shared.path, FaultKind::Write)?;
            let position = position as usize;
            let grows = (position + buffer.len()).saturating_sub(world.disk.size(shared.inode));
            world.disk.refuse_full(grows)?;
            Ok(world.begin_write(shared.inode, position, &buffer, shared.options.durable_writes))
        });
        async move {
            let outcome = match begun {
                Ok(signal) => signal.await,
                Err(error) => Err(error),
            };
            drop(buffer);
            outcome.map_err(|source| FileError::at("write", &shared.path, position, source))
        }
    }

    pub async fn read_at(&self, position: u64, length: usize) -> Result<Buffer, FileError> {
        assert!(position % PAGE_BYTES as u64 == 0 && length % PAGE_BYTES == 0, "{position} {length}");
        let shared = &self.shared;
        call("read", &shared.path, |world| {
            world.disk.fault(&shared.path, FaultKind::Read)?;
            let Node::File { seen, .. } = world.disk.node(shared.inode) else {
                return Err(io::ErrorKind::IsADirectory.into());
            };
            let start = seen.len().min(position as usize);
            let end = seen.len().min(position as usize + length);
            Ok(Buffer::from_read(ReadBlock(seen[start..end].to_vec())))
        })
        .await
    }

    pub fn datasync(&self) -> impl Future<Output = Result<(), FileError>> + use<> {
        let shared = self.shared.clone();
        async move {
            call("flush", &shared.path, |world| {
                world.disk.fault(&shared.path, FaultKind::Flush)?;
                world.disk.flush(shared.inode);
                Ok(())
            })
            .await
        }
    }

    /// Waits for writes under way, also those a killed process left behind.
    pub async fn allocate(&self, position: u64, length: u64) -> Result<(), FileError> {
        self.writes_ended().await;
        let end = (position + length) as usize;
        self.change("allocate space for", move |world, inode| {
            let size = world.disk.size(inode);
            if end > size {
                world.disk.refuse_full(end - size)?;
                world.disk.change(inode, size, |seen| seen.resize(end, 0));
            }
            Ok(())
        })
        .await
    }

    pub async fn zero_range(&self, position: u64, length: u64) -> Result<(), FileError> {
        let page = PAGE_BYTES as u64;
        assert!(position.is_multiple_of(page) && length.is_multiple_of(page), "{position} {length}");
        self.writes_ended().await;
        let (start, end) = (position as usize, (position + length) as usize);
        self.change("zero a range of", move |world, inode| {
            world.disk.refuse_full(end.saturating_sub(world.disk.size(inode)))?;
            world.disk.change(inode, start, |seen| {
                seen.resize(seen.len().max(end), 0);
                seen[start..end].fill(0);
            });
            Ok(())
        })
        .await
    }

    pub async fn truncate(&self, length: u64) -> Result<(), FileError> {
        let length = length as usize;
        self.change("truncate", move |world, inode| {
            let from = length.min(world.disk.size(inode));
            world.disk.change(inode, from, |seen| seen.resize(length, 0));
            Ok(())
        })
        .await
    }

    async fn writes_ended(&self) {
        let ended = world::with(|world| world.writes_ended(self.shared.inode));
        ended.await;
    }

    async fn change(
        &self,
        operation: &'static str,
        change: impl FnOnce(&mut State, Inode) -> io::Result<()>,
    ) -> Result<(), FileError> {
        call(operation, &self.shared.path, |world| change(world, self.shared.inode)).await
    }

    pub async fn size(&self) -> Result<u64, FileError> {
        call("stat", &self.shared.path, |world| Ok(world.disk.size(self.shared.inode) as u64)).await
    }

    #[expect(clippy::unused_async, reason = "the real back end has to wait for the kernel")]
    pub async fn close(self) -> Result<(), FileError> {
        Ok(())
    }

    pub fn path(&self) -> &Path {
        &self.shared.path
    }
}

pub async fn create_folder_all(path: &Path) -> Result<(), FileError> {
    let mut missing: Vec<&Path> = path.ancestors().filter(|folder| folder.parent().is_some()).collect();
    missing.reverse();
    call("create the folder", path, |world| {
        for folder in missing {
            if world.disk.find(folder).is_err() {
                world.disk.create(folder, DiskState::new_folder())?;
            }
        }
        Ok(())
    })
    .await
}

pub async fn sync_folder(path: &Path) -> Result<(), FileError> {
    call("flush the folder", path, |world| {
        world.disk.fault(path, FaultKind::Flush)?;
        let inode = world.disk.find(path)?;
        world.disk.flush_folder(inode);
        Ok(())
    })
    .await
}

pub async fn rename(from: &Path, to: &Path) -> Result<(), FileError> {
    call("rename", from, |world| world.disk.rename(from, to)).await
}

pub async fn remove_file(path: &Path) -> Result<(), FileError> {
    call("remove", path, |world| world.disk.remove(path)).await
}

pub async fn remove_folder_all(path: &Path) -> Result<(), FileError> {
    remove_file(path).await
}

pub async fn remove_empty_folder(path: &Path) -> Result<(), FileError> {
    call("remove the empty folder", path, |world| {
        let Ok(inode) = world.disk.find(path) else { return Ok(()) };
        if world.disk.entries(inode)?.is_empty() { world.disk.remove(path) } else { Ok(()) }
    })
    .await
}

pub async fn exists(path: &Path) -> Result<bool, FileError> {
    call("look up", path, |world| Ok(world.disk.find(path).is_ok())).await
}

pub async fn space_of(path: &Path) -> Result<Space, FileError> {
    call("look at the space of", path, |world| Ok(world.disk.space())).await
}

pub async fn list_folder(path: &Path) -> Result<Vec<FolderEntry>, FileError> {
    call("list", path, |world| {
        let inode = world.disk.find(path)?;
        let entries = world.disk.entries(inode)?.clone();
        let describe = |(name, inode): (String, Inode)| FolderEntry {
            name,
            is_folder: matches!(world.disk.node(inode), Node::Folder { .. }),
            bytes: world.disk.size(inode) as u64,
        };
        Ok(entries.into_iter().map(describe).collect())
    })
    .await
}

pub async fn read_whole(path: &Path, bytes_max: usize) -> Result<Vec<u8>, FileError> {
    call("read", path, |world| {
        world.disk.fault(path, FaultKind::Read)?;
        let inode = world.disk.find(path)?;
        let Node::File { seen, .. } = world.disk.node(inode) else {
            return Err(io::ErrorKind::IsADirectory.into());
        };
        if seen.len() > bytes_max {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("{} bytes, at most {bytes_max} expected", seen.len()),
            ));
        }
        Ok(seen.clone())
    })
    .await
}

/// A new file, flushed, then given the name, then the folder flushed: a crash leaves the old content or the new.
pub async fn write_whole_durably(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = PathBuf::from(temporary);
    let inode = call("create", &temporary, |world| {
        let old = world.disk.find(&temporary).ok();
        let inode = old.map_or_else(|| world.disk.create(&temporary, DiskState::new_file()), Ok)?;
        world.disk.refuse_full(bytes.len())?;
        world.disk.change(inode, 0, |seen| *seen = bytes.to_vec());
        Ok(inode)
    })
    .await?;
    call("flush", &temporary, |world| {
        world.disk.fault(&temporary, FaultKind::Flush)?;
        world.disk.flush(inode);
        Ok(())
    })
    .await?;
    rename(&temporary, path).await?;
    sync_folder(path.parent().unwrap_or(Path::new("/"))).await
}

impl DiskState {
    fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let inode = self.find(from)?;
        let (old_parent, old_name) = self.parent(from)?;
        let (new_parent, new_name) = self.parent(to)?;
        self.entries(old_parent)?.remove(&old_name);
        self.entries(new_parent)?.insert(new_name, inode);
        Ok(())
    }

    fn remove(&mut self, path: &Path) -> io::Result<()> {
        self.find(path)?;
        let (parent, name) = self.parent(path)?;
        self.entries(parent)?.remove(&name);
        Ok(())
    }
}

/// Held until dropped, or until the process ends.
#[derive(Debug)]
pub struct FolderLock {
    folder: PathBuf,
}

pub async fn lock_folder(path: &Path) -> Result<FolderLock, FileError> {
    let locked = call("lock", path, |world| {
        let process = world.process();
        Ok(world.disk.lock(path, process))
    })
    .await?;
    locked.map_err(|owner| FileError::locked(path, Some(owner.0)))?;
    Ok(FolderLock { folder: path.to_owned() })
}

impl Drop for FolderLock {
    fn drop(&mut self) {
        world::try_with(|world| world.disk.unlock(&self.folder));
    }
}

/// There is nothing to probe here.
#[expect(clippy::unused_async, reason = "the real back end opens a file")]
pub async fn prepare_device(_folder: &Path) -> Result<(), FileError> {
    Ok(())
}
