//! Topics, offsets, and what a node says of itself.

use uuid::Uuid;
use wire::codes::ErrorCode;
use wire::native::{
    AlterTopic, AlterTopicReply, CommitOffsets, CommitOffsetsReply, CommittedOffsets, CommittedOffsetsReply,
    CreateTopic, CreateTopicReply, DeleteGroup, DeleteGroupReply, DeleteTopic, DeleteTopicReply,
    DescribeGroup, DescribeGroupReply, DescribeNode, DescribeNodeReply, DescribeTopic, DescribeTopicReply,
    GroupOffset, ListGroups, ListGroupsReply, ListOffsets, ListOffsetsReply, ListedGroup, Message, Metadata,
    MetadataReply, OffsetQuery, TopicSelection,
};

use crate::client::Client;
use crate::error::ClientError;

/// The control side of a client.
#[derive(Clone, Debug)]
pub struct Admin {
    client: Client,
}

/// An offset found by [`Admin::list_offset`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoundOffset {
    /// The offset; -1 when no record is that late.
    pub offset: i64,
    /// The time of the record there, in milliseconds since 1970; -1 where there is none.
    pub timestamp_ms: i64,
}

fn check(code: ErrorCode, message: &str) -> Result<(), ClientError> {
    if code == ErrorCode::None {
        return Ok(());
    }
    Err(ClientError::Refused { code, message: message.to_owned() })
}

impl Admin {
    pub(crate) fn new(client: Client) -> Self {
        Self { client }
    }

    async fn ask<R: Message>(&self, message: &impl Message, repeat: bool) -> Result<R, ClientError> {
        Ok(self.client.shared().ask(message, repeat).await?.0)
    }

    /// Makes a topic; its id. Not repeated when the connection is lost: the topic may then exist.
    pub async fn create_topic(
        &self,
        name: &str,
        partitions: u32,
        settings: &[(String, String)],
        validate_only: bool,
    ) -> Result<Uuid, ClientError> {
        let message =
            CreateTopic { name: name.to_owned(), partitions, settings: settings.to_vec(), validate_only };
        let reply: CreateTopicReply = self.ask(&message, false).await?;
        check(reply.code, &reply.message)?;
        Ok(reply.topic_id)
    }

    /// Deletes a topic and all it holds.
    pub async fn delete_topic(&self, name: &str) -> Result<(), ClientError> {
        let reply: DeleteTopicReply = self.ask(&DeleteTopic { name: name.to_owned() }, false).await?;
        check(reply.code, &reply.message)
    }

    /// Adds partitions and changes settings; a setting without a value goes back to its default.
    pub async fn alter_topic(
        &self,
        name: &str,
        partitions: Option<u32>,
        settings: &[(String, Option<String>)],
    ) -> Result<(), ClientError> {
        let message = AlterTopic { name: name.to_owned(), partitions, settings: settings.to_vec() };
        let reply: AlterTopicReply = self.ask(&message, false).await?;
        check(reply.code, &reply.message)
    }

    /// A topic's settings and the state of its partitions.
    pub async fn describe_topic(&self, name: &str) -> Result<DescribeTopicReply, ClientError> {
        let reply: DescribeTopicReply = self.ask(&DescribeTopic { name: name.to_owned() }, true).await?;
        if reply.code == ErrorCode::UnknownTopic {
            return Err(ClientError::NoSuchTopic { name: name.to_owned() });
        }
        check(reply.code, &reply.message)?;
        Ok(reply)
    }

    /// All topics, and where their partitions are.
    pub async fn metadata(&self) -> Result<MetadataReply, ClientError> {
        self.ask(&Metadata { topics: TopicSelection::All, follow: false }, true).await
    }

    /// An offset of a partition: the first, the end, or that of the first record at or after a time. In a compressed batch,
    /// which no broker opens, that is the batch's first record; a consumer that starts at a time begins exactly.
    pub async fn list_offset(
        &self,
        topic_id: Uuid,
        partition: u32,
        at: OffsetQuery,
    ) -> Result<FoundOffset, ClientError> {
        let reply: ListOffsetsReply = self.ask(&ListOffsets { topic_id, partition, at }, true).await?;
        check(reply.code, "")?;
        Ok(FoundOffset { offset: reply.offset, timestamp_ms: reply.timestamp_ms })
    }

    /// All consumer groups, by name.
    pub async fn list_groups(&self) -> Result<Vec<ListedGroup>, ClientError> {
        let reply: ListGroupsReply = self.ask(&ListGroups {}, true).await?;
        check(reply.code, &reply.message)?;
        Ok(reply.groups)
    }

    /// A group's members, and what each reads.
    pub async fn describe_group(&self, group: &str) -> Result<DescribeGroupReply, ClientError> {
        let reply: DescribeGroupReply = self.ask(&DescribeGroup { group: group.to_owned() }, true).await?;
        check(reply.code, &reply.message)?;
        Ok(reply)
    }

    /// Everything that a group has committed.
    pub async fn committed_offsets(&self, group: &str) -> Result<Vec<GroupOffset>, ClientError> {
        let message = CommittedOffsets { group: group.to_owned() };
        let reply: CommittedOffsetsReply = self.ask(&message, true).await?;
        check(reply.code, &reply.message)?;
        Ok(reply.offsets)
    }

    /// Commits for a group that has no members.
    pub async fn commit_offsets(&self, group: &str, offsets: Vec<GroupOffset>) -> Result<(), ClientError> {
        let message = CommitOffsets { group: group.to_owned(), member_id: String::new(), epoch: -1, offsets };
        let reply: CommitOffsetsReply = self.ask(&message, true).await?;
        check(reply.code, &reply.message)
    }

    /// Removes a group without members, and what it has committed.
    pub async fn delete_group(&self, group: &str) -> Result<(), ClientError> {
        let reply: DeleteGroupReply = self.ask(&DeleteGroup { group: group.to_owned() }, false).await?;
        check(reply.code, &reply.message)
    }

    /// The node's own description: one JSON object.
    pub async fn describe_node(&self) -> Result<String, ClientError> {
        let reply: DescribeNodeReply = self.ask(&DescribeNode {}, true).await?;
        check(reply.code, &reply.message)?;
        Ok(reply.json)
    }
}
