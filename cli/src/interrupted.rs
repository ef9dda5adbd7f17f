//! A wish to stop, from outside, as a future: for commands that have something to say goodbye to.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::thread::{sleep, spawn};
use std::time::Duration;

use atomic_waker::AtomicWaker;

/// How soon a signal is acted on.
const LOOKED_FOR_EVERY: Duration = Duration::from_millis(50);

/// SIGINT or SIGTERM.
pub(crate) struct Interrupted {
    came: Arc<AtomicBool>,
    waker: Arc<AtomicWaker>,
}

impl Interrupted {
    /// From here on the first signal is a wish; the second ends the process, whatever it waits for.
    pub(crate) fn register() -> anyhow::Result<Self> {
        let (came, waker) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicWaker::new()));
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
            signal_hook::flag::register_conditional_default(signal, came.clone())?;
            signal_hook::flag::register(signal, came.clone())?;
        }
        let (seen, wakes) = (came.clone(), waker.clone());
        // A handler may not wake: this does. It ends with the signal, or with the process.
        spawn(move || {
            while !seen.load(Ordering::Relaxed) {
                sleep(LOOKED_FOR_EVERY);
            }
            wakes.wake();
        });
        Ok(Self { came, waker })
    }

    /// Resolves when a signal has come.
    pub(crate) async fn wait(&self) {
        poll_fn(|context| {
            self.waker.register(context.waker());
            match self.came.load(Ordering::Relaxed) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        })
        .await;
    }
}
