//! OffsetCommit, OffsetFetch, OffsetDelete: how far a group has come.

use runtime::clock;
use wire::kafka::{
    CommittedPartition, CommittedTopic, FetchedOffset, FetchedOffsetGroup, FetchedOffsetTopic,
    OffsetCommitPartition, OffsetCommitRequest, OffsetCommitResponse, OffsetCommitTopic, OffsetDeleteRequest,
    OffsetDeleteResponse, OffsetDeletedTopic, OffsetFetchGroup, OffsetFetchRequest, OffsetFetchResponse,
    OffsetFetchTopic, Text,
};

use super::errors::group_number;
use super::membership::owned;
use super::serve::Call;
use crate::groups::{
    Commit, Committed, CommittedOffset, GroupError, GroupReply, GroupRequest, MemberName, TopicPartition,
};
use crate::handlers;

/// From this version on offsets of many groups are asked for at once.
const MANY_GROUPS_FROM: i16 = 8;
/// From this version on a member of a group that is not there is told so; before, that its generation is none (KIP-848).
const NO_SUCH_GROUP_FROM: i16 = 9;
/// From this version on an answer has room for an error of the group; before each partition has it.
const GROUP_ERROR_FROM: i16 = 2;

/// A group without a name is allowed here: consumers that are in no group have committed so since Kafka 0.9.
async fn ask(call: &Call<'_>, group: &Text, request: GroupRequest) -> Result<GroupReply, GroupError> {
    handlers::ask_group(call.shard(), call.session(), group.as_str(), request).await
}

fn is_known(call: &Call<'_>, at: &TopicPartition) -> bool {
    call.partition(&at.topic, at.partition).is_ok()
}

/// One outcome for each partition, of those that were asked for and of those that are not there.
struct Outcomes {
    /// In the order of the request: whether the coordinator was asked.
    asked: Vec<bool>,
    told: std::vec::IntoIter<Result<(), GroupError>>,
    of_all: Option<GroupError>,
}

impl Outcomes {
    fn new(asked: Vec<bool>, answer: Result<GroupReply, GroupError>) -> Self {
        let (told, of_all) = match answer {
            Ok(GroupReply::Kept(told)) => (told, None),
            Ok(other) => panic!("offsets are answered {other:?}"),
            Err(error) => (Vec::new(), Some(error)),
        };
        Self { asked, told: told.into_iter(), of_all }
    }

    fn into_numbers(mut self) -> impl Iterator<Item = i16> {
        std::mem::take(&mut self.asked).into_iter().map(move |asked| {
            let outcome = match (asked, &self.of_all) {
                (false, _) => Err(GroupError::UnknownPartition),
                (true, Some(error)) => Err(error.clone()),
                (true, None) => self.told.next().expect("one outcome for each offset"),
            };
            outcome.err().as_ref().map_or(0, group_number)
        })
    }
}

pub(super) async fn commit(call: &Call<'_>, request: OffsetCommitRequest) -> OffsetCommitResponse {
    let now_ms = clock::wall_ms();
    let expires_ms = match request.retention_time_ms {
        ..0 => None,
        retention_ms => Some(now_ms.saturating_add(retention_ms)),
    };
    let offset = |topic: &OffsetCommitTopic, partition: &OffsetCommitPartition| {
        let at = TopicPartition { topic: owned(&topic.name), partition: partition.partition_index };
        let metadata = partition.committed_metadata.as_ref().map(owned).unwrap_or_default();
        let offset = CommittedOffset {
            offset: partition.committed_offset,
            leader_epoch: partition.committed_leader_epoch,
            metadata,
            committed_ms: now_ms,
            expires_ms,
        };
        (at, offset)
    };
    let all: Vec<_> = request
        .topics
        .iter()
        .flat_map(|topic| topic.partitions.iter().map(move |partition| offset(topic, partition)))
        .collect();
    let asked: Vec<bool> = all.iter().map(|(at, _)| is_known(call, at)).collect();
    let offsets = all.into_iter().zip(&asked).filter(|(_, asked)| **asked).map(|(offset, _)| offset);
    let member = MemberName {
        member_id: owned(&request.member_id),
        instance_id: request.group_instance_id.as_ref().map(owned),
        generation: request.generation_id_or_member_epoch,
    };
    let commit = GroupRequest::Commit(Commit { member, offsets: offsets.collect() });
    let answer = match ask(call, &request.group_id, commit).await {
        Err(GroupError::GroupNotFound) if call.version < NO_SUCH_GROUP_FROM => {
            Err(GroupError::IllegalGeneration { found: -1 })
        }
        answer => answer,
    };
    let mut numbers = Outcomes::new(asked, answer).into_numbers();
    let topic = |topic: OffsetCommitTopic| CommittedTopic {
        partitions: topic
            .partitions
            .iter()
            .zip(&mut numbers)
            .map(|(partition, error_code)| CommittedPartition {
                partition_index: partition.partition_index,
                error_code,
            })
            .collect(),
        name: topic.name,
    };
    OffsetCommitResponse { topics: request.topics.into_iter().map(topic).collect(), ..Default::default() }
}

