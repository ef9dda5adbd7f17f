//! The catalog's one writer: a task of shard 0 that turns commands into durable records, and hands them to every shard.
//!
//! Commands that arrive while a write is under way are written together, each record on a page of its own. A command is
//! answered when every shard has applied its record: whoever was told that a topic exists finds it at any port.
//!
//! Invariants:
//! - The working state is ahead of the shards' copies only while a write is under way; after a failed one it goes back to
//!   shard 0's copy.
//! - Records reach every shard in their order: one task writes, and a lane keeps its order.

use std::cell::Cell;
use std::rc::Rc;

use runtime::clock;
use runtime::sync::{Semaphore, oneshot, queue};
use runtime::task;

use crate::catalog::{Catalog, CatalogLog, CatalogLogError, Command, CommandError, Outcome, Record, plan};
use crate::limits;
use crate::shard::{Ask, Shard, ShardMessage, Told};

type Answer = oneshot::Sender<Result<Outcome, CommandError>>;
/// Who waits, and what will be told.
type Planned = (Answer, Result<Outcome, CommandError>);

/// Where commands go.
pub(crate) type CommandSender = queue::Sender<(Command, Answer)>;
/// Where the writer finds them.
pub(crate) type CommandReceiver = queue::Receiver<(Command, Answer)>;

/// A queue to the writer.
pub(crate) fn command_queue() -> (CommandSender, CommandReceiver) {
    queue::channel(limits::COMMANDS_WAITING_MAX)
}

/// The writer's own state.
pub(crate) struct CatalogWriter {
    pub(crate) log: CatalogLog,
    /// The state after every record written, and, during a write, after those being written.
    pub(crate) catalog: Catalog,
    pub(crate) commands: CommandReceiver,
}

impl CatalogWriter {
    /// Serves commands until every sender is gone.
    pub(crate) async fn run(mut self, shard: Rc<Shard>) {
        while let Some(first) = self.commands.receive().await {
            let mut round = vec![first];
            while round.len() < limits::COMMANDS_PER_WRITE_MAX {
                let Some(next) = self.commands.try_receive() else { break };
                round.push(next);
            }
            self.serve(&shard, round).await;
        }
    }

    async fn serve(&mut self, shard: &Rc<Shard>, round: Vec<(Command, Answer)>) {
        let mut records = Vec::new();
        let mut planned = Vec::new();
        for (command, answer) in round {
            match plan(&command, &self.catalog) {
                // Answered with the rest: who is told that a topic exists finds it at any port, too.
                Err(error) => planned.push((answer, Err(error))),
                Ok(plan) => {
                    if let Some(change) = plan.change {
                        let index = self.catalog.revision() + 1;
                        let record = Record { index, term: 0, time_ms: clock::wall_ms(), change };
                        let applied = self.catalog.apply(&record);
                        applied.unwrap_or_else(|error| panic!("{command:?} was planned wrongly: {error}"));
                        records.push(record);
                    }
                    planned.push((answer, Ok(plan.outcome)));
                }
            }
        }
        if !records.is_empty()
            && let Err(error) = self.log.append(&records).await
        {
            self.refuse(shard, planned, &error);
            return;
        }
        let revision = self.catalog.revision();
        if !records.is_empty() {
            for other in shard.lanes.others() {
                shard.lanes.send(other, ShardMessage::Records(records.clone()));
            }
            shard.apply(&records);
            shard.note_applied(shard.id, revision);
        }
        let waiting = shard.clone();
        // In no gate: the last command comes when all gates are closed.
        drop(task::spawn(async move {
            waiting.applied_everywhere(revision).await;
            // Nobody waits any more if a send fails; there is nothing to undo.
            planned.into_iter().for_each(|(answer, outcome)| drop(answer.send(outcome)));
        }));
        if let Err(error) = self.log.rewrite_if_large(&self.catalog, clock::wall_ms()).await {
            tracing::error!(%error, "cannot rewrite the catalog's log; the old file stays in use");
        }
    }

    /// Back to what is durable; everybody of the round is told.
    fn refuse(&mut self, shard: &Shard, planned: Vec<Planned>, error: &CatalogLogError) {
        tracing::error!(%error, "cannot write the catalog's log");
        self.catalog = shard.catalog().clone();
        let reason = error.to_string();
        let error = match error.is_out_of_space() {
            true => CommandError::StorageFull { reason },
            false => CommandError::StorageFailed { reason },
        };
        planned.into_iter().for_each(|(answer, _)| drop(answer.send(Err(error.clone()))));
    }
}

/// Asks the writer for a change, from any shard.
pub(crate) async fn change(shard: &Shard, command: Command) -> Result<Outcome, CommandError> {
    let Some(commands) = &shard.commands else {
        return match shard.lanes.ask(runtime::executor::ShardId(0), Ask::Change(command)).await {
            Some(Told::Changed(outcome)) => outcome,
            Some(_) => panic!("shard 0 answered a command with something else"),
            None => Err(CommandError::Stopping),
        };
    };
    let (answer, answered) = oneshot::channel();
    match commands.try_send((command, answer)) {
        Ok(()) => answered.await.unwrap_or(Err(CommandError::Stopping)),
        Err(queue::TrySendError::Full(_)) => Err(CommandError::Busy),
        Err(queue::TrySendError::Closed(_)) => Err(CommandError::Stopping),
    }
}

/// Producer ids this shard may give out: taken from the catalog in blocks, so that most are given without a write.
pub(crate) struct ProducerIds {
    next: Cell<i64>,
    end: Cell<i64>,
    /// One asks the catalog, the others wait for its block.
    asking: Semaphore,
}

impl Default for ProducerIds {
    fn default() -> Self {
        Self { next: Cell::new(0), end: Cell::new(0), asking: Semaphore::new(1) }
    }
}

impl ProducerIds {
    /// An id nobody was ever given.
    pub(crate) async fn take(&self, shard: &Shard) -> Result<i64, CommandError> {
        let _turn = self.asking.acquire(1).await;
        if self.next.get() == self.end.get() {
            let count = limits::PRODUCER_ID_BLOCK;
            let Outcome::ProducerIds { first } = change(shard, Command::ReserveProducerIds { count }).await?
            else {
                panic!("the catalog answered a reservation with something else");
            };
            self.next.set(first);
            self.end.set(first + i64::from(count));
        }
        Ok(self.next.replace(self.next.get() + 1))
    }
}
