//! Time on a shard: a monotonic clock, the wall clock, sleeping and deadlines.
//!
//! In the simulator time is virtual and moves only when nothing can run, so code that sleeps an hour is tested in
//! microseconds. On the real back end timers overshoot by 50 us to 1 ms: never build a rate on single sleeps.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

pub use crate::backend::clock::{now, sleep, wall_ms};

/// A point of the monotonic clock, in nanoseconds since some moment before the process's first reading.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Instant(u64);

impl Instant {
    /// The instant so many nanoseconds after the clock's zero. For back ends and tests of pure code.
    pub const fn from_nanos(nanoseconds: u64) -> Instant {
        Instant(nanoseconds)
    }

    /// Nanoseconds since the clock's zero.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The time from `earlier` to this instant; zero if `earlier` is in fact later.
    pub fn since(self, earlier: Instant) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The time from this instant to now.
    pub fn elapsed(self) -> Duration {
        now().since(self)
    }
}

impl std::ops::Add<Duration> for Instant {
    type Output = Instant;

    /// Saturates at the end of the clock, 584 years after its zero: a deadline that far away never comes.
    fn add(self, duration: Duration) -> Instant {
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Instant(self.0.saturating_add(nanoseconds))
    }
}

impl std::ops::Sub<Instant> for Instant {
    type Output = Duration;

    fn sub(self, earlier: Instant) -> Duration {
        self.since(earlier)
    }
}

/// The time ran out before the future was ready.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Elapsed;

impl fmt::Display for Elapsed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the time ran out")
    }
}

impl std::error::Error for Elapsed {}

/// Sleeps until `deadline`; returns at once if it has passed.
pub async fn sleep_until(deadline: Instant) {
    let remaining = deadline.since(now());
    if !remaining.is_zero() {
        sleep(remaining).await;
    }
}

/// Runs `future` for at most `duration` and drops it then. Never around an operation that must not be abandoned
/// halfway, such as a send of part of a frame. (Writes to files are safe either way: they run in tasks of their own.)
pub async fn timeout<T>(duration: Duration, future: impl Future<Output = T>) -> Result<T, Elapsed> {
    let mut future = pin!(future);
    let mut timer = pin!(sleep(duration));
    poll_fn(|context| {
        // The future first: an answer that arrived together with the deadline is an answer.
        if let Poll::Ready(output) = future.as_mut().poll(context) {
            return Poll::Ready(Ok(output));
        }
        timer.as_mut().poll(context).map(|()| Err(Elapsed))
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_saturate_instead_of_wrapping() {
        let late = Instant::from_nanos(u64::MAX - 1);
        assert_eq!(late + Duration::from_secs(1), Instant::from_nanos(u64::MAX));
        assert_eq!(Instant::from_nanos(1).since(late), Duration::ZERO);
        assert_eq!(late - Instant::from_nanos(u64::MAX - 6), Duration::from_nanos(5));
    }
}
