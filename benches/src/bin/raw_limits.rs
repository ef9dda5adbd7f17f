//! What the machine does without a broker: sockets over loopback, and a bare receive + checksum + durable write.
//!
//! `raw_limits FOLDER` prints one JSON object; the folder is on the disk to be measured. `benches/speed` runs it beside the
//! broker, so that each figure stands next to the limit of the same minutes.
//!
//! | key | unit | what |
//! |---|---|---|
//! | `socket_copy_bytes_per_second` | bytes/s | 1 MiB writes from one thread, read by another into one buffer |
//! | `echo_us` | us, `p50` and `p99` | 100 bytes there and back, one in flight, two threads |
//! | `bare_produce_cpu_seconds_per_gb` | s/GB | one thread that receives 64 KiB, computes CRC-32C, writes 1 MiB with O_DSYNC |

use std::error::Error;
use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use rustix::fs::{FallocateFlags, OFlags};
use rustix::time::{ClockId, clock_gettime};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

const TIME: Duration = Duration::from_secs(3);
const MIB: usize = 1 << 20;
const PAGE: usize = 4096;
const BATCH_BYTES: usize = 64 << 10;
const BARE_BYTES: usize = 1 << 30;

fn main() -> Outcome<()> {
    let folder = std::env::args().nth(1).ok_or("usage: raw_limits FOLDER")?;
    let copy = socket_copy()?;
    let (p50, p99) = echo()?;
    let bare = bare_produce(Path::new(&folder))?;
    println!(
        "{{\"socket_copy_bytes_per_second\": {copy:.0}, \"echo_us\": {{\"p50\": {p50:.1}, \"p99\": {p99:.1}}}, \
         \"bare_produce_cpu_seconds_per_gb\": {bare:.3}}}"
    );
    Ok(())
}

fn connected() -> Outcome<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let client = TcpStream::connect(listener.local_addr()?)?;
    let (server, _) = listener.accept()?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    Ok((client, server))
}

fn socket_copy() -> Outcome<f64> {
    let (mut from, mut to) = connected()?;
    let sender = thread::spawn(move || -> std::io::Result<()> {
        let (block, began) = (vec![7; MIB], Instant::now());
        while began.elapsed() < TIME {
            from.write_all(&block)?;
        }
        Ok(())
    });
    let (mut block, mut bytes, began) = (vec![0; MIB], 0_u64, Instant::now());
    loop {
        let count = to.read(&mut block)?;
        if count == 0 {
            break;
        }
        bytes += count as u64;
    }
    let seconds = began.elapsed().as_secs_f64();
    sender.join().map_err(|_| "the sender failed")??;
    Ok(bytes as f64 / seconds)
}

fn echo() -> Outcome<(f64, f64)> {
    const MESSAGE_BYTES: usize = 100;
    let (mut asking, mut answering) = connected()?;
    let answers = thread::spawn(move || {
        let mut message = [0; MESSAGE_BYTES];
        while answering.read_exact(&mut message).is_ok() && answering.write_all(&message).is_ok() {}
    });
    let mut latencies = Histogram::<u64>::new_with_bounds(1, 60_000_000_000, 3)?;
    let (mut message, began) = ([7; MESSAGE_BYTES], Instant::now());
    while began.elapsed() < TIME {
        let asked = Instant::now();
        asking.write_all(&message)?;
        asking.read_exact(&mut message)?;
        latencies.record(asked.elapsed().as_nanos() as u64)?;
    }
    drop(asking);
    answers.join().map_err(|_| "the echo failed")?;
    let microseconds = |quantile| latencies.value_at_quantile(quantile) as f64 / 1e3;
    Ok((microseconds(0.50), microseconds(0.99)))
}

/// The least a durable broker has to do for a batch, with blocking calls on one thread.
fn bare_produce(folder: &Path) -> Outcome<f64> {
    let (mut from, mut to) = connected()?;
    let sender = thread::spawn(move || -> std::io::Result<()> {
        let block = vec![7; MIB];
        (0..BARE_BYTES / MIB).try_for_each(|_| from.write_all(&block))
    });
    let path = folder.join(format!("raw-limits-{}", std::process::id()));
    let flags = (OFlags::DIRECT | OFlags::DSYNC).bits() as i32;
    let file = OpenOptions::new().create_new(true).write(true).custom_flags(flags).open(&path)?;
    std::fs::remove_file(&path)?;
    rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, BARE_BYTES as u64)?;
    let mut memory = vec![0; MIB + PAGE];
    let start = memory.as_ptr().align_offset(PAGE);
    let block = &mut memory[start..start + MIB];
    let before = thread_seconds();
    for chunk in 0..BARE_BYTES / MIB {
        for batch in block.chunks_mut(BATCH_BYTES) {
            to.read_exact(batch)?;
            std::hint::black_box(wire::batch::crc32c(batch));
        }
        file.write_all_at(block, (chunk * MIB) as u64)?;
    }
    let seconds = thread_seconds() - before;
    sender.join().map_err(|_| "the sender failed")??;
    Ok(seconds / (BARE_BYTES as f64 / 1e9))
}

fn thread_seconds() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
