//! A topic and a node described in full.

use flatbuffers::{FlatBufferBuilder, WIPOffset};
use uuid::Uuid;

use super::body::{BodyBuilder, BodyError, Message, from_text, from_uuid, root, to_text, to_uuid_or_nil};
use crate::codes::ErrorCode;
use crate::frame::MessageKind;
use crate::generated as schema;

/// Asks for a topic's settings and the state of its partitions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DescribeTopic {
    pub name: String,
}

impl Message for DescribeTopic {
    const KIND: MessageKind = MessageKind::DescribeTopic;

    fn encode<'b>(&self, builder: &'b mut BodyBuilder) -> &'b [u8] {
        builder.build(|flatbuffer| {
            let name = Some(flatbuffer.create_string(&self.name));
            schema::DescribeTopic::create(flatbuffer, &schema::DescribeTopicArgs { name })
        })
    }

    fn decode(body: &[u8]) -> Result<Self, BodyError> {
        let table = root::<schema::DescribeTopic<'_>>(Self::KIND, body)?;
        Ok(Self { name: table.name().to_owned() })
    }
}

/// One setting as it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Setting {
    pub name: String,
    pub value: String,
    /// Nobody gave it.
    pub is_default: bool,
    /// False: taken and kept, but this version does nothing with it yet.
    pub acts: bool,
}

/// One partition as it stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PartitionState {
    pub partition: u32,
    pub shard: u16,
    pub leader_epoch: i32,
    pub log_start_offset: i64,
    pub high_watermark: i64,
    pub log_end_offset: i64,
    pub segment_count: u32,
    /// Of its segments on the disk.
    pub bytes: u64,
}

/// The answer to [`DescribeTopic`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DescribeTopicReply {
    pub code: ErrorCode,
    pub message: String,
    pub id: Uuid,
    pub settings: Vec<Setting>,
    pub partitions: Vec<PartitionState>,
}

impl Message for DescribeTopicReply {
    const KIND: MessageKind = MessageKind::DescribeTopicReply;

    fn encode<'b>(&self, builder: &'b mut BodyBuilder) -> &'b [u8] {
        let id = from_uuid(&self.id);
        builder.build(|flatbuffer| {
            let settings: Vec<_> =
                self.settings.iter().map(|setting| write_setting(flatbuffer, setting)).collect();
            let settings = Some(flatbuffer.create_vector(&settings));
            let partitions: Vec<_> =
                self.partitions.iter().map(|partition| write_partition(flatbuffer, partition)).collect();
            let partitions = Some(flatbuffer.create_vector(&partitions));
            let message = from_text(flatbuffer, &self.message);
            let code = self.code.number();
            let arguments =
                schema::DescribeTopicReplyArgs { code, message, id: Some(&id), settings, partitions };
            schema::DescribeTopicReply::create(flatbuffer, &arguments)
        })
    }

    fn decode(body: &[u8]) -> Result<Self, BodyError> {
        let table = root::<schema::DescribeTopicReply<'_>>(Self::KIND, body)?;
        let read_setting = |setting: schema::Setting<'_>| Setting {
            name: setting.name().to_owned(),
            value: setting.value().to_owned(),
            is_default: setting.is_default(),
            acts: setting.acts(),
        };
        Ok(Self {
            code: ErrorCode::from_number(table.code()),
            message: to_text(table.message()),
            id: to_uuid_or_nil(table.id()),
            settings: table.settings().iter().flatten().map(read_setting).collect(),
            partitions: table.partitions().iter().flatten().map(read_partition).collect(),
        })
    }
}

fn write_setting(
    flatbuffer: &mut FlatBufferBuilder<'static>,
    setting: &Setting,
) -> WIPOffset<schema::Setting<'static>> {
    let name = Some(flatbuffer.create_string(&setting.name));
    let value = Some(flatbuffer.create_string(&setting.value));
    let Setting { is_default, acts, .. } = *setting;
    schema::Setting::create(flatbuffer, &schema::SettingArgs { name, value, is_default, acts })
}

fn write_partition(
    flatbuffer: &mut FlatBufferBuilder<'static>,
    state: &PartitionState,
) -> WIPOffset<schema::PartitionState<'static>> {
    let arguments = schema::PartitionStateArgs {
        partition: state.partition,
        shard: state.shard,
        leader_epoch: state.leader_epoch,
        log_start_offset: state.log_start_offset,
        high_watermark: state.high_watermark,
        log_end_offset: state.log_end_offset,
        segment_count: state.segment_count,
        bytes: state.bytes,
    };
    schema::PartitionState::create(flatbuffer, &arguments)
}

fn read_partition(state: schema::PartitionState<'_>) -> PartitionState {
    PartitionState {
        partition: state.partition(),
        shard: state.shard(),
        leader_epoch: state.leader_epoch(),
        log_start_offset: state.log_start_offset(),
        high_watermark: state.high_watermark(),
        log_end_offset: state.log_end_offset(),
        segment_count: state.segment_count(),
        bytes: state.bytes(),
    }
}

/// Asks for a node's counters and histograms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DescribeNode {}

impl Message for DescribeNode {
    const KIND: MessageKind = MessageKind::DescribeNode;

    fn encode<'b>(&self, builder: &'b mut BodyBuilder) -> &'b [u8] {
        builder.build(|flatbuffer| {
            schema::DescribeNode::create(flatbuffer, &schema::DescribeNodeArgs::default())
        })
    }

    fn decode(body: &[u8]) -> Result<Self, BodyError> {
        root::<schema::DescribeNode<'_>>(Self::KIND, body)?;
        Ok(Self {})
    }
}

/// The answer to [`DescribeNode`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DescribeNodeReply {
    pub code: ErrorCode,
    pub message: String,
    /// One JSON object. Its fields are for people and dashboards, and may change between versions.
    pub json: String,
}

impl Message for DescribeNodeReply {
    const KIND: MessageKind = MessageKind::DescribeNodeReply;

    fn encode<'b>(&self, builder: &'b mut BodyBuilder) -> &'b [u8] {
        builder.build(|flatbuffer| {
            let message = from_text(flatbuffer, &self.message);
            let json = from_text(flatbuffer, &self.json);
            let code = self.code.number();
            schema::DescribeNodeReply::create(
                flatbuffer,
                &schema::DescribeNodeReplyArgs { code, message, json },
            )
        })
    }

    fn decode(body: &[u8]) -> Result<Self, BodyError> {
        let table = root::<schema::DescribeNodeReply<'_>>(Self::KIND, body)?;
        Ok(Self {
            code: ErrorCode::from_number(table.code()),
            message: to_text(table.message()),
            json: to_text(table.json()),
        })
    }
}
