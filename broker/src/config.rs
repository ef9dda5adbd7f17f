//! What a broker is told. Every field has the default of the command line's flag of the same name.

use std::path::PathBuf;
use std::time::Duration;

use storage::Durability;
use thiserror::Error;

use crate::limits;

/// How to run a broker. Plain values; copied to every shard.
#[derive(Clone, Debug)]
pub struct Config {
    /// The data folder; made if it is missing.
    pub data: PathBuf,
    /// The shared address, `host:port`; port 0 takes a free one.
    pub listen: String,
    /// Shard i listens on this port + i, on the host of `listen`; 0 takes free ones.
    pub shard_ports: u16,
    /// The host clients are told; else the local address of the connection they ask on.
    pub advertise: Option<String>,
    /// Which protocols are served, at every port.
    pub protocols: Protocols,
    /// Which brokers Kafka clients are told of.
    pub kafka_advertise: KafkaAdvertise,
    /// Takes every replication factor for 1; else a factor above the number of nodes is refused.
    pub kafka_replication_any: bool,
    /// A topic that a Kafka client names and that is not there is made.
    pub auto_create_topics: bool,
    /// Partitions of a topic that is made without saying how many.
    pub num_partitions: u32,
    /// How long a consumer group that was empty waits for more members before its first generation.
    pub first_members_wait: Duration,
    /// What an acknowledgement promises.
    pub durability: Durability,
    /// Used when the data folder is made; afterwards the folder says.
    pub node_id: u32,
    /// One shard each, in this order. Empty: the affinity mask, but no more than the cgroup's CPU quota.
    pub cores: Vec<usize>,
    /// Bounds all buffers and caches of all shards. `None`: a quarter of the machine's or the cgroup's.
    pub memory_bytes: Option<usize>,
    /// How long an idle shard looks for work before it sleeps.
    pub spin_before_park: Duration,
    /// Added to each durable write; a measuring switch.
    pub flush_delay: Duration,
    /// Files of each shard's journal ring.
    pub ring_files: u32,
    /// Size of each; a multiple of 4 KiB.
    pub ring_file_bytes: u64,
    /// The largest gathered write to a ring. This and the two below are as measured; tests make them small.
    pub journal_write_bytes_max: usize,
    /// The largest single write to a segment.
    pub chunk_bytes_max: usize,
    /// From this many pending bytes on, a partition's whole pages go to its segment and not through the ring.
    pub bypass_bytes_min: usize,
    /// The largest frame taken, but for what [`Config::produce_request_bytes_max`] says.
    pub frame_bytes_max: usize,
    /// The largest batch taken by a topic that does not say.
    pub batch_bytes_max: usize,
    /// Bytes of batches of one connection without an answer; beyond it the connection is not read.
    pub in_flight_bytes_max: usize,
    /// Connections a shard serves.
    pub connections_per_shard_max: usize,
    /// From the accept to a Hello.
    pub handshake_timeout: Duration,
    /// How long a frame that began may make no progress.
    pub receive_stall_timeout: Duration,
    /// How long a peer may take nothing of what is sent to it.
    pub send_stall_timeout: Duration,
    /// Between two rounds of retention; tests make it short.
    pub retention_interval: Duration,
}

/// What is spoken. The first byte of a connection tells which it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Protocols {
    pub native: bool,
    pub kafka: bool,
}

/// Which brokers Kafka clients are told of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KafkaAdvertise {
    /// Each shard is a broker at its own port: what concerns a partition goes straight to the core that owns it.
    #[default]
    Shards,
    /// One, at the shared port: for clients that reach no other, and for very many of them. Requests are forwarded.
    Node,
}

/// A configuration that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ConfigError {
    #[error("{0} cores are more shards than the ports from {1} on have numbers for")]
    Ports(usize, u16),
    #[error("--memory {bytes}: each of {shards} shards needs at least {needed}")]
    Memory { bytes: usize, shards: usize, needed: usize },
    #[error("the frame limit of {frame} bytes does not hold a batch of {batch}")]
    FrameBelowBatch { frame: usize, batch: usize },
    #[error("core {core} is named twice")]
    CoreTwice { core: usize },
    #[error("no core to run on")]
    NoCores,
    #[error("no protocol to speak: --protocols takes native, kafka, or both")]
    NoProtocol,
    #[error("{partitions} partitions for topics that do not say how many: from 1 to {max}")]
    NumPartitions { partitions: u32, max: u32 },
}

