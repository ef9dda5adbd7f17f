//! Reading: one fetch, a subscription with credit, offsets by position and time.
//!
//! Hot path: [`Push`] and [`Credit`].

use uuid::Uuid;

use super::body::{BodyBuilder, BodyError, Message, from_uuid, root, to_uuid};
use crate::codes::ErrorCode;
use crate::frame::MessageKind;
use crate::generated as schema;

/// Reads whole batches once, from the batch that holds `offset`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fetch {
    pub topic_id: Uuid,
    pub partition: u32,
    /// The first record wanted. The first batch may begin before it.
    pub offset: i64,
    /// The answer holds no more, unless one batch alone is larger.
    pub bytes_max: u32,
    /// The broker waits until so much is readable...
    pub bytes_min: u32,
    /// ...or this long.
    pub wait_ms_max: u32,
}

impl Message for Fetch {
    const KIND: MessageKind = MessageKind::Fetch;

    fn encode<'b>(&self, builder: &'b mut BodyBuilder) -> &'b [u8] {
        let topic_id = from_uuid(&self.topic_id);
        builder.build(|flatbuffer| {
            let arguments = schema::FetchArgs {
                topic_id: Some(&topic_id),
                partition: self.partition,
                offset: self.offset,
                bytes_max: self.bytes_max,
                bytes_min: self.bytes_min,
                wait_ms_max: self.wait_ms_max,
            };
            schema::Fetch::create(flatbuffer, &arguments)
        })
    }

    fn decode(body: &[u8]) -> Result<Self, BodyError> {
        let table = root::<schema::Fetch<'_>>(Self::KIND, body)?;
        Ok(Self {
            topic_id: to_uuid(table.topic_id()),
            partition: table.partition(),
            offset: table.offset(),
            bytes_max: table.bytes_max(),
            bytes_min: table.bytes_min(),
            wait_ms_max: table.wait_ms_max(),
        })
    }
}

/// The answer to [`Fetch`]; the batches are the payload. Offsets are -1 where the error leaves them unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchReply {
    pub code: ErrorCode,
    /// What consumers may read ends here.
    pub high_watermark: i64,
    /// The oldest offset kept.
    pub log_start_offset: i64,
    /// The next offset to be given.
    pub log_end_offset: i64,
}

impl Message for FetchReply {
    const KIND: MessageKind = MessageKind::FetchReply;

    fn encode<'b>(&self, builder: &'b mut BodyBuilder) -> &'b [u8] {
        builder.build(|flatbuffer| {
            let arguments = schema::FetchReplyArgs {
                code: self.code.number(),
                high_watermark: self.high_watermark,
                log_start_offset: self.log_start_offset,
                log_end_offset: self.log_end_offset,
            };
            schema::FetchReply::create(flatbuffer, &arguments)
        })
    }

    fn decode(body: &[u8]) -> Result<Self, BodyError> {
        let table = root::<schema::FetchReply<'_>>(Self::KIND, body)?;
        Ok(Self {
            code: ErrorCode::from_number(table.code()),
            high_watermark: table.high_watermark(),
            log_start_offset: table.log_start_offset(),
            log_end_offset: table.log_end_offset(),
        })
    }
}

/// Where a subscription starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartPosition {
    /// The oldest record kept.
    Earliest,
    /// What is appended from now on.
    Latest,
    /// This offset.
    Offset(i64),
    /// The first record at this time (ms since 1970) or later.
    Time(i64),
}

/// Opens a subscription. Its id is this frame's correlation id, which stays taken until the subscription ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscribe {
    pub topic_id: Uuid,
    pub partition: u32,
    pub start: StartPosition,
    /// Bytes of payload the broker may push before it needs [`Credit`].
    pub credit_bytes: u32,
}

impl Message for Subscribe {
    const KIND: MessageKind = MessageKind::Subscribe;

