//! Sends what a protocol's writer gathered, in one call where the socket takes it. Hot path.

use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::pin::pin;
use std::task::Poll;

use runtime::clock;
use runtime::net::WriteHalf;

use super::{Life, Link};

/// Sends all slices. An error when the socket takes no more, or when the connection is closed meanwhile.
pub(crate) async fn send(link: &Link, half: &mut WriteHalf, slices: &[IoSlice<'_>]) -> io::Result<()> {
    let bytes: usize = slices.iter().map(|slice| slice.len()).sum();
    link.sending_since.set(Some(clock::now()));
    let mut writing = pin!(half.write_all_vectored(slices));
    let sent = poll_fn(|context| {
        if let Poll::Ready(sent) = writing.as_mut().poll(context) {
            return Poll::Ready(sent);
        }
        // A dropped write leaves the stream good for closing only, which is what comes.
        while link.writer.poll_raised(context).is_ready() {
            if link.life() == Life::Closed {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
        }
        Poll::Pending
    })
    .await;
    link.sending_since.set(None);
    link.shard().metrics.sent_bytes.add(bytes as u64);
    sent
}
