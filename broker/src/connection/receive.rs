//! Bytes from the socket. Hot path.
//!
//! Small frames lie in a receive buffer that grows while reads fill it; they are cut out of it without a copy. A large
//! payload gets a buffer of its own, which is reserved as its bytes arrive.
//!
//! Invariants:
//! - No memory is taken on a header's word: the receive buffer grows by what was received, a payload's buffer by doubling.
//! - Memory beyond `RECEIVE_BYTES_FREE` is reserved of the shard's receive budget before it is taken.
//! - A batch in the receive buffer keeps all of it: what else was received there is counted with the batch
//!   ([`Receiver::take_payload`]).

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use bytes::{Buf, Bytes, BytesMut};
use futures_lite::future;
use runtime::clock;
use runtime::net::ReadHalf;
use runtime::sync::Permit;

use super::{Life, Link};
use crate::limits;
use crate::shard::Reservation;

/// Less spare room than this in the buffer is not worth a system call.
const SPARE_BYTES_MIN: usize = 32 << 10;

/// Why no more is received.
pub(crate) enum Ended {
    /// The peer said so, or the connection drains or is closed.
    Over,
    /// The shard's receive memory was in use for too long.
    NoMemory,
}

/// The receiving half of a link.
pub(crate) struct Receiver {
    half: ReadHalf,
    buffer: BytesMut,
    /// What the buffer is made for; doubles with reads that fill it.
    read_bytes: usize,
    /// Of the shard's receive memory: at least what the buffer takes, if that is more than anybody may.
    held: Option<Reservation>,
    /// A frame was taken out since the last receive, so what is left in the buffer begins another.
    took_frame: bool,
    /// Bytes taken out of the buffer since the last payload.
    since_payload: usize,
}

impl Receiver {
    pub(crate) fn new(half: ReadHalf, received: BytesMut) -> Self {
        Self {
            half,
            buffer: received,
            read_bytes: limits::RECEIVE_BYTES_IDLE,
            held: None,
            took_frame: true,
            since_payload: 0,
        }
    }

    /// What was received and not taken.
    #[inline]
    pub(crate) fn received(&self) -> &[u8] {
        &self.buffer
    }

    /// Takes bytes that were received, which are no payload.
    #[inline]
    pub(crate) fn take(&mut self, bytes: usize) -> Bytes {
        self.passed(bytes);
        self.buffer.split_to(bytes).freeze()
    }

    /// Takes a payload that was received, which ends a frame; and how much else of the buffer it keeps.
    #[inline]
    pub(crate) fn take_payload(&mut self, bytes: usize) -> (Bytes, usize) {
        self.took_frame = true;
        let payload = self.buffer.split_to(bytes).freeze();
        let overhead = if payload.is_empty() { 0 } else { std::mem::take(&mut self.since_payload) };
        (payload, overhead)
    }

    /// Counts bytes that were taken out of the buffer and are no payload. A payload keeps one buffer at most.
    fn passed(&mut self, bytes: usize) {
        self.since_payload = (self.since_payload + bytes).min(limits::RECEIVE_BYTES_BUSY);
    }

    /// Receives more into the buffer.
    pub(crate) async fn receive(&mut self, link: &Link) -> Result<(), Ended> {
        if std::mem::take(&mut self.took_frame) {
            link.progress.begin();
        }
        loop {
            if link.shard().receive_waiting.any() {
                // More than it needs now, which others do need.
                self.give_back(link);
            }
            self.make_room(link).await?;
            let room = self.buffer.capacity() - self.buffer.len();
            if !self.buffer.is_empty() {
                link.progress.wait(clock::now());
            }
            let count = match receive_some(&mut self.half, &mut self.buffer, usize::MAX, link).await? {
                Some(count) => count,
                None => {
                    self.give_back(link);
                    continue;
                }
            };
            link.shard().metrics.received_bytes.add(count as u64);
            if count * 2 >= room || count >= SPARE_BYTES_MIN / 2 {
                self.read_bytes = (self.read_bytes * 4).min(limits::RECEIVE_BYTES_BUSY);
            }
            return Ok(());
        }
    }