    fn encode<'b>(&self, builder: &'b mut BodyBuilder) -> &'b [u8] {
        let topic_id = from_uuid(&self.topic_id);
        let (start, start_value) = match self.start {
            StartPosition::Earliest => (schema::StartKind::Earliest, 0),
            StartPosition::Latest => (schema::StartKind::Latest, 0),
            StartPosition::Offset(offset) => (schema::StartKind::Offset, offset),
            StartPosition::Time(time_ms) => (schema::StartKind::Time, time_ms),
        };
        builder.build(|flatbuffer| {
            let arguments = schema::SubscribeArgs {
                topic_id: Some(&topic_id),
                partition: self.partition,
                start,
                start_value,
                credit_bytes: self.credit_bytes,
            };
            schema::Subscribe::create(flatbuffer, &arguments)
        })
    }

    fn decode(body: &[u8]) -> Result<Self, BodyError> {
        let table = root::<schema::Subscribe<'_>>(Self::KIND, body)?;
        let start = match table.start() {
            schema::StartKind::Earliest => StartPosition::Earliest,
            schema::StartKind::Latest => StartPosition::Latest,
            schema::StartKind::Offset => StartPosition::Offset(table.start_value()),
            schema::StartKind::Time => StartPosition::Time(table.start_value()),
            unknown => return Err(BodyError::UnknownValue { field: "start", found: unknown.0.into() }),
        };
        Ok(Self {
            topic_id: to_uuid(table.topic_id()),
            partition: table.partition(),
            start,
            credit_bytes: table.credit_bytes(),
        })
    }
}

/// The answer to [`Subscribe`], sent before the first [`Push`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubscribeReply {
    pub code: ErrorCode,
    /// Where it starts; -1 after an error.
    pub start_offset: i64,
    pub high_watermark: i64,
}

impl Message for SubscribeReply {
    const KIND: MessageKind = MessageKind::SubscribeReply;

    fn encode<'b>(&self, builder: &'b mut BodyBuilder) -> &'b [u8] {
        builder.build(|flatbuffer| {
            let arguments = schema::SubscribeReplyArgs {
                code: self.code.number(),
                start_offset: self.start_offset,
                high_watermark: self.high_watermark,
            };
            schema::SubscribeReply::create(flatbuffer, &arguments)
        })
    }

    fn decode(body: &[u8]) -> Result<Self, BodyError> {
        let table = root::<schema::SubscribeReply<'_>>(Self::KIND, body)?;
        Ok(Self {
            code: ErrorCode::from_number(table.code()),
            start_offset: table.start_offset(),
            high_watermark: table.high_watermark(),
        })
    }
}

/// Whole batches of the subscription that the frame's correlation id names. With an `end_code` other than
/// [`ErrorCode::None`] it is the last, and carries no payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Push {
    pub high_watermark: i64,
    pub end_code: ErrorCode,
}

impl Message for Push {
    const KIND: MessageKind = MessageKind::Push;

    fn encode<'b>(&self, builder: &'b mut BodyBuilder) -> &'b [u8] {
        builder.build(|flatbuffer| {
            let arguments =
                schema::PushArgs { high_watermark: self.high_watermark, end_code: self.end_code.number() };
            schema::Push::create(flatbuffer, &arguments)
        })
    }

    fn decode(body: &[u8]) -> Result<Self, BodyError> {
        let table = root::<schema::Push<'_>>(Self::KIND, body)?;
        Ok(Self {
            high_watermark: table.high_watermark(),
            end_code: ErrorCode::from_number(table.end_code()),
        })
    }
}

/// Lets the broker push `bytes` more of payload. Not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credit {
    /// The Subscribe frame's correlation id.
    pub subscription: u64,
    pub bytes: u32,
}

impl Message for Credit {
    const KIND: MessageKind = MessageKind::Credit;

    fn encode<'b>(&self, builder: &'b mut BodyBuilder) -> &'b [u8] {
        builder.build(|flatbuffer| {
            let arguments = schema::CreditArgs { subscription: self.subscription, bytes: self.bytes };
            schema::Credit::create(flatbuffer, &arguments)
        })
    }

    fn decode(body: &[u8]) -> Result<Self, BodyError> {
        let table = root::<schema::Credit<'_>>(Self::KIND, body)?;
        Ok(Self { subscription: table.subscription(), bytes: table.bytes() })
    }
}

