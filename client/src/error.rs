//! What can go wrong for an application, and the two questions it then has.
//!
//! Invariant: [`ClientError::may_be_stored`] is false only where it is certain that no record of the failed send is, or
//! will become, part of the log.

use thiserror::Error;
use wire::codes::ErrorCode;

/// Why an operation failed. Cloned to each record of a batch that failed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The broker answered with an error.
    #[error("the broker refused: {code}{}", detail(.message))]
    Refused {
        /// What it said.
        code: ErrorCode,
        /// More, in words; may be empty.
        message: String,
    },
    /// The deadline passed first. The client has retried until then.
    #[error("not done within the deadline{}", detail(.reason))]
    TimedOut {
        /// Sent at least once without an answer.
        may_be_stored: bool,
        /// What went wrong last; may be empty.
        reason: String,
    },
    /// The connection was lost under a request that is not repeated by itself (a change of the catalog).
    #[error("the connection was lost: {reason}")]
    Disconnected {
        /// What the socket said.
        reason: String,
    },
    /// The client, or this producer, was closed.
    #[error("closed")]
    Closed {
        /// Sent at least once without an answer.
        may_be_stored: bool,
    },
    /// There is no such topic.
    #[error("there is no topic {name:?}")]
    NoSuchTopic {
        /// The name asked for.
        name: String,
    },
    /// The record names a partition that the topic does not have.
    #[error("partition {partition} is not one of the topic's {partitions}")]
    NoSuchPartition {
        /// The partition asked for.
        partition: u32,
        /// How many there are.
        partitions: u32,
    },
    /// One record, or one prepared batch, is larger than the broker takes.
    #[error("{found} bytes are above the limit of {limit}")]
    TooLarge {
        /// Bytes of the record or batch.
        found: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// The broker sent what cannot be understood.
    #[error("the broker broke the protocol: {reason}")]
    Protocol {
        /// Where and what.
        reason: String,
    },
    /// A batch that came from the broker is damaged.
    #[error("damaged batch in partition {partition}: {reason}")]
    Damaged {
        /// The partition it came from.
        partition: u32,
        /// What is wrong.
        reason: String,
    },
    /// An option or argument makes no sense.
    #[error("{reason}")]
    Invalid {
        /// What is wrong with it.
        reason: String,
    },
}

fn detail(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(": {text}") }
}

impl ClientError {
    /// The same operation may succeed later, unchanged.
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::Refused { code, .. } => code.is_retriable(),
            Self::TimedOut { .. } | Self::Disconnected { .. } => true,
            _ => false,
        }
    }

    /// Whether the record of a failed send may nevertheless be, or become, part of the log. Sending it again then may
    /// store it twice.
    pub fn may_be_stored(&self) -> bool {
        match self {
            Self::Refused { code, .. } => code.may_be_stored(),
            Self::TimedOut { may_be_stored, .. } | Self::Closed { may_be_stored } => *may_be_stored,
            Self::Disconnected { .. } | Self::Protocol { .. } => true,
            _ => false,
        }
    }

    pub(crate) fn refused(code: ErrorCode) -> Self {
        Self::Refused { code, message: String::new() }
    }
}

impl From<wire::native::BodyError> for ClientError {
    fn from(error: wire::native::BodyError) -> Self {
        Self::Protocol { reason: error.to_string() }
    }
}

impl From<wire::frame::FrameError> for ClientError {
    fn from(error: wire::frame::FrameError) -> Self {
        Self::Protocol { reason: error.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_whether_to_retry_and_whether_the_record_may_be_there() {
        let refused = ClientError::refused(ErrorCode::StorageFull);
        assert!(refused.is_retriable() && !refused.may_be_stored());
        let lost = ClientError::TimedOut { may_be_stored: true, reason: String::new() };
        assert!(lost.is_retriable() && lost.may_be_stored());
        assert!(!ClientError::TooLarge { found: 2, limit: 1 }.may_be_stored());
    }
}
