//! What a coordinator wants done: it does nothing itself, and is told the time.

use runtime::clock::Instant;

use super::error::GroupError;
use super::record::GroupRecord;
use super::request::{Answer, GroupReply};

/// Somebody who waits for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Waiter(pub(crate) u64);

/// When something happens: by the clock that only goes forward, and in milliseconds since 1970.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) now: Instant,
    pub(crate) wall_ms: i64,
}

/// What is to be done, in order.
#[derive(Debug, Default)]
pub(crate) struct Actions {
    pub(crate) answers: Vec<(Waiter, Answer)>,
    pub(crate) writes: Vec<Write>,
}

impl Actions {
    pub(super) fn answer(&mut self, to: Waiter, reply: GroupReply) {
        self.reply(to, Ok(reply));
    }

    pub(super) fn refuse(&mut self, to: Waiter, error: GroupError) {
        self.reply(to, Err(error));
    }

    pub(super) fn reply(&mut self, to: Waiter, answer: Answer) {
        self.answers.push((to, answer));
    }

    pub(super) fn write(&mut self, records: Vec<GroupRecord>, then: Then) {
        self.writes.push(Write { records, then });
    }
}

/// Records for the log, as one batch. The coordinator hears of the outcome, and those of one log come in their order.
#[derive(Clone, Debug)]
pub(crate) struct Write {
    pub(crate) records: Vec<GroupRecord>,
    pub(crate) then: Then,
}

/// What follows when the records are durable.
#[derive(Clone, Debug)]
pub(crate) enum Then {
    Nothing,
    Answer {
        to: Waiter,
        reply: GroupReply,
    },
    /// The group's assignment of this generation holds.
    Assigned {
        group: String,
        generation: i32,
    },
}