/// Below this a shard cannot hold one default batch in each of its stages.
const SHARD_MEMORY_BYTES_MIN: usize = 32 << 20;

impl Default for Config {
    fn default() -> Self {
        Self {
            data: PathBuf::from("./corelog-data"),
            listen: "127.0.0.1:9092".to_owned(),
            shard_ports: 7401,
            advertise: None,
            protocols: Protocols { native: true, kafka: true },
            kafka_advertise: KafkaAdvertise::default(),
            kafka_replication_any: false,
            auto_create_topics: true,
            num_partitions: 1,
            first_members_wait: limits::FIRST_MEMBERS_WAIT,
            durability: Durability::Fsync,
            node_id: 0,
            cores: Vec::new(),
            memory_bytes: None,
            spin_before_park: Duration::ZERO,
            flush_delay: Duration::ZERO,
            ring_files: storage::limits::RING_FILES_DEFAULT,
            ring_file_bytes: storage::limits::RING_FILE_BYTES_DEFAULT,
            journal_write_bytes_max: storage::limits::JOURNAL_WRITE_BYTES_MAX,
            chunk_bytes_max: storage::limits::CHUNK_BYTES_MAX,
            bypass_bytes_min: storage::limits::BYPASS_BYTES_MIN,
            frame_bytes_max: wire::limits::FRAME_BYTES_DEFAULT,
            batch_bytes_max: wire::limits::BATCH_BYTES_DEFAULT,
            in_flight_bytes_max: limits::IN_FLIGHT_BYTES_MAX,
            connections_per_shard_max: limits::CONNECTIONS_PER_SHARD_MAX,
            handshake_timeout: limits::HANDSHAKE_TIMEOUT,
            receive_stall_timeout: limits::RECEIVE_STALL_TIMEOUT,
            send_stall_timeout: limits::SEND_STALL_TIMEOUT,
            retention_interval: limits::RETENTION_INTERVAL,
        }
    }
}

impl Config {
    /// Fills in what is left to the machine, and checks the rest. Reads `/proc` and `/sys`: before any shard runs.
    pub fn resolved(mut self) -> Result<Self, ConfigError> {
        if self.cores.is_empty() {
            self.cores = runtime::executor::affinity_cores();
            if let Some(quota) = runtime::executor::cpu_quota_cores() {
                self.cores.truncate((quota.ceil() as usize).max(1));
            }
        }
        let shards = self.cores.len();
        if shards == 0 {
            return Err(ConfigError::NoCores);
        }
        if !self.protocols.native && !self.protocols.kafka {
            return Err(ConfigError::NoProtocol);
        }
        let (partitions, max) = (self.num_partitions, limits::PARTITIONS_PER_TOPIC_MAX);
        if partitions == 0 || partitions > max {
            return Err(ConfigError::NumPartitions { partitions, max });
        }
        for (index, &core) in self.cores.iter().enumerate() {
            if self.cores[..index].contains(&core) {
                return Err(ConfigError::CoreTwice { core });
            }
        }
        let last_port = usize::from(self.shard_ports) + shards - 1;
        if self.shard_ports != 0 && last_port > usize::from(u16::MAX) {
            return Err(ConfigError::Ports(shards, self.shard_ports));
        }
        let bytes = *self.memory_bytes.get_or_insert_with(|| machine_memory_bytes() / 4);
        if bytes / shards < SHARD_MEMORY_BYTES_MIN {
            return Err(ConfigError::Memory { bytes, shards, needed: SHARD_MEMORY_BYTES_MIN });
        }
        let (frame, batch) = (self.frame_bytes_max, self.batch_bytes_max);
        if frame > wire::limits::FRAME_BYTES_MAX || frame < batch + (64 << 10) {
            return Err(ConfigError::FrameBelowBatch { frame, batch });
        }
        Ok(self)
    }

    /// How many shards there are, once resolved.
    pub fn shards(&self) -> u16 {
        u16::try_from(self.cores.len()).expect("cores are numbered with 16 bits")
    }

    /// The share of one shard.
    pub(crate) fn shard_memory_bytes(&self) -> usize {
        self.memory_bytes.expect("resolved") / self.cores.len()
    }

