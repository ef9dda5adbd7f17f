//! Kafka's error numbers, and which of them a client may try again after.
//!
//! Source: <https://kafka.apache.org/protocol#protocol_error_codes>. The table is compared with the kafka-protocol crate's.

macro_rules! error_codes {
    ($($name:ident = $number:literal, $retriable:literal;)*) => {
        /// Why a request, or a part of it, was refused, by Kafka's names and numbers.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(i16)]
        pub enum ErrorCode { $($name = $number,)* }

        impl ErrorCode {
            /// Every code, in the order of their numbers.
            pub const ALL: &[ErrorCode] = &[$(ErrorCode::$name,)*];

            /// The code with this number; `None` for one that Kafka 4.1 does not know.
            pub const fn from_number(number: i16) -> Option<Self> {
                match number { $($number => Some(Self::$name),)* _ => None }
            }

            /// Whether Kafka's clients try again after it.
            pub const fn is_retriable(self) -> bool {
                match self { $(Self::$name => $retriable,)* }
            }
        }
    };
}

// name = number, retriable
error_codes! {
    UnknownServerError = -1, false;
    None = 0, false;
    OffsetOutOfRange = 1, false;
    CorruptMessage = 2, true;
    UnknownTopicOrPartition = 3, true;
    InvalidFetchSize = 4, false;
    LeaderNotAvailable = 5, true;
    NotLeaderOrFollower = 6, true;
    RequestTimedOut = 7, true;
    BrokerNotAvailable = 8, false;
    ReplicaNotAvailable = 9, true;
    MessageTooLarge = 10, false;
    StaleControllerEpoch = 11, false;
    OffsetMetadataTooLarge = 12, false;
    NetworkException = 13, true;
    CoordinatorLoadInProgress = 14, true;
    CoordinatorNotAvailable = 15, true;
    NotCoordinator = 16, true;
    InvalidTopicException = 17, false;
    RecordListTooLarge = 18, false;
    NotEnoughReplicas = 19, true;
    NotEnoughReplicasAfterAppend = 20, true;
    InvalidRequiredAcks = 21, false;
    IllegalGeneration = 22, false;
    InconsistentGroupProtocol = 23, false;
    InvalidGroupId = 24, false;
    UnknownMemberId = 25, false;
    InvalidSessionTimeout = 26, false;
    RebalanceInProgress = 27, false;
    InvalidCommitOffsetSize = 28, false;
    TopicAuthorizationFailed = 29, false;
    GroupAuthorizationFailed = 30, false;
    ClusterAuthorizationFailed = 31, false;
    InvalidTimestamp = 32, false;
    UnsupportedSaslMechanism = 33, false;
    IllegalSaslState = 34, false;
    UnsupportedVersion = 35, false;
    TopicAlreadyExists = 36, false;
    InvalidPartitions = 37, false;
    InvalidReplicationFactor = 38, false;
    InvalidReplicaAssignment = 39, false;
    InvalidConfig = 40, false;
    NotController = 41, true;
    InvalidRequest = 42, false;
    UnsupportedForMessageFormat = 43, false;
    PolicyViolation = 44, false;
    OutOfOrderSequenceNumber = 45, false;
    DuplicateSequenceNumber = 46, false;
    InvalidProducerEpoch = 47, false;
    InvalidTxnState = 48, false;
    InvalidProducerIdMapping = 49, false;
    InvalidTransactionTimeout = 50, false;
    ConcurrentTransactions = 51, false;
    TransactionCoordinatorFenced = 52, false;
    TransactionalIdAuthorizationFailed = 53, false;
    SecurityDisabled = 54, false;
    OperationNotAttempted = 55, false;
    KafkaStorageError = 56, true;
    LogDirNotFound = 57, false;
    SaslAuthenticationFailed = 58, false;
    UnknownProducerId = 59, false;
    ReassignmentInProgress = 60, false;
    DelegationTokenAuthDisabled = 61, false;
    DelegationTokenNotFound = 62, false;
    DelegationTokenOwnerMismatch = 63, false;
    DelegationTokenRequestNotAllowed = 64, false;
    DelegationTokenAuthorizationFailed = 65, false;
    DelegationTokenExpired = 66, false;
    InvalidPrincipalType = 67, false;
    NonEmptyGroup = 68, false;
    GroupIdNotFound = 69, false;
    FetchSessionIdNotFound = 70, true;
    InvalidFetchSessionEpoch = 71, true;
    ListenerNotFound = 72, true;
    TopicDeletionDisabled = 73, false;
    FencedLeaderEpoch = 74, true;
    UnknownLeaderEpoch = 75, true;
    UnsupportedCompressionType = 76, false;
    StaleBrokerEpoch = 77, false;
    OffsetNotAvailable = 78, true;
    MemberIdRequired = 79, false;
    PreferredLeaderNotAvailable = 80, true;
    GroupMaxSizeReached = 81, false;
    FencedInstanceId = 82, false;
    EligibleLeadersNotAvailable = 83, true;
    ElectionNotNeeded = 84, true;
    NoReassignmentInProgress = 85, false;
    GroupSubscribedToTopic = 86, false;
    InvalidRecord = 87, false;
    UnstableOffsetCommit = 88, true;
    ThrottlingQuotaExceeded = 89, true;
    ProducerFenced = 90, false;
    ResourceNotFound = 91, false;
    DuplicateResource = 92, false;
    UnacceptableCredential = 93, false;
    InconsistentVoterSet = 94, false;
    InvalidUpdateVersion = 95, false;
    FeatureUpdateFailed = 96, false;
    PrincipalDeserializationFailure = 97, false;
    SnapshotNotFound = 98, false;
    PositionOutOfRange = 99, false;
    UnknownTopicId = 100, true;
    DuplicateBrokerRegistration = 101, false;
    BrokerIdNotRegistered = 102, false;
    InconsistentTopicId = 103, true;
    InconsistentClusterId = 104, false;
    TransactionalIdNotFound = 105, false;
    FetchSessionTopicIdError = 106, true;
    IneligibleReplica = 107, false;
    NewLeaderElected = 108, false;
    OffsetMovedToTieredStorage = 109, false;
    FencedMemberEpoch = 110, false;
    UnreleasedInstanceId = 111, false;
    UnsupportedAssignor = 112, false;
    StaleMemberEpoch = 113, false;
    MismatchedEndpointType = 114, false;
    UnsupportedEndpointType = 115, false;
    UnknownControllerId = 116, false;
    UnknownSubscriptionId = 117, false;
    TelemetryTooLarge = 118, false;
    InvalidRegistration = 119, false;
    TransactionAbortable = 120, false;
    InvalidRecordState = 121, false;
    ShareSessionNotFound = 122, true;
    InvalidShareSessionEpoch = 123, true;
    FencedStateEpoch = 124, false;
    InvalidVoterKey = 125, false;
    DuplicateVoter = 126, false;
    VoterNotFound = 127, false;
    InvalidRegularExpression = 128, false;
    RebootstrapRequired = 129, false;
    StreamsInvalidTopology = 130, false;
    StreamsInvalidTopologyEpoch = 131, false;
    StreamsTopologyFenced = 132, false;
    ShareSessionLimitReached = 133, true;
}

impl ErrorCode {
    /// The number on the wire.
    pub const fn number(self) -> i16 {
        self as i16
    }
}

#[cfg(test)]
mod tests {
    use kafka_protocol::error::ResponseError;

    use super::*;

    #[test]
    fn the_table_is_kafkas() {
        for number in -10..300 {
            let theirs = ResponseError::try_from_code(number);
            match (ErrorCode::from_number(number), theirs) {
                (Some(ErrorCode::None), None) => assert_eq!(number, 0),
                (None, Some(ResponseError::Unknown(_))) => {}
                (Some(ours), Some(theirs)) => {
                    assert_eq!(format!("{ours:?}"), format!("{theirs:?}"), "{number}");
                    assert_eq!((ours.number(), ours.is_retriable()), (number, theirs.is_retriable()));
                }
                (ours, theirs) => panic!("{number}: {ours:?}, {theirs:?}"),
            }
        }
    }
}
