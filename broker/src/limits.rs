//! How much of anything the broker holds at once, and what happens there. Sizes on the wire are in [`wire::limits`].
//!
//! Memory of the network side of a shard, at most: `RECEIVE_BYTES_FREE` a connection, plus `Config::receive_bytes_max` for
//! what is being received, plus one and a half times `Config::outgoing_bytes_max` for what is being sent, plus `Config::answer_bytes_max`
//! for answers, plus `Config::forwarded_bytes_max` and `Config::overhead_bytes_max` for batches on their way. What was received and is not yet durable is the storage's to bound. All of it: docs/memory.md.

use std::time::Duration;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

// ------------------------------------------------------------------------------------------------------- catalog

/// Partitions of a topic that is created without saying how many.
pub const PARTITIONS_DEFAULT: u32 = 1;
/// Partitions of one topic: its record (10 bytes each) stays a small part of a catalog record.
pub const PARTITIONS_PER_TOPIC_MAX: u32 = 10_000;
/// Partitions of one broker: a MetadataReply of so many still fits its frame.
pub const PARTITIONS_MAX: usize = 100_000;
/// The longest record of the catalog's log: a snapshot of `PARTITIONS_MAX` topics of one partition each takes about
/// 300 bytes a topic with its longest name, and a few settings.
pub const CATALOG_RECORD_BYTES_MAX: usize = 64 * MIB;
/// The largest catalog file: a snapshot, and changes up to twice its size before it is rewritten.
pub const CATALOG_FILE_BYTES_MAX: u64 = 4 * CATALOG_RECORD_BYTES_MAX as u64;
/// Commands that one write to the catalog's log takes; more wait for the next.
pub const COMMANDS_PER_WRITE_MAX: usize = 64;
/// Commands that wait for the catalog; more are refused (retriable).
pub const COMMANDS_WAITING_MAX: usize = 1_024;
/// Producer ids a shard takes from the catalog at a time. A restart loses what is left of a block.
pub const PRODUCER_ID_BLOCK: u32 = 1_000;

const _: () = assert!(PARTITIONS_PER_TOPIC_MAX as usize <= PARTITIONS_MAX);
const _: () = assert!(PARTITIONS_MAX * 320 <= CATALOG_RECORD_BYTES_MAX);

// ---------------------------------------------------------------------------------------------------------- mesh

/// Messages a lane between two shards holds. Each is a batch; a full lane makes its sender wait.
pub const MESH_LANE_MESSAGES: usize = 256;
/// Requests forwarded in one message.
pub const FORWARDED_PER_MESSAGE_MAX: usize = 1_024;
/// Bytes of misrouted batches a shard has under way to others, and no more than
/// [`crate::Config::forwarded_bytes_max`]; beyond it the connections that misroute wait.
pub const FORWARDED_BYTES_MAX: usize = 64 * MIB;

// --------------------------------------------------------------------------------------------------- connections

/// Connections a shard serves; one more is told so and closed.
pub const CONNECTIONS_PER_SHARD_MAX: usize = 10_000;
/// A Kafka client's Produce request, as Kafka's `socket.request.max.bytes`, and no more than
/// [`crate::Config::produce_request_bytes_max`]: some clients put all that waits for a broker into one.
pub const PRODUCE_REQUEST_BYTES_MAX: usize = 100 * MIB;
/// From the accept to the first byte, and from there to a served Hello; then the connection is closed.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// A frame that began must make progress within this time, else the connection is closed: it holds memory.
pub const RECEIVE_STALL_TIMEOUT: Duration = Duration::from_secs(30);
/// A frame that comes slower than this, after the time above, is given up with its connection: one byte now and then
/// would hold its memory for days.
pub const RECEIVE_RATE_MIN: u64 = 16 * KIB as u64;
/// While others wait for the shard's receive memory, who holds some of it gets only this time...
pub const RECEIVE_GRACE_CONTENDED: Duration = Duration::from_secs(1);
/// ... and must then send this much a second.
pub const RECEIVE_RATE_MIN_CONTENDED: u64 = 256 * KIB as u64;
/// How long a frame waits for the shard's receive memory: long enough that those who waste it are gone before.
pub const RECEIVE_MEMORY_PATIENCE: Duration = Duration::from_secs(10);
/// A peer must take some of what is sent within this time, else the connection is closed: it holds memory.
pub const SEND_STALL_TIMEOUT: Duration = Duration::from_secs(60);
/// The same while others wait for the shard's outgoing memory.
pub const SEND_STALL_TIMEOUT_CONTENDED: Duration = Duration::from_secs(10);
/// How often connections are looked over for the times above. Not a timer a connection.
pub const SWEEP_INTERVAL: Duration = Duration::from_secs(1);
/// Between two rounds of retention. A record may live so much longer than its topic says, and longer where a shard has very many
/// partitions that nobody uses.
pub const RETENTION_INTERVAL: Duration = Duration::from_secs(30);
/// A connection that received nothing for so long gives its receive buffer back.
pub const RECEIVE_IDLE: Duration = Duration::from_secs(2);

