//! Sockets of the real back end, on loopback.
#![cfg(not(feature = "simulator"))]

mod on_shards;

use std::io::IoSlice;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::BytesMut;
use on_shards::on_one_shard;
use runtime::net::{self, TcpListener, TcpStream};
use runtime::{clock, task};

fn any_port() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

/// Two ends of one connection.
async fn connected() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind(any_port()).unwrap();
    let address = listener.local_addr().unwrap();
    let client = task::spawn(async move { TcpStream::connect(address).await.unwrap() });
    let server = listener.accept().await.unwrap();
    (client.await, server)
}

#[test]
fn bytes_go_both_ways_and_end_with_a_shutdown() {
    on_one_shard(|| async {
        let (client, server) = connected().await;
        assert_eq!(client.local_addr().unwrap(), server.peer_addr().unwrap());
        assert_eq!(client.peer_addr().unwrap(), server.local_addr().unwrap());
        let (mut client_reads, mut client_writes) = client.split();
        let (mut server_reads, mut server_writes) = server.split();
        let echo = task::spawn(async move {
            let mut bytes = BytesMut::new();
            while server_reads.read_into(&mut bytes).await.unwrap() > 0 {
                server_writes.write_all(&bytes.split()).await.unwrap();
            }
            server_writes.shutdown().await.unwrap();
        });
        for message in [&b"one"[..], b"two", &[7; 100_000]] {
            client_writes.write_all(message).await.unwrap();
            let mut answer = vec![0; message.len()];
            let mut filled = 0;
            while filled < answer.len() {
                filled += client_reads.read(&mut answer[filled..]).await.unwrap();
            }
            assert!(answer == message);
        }
        client_writes.shutdown().await.unwrap();
        assert_eq!(client_reads.read(&mut [0; 10]).await.unwrap(), 0);
        echo.await;
    });
}

/// The first piece of each comes by way of a small buffer, the rest in place.
#[test]
fn messages_of_any_length_arrive_whole_one_after_the_other() {
    on_one_shard(|| async {
        let (client, server) = connected().await;
        let (mut client_reads, mut client_writes) = client.split();
        let (mut server_reads, mut server_writes) = server.split();
        let lengths =
            [1, 500, 512, 513, 16_384, 16_385, 50_000, 3, 40_000, 40_000, 511, 512, 200_000, 17_000, 1];
        let echo = task::spawn(async move {
            for (number, length) in lengths.into_iter().enumerate() {
                let mut received = BytesMut::with_capacity(length);
                while received.len() < length {
                    let left = length - received.len();
                    assert!(server_reads.read_into_at_most(&mut received, left).await.unwrap() > 0);
                }
                assert!(received.iter().all(|byte| usize::from(*byte) == number), "message {number}");
                server_writes.write_all(&[number as u8]).await.unwrap();
            }
        });
        for (number, length) in lengths.into_iter().enumerate() {
            client_writes.write_all(&vec![number as u8; length]).await.unwrap();
            let mut answer = [0];
            assert_eq!(client_reads.read(&mut answer).await.unwrap(), 1);
            assert_eq!(usize::from(answer[0]), number);
        }
        echo.await;
    });
}

/// Of a peer that vanished nothing comes any more, not even an end: the kernel is to ask.
#[test]
fn an_accepted_connection_is_kept_alive() {
    on_one_shard(|| async {
        let (client, server) = connected().await;
        let port = |address: SocketAddr| format!("{:04X}", address.port());
        let (local, peer) = (port(server.local_addr().unwrap()), port(server.peer_addr().unwrap()));
        // Columns: number, local address, peer's address, state, queues, timer and when it ends.
        let connections = std::fs::read_to_string("/proc/self/net/tcp").unwrap();
        let timer = connections.lines().find_map(|line| {
            let columns: Vec<&str> = line.split_whitespace().collect();
            let is_ours = columns[1].ends_with(&local) && columns[2].ends_with(&peer);
            is_ours.then(|| columns[5].to_owned())
        });
        const KEEPALIVE: &str = "02:";
        assert!(timer.as_ref().is_some_and(|timer| timer.starts_with(KEEPALIVE)), "{timer:?}");
        drop((client, server));
    });
}

