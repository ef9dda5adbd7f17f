//! From received bytes to frames.
//!
//! Hot path. A frame's body and payload are slices of the receive buffer, never copied out of it. Buffers that the
//! application has let go of are used again, so a steady consumer allocates nothing.
//!
//! Invariant: memory is reserved for a frame only after its header passed every check, its limit included.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use wire::frame::{self, FRAME_HEADER_BYTES, FrameError, FrameHeader};

/// What a connection reads at once, at least.
const READ_BYTES_MIN: usize = 64 * 1024;
/// Buffers do not grow beyond this for frames that follow each other; one larger frame gets its own.
const READ_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Buffers kept for the moment the application lets go of them.
const RETIRED_BUFFERS_MAX: usize = 8;

/// One received frame whose checksum was right.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Its header.
    pub header: FrameHeader,
    /// The flatbuffer.
    pub body: Bytes,
    /// Record batches, or nothing.
    pub payload: Bytes,
}

/// The receive buffer of one connection.
#[derive(Debug)]
pub struct FrameReader {
    buffer: BytesMut,
    retired: VecDeque<BytesMut>,
    /// Grows with the frames that come.
    read_bytes: usize,
    frame_bytes_max: usize,
}

impl FrameReader {
    /// For frames up to `frame_bytes_max`.
    pub fn new(frame_bytes_max: usize) -> Self {
        Self {
            buffer: BytesMut::new(),
            retired: VecDeque::new(),
            read_bytes: READ_BYTES_MIN,
            frame_bytes_max,
        }
    }

    /// The buffer to receive into: append what comes to its spare capacity, which is never empty.
    pub fn receive_buffer(&mut self) -> &mut BytesMut {
        let spare = self.buffer.capacity() - self.buffer.len();
        let missing = self.frame_bytes().saturating_sub(self.buffer.len()).max(1);
        if spare < missing.min(READ_BYTES_MAX) || spare < READ_BYTES_MIN / 16 {
            self.move_to_fresh_buffer(self.buffer.len() + missing);
        }
        &mut self.buffer
    }

    /// The length of the frame that the buffer begins with, as far as known.
    fn frame_bytes(&self) -> usize {
        match FrameHeader::decode(&self.buffer) {
            Ok(header) => {
                usize::try_from(header.frame_bytes()).unwrap_or(usize::MAX).min(self.frame_bytes_max)
            }
            Err(_) => FRAME_HEADER_BYTES,
        }
    }

    fn move_to_fresh_buffer(&mut self, bytes_min: usize) {
        if bytes_min > self.read_bytes / 2 {
            self.read_bytes = (2 * bytes_min).next_power_of_two().clamp(READ_BYTES_MIN, READ_BYTES_MAX);
        }
        let wanted = bytes_min.max(self.read_bytes);
        let mut fresh = self.reclaim(wanted).unwrap_or_else(|| BytesMut::with_capacity(wanted));
        fresh.extend_from_slice(&self.buffer);
        self.buffer.clear();
        let retired = std::mem::replace(&mut self.buffer, fresh);
        if self.retired.len() == RETIRED_BUFFERS_MAX {
            self.retired.pop_front();
        }
        self.retired.push_back(retired);
    }

    /// A buffer that nobody holds any more. The oldest are the most likely.
    fn reclaim(&mut self, bytes: usize) -> Option<BytesMut> {
        let position = self.retired.iter_mut().position(|buffer| buffer.try_reclaim(bytes))?;
        self.retired.remove(position)
    }

