//! What `serve` says on stderr: its own lines, and the broker's events with their time and level.
//!
//! A shard must never wait for whoever reads stderr, nor end because nobody does. So every line goes through a bounded channel
//! to one thread that writes; where the channel is full a line is left out, and the number of those is said when there is
//! room again.

use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;

/// Lines that wait to be written.
const LINES_MAX: usize = 1024;
/// How long an end waits for what was said.
const END_WAIT: Duration = Duration::from_secs(1);

/// The least important event that is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Level {
    /// What was lost or given up
    Error,
    /// What an operator should look at
    Warn,
    /// Besides: what the broker did by itself
    Info,
    /// Besides: what single connections did
    Debug,
    /// Besides: single requests
    Trace,
}

impl Level {
    fn filter(self) -> LevelFilter {
        match self {
            Self::Error => LevelFilter::ERROR,
            Self::Warn => LevelFilter::WARN,
            Self::Info => LevelFilter::INFO,
            Self::Debug => LevelFilter::DEBUG,
            Self::Trace => LevelFilter::TRACE,
        }
    }
}

/// The way to stderr. Cheap to copy; nothing of it waits but [`ServerLog::finish`].
#[derive(Clone)]
pub(crate) struct ServerLog {
    lines: SyncSender<Vec<u8>>,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    /// Put into the channel.
    sent: AtomicU64,
    /// Taken out of it and done with.
    written: AtomicU64,
    left_out: AtomicU64,
}

impl ServerLog {
    /// Starts the thread that writes, and takes the process's tracing events from `level` on.
    pub(crate) fn start(level: Level) -> io::Result<Self> {
        let log = Self::start_to(io::stderr())?;
        let events = tracing_subscriber::fmt()
            .with_max_level(level.filter())
            .with_ansi(false)
            .with_target(false)
            .with_writer(log.clone());
        // The journal has a time of its own for each line.
        let set = match std::env::var_os("JOURNAL_STREAM") {
            Some(_) => tracing::subscriber::set_global_default(events.without_time().finish()),
            None => tracing::subscriber::set_global_default(events.finish()),
        };
        set.map_err(io::Error::other)?;
        Ok(log)
    }

    fn start_to(out: impl Write + Send + 'static) -> io::Result<Self> {
        let (lines, waiting) = mpsc::sync_channel(LINES_MAX);
        let counts = Arc::new(Counts::default());
        let shared = counts.clone();
        thread::Builder::new().name("log".to_owned()).spawn(move || write_all(&waiting, &shared, out))?;
        Ok(Self { lines, counts })
    }

    /// Says one line.
    pub(crate) fn say(&self, line: impl fmt::Display) {
        self.put(format!("{line}\n").into_bytes());
    }

    fn put(&self, line: Vec<u8>) {
        // Counted first: the thread may be done with it before this returns.
        self.counts.sent.fetch_add(1, Ordering::AcqRel);
        if self.lines.try_send(line).is_err() {
            self.counts.sent.fetch_sub(1, Ordering::AcqRel);
            self.counts.left_out.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// Waits until all that was said is written, or a second has passed. Not for a shard that serves.
    pub(crate) fn finish(&self) {
        let begin = Instant::now();
        let is_behind =
            || self.counts.written.load(Ordering::Acquire) < self.counts.sent.load(Ordering::Acquire);
        while is_behind() && begin.elapsed() < END_WAIT {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Writes what comes. What stderr does not take is lost: there is nobody to tell.
fn write_all(lines: &Receiver<Vec<u8>>, counts: &Counts, mut out: impl Write) {
    while let Ok(line) = lines.recv() {
        let _ = out.write_all(&line);
        let left_out = counts.left_out.swap(0, Ordering::AcqRel);
        if left_out > 0 {
            let _ = writeln!(out, "{left_out} lines were left out: stderr did not take them in time");
        }
        let _ = out.flush();
        counts.written.fetch_add(1, Ordering::AcqRel);
    }
}

/// One event, which the formatter writes whole.
pub(crate) struct Event<'a>(&'a ServerLog);

impl Write for Event<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.put(bytes.to_vec());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for ServerLog {
    type Writer = Event<'a>;

    fn make_writer(&'a self) -> Event<'a> {
        Event(self)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Takes nothing until it is told to.
    struct Stalled {
        gate: Receiver<()>,
        taken: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Stalled {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.gate.recv();
            self.taken.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_stalled_stderr_stalls_nobody_and_what_it_missed_is_counted() {
        let (open, gate) = mpsc::channel();
        let taken = Arc::new(Mutex::new(Vec::new()));
        let log = ServerLog::start_to(Stalled { gate, taken: taken.clone() }).unwrap();
        let lines = LINES_MAX * 3;
        for line in 0..lines {
            log.say(line);
        }
        drop(open);
        log.finish();
        let text = String::from_utf8(taken.lock().unwrap().clone()).unwrap();
        let said = text.lines().filter(|line| line.parse::<usize>().is_ok()).count();
        let left_out: usize = text
            .lines()
            .filter_map(|line| line.strip_suffix(" lines were left out: stderr did not take them in time"))
            .map(|count| count.parse::<usize>().unwrap())
            .sum();
        assert_eq!(said + left_out, lines);
        assert!(said >= LINES_MAX && left_out >= LINES_MAX, "{said} said, {left_out} left out");
    }

    #[test]
    fn what_was_said_is_written_in_order_before_an_end() {
        let taken = Arc::new(Mutex::new(Vec::new()));
        let (open, gate) = mpsc::channel();
        drop(open);
        let log = ServerLog::start_to(Stalled { gate, taken: taken.clone() }).unwrap();
        (0..100).for_each(|line| log.say(line));
        log.finish();
        let expected: String = (0..100).map(|line| format!("{line}\n")).collect();
        assert_eq!(String::from_utf8(taken.lock().unwrap().clone()).unwrap(), expected);
    }
}
