//! What to do: a plain struct, mirrored by the flags of `corelog bench`.

use std::time::Duration;

use corelog_client::Compression;

/// Which way the records go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Producers only; latency until acknowledged.
    Produce,
    /// Consumers only, from the oldest record; "latency" is the wait for the next batch.
    Consume,
    /// Both at once; latency until received.
    EndToEnd,
}

/// One run.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// Which way.
    pub mode: Mode,
    /// "host:port" of the broker.
    pub server: String,
    /// The topic; made when it does not exist.
    pub topic: String,
    /// Partitions of a topic that is made.
    pub partitions: u32,
    /// Bytes of each record's value.
    pub record_size: usize,
    /// Records of a batch in the closed loop; `None` for as many as fit `batch_bytes`.
    pub batch_records: Option<usize>,
    /// The size of a batch; in the open loop a batch leaves when it has grown to this.
    pub batch_bytes: usize,
    /// How long a batch waits for more records, in the open loop.
    pub linger: Duration,
    /// Batches of each producer under way in the closed loop.
    pub in_flight: usize,
    /// Producers, each with its own connections.
    pub producers: usize,
    /// Consumers, each with its own connections and its share of the partitions.
    pub consumers: usize,
    /// Records a second of all producers together: the open loop. `None` is the closed loop.
    pub rate: Option<f64>,
    /// How long to measure; `None` with a `count`, or for a consumer that stops at the end.
    pub duration: Option<Duration>,
    /// How many records to send or read in all, those of the warm-up included.
    pub count: Option<u64>,
    /// How long to run before measuring begins.
    pub warm_up: Duration,
    /// Stamp each record with its sequence and a checksum, and check both when reading.
    pub verify: bool,
    /// The generator's cores; empty for those of the affinity mask.
    pub cores: Vec<usize>,
    /// How an executor without work waits before it sleeps; see `runtime::executor`.
    pub spin_before_park: Duration,
    /// How batches are compressed, in the open loop.
    pub compression: Compression,
    /// Batches carry an identity and a sequence, as clients send them by default.
    pub idempotent: bool,
}

impl LoadOptions {
    /// The defaults: the closed loop, 1 KiB records in batches of 1 MiB, for ten seconds after one of warm-up.
    pub fn new(mode: Mode, server: impl Into<String>, topic: impl Into<String>) -> Self {
        Self {
            mode,
            server: server.into(),
            topic: topic.into(),
            partitions: 8,
            record_size: 1024,
            batch_records: None,
            batch_bytes: 1024 * 1024,
            linger: Duration::ZERO,
            in_flight: 16,
            producers: 1,
            consumers: 1,
            rate: None,
            duration: Some(Duration::from_secs(10)),
            count: None,
            warm_up: Duration::from_secs(1),
            verify: false,
            cores: Vec::new(),
            spin_before_park: Duration::ZERO,
            compression: Compression::None,
            idempotent: true,
        }
    }

    pub(crate) fn produces(&self) -> bool {
        self.mode != Mode::Consume
    }

    pub(crate) fn consumes(&self) -> bool {
        self.mode != Mode::Produce
    }

    /// Records carry a stamp: for the check, or to be recognised at the other end.
    pub(crate) fn stamps(&self) -> bool {
        self.verify || self.mode == Mode::EndToEnd
    }

    pub(crate) fn check(&self) -> Result<(), String> {
        if self.produces() && self.producers == 0 || self.consumes() && self.consumers == 0 {
            return Err("there is nobody to produce or consume".into());
        }
        if self.in_flight == 0 || self.partitions == 0 || self.batch_records == Some(0) {
            return Err("in flight, partitions and records of a batch are at least 1".into());
        }
        if self.stamps() && self.record_size < crate::payload::STAMP_BYTES {
            return Err(format!(
                "records of {} bytes have no room for the stamp of {} that checking and end-to-end need",
                self.record_size,
                crate::payload::STAMP_BYTES
            ));
        }
        if self.rate.is_some_and(|rate| !rate.is_finite() || rate <= 0.0) {
            return Err("the rate is a positive number of records a second".into());
        }
        if self.produces() && self.duration.is_none() && self.count.is_none() {
            return Err("a duration or a count says when to stop producing".into());
        }
        Ok(())
    }

    /// Records of one batch in the closed loop.
    pub(crate) fn records_of_a_batch(&self) -> usize {
        // A record without key and headers takes up to 20 bytes beside its value, the batch's header 61.
        let fit = self.batch_bytes.saturating_sub(61) / (self.record_size + 20);
        self.batch_records.unwrap_or(fit).max(1)
    }
}
