//! How large anything on the wire may be. A peer that goes beyond gets an error by name; nobody reserves memory first.
//!
//! Two kinds: `*_MAX` cannot be configured away, `*_DEFAULT` is what a broker offers unless it is told otherwise
//! (HelloReply carries what it chose).

/// The largest frame, header and payload included. A batch of [`BATCH_BYTES_MAX`] and a body fit with room for what
/// comes later.
pub const FRAME_BYTES_MAX: usize = 128 * MIB;
/// The frame a broker takes by default: two of the largest default batches, so that a FetchReply is not cut to one.
pub const FRAME_BYTES_DEFAULT: usize = 16 * MIB + 64 * KIB;

/// The largest record batch: above it, one batch would hold a core's buffers for too long.
pub const BATCH_BYTES_MAX: usize = 64 * MIB;
/// The record batch a broker takes by default.
pub const BATCH_BYTES_DEFAULT: usize = 8 * MIB;

/// Bodies of the hot messages are a few dozen bytes; the rest is room for fields to come.
pub const HOT_BODY_BYTES_MAX: usize = 4 * KIB;
/// One frame acknowledges at most this many produces: 32 bytes each, 1 MiB in all.
pub const ACKS_PER_FRAME_MAX: usize = 32 * 1024;
/// Room for [`ACKS_PER_FRAME_MAX`] and the table around them.
pub const ACKS_BODY_BYTES_MAX: usize = ACKS_PER_FRAME_MAX * 32 + HOT_BODY_BYTES_MAX;
/// Bodies of requests of the control path, and of everything before a session is authenticated.
pub const CONTROL_BODY_BYTES_MAX: usize = 64 * KIB;
/// A Metadata request may name many topics.
pub const METADATA_BODY_BYTES_MAX: usize = MIB;
/// Replies that describe a whole node: 100,000 partitions at about 60 bytes, and their topics' names, fit twice.
pub const DESCRIPTION_BODY_BYTES_MAX: usize = 16 * MIB;

/// Topics one Metadata request may name; a client with more asks again, or for all.
pub const TOPICS_PER_REQUEST_MAX: usize = 10_000;
/// Settings one request may give. Kafka knows about 40 for a topic.
pub const SETTINGS_PER_REQUEST_MAX: usize = 256;
/// Offsets of a group in one message.
pub const GROUP_OFFSETS_PER_MESSAGE_MAX: usize = 100_000;
/// Kafka's limit for a topic's name: it is a folder's name with a suffix, and file systems stop at 255.
pub const TOPIC_NAME_BYTES_MAX: usize = 249;

/// Tables inside tables: a reply holds topics that hold partitions.
pub const BODY_DEPTH_MAX: usize = 4;
/// A flatbuffer may point to the same bytes many times, so a small body can describe a large message. Decoding stops
/// when the bytes visited reach this many times the body's length. Honest bodies share vtables only: a table
/// with one field set out of twelve visits 66 bytes for the 12 it takes, which is the worst of ours.
pub const BODY_EXPANSION_MAX: usize = 8;

/// What the records of one compressed batch may grow to.
pub const UNCOMPRESSED_BATCH_BYTES_MAX: usize = 128 * MIB;
/// A compressed batch that a broker looks into decompresses to no more than this; one of more is believed.
pub const OPENED_BATCH_BYTES_MAX: usize = 8 * MIB;
/// The smallest record: length, attributes, two deltas, no key, no value, no header.
pub const RECORD_BYTES_MIN: usize = 7;
/// Records in one batch. A compressed batch is not opened by the broker, so its count is believed; without this bound a
/// hundred bytes could take two thousand million offsets.
pub const RECORDS_PER_BATCH_MAX: usize = UNCOMPRESSED_BATCH_BYTES_MAX / RECORD_BYTES_MIN;
/// Headers of one record: Kafka sets no limit; beyond this a record is noise.
pub const HEADERS_PER_RECORD_MAX: usize = 10_000;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

const _: () = assert!(BATCH_BYTES_DEFAULT <= BATCH_BYTES_MAX);
const _: () = assert!(FRAME_BYTES_DEFAULT <= FRAME_BYTES_MAX);
const _: () = assert!(
    BATCH_BYTES_DEFAULT + HOT_BODY_BYTES_MAX + crate::frame::FRAME_HEADER_BYTES <= FRAME_BYTES_DEFAULT
);
const _: () =
    assert!(BATCH_BYTES_MAX + HOT_BODY_BYTES_MAX + crate::frame::FRAME_HEADER_BYTES <= FRAME_BYTES_MAX);
const _: () = assert!(DESCRIPTION_BODY_BYTES_MAX + crate::frame::FRAME_HEADER_BYTES <= FRAME_BYTES_DEFAULT);
const _: () =
    assert!(FRAME_BYTES_MAX <= u32::MAX as usize && UNCOMPRESSED_BATCH_BYTES_MAX <= i32::MAX as usize);
