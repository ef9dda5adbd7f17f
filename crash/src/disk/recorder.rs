//! The log of a recorded disk.
//!
//! Owned by the FUSE threads through an `Arc`. Invariants:
//! - an event is in the log before its effect can be seen, and its end is set before its answer is sent: whoever
//!   saw an answer at time `t` finds the event ended at or before `t`;
//! - the written bytes go to a spool file, never only to memory: a run may write more than the machine holds;
//! - the base image is never changed; the live image is what the file system under test reads.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::sleep;
use std::time::Duration;

use rustix::fs::{FallocateFlags, fallocate};

use crate::clock::now_ns;

/// The end of an event that was never answered.
pub(crate) const IN_FLIGHT: u64 = u64::MAX;

/// What a write left on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// The bytes, at this position of the spool.
    Spooled(u64),
    /// Zeros: written, punched or discarded.
    Zeros,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Event {
    Write { position: u64, length: u64, content: Content, started_ns: u64, ended_ns: u64 },
    Flush { started_ns: u64, ended_ns: u64 },
}

impl Event {
    pub(crate) fn started_ns(&self) -> u64 {
        match *self {
            Self::Write { started_ns, .. } | Self::Flush { started_ns, .. } => started_ns,
        }
    }

    pub(crate) fn ended_ns(&self) -> u64 {
        match *self {
            Self::Write { ended_ns, .. } | Self::Flush { ended_ns, .. } => ended_ns,
        }
    }

    fn end(&mut self, at_ns: u64) {
        match self {
            Self::Write { ended_ns, .. } | Self::Flush { ended_ns, .. } => *ended_ns = at_ns,
        }
    }
}

#[derive(Default)]
struct Log {
    events: Vec<Event>,
    spool_end: u64,
}

pub(crate) struct Recorder {
    /// What the disk held before the first event; `None` is all zeros.
    base: Option<PathBuf>,
    bytes: u64,
    live: File,
    spool: File,
    log: Mutex<Log>,
    /// How long a write that begins now is under way before it reaches the disk.
    write_delay_ms: AtomicU64,
}

impl Recorder {
    /// A disk of `bytes`, its files in `folder`.
    pub(crate) fn new(folder: &Path, bytes: u64, base: Option<PathBuf>) -> io::Result<Self> {
        let open = |name: &str| {
            OpenOptions::new().read(true).write(true).create(true).truncate(true).open(folder.join(name))
        };
        let live = open("live.img")?;
        if let Some(base) = &base {
            super::rebuild::copy_sparse(&File::open(base)?, &live)?;
        }
        live.set_len(bytes)?;
        Ok(Self {
            base,
            bytes,
            live,
            spool: open("spool")?,
            log: Mutex::default(),
            write_delay_ms: AtomicU64::new(0),
        })
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn base(&self) -> Option<&Path> {
        self.base.as_deref()
    }

    pub(crate) fn spool(&self) -> &File {
        &self.spool
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        self.lock().events.clone()
    }

    /// Makes the disk slow for the writes that begin from now on.
    pub(crate) fn delay_writes(&self, delay: Duration) {
        self.write_delay_ms.store(u64::try_from(delay.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// How many writes had begun at this moment and had not reached the disk.
    pub(crate) fn writes_under_way_at(&self, moment_ns: u64) -> u64 {
        let log = self.lock();
        let is_late = |event: &&Event| {
            matches!(event, Event::Write { .. })
                && event.started_ns() < moment_ns
                && event.ended_ns() > moment_ns
        };
        log.events.iter().filter(is_late).count() as u64
    }

    pub(crate) fn read(&self, position: u64, length: usize) -> io::Result<Vec<u8>> {
        let length = length.min(usize::try_from(self.bytes.saturating_sub(position)).unwrap_or(usize::MAX));
        let mut bytes = vec![0; length];
        self.live.read_exact_at(&mut bytes, position)?;
        Ok(bytes)
    }

    pub(crate) fn write(&self, position: u64, bytes: &[u8]) -> io::Result<()> {
        self.check_place(position, bytes.len() as u64)?;
        let length = bytes.len() as u64;
        let zeros = bytes.iter().all(|byte| *byte == 0);
        let spooled_at = if zeros { None } else { Some(self.take_spool(length)) };
        if let Some(at) = spooled_at {
            self.spool.write_all_at(bytes, at)?;
        }
        let content = spooled_at.map_or(Content::Zeros, Content::Spooled);
        let index = self.begin(|started_ns| Event::Write {
            position,
            length,
            content,
            started_ns,
            ended_ns: IN_FLIGHT,
        });
        let delay_ms = self.write_delay_ms.load(Ordering::Relaxed);
        if delay_ms > 0 {
            sleep(Duration::from_millis(delay_ms));
        }
        self.live.write_all_at(bytes, position)?;
        self.finish(index);
        Ok(())
    }

    /// Write-zeroes and discard requests of the block layer: both read as zeros afterwards on a loop device.
    pub(crate) fn zero(&self, position: u64, length: u64) -> io::Result<()> {
        self.check_place(position, length)?;
        let content = Content::Zeros;
        let index = self.begin(|started_ns| Event::Write {
            position,
            length,
            content,
            started_ns,
            ended_ns: IN_FLIGHT,
        });
        fallocate(&self.live, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, position, length)?;
        self.finish(index);
        Ok(())
    }

    /// Nothing to do but to remember: what was answered before now is safe from the next cut on.
    pub(crate) fn flush(&self) {
        let index = self.begin(|started_ns| Event::Flush { started_ns, ended_ns: IN_FLIGHT });
        self.finish(index);
    }

    fn check_place(&self, position: u64, length: u64) -> io::Result<()> {
        match position.checked_add(length) {
            Some(end) if end <= self.bytes => Ok(()),
            _ => Err(io::Error::from_raw_os_error(rustix::io::Errno::NOSPC.raw_os_error())),
        }
    }

    fn take_spool(&self, length: u64) -> u64 {
        let mut log = self.lock();
        let at = log.spool_end;
        log.spool_end += length;
        at
    }

    fn begin(&self, event: impl FnOnce(u64) -> Event) -> usize {
        let mut log = self.lock();
        log.events.push(event(now_ns()));
        log.events.len() - 1
    }

    fn finish(&self, index: usize) {
        let mut log = self.lock();
        log.events[index].end(now_ns());
    }

    /// A panic elsewhere must not hide the log: it is consistent after every statement made under the lock.
    fn lock(&self) -> std::sync::MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
