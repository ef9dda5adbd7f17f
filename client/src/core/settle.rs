//! What becomes of batches under way: acknowledged, refused, lost, sent again, overdue.
//!
//! Hot path: [`Core::on_acks`].
//!
//! | answer | then |
//! |---|---|
//! | stored | told, forgotten |
//! | retriable | waits and is sent again, and all after it, once all of the partition are answered |
//! | sequence out of order, behind one that is sent again | the same: it was refused because of that one |
//! | sequence out of order, first time, nothing before it | the broker forgot the producer: another identity |
//! | either of these two, after the delivery timeout | told as timed out, for the reason of the answer before |
//! | anything else | told as an error; what follows gets another identity, as its sequence is never used |

use wire::codes::ErrorCode;
use wire::native::{ProduceAck, ProduceAcksIter};

use super::backoff::backoff;
use super::link::{PartitionKey, Pending};
use super::producer::{Identity, PartitionState, Queued, stored_or_not};
use super::{Core, Moment, Timer};
use crate::delivery::Completion;
use crate::error::ClientError;
use crate::record::Delivered;

/// What an answer means for its batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Stored,
    SendAgain,
    Renumber,
    /// It would be sent again, had its time not passed.
    TooLate,
    Fail,
}

impl Core {
    pub(super) fn on_acks(
        &mut self,
        link: usize,
        acks: ProduceAcksIter<'_>,
        now: Moment,
    ) -> Result<(), ClientError> {
        for ack in acks {
            match self.links[link].pending.remove(&ack.correlation_id) {
                Some(Pending::Produce(key)) => self.on_ack(link, key, &ack, now),
                _ => {
                    let reason = format!("an acknowledgement of the unknown request {}", ack.correlation_id);
                    return Err(ClientError::Protocol { reason });
                }
            }
        }
        if !self.links[link].ready.is_empty() {
            self.links[link].wake_writer();
        }
        Ok(())
    }

    pub(super) fn on_produce_error(
        &mut self,
        link: usize,
        key: PartitionKey,
        correlation_id: u64,
        code: ErrorCode,
        now: Moment,
    ) {
        let ack = ProduceAck { correlation_id, code, base_offset: -1, log_append_time_ms: -1 };
        self.on_ack(link, key, &ack, now);
    }

    fn on_ack(&mut self, link: usize, key: PartitionKey, ack: &ProduceAck, now: Moment) {
        let Some(producer) = self.producers.get_mut(&key.owner) else { return };
        let state = &mut producer.partitions[key.partition as usize];
        let place = state.in_flight.iter().position(|item| item.correlation_id == ack.correlation_id);
        // A producer that ended has forgotten it.
        let Some(place) = place else { return };
        let idempotent = producer.options.idempotent;
        let timeout = producer.options.delivery_timeout;
        let item = &state.in_flight[place];
        let overdue = item.opened + timeout <= now;
        let bytes = item.batch.length();
        let mut finished = None;
        match state.judge(place, ack.code, idempotent, overdue) {
            Verdict::Stored => {
                state.failures = 0;
                let item = state.in_flight.remove(place).expect("found above");
                let first = Delivered { partition: key.partition, offset: ack.base_offset };
                finished = Some((item, Ok(first)));
            }
            Verdict::SendAgain => state.put_back(place, ack.code),
            Verdict::Renumber => {
                state.put_back(place, ack.code);
                state.renew = true;
            }
            verdict @ (Verdict::TooLate | Verdict::Fail) => {
                let mut item = state.in_flight.remove(place).expect("found above");
                state.renew |= idempotent;
                state.draining = state.sent() > 0;
                let refused = ClientError::refused(ack.code);
                let error = match verdict {
                    // What it was refused for before: that it is out of order now is only the consequence.
                    Verdict::TooLate => {
                        too_late(item.outcome_unknown, item.last_error.take().or(Some(refused)))
                    }
                    _ => stored_or_not(&refused, item.outcome_unknown),
                };
                finished = Some((item, Err(error)));
            }
        }
        let (failures, again) = (state.failures, state.waiting > 0);
        if let Some((item, _)) = &finished {
            producer.release(item.charged_bytes);
        }
        self.links[link].in_flight_bytes -= bytes.min(self.links[link].in_flight_bytes);
        if let Some((item, result)) = finished {
            item.completion.complete(result);
        }
        if ack.code != ErrorCode::None {
            self.after_refusal(key, ack.code, failures, again, now);
        }
        self.settle(key, now);
    }

