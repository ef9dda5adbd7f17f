//! A connection's reader: frames to requests. Hot path for produce and credit.
//!
//! Invariant: a request is acted on only while the connection may hold more ([`Connection::may_serve`] and, for batches,
//! the storage's room); else nothing more is read, and TCP tells the peer.

use std::rc::Rc;

use runtime::clock::{self, Instant};
use runtime::task;
use wire::codes::ErrorCode;
use wire::frame::{FRAME_HEADER_BYTES, FrameError, MessageKind};
use wire::native::{Credit, Error, Hello, HelloReply, Message, Ping, Pong, Produce, Unsubscribe};

use super::connection::Connection;
use super::frames::{Ended, Frame};
use super::in_flight::Request;
use super::{NativeService, control, frames, send, subscription};
use crate::connection::{ConnectionEnds, Life, Link, Receiver};
use crate::handlers;
use crate::limits;
use crate::request::{PartitionName, ProduceRequest};
use crate::session::{Principal, Session, shortened};
use crate::shard::AckError;

/// The only version of the protocol there is.
const PROTOCOL: u16 = 1;
/// Frames between two looks at whether others wait for the executor.
const FRAMES_PER_TURN: u32 = 64;

/// Serves one connection until it ends.
pub(crate) async fn serve_connection(service: Rc<NativeService>, ends: ConnectionEnds) {
    let shard = service.connections.shard();
    let link = Link::new(shard.clone(), &ends);
    let ConnectionEnds { read, write, received, peer, .. } = ends;
    let connection = &Connection::new(service.clone(), link);
    let _registered = service.connections.add(connection.clone());
    let Ok(writer) = shard.requests.spawn(send::run(connection.clone(), write)) else {
        return;
    };
    let mut receiver = Receiver::new(read, received);
    let ended = serve(connection, &mut receiver).await;
    let last_word = match ended {
        Ended::Over => None,
        Ended::Frame(error) => Some((error.code(), error.to_string())),
        Ended::NoMemory => {
            Some((ErrorCode::LimitReached, "the broker has no memory to receive this".to_owned()))
        }
    };
    if let Some((code, message)) = last_word {
        tracing::debug!(%peer, message, "connection refused");
        shard.metrics.connections_closed_for_errors.add(1);
        connection.answer(0, &Error { code, message });
    }
    connection.drain();
    if connection.life() != Life::Closed {
        receiver.linger().await;
    }
    writer.await;
    // Of these nobody will hear any more.
    let overhead_bytes = &shard.overhead_bytes;
    overhead_bytes.set(overhead_bytes.get() - connection.in_flight.borrow().overhead());
}

async fn serve(connection: &Rc<Connection>, receiver: &mut Receiver) -> Ended {
    loop {
        let received_at = clock::now();
        match serve_received(connection, receiver, received_at).await {
            Ok(0) => {}
            Ok(produced) => {
                let metrics = &connection.shard().metrics;
                metrics.received_to_appended.record_many(received_at.elapsed(), produced);
            }
            Err(ended) => return ended,
        }
        if let Err(ended) = receiver.receive(connection).await {
            return ended.into();
        }
    }
}

/// Serves the frames that are here; how many were batches.
async fn serve_received(
    connection: &Rc<Connection>,
    receiver: &mut Receiver,
    received_at: Instant,
) -> Result<u64, Ended> {
    let (mut produced, mut frames) = (0, 0_u32);
    let frame_bytes_max = connection.shard().config.frame_bytes_max;
    loop {
        if !connection.may_serve() {
            connection.wait_to_serve().await?;
        }
        let frame = match next(connection, receiver, frame_bytes_max).await? {
            Next::Frame(frame) => frame,
            Next::Skipped => continue,
            Next::None => return Ok(produced),
        };
        if connection.session.get().is_none() {
            greet(connection, &frame)?;
            continue;
        }
        if frame.header.kind == MessageKind::Produce {
            produced += 1;
            produce(connection, frame, received_at).await?;
        } else {
            dispatch(connection, &frame);
        }
        frames += 1;
        if frames.is_multiple_of(FRAMES_PER_TURN) {
            task::yield_if_needed().await;
        }
    }
}

