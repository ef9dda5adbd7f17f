//! `corelog consume TOPIC`: prints records.

use std::io::{IsTerminal, Write};

use clap::Args;
use corelog_client::{ConsumerOptions, StartAt};
use futures_lite::future::block_on;

use crate::connection::Server;
use crate::output::Output;
use crate::progress::Progress;
use crate::record_format::{self, RecordFormat};
use crate::start_position;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    topic: String,
    /// earliest, latest, an offset, or a time: 2026-11-24T10:00:00Z (UTC), or 10m ago
    #[arg(long, default_value = "earliest", value_parser = start_position::parse, value_name = "POSITION")]
    from: StartAt,
    /// End after so many records
    #[arg(long)]
    count: Option<u64>,
    /// Go on at the end, and print what comes
    #[arg(long)]
    follow: bool,
    /// Only this partition; can be given again
    #[arg(long = "partition", value_name = "PARTITION")]
    partitions: Vec<u32>,
    #[arg(long, default_value = "{value}\\n", value_parser = record_format::parse, help = record_format::HELP)]
    format: RecordFormat,
    #[command(flatten)]
    server: Server,
    /// An object a line
    #[arg(long, conflicts_with = "format")]
    json: bool,
}

/// Ends at what the topic held at the beginning, unless it is to follow.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    if arguments.count == Some(0) {
        return Ok(());
    }
    let client = arguments.server.connect()?;
    let options = ConsumerOptions {
        partitions: arguments.partitions.clone(),
        start: arguments.from,
        stop_at_end: !arguments.follow,
        ..ConsumerOptions::default()
    };
    let mut left = arguments.count.unwrap_or(u64::MAX);
    // On a terminal the records themselves show that it goes on, and following is no work.
    let is_shown = !arguments.follow && !std::io::stdout().is_terminal();
    let progress = is_shown.then(|| Progress::start("consuming"));
    let mut consumed = 0_u64;
    let mut out = Output::buffered();
    block_on(async {
        let mut consumer = client.consumer(&arguments.topic, options).await?;
        while let Some(batch) = consumer.next_batch().await {
            let batch = batch?;
            for record in batch.records()? {
                if arguments.json {
                    record_format::write_json(&mut out, batch.partition, &record)?;
                } else {
                    arguments.format.write(&mut out, &arguments.topic, batch.partition, &record)?;
                }
                consumed += 1;
                left -= 1;
                if left == 0 {
                    out.flush()?;
                    return Ok(());
                }
            }
            if arguments.follow {
                out.flush()?;
            }
            if let Some(progress) = &progress {
                progress.say(format!("{consumed} records consumed"));
            }
        }
        out.flush()?;
        Ok(())
    })
}