    /// Makes the buffer large enough to receive into. A large one, which saves system calls, is made while there is plenty
    /// of memory; a frame that fills its buffer gets what it needs, or waits for it.
    async fn make_room(&mut self, link: &Link) -> Result<(), Ended> {
        let spare = self.buffer.capacity() - self.buffer.len();
        if spare >= self.read_bytes.min(SPARE_BYTES_MIN) {
            return Ok(());
        }
        let begun = self.buffer.len();
        // Twice what is there: a frame that keeps arriving is copied a few times, not for each read.
        let needed = if spare == 0 { 2 * begun } else { 0 };
        let wanted = if has_plenty(link) { self.read_bytes.max(needed) } else { needed };
        if wanted > self.bytes_allowed() {
            let own = self.held_bytes();
            let reservation = reserve_receive(link, own, wanted - own).await?;
            match &mut self.held {
                Some(held) => held.absorb(reservation),
                None => self.held = Some(reservation),
            }
            link.holds_receive_memory.set(true);
        }
        let allowed = self.bytes_allowed();
        self.read_bytes = self.read_bytes.min(allowed);
        if begun < allowed {
            self.buffer.reserve(self.read_bytes.min(allowed - begun));
        }
        Ok(())
    }

    fn held_bytes(&self) -> usize {
        self.held.as_ref().map_or(0, Reservation::bytes)
    }

    /// What the buffer may take now.
    fn bytes_allowed(&self) -> usize {
        self.held_bytes().max(limits::RECEIVE_BYTES_FREE)
    }

    /// Back to the size of an idle link.
    fn give_back(&mut self, link: &Link) {
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
            self.read_bytes = limits::RECEIVE_BYTES_IDLE;
            self.held = None;
            link.holds_receive_memory.set(false);
        }
    }

    /// Receives a large payload, which ends a frame, into a buffer of its own.
    pub(crate) async fn receive_payload(
        &mut self,
        length: usize,
        link: &Link,
    ) -> Result<(Bytes, Reservation), Ended> {
        self.took_frame = true;
        link.progress.begin();
        let first = length.min(match has_plenty(link) {
            true => limits::PAYLOAD_RESERVE_BYTES,
            false => limits::PAYLOAD_RESERVE_BYTES_CONTENDED,
        });
        let first = first.max(self.buffer.len().min(length));
        let mut held = reserve_receive(link, self.held_bytes(), first).await?;
        let mut beyond = None;
        link.holds_receive_memory.set(true);
        let mut payload = BytesMut::with_capacity(first);
        let here = self.buffer.len().min(length);
        payload.extend_from_slice(&self.buffer[..here]);
        self.buffer.advance(here);
        while payload.len() < length {
            if payload.len() == payload.capacity() {
                // A vector grows by doubling, also where less would do.
                let grown = payload.len() * 2;
                let own = self.held_bytes() + held.bytes();
                held.absorb(reserve_more(link, own, grown - payload.len(), &mut beyond).await?);
                payload.reserve(grown - payload.len());
            }
            link.progress.wait(clock::now());
            let left = length - payload.len();
            let received = receive_some(&mut self.half, &mut payload, left, link).await?;
            link.shard().metrics.received_bytes.add(received.unwrap_or(0) as u64);
        }
        link.holds_receive_memory.set(self.held.is_some());
        Ok((payload.freeze(), held))
    }

    /// Reads and drops `bytes` of a frame that nobody understands.
    pub(crate) async fn skip(&mut self, bytes: u64, link: &Link) -> Result<(), Ended> {
        let mut left = bytes;
        loop {
            let here = (self.buffer.len() as u64).min(left);
            self.buffer.advance(here as usize);
            self.passed(here as usize);
            left -= here;
            if left == 0 {
                return Ok(());
            }
            self.receive(link).await?;
        }
    }

    /// Reads and drops what still comes, for a moment: a socket closed with unread bytes takes back what was sent last.
    pub(crate) async fn linger(mut self) {
        const LINGER: std::time::Duration = std::time::Duration::from_secs(1);
        const LINGER_BYTES_MAX: usize = 16 << 20;
        const SINK_BYTES: usize = 16 << 10;
        let discard = async {
            let mut dropped = 0;
            let mut sink = BytesMut::with_capacity(SINK_BYTES);
            while dropped < LINGER_BYTES_MAX {
                match self.half.read_into(&mut sink).await {
                    Ok(0) | Err(_) => return,
                    Ok(count) => dropped += count,
                }
                sink.clear();
            }
        };
        // The peer's end of the stream is the usual end of it.
        let _ = clock::timeout(LINGER, discard).await;
    }
}