    /// Waits before the next attempt, and looks where the partition is where that may have changed.
    fn after_refusal(&mut self, key: PartitionKey, code: ErrorCode, failures: u32, again: bool, now: Moment) {
        if again {
            let random = (self.clock.random)();
            let wait = backoff(failures, self.options.backoff_min, self.options.backoff_max, random);
            let until = now + wait;
            self.producer(key.owner).partitions[key.partition as usize].blocked_until = until;
            self.at(until, Timer::Unblock(key));
        }
        use ErrorCode::{NotServing, PartitionMoved, TopicDeleted, UnknownPartition, UnknownTopic};
        if matches!(code, UnknownTopic | UnknownPartition | PartitionMoved | TopicDeleted | NotServing) {
            self.refresh(now);
        }
    }

    /// A partition whose answers are all in goes on, under another identity where one is needed.
    fn settle(&mut self, key: PartitionKey, now: Moment) {
        let Some(producer) = self.producers.get_mut(&key.owner) else { return };
        let state = &mut producer.partitions[key.partition as usize];
        if state.sent() == 0 {
            state.draining = false;
            if state.renew {
                let (worn, newest) = (state.identity, producer.identity);
                match newest.filter(|newest| Some(*newest) != worn) {
                    Some(newest) => self.renumber(key, newest),
                    None => self.identify(key.owner, now),
                }
            }
        }
        self.enlist(key, now);
    }

    fn renumber(&mut self, key: PartitionKey, identity: Identity) {
        let producer = self.producer(key.owner);
        let unsure = producer.partitions[key.partition as usize].renumber(identity);
        for item in unsure {
            producer.release(item.charged_bytes);
            let error =
                item.last_error.clone().unwrap_or(ClientError::refused(ErrorCode::OutOfOrderSequence));
            item.completion.complete(Err(stored_or_not(&error, true)));
        }
    }

    /// A new identity came: every partition without one, or with a worn one, takes it.
    pub(super) fn use_identity(&mut self, owner: usize, identity: Identity, now: Moment) {
        let producer = self.producer(owner);
        producer.identity = Some(identity);
        for partition in 0..producer.partitions.len() as u32 {
            let key = PartitionKey { owner, partition };
            let state = &mut self.producer(owner).partitions[partition as usize];
            if state.identity.is_none() {
                state.identity = Some(identity);
                self.enlist(key, now);
            } else if state.renew && state.sent() == 0 {
                self.renumber(key, identity);
                self.enlist(key, now);
            }
        }
    }

    /// A link was lost: its batches are sent again, or, without a sequence to recognise them by, fail.
    pub(super) fn lose_batches(&mut self, link: usize, pending: impl Iterator<Item = Pending>, now: Moment) {
        let mut keys: Vec<PartitionKey> = pending
            .filter_map(|pending| if let Pending::Produce(key) = pending { Some(key) } else { None })
            .collect();
        keys.sort_unstable();
        keys.dedup();
        for key in keys {
            let Some(producer) = self.producers.get_mut(&key.owner) else { continue };
            let state = &mut producer.partitions[key.partition as usize];
            state.lost_link();
            if !producer.options.idempotent {
                self.fail_unsure(key);
            }
            self.settle(key, now);
        }
        debug_assert_eq!(self.links[link].in_flight_bytes, 0, "the caller has reset it");
    }