    /// Bytes a shard may hold of frames that are being received.
    pub fn receive_bytes_max(&self) -> usize {
        self.shard_memory_bytes() / 8
    }

    /// The largest Produce request of a Kafka client: what a shard may hold of frames being received holds one.
    pub fn produce_request_bytes_max(&self) -> usize {
        self.receive_bytes_max().min(limits::PRODUCE_REQUEST_BYTES_MAX).max(self.frame_bytes_max)
    }

    /// The largest batch taken, whatever a topic says: where there is much memory, up to the protocols' own limit.
    pub fn topic_batch_bytes_max(&self) -> usize {
        self.outgoing_bytes_max().min(wire::limits::BATCH_BYTES_MAX).max(self.batch_bytes_max)
    }

    /// Bytes a shard may hold of batches that were read and are not sent yet; half of it more for connections that hold
    /// nothing otherwise.
    pub fn outgoing_bytes_max(&self) -> usize {
        self.shard_memory_bytes() / 16
    }

    /// Bytes of answers a shard may hold that their peers have not taken.
    pub fn answer_bytes_max(&self) -> usize {
        self.shard_memory_bytes() / 32
    }

    /// Bytes of receive buffers that a shard's batches in flight may keep beside themselves.
    pub fn overhead_bytes_max(&self) -> usize {
        self.shard_memory_bytes() / 64
    }

    /// Bytes of the tasks of a shard's requests that wait.
    pub fn request_bytes_max(&self) -> usize {
        self.shard_memory_bytes() / 64
    }

    /// Bytes of the groups that a shard keeps: members, and what they committed.
    pub fn group_bytes_max(&self) -> usize {
        self.shard_memory_bytes() / 64
    }

    /// Bytes of misrouted batches that a shard may have under way to others.
    pub fn forwarded_bytes_max(&self) -> usize {
        (self.shard_memory_bytes() / 64).min(limits::FORWARDED_BYTES_MAX)
    }

    /// Dropped buffers that a shard keeps to use again.
    pub fn kept_buffer_bytes_max(&self) -> usize {
        (self.shard_memory_bytes() / 8).min(limits::KEPT_BUFFER_BYTES_MAX)
    }

    /// What a shard registers with the kernel to read into. What is read lies there first, and only then elsewhere.
    pub fn read_memory_bytes(&self) -> usize {
        (self.shard_memory_bytes() / 16).min(limits::READ_MEMORY_BYTES_MAX)
    }

    /// Resident memory that a broker with so many connections takes at most, but for what grows with its partitions:
    /// docs/memory.md.
    pub fn memory_bytes_max(&self, connections: usize) -> usize {
        let outside_share = limits::SHARD_BYTES + self.kept_buffer_bytes_max() + self.read_memory_bytes();
        self.memory_bytes.expect("resolved")
            + limits::PROCESS_BYTES
            + self.cores.len() * outside_share
            + connections * limits::CONNECTION_BYTES
    }

    /// The executors for this broker.
    #[cfg(not(feature = "simulator"))]
    pub fn executor_options(&self) -> runtime::executor::ExecutorOptions {
        let mut options = runtime::executor::ExecutorOptions::new("shard", self.cores.clone());
        options.spin_before_park = self.spin_before_park;
        options.flush_delay = self.flush_delay;
        options.kept_buffer_bytes_max = self.kept_buffer_bytes_max();
        options.io_memory_bytes = self.read_memory_bytes();
        options
    }

    /// What each shard's storage is told.
    pub(crate) fn storage_options(&self) -> storage::StorageOptions {
        let mut options = storage::StorageOptions::new(&self.data);
        options.durability = self.durability;
        // The rest is for what is received and sent: four parts of 32 and three; answers: one; misrouted batches, what batches keep
        // of receive buffers, requests that wait, and groups: half of one each.
        options.memory_bytes = self.shard_memory_bytes() / 4 * 3;
        options.ring_files = self.ring_files;
        options.ring_file_bytes = self.ring_file_bytes;
        options.journal_write_bytes_max = self.journal_write_bytes_max;
        options.chunk_bytes_max = self.chunk_bytes_max;
        options.bypass_bytes_min = self.bypass_bytes_min;
        options
    }
}