/// The receive buffer of an idle connection.
pub const RECEIVE_BYTES_IDLE: usize = 2 * KIB;
/// What a receive buffer may hold without a reservation: an idle one, and the part of a frame that was in the last.
pub const RECEIVE_BYTES_FREE: usize = 2 * RECEIVE_BYTES_IDLE;
/// The receive buffer of a busy one: it doubles with each read that fills it.
pub const RECEIVE_BYTES_BUSY: usize = 512 * KIB;
/// A larger payload gets a buffer of its own, which it is received into without a further copy.
pub const PAYLOAD_IN_BUFFER_MAX: usize = 128 * KIB;
/// What a payload's own buffer reserves first. It doubles as bytes arrive, never on the word of a header alone.
pub const PAYLOAD_RESERVE_BYTES: usize = MIB;
/// The same once half the receive memory is in use: many announcements must not take it all.
pub const PAYLOAD_RESERVE_BYTES_CONTENDED: usize = 64 * KIB;

/// Produce requests of a connection without an answer; at it the connection is not read.
pub const REQUESTS_IN_FLIGHT_MAX: usize = 16 * 1024;
/// Bytes of batches of a connection without an answer; at it the connection is not read.
pub const IN_FLIGHT_BYTES_MAX: usize = 32 * MIB;
/// Requests of a connection that run as tasks (waiting fetches, topic changes); more are refused (retriable).
pub const TASKS_PER_CONNECTION_MAX: usize = 1_024;
/// What a task takes beside its future: its header, its place in lists, what wakes it.
pub const TASK_BYTES: usize = 512;
/// Subscriptions of a connection; more are refused (retriable).
pub const SUBSCRIPTIONS_PER_CONNECTION_MAX: usize = 16 * 1024;
/// Answers a peer has not taken; at it the connection is not read. Nor is one with any such answer while those of all the
/// shard's connections reach [`crate::Config::answer_bytes_max`].
pub const ANSWER_BYTES_MAX: usize = 4 * MIB;
/// Descriptions a shard makes at a time, each up to [`wire::limits::DESCRIPTION_BODY_BYTES_MAX`]; more wait.
pub const DESCRIPTIONS_MAX: usize = 4;
/// Batches read for a connection and not sent yet; beyond it subscriptions and fetches wait.
pub const OUTGOING_BYTES_PER_CONNECTION_MAX: usize = 4 * MIB;
/// What a connection may read while the shard's share for outgoing bytes is in use, and what the largest push holds then.
pub const OUTGOING_BYTES_PER_CONNECTION_MIN: usize = 64 * KIB;
/// A push holds at most this, unless one batch alone is larger.
pub const PUSH_BYTES_MAX: usize = MIB;
/// A fetch is answered with at most this, unless one batch alone is larger.
pub const FETCH_BYTES_MAX: usize = 8 * MIB;
/// The longest a fetch waits; a longer wish is cut.
pub const FETCH_WAIT_MAX: Duration = Duration::from_secs(60);
/// How long a read at another shard's partition waits there before it is asked again.
pub const REMOTE_READ_WAIT: Duration = Duration::from_secs(5);
/// Bytes given to the socket in one call, as far as frames allow: answers go first in the next.
pub const SEND_BYTES_MAX: usize = MIB;
/// The longest client id, library name and version kept of a Hello.
pub const CLIENT_NAME_BYTES_MAX: usize = 256;