/// Ends a subscription. The broker answers with a last [`Push`]; those sent before it are still on their way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsubscribe {
    /// The Subscribe frame's correlation id.
    pub subscription: u64,
}

impl Message for Unsubscribe {
    const KIND: MessageKind = MessageKind::Unsubscribe;

    fn encode<'b>(&self, builder: &'b mut BodyBuilder) -> &'b [u8] {
        builder.build(|flatbuffer| {
            let arguments = schema::UnsubscribeArgs { subscription: self.subscription };
            schema::Unsubscribe::create(flatbuffer, &arguments)
        })
    }

    fn decode(body: &[u8]) -> Result<Self, BodyError> {
        let table = root::<schema::Unsubscribe<'_>>(Self::KIND, body)?;
        Ok(Self { subscription: table.subscription() })
    }
}

/// Which offset is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetQuery {
    /// The oldest kept.
    Earliest,
    /// The high watermark.
    Latest,
    /// The record with the latest timestamp.
    MaxTimestamp,
    /// The first record at this time (ms since 1970) or later.
    Time(i64),
}

/// Asks for an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListOffsets {
    pub topic_id: Uuid,
    pub partition: u32,
    pub at: OffsetQuery,
}

impl Message for ListOffsets {
    const KIND: MessageKind = MessageKind::ListOffsets;

    fn encode<'b>(&self, builder: &'b mut BodyBuilder) -> &'b [u8] {
        let topic_id = from_uuid(&self.topic_id);
        let (at, at_value) = match self.at {
            OffsetQuery::Earliest => (schema::OffsetQueryKind::Earliest, 0),
            OffsetQuery::Latest => (schema::OffsetQueryKind::Latest, 0),
            OffsetQuery::MaxTimestamp => (schema::OffsetQueryKind::MaxTimestamp, 0),
            OffsetQuery::Time(time_ms) => (schema::OffsetQueryKind::Time, time_ms),
        };
        builder.build(|flatbuffer| {
            let arguments = schema::ListOffsetsArgs {
                topic_id: Some(&topic_id),
                partition: self.partition,
                at,
                at_value,
            };
            schema::ListOffsets::create(flatbuffer, &arguments)
        })
    }

    fn decode(body: &[u8]) -> Result<Self, BodyError> {
        let table = root::<schema::ListOffsets<'_>>(Self::KIND, body)?;
        let at = match table.at() {
            schema::OffsetQueryKind::Earliest => OffsetQuery::Earliest,
            schema::OffsetQueryKind::Latest => OffsetQuery::Latest,
            schema::OffsetQueryKind::MaxTimestamp => OffsetQuery::MaxTimestamp,
            schema::OffsetQueryKind::Time => OffsetQuery::Time(table.at_value()),
            unknown => return Err(BodyError::UnknownValue { field: "at", found: unknown.0.into() }),
        };
        Ok(Self { topic_id: to_uuid(table.topic_id()), partition: table.partition(), at })
    }
}

/// The answer to [`ListOffsets`]. Offset and timestamp are -1 after an error, and where no record matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListOffsetsReply {
    pub code: ErrorCode,
    pub offset: i64,
    /// The record's; -1 for earliest and latest.
    pub timestamp_ms: i64,
}

impl Message for ListOffsetsReply {
    const KIND: MessageKind = MessageKind::ListOffsetsReply;

    fn encode<'b>(&self, builder: &'b mut BodyBuilder) -> &'b [u8] {
        builder.build(|flatbuffer| {
            let arguments = schema::ListOffsetsReplyArgs {
                code: self.code.number(),
                offset: self.offset,
                timestamp_ms: self.timestamp_ms,
            };
            schema::ListOffsetsReply::create(flatbuffer, &arguments)
        })
    }

    fn decode(body: &[u8]) -> Result<Self, BodyError> {
        let table = root::<schema::ListOffsetsReply<'_>>(Self::KIND, body)?;
        Ok(Self {
            code: ErrorCode::from_number(table.code()),
            offset: table.offset(),
            timestamp_ms: table.timestamp_ms(),
        })
    }
}
