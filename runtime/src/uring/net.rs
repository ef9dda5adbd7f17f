//! TCP through glommio: tried at once without blocking, else waited for in the ring.
//!
//! Hot path.
//!
//! This file is one of those that may use `unsafe`: it lends out a socket's descriptor and hands over a listener's, and takes
//! over bytes that the kernel wrote into spare capacity, which glommio's own reading would have to be cleared for.

#![allow(unsafe_code, reason = "see above")]

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{BufMut, BytesMut};
use futures_lite::io::{AsyncRead, AsyncWrite};
use glommio::net::AcceptedTcpStream;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendAncillaryBuffer, SendFlags, SocketFlags, SocketType, sockopt,
};

use super::blocking;
use crate::net::READ_RESERVE_BYTES;

/// The kernel's bound on the slices of one call (`UIO_MAXIOV`).
const SLICES_PER_CALL_MAX: usize = 1024;

/// Connections that the kernel keeps for a listener until they are accepted; `net.core.somaxconn` may say less.
const WAITING_CONNECTIONS_MAX: i32 = 1024;

/// How long a connection is silent before the kernel asks whether its peer is there, how often it asks, and how many times
/// before it takes the peer for gone: seven minutes in all.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(300);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_PROBES: u32 = 4;

/// What a read that had to wait is received into first; the most that is copied once more.
const SCRATCH_BYTES: usize = 16 * 1024;

thread_local! {
    /// One a shard, used within one poll at a time.
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH_BYTES].into_boxed_slice());
}

/// Fails if somebody listens on the address. `TcpListener` would take the port beside another process in silence, and
/// each would get some of the connections. Once, before the listeners are bound.
pub fn check_port_is_free(address: SocketAddr) -> io::Result<()> {
    // The standard library's listener asks for SO_REUSEADDR (connections of an earlier process that still linger do no
    // harm where they have it too, see `TcpListener::bind`) but not for SO_REUSEPORT.
    std::net::TcpListener::bind(address).map(drop)
}

/// The addresses of "host:port", asked beside the shard.
pub async fn resolve(host_and_port: &str) -> io::Result<Vec<SocketAddr>> {
    let name = host_and_port.to_string();
    let addresses = blocking::run(move || name.to_socket_addrs().map(Iterator::collect::<Vec<_>>)).await?;
    if addresses.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, format!("{host_and_port} has no address")));
    }
    Ok(addresses)
}

/// Accepts connections. Several may listen on one port, see the module [`net`](crate::net).
pub struct TcpListener {
    listener: Rc<glommio::net::TcpListener>,
    /// The accept under way. It outlives a dropped `accept`: one dropped in the kernel loses the connection that came
    /// just then, and each poll of it would add a waker.
    accepting: RefCell<Option<glommio::Task<io::Result<AcceptedTcpStream>>>>,
}

impl TcpListener {
    /// Listens on the address; port 0 takes a free one.
    ///
    /// glommio's own `bind` asks for `SO_REUSEPORT` alone. What is accepted has the options of its listener, and the
    /// connections of a process that ended live on in the kernel for up to a minute: without `SO_REUSEADDR` on them too,
    /// a broker that starts again finds its port taken.
    pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
        let family = if address.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
        let socket = rustix::net::socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        sockopt::set_socket_reuseaddr(&socket, true)?;
        sockopt::set_socket_reuseport(&socket, true)?;
        // A peer that vanished says nothing for ever, and would keep its place.
        sockopt::set_socket_keepalive(&socket, true)?;
        sockopt::set_tcp_keepidle(&socket, KEEPALIVE_IDLE)?;
        sockopt::set_tcp_keepintvl(&socket, KEEPALIVE_INTERVAL)?;
        sockopt::set_tcp_keepcnt(&socket, KEEPALIVE_PROBES)?;
        rustix::net::bind(&socket, &address)?;
        rustix::net::listen(&socket, WAITING_CONNECTIONS_MAX)?;
        // SAFETY: the descriptor is a listening socket that nobody else owns.
        let listener = unsafe { glommio::net::TcpListener::from_raw_fd(socket.into_raw_fd()) };
        Ok(TcpListener { listener: Rc::new(listener), accepting: RefCell::new(None) })
    }

    /// The address it listens on.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.listener.local_addr()?)
    }

    /// The next connection. For one task at a time; dropping the future loses none.
    pub async fn accept(&self) -> io::Result<TcpStream> {
        let accepted = poll_fn(|context| {
            let mut accepting = self.accepting.borrow_mut();
            let task = accepting.get_or_insert_with(|| {
                let listener = self.listener.clone();
                glommio::spawn_local(async move { Ok(listener.shared_accept().await?) })
            });
            let accepted = ready!(Pin::new(task).poll(context));
            *accepting = None;
            Poll::Ready(accepted)
        })
        .await?;
        TcpStream::new(accepted.bind_to_executor())
    }
}

