//! The kinds of message, their numbers, and what each may carry. Numbers are never reused.

use crate::limits;

macro_rules! message_kinds {
    ($($(#[$doc:meta])* $name:ident = $number:literal, body $body:expr, payload $payload:expr;)*) => {
        /// What a frame is. The number is on the wire; gaps leave room beside related kinds.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u16)]
        pub enum MessageKind { $($(#[$doc])* $name = $number,)* }

        impl MessageKind {
            /// Every kind, in the order of their numbers.
            pub const ALL: &[MessageKind] = &[$(MessageKind::$name,)*];

            /// The kind with this number, if there is one.
            pub const fn from_number(number: u16) -> Option<Self> {
                match number { $($number => Some(Self::$name),)* _ => None }
            }

            /// The number on the wire.
            pub const fn number(self) -> u16 {
                self as u16
            }

            /// The longest body a frame of this kind may have.
            pub const fn body_bytes_max(self) -> usize {
                match self { $(Self::$name => $body,)* }
            }

            /// The longest payload a frame of this kind may have; 0 where it carries none.
            pub const fn payload_bytes_max(self) -> usize {
                match self { $(Self::$name => $payload,)* }
            }
        }
    };
}

/// A run of batches: what is left of the largest frame.
const RUN: usize = limits::FRAME_BYTES_MAX - limits::HOT_BODY_BYTES_MAX - super::FRAME_HEADER_BYTES;

message_kinds! {
    /// Opens a connection: what the client can do.
    Hello = 1, body limits::CONTROL_BODY_BYTES_MAX, payload 0;
    /// What was chosen, and the limits of this session.
    HelloReply = 2, body limits::CONTROL_BODY_BYTES_MAX, payload 0;
    /// One step of an authentication mechanism.
    Authenticate = 3, body limits::CONTROL_BODY_BYTES_MAX, payload 0;
    /// The broker's side of a step.
    AuthenticateReply = 4, body limits::CONTROL_BODY_BYTES_MAX, payload 0;
    /// Are you there?
    Ping = 5, body limits::HOT_BODY_BYTES_MAX, payload 0;
    /// Yes.
    Pong = 6, body limits::HOT_BODY_BYTES_MAX, payload 0;
    /// The sender will close; finish what is under way and connect elsewhere.
    GoingAway = 7, body limits::CONTROL_BODY_BYTES_MAX, payload 0;
    /// A request that could not be understood, or a reason to close.
    Error = 8, body limits::CONTROL_BODY_BYTES_MAX, payload 0;

    /// One batch for one partition.
    Produce = 16, body limits::HOT_BODY_BYTES_MAX, payload limits::BATCH_BYTES_MAX;
    /// The outcome of many Produce frames.
    ProduceAcks = 17, body limits::ACKS_BODY_BYTES_MAX, payload 0;
    /// Asks for a producer id.
    InitProducer = 18, body limits::CONTROL_BODY_BYTES_MAX, payload 0;
    /// The producer id.
    InitProducerReply = 19, body limits::HOT_BODY_BYTES_MAX, payload 0;

    /// Reads once, with a wait.
    Fetch = 32, body limits::HOT_BODY_BYTES_MAX, payload 0;
    /// Whole batches from the offset asked for.
    FetchReply = 33, body limits::HOT_BODY_BYTES_MAX, payload RUN;
    /// Opens a subscription; its id is this frame's correlation id.
    Subscribe = 34, body limits::HOT_BODY_BYTES_MAX, payload 0;
    /// Where the subscription starts.
    SubscribeReply = 35, body limits::HOT_BODY_BYTES_MAX, payload 0;
    /// Whole batches of a subscription, or its end.
    Push = 36, body limits::HOT_BODY_BYTES_MAX, payload RUN;
    /// More bytes may be pushed.
    Credit = 37, body limits::HOT_BODY_BYTES_MAX, payload 0;
    /// Ends a subscription; answered by a last Push.
    Unsubscribe = 38, body limits::HOT_BODY_BYTES_MAX, payload 0;
    /// Asks for an offset by position or time.
    ListOffsets = 39, body limits::HOT_BODY_BYTES_MAX, payload 0;
    /// The offset.
    ListOffsetsReply = 40, body limits::HOT_BODY_BYTES_MAX, payload 0;

    /// Asks where partitions live; may ask to be told of changes.
    Metadata = 64, body limits::METADATA_BODY_BYTES_MAX, payload 0;
    /// Topics, partitions, shards and their ports.
    MetadataReply = 65, body limits::DESCRIPTION_BODY_BYTES_MAX, payload 0;
    /// The catalog moved on to the revision in the header.
    CatalogChanged = 66, body limits::HOT_BODY_BYTES_MAX, payload 0;
    /// Makes a topic.
    CreateTopic = 67, body limits::CONTROL_BODY_BYTES_MAX, payload 0;
    /// The new topic's id.
    CreateTopicReply = 68, body limits::CONTROL_BODY_BYTES_MAX, payload 0;
    /// Removes a topic and its data.
    DeleteTopic = 69, body limits::CONTROL_BODY_BYTES_MAX, payload 0;
    /// The outcome.
    DeleteTopicReply = 70, body limits::CONTROL_BODY_BYTES_MAX, payload 0;
    /// Changes settings, or adds partitions.
    AlterTopic = 71, body limits::CONTROL_BODY_BYTES_MAX, payload 0;
    /// The outcome.
    AlterTopicReply = 72, body limits::CONTROL_BODY_BYTES_MAX, payload 0;
    /// Asks for a topic's settings and the state of its partitions.
    DescribeTopic = 73, body limits::CONTROL_BODY_BYTES_MAX, payload 0;
    /// Settings and partitions.
    DescribeTopicReply = 74, body limits::DESCRIPTION_BODY_BYTES_MAX, payload 0;
    /// Asks for a node's counters.
    DescribeNode = 75, body limits::CONTROL_BODY_BYTES_MAX, payload 0;
    /// The counters, as JSON.
    DescribeNodeReply = 76, body limits::DESCRIPTION_BODY_BYTES_MAX, payload 0;

    /// A member of a consumer group enters, lives, or leaves.
    GroupHeartbeat = 128, body limits::METADATA_BODY_BYTES_MAX, payload 0;
    /// What the member is to read.
    GroupHeartbeatReply = 129, body limits::METADATA_BODY_BYTES_MAX, payload 0;
    /// Keeps how far a group has come.
    CommitOffsets = 130, body limits::METADATA_BODY_BYTES_MAX, payload 0;
    /// The outcome.
    CommitOffsetsReply = 131, body limits::CONTROL_BODY_BYTES_MAX, payload 0;
    /// Asks how far a group has come.
    CommittedOffsets = 132, body limits::CONTROL_BODY_BYTES_MAX, payload 0;
    /// All that it has committed.
    CommittedOffsetsReply = 133, body limits::DESCRIPTION_BODY_BYTES_MAX, payload 0;
    /// Asks which groups there are.
    ListGroups = 134, body limits::CONTROL_BODY_BYTES_MAX, payload 0;
    /// These.
    ListGroupsReply = 135, body limits::DESCRIPTION_BODY_BYTES_MAX, payload 0;
    /// Asks what a group is made of.
    DescribeGroup = 136, body limits::CONTROL_BODY_BYTES_MAX, payload 0;
    /// Its members, and what each reads.
    DescribeGroupReply = 137, body limits::DESCRIPTION_BODY_BYTES_MAX, payload 0;
    /// Removes a group.
    DeleteGroup = 138, body limits::CONTROL_BODY_BYTES_MAX, payload 0;
    /// The outcome.
    DeleteGroupReply = 139, body limits::CONTROL_BODY_BYTES_MAX, payload 0;
}
