//! The doors of a shard: the shared port, and its own. Every port speaks every protocol; the first byte tells which.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use bytes::BytesMut;
use futures_lite::future;
use runtime::clock;
use runtime::net::{TcpListener, TcpStream};

use crate::connection::{ConnectionEnds, Connections};
use crate::kafka::{self, KafkaService};
use crate::limits;
use crate::native::{self, NativeService};
use crate::session::Listener;
use crate::shard::Shard;

/// After an error of accepting (no descriptors left, mostly) the next try waits: at once would be a busy loop.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Who serves the connections of a shard: one a protocol.
pub(crate) struct Services {
    pub(crate) connections: Rc<Connections>,
    native: Rc<NativeService>,
    kafka: Rc<KafkaService>,
}

impl Services {
    /// The services of a shard.
    pub(crate) fn new(shard: Rc<Shard>) -> Rc<Self> {
        let connections = Connections::new(shard);
        Rc::new(Self {
            native: NativeService::new(connections.clone()),
            kafka: KafkaService::new(connections.clone()),
            connections,
        })
    }

    fn shard(&self) -> &Rc<Shard> {
        self.connections.shard()
    }
}

/// The listeners of one shard.
pub(crate) struct Doors {
    shared: TcpListener,
    own: TcpListener,
}

impl Doors {
    /// Takes both ports. Port 0 takes a free one.
    pub(crate) fn bind(shared: SocketAddr, own: SocketAddr) -> io::Result<Self> {
        Ok(Self { shared: TcpListener::bind(shared)?, own: TcpListener::bind(own)? })
    }

    /// What was taken: the shared address, and the shard's own.
    pub(crate) fn addresses(&self) -> io::Result<(SocketAddr, SocketAddr)> {
        Ok((self.shared.local_addr()?, self.own.local_addr()?))
    }

    /// Accepts until the shard's gate for requests closes.
    pub(crate) fn open(self, services: &Rc<Services>) {
        let gate = &services.shard().requests;
        // A gate that closes already has nothing to accept for.
        drop(gate.spawn(accept_all(services.clone(), self.shared, Listener::Shared)));
        drop(gate.spawn(accept_all(services.clone(), self.own, Listener::Shard)));
    }
}

async fn accept_all(services: Rc<Services>, listener: TcpListener, kind: Listener) {
    let shard = services.shard().clone();
    loop {
        let next = async { Some(listener.accept().await) };
        let closing = async {
            shard.requests.closing().await;
            None
        };
        match future::or(closing, next).await {
            None => return,
            Some(Ok(stream)) => accept(&services, stream, kind),
            Some(Err(error)) => {
                if let Some(left_out) = shard.said.not_accepted.due() {
                    tracing::warn!(%error, shard = %shard.id, left_out, "cannot accept a connection");
                }
                clock::sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

fn accept(services: &Rc<Services>, stream: TcpStream, kind: Listener) {
    let shard = services.shard();
    shard.metrics.connections_accepted.add(1);
    if shard.connections_open.get() >= shard.config.connections_per_shard_max {
        shard.metrics.connections_refused.add(1);
        if let Some(left_out) = shard.said.refused.due() {
            let limit = shard.config.connections_per_shard_max;
            tracing::warn!(shard = %shard.id, limit, left_out, "connection refused: the shard serves as many as it may");
        }
        return;
    }
    // A connection that is gone already has no addresses.
    let (Ok(peer), Ok(local)) = (stream.peer_addr(), stream.local_addr()) else { return };
    shard.connections_open.set(shard.connections_open.get() + 1);
    let services = services.clone();
    let serving = async move {
        serve(&services, stream, peer, local, kind).await;
        let shard = services.shard();
        shard.connections_open.set(shard.connections_open.get() - 1);
    };
    if shard.requests.spawn(serving).is_err() {
        shard.connections_open.set(shard.connections_open.get() - 1);
    }
}

/// Waits for the first byte, which tells the protocol.
async fn serve(
    services: &Rc<Services>,
    stream: TcpStream,
    peer: SocketAddr,
    local: SocketAddr,
    listener: Listener,
) {
    let shard = services.shard();
    let (mut read, write) = stream.split();
    let mut received = BytesMut::with_capacity(limits::RECEIVE_BYTES_IDLE);
    let first = async {
        let first = async { read.read_into(&mut received).await.unwrap_or(0) };
        let closing = async {
            shard.requests.closing().await;
            0
        };
        future::or(first, closing).await
    };
    let count = clock::timeout(shard.config.handshake_timeout, first).await.unwrap_or(0);
    let Some(first) = received.first().copied().filter(|_| count > 0) else { return };
    let protocols = shard.config.protocols;
    let ends = ConnectionEnds { read, write, received, peer, local, listener };
    if protocols.native && first == native::FIRST_BYTE {
        native::serve_connection(services.native.clone(), ends).await;
    } else if protocols.kafka && kafka::is_first_byte(first) {
        kafka::serve_connection(services.kafka.clone(), ends).await;
    } else {
        // TLS begins with 0x16, HTTP with a letter.
        shard.metrics.connections_refused.add(1);
        tracing::debug!(%peer, first, "connection in a protocol that is not served refused");
    }
}
