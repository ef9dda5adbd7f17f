//! Cuts what was received into frames. Hot path.

use bytes::{Buf, Bytes};
use wire::frame::{FRAME_HEADER_BYTES, FrameError, FrameHeader, verify};

use crate::connection::{self, Receiver};
use crate::limits;
use crate::shard::Reservation;

/// Why no more frames come.
pub(super) enum Ended {
    /// The peer said so, or the connection drains or is closed.
    Over,
    Frame(FrameError),
    /// The shard's receive memory was in use for too long.
    NoMemory,
}

impl From<connection::Ended> for Ended {
    fn from(ended: connection::Ended) -> Self {
        match ended {
            connection::Ended::Over => Self::Over,
            connection::Ended::NoMemory => Self::NoMemory,
        }
    }
}

/// One frame.
pub(super) struct Frame {
    pub(super) header: FrameHeader,
    pub(super) body: Bytes,
    pub(super) payload: Bytes,
    /// Of the receive buffer, beside the payload: as long as the payload is held, so is this.
    pub(super) overhead: usize,
    /// A large payload's receive memory, until the storage counts it.
    pub(super) held: Option<Reservation>,
}

/// The next frame that has arrived whole, if one has. Its checksum is right. `None`: receive more.
#[inline]
pub(super) fn next_frame(
    receiver: &mut Receiver,
    frame_bytes_max: usize,
) -> Result<Option<Frame>, FrameError> {
    if receiver.received().len() < FRAME_HEADER_BYTES {
        return Ok(None);
    }
    let header = FrameHeader::decode(receiver.received())?;
    header.check_frame_bytes(frame_bytes_max)?;
    let body_end = FRAME_HEADER_BYTES + header.body_length as usize;
    let end = body_end + header.payload_length as usize;
    if receiver.received().len() < end {
        return Ok(None);
    }
    let body = take_body(receiver, body_end)?;
    let (payload, overhead) = receiver.take_payload(end - body_end);
    Ok(Some(Frame { header, body, payload, overhead, held: None }))
}

/// The header of a frame whose large payload is still to come, once its body is here. Then
/// [`Receiver::receive_payload`] is next.
pub(super) fn next_large_frame(receiver: &mut Receiver) -> Result<Option<Frame>, FrameError> {
    if receiver.received().len() < FRAME_HEADER_BYTES {
        return Ok(None);
    }
    let header = FrameHeader::decode(receiver.received())?;
    let body_end = FRAME_HEADER_BYTES + header.body_length as usize;
    if (header.payload_length as usize) <= limits::PAYLOAD_IN_BUFFER_MAX
        || receiver.received().len() < body_end
    {
        return Ok(None);
    }
    let body = take_body(receiver, body_end)?;
    Ok(Some(Frame { header, body, payload: Bytes::new(), overhead: 0, held: None }))
}

fn take_body(receiver: &mut Receiver, body_end: usize) -> Result<Bytes, FrameError> {
    let (header, rest) = receiver.received().split_at(FRAME_HEADER_BYTES);
    verify(header, &rest[..body_end - FRAME_HEADER_BYTES])?;
    let mut body = receiver.take(body_end);
    body.advance(FRAME_HEADER_BYTES);
    Ok(body)
}