const _: () = assert!(REQUESTS_IN_FLIGHT_MAX <= wire::limits::ACKS_PER_FRAME_MAX);
const _: () = assert!(PAYLOAD_IN_BUFFER_MAX < RECEIVE_BYTES_BUSY);
const _: () = assert!(PUSH_BYTES_MAX <= OUTGOING_BYTES_PER_CONNECTION_MAX);
const _: () =
    assert!(FETCH_BYTES_MAX + wire::limits::BATCH_BYTES_DEFAULT <= wire::limits::FRAME_BYTES_DEFAULT);

// -------------------------------------------------------------------------------------------------------- groups

/// How long a group that was empty waits for more members before its first generation, anew with each that comes: several
/// that start together share out the partitions once. Kafka's default (`group.initial.rebalance.delay.ms`); clients that are polled
/// in short steps count on it.
pub const FIRST_MEMBERS_WAIT: Duration = Duration::from_secs(3);
/// A member's session, as Kafka bounds it.
pub const SESSION_TIMEOUT_MIN: Duration = Duration::from_secs(6);
pub const SESSION_TIMEOUT_MAX: Duration = Duration::from_secs(30 * 60);
/// The least time that a classic group's members have to join, whatever they say.
pub const REBALANCE_TIMEOUT_MIN: Duration = Duration::from_secs(1);
/// The session of a member whose partitions the coordinator assigns, and how often it says that it lives: Kafka's defaults.
pub const CONSUMER_SESSION_TIMEOUT: Duration = Duration::from_secs(45);
pub const CONSUMER_HEARTBEAT_INTERVAL: Duration = Duration::from_secs(5);
/// The longest that a heartbeat of a native client is kept before it is answered.
pub const GROUP_HEARTBEAT_WAIT_MAX: Duration = Duration::from_secs(10);
/// Members of a group; one more is refused.
pub const MEMBERS_PER_GROUP_MAX: usize = 10_000;
/// The longest text that is kept with an offset: Kafka's default.
pub const OFFSET_METADATA_BYTES_MAX: usize = 4_096;
/// How long offsets are kept that nobody uses: Kafka's default.
pub const OFFSETS_RETENTION: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// How often they are looked over for that: Kafka's default.
pub const OFFSETS_LOOKED_OVER_EVERY: Duration = Duration::from_secs(10 * 60);
/// Topics and partitions of a member's subscription that the coordinator looks into.
pub const SUBSCRIBED_TOPICS_MAX: usize = 100_000;
/// Records that the coordinator writes as one batch, where it may divide them: at 250 bytes for a topic and as many for a
/// group they stay below the largest batch.
pub const GROUP_RECORDS_PER_BATCH_MAX: usize = 1_000;
/// A partition of the offsets topic is written anew, as what lives, when it is this long...
pub const GROUPS_LOG_BYTES_MIN: usize = MIB;
/// ... and so many times as long as what lived when it was last.
pub const GROUPS_LOG_TIMES_MAX: usize = 4;
/// Bytes that are read at a time when groups are read back.
pub const GROUPS_READ_BYTES: usize = 256 * KIB;
/// How long a request waits for its group to be read back; then the client tries again.
pub const GROUPS_LOAD_PATIENCE: Duration = Duration::from_secs(5);

// -------------------------------------------------------------------------------------- memory beside `--memory`

/// The program, its libraries, and what is shared by all shards.
pub const PROCESS_BYTES: usize = 64 * MIB;
/// A shard's stack and rings, the buffers of a journal write and of reads under way that the registered memory has no room
/// for, and what its allocator does not give back: up to 16 MiB at the end of its heap (`runtime/src/uring/heap.rs`).
pub const SHARD_BYTES: usize = 24 * MIB;
/// Dropped buffers that a shard keeps, and no more than [`crate::Config::kept_buffer_bytes_max`]: about what is being written
/// at a time.
pub const KEPT_BUFFER_BYTES_MAX: usize = 32 * MIB;
/// What a shard registers with the kernel to read into, and no more than [`crate::Config::read_memory_bytes`]: about what two
/// fast cold readers keep.
pub const READ_MEMORY_BYTES_MAX: usize = 16 * MIB;
/// A connection's tasks, its socket in the runtime, its receive buffer of [`RECEIVE_BYTES_FREE`], its requests in flight.
pub const CONNECTION_BYTES: usize = 24 * KIB;

