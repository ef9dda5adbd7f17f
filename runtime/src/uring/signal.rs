//! Signals through a pipe: the handler writes a byte, the shard reads it as it reads any socket.
//!
//! glommio knows nothing of signals. This file is one of those that may use `unsafe`.

#![allow(unsafe_code, reason = "hands the read end of a socket pair to glommio")]

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::os::fd::{FromRawFd, IntoRawFd};
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::rc::Rc;

use futures_lite::io::AsyncRead;
use signal_hook::consts::{SIGINT, SIGTERM};

use super::task;
use crate::signal::Signal;
use crate::sync::Event;

thread_local! {
    static ARRIVED: RefCell<Option<Arrived>> = const { RefCell::new(None) };
}

/// The signals that have come since this executor first asked and that nobody was told of yet.
#[derive(Clone, Default)]
struct Arrived {
    signals: Rc<RefCell<VecDeque<Signal>>>,
    came: Event,
}

/// Resolves at the next SIGTERM or SIGINT, each of which is told to one waiter. From the first call on they do not end
/// the process by themselves any more.
pub async fn terminate() -> Signal {
    let arrived = ARRIVED.with_borrow_mut(|arrived| arrived.get_or_insert_with(watch).clone());
    loop {
        let came = arrived.came.wait();
        if let Some(signal) = arrived.signals.borrow_mut().pop_front() {
            return signal;
        }
        came.await;
    }
}

/// Forgets what an earlier executor of this thread watched.
pub(crate) fn reset() {
    ARRIVED.set(None);
}

fn watch() -> Arrived {
    let arrived = Arrived::default();
    for (number, signal) in [(SIGTERM, Signal::Terminate), (SIGINT, Signal::Interrupt)] {
        let stream = signal_stream(number).unwrap_or_else(|error| {
            panic!("cannot watch for {signal}, without which nobody can stop the process: {error}")
        });
        // It ends with the executor, which ends without waiting for it.
        drop(task::spawn(forward(stream, signal, arrived.clone())));
    }
    arrived
}

fn signal_stream(number: i32) -> io::Result<glommio::net::UnixStream> {
    let (read_end, write_end) = UnixStream::pair()?;
    signal_hook::low_level::pipe::register(number, write_end)?;
    // SAFETY: `into_raw_fd` has just given up the descriptor's ownership, so the stream is its only owner.
    Ok(unsafe { glommio::net::UnixStream::from_raw_fd(read_end.into_raw_fd()) })
}

async fn forward(mut stream: glommio::net::UnixStream, signal: Signal, arrived: Arrived) {
    // One byte a read: each is one signal, and a second one must not be lost in the first.
    let mut byte = [0; 1];
    while let Ok(1) = poll_fn(|context| Pin::new(&mut stream).poll_read(context, &mut byte)).await {
        arrived.signals.borrow_mut().push_back(signal);
        arrived.came.notify_all();
    }
}