enum Next {
    Frame(Frame),
    /// Something nobody understands, answered.
    Skipped,
    None,
}

async fn next(
    connection: &Connection,
    receiver: &mut Receiver,
    frame_bytes_max: usize,
) -> Result<Next, Ended> {
    let error = match frames::next_frame(receiver, frame_bytes_max) {
        Ok(Some(frame)) => return Ok(Next::Frame(frame)),
        Ok(None) => match frames::next_large_frame(receiver) {
            Ok(None) => return Ok(Next::None),
            Ok(Some(frame)) => return large(connection, receiver, frame).await,
            Err(error) => error,
        },
        Err(error) => error,
    };
    // Before Hello nothing is skipped: whoever speaks first in an unknown kind speaks another protocol.
    let skippable = error.skippable().filter(|_| connection.session.get().is_some());
    let Some(skippable) = skippable else { return Err(Ended::Frame(error)) };
    let code = error.code();
    connection.shard().metrics.request_errors.add(1);
    connection.answer(skippable.correlation_id, &Error { code, message: error.to_string() });
    receiver.skip(FRAME_HEADER_BYTES as u64 + skippable.bytes, connection).await?;
    Ok(Next::Skipped)
}

async fn large(connection: &Connection, receiver: &mut Receiver, mut frame: Frame) -> Result<Next, Ended> {
    if connection.session.get().is_none() {
        return Err(Ended::Frame(FrameError::TooLarge {
            found: frame.header.frame_bytes(),
            limit: limits::PAYLOAD_IN_BUFFER_MAX,
        }));
    }
    connection.wait_for_storage().await?;
    let length = frame.header.payload_length as usize;
    let (payload, held) = receiver.receive_payload(length, connection).await?;
    (frame.payload, frame.held) = (payload, Some(held));
    Ok(Next::Frame(frame))
}

async fn produce(connection: &Rc<Connection>, frame: Frame, received_at: Instant) -> Result<(), Ended> {
    let shard = connection.shard();
    if !shard.store.has_room() {
        connection.wait_for_storage().await?;
    }
    // From here on the storage counts it.
    drop(frame.held);
    let correlation_id = frame.header.correlation_id;
    let request = match Produce::decode(&frame.body) {
        Ok(request) => request,
        Err(error) => {
            refuse(connection, correlation_id, error.code(), error.to_string());
            return Ok(());
        }
    };
    let metrics = &shard.metrics;
    metrics.produce_requests.add(1);
    metrics.produce_bytes.add(frame.payload.len() as u64);
    let token = connection.in_flight.borrow_mut().add(Request {
        correlation_id,
        bytes: frame.header.payload_length,
        overhead: frame.overhead as u32,
        received_at,
        acknowledge: request.acknowledge,
    });
    shard.overhead_bytes.set(shard.overhead_bytes.get() + frame.overhead);
    let partition = PartitionName { topic_id: request.topic_id, partition: request.partition };
    let session = connection.session.get().expect("a session was there before");
    let request = ProduceRequest { partition, batch: frame.payload };
    match handlers::produce(shard, session, request, &connection.acks, token) {
        Ok(None) => {}
        Ok(Some(forwarding)) => forwarding.send(shard, &connection.inbox, token).await,
        Err(code) => connection.inbox.push(token, Err(AckError::Refused(code))),
    }
    Ok(())
}

fn dispatch(connection: &Rc<Connection>, frame: &Frame) {
    let correlation_id = frame.header.correlation_id;
    let done = match frame.header.kind {
        MessageKind::Credit => Credit::decode(&frame.body).map(|credit| {
            subscription::add_credit(connection, credit.subscription, credit.bytes);
        }),
        MessageKind::Unsubscribe => Unsubscribe::decode(&frame.body).map(|end| {
            subscription::unsubscribe(connection, end.subscription);
        }),
        MessageKind::Ping => Ping::decode(&frame.body).map(|ping| {
            connection.answer(correlation_id, &Pong { sent_at_us: ping.sent_at_us });
        }),
        // Nobody listens for an answer; the client's own end of the stream follows.
        MessageKind::Pong | MessageKind::GoingAway => Ok(()),
        MessageKind::Hello => {
            refuse(connection, correlation_id, ErrorCode::HandshakeRequired, "Hello came twice".to_owned());
            Ok(())
        }
        _ => control::start(connection, frame),
    };
    if let Err(error) = done {
        refuse(connection, correlation_id, error.code(), error.to_string());
    }
}

