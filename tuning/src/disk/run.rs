//! One row of the measurement: the same operation again and again, by as many threads as operations are to be in flight.

use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::buffer::AlignedBuffer;
use super::{DirectFile, DiskError, Measurement, Part, READS_IN_FLIGHT, SEGMENT_WRITES_IN_FLIGHT};

/// Round and round over the journal's file, as the ring does.
pub(super) fn journal(
    file: &DirectFile,
    file_bytes: u64,
    bytes: usize,
    time: Duration,
) -> Result<Measurement, DiskError> {
    let places = file_bytes / bytes as u64;
    row(Part::Journal, bytes, 1, time, |number, buffer| {
        file.durable.write_all_at(buffer, number % places * bytes as u64)?;
        Ok(true)
    })
}

/// Forward through space never written; ends early when all of it is.
pub(super) fn segment(
    file: &DirectFile,
    file_bytes: u64,
    bytes: usize,
    time: Duration,
) -> Result<Measurement, DiskError> {
    let places = file_bytes / bytes as u64;
    row(Part::Segment, bytes, SEGMENT_WRITES_IN_FLIGHT, time, |number, buffer| {
        if number >= places {
            return Ok(false);
        }
        file.durable.write_all_at(buffer, number * bytes as u64)?;
        Ok(true)
    })
}

/// Forward through what was written, from the beginning again at its end.
pub(super) fn read(
    file: &DirectFile,
    written_bytes: u64,
    bytes: usize,
    time: Duration,
) -> Result<Measurement, DiskError> {
    let places = written_bytes / bytes as u64;
    row(Part::Read, bytes, READS_IN_FLIGHT, time, |number, buffer| {
        file.plain.read_exact_at(buffer, number % places * bytes as u64)?;
        Ok(true)
    })
}

/// Runs `operation(number, buffer)` with numbers from 0 on until the time is over or it says that there is no more.
fn row(
    part: Part,
    bytes: usize,
    in_flight: usize,
    time: Duration,
    operation: impl Fn(u64, &mut [u8]) -> io::Result<bool> + Sync,
) -> Result<Measurement, DiskError> {
    let next = AtomicU64::new(0);
    let begin = Instant::now();
    let outcomes: Vec<io::Result<Vec<Duration>>> = thread::scope(|scope| {
        let workers: Vec<_> = (0..in_flight)
            .map(|worker| {
                let (next, operation) = (&next, &operation);
                scope.spawn(move || {
                    let mut buffer = AlignedBuffer::noise(bytes, 0x9e37_79b9_7f4a_7c15 + worker as u64);
                    let mut latencies = Vec::new();
                    // At least one each, however short the time: a row without a figure says nothing.
                    loop {
                        let started = Instant::now();
                        if !operation(next.fetch_add(1, Ordering::Relaxed), buffer.as_mut_slice())? {
                            break;
                        }
                        latencies.push(started.elapsed());
                        if begin.elapsed() >= time {
                            break;
                        }
                    }
                    Ok(latencies)
                })
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().expect("a worker does not panic")).collect()
    });
    let elapsed = begin.elapsed();
    let mut latencies = Vec::new();
    for outcome in outcomes {
        latencies.extend(outcome.map_err(|source| DiskError::Io { operation: part.operation(), source })?);
    }
    latencies.sort_unstable();
    Ok(Measurement::new(part, bytes, in_flight, elapsed, &latencies))
}
