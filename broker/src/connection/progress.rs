//! How a frame comes along that is being received, so that nobody holds memory by sending slowly.
//!
//! Only time in which the broker waits for the peer counts: while it waits for its storage or for memory, it does not read,
//! and the peer is not to blame.

use std::cell::Cell;
use std::time::Duration;

use runtime::clock::Instant;

use crate::limits;

/// Of one connection: the frame that began and is not whole.
#[derive(Default)]
pub(super) struct Progress {
    /// Since when the broker waits for more of it; `None`: it does not.
    waiting_since: Cell<Option<Instant>>,
    /// What it waited before that.
    waited: Cell<Duration>,
    /// Bytes received since the frame began.
    bytes: Cell<u64>,
}

impl Progress {
    /// A frame begins.
    pub(super) fn begin(&self) {
        self.waiting_since.set(None);
        self.waited.set(Duration::ZERO);
        self.bytes.set(0);
    }

    /// The broker waits for more of the frame.
    pub(super) fn wait(&self, now: Instant) {
        if self.waiting_since.get().is_none() {
            self.waiting_since.set(Some(now));
        }
    }

    /// Something came.
    pub(super) fn arrived(&self, bytes: usize, now: Instant) {
        if let Some(since) = self.waiting_since.take() {
            self.waited.set(self.waited.get() + now.since(since));
            self.bytes.set(self.bytes.get() + bytes as u64);
        }
    }

    /// In the middle of a frame, and nothing has come for `timeout`.
    pub(super) fn is_stalled(&self, now: Instant, timeout: Duration) -> bool {
        self.waiting_since.get().is_some_and(|since| now.since(since) > timeout)
    }

    /// Slower than `bytes_per_second` after a time of grace.
    pub(super) fn is_slow(&self, now: Instant, grace: Duration, bytes_per_second: u64) -> bool {
        let Some(since) = self.waiting_since.get() else { return false };
        let waited = self.waited.get() + now.since(since);
        waited > grace + Duration::from_millis(self.bytes.get() * 1000 / bytes_per_second)
    }

    /// Holds memory that others wait for, and does not make good use of it.
    pub(super) fn yields_to_others(&self, now: Instant) -> bool {
        self.is_slow(now, limits::RECEIVE_GRACE_CONTENDED, limits::RECEIVE_RATE_MIN_CONTENDED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn time_in_which_the_broker_does_not_read_is_not_the_peers() {
        let start = Instant::from_nanos(0);
        let progress = Progress::default();
        progress.begin();
        progress.wait(start);
        progress.arrived(100, start + SECOND);
        // An hour in which it waited for the storage.
        let later = start + SECOND * 3600;
        assert!(!progress.is_slow(later, SECOND, 1000) && !progress.is_stalled(later, SECOND));
        progress.wait(later);
        assert!(!progress.is_slow(later, SECOND, 1000));
        assert!(
            progress.is_slow(later + SECOND, SECOND, 1000) && !progress.is_stalled(later + SECOND, SECOND)
        );
    }

    #[test]
    fn a_byte_a_second_is_slow_and_a_fast_frame_is_not() {
        let start = Instant::from_nanos(0);
        for (bytes, slow) in [(1, true), (1 << 20, false)] {
            let progress = Progress::default();
            progress.begin();
            for second in 0..60 {
                progress.wait(start + SECOND * second);
                progress.arrived(bytes, start + SECOND * (second + 1));
            }
            progress.wait(start + SECOND * 60);
            assert_eq!(progress.is_slow(start + SECOND * 60, SECOND, 1000), slow);
        }
    }
}