    /// The next whole frame, or `None` until more is received. An unknown kind is skipped by the caller's rule: it is an
    /// error here, because this client never offers features whose messages it does not know.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        if self.buffer.len() < FRAME_HEADER_BYTES {
            return Ok(None);
        }
        let header = FrameHeader::decode(&self.buffer)?;
        header.check_frame_bytes(self.frame_bytes_max)?;
        let frame_bytes = usize::try_from(header.frame_bytes()).unwrap_or(usize::MAX);
        if self.buffer.len() < frame_bytes {
            return Ok(None);
        }
        let mut bytes = self.buffer.split_to(frame_bytes).freeze();
        let head = bytes.split_to(FRAME_HEADER_BYTES);
        let body = bytes.split_to(header.body_length as usize);
        frame::verify(&head, &body)?;
        Ok(Some(Frame { header, body, payload: bytes }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::frame::MessageKind;

    fn frame_bytes(correlation_id: u64, payload: &[u8]) -> Vec<u8> {
        let mut out = BytesMut::new();
        frame::encode(&mut out, MessageKind::Push, correlation_id, 3, b"body", payload.len());
        out.extend_from_slice(payload);
        out.to_vec()
    }

    /// Feeds `stream` in pieces of `step` bytes and returns what came out.
    fn read_all(stream: &[u8], step: usize) -> Vec<Frame> {
        let mut reader = FrameReader::new(wire::limits::FRAME_BYTES_DEFAULT);
        let mut frames = Vec::new();
        for piece in stream.chunks(step) {
            let mut rest = piece;
            while !rest.is_empty() {
                let buffer = reader.receive_buffer();
                let count = rest.len().min(buffer.capacity() - buffer.len());
                assert!(count > 0, "the receive buffer has room");
                buffer.extend_from_slice(&rest[..count]);
                rest = &rest[count..];
                while let Some(frame) = reader.next_frame().unwrap() {
                    frames.push(frame);
                }
            }
        }
        frames
    }

    #[test]
    fn frames_come_out_whole_however_the_stream_is_cut() {
        let mut stream = Vec::new();
        let sizes = [0, 1, 500, 70_000, 3, 1 << 20, 1 << 20, 20];
        for (index, size) in sizes.into_iter().enumerate() {
            stream.extend(frame_bytes(index as u64, &vec![index as u8; size]));
        }
        for step in [1, 39, 4_096, 100_000, stream.len()] {
            if step == 1 && cfg!(miri) {
                continue;
            }
            let frames = read_all(&stream, step);
            assert_eq!(frames.len(), sizes.len());
            for (index, (frame, size)) in frames.iter().zip(sizes).enumerate() {
                assert_eq!(frame.header.correlation_id, index as u64);
                assert_eq!(frame.payload.len(), size);
                assert!(frame.payload.iter().all(|&byte| byte == index as u8));
            }
        }
    }

    #[test]
    fn a_frame_above_the_limit_or_with_a_wrong_checksum_is_refused() {
        let mut reader = FrameReader::new(1_000);
        reader.receive_buffer().extend_from_slice(&frame_bytes(1, &[0; 2_000])[..100]);
        assert!(matches!(reader.next_frame(), Err(FrameError::TooLarge { .. })));
        let mut damaged = frame_bytes(1, b"x");
        damaged[41] ^= 1;
        let mut reader = FrameReader::new(1_000);
        reader.receive_buffer().extend_from_slice(&damaged);
        assert!(matches!(reader.next_frame(), Err(FrameError::Checksum { .. })));
    }

    #[test]
    fn buffers_let_go_of_are_used_again() {
        let mut reader = FrameReader::new(wire::limits::FRAME_BYTES_DEFAULT);
        let bytes = frame_bytes(1, &vec![7; 1 << 20]);
        let mut addresses = std::collections::BTreeSet::new();
        for _ in 0..200 {
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let buffer = reader.receive_buffer();
                let count = rest.len().min(buffer.capacity() - buffer.len());
                buffer.extend_from_slice(&rest[..count]);
                rest = &rest[count..];
            }
            let frame = reader.next_frame().unwrap().unwrap();
            addresses.insert(frame.payload.as_ptr() as usize);
        }
        assert!(addresses.len() < 40, "{} places for 200 frames", addresses.len());
    }
}
