//! This broker's error codes as Kafka's: clients decide by them whether to try again, and where.

use wire::codes::ErrorCode;
use wire::kafka::ErrorCode as Kafka;

/// Kafka's code for one of ours.
pub(super) fn kafka_code(code: ErrorCode) -> Kafka {
    match code {
        ErrorCode::None => Kafka::None,
        ErrorCode::UnknownTopic | ErrorCode::UnknownPartition | ErrorCode::TopicDeleted => {
            Kafka::UnknownTopicOrPartition
        }
        ErrorCode::TopicExists => Kafka::TopicAlreadyExists,
        ErrorCode::InvalidTopicName => Kafka::InvalidTopicException,
        ErrorCode::InvalidPartitionCount => Kafka::InvalidPartitions,
        ErrorCode::UnknownSetting | ErrorCode::InvalidSetting => Kafka::InvalidConfig,
        // Clients ask for metadata anew, and find the partition where it is now.
        ErrorCode::PartitionMoved | ErrorCode::NotServing => Kafka::NotLeaderOrFollower,
        ErrorCode::CorruptBatch => Kafka::CorruptMessage,
        // Kafka 4 calls an old message format an invalid record, too.
        ErrorCode::InvalidBatch | ErrorCode::UnsupportedBatch => Kafka::InvalidRecord,
        ErrorCode::BatchTooLarge | ErrorCode::FrameTooLarge => Kafka::MessageTooLarge,
        ErrorCode::InvalidTimestamp => Kafka::InvalidTimestamp,
        ErrorCode::OutOfOrderSequence => Kafka::OutOfOrderSequenceNumber,
        ErrorCode::DuplicateSequence => Kafka::DuplicateSequenceNumber,
        ErrorCode::ProducerFenced => Kafka::InvalidProducerEpoch,
        ErrorCode::UnknownProducer => Kafka::UnknownProducerId,
        ErrorCode::StorageFailed | ErrorCode::StorageFull | ErrorCode::CorruptLog => Kafka::KafkaStorageError,
        ErrorCode::Overloaded | ErrorCode::LimitReached | ErrorCode::TooManyConnections => {
            Kafka::ThrottlingQuotaExceeded
        }
        ErrorCode::DeadlineExceeded => Kafka::RequestTimedOut,
        ErrorCode::OffsetOutOfRange => Kafka::OffsetOutOfRange,
        ErrorCode::NotAuthorized | ErrorCode::AuthenticationRequired | ErrorCode::AuthenticationFailed => {
            Kafka::ClusterAuthorizationFailed
        }
        ErrorCode::UnsupportedVersion | ErrorCode::UnsupportedFeature => Kafka::UnsupportedVersion,
        ErrorCode::MalformedFrame
        | ErrorCode::MalformedBody
        | ErrorCode::UnknownKind
        | ErrorCode::HandshakeRequired
        | ErrorCode::InvalidRequest => Kafka::InvalidRequest,
        ErrorCode::WrongCluster => Kafka::InconsistentClusterId,
        ErrorCode::Internal
        | ErrorCode::Unrecognized
        | ErrorCode::UnknownSubscription
        | ErrorCode::SubscriptionInUse
        | ErrorCode::Unsubscribed => Kafka::UnknownServerError,
    }
}

/// The number that stands in an answer.
pub(super) fn number(code: ErrorCode) -> i16 {
    kafka_code(code).number()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_tried_again_here_may_be_tried_again_there() {
        for code in ErrorCode::ALL.iter().filter(|code| code.is_retriable()) {
            assert!(kafka_code(*code).is_retriable(), "{code:?} is {:?}", kafka_code(*code));
        }
    }

    /// A client that tries a batch again which is stored already would store it twice, unless it is idempotent.
    #[test]
    fn nothing_is_success_but_success() {
        for code in ErrorCode::ALL {
            assert_eq!(kafka_code(*code) == Kafka::None, code.is_none(), "{code:?}");
        }
    }
}
