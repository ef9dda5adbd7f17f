//! The mesh: a lock-free ring a pair of shards and direction, and a waker a shard.
//!
//! Hot path.
//!
//! A sender puts its message into the ring and wakes the receiving task, if that waits; glommio passes the wake to the
//! other executor, with a system call only if that one sleeps. Under load a message costs neither.
//!
//! Not glommio's own shared channels: there a send that waits for room at a shard that leaves never ends and keeps its
//! executor busy; each poll of a channel adds a waker even for a task that already waits, and 32,768 of one task are a
//! panic; and a shard would need a task a peer to receive from all.

use std::cell::Cell;
use std::fmt;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use atomic_waker::AtomicWaker;
use crossbeam_queue::ArrayQueue;

use crate::executor::ShardId;
use crate::mesh::{Closed, SendError};
use crate::sync::Semaphore;

/// So many messages are taken from one lane before the others are looked at: few enough to be fair, many enough that
/// the empty lanes' cache lines are not read for each message.
const MESSAGES_IN_A_ROW_MAX: usize = 32;

/// The places of all shards, for each to take its own. The lock is taken once a shard, at its start.
pub struct MeshPlan<M: Send + 'static> {
    places: Arc<Mutex<Vec<Option<Place<M>>>>>,
}

/// One direction between two shards.
struct Lane<M> {
    messages: ArrayQueue<M>,
    /// The sending task that waits for room; one at a time.
    room: AtomicWaker,
    sender_left: AtomicBool,
    receiver_left: AtomicBool,
    /// The receiving shard's, shared by all lanes to it.
    receiver: Arc<AtomicWaker>,
}

/// One shard's ends, by peer; none to itself. Dropping it leaves the mesh.
struct Place<M: Send + 'static> {
    outgoing: Vec<Option<Arc<Lane<M>>>>,
    incoming: Vec<Option<Arc<Lane<M>>>>,
    /// Wakes the task that receives.
    receiver: Arc<AtomicWaker>,
}

impl<M: Send + 'static> Drop for Place<M> {
    fn drop(&mut self) {
        for lane in self.outgoing.iter().flatten() {
            lane.sender_left.store(true, Ordering::Release);
            lane.receiver.wake();
        }
        for lane in self.incoming.iter().flatten() {
            lane.receiver_left.store(true, Ordering::Release);
            lane.room.wake();
        }
    }
}

impl<M: Send + 'static> Clone for MeshPlan<M> {
    fn clone(&self) -> Self {
        MeshPlan { places: self.places.clone() }
    }
}

impl<M: Send + 'static> MeshPlan<M> {
    pub(crate) fn new(shards: usize, capacity: usize) -> MeshPlan<M> {
        let receivers: Vec<Arc<AtomicWaker>> = (0..shards).map(|_| Arc::default()).collect();
        let lanes: Vec<Vec<Option<Arc<Lane<M>>>>> = (0..shards)
            .map(|from| {
                let lane_to =
                    |to: usize| (to != from).then(|| Arc::new(Lane::new(capacity, receivers[to].clone())));
                (0..shards).map(lane_to).collect()
            })
            .collect();
        let places = (0..shards).map(|shard| {
            Some(Place {
                outgoing: lanes[shard].clone(),
                incoming: lanes.iter().map(|lanes_from| lanes_from[shard].clone()).collect(),
                receiver: receivers[shard].clone(),
            })
        });
        MeshPlan { places: Arc::new(Mutex::new(places.collect())) }
    }

    /// Takes this shard's place in the mesh. Messages to a shard that has not joined yet wait in its lanes.
    ///
    /// # Panics
    /// If the shard is not of this mesh, or joins a second time.
    #[expect(clippy::unused_async, reason = "the simulator's back end lets the other shards join here")]
    pub async fn join(self, shard: ShardId) -> Mesh<M> {
        let place = {
            let mut places = self.places.lock().expect("nothing panics under this lock");
            let shards = places.len();
            assert!(shard.index() < shards, "shard {shard} joins a mesh of {shards}");
            places[shard.index()].take()
        };
        let place = place.unwrap_or_else(|| panic!("shard {shard} joins its mesh a second time"));
        let turns = place.outgoing.iter().map(|_| Semaphore::new(1)).collect();
        Mesh {
            shared: Rc::new(Shared { shard, place, turns, reading: Cell::new(0), in_a_row: Cell::new(0) }),
        }
    }
}

impl<M> Lane<M> {
    fn new(capacity: usize, receiver: Arc<AtomicWaker>) -> Lane<M> {
        Lane {
            messages: ArrayQueue::new(capacity),
            room: AtomicWaker::new(),
            sender_left: AtomicBool::new(false),
            receiver_left: AtomicBool::new(false),
            receiver,
        }
    }

    fn try_send(&self, message: M) -> Result<(), SendError<M>> {
        if self.receiver_left.load(Ordering::Acquire) {
            return Err(SendError::Closed(message));
        }
        match self.messages.push(message) {
            Ok(()) => {
                self.receiver.wake();
                Ok(())
            }
            Err(message) => Err(SendError::Full(message)),
        }
    }

