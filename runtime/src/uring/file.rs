//! Files through io_uring with direct I/O.
//!
//! Reads and writes go to the ring; what it has no operation for, or where glommio's is wrong, is a plain system call,
//! made beside the shard where it may block.
//!
//! This file is one of those that may use `unsafe`: it lends out a file's descriptor.

#![allow(unsafe_code, reason = "glommio hands out a file's descriptor as a number only")]

use std::future::Future;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use glommio::GlommioError;
use glommio::io::DmaFile;
use rustix::fs::{FallocateFlags, OFlags};

use super::{blocking, clock, executor, pending, task};
use crate::buffer::{Buffer, PAGE_BYTES};
use crate::file::{Access, Create, FileError, OpenOptions};

mod device;
mod folder;

pub use device::prepare_device;
pub use folder::{
    FolderLock, create_folder_all, exists, list_folder, lock_folder, read_whole, remove_empty_folder,
    remove_file, remove_folder_all, rename, space_of, sync_folder, write_whole_durably,
};

/// How much is written at a time where zeroing a range is not something the file system can do.
const ZERO_CHUNK_BYTES: u64 = 1 << 20;

/// A file opened for direct I/O. Clones are the same open file.
#[derive(Clone)]
pub struct File {
    shared: Rc<Shared>,
}

struct Shared {
    file: DmaFile,
    /// As it was opened; a rename does not change it.
    path: PathBuf,
    durable_writes: bool,
}

impl Shared {
    fn descriptor(&self) -> BorrowedFd<'_> {
        // SAFETY: the descriptor is open for as long as `file` is, which this borrow of `self` outlives.
        unsafe { BorrowedFd::borrow_raw(self.file.as_raw_fd()) }
    }

    fn error(&self, operation: &'static str, source: impl Into<io::Error>) -> FileError {
        FileError::new(operation, &self.path, source.into())
    }
}

/// The system's error, out of glommio's, which would repeat path and operation and lose the number.
fn plain(error: GlommioError<()>) -> io::Error {
    match error {
        GlommioError::EnhancedIoError { source, .. } => source,
        other => other.into(),
    }
}

/// Runs an operation to its end in a task of its own. A glommio write whose future is dropped before the ring was
/// submitted never happens, and nobody is told.
fn detached<T: 'static>(operation: impl Future<Output = T> + 'static) -> impl Future<Output = T> {
    let pending = pending::begin();
    task::spawn(async move {
        let output = operation.await;
        drop(pending);
        output
    })
}

fn assert_aligned(what: &str, number: u64) {
    assert!(number.is_multiple_of(PAGE_BYTES as u64), "{what} {number} is no multiple of {PAGE_BYTES}");
}

impl File {
    /// Opens a file for direct I/O. The first one an executor opens on a device prepares that device
    /// ([`prepare_device`]) if nobody did.
    pub async fn open(path: &Path, options: OpenOptions) -> Result<File, FileError> {
        let may_create = options.create != Create::Never;
        assert!(
            !may_create || options.access == Access::Write,
            "{} is created for reading only",
            path.display()
        );
        device::prepare_device_of(path).await?;
        let mut open = glommio::io::OpenOptions::new();
        open.read(true).write(options.access == Access::Write);
        open.create(options.create == Create::IfMissing).create_new(options.create == Create::New);
        if options.durable_writes {
            open.custom_flags(OFlags::DSYNC.bits() as i32);
        }
        let operation = if may_create { "create" } else { "open" };
        let opened = open.dma_open(path).await;
        let file = opened.map_err(|error| device::open_error(operation, path, plain(error)))?;
        let shared = Shared { file, path: path.to_path_buf(), durable_writes: options.durable_writes };
        Ok(File { shared: Rc::new(shared) })
    }

    /// Writes the whole buffer or fails; the bytes are durable at the end if the file was opened so. It runs to its end
    /// even if the future is dropped, and starts at once (not at the first poll). Ranges of writes that are under way at
    /// the same time must not overlap.
    ///
    /// # Panics
    /// If position or length is no multiple of 4096.
    pub fn write_at(
        &self,
        buffer: Rc<Buffer>,
        position: u64,
    ) -> impl Future<Output = Result<(), FileError>> + use<> {
        assert_aligned("the position", position);
        assert_aligned("the length", buffer.len() as u64);
        let shared = self.shared.clone();
        detached(async move {
            // `buffer` stays beside the block: who holds the only `Rc<Buffer>` may change it.
            let block = buffer.block_to_write().into_dma();
            let written = shared.file.write_rc_at(block, position).await;
            let error = |source| FileError::at("write", &shared.path, position, source);
            let count = written.map_err(|source| error(plain(source)))?;
            if count < buffer.len() {
                // The kernel stops short when the disk fills up halfway. The rest is not tried: it would fail, and
                // whoever counts on the whole has to be told anyway.
                let text = format!("only {count} of {} bytes were written", buffer.len());
                return Err(error(io::Error::new(io::ErrorKind::StorageFull, text)));
            }
            if shared.durable_writes {
                flush_delay().await;
            }
            Ok(())
        })
    }

