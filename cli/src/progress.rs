//! The line on stderr while something takes longer than a second. Nothing where stderr is no terminal.

use std::io::{IsTerminal, Write};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const SILENT: Duration = Duration::from_secs(1);
const REFRESH: Duration = Duration::from_millis(250);
/// A terminal takes a few bytes at once, unless somebody has stopped it.
const TAKEN_AWAY_WITHIN: Duration = Duration::from_millis(100);

/// Shows a text and the seconds that have passed, until it is dropped.
pub(crate) struct Progress {
    text: Arc<Mutex<String>>,
    ticker: Option<Ticker>,
}

/// The thread that prints: it ends when `stop` is dropped, and says so.
struct Ticker {
    stop: Sender<()>,
    ended: Receiver<()>,
    thread: JoinHandle<()>,
}

impl Progress {
    pub(crate) fn start(text: &str) -> Self {
        let text = Arc::new(Mutex::new(text.to_owned()));
        let ticker = std::io::stderr().is_terminal().then(|| {
            let (stop, stopped) = mpsc::channel();
            let (ends, ended) = mpsc::channel();
            let shown = Arc::clone(&text);
            let begin = Instant::now();
            let thread = std::thread::spawn(move || {
                let mut wait = SILENT;
                while stopped.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
                    wait = REFRESH;
                    let text = shown.lock().expect("nobody panics with it").clone();
                    let mut stderr = std::io::stderr().lock();
                    let _ = write!(stderr, "\r\x1b[K{text}  {} s", begin.elapsed().as_secs());
                    let _ = stderr.flush();
                }
                if begin.elapsed() >= SILENT {
                    let _ = write!(std::io::stderr(), "\r\x1b[K");
                }
                // Nobody may wait for it.
                let _ = ends.send(());
            });
            Ticker { stop, ended, thread }
        });
        Self { text, ticker }
    }

    /// Takes the line away, so that another may follow; without waiting for long where stderr is stalled.
    pub(crate) fn end(mut self) {
        if let Some(Ticker { stop, ended, .. }) = self.ticker.take() {
            drop(stop);
            let _ = ended.recv_timeout(TAKEN_AWAY_WITHIN);
        }
    }

    pub(crate) fn say(&self, text: String) {
        *self.text.lock().expect("nobody panics with it") = text;
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(Ticker { stop, thread, .. }) = self.ticker.take() {
            drop(stop);
            // It does nothing but print.
            let _ = thread.join();
        }
    }
}
