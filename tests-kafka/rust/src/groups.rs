//! Consumer groups of both protocols.

use std::time::Duration;

use rdkafka::Offset;
use rdkafka::consumer::{CommitMode, Consumer, StreamConsumer};

use crate::kit::{COUNT, Outcome, PARTITIONS, PER_PARTITION, same, until};
use crate::{Program, REQUEST_TIME_MAX, options, places, read, read_for};

/// A turn of one of several members, which are all to be heard.
const TURN: Duration = Duration::from_millis(200);

fn member(program: &Program, topic: &str, group: &str, settings: &[(&str, &str)]) -> Outcome<StreamConsumer> {
    let mut all = vec![("group.id", group), ("auto.offset.reset", "earliest")];
    all.extend(settings);
    let member = program.consumer(&all)?;
    member.subscribe(&[topic])?;
    Ok(member)
}

/// Reads nothing in its turn, and has so many partitions then.
async fn owns(member: &StreamConsumer, partitions: i32) -> Outcome<bool> {
    same("what is read meanwhile", &read_for(member, 1, TURN).await?, &Vec::new())?;
    Ok(member.assignment()?.count() == partitions as usize)
}

fn committed(member: &StreamConsumer, topic: &str) -> Outcome<Vec<Offset>> {
    let asked = places(topic, PARTITIONS, Offset::Invalid)?;
    let found = member.committed_offsets(asked, REQUEST_TIME_MAX)?;
    Ok(found.elements().iter().map(|place| place.offset()).collect())
}

pub(crate) async fn shares(program: &Program, settings: &[(&str, &str)]) -> Outcome {
    let topic = program.create("group", PARTITIONS).await?;
    let group = program.kit.name("group");
    let leaves = member(program, &topic, &group, settings)?;
    let stays = member(program, &topic, &group, settings)?;
    until("two partitions for each of two members", async || {
        Ok(owns(&leaves, 2).await? & owns(&stays, 2).await?)
    })
    .await?;
    program.send(&topic, &program.kit.records(), &[]).await?;
    let mut reads = Vec::new();
    until("all records read", async || {
        for member in [&leaves, &stays] {
            reads.extend(read_for(member, COUNT, TURN).await?);
        }
        Ok(reads.len() >= COUNT)
    })
    .await?;
    program.kit.verify(&reads, 0)?;
    for member in [&leaves, &stays] {
        member.commit_consumer_state(CommitMode::Sync)?;
    }
    drop(leaves);
    // The one that stays takes over, from what was committed.
    until("four partitions for the last member", async || owns(&stays, PARTITIONS).await).await?;
    let ends = vec![Offset::Offset(PER_PARTITION); PARTITIONS as usize];
    same("committed", &committed(&stays, &topic)?, &ends)?;
    drop(stays);
    let late = member(program, &topic, &group, settings)?;
    until("four partitions for a new member", async || owns(&late, PARTITIONS).await).await?;
    same("what a new member reads", &read_for(&late, 1, Duration::from_millis(500)).await?, &Vec::new())
}

pub(crate) async fn listed(program: &Program) -> Outcome {
    let topic = program.create_full("listed").await?;
    let group = program.kit.name("listed");
    let member = member(program, &topic, &group, &[("client.id", "kit-member")])?;
    read(&member, COUNT).await?;
    member.commit_consumer_state(CommitMode::Sync)?;
    let groups = program.admin.inner().fetch_group_list(Some(&group), REQUEST_TIME_MAX)?;
    let found = groups.groups().first().ok_or("the group is not listed")?;
    let clients: Vec<&str> = found.members().iter().map(|member| member.client_id()).collect();
    same("its state and its members", &(found.state(), clients), &("Stable", vec!["kit-member"]))?;
    drop(member);
    let outside = program.consumer(&[("group.id", &group)])?;
    let ends = vec![Offset::Offset(PER_PARTITION); PARTITIONS as usize];
    same("the offsets", &committed(&outside, &topic)?, &ends)?;
    outside.commit(&places(&topic, 1, Offset::Offset(7))?, CommitMode::Sync)?;
    same("the altered offset", &committed(&outside, &topic)?[0], &Offset::Offset(7))?;
    for deleted in program.admin.delete_groups(&[&group], &options()).await? {
        deleted.map_err(|(name, code)| format!("{name} is not deleted: {code}"))?;
    }
    let groups = program.admin.inner().fetch_group_list(None, REQUEST_TIME_MAX)?;
    let there = groups.groups().iter().any(|listed| listed.name() == group);
    same("the group is listed after it was deleted", &there, &false)
}
