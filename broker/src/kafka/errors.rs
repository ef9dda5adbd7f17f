//! This broker's error codes as Kafka's: clients decide by them whether to try again, and where.

use wire::codes::ErrorCode;
use wire::kafka::ErrorCode as Kafka;

use crate::groups::GroupError;

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
        ErrorCode::PolicyViolation => Kafka::PolicyViolation,
        ErrorCode::InvalidGroup => Kafka::InvalidGroupId,
        ErrorCode::UnknownGroup => Kafka::GroupIdNotFound,
        ErrorCode::MemberFenced => Kafka::UnknownMemberId,
        ErrorCode::GroupNotEmpty => Kafka::NonEmptyGroup,
        ErrorCode::GroupKind => Kafka::InconsistentGroupProtocol,
        ErrorCode::GroupFull => Kafka::GroupMaxSizeReached,
        ErrorCode::WrongCluster => Kafka::InconsistentClusterId,
        ErrorCode::Internal
        | ErrorCode::Unrecognized
        | ErrorCode::UnknownSubscription
        | ErrorCode::SubscriptionInUse
        | ErrorCode::Unsubscribed => Kafka::UnknownServerError,
    }
}

/// Kafka's code for what a group's coordinator refuses.
pub(super) fn group_code(error: &GroupError) -> Kafka {
    match error {
        GroupError::InvalidGroupId => Kafka::InvalidGroupId,
        GroupError::InvalidSessionTimeout { .. } => Kafka::InvalidSessionTimeout,
        GroupError::MemberIdRequired { .. } => Kafka::MemberIdRequired,
        GroupError::UnknownMember => Kafka::UnknownMemberId,
        GroupError::IllegalGeneration { .. } => Kafka::IllegalGeneration,
        GroupError::RebalanceInProgress => Kafka::RebalanceInProgress,
        GroupError::InconsistentProtocol => Kafka::InconsistentGroupProtocol,
        GroupError::FencedInstance => Kafka::FencedInstanceId,
        GroupError::GroupFull | GroupError::NoMemory => Kafka::GroupMaxSizeReached,
        GroupError::GroupNotFound => Kafka::GroupIdNotFound,
        GroupError::GroupNotEmpty => Kafka::NonEmptyGroup,
        GroupError::GroupSubscribed => Kafka::GroupSubscribedToTopic,
        GroupError::OffsetMetadataTooLarge { .. } => Kafka::OffsetMetadataTooLarge,
        GroupError::UnknownPartition => Kafka::UnknownTopicOrPartition,
        GroupError::Loading => Kafka::CoordinatorLoadInProgress,
        GroupError::NotCoordinator => Kafka::NotCoordinator,
        GroupError::Storage(_) => Kafka::CoordinatorNotAvailable,
        GroupError::TooLarge => Kafka::InvalidCommitOffsetSize,
        GroupError::FencedMemberEpoch { .. } => Kafka::FencedMemberEpoch,
        GroupError::StaleMemberEpoch { .. } => Kafka::StaleMemberEpoch,
        GroupError::UnreleasedInstance => Kafka::UnreleasedInstanceId,
        GroupError::UnsupportedAssignor => Kafka::UnsupportedAssignor,
        GroupError::InvalidPattern => Kafka::InvalidRegularExpression,
        GroupError::NotAConsumerGroup => Kafka::GroupIdNotFound,
        GroupError::InvalidRequest(_) => Kafka::InvalidRequest,
        GroupError::NotAuthorized => Kafka::GroupAuthorizationFailed,
    }
}

/// The number of it.
pub(super) fn group_number(error: &GroupError) -> i16 {
    group_code(error).number()
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
