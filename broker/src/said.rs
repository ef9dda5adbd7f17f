//! Lines of the log that a peer can provoke as often as it likes: the first is said, then one an interval, with the number of
//! those that were left out. The counters of the metrics count them all.

use std::cell::Cell;
use std::time::Duration;

use runtime::clock::{self, Instant};

const INTERVAL: Duration = Duration::from_secs(10);

/// One kind of line on one shard.
#[derive(Default)]
pub(crate) struct Line {
    last: Cell<Option<Instant>>,
    left_out: Cell<u64>,
}

impl Line {
    /// How many were left out since the last one, if one may be said now.
    pub(crate) fn due(&self) -> Option<u64> {
        self.due_at(clock::now())
    }

    fn due_at(&self, now: Instant) -> Option<u64> {
        if self.last.get().is_some_and(|last| now.since(last) < INTERVAL) {
            self.left_out.set(self.left_out.get() + 1);
            return None;
        }
        self.last.set(Some(now));
        Some(self.left_out.take())
    }
}

/// The lines of one shard.
#[derive(Default)]
pub(crate) struct Said {
    pub(crate) not_accepted: Line,
    pub(crate) refused: Line,
    pub(crate) closed: Line,
    pub(crate) kafka_refused: Line,
    pub(crate) read_failed: Line,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_said_once_an_interval_and_the_rest_is_counted() {
        let line = Line::default();
        let seconds = (0..25).map(|second| Instant::from_nanos(second * 1_000_000_000));
        assert_eq!(seconds.filter_map(|now| line.due_at(now)).collect::<Vec<_>>(), [0, 9, 9]);
    }
}
