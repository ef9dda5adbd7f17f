//! The simulated network: connections in memory, delivered in order, in pieces, after a delay the seed draws.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::task::{Poll, Waker};

use bytes::BytesMut;

use super::world::{self, ProcessId, State};
use crate::net::READ_RESERVE_BYTES;

/// What a direction holds before its writer waits, as a socket's buffers do.
const PIPE_BYTES_MAX: usize = 256 * 1024;
/// The first port given to who asks for any.
const FIRST_FREE_PORT: u16 = 20_000;

type PipeId = u64;
type ListenerId = u64;

/// One direction of a connection.
#[derive(Default)]
struct Pipe {
    arrived: VecDeque<u8>,
    /// Sent and not yet arrived.
    in_transit: usize,
    last_arrival_ns: u64,
    ended: bool,
    cut: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Pipe {
    fn wake_both(&mut self) {
        self.reader.take().into_iter().chain(self.writer.take()).for_each(Waker::wake);
    }
}

struct Listener {
    address: SocketAddr,
    process: ProcessId,
    waiting: VecDeque<TcpStream>,
    accepting: Option<Waker>,
}

/// Two pipes, and whose ends they are.
struct Connection {
    pipes: [PipeId; 2],
    processes: [ProcessId; 2],
}

#[derive(Default)]
pub(crate) struct NetState {
    pipes: BTreeMap<PipeId, Pipe>,
    /// The connections that may still carry something, by the pipe that leads to the listener.
    connections: BTreeMap<PipeId, Connection>,
    refused_ports: BTreeSet<u16>,
    listeners: BTreeMap<ListenerId, Listener>,
    next: u64,
    next_port: u16,
}

impl NetState {
    /// A process is gone: its listeners with it, its connections cut.
    pub(crate) fn end(&mut self, process: ProcessId) {
        self.listeners.retain(|_, listener| listener.process != process);
        let own = self.connections.iter().filter(|(_, connection)| connection.processes.contains(&process));
        let cut: Vec<PipeId> = own.map(|(id, _)| *id).collect();
        cut.into_iter().for_each(|id| self.cut(id));
    }

    fn cut(&mut self, id: PipeId) {
        let Some(connection) = self.connections.remove(&id) else { return };
        for id in connection.pipes {
            if let Some(pipe) = self.pipes.get_mut(&id) {
                pipe.cut = true;
                pipe.wake_both();
            }
        }
    }

    pub(crate) fn refuse_ports(&mut self, ports: &[u16]) {
        self.refused_ports = ports.iter().copied().collect();
    }

    /// Forgets the connections that both sides have ended; what has arrived there can still be read.
    fn forget_ended(&mut self) {
        let pipes = &self.pipes;
        self.connections.retain(|_, connection| {
            connection.pipes.iter().any(|id| pipes.get(id).is_some_and(|pipe| !pipe.ended))
        });
    }

