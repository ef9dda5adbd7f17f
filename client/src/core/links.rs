//! Connections: opened, greeted, watched, lost, and opened again.

use std::task::{Context, Poll};
use std::time::Duration;

use wire::codes::ErrorCode;
use wire::frame::MessageKind;
use wire::native::{GoingAway, Hello, HelloReply, Message, Ping, ProduceAcks, Push, SubscribeReply};

use super::backoff::backoff;
use super::link::{Link, LinkRef, Pending, Phase, Purpose, Target};
use super::{Action, Core, Frame, Moment, Timer};
use crate::error::ClientError;

/// How long the shared port is used for a shard whose own port did not answer, before it is tried again in silence.
const SHARED_PORT_FOR: Duration = Duration::from_secs(30);
/// Attempts on a shard's own port before the shared one is used.
const SHARD_ATTEMPTS: u32 = 2;

impl Core {
    pub(super) fn open_control_link(&mut self) {
        let index = self.link_to(Purpose::Control, Target::Shared);
        assert_eq!(index, CONTROL, "the control link is the first");
        self.want(index);
    }

    /// The link for this purpose and target, made when first asked for.
    fn link_to(&mut self, purpose: Purpose, target: Target) -> usize {
        let known = self.links.iter().position(|link| link.purpose == purpose && link.target == target);
        known.unwrap_or_else(|| {
            self.links.push(Link::new(purpose, target));
            self.links.len() - 1
        })
    }

    /// The link that leads to a shard: its own port, or the shared one where that does not answer.
    pub(super) fn route(&mut self, purpose: Purpose, shard: u16, now: Moment) -> usize {
        let reachable = self.cluster.shard_address(shard).is_some()
            && self.unreachable.get(&shard).is_none_or(|until| *until <= now);
        let target = if reachable { Target::Shard(shard) } else { Target::Shared };
        self.link_to(purpose, target)
    }

    /// Connects an idle link.
    pub(super) fn want(&mut self, index: usize) {
        if self.links[index].phase == Phase::Idle && !self.closed {
            self.connect(index);
        }
    }

    pub(super) fn reconnect(&mut self, index: usize) {
        if self.links[index].phase == Phase::Waiting && !self.closed {
            self.connect(index);
        }
    }

    fn connect(&mut self, index: usize) {
        let address = match self.links[index].target {
            Target::Shared => {
                let servers = &self.options.servers;
                servers.get(self.server % servers.len().max(1)).cloned()
            }
            Target::Shard(shard) => self.cluster.shard_address(shard).map(str::to_owned),
        };
        let link = &mut self.links[index];
        link.attempt += 1;
        link.phase = Phase::Connecting;
        let reference = LinkRef { index, attempt: link.attempt };
        // Without an address (metadata no longer names the shard) the attempt fails like any other.
        self.act(Action::Connect { link: reference, address: address.unwrap_or_default() });
    }

    fn is_current(&self, link: LinkRef) -> bool {
        self.links[link.index].attempt == link.attempt
    }

    /// A connection stands.
    pub fn connected(&mut self, reference: LinkRef, now: Moment) {
        if !self.is_current(reference) {
            return;
        }
        let link = &mut self.links[reference.index];
        link.phase = Phase::Handshaking;
        link.last_received = now;
        link.pinged = false;
        let hello = Hello {
            protocol_min: PROTOCOL,
            protocol_max: PROTOCOL,
            features: 0,
            client_id: self.options.client_id.clone(),
            client_name: "corelog-rust".into(),
            client_version: env!("CARGO_PKG_VERSION").into(),
            cluster_id: self.options.cluster_id,
        };
        let id = link.send(&mut self.builder, &hello);
        link.pending.insert(id, Pending::Hello);
        self.want_sweep(now);
    }

    /// Frames came. An error ends the connection: the driver then reports it with [`Core::disconnected`].
    pub fn received(
        &mut self,
        reference: LinkRef,
        frames: impl IntoIterator<Item = Frame>,
        now: Moment,
    ) -> Result<(), ClientError> {
        for frame in frames {
            if !self.is_current(reference) {
                return Ok(());
            }
            let link = &mut self.links[reference.index];
            link.last_received = now;
            link.pinged = false;
            self.on_frame(reference.index, frame, now)?;
        }
        Ok(())
    }

    fn on_frame(&mut self, index: usize, frame: Frame, now: Moment) -> Result<(), ClientError> {
        match frame.header.kind {
            MessageKind::ProduceAcks => self.on_acks(index, ProduceAcks::read(&frame.body)?, now),
            MessageKind::Push => self.on_push(index, Push::decode(&frame.body)?, frame, now),
            MessageKind::SubscribeReply => {
                self.on_subscribed(
                    index,
                    SubscribeReply::decode(&frame.body)?,
                    frame.header.correlation_id,
                    now,
                );
                Ok(())
            }
            MessageKind::CatalogChanged => {
                self.refresh(now);
                Ok(())
            }
            MessageKind::GoingAway => {
                // What is under way is still answered; the broker closes, and the link comes back by itself.
                GoingAway::decode(&frame.body)?;
                Ok(())
            }
            _ => self.on_reply(index, frame, now),
        }
    }

    fn on_reply(&mut self, index: usize, frame: Frame, now: Moment) -> Result<(), ClientError> {
        match self.links[index].pending.remove(&frame.header.correlation_id) {
            Some(Pending::Hello) => self.on_hello(index, &frame, now),
            Some(Pending::Call(call)) => {
                self.on_answer(call, frame, now);
                Ok(())
            }
            Some(Pending::Produce(key)) if frame.header.kind == MessageKind::Error => {
                let error = wire::native::Error::decode(&frame.body)?;
                self.on_produce_error(index, key, frame.header.correlation_id, error.code, now);
                Ok(())
            }
            Some(Pending::Produce(_)) => Err(unexpected(frame.header.kind)),
            Some(Pending::Pong) => Ok(()),
            None if frame.header.kind == MessageKind::Error => self.on_error(index, &frame, now),
            None => Err(unexpected(frame.header.kind)),
        }
    }

