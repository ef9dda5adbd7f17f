//! A body decoded as the kind its first byte chooses. What decodes is encoded and decoded again: the same message.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::frame::MessageKind;
use wire::native::*;

fn round_trip<M: Message + PartialEq + std::fmt::Debug>(body: &[u8]) {
    if let Ok(message) = M::decode(body) {
        let mut builder = BodyBuilder::new();
        let encoded = message.encode(&mut builder);
        assert_eq!(M::decode(encoded).as_ref(), Ok(&message));
    }
}

macro_rules! round_trip_by_kind {
    ($kind:expr, $body:expr, $($name:ident)*) => {
        match $kind { $(MessageKind::$name => round_trip::<$name>($body),)* }
    };
}

fuzz_target!(|bytes: &[u8]| {
    let Some((&chosen, body)) = bytes.split_first() else { return };
    let kind = MessageKind::ALL[usize::from(chosen) % MessageKind::ALL.len()];
    round_trip_by_kind!(kind, body,
        Hello HelloReply Authenticate AuthenticateReply Ping Pong GoingAway Error
        Produce ProduceAcks InitProducer InitProducerReply
        Fetch FetchReply Subscribe SubscribeReply Push Credit Unsubscribe ListOffsets ListOffsetsReply
        Metadata MetadataReply CatalogChanged CreateTopic CreateTopicReply DeleteTopic DeleteTopicReply
        AlterTopic AlterTopicReply DescribeTopic DescribeTopicReply DescribeNode DescribeNodeReply
        GroupHeartbeat GroupHeartbeatReply CommitOffsets CommitOffsetsReply CommittedOffsets CommittedOffsetsReply
        ListGroups ListGroupsReply DescribeGroup DescribeGroupReply DeleteGroup DeleteGroupReply);
});
