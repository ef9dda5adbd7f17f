//! `corelog produce TOPIC`: lines become records.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context;
use bytes::Bytes;
use clap::Args;
use corelog_client::{ClientError, Compression, Delivery, Producer, ProducerOptions, Record};
use futures_lite::future::block_on;
use serde_json::json;

use crate::connection::Server;
use crate::output::{say_json, tell};
use crate::progress::Progress;
use crate::quantity;

/// Records without an answer that are remembered one by one; beyond it the oldest is waited for. The client bounds their
/// bytes.
const DELIVERIES_AWAITED_MAX: usize = 100_000;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    topic: String,
    /// Files of lines; stdin without any, or for -
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// What stands before the first of these is the record's key
    #[arg(long, value_name = "TEXT")]
    key_separator: Option<String>,
    /// All records to this partition
    #[arg(long)]
    partition: Option<u32>,
    /// none, gzip, snappy, lz4 or zstd
    #[arg(long, default_value = "none", value_name = "CODEC")]
    compression: Compression,
    /// How long a batch waits for more records
    #[arg(long, default_value = "0", value_parser = quantity::duration, value_name = "TIME")]
    linger: Duration,
    #[command(flatten)]
    server: Server,
    /// One object with what was sent
    #[arg(long)]
    json: bool,
}

#[derive(Default)]
struct Sent {
    acknowledged: u64,
    bytes: u64,
    failed: u64,
    first_error: Option<ClientError>,
}

impl Sent {
    fn take(&mut self, outcome: Result<corelog_client::Delivered, ClientError>) {
        match outcome {
            Ok(_) => self.acknowledged += 1,
            Err(error) => {
                self.failed += 1;
                self.first_error.get_or_insert(error);
            }
        }
    }
}

/// Says how many were acknowledged; fails when one was not.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let client = arguments.server.connect()?;
    let options = ProducerOptions {
        linger: arguments.linger,
        compression: arguments.compression,
        ..ProducerOptions::default()
    };
    let progress = Progress::start("producing");
    let begin = Instant::now();
    let sent = block_on(async {
        let producer = client.producer(&arguments.topic, options).await?;
        let sent = send_all(arguments, &producer, &progress).await;
        producer.close().await;
        sent
    })?;
    drop(progress);
    let seconds = begin.elapsed().as_secs_f64();
    if arguments.json {
        say_json(&json!({
            "records": sent.acknowledged,
            "bytes": sent.bytes,
            "errors": sent.failed,
            "seconds": seconds,
        }))?;
    } else {
        tell(format_args!("{} records acknowledged in {seconds:.2} s", sent.acknowledged));
    }
    match sent.first_error {
        Some(error) => {
            Err(error).context(format!("{} records were not acknowledged; the first", sent.failed))
        }
        None => Ok(()),
    }
}

async fn send_all(arguments: &Arguments, producer: &Producer, progress: &Progress) -> anyhow::Result<Sent> {
    let mut sent = Sent::default();
    let mut awaited: VecDeque<Delivery> = VecDeque::new();
    for mut input in inputs(&arguments.files)? {
        while let Some(line) = next_line(&mut input)? {
            sent.bytes += line.len() as u64;
            awaited.push_back(producer.send(record(arguments, line)).await?);
            if awaited.len() > DELIVERIES_AWAITED_MAX
                && let Some(oldest) = awaited.pop_front()
            {
                sent.take(oldest.await);
            }
            if awaited.len().is_multiple_of(4096) {
                progress.say(format!("{} records acknowledged", sent.acknowledged));
            }
        }
    }
    producer.flush().await;
    for delivery in awaited {
        sent.take(delivery.await);
    }
    Ok(sent)
}

fn inputs(files: &[PathBuf]) -> anyhow::Result<Vec<Box<dyn BufRead>>> {
    let stdin = || Box::new(BufReader::with_capacity(1 << 20, std::io::stdin())) as Box<dyn BufRead>;
    if files.is_empty() {
        return Ok(vec![stdin()]);
    }
    let open = |path: &PathBuf| {
        if path.as_os_str() == "-" {
            return Ok(stdin());
        }
        let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
        Ok(Box::new(BufReader::with_capacity(1 << 20, file)) as Box<dyn BufRead>)
    };
    files.iter().map(open).collect()
}

/// A line without its end; the last one may have none.
fn next_line(input: &mut impl BufRead) -> anyhow::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    if input.read_until(b'\n', &mut line).context("cannot read the input")? == 0 {
        return Ok(None);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
    }
    Ok(Some(line))
}

fn record(arguments: &Arguments, line: Vec<u8>) -> Record {
    let line = Bytes::from(line);
    let split = arguments.key_separator.as_ref().filter(|text| !text.is_empty()).and_then(|separator| {
        let at = line.windows(separator.len()).position(|window| window == separator.as_bytes())?;
        Some((line.slice(..at), line.slice(at + separator.len()..)))
    });
    let record = match split {
        Some((key, value)) => Record::new(value).key(key),
        None => Record::new(line),
    };
    Record { partition: arguments.partition, ..record }
}
