//! Has a shard's storage delete what its topics' settings give up: now and then, beside everything else.

use std::rc::Rc;

use futures_lite::future;
use runtime::clock;

use crate::shard::Shard;

/// Runs until the shard stops.
pub(crate) async fn run(shard: Rc<Shard>) {
    while !shard.services.is_closing() {
        future::or(clock::sleep(shard.config.retention_interval), shard.services.closing()).await;
        let round = async {
            let raised = shard.store.retain(clock::wall_ms()).await;
            if raised > 0 {
                tracing::debug!(shard = %shard.id, raised, "retention raised the start of logs");
            }
        };
        // A round waits for the journal, which may have stopped taking anything.
        future::or(round, shard.services.closing()).await;
    }
}
