//! The shard's side of the mesh: what goes to each other shard, gathered, and who waits for which reply.
//!
//! One task a destination sends; while it waits for room in the lane, requests and replies gather behind it. What is
//! gathered is bounded by those who ask: [`ByteBudget`] for batches, requests in flight of connections for the rest.
//!
//! Invariant: replies come in any order, but requests to one shard are handed over in the order they were made, so that
//! forwarded batches of one producer stay in order.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use runtime::executor::ShardId;
use runtime::mesh::Mesh;
use runtime::sync::oneshot;
use storage::{AppendError, Appended};

use super::budget::{ByteBudget, Reservation};
use super::message::{Ask, ShardMessage, ShardReply, ShardRequest, Told};
use super::wakeup::Wakeup;
use crate::limits;

/// Outcomes of appends that the storage's own queue cannot bring: forwarded ones, and those refused before they reached
/// a log. One a connection.
pub(crate) struct AckInbox {
    acks: RefCell<Vec<(u64, Result<Appended, AckError>)>>,
    /// Raised for each; the connection's writer waits on it.
    wakeup: Rc<Wakeup>,
}

/// Why a batch was not appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AckError {
    /// Refused by the broker before it came to a log.
    Refused(wire::codes::ErrorCode),
    Append(AppendError),
}

impl AckInbox {
    /// An inbox whose outcomes raise `wakeup`.
    pub(crate) fn new(wakeup: Rc<Wakeup>) -> Self {
        Self { acks: RefCell::default(), wakeup }
    }

    /// Puts an outcome in.
    pub(crate) fn push(&self, token: u64, outcome: Result<Appended, AckError>) {
        self.acks.borrow_mut().push((token, outcome));
        self.wakeup.raise();
    }

    /// True without an outcome.
    pub(crate) fn is_empty(&self) -> bool {
        self.acks.borrow().is_empty()
    }

    /// Everything that is there.
    pub(crate) fn take(&self) -> Vec<(u64, Result<Appended, AckError>)> {
        std::mem::take(&mut *self.acks.borrow_mut())
    }
}

/// Who waits for a reply.
enum Waiting {
    /// A connection's batch; the reservation bounds what is forwarded.
    Produce { inbox: Rc<AckInbox>, token: u64, _held: Reservation },
    /// A task.
    Task(oneshot::Sender<Told>),
}

/// What waits to go to one shard.
#[derive(Default)]
struct Lane {
    requests: RefCell<Vec<ShardRequest>>,
    replies: RefCell<Vec<ShardReply>>,
    /// Records, life and the like: sent first, one by one.
    others: RefCell<Vec<ShardMessage>>,
    filled: Wakeup,
}

/// The lanes of one shard.
pub(crate) struct Lanes {
    mesh: Mesh<ShardMessage>,
    lanes: Vec<Lane>,
    waiting: RefCell<HashMap<u64, Waiting>>,
    next_id: Cell<u64>,
    /// Bytes of batches under way to others.
    pub(crate) forwarded: ByteBudget,
}

impl Lanes {
    pub(crate) fn new(mesh: Mesh<ShardMessage>, forwarded_bytes_max: usize) -> Self {
        let lanes = (0..mesh.shards()).map(|_| Lane::default()).collect();
        Self {
            mesh,
            lanes,
            waiting: RefCell::default(),
            next_id: Cell::new(0),
            forwarded: ByteBudget::new(forwarded_bytes_max),
        }
    }

    /// The mesh itself, for receiving.
    pub(crate) fn mesh(&self) -> &Mesh<ShardMessage> {
        &self.mesh
    }

    /// Every other shard.
    pub(crate) fn others(&self) -> impl Iterator<Item = ShardId> + use<> {
        let own = self.mesh.shard();
        (0..self.lanes.len()).map(|index| ShardId(index as u16)).filter(move |shard| *shard != own)
    }

    /// Sends one message behind those already there.
    pub(crate) fn send(&self, to: ShardId, message: ShardMessage) {
        let lane = &self.lanes[to.index()];
        lane.others.borrow_mut().push(message);
        lane.filled.raise();
    }

    /// Forwards a batch; its outcome comes to the inbox.
    pub(crate) fn forward_produce(
        &self,
        to: ShardId,
        ask: Ask,
        held: Reservation,
        inbox: &Rc<AckInbox>,
        token: u64,
    ) {
        let waiting = Waiting::Produce { inbox: inbox.clone(), token, _held: held };
        self.push_request(to, ask, waiting);
    }

    /// Asks another shard; `None` if it has left the mesh.
    pub(crate) async fn ask(&self, to: ShardId, ask: Ask) -> Option<Told> {
        let (sender, receiver) = oneshot::channel();
        self.push_request(to, ask, Waiting::Task(sender));
        receiver.await.ok()
    }

    /// Answers another shard.
    pub(crate) fn reply(&self, to: ShardId, reply: ShardReply) {
        let lane = &self.lanes[to.index()];
        lane.replies.borrow_mut().push(reply);
        lane.filled.raise();
    }

    fn push_request(&self, to: ShardId, ask: Ask, waiting: Waiting) {
        let id = self.next_id.replace(self.next_id.get() + 1);
        self.waiting.borrow_mut().insert(id, waiting);
        let lane = &self.lanes[to.index()];
        lane.requests.borrow_mut().push(ShardRequest { id, ask });
        lane.filled.raise();
    }

    /// Hands replies to those who wait for them.
    pub(crate) fn take_replies(&self, replies: Vec<ShardReply>) {
        for ShardReply { id, told } in replies {
            let waiting = self.waiting.borrow_mut().remove(&id);
            match (waiting, told) {
                (Some(Waiting::Produce { inbox, token, .. }), Told::Produced(outcome)) => {
                    inbox.push(token, outcome.map_err(AckError::Append));
                }
                // A task that no longer waits (its connection is gone) needs no answer.
                (Some(Waiting::Task(sender)), told) => drop(sender.send(told)),
                (None, _) => panic!("reply {id} was never asked for, or came twice"),
                (Some(Waiting::Produce { .. }), _) => panic!("reply {id} to a batch is no outcome of one"),
            }
        }
    }

    /// Sends to one shard what gathers for it, until that shard has left the mesh.
    pub(crate) async fn run_sender(&self, to: ShardId) {
        let lane = &self.lanes[to.index()];
        loop {
            lane.filled.wait().await;
            for message in lane.take_messages() {
                if self.mesh.send(to, message).await.is_err() {
                    return;
                }
            }
        }
    }
}

impl Lane {
    /// Everything that waits, in messages of bounded size.
    fn take_messages(&self) -> Vec<ShardMessage> {
        let mut messages = self.others.take();
        pieces(self.replies.take(), ShardMessage::Replies, &mut messages);
        pieces(self.requests.take(), ShardMessage::Requests, &mut messages);
        messages
    }
}

fn pieces<T>(mut items: Vec<T>, message: impl Fn(Vec<T>) -> ShardMessage, out: &mut Vec<ShardMessage>) {
    while items.len() > limits::FORWARDED_PER_MESSAGE_MAX {
        let rest = items.split_off(limits::FORWARDED_PER_MESSAGE_MAX);
        out.push(message(std::mem::replace(&mut items, rest)));
    }
    if !items.is_empty() {
        out.push(message(items));
    }
}
