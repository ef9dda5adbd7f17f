//! `corelog bench produce|consume|end-to-end`: the load generator.

use std::time::Duration;

use clap::{Args, Subcommand};
use corelog_client::Compression;
use loadgen::{LoadOptions, Mode};
use runtime::executor;

use crate::connection::Server;
use crate::exit::{self, Coded};
use crate::output::{say, say_json};
use crate::progress::Progress;
use crate::quantity;

#[derive(Debug, Subcommand)]
pub(crate) enum Commands {
    /// Producers only; latency until acknowledged
    Produce(Arguments),
    /// Consumers only, from the oldest record; latency is the wait for the next batch
    Consume(Arguments),
    /// Both at once; latency until received
    EndToEnd(Arguments),
}

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Made when it does not exist
    #[arg(long, default_value = "bench")]
    topic: String,
    /// Partitions of a topic that is made
    #[arg(long, default_value_t = 8, value_name = "COUNT")]
    partitions: u32,
    /// Bytes of each record's value
    #[arg(long, default_value = "1KiB", value_parser = quantity::memory_bytes, value_name = "SIZE")]
    record_size: usize,
    /// Records of a batch in the closed loop; else as many as fit --batch-bytes
    #[arg(long, value_name = "COUNT")]
    batch_records: Option<usize>,
    /// The size of a batch
    #[arg(long, default_value = "1MiB", value_parser = quantity::memory_bytes, value_name = "SIZE")]
    batch_bytes: usize,
    /// How long a batch waits for more records, in the open loop
    #[arg(long, default_value = "0", value_parser = quantity::duration, value_name = "TIME")]
    linger: Duration,
    /// Batches of each producer under way in the closed loop
    #[arg(long, default_value_t = 16, value_name = "COUNT")]
    in_flight: usize,
    /// Producers, each with its own connections
    #[arg(long, default_value_t = 1, value_name = "COUNT")]
    producers: usize,
    /// Consumers, each with its own connections and its share of the partitions
    #[arg(long, default_value_t = 1, value_name = "COUNT")]
    consumers: usize,
    /// Records a second of all producers: the open loop, latency from the intended send time
    #[arg(long)]
    rate: Option<f64>,
    /// How long to measure; else 10s, or until --count or the end
    #[arg(long, value_parser = quantity::duration, value_name = "TIME")]
    duration: Option<Duration>,
    /// How many records in all, those of the warm-up included
    #[arg(long)]
    count: Option<u64>,
    /// How long to run before measuring begins; 1s, or none with --count
    #[arg(long, value_parser = quantity::duration, value_name = "TIME")]
    warm_up: Option<Duration>,
    /// Stamp each record with a sequence and a checksum, and check both when reading
    #[arg(long)]
    verify: bool,
    /// none, gzip, snappy, lz4 or zstd, in the open loop
    #[arg(long, default_value = "none", value_name = "CODEC")]
    compression: Compression,
    /// The generator's cores, as taskset lists them; else the affinity mask
    #[arg(long, value_name = "LIST")]
    cores: Option<String>,
    #[command(flatten)]
    server: Server,
    /// One object
    #[arg(long)]
    json: bool,
}

impl Arguments {
    fn to_options(&self, mode: Mode) -> anyhow::Result<LoadOptions> {
        let mut options = LoadOptions {
            partitions: self.partitions,
            record_size: self.record_size,
            batch_records: self.batch_records,
            batch_bytes: self.batch_bytes,
            linger: self.linger,
            in_flight: self.in_flight,
            producers: self.producers,
            consumers: self.consumers,
            rate: self.rate,
            count: self.count,
            verify: self.verify,
            compression: self.compression,
            ..LoadOptions::new(mode, self.server.server.clone(), self.topic.clone())
        };
        if self.count.is_some() || mode == Mode::Consume {
            options.duration = None;
            options.warm_up = Duration::ZERO;
        }
        options.duration = self.duration.or(options.duration);
        options.warm_up = self.warm_up.unwrap_or(options.warm_up);
        if let Some(list) = &self.cores {
            options.cores = executor::parse_core_list(list)
                .map_err(|error| Coded::error(exit::MISUSED, format!("--cores {list}: {error}")))?;
        }
        Ok(options)
    }
}

/// Fails when a record failed: a figure that hides errors is none.
pub(crate) fn run(command: &Commands) -> anyhow::Result<()> {
    let (mode, arguments, title) = match command {
        Commands::Produce(arguments) => (Mode::Produce, arguments, "producing"),
        Commands::Consume(arguments) => (Mode::Consume, arguments, "consuming"),
        Commands::EndToEnd(arguments) => (Mode::EndToEnd, arguments, "producing and consuming"),
    };
    let options = arguments.to_options(mode)?;
    arguments.server.check_reachable()?;
    let progress = Progress::start(title);
    let report = loadgen::run(&options)?;
    drop(progress);
    if arguments.json {
        say_json(&report)?;
    } else {
        say(report.to_string())?;
    }
    if report.errors > 0 {
        return Err(Coded::error(exit::FAILED, format!("{} records failed", report.errors)));
    }
    Ok(())
}
