//! `corelog node describe`.

use clap::{Args, Subcommand};

use crate::connection::{Server, wait_for};
use crate::output::{say, say_json};

#[derive(Debug, Subcommand)]
pub(crate) enum Commands {
    /// Counters, queues and latencies of each shard
    Describe(DescribeArguments),
}

#[derive(Debug, Args)]
pub(crate) struct DescribeArguments {
    #[command(flatten)]
    server: Server,
    /// One object, on one line
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(command: &Commands) -> anyhow::Result<()> {
    let Commands::Describe(arguments) = command;
    let client = arguments.server.connect()?;
    let text = wait_for(client.admin().describe_node())?;
    if arguments.json {
        return Ok(say(text)?);
    }
    let value: serde_json::Value = serde_json::from_str(&text)?;
    say_json(&value)
}
