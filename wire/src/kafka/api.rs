//! The APIs that are served: keys, versions, headers.

use bytes::Bytes;

use super::field::{Field, Form, Text};
use super::read::{DecodeError, Problem, Reader};
use super::write::{Writer, WrittenFrame};

/// One API: a request and its answer.
pub trait Api {
    /// Its number on the wire.
    const KEY: ApiKey;
    type Request: Field;
    type Response: Field;
}

macro_rules! apis {
    ($($(#[$doc:meta])* $name:ident = $key:literal, $min:literal..=$max:literal, flexible $flexible:literal..;)*) => {
        /// The APIs this codec knows, by Kafka's names and numbers.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(i16)]
        pub enum ApiKey { $($(#[$doc])* $name = $key,)* }

        impl ApiKey {
            /// Every API, in the order of the table.
            pub const ALL: &[ApiKey] = &[$(ApiKey::$name,)*];

            /// The API with this number.
            pub const fn from_number(number: i16) -> Option<Self> {
                match number { $($key => Some(Self::$name),)* _ => None }
            }

            /// The oldest and the newest version this codec reads and writes.
            pub const fn versions(self) -> (i16, i16) {
                match self { $(Self::$name => ($min, $max),)* }
            }

            const fn flexible_from(self) -> i16 {
                match self { $(Self::$name => $flexible,)* }
            }
        }
    };
}

// name = key, versions read and written, the first flexible version
apis! {
    Produce = 0, 3..=13, flexible 9..;
    Fetch = 1, 4..=17, flexible 12..;
    ListOffsets = 2, 1..=10, flexible 6..;
    Metadata = 3, 0..=13, flexible 9..;
    OffsetCommit = 8, 2..=9, flexible 8..;
    OffsetFetch = 9, 1..=9, flexible 6..;
    FindCoordinator = 10, 0..=6, flexible 3..;
    JoinGroup = 11, 0..=9, flexible 6..;
    Heartbeat = 12, 0..=4, flexible 4..;
    LeaveGroup = 13, 0..=5, flexible 4..;
    SyncGroup = 14, 0..=5, flexible 4..;
    DescribeGroups = 15, 0..=6, flexible 5..;
    ListGroups = 16, 0..=5, flexible 3..;
    ApiVersions = 18, 0..=4, flexible 3..;
    CreateTopics = 19, 2..=7, flexible 5..;
    DeleteTopics = 20, 1..=6, flexible 4..;
    DeleteRecords = 21, 0..=2, flexible 2..;
    InitProducerId = 22, 0..=5, flexible 2..;
    OffsetForLeaderEpoch = 23, 2..=4, flexible 4..;
    DescribeConfigs = 32, 1..=4, flexible 4..;
    AlterConfigs = 33, 0..=2, flexible 2..;
    DescribeLogDirs = 35, 1..=4, flexible 2..;
    CreatePartitions = 37, 0..=3, flexible 2..;
    DeleteGroups = 42, 0..=2, flexible 2..;
    IncrementalAlterConfigs = 44, 0..=1, flexible 1..;
    ListPartitionReassignments = 46, 0..=0, flexible 0..;
    OffsetDelete = 47, 0..=0, flexible 1..;
    DescribeCluster = 60, 0..=2, flexible 0..;
    DescribeProducers = 61, 0..=0, flexible 0..;
    ConsumerGroupHeartbeat = 68, 0..=1, flexible 0..;
    ConsumerGroupDescribe = 69, 0..=1, flexible 0..;
    DescribeTopicPartitions = 75, 0..=0, flexible 0..;
}

impl ApiKey {
    /// The number on the wire.
    pub const fn number(self) -> i16 {
        self as i16
    }

    /// How this version of it is laid out.
    pub const fn form(self, version: i16) -> Form {
        Form { version, flexible: version >= self.flexible_from() }
    }

    /// Whether the codec reads this version.
    pub const fn has_version(self, version: i16) -> bool {
        let (min, max) = self.versions();
        version >= min && version <= max
    }
}

/// What stands in front of every request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestHeader {
    pub key: i16,
    pub version: i16,
    pub correlation_id: i32,
    /// Null from clients that do not say.
    pub client_id: Option<Text>,
}

impl RequestHeader {
    /// Reads it; what follows is the request. Of an API or a version nobody knows the tags are not read.
    pub fn read(from: &mut Reader) -> Result<Self, DecodeError> {
        from.enter("header");
        let (key, version, correlation_id) = (from.i16()?, from.i16()?, from.i32()?);
        let old_form = Form { version, flexible: false };
        let client_id = Option::<Text>::read(from, old_form)?;
        if let Some(api) = ApiKey::from_number(key)
            && api.has_version(version)
        {
            super::message::read_tags(from, api.form(version), |_, _| Ok(false))?;
        }
        Ok(Self { key, version, correlation_id, client_id })
    }

    fn write(&self, to: &mut Writer, form: Form) {
        self.key.write(to, form);
        self.version.write(to, form);
        self.correlation_id.write(to, form);
        self.client_id.write(to, Form { flexible: false, ..form });
        super::message::write_tags(to, form, &[]);
    }
}

/// Reads the request behind its header. Bytes that come after it are let be, as Kafka does: librdkafka 2.12 ends a Metadata
/// request for all topics with three of them.
pub fn decode_request<A: Api>(from: &mut Reader, version: i16) -> Result<A::Request, DecodeError> {
    let (min, max) = A::KEY.versions();
    if !A::KEY.has_version(version) {
        return Err(from.error(Problem::Version { found: version, min, max }));
    }
    A::Request::read(from, A::KEY.form(version))
}

/// A response frame. An answer to ApiVersions has the old header in every version: who asks does not know yet what the
/// broker speaks.
pub fn encode_response<A: Api>(version: i16, correlation_id: i32, response: &A::Response) -> WrittenFrame {
    let form = A::KEY.form(version);
    let mut to = Writer::frame();
    correlation_id.write(&mut to, form);
    if A::KEY != ApiKey::ApiVersions {
        super::message::write_tags(&mut to, form, &[]);
    }
    response.write(&mut to, form);
    to.finish()
}

/// A request frame.
pub fn encode_request<A: Api>(
    version: i16,
    correlation_id: i32,
    client_id: &str,
    request: &A::Request,
) -> WrittenFrame {
    let form = A::KEY.form(version);
    let client_id = Some(client_id.into());
    let header = RequestHeader { key: A::KEY.number(), version, correlation_id, client_id };
    let mut to = Writer::frame();
    header.write(&mut to, form);
    request.write(&mut to, form);
    to.finish()
}

/// Reads an answer, which begins behind its length: its correlation id, and what it says.
pub fn decode_response<A: Api>(frame: Bytes, version: i16) -> Result<(i32, A::Response), DecodeError> {
    let form = A::KEY.form(version);
    let mut from = Reader::new(frame);
    let correlation_id = from.i32()?;
    if A::KEY != ApiKey::ApiVersions {
        super::message::read_tags(&mut from, form, |_, _| Ok(false))?;
    }
    let response = A::Response::read(&mut from, form)?;
    from.finish()?;
    Ok((correlation_id, response))
}
