//! The life of a connection: handshake, authentication, liveness, drain, errors that belong to no other reply.

use uuid::Uuid;

use super::body::{
    BodyBuilder, BodyError, Message, from_text, from_texts, from_uuid, root, to_text, to_texts, to_uuid,
    to_uuid_or_nil,
};
use crate::codes::ErrorCode;
use crate::frame::MessageKind;
use crate::generated as schema;

/// Mechanisms a broker may name. More would be noise.
const MECHANISMS_MAX: usize = 32;

/// The first frame of a connection: what the client speaks, and who it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hello {
    /// Oldest protocol version spoken.
    pub protocol_min: u16,
    /// Newest protocol version spoken.
    pub protocol_max: u16,
    /// Optional behaviour offered, one bit each. Bits the broker does not know are ignored: it answers with those it takes.
    pub features: u64,
    /// Named by the application; appears in logs and metrics.
    pub client_id: String,
    /// The library.
    pub client_name: String,
    /// The library's version.
    pub client_version: String,
    /// Refuse to talk to any other cluster.
    pub cluster_id: Option<Uuid>,
}

impl Message for Hello {
    const KIND: MessageKind = MessageKind::Hello;

    fn encode<'b>(&self, builder: &'b mut BodyBuilder) -> &'b [u8] {
        let cluster_id = self.cluster_id.as_ref().map(from_uuid);
        builder.build(|flatbuffer| {
            let client_id = from_text(flatbuffer, &self.client_id);
            let client_name = from_text(flatbuffer, &self.client_name);
            let client_version = from_text(flatbuffer, &self.client_version);
            let arguments = schema::HelloArgs {
                protocol_min: self.protocol_min,
                protocol_max: self.protocol_max,
                features: self.features,
                client_id,
                client_name,
                client_version,
                cluster_id: cluster_id.as_ref(),
            };
            schema::Hello::create(flatbuffer, &arguments)
        })
    }

    fn decode(body: &[u8]) -> Result<Self, BodyError> {
        let table = root::<schema::Hello<'_>>(Self::KIND, body)?;
        Ok(Self {
            protocol_min: table.protocol_min(),
            protocol_max: table.protocol_max(),
            features: table.features(),
            client_id: to_text(table.client_id()),
            client_name: to_text(table.client_name()),
            client_version: to_text(table.client_version()),
            cluster_id: table.cluster_id().map(to_uuid),
        })
    }
}

/// The answer to [`Hello`]. After an error the broker closes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HelloReply {
    pub code: ErrorCode,
    /// For people; empty without an error.
    pub message: String,
    /// The version both will speak.
    pub protocol: u16,
    /// Those of the features offered that the broker takes.
    pub features: u64,
    pub cluster_id: Uuid,
    pub node_id: u32,
    /// The shard that serves this connection.
    pub shard: u16,
    /// The broker's version, for logs.
    pub server_version: String,
    /// Largest frame either side may send.
    pub frame_bytes_max: u32,
    /// Largest batch a Produce may carry.
    pub batch_bytes_max: u32,
    /// Bytes of requests the broker holds for this connection before it stops reading.
    pub in_flight_bytes_max: u32,
    /// Non-empty: an [`Authenticate`] with one of these must come next.
    pub mechanisms: Vec<String>,
}

impl Message for HelloReply {
    const KIND: MessageKind = MessageKind::HelloReply;

    fn encode<'b>(&self, builder: &'b mut BodyBuilder) -> &'b [u8] {
        let cluster_id = from_uuid(&self.cluster_id);
        builder.build(|flatbuffer| {
            let message = from_text(flatbuffer, &self.message);
            let server_version = from_text(flatbuffer, &self.server_version);
            let mechanisms = (!self.mechanisms.is_empty()).then(|| from_texts(flatbuffer, &self.mechanisms));
            let arguments = schema::HelloReplyArgs {
                code: self.code.number(),
                message,
                protocol: self.protocol,
                features: self.features,
                cluster_id: Some(&cluster_id),
                node_id: self.node_id,
                shard: self.shard,
                server_version,
                frame_bytes_max: self.frame_bytes_max,
                batch_bytes_max: self.batch_bytes_max,
                in_flight_bytes_max: self.in_flight_bytes_max,
                mechanisms,
            };
            schema::HelloReply::create(flatbuffer, &arguments)
        })
    }

    fn decode(body: &[u8]) -> Result<Self, BodyError> {
        let table = root::<schema::HelloReply<'_>>(Self::KIND, body)?;
        Ok(Self {
            code: ErrorCode::from_number(table.code()),
            message: to_text(table.message()),
            protocol: table.protocol(),
            features: table.features(),
            cluster_id: to_uuid_or_nil(table.cluster_id()),
            node_id: table.node_id(),
            shard: table.shard(),
            server_version: to_text(table.server_version()),
            frame_bytes_max: table.frame_bytes_max(),
            batch_bytes_max: table.batch_bytes_max(),
            in_flight_bytes_max: table.in_flight_bytes_max(),
            mechanisms: to_texts("mechanisms", table.mechanisms(), MECHANISMS_MAX)?,
        })
    }
}

/// One step of a mechanism. The token is the mechanism's own, opaque here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Authenticate {
    pub mechanism: String,
    pub token: Vec<u8>,
}

