//! Why an executor could not start, in words that say what to do about it.

use std::fs;
use std::io;

use glommio::{GlommioError, ReactorErrorKind};
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};
use rustix::thread::{CapabilitySet, capabilities};

use super::ExecutorOptions;
use crate::buffer::PAGE_BYTES;

/// What glommio refuses to start below.
const MEMORY_LOCK_BYTES_MIN: u64 = 512 << 10;

/// The rings of an executor (main, latency, polled), each of which registers the I/O memory.
const RINGS_PER_EXECUTOR: u64 = 3;

/// Read buffers take one part in so many of what may be locked: the limit is the user's and not the process's, newer kernels
/// count the rings themselves as well, and without room for its rings the user's next process does not start.
const IO_MEMORY_PART_OF_LIMIT: u64 = 2;

/// The executors could not be started. The text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Too little memory may be locked.
    #[error(
        "io_uring needs memory that is locked in place, and this process may lock only {limit_bytes} bytes (at least \
         {needed_bytes}; for all of this configuration's registered read buffers {wanted_bytes}). Raise the limit: \
         `ulimit -l unlimited` in the shell, `LimitMEMLOCK=infinity` in a systemd unit, `--ulimit memlock=-1` for docker"
    )]
    MemoryLock {
        /// The soft limit of this process.
        limit_bytes: u64,
        /// What it must be at least.
        needed_bytes: u64,
        /// What this configuration would use in full; with less it runs, and cold reads cost up to a fifth more.
        wanted_bytes: u64,
    },
    /// The kernel has no io_uring, or keeps it from this process.
    #[error("io_uring is not available: {reason}. {remedy} ({source})")]
    NoIoUring {
        /// Why, as far as can be seen.
        reason: &'static str,
        /// What to do.
        remedy: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The kernel had no memory or descriptors for another ring.
    #[error(
        "the system has no room for the io_uring of core {core}: {source}. Raise the limits of locked memory \
         (`ulimit -l`) and open files (`ulimit -n`), or use fewer cores"
    )]
    NoRoom {
        /// The core whose executor failed.
        core: usize,
        /// What the system said.
        source: io::Error,
    },
    /// The executor of a core could not be made, most often because the core is not there for this process.
    #[error(
        "cannot start an executor on core {core}: {source}. Is it in the affinity mask (`taskset -p`) and online?"
    )]
    Executor {
        /// The core.
        core: usize,
        /// What glommio said.
        source: io::Error,
    },
    /// A thread could not be started.
    #[error("cannot start a thread: {0}")]
    Thread(#[source] io::Error),
}

/// glommio refuses to start below its minimum with an error that names neither the limit's name nor a way to raise it.
/// Above the minimum but below what it would like, it says nothing and reads without registered buffers.
pub(super) fn check_memory_lock(options: &ExecutorOptions) -> Result<(), StartError> {
    check_limit(getrlimit(Resource::Memlock).current, options)
}

/// `None` is unlimited.
fn check_limit(limit_bytes: Option<u64>, options: &ExecutorOptions) -> Result<(), StartError> {
    match limit_bytes {
        Some(limit_bytes) if limit_bytes < MEMORY_LOCK_BYTES_MIN => Err(StartError::MemoryLock {
            limit_bytes,
            needed_bytes: MEMORY_LOCK_BYTES_MIN,
            wanted_bytes: options.memory_lock_bytes(),
        }),
        _ => Ok(()),
    }
}

impl ExecutorOptions {
    /// The limit of locked memory at which all that this configuration asks for is registered. With a lower one, but at least
    /// 512 KiB, it runs and cold reads cost up to a fifth more.
    pub fn memory_lock_bytes(&self) -> u64 {
        let per_executor = RINGS_PER_EXECUTOR * self.io_memory_bytes as u64;
        (self.cores.len() as u64 * per_executor * IO_MEMORY_PART_OF_LIMIT).max(MEMORY_LOCK_BYTES_MIN)
    }

    /// Of [`Self::io_memory_bytes`], what may be locked: asked for more, the kernel registers nothing.
    pub(super) fn io_memory_bytes_lockable(&self) -> usize {
        let is_exempt = capabilities(None).is_ok_and(|own| own.effective.contains(CapabilitySet::IPC_LOCK));
        let limit_bytes = if is_exempt { None } else { getrlimit(Resource::Memlock).current };
        self.io_memory_bytes_within(limit_bytes)
    }

