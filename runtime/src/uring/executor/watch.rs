//! Wakes an executor that sleeps through its own heartbeat.
//!
//! Runs on the thread that started the executors, which has nothing else to do until they end.
//!
//! `heartbeat.rs` tells of the wake-up that glommio could lose, and bounds what is left of that by a timer. Two cases are beyond a timer:
//! an executor may lose its very first wake-up, before any task has run and armed one; and the lost one may be the
//! heartbeat's own, whose timer is then spent. Either way it would sleep for good. From outside, only a signal reaches it: the
//! wait for the ring ends with EINTR, and glommio collects again and runs what is queued. A kick may itself be lost; the
//! next one comes.
//!
//! Brokers were once seen to hang at their start, on a machine whose cores were all taken. The watch stays because it costs next
//! to nothing, a look at a counter a second on a thread that sleeps otherwise, and because a broker that hangs at its
//! start does not end by itself.
//!
//! This file is one of those that may use `unsafe`: it sends a signal to a thread.

#![allow(unsafe_code, reason = "no safe interface signals one thread")]

use std::convert::Infallible;
use std::io;
use std::os::unix::thread::JoinHandleExt;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use signal_hook::consts::SIGURG;

use super::{Running, heartbeat};

/// How often a shard is looked at that has not run its first task yet: what a lost start may cost.
const INTERVAL_AT_START: Duration = Duration::from_millis(20);

/// How often the others are: what a lost heartbeat may cost. One wake-up a second is not to be seen in an idle process.
const INTERVAL: Duration = Duration::from_secs(1);

const _: () = assert!(INTERVAL.as_millis() > 2 * heartbeat::INTERVAL.as_millis());

/// Gives the signal of a kick a handler that does nothing: without one the kernel drops it and interrupts no wait.
/// SIGURG, because nobody means anything else by it and its default is to do nothing.
pub(super) fn make_kicks_harmless() -> io::Result<()> {
    static REGISTERED: Mutex<bool> = Mutex::new(false);
    let mut registered = REGISTERED.lock().unwrap_or_else(PoisonError::into_inner);
    if !*registered {
        signal_hook::flag::register(SIGURG, Arc::default())?;
        *registered = true;
    }
    Ok(())
}

/// Returns when all shards have ended, of which `all_ended` is told by its closing.
pub(super) fn until_all_ended<T>(shards: &[Running<T>], all_ended: &Receiver<Infallible>) {
    let mut seen = vec![0; shards.len()];
    loop {
        let starting = seen.contains(&0);
        match all_ended.recv_timeout(if starting { INTERVAL_AT_START } else { INTERVAL }) {
            Ok(never) => match never {},
            Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => {}
        }
        for (shard, seen) in shards.iter().zip(&mut seen) {
            let beats = shard.pulse.beats();
            if beats == *seen && !shard.thread.is_finished() {
                kick(shard);
            }
            *seen = beats;
        }
    }
}

/// Ends the wait that the shard's thread may be in. Harmless if it is busy: its long loop goes on.
fn kick<T>(shard: &Running<T>) {
    // SAFETY: the thread has not been joined, since its handle is borrowed, so its number is still its own.
    let result = unsafe { libc::pthread_kill(shard.thread.as_pthread_t(), SIGURG) };
    // It may have ended since it was looked at. Anything else would be a wrong number.
    assert!(matches!(result, 0 | libc::ESRCH), "pthread_kill: {}", io::Error::from_raw_os_error(result));
}
