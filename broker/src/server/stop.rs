//! The stop, in steps that all shards take together: drain (accept no more, answer what is under way; forwarded requests
//! need every shard's log), close (the storage leaves empty rings), leave. Last, the catalog notes that all is in its place.

use std::rc::Rc;

use runtime::clock;
use runtime::executor::ShardId;
use runtime::sync::queue::Receiver;

use super::ServeError;
use crate::catalog::Command;
use crate::catalog_writer;
use crate::connection::Connections;
use crate::limits;
use crate::shard::{LifeMessage, Shard, ShardMessage};

type Steps = Receiver<(ShardId, LifeMessage)>;

/// Shard 0: leads all through the stop.
pub(super) async fn lead(connections: &Rc<Connections>, steps: &mut Steps) -> Result<(), ServeError> {
    let shard = connections.shard();
    tell_others(shard, || LifeMessage::Drain).await;
    drain(connections).await;
    await_others(shard, steps).await;
    tell_others(shard, || LifeMessage::Close).await;
    let mut error = close(shard).await;
    for other in await_others(shard, steps).await {
        error = error.or(other);
    }
    if error.is_none()
        && let Err(refused) = catalog_writer::change(shard, Command::Stop).await
    {
        error = Some(refused.to_string());
    }
    tell_others(shard, || LifeMessage::Leave).await;
    match error {
        None => Ok(()),
        Some(reason) => Err(ServeError::UncleanStop { reason }),
    }
}

/// Every other shard: serves until shard 0 says otherwise.
pub(super) async fn follow(connections: &Rc<Connections>, steps: &mut Steps) -> Result<(), ServeError> {
    let shard = connections.shard();
    let mut failed = None;
    loop {
        let Some((_, step)) = steps.receive().await else {
            return Err(ServeError::OtherShard { reason: "shard 0 is gone".to_owned() });
        };
        match step {
            LifeMessage::Drain => {
                drain(connections).await;
                tell(shard, ShardId(0), LifeMessage::Drained).await;
            }
            LifeMessage::Close => {
                let error = close(shard).await;
                failed.clone_from(&error);
                tell(shard, ShardId(0), LifeMessage::Closed { error }).await;
            }
            LifeMessage::Leave => break,
            LifeMessage::Failed { reason } => return Err(ServeError::OtherShard { reason }),
            _ => panic!("shard 0 is at another step of the stop"),
        }
    }
    match failed {
        None => Ok(()),
        Some(reason) => Err(ServeError::UncleanStop { reason }),
    }
}

async fn tell(shard: &Shard, to: ShardId, message: LifeMessage) {
    // A shard that is gone needs no telling.
    let _ = shard.lanes.mesh().send(to, ShardMessage::Life(Box::new(message))).await;
}

async fn tell_others(shard: &Shard, message: impl Fn() -> LifeMessage) {
    for other in shard.lanes.others() {
        tell(shard, other, message()).await;
    }
}

/// One answer of each other shard; the errors among them.
async fn await_others(shard: &Shard, steps: &mut Steps) -> Vec<Option<String>> {
    let mut errors = Vec::new();
    for _ in shard.lanes.others() {
        match steps.receive().await {
            Some((_, LifeMessage::Closed { error })) => errors.push(error),
            Some((_, LifeMessage::Drained)) => {}
            Some((from, _)) => panic!("shard {from} is at another step of the stop"),
            None => errors.push(Some("a shard is gone".to_owned())),
        }
    }
    errors
}

/// Answers what is under way, for as long as that may take.
async fn drain(connections: &Rc<Connections>) {
    let shard = connections.shard();
    connections.stop();
    if clock::timeout(limits::DRAIN_TIMEOUT, shard.requests.close()).await.is_err() {
        tracing::warn!(shard = %shard.id, "closing connections whose requests took too long");
        connections.close();
        // What is left has no connection any more; it is dropped with the shard.
        let _ = clock::timeout(limits::DRAIN_TIMEOUT, shard.requests.close()).await;
    }
}

/// Stops the storage; why that failed.
async fn close(shard: &Shard) -> Option<String> {
    // Deletions in the background end first; the next start goes on with what they leave.
    let _ = clock::timeout(limits::DRAIN_TIMEOUT, shard.services.close()).await;
    shard.store.stop().await.err().map(|error| error.to_string())
}