const _: () = assert!(SHARD_BYTES >= 2 * wire::limits::BATCH_BYTES_DEFAULT);
const _: () = assert!(CONNECTION_BYTES >= 2 * RECEIVE_BYTES_FREE);

// ---------------------------------------------------------------------------------------------------------- stop

/// How long requests under way may take after the stop began; then their connections are closed.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    fn number(number: usize) -> String {
        let digits = number.to_string();
        let groups: Vec<&str> =
            digits.as_bytes().rchunks(3).rev().map(|g| std::str::from_utf8(g).unwrap()).collect();
        groups.join(",")
    }

    fn bytes(bytes: usize) -> String {
        if bytes.is_multiple_of(MIB) {
            format!("{} MiB", bytes / MIB)
        } else {
            format!("{} KiB", bytes / KIB)
        }
    }

    fn seconds(time: Duration) -> String {
        format!("{} s", time.as_secs_f64())
    }

    /// A peer's author has the document and not these constants.
    #[test]
    fn the_wire_format_states_each_limit_that_a_peer_meets() {
        let document = include_str!("../../docs/wire-format.md");
        let grace = seconds(RECEIVE_GRACE_CONTENDED);
        let rows = [
            ("connections of a shard", number(CONNECTIONS_PER_SHARD_MAX)),
            ("first byte after the connection is made", seconds(HANDSHAKE_TIMEOUT)),
            ("Hello, whole, after the first byte", seconds(HANDSHAKE_TIMEOUT)),
            ("payload of a frame before Hello", bytes(PAYLOAD_IN_BUFFER_MAX)),
            ("Produce without an answer", number(REQUESTS_IN_FLIGHT_MAX)),
            ("bytes of their batches", format!("{} (`in_flight_bytes_max`)", bytes(IN_FLIGHT_BYTES_MAX))),
            (
                "requests that wait: all but Produce, Metadata, Credit, Subscribe and Unsubscribe",
                number(TASKS_PER_CONNECTION_MAX),
            ),
            ("subscriptions", number(SUBSCRIPTIONS_PER_CONNECTION_MAX)),
            ("answers not yet taken", bytes(ANSWER_BYTES_MAX)),
            ("batches read and not yet taken", bytes(OUTGOING_BYTES_PER_CONNECTION_MAX)),
            ("`bytes_max` of a Fetch", bytes(FETCH_BYTES_MAX)),
            ("`wait_ms_max` of a Fetch", seconds(FETCH_WAIT_MAX)),
            ("time without a byte, in the middle of a frame", seconds(RECEIVE_STALL_TIMEOUT)),
            (
                "rate of a frame that has taken longer than that",
                format!("{}/s", bytes(RECEIVE_RATE_MIN as usize)),
            ),
            (
                "... while others wait for the memory it holds",
                format!("{}/s after {grace}", bytes(RECEIVE_RATE_MIN_CONTENDED as usize)),
            ),
            ("time for which a frame waits for memory", seconds(RECEIVE_MEMORY_PATIENCE)),
            ("time to take what is sent in one piece (about 1 MiB)", seconds(SEND_STALL_TIMEOUT)),
            ("... while others wait for the memory it holds", seconds(SEND_STALL_TIMEOUT_CONTENDED)),
        ];
        for (what, limit) in rows {
            let row = format!("| {what} | {limit} |");
            assert!(document.contains(&row), "docs/wire-format.md has no row {row}");
        }
        let drain = format!("`drain_ms` ({} ms)", number(DRAIN_TIMEOUT.as_millis() as usize));
        assert!(document.contains(&drain), "docs/wire-format.md does not say {drain}");
        assert_eq!(SEND_BYTES_MAX, MIB);
    }
}
