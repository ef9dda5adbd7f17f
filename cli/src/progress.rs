//! The line on stderr while something takes longer than a second. Nothing where stderr is no terminal.

use std::io::{IsTerminal, Write};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const SILENT: Duration = Duration::from_secs(1);
const REFRESH: Duration = Duration::from_millis(250);

/// Shows a text and the seconds that have passed, until it is dropped.
pub(crate) struct Progress {
    text: Arc<Mutex<String>>,
    ticker: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Progress {
    pub(crate) fn start(text: &str) -> Self {
        let text = Arc::new(Mutex::new(text.to_owned()));
        let ticker = std::io::stderr().is_terminal().then(|| {
            let (stop, stopped) = mpsc::channel();
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
            });
            (stop, thread)
        });
        Self { text, ticker }
    }

    /// Ends without waiting for the thread that prints.
    pub(crate) fn end(mut self) {
        self.ticker = None;
    }

    pub(crate) fn say(&self, text: String) {
        *self.text.lock().expect("nobody panics with it") = text;
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.ticker.take() {
            drop(stop);
            // It does nothing but print.
            let _ = thread.join();
        }
    }
}
