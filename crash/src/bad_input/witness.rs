//! A client that keeps the protocol beside those who do not: what it is answered, and how soon.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use uuid::Uuid;
use wire::codes::ErrorCode;

use super::batches;
use crate::broker::Connection;

/// Large enough that the broker has to take memory for it.
const LARGE_BYTES: usize = 1 << 20;
/// One in so many of its batches is large.
const LARGE_ONE_IN: u64 = 20;
/// A large batch may have to wait until memory was taken back from those who waste it.
const SERVED_WITHIN: Duration = Duration::from_secs(10);

/// How long each acknowledgement took.
#[derive(Default)]
struct Waits {
    small: Vec<Duration>,
    large: Vec<Duration>,
}

pub(super) struct Witness {
    stop: Arc<AtomicBool>,
    waits: Arc<Mutex<Waits>>,
    producing: JoinHandle<Result<()>>,
}

impl Witness {
    pub(super) fn start(address: &str, topic_id: Uuid) -> Self {
        let (stop, waits) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Waits::default())));
        let (address, of_thread, noted) = (address.to_owned(), Arc::clone(&stop), Arc::clone(&waits));
        let producing = spawn(move || produce(&address, topic_id, &of_thread, &noted));
        Self { stop, waits, producing }
    }

    /// How long it waited since it was last asked, in words. An error if it is not served at all: an act may be over
    /// sooner than one answer takes, so that one is waited for.
    pub(super) fn report(&self) -> Result<String> {
        let asked = Instant::now();
        while self.waits.lock().map_err(|_| anyhow!("the witness panicked"))?.small.is_empty() {
            ensure!(!self.producing.is_finished(), "the witness was refused");
            ensure!(asked.elapsed() < SERVED_WITHIN, "the witness was not served for {SERVED_WITHIN:?}");
            sleep(Duration::from_millis(1));
        }
        let waits = {
            let mut waits = self.waits.lock().map_err(|_| anyhow!("the witness panicked"))?;
            std::mem::take(&mut *waits)
        };
        Ok(format!("100 B {}; 1 MiB {}", percentiles(waits.small), percentiles(waits.large)))
    }

    pub(super) fn stop(self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        self.producing.join().map_err(|_| anyhow!("the witness panicked"))?
    }
}

fn produce(address: &str, topic_id: Uuid, stop: &AtomicBool, waits: &Mutex<Waits>) -> Result<()> {
    let mut connection = Connection::open(address)?;
    let small = batches::batch_of(&["x".repeat(100).as_str()])?;
    let large = batches::batch_of(&["x".repeat(LARGE_BYTES).as_str()])?;
    for round in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let is_large = round % LARGE_ONE_IN == 0;
        let asked = Instant::now();
        let code = batches::produce(&mut connection, topic_id, if is_large { &large } else { &small })?;
        ensure!(code == ErrorCode::None, "the witness was answered {code}");
        let mut waits = waits.lock().map_err(|_| anyhow!("the rig panicked"))?;
        if is_large { waits.large.push(asked.elapsed()) } else { waits.small.push(asked.elapsed()) }
    }
    Ok(())
}

fn percentiles(mut waits: Vec<Duration>) -> String {
    waits.sort_unstable();
    let Some(last) = waits.last() else { return "none".into() };
    let at = |part: usize| waits[(waits.len() - 1) * part / 100].as_secs_f64() * 1e3;
    let max = last.as_secs_f64() * 1e3;
    format!("p50 {:.1}, p99 {:.1}, max {max:.1} ms of {}", at(50), at(99), waits.len())
}
