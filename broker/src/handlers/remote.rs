//! What other shards ask of this one: the receiving end of the mesh.
//!
//! Invariant: the loop itself never waits for another shard. Batches are appended in it, in their order; what takes time
//! runs as a task.

use std::rc::Rc;

use runtime::clock;
use runtime::executor::ShardId;
use runtime::sync::queue;
use storage::AckQueue;
use wire::codes::ErrorCode;

use super::{fetch, groups, node, offsets, partitions, records};
use crate::catalog_writer;
use crate::request::{Fetched, NO_OFFSETS};
use crate::shard::{Ask, CopiedFetch, LifeMessage, Shard, ShardMessage, ShardReply, ShardRequest, Told};

/// Serves the mesh until every other shard has left. Steps of start and stop go to `life`.
pub(crate) async fn run_mesh(
    shard: Rc<Shard>,
    early: Vec<(ShardId, ShardMessage)>,
    life: queue::Sender<(ShardId, LifeMessage)>,
) {
    let acks: Rc<Vec<AckQueue>> = Rc::new((0..shard.config.cores.len()).map(|_| AckQueue::new()).collect());
    for other in shard.lanes.others() {
        let (shard, acks) = (shard.clone(), acks.clone());
        drop(runtime::task::spawn(answer_batches(shard, acks, other)));
    }
    for (from, message) in early {
        take(&shard, &acks, from, message, &life).await;
    }
    while let Some((from, message)) = shard.lanes.mesh().receive().await {
        take(&shard, &acks, from, message, &life).await;
    }
}

async fn take(
    shard: &Rc<Shard>,
    acks: &Rc<Vec<AckQueue>>,
    from: ShardId,
    message: ShardMessage,
    life: &queue::Sender<(ShardId, LifeMessage)>,
) {
    match message {
        ShardMessage::Requests(requests) => {
            requests.into_iter().for_each(|request| act(shard, &acks[from.index()], from, request));
        }
        ShardMessage::Replies(replies) => shard.lanes.take_replies(replies),
        ShardMessage::Records(records) => {
            shard.apply(&records);
            let revision = shard.catalog().revision();
            shard.lanes.send(ShardId(0), ShardMessage::Applied { revision });
        }
        ShardMessage::Applied { revision } => shard.note_applied(from, revision),
        // The queue holds all steps of a life: it is never full, and its receiver stays until the end.
        ShardMessage::Life(message) => drop(life.send((from, *message)).await),
    }
}

/// One request of another shard. The asker's id is the token of a batch.
fn act(shard: &Rc<Shard>, acks: &AckQueue, from: ShardId, request: ShardRequest) {
    let ShardRequest { id, ask } = request;
    if let Ask::Produce { uid, batch, header } = ask {
        match shard.store.log(uid) {
            Some(log) => log.append(batch, header, acks, id),
            None => {
                let told = Told::Produced(Err(storage::AppendError::Removed));
                shard.lanes.reply(from, ShardReply { id, told });
            }
        }
        return;
    }
    let shard = shard.clone();
    drop(runtime::task::spawn(async move {
        let told = answer(&shard, ask).await;
        shard.lanes.reply(from, ShardReply { id, told });
    }));
}

async fn answer(shard: &Rc<Shard>, ask: Ask) -> Told {
    match ask {
        Ask::Produce { .. } => unreachable!("batches are appended in the loop"),
        Ask::Fetch { uid, offset, bytes_max, bytes_min, wait } => {
            let fetched = match shard.store.log(uid) {
                Some(log) => fetch::fetch_log(shard, &log, offset, bytes_max, bytes_min, wait).await,
                None => Fetched { offsets: NO_OFFSETS, ..Fetched::refused(ErrorCode::TopicDeleted) },
            };
            let Fetched { code, offsets, run, next_offset } = fetched;
            Told::Fetched(CopiedFetch { code, offsets, bytes: run.into_bytes(), next_offset })
        }
        Ask::WaitPast { uid, offset, wait } => Told::Readable(match shard.store.log(uid) {
            Some(log) => {
                let waited = clock::timeout(wait, fetch::readable_past(&log, offset)).await;
                waited.is_ok()
            }
            None => true,
        }),
        Ask::FindOffset { uid, query } => Told::Offset(match shard.store.log(uid) {
            Some(log) => offsets::find_in_log(&log, query).await,
            None => Err(ErrorCode::TopicDeleted),
        }),
        Ask::RaiseStart { uid, offset } => Told::Start(match shard.store.log(uid) {
            Some(log) => records::raise_start(&log, offset).await,
            None => Err(ErrorCode::TopicDeleted),
        }),
        Ask::Standing { uids } => Told::Standing(partitions::standing_here(shard, &uids).await),
        Ask::EndOfEpoch { uid, leader_epoch } => Told::EndOfEpoch(match shard.store.log(uid) {
            Some(log) => partitions::end_in_log(&log, leader_epoch).await,
            None => Err(ErrorCode::TopicDeleted),
        }),
        Ask::Producers { uid } => Told::Producers(match shard.store.log(uid) {
            Some(log) => partitions::producers_of_log(&log).await,
            None => Err(ErrorCode::TopicDeleted),
        }),
        Ask::Change(command) => Told::Changed(catalog_writer::change(shard, command).await),
        Ask::Group { group, request } => {
            Told::Group(Box::new(groups::ask_here(shard, &group, request).await))
        }
        Ask::ListGroups => Told::Groups(groups::list_here(shard).await),
        Ask::DescribeShard => Told::Shard(node::describe_shard(shard)),
    }
}

/// Sends the outcomes of one shard's batches back, as they come.
async fn answer_batches(shard: Rc<Shard>, acks: Rc<Vec<AckQueue>>, to: ShardId) {
    let acks = &acks[to.index()];
    loop {
        acks.wait().await;
        while let Some(ack) = acks.pop() {
            shard.lanes.reply(to, ShardReply { id: ack.token, told: Told::Produced(ack.result) });
        }
    }
}
