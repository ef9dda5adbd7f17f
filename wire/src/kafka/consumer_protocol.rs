//! What consumers say to each other through a classic group: which topics each wants, and which partitions each gets.
//!
//! To the coordinator these are bytes; it looks into a subscription only to know which topics a group reads. Both begin with
//! their version, and a reader takes what it knows of a newer one, as Kafka's clients do.
//!
//! Source: `ConsumerProtocolSubscription.json` and `ConsumerProtocolAssignment.json` of Apache Kafka.

use bytes::Bytes;

use super::field::{Field, Form, Text};
use super::message::message;
use super::read::{DecodeError, Reader};
use super::write::Writer;

/// The newest version of both that is read and written.
const VERSION_MAX: i16 = 3;
/// The type of protocol that consumers join with.
pub const CONSUMER_PROTOCOL_TYPE: &str = "consumer";

message! {
    /// What a member wants.
    pub struct ConsumerSubscription {
        topics: Vec<Text>, 0..;
        user_data: Option<Bytes>, 0..;
        owned_partitions: Vec<ConsumerPartitions>, 1..;
        generation_id: i32, 2.. => -1;
        rack_id: Option<Text>, 3..;
    }

    /// What a member gets.
    pub struct ConsumerAssignment {
        assigned_partitions: Vec<ConsumerPartitions>, 0..;
        user_data: Option<Bytes>, 0..;
    }

    /// Partitions of a topic.
    pub struct ConsumerPartitions {
        topic: Text, 0..;
        partitions: Vec<i32>, 0..;
    }
}

/// A message that consumers send each other.
pub trait ConsumerMessage: Field {
    /// Reads it; what follows is of a newer version.
    fn decode(bytes: Bytes, elements_max: usize) -> Result<Self, DecodeError> {
        let mut from = Reader::with_elements_max(bytes, elements_max);
        from.enter("consumer protocol");
        let version = from.i16()?.clamp(0, VERSION_MAX);
        Self::read(&mut from, Form { version, flexible: false })
    }

    /// Writes it in this version.
    fn encode(&self, version: i16) -> Bytes {
        let form = Form { version: version.clamp(0, VERSION_MAX), flexible: false };
        let mut to = Writer::default();
        form.version.write(&mut to, form);
        self.write(&mut to, form);
        to.into_gathered().freeze()
    }
}

impl ConsumerMessage for ConsumerSubscription {}
impl ConsumerMessage for ConsumerAssignment {}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::{ConsumerProtocolAssignment, ConsumerProtocolSubscription};
    use kafka_protocol::protocol::{Decodable, Encodable};

    use super::*;
    use crate::kafka::tests::{Any, Random};

    #[test]
    fn both_directions_agree_with_kafkas_own_tables_at_every_version() {
        let mut random = Random::new(7);
        for version in 0..=VERSION_MAX {
            for _ in 0..200 {
                let subscription = ConsumerSubscription::any(&mut random);
                let encoded = subscription.encode(version);
                let theirs = ConsumerProtocolSubscription::decode(&mut encoded.slice(2..), version).unwrap();
                let mut again = bytes::BytesMut::new();
                theirs.encode(&mut again, version).unwrap();
                assert_eq!(encoded.slice(2..), again, "version {version}");
                assert_eq!(
                    ConsumerSubscription::decode(encoded.clone(), usize::MAX).unwrap().encode(version),
                    encoded
                );
                let encoded = ConsumerAssignment::any(&mut random).encode(version);
                let theirs = ConsumerProtocolAssignment::decode(&mut encoded.slice(2..), version).unwrap();
                let mut again = bytes::BytesMut::new();
                theirs.encode(&mut again, version).unwrap();
                assert_eq!(encoded.slice(2..), again, "version {version}");
            }
        }
    }

    #[test]
    fn a_newer_version_is_read_as_far_as_it_is_known() {
        let bytes = b"\0\x09\0\0\0\x01\0\x01t\xff\xff\xff\xff\0\0\0\0\xff\xff\xff\xff\xff\xffnew";
        let subscription = ConsumerSubscription::decode(Bytes::from_static(bytes), 10).unwrap();
        assert_eq!(subscription.topics, [Text::from("t")]);
        assert!(ConsumerSubscription::decode(Bytes::from_static(b"\0\0\0\0\x10\0"), 10).is_err());
    }
}
