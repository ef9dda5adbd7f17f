//! Consumer groups: each request goes to the shard that keeps the group.

use std::rc::Rc;

use futures_lite::future;
use runtime::executor::ShardId;
use wire::codes::ErrorCode;

use super::topics::create_topic;
use crate::catalog::{OFFSETS_TOPIC, SEGMENT_BYTES};
use crate::groups::{
    Answer, GroupError, GroupPartition, GroupRequest, ListedGroup, OFFSETS_PARTITIONS, partition_of,
};
use crate::request::{PartitionName, Refusal};
use crate::session::{Action, Resource, Session, authorize};
use crate::shard::{Ask, Route, Shard, Told};

/// What the offsets topic is made with: its records are never older than they are needed, and the coordinator keeps it short.
/// Its segments are short, so that what is below a raised start goes soon.
const OFFSETS_TOPIC_SETTINGS: [(&str, &str); 2] =
    [("cleanup.policy", "compact"), (SEGMENT_BYTES, "16777216")];

/// Makes the offsets topic, if it is not there.
pub(crate) async fn ensure_offsets_topic(shard: &Shard, session: &Session) -> Result<(), Refusal> {
    if shard.catalog().topic(OFFSETS_TOPIC).is_some() {
        return Ok(());
    }
    let settings = OFFSETS_TOPIC_SETTINGS.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let (name, settings) = (OFFSETS_TOPIC.to_owned(), settings.to_vec());
    match create_topic(shard, session, name, OFFSETS_PARTITIONS, settings, false).await {
        // Somebody else made it meanwhile.
        Err(refusal) if refusal.code != ErrorCode::TopicExists => Err(refusal),
        _ => Ok(()),
    }
}

/// The shard that keeps a group. Its topic is made if it is not there.
pub(crate) async fn coordinator_of(
    shard: &Shard,
    session: &Session,
    group: &str,
) -> Result<ShardId, Refusal> {
    authorize(session, Action::Describe, Resource::Group(group))?;
    ensure_offsets_topic(shard, session).await?;
    match place_of(shard, group) {
        Some((_, Route::Local(_))) => Ok(shard.id),
        Some((_, Route::Remote { shard, .. })) => Ok(shard),
        None => Err(Refusal::of(ErrorCode::NotServing)),
    }
}

/// The group's partition, and where that is.
fn place_of(shard: &Shard, group: &str) -> Option<(u32, Route)> {
    let catalog = shard.catalog();
    let topic = catalog.topic(OFFSETS_TOPIC)?;
    let partition = partition_of(group, u32::try_from(topic.partitions.len()).ok()?);
    let name = PartitionName { topic_id: topic.id, partition };
    Some((partition, shard.routes().find(&name).ok()?.clone()))
}

/// Asks a group's coordinator, wherever it is.
pub(crate) async fn ask_group(
    shard: &Rc<Shard>,
    session: &Session,
    group: &str,
    request: GroupRequest,
) -> Answer {
    let action = match &request {
        GroupRequest::Describe | GroupRequest::DescribeConsumers | GroupRequest::Committed(_) => {
            Action::Describe
        }
        GroupRequest::Delete | GroupRequest::Forget(_) => Action::Delete,
        _ => Action::Read,
    };
    authorize(session, action, Resource::Group(group)).map_err(|_| GroupError::NotAuthorized)?;
    match place_of(shard, group).ok_or(GroupError::NotCoordinator)?.1 {
        Route::Local(_) => ask_here(shard, group, request).await,
        Route::Remote { shard: to, .. } => {
            shard.metrics.forwarded_requests.add(1);
            match shard.lanes.ask(to, Ask::Group { group: group.to_owned(), request }).await {
                Some(Told::Group(answer)) => *answer,
                Some(_) => panic!("shard {to} answered for a group with something else"),
                None => Err(GroupError::NotCoordinator),
            }
        }
    }
}

/// [`ask_group`] where the group is this shard's.
pub(super) async fn ask_here(shard: &Rc<Shard>, group: &str, request: GroupRequest) -> Answer {
    let Some((number, Route::Local(log))) = place_of(shard, group) else {
        return Err(GroupError::NotCoordinator);
    };
    let partition = shard.groups.partition(number, &log, &shard.services);
    let stopping = async {
        shard.requests.closing().await;
        Err(GroupError::NotCoordinator)
    };
    future::or(partition.ask(group, request), stopping).await
}

/// The groups of this shard, or of all shards.
pub(crate) async fn list_groups(
    shard: &Rc<Shard>,
    session: &Session,
    everywhere: bool,
) -> Result<Vec<ListedGroup>, GroupError> {
    authorize(session, Action::Describe, Resource::Cluster).map_err(|_| GroupError::NotAuthorized)?;
    let mut groups = list_here(shard).await?;
    let others: Vec<ShardId> = if everywhere { shard.lanes.others().collect() } else { Vec::new() };
    for other in others {
        match shard.lanes.ask(other, Ask::ListGroups).await {
            Some(Told::Groups(listed)) => groups.extend(listed?),
            Some(_) => panic!("shard {other} answered a list of groups with something else"),
            None => return Err(GroupError::NotCoordinator),
        }
    }
    Ok(groups)
}

/// [`list_groups`] of this shard.
pub(super) async fn list_here(shard: &Rc<Shard>) -> Result<Vec<ListedGroup>, GroupError> {
    let mut groups = Vec::new();
    for partition in open_groups(shard) {
        groups.extend(partition.list().await?);
    }
    Ok(groups)
}

/// Has this shard's groups read back, if that has not begun yet.
pub(crate) fn open_groups(shard: &Rc<Shard>) -> Vec<Rc<GroupPartition>> {
    let catalog = shard.catalog();
    let Some(topic) = catalog.topic(OFFSETS_TOPIC) else { return Vec::new() };
    let routes = shard.routes();
    let own = (0..).zip(&topic.partitions).filter(|(_, partition)| partition.shard == shard.id);
    own.filter_map(|(number, _)| {
        let name = PartitionName { topic_id: topic.id, partition: number };
        match routes.find(&name) {
            Ok(Route::Local(log)) => Some(shard.groups.partition(number, log, &shard.services)),
            _ => None,
        }
    })
    .collect()
}