/// A connection.
pub struct TcpStream {
    stream: glommio::net::TcpStream,
}

impl TcpStream {
    /// Connects.
    pub async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
        TcpStream::new(glommio::net::TcpStream::connect(address).await?)
    }

    fn new(stream: glommio::net::TcpStream) -> io::Result<TcpStream> {
        stream.set_nodelay(true)?;
        Ok(TcpStream { stream })
    }

    /// This side's address.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.stream.local_addr()?)
    }

    /// The other side's address.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.stream.peer_addr()?)
    }

    /// The two halves, for two tasks.
    pub fn split(self) -> (ReadHalf, WriteHalf) {
        let stream = Rc::new(RefCell::new(self.stream));
        (ReadHalf { stream: stream.clone(), more_expected: false }, WriteHalf { stream })
    }
}

/// Both halves borrow it for the length of one poll, never longer.
type SharedStream = Rc<RefCell<glommio::net::TcpStream>>;

fn descriptor(stream: &glommio::net::TcpStream) -> BorrowedFd<'_> {
    // SAFETY: the descriptor is open for as long as `stream` is, which the returned borrow keeps alive.
    unsafe { BorrowedFd::borrow_raw(stream.as_raw_fd()) }
}

/// Reads from a connection.
pub struct ReadHalf {
    stream: SharedStream,
    /// The last read filled what it was given, so the next may ask the kernel without waiting first.
    more_expected: bool,
}

impl ReadHalf {
    /// Reads at least one byte and at most the slice; 0 at the end of the stream (or for an empty slice). Straight into
    /// the slice, so a payload can be received where it is to stay.
    pub async fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let count = poll_fn(|context| {
            let mut stream = self.stream.borrow_mut();
            Pin::new(&mut *stream).poll_read(context, bytes)
        })
        .await?;
        self.more_expected = count == bytes.len();
        Ok(count)
    }

    /// Appends at least one byte and at most the spare capacity; 0 at the end of the stream. Reserves 16 KiB if there is
    /// none to spare. Bytes that are there already are received in place, without clearing the memory first.
    pub async fn read_into(&mut self, bytes: &mut BytesMut) -> io::Result<usize> {
        self.read_into_at_most(bytes, usize::MAX).await
    }

    /// [`ReadHalf::read_into`] of at most `bytes_max` bytes, which is not 0.
    pub async fn read_into_at_most(&mut self, bytes: &mut BytesMut, bytes_max: usize) -> io::Result<usize> {
        if bytes.len() == bytes.capacity() {
            bytes.reserve(READ_RESERVE_BYTES);
        }
        poll_fn(|context| self.poll_read_into(context, bytes, bytes_max)).await
    }

    fn poll_read_into(
        &mut self,
        context: &mut Context<'_>,
        bytes: &mut BytesMut,
        bytes_max: usize,
    ) -> Poll<io::Result<usize>> {
        if self.more_expected
            && let Some(received) = self.receive_in_place(bytes, bytes_max)
        {
            return Poll::Ready(received);
        }
        // Nothing there: glommio waits, and receives a first piece when something comes. Small messages are whole in
        // it; the rest of a large one is received in place by the next call.
        SCRATCH.with_borrow_mut(|scratch| {
            let room = bytes.spare_capacity_mut().len().min(SCRATCH_BYTES).min(bytes_max);
            let mut stream = self.stream.borrow_mut();
            let count = ready!(Pin::new(&mut *stream).poll_read(context, &mut scratch[..room]))?;
            bytes.extend_from_slice(&scratch[..count]);
            self.more_expected = count == room;
            Poll::Ready(Ok(count))
        })
    }

    /// `None` if nothing is there.
    fn receive_in_place(&mut self, bytes: &mut BytesMut, bytes_max: usize) -> Option<io::Result<usize>> {
        let stream = self.stream.borrow();
        loop {
            let spare = bytes.spare_capacity_mut();
            let room = spare.len().min(bytes_max);
            let spare = &mut spare[..room];
            let received = rustix::net::recv(descriptor(&stream), spare, RecvFlags::DONTWAIT);
            match received.map(|((filled, _), _)| filled.len()) {
                Ok(count) => {
                    assert!(count <= room, "the kernel received {count} bytes into {room}");
                    // SAFETY: the kernel has just initialised `count` bytes of the spare capacity, as asserted.
                    unsafe { bytes.advance_mut(count) };
                    self.more_expected = count == room;
                    return Some(Ok(count));
                }
                Err(Errno::INTR) => {}
                Err(Errno::WOULDBLOCK) => {
                    self.more_expected = false;
                    return None;
                }
                Err(error) => return Some(Err(error.into())),
            }
        }
    }
}

