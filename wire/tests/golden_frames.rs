//! Every message's frame against a file: what old versions wrote must be read for good, and what this version writes must
//! not change unnoticed. A file is one frame, header and body, correlation id 0x0102030405060708, catalog revision 9.
//!
//! `UPDATE_GOLDEN=1 cargo test -p corelog-wire` writes files that do not exist yet; one that exists is never overwritten.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

mod support;

use std::path::PathBuf;

use bytes::BytesMut;
use support::Visitor;
use wire::codes::ErrorCode;
use wire::frame::{self, FRAME_HEADER_BYTES, FrameHeader, MessageKind};
use wire::native::{BodyBuilder, Message};

const CORRELATION_ID: u64 = 0x0102_0304_0506_0708;
const CATALOG_REVISION: u64 = 9;

fn path_of(kind: MessageKind) -> PathBuf {
    let name = format!("{:02}-{kind:?}.bin", kind.number());
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/frames").join(name)
}

fn document() -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/wire-format.md");
    std::fs::read_to_string(path).unwrap()
}

#[derive(Default)]
struct AgainstFiles {
    kinds: Vec<MessageKind>,
}

impl Visitor for AgainstFiles {
    fn visit<M: Message + Clone + PartialEq + std::fmt::Debug>(&mut self, example: M) {
        let mut written = BytesMut::new();
        let mut builder = BodyBuilder::new();
        frame::encode_message(&mut written, &mut builder, &example, CORRELATION_ID, CATALOG_REVISION, 0);
        let path = path_of(M::KIND);
        if !path.exists() && std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, &written).unwrap();
        }
        let golden = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert_eq!(written, golden, "{:?} is written differently", M::KIND);

        let header = FrameHeader::decode(&golden).unwrap();
        let body = &golden[FRAME_HEADER_BYTES..];
        assert_eq!((header.kind, header.correlation_id), (M::KIND, CORRELATION_ID));
        assert_eq!(header.frame_bytes(), golden.len() as u64);
        frame::verify(&golden, body).unwrap();
        assert_eq!(M::decode(body).unwrap(), example);
        self.kinds.push(M::KIND);
    }
}

#[test]
fn every_message_is_written_and_read_as_its_golden_file() {
    let mut visitor = AgainstFiles::default();
    support::for_each_message(&mut visitor);
    assert_eq!(visitor.kinds, MessageKind::ALL, "an example of each kind, in order");
}

#[test]
fn the_document_lists_every_kind_and_every_code_by_its_number() {
    let document = document();
    for kind in MessageKind::ALL {
        let row = format!("| {} | {kind:?} |", kind.number());
        assert!(document.contains(&row), "docs/wire-format.md has no row {row}");
    }
    for code in ErrorCode::ALL {
        let retriable = if code.is_retriable() { "yes" } else { "no" };
        let stored = if code.may_be_stored() { "yes" } else { "no" };
        let row = format!("| {} | {code:?} | {retriable} | {stored} |", code.number());
        assert!(document.contains(&row), "docs/wire-format.md has no row {row}");
    }
}

/// The document shows frames as `hexdump of NAME` blocks: 16 bytes a line, a comment behind two spaces and a `;`.
#[test]
fn the_frames_drawn_in_the_document_are_the_golden_ones() {
    let document = document();
    let mut shown = 0;
    for block in document.split("hexdump of ").skip(1) {
        let name = block.split_whitespace().next().unwrap();
        let (_, after) = block.split_once("```text\n").unwrap();
        let (lines, _) = after.split_once("```").unwrap();
        let hex: String = lines.lines().map(|line| line.split(';').next().unwrap()).collect();
        let digits: Vec<u8> = hex.bytes().filter(|digit| digit.is_ascii_hexdigit()).collect();
        let pairs = digits.chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
        let drawn: Vec<u8> = pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect();
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
        let golden = std::fs::read(folder.join(name)).unwrap();
        assert_eq!(drawn, golden, "{name} as the document draws it");
        shown += 1;
    }
    assert!(shown >= 2, "the document draws a frame and a batch");
}

#[test]
fn fields_of_a_newer_version_are_ignored_and_absent_ones_have_defaults() {
    // A Ping as if a later version had added a second field: vtable of two slots, both set.
    let newer: &[u8] = &[
        16, 0, 0, 0, // root table at 16
        0, 0, // padding
        8, 0, 24, 0, 8, 0, 16, 0, // vtable at 6: 8 bytes, table of 24, fields at 8 and 16
        0, 0, // padding
        10, 0, 0, 0, 0, 0, 0, 0, // table at 16: its vtable lies 10 bytes before
        7, 0, 0, 0, 0, 0, 0, 0, // sent_at_us
        9, 0, 0, 0, 0, 0, 0, 0, // the new field
    ];
    assert_eq!(wire::native::Ping::decode(newer).unwrap().sent_at_us, 7);
    // And as if an older one knew no field at all.
    let older: &[u8] = &[8, 0, 0, 0, 4, 0, 4, 0, 4, 0, 0, 0];
    assert_eq!(wire::native::Ping::decode(older).unwrap().sent_at_us, 0);
}
