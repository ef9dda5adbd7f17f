//! `corelog consume TOPIC`: prints records.

use std::io::{BufWriter, IsTerminal, Write};

use clap::Args;
use corelog_client::{Client, ConsumerOptions, GroupBatch, GroupOptions, ReceivedBatch, StartAt};
use futures_lite::future::{block_on, or};

use crate::connection::Server;
use crate::interrupted::Interrupted;
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
    /// As a member of this consumer group: the partitions are shared out, and it goes on after what the group has committed
    #[arg(long, conflicts_with = "partitions")]
    group: Option<String>,
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
    let mut printer = Printer::new(arguments);
    block_on(async {
        match &arguments.group {
            Some(group) => consume_in_group(&client, group, arguments, options, &mut printer).await?,
            None => {
                let mut consumer = client.consumer(&arguments.topic, options).await?;
                while let Some(batch) = consumer.next_batch().await {
                    if printer.print(&batch?)?.is_some() {
                        break;
                    }
                }
            }
        }
        Ok(printer.out.flush()?)
    })
}

/// As a member; a signal makes it leave, so that the others need not miss it first.
async fn consume_in_group(
    client: &Client,
    group: &str,
    arguments: &Arguments,
    consumer: ConsumerOptions,
    printer: &mut Printer<'_>,
) -> anyhow::Result<()> {
    let interrupted = Interrupted::register()?;
    let options = GroupOptions { consumer, ..GroupOptions::new([arguments.topic.clone()]) };
    let mut member = client.group_consumer(group, options).await?;
    loop {
        let stopped = async {
            interrupted.wait().await;
            None
        };
        let Some(next) = or(stopped, member.next_batch()).await else { break };
        let GroupBatch { topic, batch } = next?;
        if let Some(offset) = printer.print(&batch)? {
            // What was printed of the batch is done; the rest is for who comes next.
            member.set_delivered(&topic, batch.partition, offset);
            break;
        }
        printer.out.flush()?;
    }
    printer.out.flush()?;
    Ok(member.leave().await?)
}

/// Prints records until there are enough.
struct Printer<'a> {
    arguments: &'a Arguments,
    out: BufWriter<Output>,
    left: u64,
    consumed: u64,
    progress: Option<Progress>,
}

impl<'a> Printer<'a> {
    fn new(arguments: &'a Arguments) -> Self {
        // On a terminal the records themselves show that it goes on, and following is no work.
        let is_shown = !arguments.follow && !std::io::stdout().is_terminal();
        Self {
            arguments,
            out: Output::buffered(),
            left: arguments.count.unwrap_or(u64::MAX),
            consumed: 0,
            progress: is_shown.then(|| Progress::start("consuming")),
        }
    }

    /// Prints a batch; once there are enough, where the next record would be.
    fn print(&mut self, batch: &ReceivedBatch) -> anyhow::Result<Option<i64>> {
        for record in batch.records()? {
            if self.arguments.json {
                record_format::write_json(&mut self.out, batch.partition, &record)?;
            } else {
                let Arguments { format, topic, .. } = self.arguments;
                format.write(&mut self.out, topic, batch.partition, &record)?;
            }
            self.consumed += 1;
            self.left -= 1;
            if self.left == 0 {
                return Ok(Some(record.offset + 1));
            }
        }
        if self.arguments.follow {
            self.out.flush()?;
        }
        if let Some(progress) = &self.progress {
            progress.say(format!("{} records consumed", self.consumed));
        }
        Ok(None)
    }
}