    fn id(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn free_port(&mut self) -> u16 {
        self.next_port = self.next_port.max(FIRST_FREE_PORT) + 1;
        self.next_port
    }
}

impl State {
    fn connect(&mut self, address: SocketAddr) -> io::Result<TcpStream> {
        let client = self.process();
        let ids: Vec<ListenerId> = self
            .net
            .listeners
            .iter()
            .filter(|(_, listener)| is_at(listener.address, address))
            .map(|(id, _)| *id)
            .collect();
        if ids.is_empty() || self.net.refused_ports.contains(&address.port()) {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        let listener = ids[self.rng.below(ids.len() as u64) as usize];
        let (there, back) = (self.net.id(), self.net.id());
        let port = self.net.free_port();
        let local = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
        let listener = self.net.listeners.get_mut(&listener).expect("just found");
        let pipes = [there, back];
        for pipe in pipes {
            self.net.pipes.insert(pipe, Pipe::default());
        }
        self.net.connections.insert(there, Connection { pipes, processes: [client, listener.process] });
        listener.waiting.push_back(TcpStream::new((there, back), address, local));
        if let Some(waker) = listener.accepting.take() {
            waker.wake();
        }
        Ok(TcpStream::new((back, there), local, address))
    }

    pub(crate) fn cut_connection(&mut self) -> bool {
        self.net.forget_ended();
        let ids: Vec<PipeId> = self.net.connections.keys().copied().collect();
        if ids.is_empty() {
            return false;
        }
        let drawn = self.rng.below(ids.len() as u64) as usize;
        self.net.cut(ids[drawn]);
        true
    }

    /// Sends what fits; `None` where nothing does.
    fn send(&mut self, id: PipeId, bytes: &[u8]) -> io::Result<Option<usize>> {
        let now_ns = self.now_ns;
        let pipe = self.net.pipes.get_mut(&id).ok_or(io::ErrorKind::BrokenPipe)?;
        if pipe.cut {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        if pipe.ended {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let room = PIPE_BYTES_MAX.saturating_sub(pipe.arrived.len() + pipe.in_transit);
        if room == 0 {
            return Ok(None);
        }
        let sent = bytes[..bytes.len().min(room)].to_vec();
        let count = sent.len();
        pipe.in_transit += count;
        let arrival = (now_ns + 5_000 + self.rng.below(200_000)).max(pipe.last_arrival_ns + 1);
        pipe.last_arrival_ns = arrival;
        self.after(
            arrival - now_ns,
            Box::new(move |world| {
                let Some(pipe) = world.net.pipes.get_mut(&id) else { return };
                pipe.in_transit -= sent.len();
                pipe.arrived.extend(sent);
                if let Some(reader) = pipe.reader.take() {
                    reader.wake();
                }
            }),
        );
        Ok(Some(count))
    }

    fn end_pipe(&mut self, id: PipeId) {
        let now_ns = self.now_ns;
        let Some(pipe) = self.net.pipes.get_mut(&id) else { return };
        let arrival = pipe.last_arrival_ns.max(now_ns) + 1;
        self.after(
            arrival - now_ns,
            Box::new(move |world| {
                if let Some(pipe) = world.net.pipes.get_mut(&id) {
                    pipe.ended = true;
                    pipe.wake_both();
                }
            }),
        );
    }
}

fn is_at(bound: SocketAddr, asked: SocketAddr) -> bool {
    bound.port() == asked.port() && (bound.ip() == asked.ip() || bound.ip().is_unspecified())
}

/// Fails if another process listens there.
pub fn check_port_is_free(address: SocketAddr) -> io::Result<()> {
    let taken = world::with(|world| {
        let process = world.process();
        world
            .net
            .listeners
            .values()
            .any(|listener| is_at(listener.address, address) && listener.process != process)
    });
    if taken { Err(io::ErrorKind::AddrInUse.into()) } else { Ok(()) }
}

/// Addresses only; there are no names here.
#[expect(clippy::unused_async, reason = "the real back end asks a resolver")]
pub async fn resolve(host_and_port: &str) -> io::Result<Vec<SocketAddr>> {
    let text = host_and_port.replace("localhost", "127.0.0.1");
    let address = text
        .parse()
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, format!("{text}: {error}")))?;
    Ok(vec![address])
}

/// Takes connections; several may listen at one address.
pub struct TcpListener {
    id: ListenerId,
    address: SocketAddr,
}

impl TcpListener {
    pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
        world::with(|world| {
            let id = world.net.id();
            let port = if address.port() == 0 { world.net.free_port() } else { address.port() };
            let address = SocketAddr::new(address.ip(), port);
            let process = world.process();
            let listener = Listener { address, process, waiting: VecDeque::new(), accepting: None };
            world.net.listeners.insert(id, listener);
            Ok(TcpListener { id, address })
        })
    }

    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }

    pub async fn accept(&self) -> io::Result<TcpStream> {
        poll_fn(|context| {
            world::with(|world| {
                let listener =
                    world.net.listeners.get_mut(&self.id).expect("a listener lives as long as its process");
                match listener.waiting.pop_front() {
                    Some(stream) => Poll::Ready(Ok(stream)),
                    None => {
                        listener.accepting = Some(context.waker().clone());
                        Poll::Pending
                    }
                }
            })
        })
        .await
    }
}

impl Drop for TcpListener {
    fn drop(&mut self) {
        world::try_with(|world| drop(world.net.listeners.remove(&self.id)));
    }
}

/// A connection.
pub struct TcpStream {
    read: ReadHalf,
    write: WriteHalf,
    local: SocketAddr,
    peer: SocketAddr,
}

impl TcpStream {
    fn new((reads, writes): (PipeId, PipeId), local: SocketAddr, peer: SocketAddr) -> TcpStream {
        TcpStream { read: ReadHalf { pipe: reads }, write: WriteHalf { pipe: writes }, local, peer }
    }