    /// An error that answers a Subscribe, or no request at all: the connection is then about to be closed.
    fn on_error(&mut self, index: usize, frame: &Frame, now: Moment) -> Result<(), ClientError> {
        let error = wire::native::Error::decode(&frame.body)?;
        let id = frame.header.correlation_id;
        if self.links[index].subscriptions.contains_key(&id) {
            self.end_subscription(index, id, error.code, now);
            return Ok(());
        }
        Err(ClientError::Refused { code: error.code, message: error.message })
    }

    fn on_hello(&mut self, index: usize, frame: &Frame, now: Moment) -> Result<(), ClientError> {
        if frame.header.kind == MessageKind::Error {
            let error = wire::native::Error::decode(&frame.body)?;
            return Err(ClientError::Refused { code: error.code, message: error.message });
        }
        let reply = HelloReply::decode(&frame.body)?;
        if reply.code != ErrorCode::None {
            return Err(ClientError::Refused { code: reply.code, message: reply.message });
        }
        if reply.batch_bytes_max > 0 {
            self.limits.batch_bytes_max = reply.batch_bytes_max as usize;
        }
        if reply.in_flight_bytes_max > 0 {
            self.limits.in_flight_bytes_max = reply.in_flight_bytes_max as usize;
        }
        let link = &mut self.links[index];
        link.phase = Phase::Ready;
        link.failures = 0;
        let target = link.target;
        if let Target::Shard(shard) = target {
            self.unreachable.remove(&shard);
            self.said_unreachable.remove(&shard);
        }
        match self.links[index].purpose {
            Purpose::Control => {
                self.send_calls(now);
                self.refresh(now);
            }
            Purpose::Produce => self.links[index].wake_writer(),
            Purpose::Consume => self.subscribe_link(index, now),
        }
        Ok(())
    }

    /// A connection ended, or an attempt failed.
    pub fn disconnected(&mut self, reference: LinkRef, reason: &str, now: Moment) {
        if self.is_current(reference) {
            self.drop_link(reference.index, reason, now);
        }
    }

    /// Puts back what was under way and plans the next attempt.
    pub(super) fn drop_link(&mut self, index: usize, reason: &str, now: Moment) {
        let link = &mut self.links[index];
        let was_connected = link.is_connected();
        // Whatever the old connection still reports is ignored from here on.
        link.attempt += 1;
        link.failures += 1;
        link.phase = Phase::Waiting;
        link.in_flight_bytes = 0;
        link.outgoing.clear();
        link.chunk.clear();
        link.wake_all();
        let failures = link.failures;
        if link.target == Target::Shared && !was_connected {
            self.server += 1;
        }
        let pending = std::mem::take(&mut self.links[index].pending);
        self.lose_calls(pending.values(), reason, now);
        self.lose_batches(index, pending.into_values(), now);
        if !was_connected && failures >= SHARD_ATTEMPTS {
            self.use_shared_port(index, reason, now);
        }
        self.lose_subscriptions(index, now);
        let link = &mut self.links[index];
        if link.has_work() {
            let random = (self.clock.random)();
            let wait = backoff(failures, self.options.backoff_min, self.options.backoff_max, random);
            self.at(now + wait, Timer::Reconnect(index));
        } else {
            link.phase = Phase::Idle;
        }
    }

    /// A shard's own port does not answer although the broker does: a firewall, or a port that is not forwarded.
    fn use_shared_port(&mut self, index: usize, reason: &str, now: Moment) {
        let Target::Shard(shard) = self.links[index].target else { return };
        if !self.links[CONTROL].is_ready() {
            return;
        }
        self.unreachable.insert(shard, now + SHARED_PORT_FOR);
        if self.said_unreachable.insert(shard) {
            let address = self.cluster.shard_address(shard).unwrap_or("?");
            self.options.notices.say(&format!(
                "the port of shard {shard} ({address}) does not answer: {reason}; going on through the shared port, \
                 which is slower"
            ));
        }
        self.reroute_producers(index, now);
    }

    /// Asks who has been silent for long, and gives up who stays so.
    pub(super) fn sweep_links(&mut self, now: Moment) {
        for index in 0..self.links.len() {
            let link = &mut self.links[index];
            if !link.is_connected() || !link.awaits() {
                continue;
            }
            let silence = now.since(link.last_received);
            if silence >= self.options.silence_max {
                self.drop_link(index, "no answer for too long", now);
            } else if silence >= self.options.silence_max / 2 && !link.pinged {
                link.pinged = true;
                let id = link.send(&mut self.builder, &Ping { sent_at_us: now.0 / 1_000 });
                link.pending.insert(id, Pending::Pong);
            }
        }
    }

    /// Resolves when the connection is over, seen from the core: the task that reads ends then.
    pub fn poll_over(&mut self, reference: LinkRef, context: &mut Context<'_>) -> Poll<()> {
        if self.closed || !self.is_current(reference) {
            return Poll::Ready(());
        }
        self.links[reference.index].reader = Some(context.waker().clone());
        Poll::Pending
    }
}

fn unexpected(kind: MessageKind) -> ClientError {
    ClientError::Protocol { reason: format!("an unexpected {kind:?}") }
}

/// The control link: the first, always kept.
pub(super) const CONTROL: usize = 0;
/// The only version of the messages there is.
const PROTOCOL: u16 = 1;
