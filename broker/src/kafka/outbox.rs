//! The answers of a connection, in the order of their requests. Hot path.

use std::collections::VecDeque;
use std::io::IoSlice;

use runtime::clock::Instant;
use wire::kafka::WrittenFrame;

use super::produce::Produced;
use crate::connection::Held;
use crate::limits;
use crate::request::BatchRun;

/// An answer that is ready to be sent.
pub(super) struct Answer {
    frame: WrittenFrame,
    /// What the frame's gaps are for, in their order.
    runs: Vec<BatchRun>,
    /// Given back when it is sent.
    _held: Held,
    /// Of produced batches: how many, and when all of them were kept or refused.
    pub(super) produced: Option<(u64, Instant)>,
}

impl Answer {
    /// An answer without batches.
    pub(super) fn of(frame: WrittenFrame) -> Self {
        Self { frame, runs: Vec::new(), _held: Held::default(), produced: None }
    }

    /// An answer whose gaps the runs fill.
    pub(super) fn with_batches(frame: WrittenFrame, runs: Vec<BatchRun>, held: Held) -> Self {
        Self { frame, runs, _held: held, produced: None }
    }

    /// Its own bytes, without those of batches.
    pub(super) fn bytes(&self) -> usize {
        self.frame.gathered.len()
    }

    fn batch_bytes(&self) -> usize {
        self.frame.gaps.iter().map(|gap| gap.bytes).sum()
    }

    /// Adds all its bytes to what one call sends.
    pub(super) fn add_slices<'a>(&'a self, slices: &mut Vec<IoSlice<'a>>) {
        let (gathered, mut from) = (&self.frame.gathered, 0);
        let runs = self.runs.iter().filter(|run| !run.is_empty());
        for (gap, run) in self.frame.gaps.iter().zip(runs) {
            slices.push(IoSlice::new(&gathered[from..gap.position]));
            from = gap.position;
            run.add_slices(slices);
        }
        slices.push(IoSlice::new(&gathered[from..]));
    }
}

/// A request's place among the answers.
enum Place {
    /// Some of its batches are neither kept nor refused yet.
    Produce(Box<Produced>),
    Ready(Answer),
    /// Nobody waits for an answer.
    Silent,
}

/// The places of a connection's requests. A place's number never comes again.
#[derive(Default)]
pub(super) struct Outbox {
    first: u64,
    places: VecDeque<Place>,
}

impl Outbox {
    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Requests that have no answer yet, or whose answer waits.
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// The number that the next place has.
    pub(super) fn next_number(&self) -> u64 {
        self.first + self.places.len() as u64
    }

    /// The answer to a request that is handled already.
    pub(super) fn push(&mut self, answer: Answer) {
        self.places.push_back(Place::Ready(answer));
    }

    /// A place for a request whose batches are under way.
    pub(super) fn push_produced(&mut self, produced: Produced) {
        self.places.push_back(Place::Produce(Box::new(produced)));
    }

    /// The request under way with this number, of which the lower 32 bits are told.
    pub(super) fn produced(&mut self, number: u32) -> &mut Produced {
        match self.place(number) {
            Place::Produce(produced) => produced,
            Place::Ready(_) | Place::Silent => panic!("request {number} was answered already"),
        }
    }

    /// Puts the answer in the request's place; `None` where nobody waits for one.
    pub(super) fn settle(&mut self, number: u32, answer: Option<Answer>) {
        *self.place(number) = answer.map_or(Place::Silent, Place::Ready);
    }

    fn place(&mut self, number: u32) -> &mut Place {
        let at = number.wrapping_sub(self.first as u32);
        &mut self.places[at as usize]
    }

    /// Something may be taken from the front.
    pub(super) fn is_ready(&self) -> bool {
        matches!(self.places.front(), Some(Place::Ready(_) | Place::Silent))
    }

    /// Answers from the front, up to the bytes of one call.
    pub(super) fn take_ready(&mut self) -> Vec<Answer> {
        let (mut answers, mut bytes) = (Vec::new(), 0);
        while bytes < limits::SEND_BYTES_MAX && self.is_ready() {
            self.first += 1;
            if let Some(Place::Ready(answer)) = self.places.pop_front() {
                bytes += answer.bytes() + answer.batch_bytes();
                answers.push(answer);
            }
        }
        answers
    }

    /// Drops what nobody will get. Outcomes of batches may still come.
    pub(super) fn clear_ready(&mut self) {
        for place in &mut self.places {
            if matches!(place, Place::Ready(_)) {
                *place = Place::Silent;
            }
        }
    }
}
