//! The core on tokio.
//!
//! Inside a tokio runtime its tasks run there. Elsewhere the client brings a thread with a runtime of its own, so that an
//! application on another executor, or on none, uses the same API.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::sync::{Arc, OnceLock};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use wire::limits;

use super::until;
use crate::client::Client;
use crate::core::{Action, Clock, FrameReader, LinkRef, Moment, Outgoing, Transmit};
use crate::error::ClientError;
use crate::options::ClientOptions;
use crate::shared::Shared;

/// Slices handed to one vectored write; the kernel takes 1,024.
const SLICES_MAX: usize = 256;

static CLOCK: Clock = Clock { now, wall_ms, random };

fn origin() -> Instant {
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    *ORIGIN.get_or_init(Instant::now)
}

fn now() -> Moment {
    Moment(u64::try_from(origin().elapsed().as_nanos()).unwrap_or(u64::MAX))
}

fn wall_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn random() -> u64 {
    uuid::Uuid::new_v4().as_u64_pair().1.rotate_left(8)
}

impl Client {
    /// A client of the broker at these options' servers. Connecting happens beside: the first request waits for it.
    pub fn connect(options: ClientOptions) -> Result<Client, ClientError> {
        if options.servers.is_empty() {
            return Err(ClientError::Invalid { reason: "no server to connect to".into() });
        }
        let _ = origin();
        let shared = Shared::new(options, CLOCK);
        let client = Client::of(shared.clone());
        match tokio::runtime::Handle::try_current() {
            Ok(handle) => drop(handle.spawn(drive(shared))),
            Err(_) => start_thread(shared)?,
        }
        Ok(client)
    }
}

fn start_thread(shared: Arc<Shared>) -> Result<(), ClientError> {
    let failed =
        |error: io::Error| ClientError::Invalid { reason: format!("cannot start a thread: {error}") };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let run = move || runtime.block_on(drive(shared));
    std::thread::Builder::new().name("corelog-client".into()).spawn(run).map_err(failed)?;
    Ok(())
}

/// Opens what the core asks for and tells it the time, until it is closed.
async fn drive(shared: Arc<Shared>) {
    loop {
        let deadline = {
            let mut core = shared.core();
            if core.is_closed() {
                return;
            }
            core.on_time(shared.now());
            while let Some(Action::Connect { link, address }) = core.next_action() {
                drop(tokio::spawn(connection(shared.clone(), link, address)));
            }
            core.next_deadline()
        };
        let changed = poll_fn(|context| shared.poll_driver(deadline, context));
        match deadline {
            None => changed.await,
            Some(deadline) => {
                let wait = deadline.since(shared.now());
                // Over or changed: either way the loop looks again.
                let _ = tokio::time::timeout(wait, changed).await;
            }
        }
    }
}

async fn connection(shared: Arc<Shared>, link: LinkRef, address: String) {
    let timeout = shared.core().options().connect_timeout;
    let stream = match tokio::time::timeout(timeout, TcpStream::connect(&address)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return lost(&shared, link, &format!("{address}: {error}")),
        Err(_) => return lost(&shared, link, &format!("{address}: no answer within {timeout:?}")),
    };
    // Batches are gathered by the core; Nagle's timer would only delay them.
    if let Err(error) = stream.set_nodelay(true) {
        return lost(&shared, link, &error.to_string());
    }
    let (reading, writing) = stream.into_split();
    shared.core().connected(link, shared.now());
    let writer = tokio::spawn(write(shared.clone(), link, writing));
    read(&shared, link, reading).await;
    writer.abort();
}

fn lost(shared: &Shared, link: LinkRef, reason: &str) {
    shared.core().disconnected(link, reason, shared.now());
}

async fn read(shared: &Shared, link: LinkRef, mut half: OwnedReadHalf) {
    let mut frames = FrameReader::new(limits::FRAME_BYTES_MAX);
    let mut whole = Vec::new();
    loop {
        let over = poll_fn(|context| shared.core().poll_over(link, context));
        let Some(received) = until(over, half.read_buf(frames.receive_buffer())).await else { return };
        match received {
            Ok(0) => return lost(shared, link, "closed by the broker"),
            Ok(_) => {}
            Err(error) => return lost(shared, link, &error.to_string()),
        }
        let result = loop {
            match frames.next_frame() {
                Ok(Some(frame)) => whole.push(frame),
                Ok(None) => break Ok(()),
                Err(error) => break Err(ClientError::from(error)),
            }
        };
        let taken = shared.core().received(link, whole.drain(..), shared.now());
        if let Err(error) = taken.and(result) {
            return lost(shared, link, &error.to_string());
        }
    }
}

async fn write(shared: Arc<Shared>, link: LinkRef, mut half: OwnedWriteHalf) {
    let mut outgoing = Outgoing::default();
    loop {
        let next = poll_fn(|context| {
            let now = shared.now();
            shared.core().transmit(link, &mut outgoing, now, context)
        });
        if next.await == Transmit::Over {
            return;
        }
        if let Err(error) = write_all(&mut half, &mut outgoing.slices).await {
            return lost(&shared, link, &error.to_string());
        }
    }
}

/// As many slices a call as the kernel likes.
async fn write_all(half: &mut OwnedWriteHalf, slices: &mut Vec<Bytes>) -> io::Result<()> {
    let mut first = 0;
    while first < slices.len() {
        let mut written = {
            let borrowed: Vec<IoSlice<'_>> =
                slices[first..].iter().take(SLICES_MAX).map(|slice| IoSlice::new(slice)).collect();
            half.write_vectored(&borrowed).await?
        };
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        while written > 0 {
            let slice = &mut slices[first];
            let step = written.min(slice.len());
            slice.advance(step);
            written -= step;
            first += usize::from(slice.is_empty());
        }
    }
    slices.clear();
    Ok(())
}
