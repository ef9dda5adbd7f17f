//! `corelog serve`.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context;
use broker::{Config, Durability, KafkaAdvertise, Protocols, Ready, ServeError, Server, StopHandle};
use clap::{Args, ValueEnum};
use runtime::executor::{self, ShardId};
use serde_json::json;

use crate::exit::{self, Coded};
use crate::progress::Progress;
use crate::quantity;
use crate::server_log::{Level, ServerLog};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The data folder; made if it is missing
    #[arg(long, env = "CORELOG_DATA", default_value = "./corelog-data", value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// The address every shard answers; port 0 takes a free one
    #[arg(long, env = "CORELOG_LISTEN", default_value = "127.0.0.1:9092", value_name = "HOST:PORT")]
    pub(crate) listen: String,
    /// Shard i listens on this port + i, which Kafka clients have to reach (or see --kafka-advertise); 0 takes free ones
    #[arg(long, env = "CORELOG_SHARD_PORTS", default_value_t = 7401, value_name = "PORT")]
    shard_ports: u16,
    /// What an acknowledgement promises
    #[arg(long, env = "CORELOG_DURABILITY", value_enum, default_value = "fsync")]
    durability: DurabilityChoice,
    /// The host that clients are told; else the address they came by
    #[arg(long, env = "CORELOG_ADVERTISE", value_name = "HOST")]
    advertise: Option<String>,
    /// What is spoken, at every port; the first byte of a connection tells which it is
    #[arg(
        long,
        env = "CORELOG_PROTOCOLS",
        value_enum,
        value_delimiter = ',',
        default_value = "native,kafka",
        value_name = "LIST"
    )]
    protocols: Vec<Protocol>,
    /// The brokers that Kafka clients are told of
    #[arg(long, env = "CORELOG_KAFKA_ADVERTISE", value_enum, default_value = "shards")]
    kafka_advertise: KafkaAdvertiseChoice,
    /// The replication factors that Kafka clients may ask for
    #[arg(long, env = "CORELOG_KAFKA_REPLICATION_FACTOR", value_enum, default_value = "nodes")]
    kafka_replication_factor: KafkaReplicationFactor,
    /// Whether a topic is made when a Kafka client names it
    #[arg(long, env = "CORELOG_AUTO_CREATE_TOPICS", action = clap::ArgAction::Set, default_value_t = true, value_name = "BOOL")]
    auto_create_topics: bool,
    /// Partitions of a topic that is made without saying how many
    #[arg(long, env = "CORELOG_NUM_PARTITIONS", default_value_t = 1, value_name = "COUNT")]
    num_partitions: u32,
    /// How long a consumer group that was empty waits for more members before its first generation
    #[arg(long, env = "CORELOG_GROUP_INITIAL_REBALANCE_DELAY", default_value = "3s", value_parser = quantity::duration, value_name = "TIME")]
    group_initial_rebalance_delay: Duration,
    /// Number of this node, when its data folder is made
    #[arg(long, env = "CORELOG_NODE_ID", default_value_t = 0)]
    node_id: u32,
    /// The cores to run on, as taskset lists them (0,2-3); else the affinity mask within the CPU quota
    #[arg(long, env = "CORELOG_CORES", value_name = "LIST")]
    cores: Option<String>,
    /// Use the first of the cores only
    #[arg(long, env = "CORELOG_SHARDS", value_name = "COUNT")]
    shards: Option<usize>,
    /// Bounds all buffers and caches; else a quarter of the machine's or the cgroup's
    #[arg(long, env = "CORELOG_MEMORY", value_parser = quantity::memory_bytes, value_name = "SIZE")]
    memory: Option<usize>,
    /// How long an idle shard looks for work before it sleeps
    #[arg(long, env = "CORELOG_SPIN_BEFORE_PARK", default_value = "0", value_parser = quantity::duration, value_name = "TIME")]
    spin_before_park: Duration,
    /// Added to each durable write: shows what a slower disk would do
    #[arg(long, env = "CORELOG_FLUSH_DELAY", default_value = "0", value_parser = quantity::duration, value_name = "TIME")]
    flush_delay: Duration,
    /// Written, with every address as JSON, when the broker serves
    #[arg(long, env = "CORELOG_READY_FILE", value_name = "FILE")]
    ready_file: Option<PathBuf>,
    /// The least important of the broker's events that are said on stderr
    #[arg(long, env = "CORELOG_LOG_LEVEL", value_enum, default_value = "info")]
    log_level: Level,
    /// Stop when the process that started this one ends, however it ends
    #[arg(long, hide = true)]
    end_with_parent: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum DurabilityChoice {
    /// On the device: survives a power cut
    Fsync,
    /// In the kernel: survives a crash of the broker, as Kafka's default does
    Written,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Protocol {
    Native,
    Kafka,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum KafkaAdvertiseChoice {
    /// Each core at its own port: requests go straight to the core that owns the partition
    Shards,
    /// One, at the shared port: for clients that can reach no other
    Node,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum KafkaReplicationFactor {
    /// No more than there are nodes, as Kafka does: cores do not count
    Nodes,
    /// Any, taken as 1
    Any,
}

impl Arguments {
    /// As the broker takes it, the cores filled in.
    pub(crate) fn to_config(&self) -> anyhow::Result<Config> {
        let misused = |text: String| Coded::error(exit::MISUSED, text);
        let mut config = Config {
            data: self.data.clone(),
            listen: self.listen.clone(),
            shard_ports: self.shard_ports,
            advertise: self.advertise.clone(),
            durability: match self.durability {
                DurabilityChoice::Fsync => Durability::Fsync,
                DurabilityChoice::Written => Durability::Written,
            },
            protocols: Protocols {
                native: self.protocols.contains(&Protocol::Native),
                kafka: self.protocols.contains(&Protocol::Kafka),
            },
            kafka_advertise: match self.kafka_advertise {
                KafkaAdvertiseChoice::Shards => KafkaAdvertise::Shards,
                KafkaAdvertiseChoice::Node => KafkaAdvertise::Node,
            },
            kafka_replication_any: self.kafka_replication_factor == KafkaReplicationFactor::Any,
            auto_create_topics: self.auto_create_topics,
            num_partitions: self.num_partitions,
            first_members_wait: self.group_initial_rebalance_delay,
            node_id: self.node_id,
            memory_bytes: self.memory,
            spin_before_park: self.spin_before_park,
            flush_delay: self.flush_delay,
            ..Config::default()
        };
        if let Some(list) = &self.cores {
            config.cores = executor::parse_core_list(list)
                .map_err(|error| misused(format!("--cores {list}: {error}")))?;
        } else if self.shards.is_some() {
            // Who names a number of shards means it, whatever the quota.
            config.cores = executor::affinity_cores();
        }
        if let Some(shards) = self.shards {
            let cores = config.cores.len();
            if shards == 0 || shards > cores {
                return Err(misused(format!("--shards {shards}: there are {cores} cores to choose from")));
            }
            config.cores.truncate(shards);
        }
        config.resolved().map_err(|error| misused(error.to_string()))
    }
}

/// What this configuration needs of the machine.
pub(crate) fn needs(config: &Config) -> tuning::Needs {
    let shards = config.cores.len() as u64;
    tuning::Needs {
        data: config.data.clone(),
        shards: config.cores.len(),
        cpu_quota_cores: executor::cpu_quota_cores(),
        memory_lock_bytes: config.executor_options().memory_lock_bytes(),
        // Besides connections: each shard's ring, and the segments that are open.
        descriptors: shards * (config.connections_per_shard_max as u64 + 512),
        reserved_bytes: shards * u64::from(config.ring_files) * config.ring_file_bytes,
    }
}

/// Serves until it is asked to stop.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    if arguments.end_with_parent {
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM))?;
    }
    let config = arguments.to_config()?;
    let log = ServerLog::start(arguments.log_level).context("cannot start the log")?;
    let outcome = serve(arguments, config, &log);
    log.finish();
    outcome
}

