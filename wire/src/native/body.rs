//! What every message shares: the reusable builder, the verified root, and the conversions of fields.
//!
//! Hot path.

use flatbuffers::{
    FlatBufferBuilder, Follow, ForwardsUOffset, Vector, Verifiable, VerifierOptions, WIPOffset,
};
use thiserror::Error;
use uuid::Uuid;

use crate::codes::ErrorCode;
use crate::frame::MessageKind;
use crate::generated as schema;
use crate::limits;

/// A message of the native protocol.
pub trait Message: Sized {
    /// The frame's kind for it.
    const KIND: MessageKind;

    /// Writes the body into `builder`, over whatever it held, and returns the bytes.
    fn encode<'b>(&self, builder: &'b mut BodyBuilder) -> &'b [u8];

    /// Verifies and reads a body.
    fn decode(body: &[u8]) -> Result<Self, BodyError>;
}

/// The memory bodies are built in. One a connection: it grows to the largest body and stays.
#[derive(Default)]
pub struct BodyBuilder {
    flatbuffer: FlatBufferBuilder<'static>,
}

impl BodyBuilder {
    /// An empty builder; the first message allocates.
    pub fn new() -> Self {
        Self::default()
    }

    /// Builds one root table.
    pub(super) fn build<T>(
        &mut self,
        write: impl FnOnce(&mut FlatBufferBuilder<'static>) -> WIPOffset<T>,
    ) -> &[u8] {
        self.flatbuffer.reset();
        let root = write(&mut self.flatbuffer);
        self.flatbuffer.finish_minimal(root);
        self.flatbuffer.finished_data()
    }
}

impl std::fmt::Debug for BodyBuilder {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("BodyBuilder").finish_non_exhaustive()
    }
}

/// A body that is not the message its frame says.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BodyError {
    #[error("malformed {kind:?} body: {reason}")]
    Malformed { kind: MessageKind, reason: String },
    #[error("{field} has the unknown value {found}")]
    UnknownValue { field: &'static str, found: u64 },
    #[error("{field} holds {found} items, at most {limit} are taken")]
    TooMany { field: &'static str, found: usize, limit: usize },
}

impl BodyError {
    /// The code to answer with. The stream goes on after such a frame.
    pub fn code(&self) -> ErrorCode {
        ErrorCode::MalformedBody
    }
}

/// Verifies `body` as a table `T` and gives its root.
pub(super) fn root<'a, T>(kind: MessageKind, body: &'a [u8]) -> Result<T::Inner, BodyError>
where
    T: Follow<'a> + Verifiable + 'a,
{
    let options = VerifierOptions {
        max_depth: limits::BODY_DEPTH_MAX,
        // A table takes 4 bytes at least, and each visit counts against the apparent size as well.
        max_tables: body.len(),
        max_apparent_size: body.len().saturating_mul(limits::BODY_EXPANSION_MAX),
        ignore_missing_null_terminator: false,
    };
    flatbuffers::root_with_opts::<T>(&options, body).map_err(|error| BodyError::Malformed {
        kind,
        reason: error.to_string().trim_end().replace('\n', "; "),
    })
}

pub(super) fn from_uuid(id: &Uuid) -> schema::Uuid {
    schema::Uuid(*id.as_bytes())
}

pub(super) fn to_uuid(id: &schema::Uuid) -> Uuid {
    Uuid::from_bytes(id.0)
}

/// An absent id is the nil one, which is reserved and never a topic's or a cluster's.
pub(super) fn to_uuid_or_nil(id: Option<&schema::Uuid>) -> Uuid {
    id.map_or(Uuid::nil(), to_uuid)
}

/// An absent string is an empty one.
pub(super) fn to_text(text: Option<&str>) -> String {
    text.unwrap_or_default().to_owned()
}

/// An empty string is left out.
pub(super) fn from_text(
    flatbuffer: &mut FlatBufferBuilder<'static>,
    text: &str,
) -> Option<WIPOffset<&'static str>> {
    (!text.is_empty()).then(|| flatbuffer.create_string(text))
}

pub(super) type Texts<'a> = Vector<'a, ForwardsUOffset<&'a str>>;

pub(super) fn from_texts(
    flatbuffer: &mut FlatBufferBuilder<'static>,
    texts: &[String],
) -> WIPOffset<Texts<'static>> {
    let offsets: Vec<_> = texts.iter().map(|text| flatbuffer.create_string(text)).collect();
    flatbuffer.create_vector(&offsets)
}

/// The length of a list, when it is within `limit`; 0 when the list is absent.
pub(super) fn checked_len(field: &'static str, found: usize, limit: usize) -> Result<usize, BodyError> {
    if found > limit { Err(BodyError::TooMany { field, found, limit }) } else { Ok(found) }
}

pub(super) fn to_texts(
    field: &'static str,
    texts: Option<Texts<'_>>,
    limit: usize,
) -> Result<Vec<String>, BodyError> {
    let Some(texts) = texts else { return Ok(Vec::new()) };
    checked_len(field, texts.len(), limit)?;
    Ok(texts.iter().map(str::to_owned).collect())
}
