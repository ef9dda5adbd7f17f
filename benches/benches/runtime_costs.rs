//! What the runtime's operations cost on this machine: durable writes, messages between shards, sockets.
//!
//! `cargo bench -p corelog-benches --bench runtime_costs [-- FOLDER]`; the folder must be on the disk to be measured, the
//! target folder by default. Needs two free cores. The figures decide what the layers above batch; see the table in
//! `runtime/src/uring.rs` for the traps that make them look different.

use std::io::IoSlice;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use bytes::BytesMut;
use hdrhistogram::Histogram;
use runtime::buffer::Buffer;
use runtime::executor::{self, ExecutorOptions, ShardId};
use runtime::file::{Access, Create, File, OpenOptions};
use runtime::mesh::{self, MeshPlan};
use runtime::net::{TcpListener, TcpStream};
use runtime::{clock, file, task, thread};

const SECOND: ShardId = ShardId(1);
const RING_BYTES: u64 = 64 << 20;

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with("--"));
    let folder = arguments.next().map_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")), PathBuf::from);
    let cores: Vec<usize> = executor::affinity_cores().into_iter().take(2).collect();
    for spin in [Duration::ZERO, Duration::from_micros(200)] {
        let options = |cores: &[usize]| ExecutorOptions {
            spin_before_park: spin,
            ..ExecutorOptions::new("bench", cores.to_vec())
        };
        println!("spin before park: {spin:?}");
        let folder = folder.clone();
        executor::run(options(&cores[..1]), move |_| {
            let folder = folder.clone();
            async move { durable_writes(&folder).await }
        })
        .expect("an executor starts");
        executor::run(options(&cores[..1]), |_| sockets()).expect("an executor starts");
        if cores.len() == 2 {
            messages_between_shards(&options(&cores));
            messages_with_a_thread(&options(&cores[..1]), cores[1]);
        }
    }
}

struct Latencies(Histogram<u64>);

impl Latencies {
    fn new() -> Latencies {
        Latencies(Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("the bounds are in order"))
    }

    fn record(&mut self, began: clock::Instant) {
        self.0.saturating_record(began.elapsed().as_nanos() as u64);
    }

    fn print(&self, what: &str) {
        let microseconds = |quantile| self.0.value_at_quantile(quantile) as f64 / 1e3;
        let (p50, p99) = (microseconds(0.50), microseconds(0.99));
        println!("  {what:<52} p50 {p50:>8.1} us   p99 {p99:>8.1} us");
    }
}

async fn durable_writes(folder: &Path) {
    let path = folder.join(format!("runtime-costs-{}", std::process::id()));
    let options = OpenOptions { access: Access::Write, create: Create::New, durable_writes: false };
    let file = File::open(&path, options).await.expect("a file on the disk");
    let zeros = Rc::new(Buffer::zeroed(1 << 20));
    for chunk in 0..RING_BYTES >> 20 {
        file.write_at(zeros.clone(), chunk << 20).await.expect("room for the file");
    }
    file.datasync().await.expect("a flush");
    let durable = OpenOptions { create: Create::Never, durable_writes: true, ..options };
    let file = File::open(&path, durable).await.expect("the file is there");
    for (bytes, rounds) in [(4 << 10, 4000), (64 << 10, 2000), (256 << 10, 800)] {
        let buffer = Rc::new(Buffer::zeroed(bytes));
        let mut latencies = Latencies::new();
        let mut position = 0;
        for _ in 0..rounds {
            let began = clock::now();
            file.write_at(buffer.clone(), position).await.expect("a durable write");
            latencies.record(began);
            position = (position + bytes as u64) % RING_BYTES;
        }
        latencies.print(&format!("durable write of {} KiB, one in flight", bytes >> 10));
    }
    let mut latencies = Latencies::new();
    for round in 0..2000_u64 {
        let began = clock::now();
        drop(file.read_at((round * 7919 * 4096) % RING_BYTES, 4096).await.expect("a read"));
        latencies.record(began);
    }
    latencies.print("read of 4 KiB, one in flight");
    file::remove_file(&path).await.expect("the file is ours");
}

fn messages_between_shards(options: &ExecutorOptions) {
    let plan = mesh::plan::<u64>(2, 1024);
    executor::run(options.clone(), move |shard| {
        let plan = plan.clone();
        async move { between_shards(plan, shard).await }
    })
    .expect("two executors start");
}

