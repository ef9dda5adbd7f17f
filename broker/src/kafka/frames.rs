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
    let bytes_max = link.shard().config.frame_bytes_max;
    let length = usize::try_from(announced).ok().filter(|length| *length >= REQUEST_BYTES_MIN);
    let length = length.filter(|length| *length <= bytes_max).ok_or_else(|| {
        Ended::Refused(format!("a request of {announced} bytes, of {REQUEST_BYTES_MIN} to {bytes_max}"))
    })?;
    if receiver.received().len() >= LENGTH_BYTES + length {
        receiver.take(LENGTH_BYTES);
        let (bytes, overhead) = receiver.take_payload(length);
        return Ok(Some(Frame { bytes, overhead, held: None }));
    }
    if length <= limits::PAYLOAD_IN_BUFFER_MAX || receiver.received().len() < LENGTH_BYTES + size_of::<i16>()
    {
        return Ok(None);
    }
    let key = i16::from_be_bytes([receiver.received()[LENGTH_BYTES], receiver.received()[LENGTH_BYTES + 1]]);
    if key == ApiKey::Produce.number() {
        link.wait_for_storage().await?;
    }
    receiver.take(LENGTH_BYTES);
    let (bytes, held) = receiver.receive_payload(length, link).await?;
    Ok(Some(Frame { bytes, overhead: 0, held: Some(held) }))
}