    pub async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
        let delay_ns = world::with(|world| 20_000 + world.rng.below(200_000));
        super::clock::sleep(std::time::Duration::from_nanos(delay_ns)).await;
        world::with(|world| world.connect(address))
    }

    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.local)
    }

    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.peer)
    }

    pub fn split(self) -> (ReadHalf, WriteHalf) {
        (self.read, self.write)
    }
}

/// Reads from a connection. Dropping it makes the other side's writes fail.
pub struct ReadHalf {
    pipe: PipeId,
}

impl ReadHalf {
    pub async fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        poll_fn(|context| {
            world::with(|world| {
                let Some(pipe) = world.net.pipes.get_mut(&self.pipe) else { return Poll::Ready(Ok(0)) };
                if pipe.cut {
                    return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
                }
                if pipe.arrived.is_empty() {
                    if pipe.ended {
                        return Poll::Ready(Ok(0));
                    }
                    pipe.reader = Some(context.waker().clone());
                    return Poll::Pending;
                }
                // Now and then only a piece, as the kernel may do.
                let available = pipe.arrived.len().min(bytes.len()) as u64;
                let count =
                    if world.rng.below(4) == 0 { 1 + world.rng.below(available) } else { available } as usize;
                for (byte, arrived) in bytes.iter_mut().zip(pipe.arrived.drain(..count)) {
                    *byte = arrived;
                }
                if let Some(writer) = pipe.writer.take() {
                    writer.wake();
                }
                Poll::Ready(Ok(count))
            })
        })
        .await
    }

    pub async fn read_into(&mut self, bytes: &mut BytesMut) -> io::Result<usize> {
        self.read_into_at_most(bytes, usize::MAX).await
    }

    /// [`ReadHalf::read_into`] of at most `bytes_max` bytes, which is not 0.
    pub async fn read_into_at_most(&mut self, bytes: &mut BytesMut, bytes_max: usize) -> io::Result<usize> {
        if bytes.len() == bytes.capacity() {
            bytes.reserve(READ_RESERVE_BYTES);
        }
        let mut piece = vec![0; (bytes.capacity() - bytes.len()).min(bytes_max)];
        let count = self.read(&mut piece).await?;
        bytes.extend_from_slice(&piece[..count]);
        Ok(count)
    }
}

impl Drop for ReadHalf {
    fn drop(&mut self) {
        world::try_with(|world| {
            if let Some(pipe) = world.net.pipes.get_mut(&self.pipe) {
                pipe.ended = true;
                pipe.wake_both();
            }
        });
    }
}

/// Writes to a connection. Dropping it ends the stream after what was written.
pub struct WriteHalf {
    pipe: PipeId,
}

impl WriteHalf {
    pub async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let count = poll_fn(|context| {
                world::with(|world| match world.send(self.pipe, rest) {
                    Err(error) => Poll::Ready(Err(error)),
                    Ok(Some(count)) => Poll::Ready(Ok(count)),
                    Ok(None) => {
                        if let Some(pipe) = world.net.pipes.get_mut(&self.pipe) {
                            pipe.writer = Some(context.waker().clone());
                        }
                        Poll::Pending
                    }
                })
            })
            .await?;
            rest = &rest[count..];
        }
        Ok(())
    }

    pub async fn write_all_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<()> {
        for slice in slices {
            self.write_all(slice).await?;
        }
        Ok(())
    }

    #[expect(clippy::unused_async, reason = "the same call as on the real back end")]
    pub async fn shutdown(&mut self) -> io::Result<()> {
        world::with(|world| world.end_pipe(self.pipe));
        Ok(())
    }
}

impl Drop for WriteHalf {
    fn drop(&mut self) {
        world::try_with(|world| world.end_pipe(self.pipe));
    }
}
