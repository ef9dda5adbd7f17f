//! Topics made, removed and changed. A change is answered when every shard has it.

use flatbuffers::{FlatBufferBuilder, ForwardsUOffset, Vector, WIPOffset};
use uuid::Uuid;

use super::body::{
    BodyBuilder, BodyError, Message, checked_len, from_text, from_uuid, root, to_text, to_uuid_or_nil,
};
use crate::codes::ErrorCode;
use crate::frame::MessageKind;
use crate::generated as schema;
use crate::limits;

/// Makes a topic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CreateTopic {
    pub name: String,
    /// 0: the broker's default.
    pub partitions: u32,
    /// Kafka's names; ours begin with `corelog.`. At most [`limits::SETTINGS_PER_REQUEST_MAX`].
    pub settings: Vec<(String, String)>,
    /// Check everything, make nothing.
    pub validate_only: bool,
}

impl Message for CreateTopic {
    const KIND: MessageKind = MessageKind::CreateTopic;

    fn encode<'b>(&self, builder: &'b mut BodyBuilder) -> &'b [u8] {
        builder.build(|flatbuffer| {
            let settings = self.settings.iter().map(|(name, value)| (name.as_str(), Some(value.as_str())));
            let settings = write_settings(flatbuffer, settings);
            let name = Some(flatbuffer.create_string(&self.name));
            let arguments = schema::CreateTopicArgs {
                name,
                partitions: self.partitions,
                settings: Some(settings),
                validate_only: self.validate_only,
            };
            schema::CreateTopic::create(flatbuffer, &arguments)
        })
    }

    fn decode(body: &[u8]) -> Result<Self, BodyError> {
        let table = root::<schema::CreateTopic<'_>>(Self::KIND, body)?;
        let settings = read_settings(table.settings())?;
        Ok(Self {
            name: table.name().to_owned(),
            partitions: table.partitions(),
            settings: settings.into_iter().map(|(name, value)| (name, value.unwrap_or_default())).collect(),
            validate_only: table.validate_only(),
        })
    }
}

/// The answer to [`CreateTopic`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CreateTopicReply {
    pub code: ErrorCode,
    pub message: String,
    /// Nil after an error, and with `validate_only`.
    pub topic_id: Uuid,
}

impl Message for CreateTopicReply {
    const KIND: MessageKind = MessageKind::CreateTopicReply;

    fn encode<'b>(&self, builder: &'b mut BodyBuilder) -> &'b [u8] {
        let topic_id = from_uuid(&self.topic_id);
        builder.build(|flatbuffer| {
            let message = from_text(flatbuffer, &self.message);
            let code = self.code.number();
            let arguments = schema::CreateTopicReplyArgs { code, message, topic_id: Some(&topic_id) };
            schema::CreateTopicReply::create(flatbuffer, &arguments)
        })
    }

    fn decode(body: &[u8]) -> Result<Self, BodyError> {
        let table = root::<schema::CreateTopicReply<'_>>(Self::KIND, body)?;
        Ok(Self {
            code: ErrorCode::from_number(table.code()),
            message: to_text(table.message()),
            topic_id: to_uuid_or_nil(table.topic_id()),
        })
    }
}

/// Removes a topic and its data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeleteTopic {
    pub name: String,
}

impl Message for DeleteTopic {
    const KIND: MessageKind = MessageKind::DeleteTopic;

    fn encode<'b>(&self, builder: &'b mut BodyBuilder) -> &'b [u8] {
        builder.build(|flatbuffer| {
            let name = Some(flatbuffer.create_string(&self.name));
            schema::DeleteTopic::create(flatbuffer, &schema::DeleteTopicArgs { name })
        })
    }

    fn decode(body: &[u8]) -> Result<Self, BodyError> {
        let table = root::<schema::DeleteTopic<'_>>(Self::KIND, body)?;
        Ok(Self { name: table.name().to_owned() })
    }
}

/// The answer to [`DeleteTopic`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeleteTopicReply {
    pub code: ErrorCode,
    pub message: String,
}

impl Message for DeleteTopicReply {
    const KIND: MessageKind = MessageKind::DeleteTopicReply;

