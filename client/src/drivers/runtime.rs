//! The core on an executor of the crate `runtime`: the load generator's shards, and the simulator.
//!
//! Everything runs on the shard that made the client, and ends with it.

use std::future::poll_fn;
use std::io::IoSlice;
use std::sync::Arc;

use runtime::net::{ReadHalf, TcpStream, WriteHalf};
use runtime::{clock, net, random, task};
use wire::limits;

use super::until;
use crate::client::Client;
use crate::core::{Action, Clock, FrameReader, LinkRef, Moment, Outgoing, Transmit};
use crate::error::ClientError;
use crate::options::ClientOptions;
use crate::shared::Shared;

static CLOCK: Clock = Clock { now, wall_ms: clock::wall_ms, random: random::u64 };

fn now() -> Moment {
    Moment(clock::now().as_nanos())
}

impl Client {
    /// A client whose tasks run on this shard. Connecting happens beside: the first request waits for it.
    pub fn connect_on_shard(options: ClientOptions) -> Result<Client, ClientError> {
        if options.servers.is_empty() {
            return Err(ClientError::Invalid { reason: "no server to connect to".into() });
        }
        let shared = Shared::new(options, CLOCK);
        let client = Client::of(shared.clone());
        drop(task::spawn(drive(shared)));
        Ok(client)
    }
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
                drop(task::spawn(connection(shared.clone(), link, address)));
            }
            core.next_deadline()
        };
        let changed = poll_fn(|context| shared.poll_driver(deadline, context));
        match deadline {
            None => changed.await,
            Some(deadline) => {
                let wait = deadline.since(shared.now());
                // Over or changed: either way the loop looks again.
                let _ = clock::timeout(wait, changed).await;
            }
        }
    }
}

async fn connection(shared: Arc<Shared>, link: LinkRef, address: String) {
    let timeout = shared.core().options().connect_timeout;
    let stream = match clock::timeout(timeout, connect(&address)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return lost(&shared, link, &format!("{address}: {error}")),
        Err(_) => return lost(&shared, link, &format!("{address}: no answer within {timeout:?}")),
    };
    let (reading, writing) = stream.split();
    shared.core().connected(link, shared.now());
    drop(task::spawn(write(shared.clone(), link, writing)));
    read(&shared, link, reading).await;
}

async fn connect(address: &str) -> std::io::Result<TcpStream> {
    let addresses = match address.parse() {
        Ok(known) => vec![known],
        Err(_) => net::resolve(address).await?,
    };
    let mut last = std::io::Error::other("no address");
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn lost(shared: &Shared, link: LinkRef, reason: &str) {
    shared.core().disconnected(link, reason, shared.now());
}

async fn read(shared: &Shared, link: LinkRef, mut half: ReadHalf) {
    let mut frames = FrameReader::new(limits::FRAME_BYTES_MAX);
    let mut whole = Vec::new();
    loop {
        let over = poll_fn(|context| shared.core().poll_over(link, context));
        match until(over, half.read_into(frames.receive_buffer())).await {
            None => return,
            Some(Ok(0)) => return lost(shared, link, "closed by the broker"),
            Some(Ok(_)) => {}
            Some(Err(error)) => return lost(shared, link, &error.to_string()),
        };
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
        task::yield_if_needed().await;
    }
}

async fn write(shared: Arc<Shared>, link: LinkRef, mut half: WriteHalf) {
    let mut outgoing = Outgoing::default();
    loop {
        let next = poll_fn(|context| {
            let now = shared.now();
            shared.core().transmit(link, &mut outgoing, now, context)
        });
        if next.await == Transmit::Over {
            // The reader ends by itself; the connection ends with both.
            return;
        }
        let slices: Vec<IoSlice<'_>> = outgoing.slices.iter().map(|slice| IoSlice::new(slice)).collect();
        if let Err(error) = half.write_all_vectored(&slices).await {
            return lost(&shared, link, &error.to_string());
        }
        task::yield_if_needed().await;
    }
}
