//! Cuts what was received into requests. Hot path.
//!
//! ```text
//!   | length 4 | key 2 | version 2 | correlation id 4 | client id 2 + ... |
//! ```

use bytes::Bytes;
use wire::kafka::ApiKey;

use crate::connection::{self, Link, Receiver};
use crate::limits;
use crate::shard::Reservation;

const LENGTH_BYTES: usize = 4;
/// The shortest request is its header, without a client's name.
const REQUEST_BYTES_MIN: usize = 10;

/// Why no more requests come.
#[derive(Debug)]
pub(super) enum Ended {
    /// The peer said so, or the connection drains or is closed.
    Over,
    /// The shard's receive memory was in use for too long.
    NoMemory,
    /// Something that cannot be answered.
    Refused(String),
}

impl From<connection::Ended> for Ended {
    fn from(ended: connection::Ended) -> Self {
        match ended {
            connection::Ended::Over => Self::Over,
            connection::Ended::NoMemory => Self::NoMemory,
        }
    }
}

/// One request, from its header on.
pub(super) struct Frame {
    pub(super) bytes: Bytes,
    /// Of the receive buffer, beside the request: as long as a part of the request is held, so is this.
    pub(super) overhead: usize,
    /// Of the shard's receive memory, for a request in a buffer of its own.
    pub(super) held: Option<Reservation>,
}

/// The next request, if it has come; a large one is received here.
pub(super) async fn next(link: &Link, receiver: &mut Receiver) -> Result<Option<Frame>, Ended> {
    let Some(prefix) = receiver.received().first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
    let announced = i32::from_be_bytes(*prefix);
    let key = receiver.received()[LENGTH_BYTES..].first_chunk().map(|key| i16::from_be_bytes(*key));
    let length = length_of(announced, key, link)?;
    if receiver.received().len() >= LENGTH_BYTES + length {
        receiver.take(LENGTH_BYTES);
        let (bytes, overhead) = receiver.take_payload(length);
        return Ok(Some(Frame { bytes, overhead, held: None }));
    }
    let Some(key) = key.filter(|_| length > limits::PAYLOAD_IN_BUFFER_MAX) else { return Ok(None) };
    if key == ApiKey::Produce.number() {
        link.wait_for_storage().await?;
    }
    receiver.take(LENGTH_BYTES);
    let (bytes, held) = receiver.receive_payload(length, link).await?;
    Ok(Some(Frame { bytes, overhead: 0, held: Some(held) }))
}

/// The length of a request, if it may have it. Produce may be longer than others; which it is may not have come yet.
fn length_of(announced: i32, key: Option<i16>, link: &Link) -> Result<usize, Ended> {
    let config = &link.shard().config;
    let is_produce = key.is_none_or(|key| key == ApiKey::Produce.number());
    let bytes_max = if is_produce { config.produce_request_bytes_max() } else { config.frame_bytes_max };
    let length = usize::try_from(announced).ok();
    length.filter(|length| (REQUEST_BYTES_MIN..=bytes_max).contains(length)).ok_or_else(|| {
        let more = match is_produce && bytes_max < limits::PRODUCE_REQUEST_BYTES_MAX {
            true => "; with more --memory it may have more",
            false => "",
        };
        let what =
            format!("a request of {announced} bytes: it may have {REQUEST_BYTES_MIN} to {bytes_max}{more}");
        Ended::Refused(what)
    })
}