    fn encode<'b>(&self, builder: &'b mut BodyBuilder) -> &'b [u8] {
        builder.build(|flatbuffer| {
            let message = from_text(flatbuffer, &self.message);
            let arguments = schema::DeleteTopicReplyArgs { code: self.code.number(), message };
            schema::DeleteTopicReply::create(flatbuffer, &arguments)
        })
    }

    fn decode(body: &[u8]) -> Result<Self, BodyError> {
        let table = root::<schema::DeleteTopicReply<'_>>(Self::KIND, body)?;
        Ok(Self { code: ErrorCode::from_number(table.code()), message: to_text(table.message()) })
    }
}

/// Adds partitions, or changes settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlterTopic {
    pub name: String,
    /// The number wanted, never fewer than there are; `None` leaves it alone.
    pub partitions: Option<u32>,
    /// `None` puts a setting back to its default. At most [`limits::SETTINGS_PER_REQUEST_MAX`].
    pub settings: Vec<(String, Option<String>)>,
}

impl Message for AlterTopic {
    const KIND: MessageKind = MessageKind::AlterTopic;

    fn encode<'b>(&self, builder: &'b mut BodyBuilder) -> &'b [u8] {
        builder.build(|flatbuffer| {
            let settings = self.settings.iter().map(|(name, value)| (name.as_str(), value.as_deref()));
            let settings = write_settings(flatbuffer, settings);
            let name = Some(flatbuffer.create_string(&self.name));
            let partitions = self.partitions.unwrap_or(0);
            let arguments = schema::AlterTopicArgs { name, partitions, settings: Some(settings) };
            schema::AlterTopic::create(flatbuffer, &arguments)
        })
    }

    fn decode(body: &[u8]) -> Result<Self, BodyError> {
        let table = root::<schema::AlterTopic<'_>>(Self::KIND, body)?;
        Ok(Self {
            name: table.name().to_owned(),
            partitions: (table.partitions() != 0).then_some(table.partitions()),
            settings: read_settings(table.settings())?,
        })
    }
}

/// The answer to [`AlterTopic`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlterTopicReply {
    pub code: ErrorCode,
    pub message: String,
}

impl Message for AlterTopicReply {
    const KIND: MessageKind = MessageKind::AlterTopicReply;

    fn encode<'b>(&self, builder: &'b mut BodyBuilder) -> &'b [u8] {
        builder.build(|flatbuffer| {
            let message = from_text(flatbuffer, &self.message);
            let arguments = schema::AlterTopicReplyArgs { code: self.code.number(), message };
            schema::AlterTopicReply::create(flatbuffer, &arguments)
        })
    }

    fn decode(body: &[u8]) -> Result<Self, BodyError> {
        let table = root::<schema::AlterTopicReply<'_>>(Self::KIND, body)?;
        Ok(Self { code: ErrorCode::from_number(table.code()), message: to_text(table.message()) })
    }
}

type SettingChanges<'a> = Vector<'a, ForwardsUOffset<schema::SettingChange<'a>>>;

fn write_settings<'s>(
    flatbuffer: &mut FlatBufferBuilder<'static>,
    settings: impl Iterator<Item = (&'s str, Option<&'s str>)>,
) -> WIPOffset<SettingChanges<'static>> {
    let offsets: Vec<_> = settings
        .map(|(name, value)| {
            let name = Some(flatbuffer.create_string(name));
            let value = value.map(|value| flatbuffer.create_string(value));
            schema::SettingChange::create(flatbuffer, &schema::SettingChangeArgs { name, value })
        })
        .collect();
    flatbuffer.create_vector(&offsets)
}

fn read_settings(settings: Option<SettingChanges<'_>>) -> Result<Vec<(String, Option<String>)>, BodyError> {
    let Some(settings) = settings else { return Ok(Vec::new()) };
    checked_len("settings", settings.len(), limits::SETTINGS_PER_REQUEST_MAX)?;
    let read =
        |change: schema::SettingChange<'_>| (change.name().to_owned(), change.value().map(str::to_owned));
    Ok(settings.iter().map(read).collect())
}