/// Writes to a connection. A write that failed or was dropped leaves the stream good for closing only.
pub struct WriteHalf {
    stream: SharedStream,
}

impl WriteHalf {
    /// Writes all.
    pub async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let count = self.write_some(rest).await?;
            rest = &rest[count..];
        }
        Ok(())
    }

    /// Writes at least one byte; waits in the ring until there is room.
    async fn write_some(&self, bytes: &[u8]) -> io::Result<usize> {
        let count = poll_fn(|context| {
            let mut stream = self.stream.borrow_mut();
            Pin::new(&mut *stream).poll_write(context, bytes)
        })
        .await?;
        if count == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        Ok(count)
    }

    /// Writes all slices in their order, any number of them, in one system call where the socket takes them.
    pub async fn write_all_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<()> {
        // The first slice not yet written whole, and how much of it is.
        let (mut index, mut offset) = (0, 0);
        loop {
            while index < slices.len() && offset == slices[index].len() {
                (index, offset) = (index + 1, 0);
            }
            if index == slices.len() {
                return Ok(());
            }
            let mut count = match self.send_now(&slices[index..], offset) {
                Ok(count) => count,
                Err(Errno::INTR) => continue,
                Err(Errno::WOULDBLOCK) => self.write_some(&slices[index][offset..]).await?,
                Err(error) => return Err(error.into()),
            };
            while index < slices.len() && count >= slices[index].len() - offset {
                count -= slices[index].len() - offset;
                (index, offset) = (index + 1, 0);
            }
            offset += count;
        }
    }

    /// One `sendmsg` of the slices from `offset` of the first. glommio's own vectored write takes the first slice only;
    /// a plain `writev` would block the shard, since glommio's sockets are in blocking mode.
    fn send_now(&self, slices: &[IoSlice<'_>], offset: usize) -> Result<usize, Errno> {
        let stream = self.stream.borrow();
        let slices = &slices[..slices.len().min(SLICES_PER_CALL_MAX)];
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        let send = |slices: &[IoSlice<'_>]| {
            rustix::net::sendmsg(descriptor(&stream), slices, &mut SendAncillaryBuffer::default(), flags)
        };
        if offset == 0 {
            return send(slices);
        }
        // Only after a partial write, so the copy of the list is rare.
        let mut rest = slices.to_vec();
        rest[0].advance(offset);
        send(&rest)
    }

    /// Says that no more will come (FIN); the other side reads the end of the stream after what was written.
    #[expect(clippy::unused_async, reason = "the simulator's back end may have to wait; the kernel does not")]
    pub async fn shutdown(&mut self) -> io::Result<()> {
        Ok(rustix::net::shutdown(descriptor(&self.stream.borrow()), rustix::net::Shutdown::Write)?)
    }
}