/// Receives at most so much into spare capacity. `None`: interrupted, because the buffer is wanted back.
async fn receive_some(
    half: &mut ReadHalf,
    buffer: &mut BytesMut,
    bytes_max: usize,
    link: &Link,
) -> Result<Option<usize>, Ended> {
    let mut read = pin!(half.read_into_at_most(buffer, bytes_max));
    let received = poll_fn(|context| {
        if link.life() != Life::Open {
            return Poll::Ready(Some(Ok(0)));
        }
        if let Poll::Ready(received) = read.as_mut().poll(context) {
            return Poll::Ready(Some(received));
        }
        while link.reader.poll_raised(context).is_ready() {
            if link.life() != Life::Open || link.give_back.get() {
                return Poll::Ready(None);
            }
        }
        Poll::Pending
    })
    .await;
    match received {
        // The mark stays until something is received: an idle connection is woken for it once.
        None => {
            if link.life() == Life::Open {
                Ok(None)
            } else {
                Err(Ended::Over)
            }
        }
        Some(Ok(0)) | Some(Err(_)) => Err(Ended::Over),
        Some(Ok(count)) => {
            let now = clock::now();
            link.give_back.set(false);
            link.received_at.set(now);
            link.progress.arrived(count, now);
            Ok(Some(count))
        }
    }
}

/// Whether half of the shard's receive memory is free. The other half is for frames that have begun.
fn has_plenty(link: &Link) -> bool {
    let budget = &link.shard().receive_budget;
    budget.used() < budget.bytes_max() / 2
}

/// Reserves receive memory for a connection that has `own` bytes of it already, waiting for others.
async fn reserve_receive(link: &Link, own: usize, bytes: usize) -> Result<Reservation, Ended> {
    let budget = &link.shard().receive_budget;
    if let Some(reservation) = budget.try_reserve_beside(own, bytes) {
        return Ok(reservation);
    }
    wait_for_receive(link, budget.reserve_beside(own, bytes)).await
}

/// The same for a batch that has come in part. It takes its turn to go beyond what is there, and has it until it is whole.
async fn reserve_more(
    link: &Link,
    own: usize,
    bytes: usize,
    beyond: &mut Option<Permit>,
) -> Result<Reservation, Ended> {
    let budget = &link.shard().receive_budget;
    if let Some(reservation) = budget.try_reserve_beside(own, bytes) {
        return Ok(reservation);
    }
    if beyond.is_some() {
        return Ok(budget.overdraw(bytes));
    }
    let turn = async {
        *beyond = Some(link.shard().beyond_receive_memory.acquire(1).await);
        budget.overdraw(bytes)
    };
    wait_for_receive(link, future::or(budget.reserve_beside(own, bytes), turn)).await
}

async fn wait_for_receive(
    link: &Link,
    reserving: impl Future<Output = Reservation>,
) -> Result<Reservation, Ended> {
    link.shard().metrics.stalls_for_receive_memory.add(1);
    let _waiting = link.shard().receive_waiting.enter();
    let reserving = async { Ok(reserving.await) };
    let ended = async {
        link.ended().await;
        Err(Ended::Over)
    };
    let store = &link.shard().store;
    let patience = async {
        clock::sleep(limits::RECEIVE_MEMORY_PATIENCE).await;
        // Where batches wait for the disk nobody wastes the memory: it is not asked for any better.
        while !store.has_room() {
            store.room().await;
            clock::sleep(limits::RECEIVE_MEMORY_PATIENCE).await;
        }
        Err(Ended::NoMemory)
    };
    future::or(future::or(reserving, ended), patience).await
}