/// The cgroup's limit, or the machine's memory. 1 GiB where neither can be read.
fn machine_memory_bytes() -> usize {
    let machine = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        line.trim().trim_end_matches("kB").trim().parse::<usize>().ok().map(|kib| kib << 10)
    });
    let cgroup = std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok();
    let cgroup = cgroup.and_then(|text| text.trim().parse::<usize>().ok());
    match (machine, cgroup) {
        (Some(machine), Some(cgroup)) => machine.min(cgroup),
        (Some(bytes), None) | (None, Some(bytes)) => bytes,
        (None, None) => 1 << 30,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_sound() {
        let config = Config::default().resolved().unwrap();
        assert!(config.shards() > 0 && config.memory_bytes.is_some());
    }

    /// The table of docs/memory.md: what is counted, and the copies of which nothing is counted, fit into the share.
    #[test]
    fn the_parts_of_a_shards_share_are_no_more_than_it() {
        for shards in 1..=64 {
            for share in [32 << 20, 100 << 20, 1 << 30, 4_usize << 30] {
                let cores = (0..shards).collect();
                let config = Config { cores, memory_bytes: Some(share * shards), ..Config::default() };
                let config = config.resolved().unwrap();
                assert_eq!(config.shard_memory_bytes(), share);
                let storage = config.storage_options().share();
                let parts = [
                    storage.pending_bytes,
                    storage.cache_bytes,
                    storage.run_bytes,
                    storage.read_ahead_bytes,
                    config.receive_bytes_max(),
                    config.outgoing_bytes_max() / 2 * 3,
                    config.answer_bytes_max(),
                    config.overhead_bytes_max(),
                    config.request_bytes_max(),
                    config.group_bytes_max(),
                    config.forwarded_bytes_max(),
                ];
                let sum: usize = parts.iter().sum();
                assert!(sum <= share, "{parts:?} are {sum} of {share}");
                // What comes on top does not hang on how many cores share the memory but for a fixed part each.
                let bound = config.memory_bytes_max(0);
                let outside = bound - share * shards - limits::PROCESS_BYTES;
                let (by_share, most) =
                    (share / 8 + share / 16, limits::KEPT_BUFFER_BYTES_MAX + limits::READ_MEMORY_BYTES_MAX);
                assert!(outside <= shards * (limits::SHARD_BYTES + by_share), "{outside} beside {share}");
                assert!(outside <= shards * (limits::SHARD_BYTES + most));
            }
        }
    }

    /// Who reads the document has these figures and no code.
    #[test]
    fn the_memory_document_says_what_the_bound_is_made_of() {
        let document = include_str!("../../docs/memory.md");
        let mib = |bytes: usize| format!("{} MiB", bytes >> 20);
        let bound = format!(
            "--memory  +  {}  +  shards x ({} + min({}, share / 8) + min({}, share / 16))  +  {} KiB a connection",
            mib(limits::PROCESS_BYTES),
            mib(limits::SHARD_BYTES),
            mib(limits::KEPT_BUFFER_BYTES_MAX),
            mib(limits::READ_MEMORY_BYTES_MAX),
            limits::CONNECTION_BYTES >> 10,
        );
        assert!(document.contains(&bound), "docs/memory.md does not say: {bound}");
        for (memory, shards, mib) in
            [(256 << 20, 2, 416), (1 << 30, 1, 1160), (6 << 30, 8, 6784), (64 << 30, 64, 70208)]
        {
            let cores = (0..shards).collect();
            let config =
                Config { cores, memory_bytes: Some(memory), ..Config::default() }.resolved().unwrap();
            let bytes = config.memory_bytes_max(0);
            assert_eq!(bytes >> 20, mib);
            let row = format!("| {} MiB | {shards} | {mib} MiB |", memory >> 20);
            assert!(document.contains(&row), "docs/memory.md has no row {row}");
        }
    }

    #[test]
    fn nonsense_is_refused_by_name() {
        let twice = Config { cores: vec![1, 1], ..Config::default() };
        assert_eq!(twice.resolved().unwrap_err(), ConfigError::CoreTwice { core: 1 });
        let ports = Config { cores: vec![0, 1], shard_ports: u16::MAX, ..Config::default() };
        assert_eq!(ports.resolved().unwrap_err(), ConfigError::Ports(2, u16::MAX));
        let memory = Config { memory_bytes: Some(1 << 20), ..Config::default() };
        assert!(matches!(memory.resolved(), Err(ConfigError::Memory { .. })));
    }
}