fn serve(arguments: &Arguments, config: Config, log: &ServerLog) -> anyhow::Result<()> {
    for line in tuning::start_lines(&tuning::check(&needs(&config))) {
        log.say(line);
    }
    let plan = Server::plan(config).map_err(|error| Coded::error(exit::MISUSED, error.to_string()))?;
    let config = plan.config();
    log.say(format_args!(
        "corelog {}: {} on cores {:?}, {} MiB of memory, durability {}",
        env!("CARGO_PKG_VERSION"),
        config.data.display(),
        config.cores,
        config.memory_bytes.unwrap_or_default() >> 20,
        config.durability,
    ));
    let ready_file = arguments.ready_file.clone();
    let progress = Shown::default();
    progress.show("starting: reading the journals, making those that are missing");
    let (shown, ready_log) = (progress.clone(), log.clone());
    plan.on_ready(move |ready| {
        shown.end();
        tell_ready(&ready, ready_file.as_deref(), &ready_log);
    });
    let stop = plan.stop_handle();
    let (shown, signal_log) = (progress.clone(), log.clone());
    let results = executor::run(config.executor_options(), move |shard| {
        let (plan, stop, shown, log) = (plan.clone(), stop.clone(), shown.clone(), signal_log.clone());
        async move {
            if shard == ShardId(0) {
                drop(runtime::task::spawn(stop_on_signal(stop, shown, log)));
            }
            plan.run_shard(shard).await
        }
    });
    progress.clear();
    let results = results?;
    if let Some(path) = &arguments.ready_file {
        // Whoever looks at it sees a broker that is gone. It may never have been written.
        let _ = std::fs::remove_file(path);
    }
    let mut errors: Vec<ServeError> = results.into_iter().filter_map(Result::err).collect();
    // What another shard says of the failed one is only an echo.
    errors.sort_by_key(|error| matches!(error, ServeError::OtherShard { .. }));
    match errors.into_iter().next() {
        // Its text holds its sources already.
        Some(error) => Err(anyhow::anyhow!("{error}")),
        None => {
            log.say("stopped");
            Ok(())
        }
    }
}