/// glommio's own vectored write takes the first slice only. Here: more slices than one call takes, empty ones among them,
/// and more bytes than the socket holds, so that partial writes and waiting are part of it.
#[test]
fn all_slices_arrive_in_their_order_whatever_the_socket_takes_at_once() {
    on_one_shard(|| async {
        let (client, server) = connected().await;
        let pieces: Vec<Vec<u8>> =
            (0..3000_usize).map(|piece| vec![piece as u8; (piece * 37) % 9001]).collect();
        let expected = pieces.concat();
        let (_, mut client_writes) = client.split();
        let writing = task::spawn(async move {
            let slices: Vec<IoSlice<'_>> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
            client_writes.write_all_vectored(&slices).await.unwrap();
            client_writes.write_all_vectored(&[]).await.unwrap();
        });
        let (mut server_reads, _server_writes) = server.split();
        let mut received = BytesMut::with_capacity(expected.len());
        while received.len() < expected.len() {
            assert!(server_reads.read_into(&mut received).await.unwrap() > 0);
        }
        assert!(received[..] == expected[..]);
        writing.await;
    });
}

#[test]
fn a_dropped_accept_or_read_loses_nothing() {
    on_one_shard(|| async {
        let listener = TcpListener::bind(any_port()).unwrap();
        let address = listener.local_addr().unwrap();
        assert!(clock::timeout(Duration::from_millis(1), listener.accept()).await.is_err());
        let client = TcpStream::connect(address).await.unwrap();
        let server = listener.accept().await.unwrap();
        assert_eq!(server.peer_addr().unwrap(), client.local_addr().unwrap());

        let (mut server_reads, _server_writes) = server.split();
        let mut bytes = BytesMut::new();
        assert!(clock::timeout(Duration::from_millis(1), server_reads.read_into(&mut bytes)).await.is_err());
        let (_client_reads, mut client_writes) = client.split();
        client_writes.write_all(b"kept").await.unwrap();
        while bytes.len() < 4 {
            server_reads.read_into(&mut bytes).await.unwrap();
        }
        assert_eq!(&bytes[..], b"kept");
    });
}

#[test]
fn a_connection_ends_when_both_halves_are_dropped() {
    on_one_shard(|| async {
        let (client, server) = connected().await;
        let (client_reads, client_writes) = client.split();
        let (mut server_reads, mut server_writes) = server.split();
        drop(client_reads);
        server_writes.write_all(b"nobody reads this").await.unwrap();
        drop(client_writes);
        // Unread bytes make it a reset, else it is an end.
        let ended = server_reads.read(&mut [0; 10]).await;
        assert!(matches!(&ended, Ok(0)) || ended.is_err(), "{ended:?}");
    });
}

/// A listener takes its port beside another one in silence (`SO_REUSEPORT`): wanted between shards, not between
/// processes.
#[test]
fn shards_share_a_port_and_the_check_before_tells_that_it_is_taken() {
    on_one_shard(|| async {
        let first = TcpListener::bind(any_port()).unwrap();
        let address = first.local_addr().unwrap();
        let second = TcpListener::bind(address).unwrap();
        assert_eq!(second.local_addr().unwrap(), address);
        let taken = net::check_port_is_free(address).unwrap_err();
        assert_eq!(taken.kind(), std::io::ErrorKind::AddrInUse);
        drop((first, second));
        // The kernel closes the descriptors at once, the ring may hold them until its next round.
        while net::check_port_is_free(address).is_err() {
            task::yield_now().await;
        }
        let refused = TcpStream::connect(address).await.err().unwrap();
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    });
}

/// A broker that stops or is killed closes its clients' connections first: its side of them stays in the kernel until
/// the clients close theirs, and for a minute after that.
#[test]
fn a_port_is_free_although_connections_of_an_earlier_listener_linger() {
    on_one_shard(|| async {
        let listener = TcpListener::bind(any_port()).unwrap();
        let address = listener.local_addr().unwrap();
        let _client = TcpStream::connect(address).await.unwrap();
        drop(listener.accept().await.unwrap());
        drop(listener);
        let mut checks = 0;
        while let Err(error) = net::check_port_is_free(address) {
            checks += 1;
            assert!(checks < 1_000, "{error}");
            task::yield_now().await;
        }
        TcpListener::bind(address).unwrap();
    });
}

#[test]
fn names_are_resolved_beside_the_shard() {
    on_one_shard(|| async {
        let addresses = net::resolve("127.0.0.1:9092").await.unwrap();
        assert_eq!(addresses, ["127.0.0.1:9092".parse().unwrap()]);
        assert!(net::resolve("no port").await.is_err());
    });
}
