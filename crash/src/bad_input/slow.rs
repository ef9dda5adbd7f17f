//! Peers that speak properly and take their time.

use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::Duration;

use anyhow::{Result, anyhow};
use uuid::Uuid;
use wire::native::{Fetch, Metadata, TopicSelection};

use super::garbage;
use crate::broker::Connection;

/// What a slow writer sends at once, so that memory has to be taken for it.
const FIRST_BYTES: usize = 300 << 10;
/// Then a byte each of these.
const DRIP_INTERVAL: Duration = Duration::from_millis(200);

/// Asks for megabytes again and again, and takes none of them.
pub(super) fn reader(address: &str, topic_id: Uuid) -> Result<TcpStream> {
    let mut connection = Connection::open(address)?;
    for _ in 0..200 {
        let fetch =
            Fetch { topic_id, partition: 0, offset: 0, bytes_max: 8 << 20, bytes_min: 0, wait_ms_max: 0 };
        connection.send(&fetch, &[])?;
    }
    for _ in 0..2000 {
        connection.send(&Metadata { topics: TopicSelection::All, follow: false }, &[])?;
    }
    Ok(connection.into_stream())
}

/// Writers of large batches, a byte at a time, on one thread, until dropped or refused.
pub(super) struct Writers {
    stop: Arc<AtomicBool>,
    dripping: Option<JoinHandle<usize>>,
}

impl Writers {
    pub(super) fn start(address: &str, count: u64) -> Result<Self> {
        let mut streams = Vec::new();
        for _ in 0..count {
            let mut stream = Connection::open(address)?.into_stream();
            stream.write_all(&garbage::produce_frame(wire::limits::BATCH_BYTES_DEFAULT))?;
            // One that stops reading for want of memory stops us here.
            stream.set_nonblocking(true)?;
            let _some = stream.write(&vec![0; FIRST_BYTES]);
            streams.push(stream);
        }
        let stop = Arc::new(AtomicBool::new(false));
        let of_thread = Arc::clone(&stop);
        let dripping = spawn(move || {
            while !of_thread.load(Ordering::Relaxed) {
                sleep(DRIP_INTERVAL);
                streams.retain_mut(|stream| match stream.write(&[0]) {
                    Ok(_) => true,
                    Err(error) => error.kind() == std::io::ErrorKind::WouldBlock,
                });
            }
            streams.len()
        });
        Ok(Self { stop, dripping: Some(dripping) })
    }

    /// Ends them; how many the broker had not closed.
    pub(super) fn stop(mut self) -> Result<usize> {
        self.stop.store(true, Ordering::Relaxed);
        let dripping = self.dripping.take().ok_or_else(|| anyhow!("stopped twice"))?;
        dripping.join().map_err(|_| anyhow!("the slow writers panicked"))
    }
}

impl Drop for Writers {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