pub(super) async fn fetch(call: &Call<'_>, request: OffsetFetchRequest) -> OffsetFetchResponse {
    if call.version >= MANY_GROUPS_FROM {
        let mut groups = Vec::with_capacity(request.groups.len());
        for group in request.groups {
            groups.push(fetch_group(call, group).await);
        }
        return OffsetFetchResponse { groups, ..Default::default() };
    }
    let group = OffsetFetchGroup { group_id: request.group_id, topics: request.topics, ..Default::default() };
    let asked = group.topics.clone();
    let mut found = fetch_group(call, group).await;
    if call.version < GROUP_ERROR_FROM && found.error_code != 0 {
        let refused = |partition_index: &i32| FetchedOffset {
            partition_index: *partition_index,
            error_code: found.error_code,
            ..Default::default()
        };
        let topic = |topic: OffsetFetchTopic| FetchedOffsetTopic {
            partitions: topic.partition_indexes.iter().map(refused).collect(),
            name: topic.name,
        };
        found.topics = asked.into_iter().flatten().map(topic).collect();
    }
    OffsetFetchResponse { topics: found.topics, error_code: found.error_code, ..Default::default() }
}

async fn fetch_group(call: &Call<'_>, group: OffsetFetchGroup) -> FetchedOffsetGroup {
    let partition =
        |name: &Text, partition: &i32| TopicPartition { topic: owned(name), partition: *partition };
    let asked = group.topics.as_ref().map(|topics| {
        let partitions = |topic: &OffsetFetchTopic| -> Vec<TopicPartition> {
            topic.partition_indexes.iter().map(|index| partition(&topic.name, index)).collect()
        };
        topics.iter().flat_map(partitions).collect()
    });
    let group_id = group.group_id;
    let member = group.member_id.as_ref().filter(|_| group.member_epoch >= 0);
    let member = member.map(|member_id| (owned(member_id), group.member_epoch));
    let asked = GroupRequest::Committed(Committed { partitions: asked, member });
    match ask(call, &group_id, asked).await {
        Ok(GroupReply::Offsets(offsets)) => {
            FetchedOffsetGroup { group_id, topics: by_topic(offsets), ..Default::default() }
        }
        Ok(other) => panic!("a question for offsets is answered {other:?}"),
        Err(error) => FetchedOffsetGroup { group_id, error_code: group_number(&error), ..Default::default() },
    }
}

fn by_topic(offsets: Vec<(TopicPartition, Option<CommittedOffset>)>) -> Vec<FetchedOffsetTopic> {
    let mut topics: Vec<FetchedOffsetTopic> = Vec::new();
    for (at, offset) in offsets {
        if topics.last().is_none_or(|last| last.name.as_str() != at.topic) {
            topics.push(FetchedOffsetTopic { name: at.topic.into(), partitions: Vec::new() });
        }
        let topic = topics.last_mut().expect("one was just put there");
        topic.partitions.push(match offset {
            Some(offset) => FetchedOffset {
                partition_index: at.partition,
                committed_offset: offset.offset,
                committed_leader_epoch: offset.leader_epoch,
                metadata: Some(offset.metadata.into()),
                error_code: 0,
            },
            None => FetchedOffset {
                partition_index: at.partition,
                metadata: Some("".into()),
                ..Default::default()
            },
        });
    }
    topics
}

pub(super) async fn delete(call: &Call<'_>, request: OffsetDeleteRequest) -> OffsetDeleteResponse {
    let partition = |topic: &str, index: i32| TopicPartition { topic: topic.to_owned(), partition: index };
    let all: Vec<TopicPartition> = request
        .topics
        .iter()
        .flat_map(|topic| {
            topic.partitions.iter().map(|asked| partition(topic.name.as_str(), asked.partition_index))
        })
        .collect();
    let asked: Vec<bool> = all.iter().map(|at| is_known(call, at)).collect();
    let known = all.into_iter().zip(&asked).filter(|(_, asked)| **asked).map(|(at, _)| at);
    let answer = super::membership::ask(call, &request.group_id, GroupRequest::Forget(known.collect())).await;
    if let Err(error) = &answer {
        return OffsetDeleteResponse { error_code: group_number(error), ..Default::default() };
    }
    let mut numbers = Outcomes::new(asked, answer).into_numbers();
    let topics = request.topics.into_iter().map(|topic| OffsetDeletedTopic {
        partitions: topic
            .partitions
            .iter()
            .zip(&mut numbers)
            .map(|(asked, error_code)| CommittedPartition {
                partition_index: asked.partition_index,
                error_code,
            })
            .collect(),
        name: topic.name,
    });
    OffsetDeleteResponse { topics: topics.collect(), ..Default::default() }
}