impl Message for Authenticate {
    const KIND: MessageKind = MessageKind::Authenticate;

    fn encode<'b>(&self, builder: &'b mut BodyBuilder) -> &'b [u8] {
        builder.build(|flatbuffer| {
            let mechanism = Some(flatbuffer.create_string(&self.mechanism));
            let token = Some(flatbuffer.create_vector(&self.token));
            schema::Authenticate::create(flatbuffer, &schema::AuthenticateArgs { mechanism, token })
        })
    }

    fn decode(body: &[u8]) -> Result<Self, BodyError> {
        let table = root::<schema::Authenticate<'_>>(Self::KIND, body)?;
        Ok(Self {
            mechanism: table.mechanism().to_owned(),
            token: table.token().map(|token| token.bytes().to_vec()).unwrap_or_default(),
        })
    }
}

/// The broker's side of a step; served after one with `complete`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuthenticateReply {
    pub code: ErrorCode,
    pub message: String,
    /// No further step is needed.
    pub complete: bool,
    pub token: Vec<u8>,
}

impl Message for AuthenticateReply {
    const KIND: MessageKind = MessageKind::AuthenticateReply;

    fn encode<'b>(&self, builder: &'b mut BodyBuilder) -> &'b [u8] {
        builder.build(|flatbuffer| {
            let message = from_text(flatbuffer, &self.message);
            let token = Some(flatbuffer.create_vector(&self.token));
            let code = self.code.number();
            let arguments = schema::AuthenticateReplyArgs { code, message, complete: self.complete, token };
            schema::AuthenticateReply::create(flatbuffer, &arguments)
        })
    }

    fn decode(body: &[u8]) -> Result<Self, BodyError> {
        let table = root::<schema::AuthenticateReply<'_>>(Self::KIND, body)?;
        Ok(Self {
            code: ErrorCode::from_number(table.code()),
            message: to_text(table.message()),
            complete: table.complete(),
            token: table.token().map(|token| token.bytes().to_vec()).unwrap_or_default(),
        })
    }
}

/// Asks for a [`Pong`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ping {
    /// The sender's clock, whatever it counts from: it comes back unread.
    pub sent_at_us: u64,
}

impl Message for Ping {
    const KIND: MessageKind = MessageKind::Ping;

    fn encode<'b>(&self, builder: &'b mut BodyBuilder) -> &'b [u8] {
        builder.build(|flatbuffer| {
            schema::Ping::create(flatbuffer, &schema::PingArgs { sent_at_us: self.sent_at_us })
        })
    }

    fn decode(body: &[u8]) -> Result<Self, BodyError> {
        let table = root::<schema::Ping<'_>>(Self::KIND, body)?;
        Ok(Self { sent_at_us: table.sent_at_us() })
    }
}

/// The answer to [`Ping`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pong {
    /// The Ping's, unchanged.
    pub sent_at_us: u64,
}

impl Message for Pong {
    const KIND: MessageKind = MessageKind::Pong;

    fn encode<'b>(&self, builder: &'b mut BodyBuilder) -> &'b [u8] {
        builder.build(|flatbuffer| {
            schema::Pong::create(flatbuffer, &schema::PongArgs { sent_at_us: self.sent_at_us })
        })
    }

    fn decode(body: &[u8]) -> Result<Self, BodyError> {
        let table = root::<schema::Pong<'_>>(Self::KIND, body)?;
        Ok(Self { sent_at_us: table.sent_at_us() })
    }
}

/// The sender will close after `drain_ms`: answers under way still come, new requests are refused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GoingAway {
    pub code: ErrorCode,
    pub message: String,
    pub drain_ms: u32,
}

impl Message for GoingAway {
    const KIND: MessageKind = MessageKind::GoingAway;

    fn encode<'b>(&self, builder: &'b mut BodyBuilder) -> &'b [u8] {
        builder.build(|flatbuffer| {
            let message = from_text(flatbuffer, &self.message);
            let code = self.code.number();
            let arguments = schema::GoingAwayArgs { code, message, drain_ms: self.drain_ms };
            schema::GoingAway::create(flatbuffer, &arguments)
        })
    }

    fn decode(body: &[u8]) -> Result<Self, BodyError> {
        let table = root::<schema::GoingAway<'_>>(Self::KIND, body)?;
        Ok(Self {
            code: ErrorCode::from_number(table.code()),
            message: to_text(table.message()),
            drain_ms: table.drain_ms(),
        })
    }
}

/// Answers a request that has no reply to put a code in: unknown kind, malformed body. With correlation id 0 it is the
/// last word before the connection closes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Error {
    pub code: ErrorCode,
    pub message: String,
}

impl Message for Error {
    const KIND: MessageKind = MessageKind::Error;

    fn encode<'b>(&self, builder: &'b mut BodyBuilder) -> &'b [u8] {
        builder.build(|flatbuffer| {
            let message = from_text(flatbuffer, &self.message);
            schema::Error::create(flatbuffer, &schema::ErrorArgs { code: self.code.number(), message })
        })
    }

    fn decode(body: &[u8]) -> Result<Self, BodyError> {
        let table = root::<schema::Error<'_>>(Self::KIND, body)?;
        Ok(Self { code: ErrorCode::from_number(table.code()), message: to_text(table.message()) })
    }
}
