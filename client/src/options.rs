//! What an application may choose, with the defaults and their reasons.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;
use wire::batch::Compression;

use crate::record::StartAt;

/// How to reach a broker, and how patient to be. Shared by all producers and consumers of one client.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// "host:port" of any of the broker's listeners; more than one are tried in turn.
    pub servers: Vec<String>,
    /// Shows up in the broker's logs and figures.
    pub client_id: String,
    /// Refuse to talk to any other cluster.
    pub cluster_id: Option<Uuid>,
    /// A connection attempt that takes longer has failed.
    pub connect_timeout: Duration,
    /// A request (other than a produce, see [`ProducerOptions::delivery_timeout`]) fails after this, retries included.
    pub request_timeout: Duration,
    /// A connection on which something is awaited and nothing comes for this long is taken for dead. Half of it
    /// earlier it is asked with a Ping.
    pub silence_max: Duration,
    /// The first wait before a reconnect or a retry; doubled each time, with jitter, up to `backoff_max`.
    pub backoff_min: Duration,
    /// The longest wait before a reconnect or a retry.
    pub backoff_max: Duration,
    /// Where the client says what an operator should know (a port that does not answer): to stderr by default.
    pub notices: Notices,
}

impl ClientOptions {
    /// The defaults, for the broker at "host:port".
    pub fn new(server: impl Into<String>) -> Self {
        Self {
            servers: vec![server.into()],
            client_id: String::new(),
            cluster_id: None,
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(30),
            silence_max: Duration::from_secs(20),
            backoff_min: Duration::from_millis(20),
            backoff_max: Duration::from_secs(1),
            notices: Notices::default(),
        }
    }
}

/// Takes one line of text; called rarely, and never twice for one matter.
#[derive(Clone)]
pub struct Notices(Arc<dyn Fn(&str) + Send + Sync>);

impl Notices {
    /// Sends notices to `sink`. It must not call the client.
    pub fn to(sink: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self(Arc::new(sink))
    }

    pub(crate) fn say(&self, text: &str) {
        (self.0)(text);
    }
}

impl Default for Notices {
    fn default() -> Self {
        Self::to(|text| eprintln!("corelog client: {text}"))
    }
}

impl fmt::Debug for Notices {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Notices")
    }
}

/// How a producer gathers and sends.
#[derive(Clone, Debug)]
pub struct ProducerOptions {
    /// A batch is sent when it has grown to this, whatever the linger.
    pub batch_bytes: usize,
    /// How long a batch waits for more records. At zero it leaves at once when nothing of its partition is under way, so
    /// batches grow with the load by themselves.
    pub linger: Duration,
    /// Records (in batches open, queued and under way) that a producer may hold; `send` waits beyond.
    pub buffer_bytes: usize,
    /// Bytes under way to one shard before the next batch waits its turn.
    pub in_flight_bytes: usize,
    /// Batches under way for one partition. The broker remembers the last five batches of an idempotent producer, so
    /// more would make a repeated batch unrecognisable: idempotent producers are held to five.
    pub in_flight_batches: usize,
    /// A record not acknowledged after this fails.
    pub delivery_timeout: Duration,
    /// How batches are compressed.
    pub compression: Compression,
    /// Batches carry an id and a sequence by which the broker stores each once and in order, however often it is sent.
    /// Without it a batch whose outcome is unknown is not repeated, and a refused batch may be overtaken.
    pub idempotent: bool,
}

impl Default for ProducerOptions {
    fn default() -> Self {
        Self {
            batch_bytes: 256 * 1024,
            linger: Duration::ZERO,
            buffer_bytes: 64 * 1024 * 1024,
            in_flight_bytes: 16 * 1024 * 1024,
            in_flight_batches: IDEMPOTENT_IN_FLIGHT_MAX,
            delivery_timeout: Duration::from_secs(60),
            compression: Compression::None,
            idempotent: true,
        }
    }
}

/// The batches of a producer that the broker remembers for each partition.
pub const IDEMPOTENT_IN_FLIGHT_MAX: usize = 5;

/// Where a consumer begins and how much may come ahead of it.
#[derive(Clone, Debug)]
pub struct ConsumerOptions {
    /// The partitions to read; empty for all, those added later included.
    pub partitions: Vec<u32>,
    /// Where to begin.
    pub start: StartAt,
    /// Bytes that may be received ahead of the application, over all partitions.
    pub buffer_bytes: usize,
    /// End when each partition has given what it held at the beginning.
    pub stop_at_end: bool,
    /// Compare each batch's checksum.
    pub check_batches: bool,
    /// Where to go on when the position is no longer in the log; `None` ends with an error.
    pub when_out_of_range: Option<StartAt>,
}

impl Default for ConsumerOptions {
    fn default() -> Self {
        Self {
            partitions: Vec::new(),
            start: StartAt::Latest,
            buffer_bytes: 64 * 1024 * 1024,
            stop_at_end: false,
            check_batches: true,
            when_out_of_range: None,
        }
    }
}

/// The least credit a subscription is given: below it each push would be one small batch.
pub(crate) const CREDIT_BYTES_MIN: usize = 256 * 1024;
/// The most: four pushes under way are enough for any loopback or local network.
pub(crate) const CREDIT_BYTES_MAX: usize = 8 * 1024 * 1024;

const _: () = assert!(CREDIT_BYTES_MIN <= CREDIT_BYTES_MAX && CREDIT_BYTES_MAX <= u32::MAX as usize);
