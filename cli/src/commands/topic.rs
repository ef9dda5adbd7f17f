//! `corelog topic ...`.

use std::io::Write;

use anyhow::anyhow;
use clap::{ArgGroup, Args, Subcommand};
use corelog_client::{Admin, ErrorCode};
use serde_json::json;
use wire::native::DescribeTopicReply;

use crate::connection::{Server, wait_for};
use crate::output::{Output, say, say_json};

#[derive(Debug, Subcommand)]
pub(crate) enum Commands {
    /// Make a topic
    Create(CreateArguments),
    /// List the topics
    List(ListArguments),
    /// Show a topic's settings and the state of its partitions
    Describe(NameArguments),
    /// Add partitions, change settings
    Alter(AlterArguments),
    /// Delete a topic and all it holds
    Delete(NameArguments),
}

#[derive(Debug, Args)]
pub(crate) struct CreateArguments {
    /// Its name
    topic: String,
    /// How many partitions
    #[arg(long, default_value_t = 1, value_name = "COUNT")]
    partitions: u32,
    /// A setting by Kafka's name, as segment.bytes=1073741824; can be given again
    #[arg(long = "set", value_parser = setting, value_name = "NAME=VALUE")]
    settings: Vec<(String, String)>,
    /// Only say whether it could be made
    #[arg(long)]
    validate_only: bool,
    /// It is no error when the topic exists
    #[arg(long)]
    if_missing: bool,
    #[command(flatten)]
    server: Server,
    /// One object
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ListArguments {
    #[command(flatten)]
    server: Server,
    /// One array
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct NameArguments {
    /// Its name
    topic: String,
    #[command(flatten)]
    server: Server,
    /// One object
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("changes").required(true).multiple(true))]
pub(crate) struct AlterArguments {
    /// Its name
    topic: String,
    /// Grow to this many partitions
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..), group = "changes")]
    partitions: Option<u32>,
    /// Change a setting; can be given again
    #[arg(long = "set", value_parser = setting, value_name = "NAME=VALUE", group = "changes")]
    settings: Vec<(String, String)>,
    /// Back to its default; can be given again
    #[arg(long = "unset", value_name = "NAME", group = "changes")]
    unset: Vec<String>,
    #[command(flatten)]
    server: Server,
    /// One object
    #[arg(long)]
    json: bool,
}

fn setting(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("a setting is NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

pub(crate) fn run(command: &Commands) -> anyhow::Result<()> {
    match command {
        Commands::Create(arguments) => create(arguments),
        Commands::List(arguments) => list(arguments),
        Commands::Describe(arguments) => describe(arguments),
        Commands::Alter(arguments) => alter(arguments),
        Commands::Delete(arguments) => delete(arguments),
    }
}

fn admin(server: &Server) -> anyhow::Result<Admin> {
    Ok(server.connect()?.admin())
}

fn create(arguments: &CreateArguments) -> anyhow::Result<()> {
    let name = &arguments.topic;
    let admin = admin(&arguments.server)?;
    let made = admin.create_topic(name, arguments.partitions, &arguments.settings, arguments.validate_only);
    let id = match wait_for(made) {
        Ok(id) => Some(id),
        Err(corelog_client::ClientError::Refused { code: ErrorCode::TopicExists, .. })
            if arguments.if_missing =>
        {
            None
        }
        Err(error) => return Err(anyhow!(error).context(format!("topic {name} was not made"))),
    };
    let made = id.is_some() && !arguments.validate_only;
    if arguments.json {
        return say_json(&json!({ "topic": name, "id": id.map(|id| id.to_string()), "created": made }));
    }
    match (made, arguments.validate_only) {
        (true, _) => say(format_args!("made topic {name} with {} partitions", arguments.partitions))?,
        (false, true) => say(format_args!("topic {name} could be made"))?,
        (false, false) => say(format_args!("topic {name} exists"))?,
    }
    Ok(())
}

fn list(arguments: &ListArguments) -> anyhow::Result<()> {
    let mut topics = wait_for(admin(&arguments.server)?.metadata())?.topics;
    topics.sort_by(|left, right| left.name.cmp(&right.name));
    if arguments.json {
        let objects: Vec<_> = topics
            .iter()
            .map(|topic| json!({ "topic": topic.name, "id": topic.id.to_string(), "partitions": topic.partitions.len() }))
            .collect();
        return say_json(&objects);
    }
    let mut out = Output::new();
    for topic in topics {
        writeln!(out, "{:>6} partitions  {}", topic.partitions.len(), topic.name)?;
    }
    Ok(())
}

fn describe(arguments: &NameArguments) -> anyhow::Result<()> {
    let reply = wait_for(admin(&arguments.server)?.describe_topic(&arguments.topic))?;
    if arguments.json {
        return say_json(&description(&arguments.topic, &reply));
    }
    let mut out = Output::new();
    writeln!(out, "topic {}  id {}", arguments.topic, reply.id)?;
    for setting in &reply.settings {
        let from = if setting.is_default { "default" } else { "set" };
        let acts = if setting.acts { "" } else { ", has no effect yet" };
        writeln!(out, "  {} = {}  ({from}{acts})", setting.name, setting.value)?;
    }
    writeln!(out, "partition  shard  epoch        start     readable          end  segments         bytes")?;
    for state in &reply.partitions {
        writeln!(
            out,
            "{:>9} {:>6} {:>6} {:>12} {:>12} {:>12} {:>9} {:>13}",
            state.partition,
            state.shard,
            state.leader_epoch,
            state.log_start_offset,
            state.high_watermark,
            state.log_end_offset,
            state.segment_count,
            state.bytes
        )?;
    }
    Ok(())
}

fn description(topic: &str, reply: &DescribeTopicReply) -> serde_json::Value {
    let settings: Vec<_> = reply
        .settings
        .iter()
        .map(|setting| {
            json!({ "name": setting.name, "value": setting.value, "is_default": setting.is_default, "acts": setting.acts })
        })
        .collect();
    let partitions: Vec<_> = reply
        .partitions
        .iter()
        .map(|state| {
            json!({
                "partition": state.partition,
                "shard": state.shard,
                "leader_epoch": state.leader_epoch,
                "log_start_offset": state.log_start_offset,
                "high_watermark": state.high_watermark,
                "log_end_offset": state.log_end_offset,
                "segment_count": state.segment_count,
                "bytes": state.bytes,
            })
        })
        .collect();
    json!({ "topic": topic, "id": reply.id.to_string(), "settings": settings, "partitions": partitions })
}

fn alter(arguments: &AlterArguments) -> anyhow::Result<()> {
    let name = &arguments.topic;
    let set = arguments.settings.iter().map(|(name, value)| (name.clone(), Some(value.clone())));
    let unset = arguments.unset.iter().map(|name| (name.clone(), None));
    let settings: Vec<_> = set.chain(unset).collect();
    wait_for(admin(&arguments.server)?.alter_topic(name, arguments.partitions, &settings))
        .map_err(|error| anyhow!(error).context(format!("topic {name} was not changed")))?;
    if arguments.json {
        return say_json(&json!({ "topic": name, "altered": true }));
    }
    Ok(say(format_args!("changed topic {name}"))?)
}

fn delete(arguments: &NameArguments) -> anyhow::Result<()> {
    let name = &arguments.topic;
    wait_for(admin(&arguments.server)?.delete_topic(name))
        .map_err(|error| anyhow!(error).context(format!("topic {name} was not deleted")))?;
    if arguments.json {
        return say_json(&json!({ "topic": name, "deleted": true }));
    }
    Ok(say(format_args!("deleted topic {name}"))?)
}
