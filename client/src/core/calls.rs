//! Single questions and their answers: metadata, identities, and what the application asks.
//!
//! All go over the control link, whichever shard has the answer: the broker forwards. A call is repeated after a lost
//! connection where that does no harm, until its deadline.

use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use wire::codes::ErrorCode;
use wire::frame::{self, MessageKind};
use wire::native::{InitProducer, InitProducerReply, Message, Metadata, MetadataReply, TopicSelection};

use super::link::Pending;
use super::links::CONTROL;
use super::producer::Identity;
use super::{Core, Frame, Moment, Timer};
use crate::delivery::lock;
use crate::error::ClientError;

/// Where an answer is put for the application.
#[derive(Debug, Default)]
pub(crate) struct CallSlot {
    state: Mutex<SlotState>,
}

#[derive(Debug, Default)]
struct SlotState {
    answer: Option<Result<Frame, ClientError>>,
    waiting: Option<Waker>,
}

impl CallSlot {
    fn fill(&self, result: Result<Frame, ClientError>) {
        let waker = {
            let mut state = lock(&self.state);
            state.answer = Some(result);
            state.waiting.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// The answer, once.
    pub(crate) fn poll(&self, context: &mut Context<'_>) -> Poll<Result<Frame, ClientError>> {
        let mut state = lock(&self.state);
        match state.answer.take() {
            Some(result) => Poll::Ready(result),
            None => {
                state.waiting = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

#[derive(Clone, Debug)]
pub(super) enum Asker {
    Application(Arc<CallSlot>),
    /// The client's own metadata.
    Metadata,
    /// An identity for this producer.
    Identity(usize),
}

/// A question that is not answered yet.
#[derive(Debug)]
pub(super) struct Call {
    kind: MessageKind,
    body: Bytes,
    deadline: Moment,
    /// Asking twice does no harm.
    repeat: bool,
    asker: Asker,
    sent: bool,
}

impl Core {
    /// Asks for the application.
    pub(crate) fn call<M: Message>(&mut self, message: &M, repeat: bool, now: Moment) -> Arc<CallSlot> {
        let slot = Arc::new(CallSlot::default());
        if self.closed {
            slot.fill(Err(ClientError::Closed { may_be_stored: false }));
        } else {
            self.ask(message, repeat, Asker::Application(slot.clone()), now);
        }
        slot
    }

    fn ask<M: Message>(&mut self, message: &M, repeat: bool, asker: Asker, now: Moment) {
        let body = Bytes::copy_from_slice(message.encode(&mut self.builder));
        let deadline = now + self.options.request_timeout;
        let id = self.next_call;
        self.next_call += 1;
        self.calls.insert(id, Call { kind: M::KIND, body, deadline, repeat, asker, sent: false });
        self.want_sweep(now);
        if self.links[CONTROL].is_ready() {
            self.send_call(id);
        }
    }

    fn send_call(&mut self, id: u64) {
        let (Some(call), link) = (self.calls.get_mut(&id), &mut self.links[CONTROL]) else { return };
        call.sent = true;
        let correlation_id = link.next_correlation();
        frame::encode(&mut link.outgoing, call.kind, correlation_id, 0, &call.body, 0);
        link.pending.insert(correlation_id, Pending::Call(id));
        link.wake_writer();
    }

    /// The control link is ready: sends what waits, in the order it was asked.
    pub(super) fn send_calls(&mut self, _now: Moment) {
        let mut waiting: Vec<u64> =
            self.calls.iter().filter(|(_, call)| !call.sent).map(|(&id, _)| id).collect();
        waiting.sort_unstable();
        waiting.into_iter().for_each(|id| self.send_call(id));
    }

    pub(super) fn on_answer(&mut self, id: u64, frame: Frame, now: Moment) {
        // Overdue calls are gone already.
        let Some(call) = self.calls.remove(&id) else { return };
        let result = match frame.header.kind {
            MessageKind::Error => match wire::native::Error::decode(&frame.body) {
                Ok(error) => Err(ClientError::Refused { code: error.code, message: error.message }),
                Err(error) => Err(error.into()),
            },
            _ => Ok(frame),
        };
        self.answer(call.asker, result, now);
    }

    fn answer(&mut self, asker: Asker, result: Result<Frame, ClientError>, now: Moment) {
        match asker {
            Asker::Application(slot) => slot.fill(result),
            Asker::Metadata => self.on_metadata(result, now),
            Asker::Identity(producer) => {
                let reply = result.and_then(|frame| Ok(InitProducerReply::decode(&frame.body)?));
                self.on_identity(producer, reply, now);
            }
        }
    }

    /// The control link is lost: what may be asked again waits, the rest fails.
    pub(super) fn lose_calls<'a>(
        &mut self,
        pending: impl Iterator<Item = &'a Pending>,
        reason: &str,
        now: Moment,
    ) {
        let mut ids: Vec<u64> = pending
            .filter_map(|pending| if let Pending::Call(id) = pending { Some(*id) } else { None })
            .collect();
        ids.sort_unstable();
        for id in ids {
            let Some(call) = self.calls.get_mut(&id) else { continue };
            if call.repeat {
                call.sent = false;
            } else if let Some(call) = self.calls.remove(&id) {
                self.answer(call.asker, Err(ClientError::Disconnected { reason: reason.to_owned() }), now);
            }
        }
    }

    /// The client is closed.
    pub(super) fn close_calls(&mut self) {
        for (_, call) in std::mem::take(&mut self.calls) {
            if let Asker::Application(slot) = call.asker {
                slot.fill(Err(ClientError::Closed { may_be_stored: call.sent && !call.repeat }));
            }
        }
    }

    pub(super) fn sweep_calls(&mut self, now: Moment) {
        let mut overdue: Vec<u64> =
            self.calls.iter().filter(|(_, call)| call.deadline <= now).map(|(&id, _)| id).collect();
        overdue.sort_unstable();
        for id in overdue {
            if let Some(call) = self.calls.remove(&id) {
                let may_be_stored = call.sent && !call.repeat;
                let reason =
                    if self.links[CONTROL].is_ready() { "no answer" } else { "no connection" }.into();
                self.answer(call.asker, Err(ClientError::TimedOut { may_be_stored, reason }), now);
            }
        }
    }

    /// Asks again where everything is. One question at a time; what changes meanwhile is asked once more.
    pub(super) fn refresh(&mut self, now: Moment) {
        if self.closed {
            return;
        }
        if self.refreshing {
            self.refresh_again = true;
            return;
        }
        self.refreshing = true;
        let topics = TopicSelection::Names(self.followed.iter().cloned().collect());
        self.ask(&Metadata { topics, follow: true }, true, Asker::Metadata, now);
    }

    fn on_metadata(&mut self, result: Result<Frame, ClientError>, now: Moment) {
        self.refreshing = false;
        let reply =
            result.and_then(|frame| Ok((MetadataReply::decode(&frame.body)?, frame.header.catalog_revision)));
        match reply {
            Ok((reply, revision)) => self.absorb(reply, revision, now),
            // Whoever needs it meets the same error; the next attempt comes with time.
            Err(_) => self.at(now + self.options.backoff_max, Timer::Refresh),
        }
        if std::mem::take(&mut self.refresh_again) {
            self.at(now + self.options.backoff_min, Timer::Refresh);
        }
    }

    /// Takes over metadata and lets everybody follow it.
    pub(crate) fn absorb(&mut self, reply: MetadataReply, revision: u64, now: Moment) {
        let missing = self.cluster.merge(reply, revision);
        self.follow_producers(&missing, now);
        self.follow_consumers(&missing, now);
    }

    /// Changes of this topic matter from now on.
    pub(crate) fn follow(&mut self, name: &str) {
        if !self.followed.contains(name) {
            self.followed.insert(name.to_owned());
        }
    }

    /// Asks for an identity for a producer that has none, or a worn one.
    pub(super) fn identify(&mut self, producer: usize, now: Moment) {
        let Some(state) = self.producers.get_mut(&producer) else { return };
        if !state.identifying && state.ended.is_none() {
            state.identifying = true;
            self.ask(&InitProducer::default(), true, Asker::Identity(producer), now);
        }
    }

    fn on_identity(&mut self, producer: usize, reply: Result<InitProducerReply, ClientError>, now: Moment) {
        let Some(state) = self.producers.get_mut(&producer) else { return };
        state.identifying = false;
        match reply {
            Ok(InitProducerReply { code: ErrorCode::None, producer_id, producer_epoch }) => {
                self.use_identity(producer, Identity { id: producer_id, epoch: producer_epoch }, now);
            }
            // Overdue records fail by their own deadline; until then it is asked again.
            Ok(_) | Err(_) => self.at(now + self.options.backoff_max, Timer::Identify(producer)),
        }
    }
}