    /// `None` is unlimited.
    fn io_memory_bytes_within(&self, limit_bytes: Option<u64>) -> usize {
        let Some(limit_bytes) = limit_bytes else { return self.io_memory_bytes };
        let room = limit_bytes / IO_MEMORY_PART_OF_LIMIT / (self.cores.len() as u64 * RINGS_PER_EXECUTOR);
        self.io_memory_bytes.min(usize::try_from(room).unwrap_or(usize::MAX)) / PAGE_BYTES * PAGE_BYTES
    }
}

pub(super) fn from_glommio(error: GlommioError<()>, core: usize) -> StartError {
    if let GlommioError::ReactorError(ReactorErrorKind::MemLockLimit(limit_bytes, needed_bytes)) = error {
        return StartError::MemoryLock { limit_bytes, needed_bytes, wanted_bytes: needed_bytes };
    }
    let disabled = fs::read_to_string("/proc/sys/kernel/io_uring_disabled").unwrap_or_default();
    from_io(io::Error::from(error), core, disabled.trim())
}

/// `disabled` is the sysctl `kernel.io_uring_disabled`: 1 keeps it from processes without privileges, 2 from all.
fn from_io(source: io::Error, core: usize, disabled: &str) -> StartError {
    let (reason, remedy) = match (Errno::from_io_error(&source), disabled) {
        (Some(Errno::NOSYS), _) => (
            "this kernel has none, or a sandbox hides it (gVisor, some container services)",
            "Use Linux 6.1 or newer, outside such a sandbox.",
        ),
        (Some(Errno::PERM), "1" | "2") => (
            "the administrator has switched it off (sysctl kernel.io_uring_disabled)",
            "Set kernel.io_uring_disabled to 0, or to 1 with the process in the group of kernel.io_uring_group.",
        ),
        (Some(Errno::PERM | Errno::ACCESS), _) => (
            "a security profile forbids it; docker's and podman's default seccomp profiles do",
            "Run the container with `--security-opt seccomp=unconfined`, or a profile that allows io_uring_setup, \
             io_uring_enter and io_uring_register.",
        ),
        (Some(Errno::NOMEM | Errno::MFILE | Errno::NFILE), _) => return StartError::NoRoom { core, source },
        _ => return StartError::Executor { core, source },
    };
    StartError::NoIoUring { reason, remedy, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(error: Errno, disabled: &str) -> String {
        from_io(error.into(), 3, disabled).to_string()
    }

    #[test]
    fn the_reason_for_a_missing_io_uring_comes_with_what_to_do() {
        assert!(text(Errno::PERM, "0").contains("--security-opt seccomp=unconfined"));
        assert!(text(Errno::PERM, "2").contains("Set kernel.io_uring_disabled to 0"));
        assert!(text(Errno::NOSYS, "").contains("Linux 6.1"));
        assert!(text(Errno::NOMEM, "0").contains("ulimit -l"));
        assert!(text(Errno::INVAL, "0").contains("core 3"));
    }

    #[test]
    fn no_more_is_registered_than_may_be_locked() {
        let options =
            ExecutorOptions { io_memory_bytes: 16 << 20, ..ExecutorOptions::new("test", vec![0, 1]) };
        assert_eq!(options.io_memory_bytes_within(None), 16 << 20);
        assert_eq!(options.io_memory_bytes_within(Some(192 << 20)), 16 << 20);
        assert_eq!(options.io_memory_bytes_within(Some(8 << 20)), (4 << 20) / 6 / 4096 * 4096);
    }

    #[test]
    fn too_little_lockable_memory_is_refused_with_the_sums() {
        let options =
            ExecutorOptions { io_memory_bytes: 1 << 20, ..ExecutorOptions::new("test", vec![0, 1]) };
        assert!(check_limit(None, &options).is_ok());
        assert!(check_limit(Some(512 << 10), &options).is_ok());
        let message = check_limit(Some(64 << 10), &options).unwrap_err().to_string();
        assert!(message.contains("only 65536 bytes (at least 524288;"), "{message}");
        assert!(message.contains("read buffers 12582912)"), "{message}");
    }
}
