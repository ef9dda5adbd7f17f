//! What can be wrong with a frame, and whether the stream can go on after it.

use thiserror::Error;

use super::MessageKind;
use crate::codes::ErrorCode;

/// A frame that is refused. Positions and numbers are those found, so that a log line is enough to tell a broken
/// peer from a broken network.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FrameError {
    #[error("a frame header takes {expected} bytes, {found} are there", expected = super::FRAME_HEADER_BYTES)]
    Short { found: usize },
    #[error("not a corelog frame: it begins with {found:02x?}")]
    Magic { found: [u8; 4] },
    #[error("frame version {found} is not supported (this side speaks {expected})", expected = super::FRAME_VERSION)]
    Version { found: u8 },
    #[error("unknown frame flags {found:#010b}")]
    Flags { found: u8 },
    #[error("reserved bytes hold {found:#x} instead of zero")]
    Reserved { found: u32 },
    /// The frame is well formed as far as one can tell, and can be skipped: see [`FrameError::skippable`].
    #[error("unknown message kind {number}")]
    Kind { number: u16, correlation_id: u64, body_length: u32, payload_length: u32 },
    #[error("a {kind:?} body of {found} bytes is above its limit of {limit}")]
    BodyTooLarge { kind: MessageKind, found: u32, limit: usize },
    #[error("a {kind:?} payload of {found} bytes is above its limit of {limit}")]
    PayloadTooLarge { kind: MessageKind, found: u32, limit: usize },
    #[error("a frame of {found} bytes is above this session's limit of {limit}")]
    TooLarge { found: u64, limit: usize },
    #[error("the frame's checksum is {found:#010x}, its bytes give {computed:#010x}")]
    Checksum { found: u32, computed: u32 },
}

/// A frame that was refused, but whose end is known: answer `correlation_id` with an error and skip `bytes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Skippable {
    /// The request to answer.
    pub correlation_id: u64,
    /// Body and payload, to be read and dropped. May be above every limit: never reserved, only counted down.
    pub bytes: u64,
}

impl FrameError {
    /// Where the stream can go on: only after an unknown kind. After anything else the peer is not believed any more,
    /// and the connection is closed.
    pub fn skippable(&self) -> Option<Skippable> {
        match *self {
            Self::Kind { correlation_id, body_length, payload_length, .. } => {
                Some(Skippable { correlation_id, bytes: u64::from(body_length) + u64::from(payload_length) })
            }
            _ => None,
        }
    }

    /// The code to answer with.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Version { .. } => ErrorCode::UnsupportedVersion,
            Self::Kind { .. } => ErrorCode::UnknownKind,
            Self::BodyTooLarge { .. } | Self::PayloadTooLarge { .. } | Self::TooLarge { .. } => {
                ErrorCode::FrameTooLarge
            }
            _ => ErrorCode::MalformedFrame,
        }
    }
}