    fn try_receive(&self) -> Option<M> {
        let message = self.messages.pop()?;
        self.room.wake();
        Some(message)
    }
}

/// One shard's place in the mesh. Clones are the same place. The shard leaves when the last clone is dropped; messages
/// that are still in its lanes then are lost.
pub struct Mesh<M: Send + 'static> {
    shared: Rc<Shared<M>>,
}

struct Shared<M: Send + 'static> {
    shard: ShardId,
    place: Place<M>,
    /// By peer: who holds the permit may send. Those who find the lane full wait here in their order.
    turns: Vec<Semaphore>,
    /// The lane to read next, and how many messages in a row came from it.
    reading: Cell<usize>,
    in_a_row: Cell<usize>,
}

impl<M: Send + 'static> Mesh<M> {
    /// This shard.
    pub fn shard(&self) -> ShardId {
        self.shared.shard
    }

    /// The number of shards, this one included.
    pub fn shards(&self) -> usize {
        self.shared.place.outgoing.len()
    }

    fn lane(&self, to: ShardId) -> (&Lane<M>, &Semaphore) {
        assert!(to != self.shared.shard, "shard {to} sends to itself");
        let shards = self.shards();
        assert!(to.index() < shards, "shard {to} is not in a mesh of {shards}");
        let lane =
            self.shared.place.outgoing[to.index()].as_ref().expect("there is a lane to every other shard");
        (lane, &self.shared.turns[to.index()])
    }

    /// Sends now or not at all; never past messages that wait.
    ///
    /// # Panics
    /// If `to` is this shard, or none of the mesh.
    pub fn try_send(&self, to: ShardId, message: M) -> Result<(), SendError<M>> {
        let (lane, turn) = self.lane(to);
        if turn.available() == 0 {
            return Err(SendError::Full(message));
        }
        lane.try_send(message)
    }

    /// Sends, waiting for room in the lane, in the order of asking. Dropped before it is done, it has not sent.
    ///
    /// # Panics
    /// If `to` is this shard, or none of the mesh.
    pub async fn send(&self, to: ShardId, message: M) -> Result<(), Closed<M>> {
        let (lane, turn) = self.lane(to);
        let _turn = turn.acquire(1).await;
        let mut waiting = Some(message);
        poll_fn(|context| {
            // Registered first: room that comes between the attempt and the registration would wake nobody.
            let mut registered = false;
            loop {
                let message = waiting.take().expect("polled after it was ready");
                match lane.try_send(message) {
                    Ok(()) => return Poll::Ready(Ok(())),
                    Err(SendError::Closed(message)) => return Poll::Ready(Err(Closed(message))),
                    Err(SendError::Full(message)) => waiting = Some(message),
                }
                if registered {
                    return Poll::Pending;
                }
                lane.room.register(context.waker());
                registered = true;
            }
        })
        .await
    }

    /// The next message and who sent it; `None` when all other shards have left (at once in a mesh of one). For one
    /// task at a time.
    pub async fn receive(&self) -> Option<(ShardId, M)> {
        poll_fn(|context| self.poll_receive(context)).await
    }

    fn poll_receive(&self, context: &mut Context<'_>) -> Poll<Option<(ShardId, M)>> {
        if let Some(message) = self.try_receive() {
            return Poll::Ready(Some(message));
        }
        // Registered, then looked at again: see `send`. Whether the others have left is asked before the second look,
        // so that the last message of one who leaves meanwhile is not missed.
        self.shared.place.receiver.register(context.waker());
        let all_left =
            self.shared.place.incoming.iter().flatten().all(|lane| lane.sender_left.load(Ordering::Acquire));
        match self.try_receive() {
            Some(message) => Poll::Ready(Some(message)),
            None if all_left => Poll::Ready(None),
            None => Poll::Pending,
        }
    }

    /// The next message if one is there.
    pub fn try_receive(&self) -> Option<(ShardId, M)> {
        let Shared { place, reading, in_a_row, .. } = &*self.shared;
        if in_a_row.get() >= MESSAGES_IN_A_ROW_MAX {
            self.read_next_lane();
        }
        for _ in 0..place.incoming.len() {
            let from = reading.get();
            if let Some(message) = place.incoming[from].as_ref().and_then(|lane| lane.try_receive()) {
                in_a_row.set(in_a_row.get() + 1);
                return Some((ShardId(from as u16), message));
            }
            self.read_next_lane();
        }
        None
    }

    fn read_next_lane(&self) {
        let next = self.shared.reading.get() + 1;
        self.shared.reading.set(if next == self.shards() { 0 } else { next });
        self.shared.in_a_row.set(0);
    }
}

impl<M: Send + 'static> Clone for Mesh<M> {
    fn clone(&self) -> Self {
        Mesh { shared: self.shared.clone() }
    }
}

impl<M: Send + 'static> fmt::Debug for Mesh<M> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Mesh(shard {} of {})", self.shard(), self.shards())
    }
}
