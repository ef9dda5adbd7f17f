//! Error codes of the native protocol: what went wrong, and what the one who asked may do about it.
//!
//! Invariants:
//! - A number keeps its meaning for good. A peer that does not know a number reads it as [`ErrorCode::Unrecognized`].
//! - `may_be_stored` is false only where it is certain that the batch of a refused Produce is not in the log.

use std::fmt;

macro_rules! error_codes {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $retriable:literal, $may_be_stored:literal, $text:literal;)*) => {
        /// Why a request was refused, a session ended, or [`ErrorCode::None`] for success.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
        #[repr(u16)]
        pub enum ErrorCode { #[default] $($(#[$doc])* $name = $number,)* }

        impl ErrorCode {
            /// Every code, in the order of their numbers.
            pub const ALL: &[ErrorCode] = &[$(ErrorCode::$name,)*];

            /// The code with this number; [`ErrorCode::Unrecognized`] when a newer peer sent one this side does not know.
            pub const fn from_number(number: u16) -> Self {
                match number { $($number => Self::$name,)* _ => Self::Unrecognized }
            }

            /// The number on the wire.
            pub const fn number(self) -> u16 {
                self as u16
            }

            /// The same request may succeed later, or elsewhere, unchanged.
            pub const fn is_retriable(self) -> bool {
                match self { $(Self::$name => $retriable,)* }
            }

            /// The batch of a Produce answered so may nevertheless be, or become, part of the log.
            pub const fn may_be_stored(self) -> bool {
                match self { $(Self::$name => $may_be_stored,)* }
            }

            const fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

// name = number, is_retriable, may_be_stored, text
error_codes! {
    None = 0, false, true, "no error";
    /// A bug of the broker, or what has no code of its own; the message says more.
    Internal = 1, false, true, "internal error";
    /// A number from a newer peer. Nothing is assumed.
    Unrecognized = 65535, false, true, "an error code this version does not know";

    // Frames and sessions.
    MalformedFrame = 10, false, false, "malformed frame";
    MalformedBody = 11, false, false, "malformed message";
    FrameTooLarge = 12, false, false, "frame above the limit";
    UnknownKind = 13, false, false, "unknown message kind";
    UnsupportedVersion = 14, false, false, "no protocol version in common";
    UnsupportedFeature = 15, false, false, "feature not supported";
    /// Something else than Hello came first, or Hello came twice.
    HandshakeRequired = 16, false, false, "handshake out of order";
    WrongCluster = 17, false, false, "this is another cluster";
    AuthenticationRequired = 18, false, false, "authentication required";
    AuthenticationFailed = 19, false, false, "authentication failed";
    NotAuthorized = 20, false, false, "not authorized";
    /// The broker drains or starts; another connection, or this one later, may be served.
    NotServing = 21, true, false, "not serving now";
    TooManyConnections = 22, true, false, "too many connections";
    /// A bound of the session or the shard (subscriptions, requests) is reached.
    LimitReached = 23, true, false, "limit reached";
    DeadlineExceeded = 24, true, true, "deadline exceeded";

    // Topics and partitions.
    UnknownTopic = 30, true, false, "unknown topic";
    UnknownPartition = 31, true, false, "unknown partition";
    TopicExists = 32, false, false, "topic already exists";
    InvalidTopicName = 33, false, false, "invalid topic name";
    InvalidPartitionCount = 34, false, false, "invalid number of partitions";
    UnknownSetting = 35, false, false, "unknown setting";
    InvalidSetting = 36, false, false, "invalid setting value";
    TopicDeleted = 37, false, false, "topic was deleted";
    /// Another shard serves the partition now.
    PartitionMoved = 38, true, false, "partition moved";
    InvalidRequest = 39, false, false, "invalid request";
    /// The topic's settings do not allow it.
    PolicyViolation = 40, false, false, "against the topic's policy";

    // Batches.
    CorruptBatch = 50, true, false, "batch checksum mismatch";
    InvalidBatch = 51, false, false, "invalid batch";
    BatchTooLarge = 52, false, false, "batch above the limit";
    UnsupportedBatch = 53, false, false, "batch uses what is not supported";
    InvalidTimestamp = 54, false, false, "invalid timestamp";

    // Idempotent producers.
    OutOfOrderSequence = 60, false, false, "sequence out of order";
    ProducerFenced = 62, false, false, "a newer producer took over";
    UnknownProducer = 63, false, false, "unknown producer id";

    // Storage.
    /// A write failed: the outcome is decided at the next start.
    StorageFailed = 70, false, true, "storage failed";
    StorageFull = 71, true, false, "no space left on the device";
    CorruptLog = 72, false, false, "stored data is corrupt";
    /// The shard's memory for appends is in use.
    Overloaded = 73, true, false, "overloaded";

    // Reading.
    OffsetOutOfRange = 80, false, false, "offset out of range";
    UnknownSubscription = 81, false, false, "unknown subscription";
    SubscriptionInUse = 82, false, false, "subscription id in use";
    /// The end of a subscription that was asked for.
    Unsubscribed = 83, false, false, "unsubscribed";

    // Consumer groups.
    InvalidGroup = 90, false, false, "invalid group id";
    UnknownGroup = 91, false, false, "unknown group";
    /// The member is out of its group, and may enter anew.
    MemberFenced = 92, false, false, "not a member, or not at this epoch";
    GroupNotEmpty = 93, false, false, "the group has members";
    /// The group is of the other kind while it has members.
    GroupKind = 94, false, false, "the group is of another kind";
    GroupFull = 95, false, false, "the group takes no more members or offsets";
}

impl ErrorCode {
    /// No error.
    pub const fn is_none(self) -> bool {
        matches!(self, Self::None)
    }

    /// `Ok` for [`ErrorCode::None`], so that a reply's code can be raised with `?`.
    pub const fn into_result(self) -> Result<(), Self> {
        if self.is_none() { Ok(()) } else { Err(self) }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.text())
    }
}

impl std::error::Error for ErrorCode {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_leads_back_to_its_code() {
        for &code in ErrorCode::ALL {
            assert_eq!(ErrorCode::from_number(code.number()), code);
        }
    }

    #[test]
    fn a_number_nobody_knows_promises_nothing() {
        let code = ErrorCode::from_number(9_999);
        assert_eq!(code, ErrorCode::Unrecognized);
        assert!(!code.is_retriable() && code.may_be_stored());
    }
}