    fn fail_unsure(&mut self, key: PartitionKey) {
        let producer = self.producer(key.owner);
        let state = &mut producer.partitions[key.partition as usize];
        let (unsure, certain): (Vec<_>, Vec<_>) =
            state.in_flight.drain(..).partition(|item| item.outcome_unknown);
        state.waiting = certain.len();
        state.in_flight.extend(certain);
        for item in unsure {
            producer.release(item.charged_bytes);
            let reason = "the connection was lost".to_owned();
            item.completion.complete(Err(ClientError::TimedOut { may_be_stored: true, reason }));
        }
    }

    /// Records whose time is over fail; those under way are waited for (a silent link is given up by itself).
    pub(super) fn sweep_producers(&mut self, now: Moment) {
        for owner in self.producers.keys().copied().collect::<Vec<_>>() {
            let Some(producer) = self.producers.get_mut(&owner) else { continue };
            if producer.batches == 0 {
                continue;
            }
            let timeout = producer.options.delivery_timeout;
            let idempotent = producer.options.idempotent;
            let mut overdue: Vec<(usize, Completion, ClientError)> = Vec::new();
            let mut touched = Vec::new();
            for (partition, state) in (0..).zip(&mut producer.partitions) {
                let before = overdue.len();
                state.take_overdue(|opened| opened + timeout <= now, idempotent, &mut overdue);
                if overdue.len() > before {
                    touched.push(PartitionKey { owner, partition });
                }
            }
            for (bytes, completion, error) in overdue {
                self.producer(owner).release(bytes);
                completion.complete(Err(error));
            }
            touched.into_iter().for_each(|key| self.settle(key, now));
        }
    }
}

impl PartitionState {
    fn judge(&self, place: usize, code: ErrorCode, idempotent: bool, overdue: bool) -> Verdict {
        let item = &self.in_flight[place];
        let behind_a_refused_one = self.renew || self.draining || self.waiting > 0;
        match code {
            ErrorCode::None => Verdict::Stored,
            ErrorCode::OutOfOrderSequence | ErrorCode::UnknownProducer if idempotent => {
                match (behind_a_refused_one, item.outcome_unknown) {
                    (false, true) => Verdict::Fail,
                    _ if overdue => Verdict::TooLate,
                    (true, _) => Verdict::SendAgain,
                    (false, false) => Verdict::Renumber,
                }
            }
            // Without a sequence, a batch that may be stored is not sent again: it might be stored twice.
            code if code.is_retriable() && !overdue && (idempotent || !code.may_be_stored()) => {
                Verdict::SendAgain
            }
            _ => Verdict::Fail,
        }
    }

    /// The batch at `place` waits to be sent again, in its old order among those that do.
    fn put_back(&mut self, place: usize, code: ErrorCode) {
        let mut item = self.in_flight.remove(place).expect("the caller found it there");
        item.correlation_id = 0;
        item.outcome_unknown |= code.may_be_stored();
        item.last_error = Some(ClientError::refused(code));
        let first_waiting = self.in_flight.len() - self.waiting;
        let later = self.in_flight.range(first_waiting..).position(|waiting| item.by_order(waiting).is_lt());
        self.in_flight.insert(later.map_or(self.in_flight.len(), |later| first_waiting + later), item);
        if !self.draining {
            self.failures += 1;
        }
        self.waiting += 1;
        self.draining = self.sent() > 0;
    }

