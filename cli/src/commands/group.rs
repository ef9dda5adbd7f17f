//! `corelog group ...`: consumer groups, whichever client's they are.

use std::collections::{BTreeMap, HashMap};
use std::io::Write;

use anyhow::{Context, anyhow};
use clap::{Args, Subcommand};
use corelog_client::{Admin, ClientError, StartAt};
use serde_json::json;
use wire::native::{DescribeGroupReply, GroupMember, GroupOffset, OffsetQuery, TopicMetadata};

use crate::connection::{Server, wait_for};
use crate::output::{Output, say, say_json};
use crate::start_position;

#[derive(Debug, Subcommand)]
pub(crate) enum Commands {
    /// List the groups
    List(ListArguments),
    /// Show a group's members, what it has committed and how far it is behind
    Describe(NameArguments),
    /// Have a group without members go on elsewhere
    ResetOffsets(ResetArguments),
    /// Delete a group without members, and what it has committed
    Delete(NameArguments),
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
    group: String,
    #[command(flatten)]
    server: Server,
    /// One object
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ResetArguments {
    /// Its name
    group: String,
    /// Of this topic
    #[arg(long)]
    topic: String,
    /// Only of this partition; can be given again
    #[arg(long = "partition", value_name = "PARTITION")]
    partitions: Vec<u32>,
    /// earliest, latest, an offset, or a time: 2026-11-24T10:00:00Z (UTC), or 10m ago
    #[arg(long, value_parser = start_position::parse, value_name = "POSITION")]
    to: StartAt,
    /// Only say where it would go on
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    server: Server,
    /// One object
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(command: &Commands) -> anyhow::Result<()> {
    match command {
        Commands::List(arguments) => list(arguments),
        Commands::Describe(arguments) => describe(arguments),
        Commands::ResetOffsets(arguments) => reset(arguments),
        Commands::Delete(arguments) => delete(arguments),
    }
}

fn list(arguments: &ListArguments) -> anyhow::Result<()> {
    let admin = arguments.server.connect()?.admin();
    let groups = wait_for(admin.list_groups())?;
    if arguments.json {
        let objects: Vec<_> = groups
            .iter()
            .map(|group| json!({ "group": group.group, "kind": group.kind, "state": group.state }))
            .collect();
        return say_json(&objects);
    }
    let mut out = Output::new();
    for group in groups {
        writeln!(out, "{:<20} {:<9} {}", group.state, group.kind, group.group)?;
    }
    Ok(())
}

/// How far a group is in one partition.
struct Standing {
    topic: String,
    partition: u32,
    committed: i64,
    end: i64,
    member: Option<String>,
}

impl Standing {
    fn lag(&self) -> i64 {
        (self.end - self.committed).max(0)
    }
}

fn describe(arguments: &NameArguments) -> anyhow::Result<()> {
    let admin = arguments.server.connect()?.admin();
    let name = &arguments.group;
    let (group, standings) = wait_for(async {
        let group = admin.describe_group(name).await?;
        let standings = standings(&admin, name, &group).await?;
        Ok::<_, ClientError>((group, standings))
    })
    .with_context(|| format!("group {name}"))?;
    if arguments.json {
        return say_json(&as_json(name, &group, &standings));
    }
    let mut out = Output::new();
    writeln!(
        out,
        "group {name}  {}  {}  epoch {}  {}",
        group.kind, group.state, group.epoch, group.assignor
    )?;
    for member in &group.members {
        let GroupMember { member_id, client_id, client_host, .. } = member;
        writeln!(
            out,
            "  member {member_id}  client {client_id}  {client_host}  {} partitions",
            partitions_of(member)
        )?;
    }
    writeln!(out, "partition    committed          end          lag  topic, and who reads it")?;
    for at in &standings {
        let member = at.member.as_deref().unwrap_or("nobody");
        let Standing { topic, partition, committed, end, .. } = at;
        writeln!(out, "{partition:>9} {committed:>12} {end:>12} {:>12}  {topic}, {member}", at.lag())?;
    }
    Ok(())
}

fn partitions_of(member: &GroupMember) -> usize {
    member.assignment.iter().map(|part| part.partitions.len()).sum()
}

/// How far the group is wherever it has committed anything.
async fn standings(
    admin: &Admin,
    name: &str,
    group: &DescribeGroupReply,
) -> Result<Vec<Standing>, ClientError> {
    let topics = admin.metadata().await?.topics;
    let mut readers = HashMap::new();
    for member in &group.members {
        for part in &member.assignment {
            for partition in &part.partitions {
                readers.insert((part.topic_id, *partition), member.member_id.clone());
            }
        }
    }
    let mut standings = Vec::new();
    for offset in admin.committed_offsets(name).await? {
        let Some(topic) = topics.iter().find(|topic| topic.name == offset.topic) else { continue };
        let end = admin.list_offset(topic.id, offset.partition, OffsetQuery::Latest).await?.offset;
        standings.push(Standing {
            member: readers.remove(&(topic.id, offset.partition)),
            topic: offset.topic,
            partition: offset.partition,
            committed: offset.offset,
            end,
        });
    }
    Ok(standings)
}

fn as_json(name: &str, group: &DescribeGroupReply, standings: &[Standing]) -> serde_json::Value {
    let members: Vec<_> = group
        .members
        .iter()
        .map(|member| {
            json!({
                "member": member.member_id, "instance": member.instance_id, "client": member.client_id,
                "host": member.client_host, "epoch": member.epoch, "partitions": partitions_of(member),
            })
        })
        .collect();
    let offsets: Vec<_> = standings
        .iter()
        .map(|at| {
            json!({
                "topic": at.topic, "partition": at.partition, "committed": at.committed, "end": at.end,
                "lag": at.lag(), "member": at.member,
            })
        })
        .collect();
    json!({
        "group": name, "kind": group.kind, "state": group.state, "epoch": group.epoch,
        "assignor": group.assignor, "members": members, "offsets": offsets,
    })
}

fn reset(arguments: &ResetArguments) -> anyhow::Result<()> {
    let admin = arguments.server.connect()?.admin();
    let ResetArguments { group, topic, .. } = arguments;
    let offsets = wait_for(async {
        let topics = admin.metadata().await?.topics;
        let found = topics.into_iter().find(|found| found.name == *topic);
        let found = found.ok_or_else(|| anyhow!("there is no topic {topic:?}"))?;
        let offsets = targets(&admin, &found, arguments).await?;
        if !arguments.dry_run {
            let offset = |(partition, offset): (&u32, &i64)| GroupOffset {
                topic: topic.clone(),
                partition: *partition,
                offset: *offset,
                leader_epoch: -1,
                metadata: String::new(),
            };
            admin.commit_offsets(group, offsets.iter().map(offset).collect()).await?;
        }
        Ok::<_, anyhow::Error>(offsets)
    })
    .with_context(|| format!("offsets of group {group} were not reset"))?;
    if arguments.json {
        let offsets: Vec<_> = offsets
            .iter()
            .map(|(partition, offset)| json!({ "partition": partition, "offset": offset }))
            .collect();
        let reset = !arguments.dry_run;
        return say_json(&json!({ "group": group, "topic": topic, "reset": reset, "offsets": offsets }));
    }
    let mut out = Output::new();
    for (partition, offset) in offsets {
        let verb = if arguments.dry_run { "would go" } else { "goes" };
        writeln!(out, "partition {partition} {verb} on at {offset}")?;
    }
    Ok(())
}

/// By partition the offset to go on at. A time beyond the last record is the end.
async fn targets(
    admin: &Admin,
    topic: &TopicMetadata,
    arguments: &ResetArguments,
) -> anyhow::Result<BTreeMap<u32, i64>> {
    let count = u32::try_from(topic.partitions.len())?;
    let partitions = match arguments.partitions.is_empty() {
        true => (0..count).collect(),
        false => arguments.partitions.clone(),
    };
    let mut targets = BTreeMap::new();
    for partition in partitions {
        if partition >= count {
            return Err(anyhow!("topic {} has {count} partitions, and no {partition}", topic.name));
        }
        let find =
            async |query| Ok::<_, anyhow::Error>(admin.list_offset(topic.id, partition, query).await?.offset);
        let (first, end) = (find(OffsetQuery::Earliest).await?, find(OffsetQuery::Latest).await?);
        let offset = match arguments.to {
            StartAt::Earliest => first,
            StartAt::Latest => end,
            // Where there is no such offset a consumer would begin elsewhere than was asked for.
            StartAt::Offset(offset) => offset.clamp(first, end),
            StartAt::Time(time_ms) => match find(OffsetQuery::Time(time_ms)).await? {
                ..0 => end,
                found => found,
            },
        };
        targets.insert(partition, offset);
    }
    Ok(targets)
}

fn delete(arguments: &NameArguments) -> anyhow::Result<()> {
    let admin = arguments.server.connect()?.admin();
    let group = &arguments.group;
    wait_for(admin.delete_group(group)).with_context(|| format!("group {group} was not deleted"))?;
    if arguments.json {
        return say_json(&json!({ "group": group, "deleted": true }));
    }
    Ok(say(format_args!("deleted group {group}"))?)
}