async fn between_shards(plan: MeshPlan<u64>, shard: ShardId) {
    let mesh = plan.join(shard).await;
    if shard == SECOND {
        while let Some((from, message)) = mesh.receive().await {
            let _ = mesh.send(from, message).await;
        }
        return;
    }
    let mut latencies = Latencies::new();
    for round in 0..20_000 {
        let began = clock::now();
        mesh.send(SECOND, round).await.expect("the other shard is there");
        mesh.receive().await.expect("the other shard answers");
        latencies.record(began);
    }
    latencies.print("round trip to the other shard, one in flight");
    for in_flight in [64, 512] {
        const ROUND_TRIPS: u64 = 2_000_000;
        let began = clock::now();
        for _ in 0..in_flight {
            mesh.send(SECOND, 0).await.expect("the other shard is there");
        }
        for _ in 0..ROUND_TRIPS {
            mesh.receive().await.expect("the other shard answers");
            mesh.send(SECOND, 0).await.expect("the other shard is there");
        }
        for _ in 0..in_flight {
            mesh.receive().await.expect("the other shard answers");
        }
        let millions = ROUND_TRIPS as f64 / began.elapsed().as_secs_f64() / 1e6;
        println!("  round trips to the other shard, {in_flight:>3} in flight         {millions:>8.2} M/s");
    }
}

fn messages_with_a_thread(options: &ExecutorOptions, core_of_thread: usize) {
    let (to_shard, from_thread) = thread::channel::<u64>(64);
    let (to_thread, from_shard) = thread::channel_to_thread::<u64>(64);
    let asking = std::thread::spawn(move || {
        executor::pin_thread(core_of_thread);
        let mut latencies = Latencies::new();
        for round in 0..20_000 {
            let began = clock::now();
            to_shard.send_blocking(round).expect("the shard is there");
            from_shard.receive_blocking().expect("the shard answers");
            latencies.record(began);
        }
        latencies.print("round trip of a thread to a shard");
    });
    let ends = std::sync::Mutex::new(Some((from_thread, to_thread)));
    let ends = std::sync::Arc::new(ends);
    executor::run(options.clone(), move |_| {
        let (from_thread, to_thread) = ends.lock().expect("not poisoned").take().expect("one shard");
        async move {
            while let Some(message) = from_thread.receive().await {
                to_thread.send(message).await.expect("the thread is there");
            }
        }
    })
    .expect("an executor starts");
    asking.join().expect("the thread does not panic");
}

/// Both ends on one shard: the cost of the calls, not of the network.
async fn sockets() {
    let any_port: SocketAddr = "127.0.0.1:0".parse().expect("an address");
    let listener = TcpListener::bind(any_port).expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let (client, server) = {
        let connecting = task::spawn(async move { TcpStream::connect(address).await.expect("a connection") });
        let server = listener.accept().await.expect("a connection");
        (connecting.await, server)
    };
    let (mut client_reads, mut client_writes) = client.split();
    let (mut server_reads, mut server_writes) = server.split();
    let echo = task::spawn(async move {
        let mut bytes = BytesMut::with_capacity(1 << 20);
        while server_reads.read_into(&mut bytes).await.expect("the client's bytes") > 0 {
            let (front, back) = bytes.split_at(bytes.len() / 2);
            server_writes
                .write_all_vectored(&[IoSlice::new(front), IoSlice::new(back)])
                .await
                .expect("an echo");
            bytes.clear();
        }
    });
    let mut answer = BytesMut::with_capacity(2 << 20);
    for (bytes, rounds) in [(100, 20_000), (1 << 20, 1000)] {
        let message = vec![7; bytes];
        let mut latencies = Latencies::new();
        for _ in 0..rounds {
            let began = clock::now();
            let (write, read) = (client_writes.write_all(&message), async {
                answer.clear();
                while answer.len() < bytes {
                    client_reads.read_into(&mut answer).await.expect("the echo");
                }
            });
            both(write, read).await;
            latencies.record(began);
        }
        latencies.print(&format!("echo of {bytes} B over loopback, both ends here"));
    }
    client_writes.shutdown().await.expect("a shutdown");
    echo.await;
}

async fn both(write: impl Future<Output = std::io::Result<()>>, read: impl Future<Output = ()>) {
    let (mut write, mut read) = (std::pin::pin!(write), std::pin::pin!(read));
    let (mut written, mut was_read) = (false, false);
    std::future::poll_fn(|context| {
        if !written && let std::task::Poll::Ready(result) = write.as_mut().poll(context) {
            result.expect("a write");
            written = true;
        }
        was_read = was_read || read.as_mut().poll(context).is_ready();
        if written && was_read { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}
