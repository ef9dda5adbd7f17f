//! Describes the node: each shard's counters, queues against their limits, histograms.

use serde_json::{Value, json};

use crate::request::Refusal;
use crate::session::{Action, Resource, Session, authorize};
use crate::shard::{Ask, Shard, Told};

/// One JSON object for the whole node.
pub(crate) async fn describe_node(shard: &Shard, session: &Session) -> Result<Value, Refusal> {
    authorize(session, Action::Describe, Resource::Cluster)?;
    let mut shards = vec![describe_shard(shard)];
    for other in shard.lanes.others() {
        match shard.lanes.ask(other, Ask::DescribeShard).await {
            Some(Told::Shard(described)) => shards.push(described),
            Some(_) => panic!("shard {other} answered a description with something else"),
            None => return Err(Refusal::of(wire::codes::ErrorCode::NotServing)),
        }
    }
    shards.sort_by_key(|described| described["shard"].as_u64());
    let catalog = shard.catalog();
    Ok(json!({
        "cluster_id": shard.meta.cluster_id.to_string(),
        "node_id": shard.meta.node_id,
        "version": env!("CARGO_PKG_VERSION"),
        "pid": std::process::id(),
        "data": shard.config.data,
        "durability": format!("{:?}", shard.config.durability).to_lowercase(),
        "listen": shard.addresses.shared.to_string(),
        "uptime_ms": u64::try_from(shard.started.elapsed().as_millis()).unwrap_or(u64::MAX),
        "catalog": {
            "revision": catalog.revision(),
            "leader_epoch": catalog.leader_epoch(),
            "topics": catalog.topics().count(),
            "partitions": catalog.partition_count(),
        },
        "shards": shards,
    }))
}

/// This shard's part.
pub(super) fn describe_shard(shard: &Shard) -> Value {
    let metrics = &shard.metrics;
    let storage = shard.store.stats();
    let counters = json!({
        "connections_accepted": metrics.connections_accepted.get(),
        "connections_refused": metrics.connections_refused.get(),
        "connections_closed_for_errors": metrics.connections_closed_for_errors.get(),
        "produce_requests": metrics.produce_requests.get(),
        "produce_bytes": metrics.produce_bytes.get(),
        "produce_errors": metrics.produce_errors.get(),
        "fetch_requests": metrics.fetch_requests.get(),
        "fetch_bytes": metrics.fetch_bytes.get(),
        "pushes": metrics.pushes.get(),
        "push_bytes": metrics.push_bytes.get(),
        "control_requests": metrics.control_requests.get(),
        "request_errors": metrics.request_errors.get(),
        "forwarded_requests": metrics.forwarded_requests.get(),
        "received_bytes": metrics.received_bytes.get(),
        "sent_bytes": metrics.sent_bytes.get(),
    });
    let gauge = |used: u64, limit: u64| json!({ "used": used, "limit": limit });
    let budget = |budget: &crate::shard::ByteBudget| gauge(budget.used() as u64, budget.bytes_max() as u64);
    json!({
        "shard": shard.id.0,
        "core": shard.config.cores[shard.id.index()],
        "listen": shard.addresses.shards[shard.id.index()].to_string(),
        "counters": counters,
        "queues": {
            "connections": gauge(shard.connections_open.get() as u64, shard.config.connections_per_shard_max as u64),
            "receive_bytes": budget(&shard.receive_budget),
            "outgoing_bytes": budget(&shard.outgoing_budget),
            "answer_bytes": gauge(shard.answer_bytes.get() as u64, shard.config.answer_bytes_max() as u64),
            "request_bytes": budget(&shard.request_budget),
            "overhead_bytes": gauge(shard.overhead_bytes.get() as u64, shard.config.overhead_bytes_max() as u64),
            "group_bytes": gauge(shard.groups.memory().used() as u64, shard.groups.memory().bytes_max() as u64),
            "forwarded_bytes": budget(&shard.lanes.forwarded),
            "pending_bytes": gauge(storage.pending_bytes, storage.pending_bytes_max),
            "dirty_bytes": gauge(storage.dirty_bytes, storage.dirty_bytes_max),
            "cache_bytes": gauge(storage.cache_bytes, storage.cache_bytes_max),
            "read_ahead_bytes": gauge(storage.read_ahead_bytes, storage.read_ahead_bytes_max),
            "ring_bytes": gauge(storage.ring_bytes_used, storage.ring_bytes),
        },
        "stalls": {
            "storage": metrics.stalls_for_storage.get(),
            "connection": metrics.stalls_for_connection.get(),
            "receive_memory": metrics.stalls_for_receive_memory.get(),
            "outgoing_memory": metrics.stalls_for_outgoing_memory.get(),
            "ring_full": storage.ring_full_stalls,
        },
        "stages": {
            "received_to_appended": metrics.received_to_appended.summary(),
            "received_to_durable": metrics.received_to_durable.summary(),
            "durable_to_answered": metrics.durable_to_answered.summary(),
        },
        "storage": {
            "appended_batches": storage.appended_batches,
            "appended_bytes": storage.appended_bytes,
            "journal_writes": storage.journal_writes,
            "journal_bytes": storage.journal_bytes,
            "segment_writes": storage.segment_writes,
            "segment_bytes": storage.segment_bytes,
            "bypass_bytes": storage.bypass_bytes,
            "checkpoint_tables": storage.tables,
            "cold_reads": storage.cold_reads,
            "cold_read_bytes": storage.cold_read_bytes,
            "journal_failed": storage.journal_failed,
        },
    })
}
