//! Why a group's coordinator refuses.

use storage::AppendError;
use thiserror::Error;

use crate::limits;

/// Why, without a protocol: each has its own number for it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum GroupError {
    #[error("the group's id is empty")]
    InvalidGroupId,
    #[error("a session time-out of {found_ms} ms: it is from {min} to {max} ms", min = limits::SESSION_TIMEOUT_MIN.as_millis(), max = limits::SESSION_TIMEOUT_MAX.as_millis())]
    InvalidSessionTimeout { found_ms: i64 },
    /// Not a failure: it joins again with the id it is given.
    #[error("join again as member {member_id}")]
    MemberIdRequired { member_id: String },
    #[error("the group has no such member")]
    UnknownMember,
    #[error("the group is at generation {found}")]
    IllegalGeneration { found: i32 },
    #[error("the group rebalances: join again")]
    RebalanceInProgress,
    #[error("the group's members share no protocol with this one")]
    InconsistentProtocol,
    #[error("another member has taken this one's instance id")]
    FencedInstance,
    #[error("the group has {limit} members already", limit = limits::MEMBERS_PER_GROUP_MAX)]
    GroupFull,
    #[error("there is no such group")]
    GroupNotFound,
    #[error("the group has members")]
    GroupNotEmpty,
    #[error("a member reads this topic")]
    GroupSubscribed,
    #[error("{found} bytes of metadata with an offset, at most {limit} are kept", limit = limits::OFFSET_METADATA_BYTES_MAX)]
    OffsetMetadataTooLarge { found: usize },
    #[error("there is no such topic or partition")]
    UnknownPartition,
    #[error("the group is read back from the log")]
    Loading,
    #[error("another shard keeps the group now")]
    NotCoordinator,
    #[error("the groups of this shard take all the memory they may have")]
    NoMemory,
    #[error("the offsets topic cannot be written: {0}")]
    Storage(AppendError),
    #[error("what is to be kept of the group passes the largest batch")]
    TooLarge,
    #[error("the member is at epoch {found}: it is out, and joins anew")]
    FencedMemberEpoch { found: i32 },
    #[error("the member is at epoch {found} now")]
    StaleMemberEpoch { found: i32 },
    #[error("another member holds this instance id")]
    UnreleasedInstance,
    #[error("there are the assignors {}", super::consumer::ASSIGNORS.join(" and "))]
    UnsupportedAssignor,
    #[error("the pattern of topics is not a regular expression, in the syntax of RE2")]
    InvalidPattern,
    #[error("members of this group assign by themselves")]
    NotAConsumerGroup,
    #[error("{0}")]
    InvalidRequest(&'static str),
    #[error("this is not allowed")]
    NotAuthorized,
}

impl From<AppendError> for GroupError {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::BatchTooLarge { .. } => Self::TooLarge,
            AppendError::Removed | AppendError::Stopping => Self::NotCoordinator,
            error => Self::Storage(error),
        }
    }
}