/// Answers a request that has no reply of its own to put a code in.
pub(super) fn refuse(connection: &Connection, correlation_id: u64, code: ErrorCode, message: String) {
    connection.shard().metrics.request_errors.add(1);
    connection.answer(correlation_id, &Error { code, message });
}

/// The first frame, which must be Hello.
fn greet(connection: &Rc<Connection>, frame: &Frame) -> Result<(), Ended> {
    let correlation_id = frame.header.correlation_id;
    if frame.header.kind != MessageKind::Hello {
        let message = format!("{:?} came before Hello", frame.header.kind);
        refuse(connection, correlation_id, ErrorCode::HandshakeRequired, message);
        return Err(Ended::Over);
    }
    let hello = match Hello::decode(&frame.body) {
        Ok(hello) => hello,
        Err(error) => {
            refuse(connection, correlation_id, error.code(), error.to_string());
            return Err(Ended::Over);
        }
    };
    let reply = hello_reply(connection, &hello);
    let (code, protocol) = (reply.code, reply.protocol);
    connection.answer(correlation_id, &reply);
    if !code.is_none() {
        return Err(Ended::Over);
    }
    let session = Session {
        principal: Principal::Anonymous,
        client_id: shortened(hello.client_id),
        software: shortened(hello.client_name),
        software_version: shortened(hello.client_version),
        listener: connection.listener,
        peer: connection.peer,
        local: connection.local,
        protocol,
    };
    assert!(connection.session.set(Rc::new(session)).is_ok(), "a session was there before");
    Ok(())
}

fn hello_reply(connection: &Connection, hello: &Hello) -> HelloReply {
    let shard = connection.shard();
    let (code, message) = if hello.protocol_min > PROTOCOL || hello.protocol_max < PROTOCOL {
        let (min, max) = (hello.protocol_min, hello.protocol_max);
        (ErrorCode::UnsupportedVersion, format!("this broker speaks protocol {PROTOCOL}, not {min} to {max}"))
    } else if hello.cluster_id.is_some_and(|wanted| wanted != shard.meta.cluster_id) {
        (ErrorCode::WrongCluster, format!("this is cluster {}", shard.meta.cluster_id))
    } else {
        (ErrorCode::None, String::new())
    };
    let number = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
    HelloReply {
        code,
        message,
        protocol: PROTOCOL,
        features: 0,
        cluster_id: shard.meta.cluster_id,
        node_id: shard.meta.node_id,
        shard: shard.id.0,
        server_version: env!("CARGO_PKG_VERSION").to_owned(),
        frame_bytes_max: number(shard.config.frame_bytes_max),
        batch_bytes_max: number(shard.config.batch_bytes_max),
        in_flight_bytes_max: number(shard.config.in_flight_bytes_max),
        mechanisms: Vec::new(),
    }
}

impl Connection {
    /// Whether another request may be taken.
    #[inline]
    fn may_serve(&self) -> bool {
        let in_flight = self.in_flight.borrow();
        let shard = self.shard();
        in_flight.len() < limits::REQUESTS_IN_FLIGHT_MAX
            && in_flight.bytes() < shard.config.in_flight_bytes_max
            // One that keeps nothing itself need not wait for those who do; the others are woken by their own answers.
            && (in_flight.overhead() == 0 || shard.overhead_bytes.get() < shard.config.overhead_bytes_max())
            // Nor need one that waits for nothing.
            && (self.tasks.get() == 0 || shard.request_budget.used() < shard.request_budget.bytes_max())
            && self.may_answer()
    }

    async fn wait_to_serve(&self) -> Result<(), Ended> {
        self.shard().metrics.stalls_for_connection.add(1);
        while !self.may_serve() {
            if self.life() != Life::Open {
                return Err(Ended::Over);
            }
            // The writer raises it whenever it has sent something.
            self.reader.wait().await;
        }
        Ok(())
    }
}