    /// Takes out what `is_over` says is overdue and not just under way.
    fn take_overdue(
        &mut self,
        is_over: impl Fn(Moment) -> bool,
        idempotent: bool,
        overdue: &mut Vec<(usize, Completion, ClientError)>,
    ) {
        while self.waiting > 0 {
            let first_waiting = self.in_flight.len() - self.waiting;
            if !is_over(self.in_flight[first_waiting].opened) {
                break;
            }
            let item = self.in_flight.remove(first_waiting).expect("it was just looked at");
            self.waiting -= 1;
            self.renew |= idempotent;
            let error = too_late(item.outcome_unknown, item.last_error);
            overdue.push((item.charged_bytes, item.completion, error));
        }
        while self.queued.front().is_some_and(|queued| is_over(queued.opened())) {
            let queued = self.queued.pop_front().expect("it was just looked at");
            overdue.push((queued.bytes(), queued.into_completion(), too_late(false, None)));
        }
        if self.open.as_ref().is_some_and(|open| is_over(open.opened)) {
            let open = Queued::Gathered(self.open.take().expect("it was just looked at"));
            overdue.push((open.bytes(), open.into_completion(), too_late(false, None)));
        }
    }
}

/// The error of a batch whose time has passed.
fn too_late(may_be_stored: bool, last_error: Option<ClientError>) -> ClientError {
    let reason = last_error.map_or_else(String::new, |error| error.to_string());
    ClientError::TimedOut { may_be_stored, reason }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::open_batch::batch_of_values;
    use crate::core::prepared::PreparedBatch;
    use crate::core::producer::{InFlight, Next};
    use crate::options::ProducerOptions;

    /// Batches of one record each with these sequences, all sent and not answered.
    fn sent(sequences: &[i32]) -> PartitionState {
        let item = |(sequence, correlation_id): (&i32, u64)| InFlight {
            batch: PreparedBatch::new(batch_of_values(&[b"value"])).unwrap(),
            completion: Completion::default(),
            opened: Moment(0),
            charged_bytes: 0,
            base_sequence: *sequence,
            correlation_id,
            attempts: 1,
            outcome_unknown: false,
            last_error: None,
        };
        let identity = Some(Identity { id: 1, epoch: 0 });
        PartitionState {
            in_flight: sequences.iter().zip(1..).map(item).collect(),
            identity,
            ..Default::default()
        }
    }

    fn sequences(state: &PartitionState) -> Vec<i32> {
        state.in_flight.iter().map(|item| item.base_sequence).collect()
    }

    /// The first was refused, then the connection was lost before the others were answered: they were sent again before it,
    /// were refused as out of order, and failed.
    #[test]
    fn after_a_lost_link_all_is_sent_again_in_its_old_order_also_what_was_refused_before() {
        let before_the_wrap = [i32::MAX - 1, i32::MAX, 0, 1, 2];
        for (refused, order) in
            [(0, [3, 4, 5, 6, 7]), (2, [3, 4, 5, 6, 7]), (0, before_the_wrap), (3, before_the_wrap)]
        {
            let mut state = sent(&order);
            state.put_back(refused, ErrorCode::StorageFull);
            assert_eq!(
                state.next(&ProducerOptions::default(), Moment(0)),
                Next::Nothing,
                "others are under way"
            );
            state.lost_link();
            assert_eq!(sequences(&state), order);
            assert_eq!(state.next(&ProducerOptions::default(), Moment(0)), Next::Again(0));
        }
    }

    /// A full disk refused the first until its time had passed, and those behind it as out of order, in the same moment: they
    /// failed as if their sequence had been wrong.
    #[test]
    fn a_batch_that_is_out_of_order_behind_one_whose_time_has_passed_has_timed_out_too() {
        let mut state = sent(&[7, 8]);
        assert_eq!(state.judge(0, ErrorCode::StorageFull, true, true), Verdict::Fail);
        state.in_flight.pop_front();
        (state.renew, state.draining) = (true, true);
        assert_eq!(state.judge(0, ErrorCode::OutOfOrderSequence, true, true), Verdict::TooLate);
        assert_eq!(state.judge(0, ErrorCode::OutOfOrderSequence, true, false), Verdict::SendAgain);
        let error = too_late(false, Some(ClientError::refused(ErrorCode::StorageFull)));
        assert!(error.is_retriable() && !error.may_be_stored(), "{error}");
    }
}
