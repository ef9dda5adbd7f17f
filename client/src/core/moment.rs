//! Time as the core sees it: handed in by the driver, never read.

use std::ops::Add;
use std::time::Duration;

/// A point of the driver's monotonic clock, in nanoseconds since a moment of its choice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(pub u64);

impl Moment {
    /// The time from `earlier`; zero if that is later.
    pub fn since(self, earlier: Moment) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Moment {
    type Output = Moment;

    fn add(self, duration: Duration) -> Moment {
        Moment(self.0.saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)))
    }
}

/// The driver's clocks and randomness. Functions, so that the simulator's virtual time takes their place.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// The monotonic clock.
    pub now: fn() -> Moment,
    /// Milliseconds since 1970: the timestamp of records that bring none.
    pub wall_ms: fn() -> i64,
    /// 64 random bits.
    pub random: fn() -> u64,
}