/// The progress of a start, then of a stop. Its thread prints, not the shard.
#[derive(Clone, Default)]
struct Shown(Arc<Mutex<Option<Progress>>>);

impl Shown {
    fn show(&self, text: &str) {
        self.end();
        *self.0.lock().expect("nobody panics with it") = Some(Progress::start(text));
    }

    /// Without waiting for long for the thread, which a stalled stderr may hold.
    fn end(&self) {
        if let Some(progress) = self.0.lock().expect("nobody panics with it").take() {
            progress.end();
        }
    }

    fn clear(&self) {
        drop(self.0.lock().expect("nobody panics with it").take());
    }
}

async fn stop_on_signal(stop: StopHandle, shown: Shown, log: ServerLog) {
    let signal = runtime::signal::terminate().await;
    log.say(format_args!("{signal}: stopping; once more ends at once"));
    shown.show("stopping: everything goes into the segments");
    stop.stop();
    let signal = runtime::signal::terminate().await;
    shown.end();
    log.say(format_args!("{signal}: ended at once; the next start recovers"));
    log.finish();
    std::process::exit(exit::INTERRUPTED.into());
}

fn tell_ready(ready: &Ready, ready_file: Option<&Path>, log: &ServerLog) {
    let shards: Vec<String> = ready.shards.iter().map(ToString::to_string).collect();
    if let Some(path) = ready_file
        && let Err(error) = write_ready_file(path, ready, &shards)
    {
        log.say(format_args!("warning: {error:#}"));
    }
    let redone = if ready.was_clean { "" } else { " (recovered after an unclean stop)" };
    log.say(format_args!(
        "ready {} shards {}; {} partitions{redone}",
        ready.shared,
        shards.join(" "),
        ready.partitions
    ));
}

/// Under another name first: who waits for the file never reads half of it.
fn write_ready_file(path: &Path, ready: &Ready, shards: &[String]) -> anyhow::Result<()> {
    let object = json!({
        "pid": std::process::id(),
        "cluster_id": ready.cluster_id.to_string(),
        "node_id": ready.node_id,
        "listen": ready.shared.to_string(),
        "shards": shards,
    });
    let unfinished = path.with_extension(format!("{}.unfinished", std::process::id()));
    std::fs::write(&unfinished, format!("{object}\n"))
        .and_then(|()| std::fs::rename(&unfinished, path))
        .with_context(|| format!("cannot write the ready file {}", path.display()))
}
