//! Produce and its acknowledgements.
//!
//! Hot path: nothing here allocates but [`ProduceAcks::decode`] and [`InitProducer`].

use flatbuffers::{Vector, VectorIter};
use uuid::Uuid;

use super::body::{
    BodyBuilder, BodyError, Message, checked_len, from_text, from_uuid, root, to_text, to_uuid,
};
use crate::codes::ErrorCode;
use crate::frame::MessageKind;
use crate::generated as schema;
use crate::limits;

/// Appends the batch in the payload to a partition. Answered by an entry of a [`ProduceAcks`] with this frame's
/// correlation id, or not at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Produce {
    /// The topic's id, from Metadata.
    pub topic_id: Uuid,
    /// Partition of that topic.
    pub partition: u32,
    /// How long the client waits for the answer; 0 = as long as it takes. The broker does not act on it.
    pub deadline_ms: u32,
    /// False: no answer is sent, whatever happens (acks=0).
    pub acknowledge: bool,
}

impl Message for Produce {
    const KIND: MessageKind = MessageKind::Produce;

    fn encode<'b>(&self, builder: &'b mut BodyBuilder) -> &'b [u8] {
        let topic_id = from_uuid(&self.topic_id);
        builder.build(|flatbuffer| {
            let arguments = schema::ProduceArgs {
                topic_id: Some(&topic_id),
                partition: self.partition,
                deadline_ms: self.deadline_ms,
                acknowledge: self.acknowledge,
            };
            schema::Produce::create(flatbuffer, &arguments)
        })
    }

    fn decode(body: &[u8]) -> Result<Self, BodyError> {
        let table = root::<schema::Produce<'_>>(Self::KIND, body)?;
        Ok(Self {
            topic_id: to_uuid(table.topic_id()),
            partition: table.partition(),
            deadline_ms: table.deadline_ms(),
            acknowledge: table.acknowledge(),
        })
    }
}

/// The outcome of one Produce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProduceAck {
    /// The Produce frame's.
    pub correlation_id: u64,
    /// [`ErrorCode::None`]: the batch is durable (or written, where the broker is told so).
    pub code: ErrorCode,
    /// Offset of the batch's first record; -1 after an error.
    pub base_offset: i64,
    /// The broker's time, where the topic uses log append time; else -1.
    pub log_append_time_ms: i64,
}

impl ProduceAck {
    fn to_schema(self) -> schema::ProduceAck {
        schema::ProduceAck::new(
            self.correlation_id,
            self.base_offset,
            self.log_append_time_ms,
            self.code.number(),
        )
    }

    fn from_schema(ack: &schema::ProduceAck) -> Self {
        Self {
            correlation_id: ack.correlation_id(),
            code: ErrorCode::from_number(ack.code()),
            base_offset: ack.base_offset(),
            log_append_time_ms: ack.log_append_time_ms(),
        }
    }
}

/// The outcomes of many Produce frames, those of one partition in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProduceAcks {
    /// At most [`limits::ACKS_PER_FRAME_MAX`].
    pub acks: Vec<ProduceAck>,
}

impl ProduceAcks {
    /// Encodes acknowledgements from a slice that its owner reuses.
    pub fn write<'b>(builder: &'b mut BodyBuilder, acks: &[ProduceAck]) -> &'b [u8] {
        let count = acks.len();
        assert!(count <= limits::ACKS_PER_FRAME_MAX, "{count} acknowledgements in one frame");
        builder.build(|flatbuffer| {
            let acks = flatbuffer.create_vector_from_iter(acks.iter().map(|ack| ack.to_schema()));
            schema::ProduceAcks::create(flatbuffer, &schema::ProduceAcksArgs { acks: Some(acks) })
        })
    }

    /// Verifies a body and reads its acknowledgements one by one, without allocating.
    pub fn read(body: &[u8]) -> Result<ProduceAcksIter<'_>, BodyError> {
        let acks = verified_acks(body)?;
        Ok(ProduceAcksIter { acks: acks.iter() })
    }
}

fn verified_acks(body: &[u8]) -> Result<Vector<'_, schema::ProduceAck>, BodyError> {
    let acks = root::<schema::ProduceAcks<'_>>(ProduceAcks::KIND, body)?.acks();
    checked_len("acks", acks.len(), limits::ACKS_PER_FRAME_MAX)?;
    Ok(acks)
}

impl Message for ProduceAcks {
    const KIND: MessageKind = MessageKind::ProduceAcks;

    fn encode<'b>(&self, builder: &'b mut BodyBuilder) -> &'b [u8] {
        Self::write(builder, &self.acks)
    }

    fn decode(body: &[u8]) -> Result<Self, BodyError> {
        Ok(Self { acks: Self::read(body)?.collect() })
    }
}

/// The acknowledgements of one verified body.
#[derive(Debug)]
pub struct ProduceAcksIter<'a> {
    acks: VectorIter<'a, schema::ProduceAck>,
}

impl Iterator for ProduceAcksIter<'_> {
    type Item = ProduceAck;

    #[inline]
    fn next(&mut self) -> Option<ProduceAck> {
        self.acks.next().map(ProduceAck::from_schema)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.acks.size_hint()
    }
}

impl ExactSizeIterator for ProduceAcksIter<'_> {}

/// Asks for an id under which batches are stored once however often they are sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InitProducer {
    /// Empty: idempotent only. Anything else is refused until transactions exist.
    pub transactional_id: String,
}

impl Message for InitProducer {
    const KIND: MessageKind = MessageKind::InitProducer;

    fn encode<'b>(&self, builder: &'b mut BodyBuilder) -> &'b [u8] {
        builder.build(|flatbuffer| {
            let transactional_id = from_text(flatbuffer, &self.transactional_id);
            schema::InitProducer::create(flatbuffer, &schema::InitProducerArgs { transactional_id })
        })
    }

    fn decode(body: &[u8]) -> Result<Self, BodyError> {
        let table = root::<schema::InitProducer<'_>>(Self::KIND, body)?;
        Ok(Self { transactional_id: to_text(table.transactional_id()) })
    }
}

/// The answer to [`InitProducer`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InitProducerReply {
    pub code: ErrorCode,
    /// -1 after an error.
    pub producer_id: i64,
    /// -1 after an error.
    pub producer_epoch: i16,
}

impl Message for InitProducerReply {
    const KIND: MessageKind = MessageKind::InitProducerReply;

    fn encode<'b>(&self, builder: &'b mut BodyBuilder) -> &'b [u8] {
        builder.build(|flatbuffer| {
            let arguments = schema::InitProducerReplyArgs {
                code: self.code.number(),
                producer_id: self.producer_id,
                producer_epoch: self.producer_epoch,
            };
            schema::InitProducerReply::create(flatbuffer, &arguments)
        })
    }

    fn decode(body: &[u8]) -> Result<Self, BodyError> {
        let table = root::<schema::InitProducerReply<'_>>(Self::KIND, body)?;
        Ok(Self {
            code: ErrorCode::from_number(table.code()),
            producer_id: table.producer_id(),
            producer_epoch: table.producer_epoch(),
        })
    }
}
