use bytes::BytesMut;

use super::*;
use crate::limits;
use crate::native::{BodyBuilder, Message, Ping};

fn ping_frame() -> BytesMut {
    let mut out = BytesMut::new();
    encode_message(&mut out, &mut BodyBuilder::new(), &Ping { sent_at_us: 7 }, 42, 3, 0);
    out
}

#[test]
fn a_frame_comes_back_as_it_was_written() {
    let frame = ping_frame();
    let header = FrameHeader::decode(&frame).unwrap();
    assert_eq!((header.kind, header.correlation_id, header.catalog_revision), (MessageKind::Ping, 42, 3));
    assert_eq!(header.frame_bytes(), frame.len() as u64);
    let body = &frame[FRAME_HEADER_BYTES..];
    verify(&frame, body).unwrap();
    assert_eq!(Ping::decode(body).unwrap(), Ping { sent_at_us: 7 });
}

#[test]
fn every_flipped_bit_of_header_or_body_is_noticed() {
    let frame = ping_frame();
    for bit in 0..frame.len() * 8 {
        let mut damaged = frame.to_vec();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let (header, body) = damaged.split_at(FRAME_HEADER_BYTES);
        let noticed = FrameHeader::decode(header).is_err() || verify(header, body).is_err();
        assert!(noticed, "bit {bit}");
    }
}

#[test]
fn a_length_above_the_kinds_limit_is_refused_before_anything_is_reserved() {
    let mut frame = ping_frame();
    frame[24..28].copy_from_slice(&u32::MAX.to_le_bytes());
    let error = FrameHeader::decode(&frame).unwrap_err();
    let limit = limits::HOT_BODY_BYTES_MAX;
    assert_eq!(error, FrameError::BodyTooLarge { kind: MessageKind::Ping, found: u32::MAX, limit });
    assert_eq!(error.skippable(), None);

    let mut frame = ping_frame();
    frame[28..32].copy_from_slice(&1_u32.to_le_bytes());
    let error = FrameHeader::decode(&frame).unwrap_err();
    assert_eq!(error, FrameError::PayloadTooLarge { kind: MessageKind::Ping, found: 1, limit: 0 });
}

#[test]
fn an_unknown_kind_can_be_answered_and_skipped() {
    let mut frame = ping_frame();
    frame[6..8].copy_from_slice(&9_999_u16.to_le_bytes());
    let skippable = FrameHeader::decode(&frame).unwrap_err().skippable().unwrap();
    assert_eq!(skippable, Skippable { correlation_id: 42, bytes: (frame.len() - FRAME_HEADER_BYTES) as u64 });
}

#[test]
fn a_session_may_take_less_than_the_hard_limit() {
    let header = FrameHeader::decode(&ping_frame()).unwrap();
    let bytes = usize::try_from(header.frame_bytes()).unwrap();
    header.check_frame_bytes(bytes).unwrap();
    assert!(matches!(header.check_frame_bytes(bytes - 1), Err(FrameError::TooLarge { .. })));
}

#[test]
fn every_kind_leads_back_from_its_number_and_fits_the_largest_frame() {
    for &kind in MessageKind::ALL {
        assert_eq!(MessageKind::from_number(kind.number()), Some(kind));
        assert!(
            FRAME_HEADER_BYTES + kind.body_bytes_max() + kind.payload_bytes_max() <= limits::FRAME_BYTES_MAX
        );
    }
}