    /// Reads `length` bytes; fewer only at the end of the file, as the buffer's length says.
    ///
    /// # Panics
    /// If position or length is no multiple of 4096.
    pub async fn read_at(&self, position: u64, length: usize) -> Result<Buffer, FileError> {
        assert_aligned("the position", position);
        assert_aligned("the length", length as u64);
        let read = self.shared.file.read_at_aligned(position, length).await;
        let error = |source: io::Error| FileError::at("read", &self.shared.path, position, source);
        let block = read.map_err(|source| error(plain(source)))?;
        // The kernel reads short inside a file only when it is interrupted, which direct reads of a disk are not; if it
        // ever did, the size tells.
        if block.len() < length && position + (block.len() as u64) < self.size().await? {
            let text = format!("only {} of {length} bytes were read before the end of the file", block.len());
            return Err(error(io::Error::new(io::ErrorKind::UnexpectedEof, text)));
        }
        Ok(Buffer::from_read(block))
    }

    /// Flushes the file's data, and of its metadata what reading it back needs. A failure must not be answered by
    /// another try: the kernel reports a lost write once and forgets it.
    pub fn datasync(&self) -> impl Future<Output = Result<(), FileError>> + use<> {
        let shared = self.shared.clone();
        detached(async move {
            let flushed = shared.file.fdatasync().await;
            flushed.map_err(|source| shared.error("flush", plain(source)))?;
            flush_delay().await;
            Ok(())
        })
    }

    /// Gives the range space on the disk and the file at least the size of its end (`fallocate`, mode 0). On ext4 and
    /// XFS it waits for direct writes that are under way on the file, also those a killed process left behind.
    pub async fn allocate(&self, position: u64, length: u64) -> Result<(), FileError> {
        self.on_descriptor("allocate space for", move |descriptor| {
            rustix::fs::fallocate(descriptor, FallocateFlags::empty(), position, length)
        })
        .await
    }

    /// Makes the range zeros, growing the file to its end. By the file system's own means where it has them, which waits
    /// for writes under way as [`allocate`](File::allocate) does; by writing zeros elsewhere.
    pub async fn zero_range(&self, position: u64, length: u64) -> Result<(), FileError> {
        assert_aligned("the position", position);
        assert_aligned("the length", length);
        let zeroed = self
            .on_descriptor("zero a range of", move |descriptor| {
                rustix::fs::fallocate(descriptor, FallocateFlags::ZERO_RANGE, position, length)
            })
            .await;
        match zeroed {
            Err(error) if error.source.kind() == io::ErrorKind::Unsupported => {
                self.write_zeros(position, length).await
            }
            other => other,
        }
    }

    async fn write_zeros(&self, position: u64, length: u64) -> Result<(), FileError> {
        let (mut position, end) = (position, position + length);
        let chunk = Rc::new(Buffer::zeroed(ZERO_CHUNK_BYTES.min(length) as usize));
        while position < end {
            let rest = end - position;
            let zeros = if rest < chunk.len() as u64 {
                Rc::new(Buffer::zeroed(rest as usize))
            } else {
                chunk.clone()
            };
            let written = zeros.len() as u64;
            self.write_at(zeros, position).await?;
            position += written;
        }
        Ok(())
    }

    /// Cuts the file, or grows it by a hole, to `length`.
    pub async fn truncate(&self, length: u64) -> Result<(), FileError> {
        self.on_descriptor("truncate", move |descriptor| rustix::fs::ftruncate(descriptor, length)).await
    }

    /// A call on the descriptor, beside the shard. Through a duplicate, because this file may be closed meanwhile.
    async fn on_descriptor(
        &self,
        operation: &'static str,
        call: impl FnOnce(OwnedFd) -> rustix::io::Result<()> + Send + 'static,
    ) -> Result<(), FileError> {
        let duplicate = self.shared.descriptor().try_clone_to_owned();
        let duplicate = duplicate.map_err(|source| self.shared.error(operation, source))?;
        blocking::run(move || call(duplicate)).await.map_err(|source| self.shared.error(operation, source))
    }

    /// The file's size in bytes.
    #[expect(
        clippy::unused_async,
        reason = "the simulator's back end may have to wait; here fstat does not block"
    )]
    pub async fn size(&self) -> Result<u64, FileError> {
        // glommio would look the file up by its name, which a rename has changed.
        let status = rustix::fs::fstat(self.shared.descriptor())
            .map_err(|source| self.shared.error("stat", source))?;
        Ok(status.st_size as u64)
    }

    /// Closes this handle, and the file if it was the last one (writes under way hold it too).
    pub async fn close(self) -> Result<(), FileError> {
        match Rc::try_unwrap(self.shared) {
            Ok(Shared { file, path, .. }) => {
                let closed = file.close().await;
                closed.map_err(|source| FileError::new("close", &path, plain(source)))
            }
            Err(_) => Ok(()),
        }
    }

    /// The path it was opened by.
    pub fn path(&self) -> &Path {
        &self.shared.path
    }
}

impl std::fmt::Debug for File {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "File({})", self.path().display())
    }
}

/// See [`ExecutorOptions::flush_delay`](crate::executor::ExecutorOptions).
async fn flush_delay() {
    let delay = executor::flush_delay();
    if !delay.is_zero() {
        clock::sleep(delay).await;
    }
}
