//! A gate: the set of tasks and operations that must end before their owner is gone.
//!
//! Every task of a shard belongs to a gate. Closing it refuses new entries, tells those inside (they watch
//! [`Gate::closing`]) and waits until all have left. It is what makes a stop orderly without cancelling anything.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use crate::sync::Event;
use crate::task::{self, JoinHandle};

/// The gate is closing: no one enters any more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GateClosed;

impl fmt::Display for GateClosed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the gate is closing")
    }
}

impl std::error::Error for GateClosed {}

/// See the module. Clones are the same gate.
#[derive(Clone, Default)]
pub struct Gate {
    shared: Rc<GateShared>,
}

#[derive(Default)]
struct GateShared {
    inside: Cell<usize>,
    is_closing: Cell<bool>,
    close_began: Event,
    all_left: Event,
}

impl Gate {
    /// An open gate with nobody inside.
    pub fn new() -> Gate {
        Gate::default()
    }

    /// Spawns a task that holds the gate until it ends.
    pub fn spawn<T: 'static>(
        &self,
        future: impl Future<Output = T> + 'static,
    ) -> Result<JoinHandle<T>, GateClosed> {
        let guard = self.enter()?;
        Ok(task::spawn(Inside { future: Some(future), guard: Some(guard) }))
    }

    /// Holds the gate open until the guard is dropped.
    pub fn enter(&self) -> Result<GateGuard, GateClosed> {
        if self.shared.is_closing.get() {
            return Err(GateClosed);
        }
        self.shared.inside.set(self.shared.inside.get() + 1);
        Ok(GateGuard { shared: self.shared.clone() })
    }

    /// How many are inside.
    pub fn inside(&self) -> usize {
        self.shared.inside.get()
    }

    /// True once a close began.
    pub fn is_closing(&self) -> bool {
        self.shared.is_closing.get()
    }

    /// Resolves when a close began; at once if it has begun.
    pub async fn closing(&self) {
        let began = self.shared.close_began.wait();
        if !self.shared.is_closing.get() {
            began.await;
        }
    }

    /// Closes the gate and waits until all inside have left. May be called more than once, also at the same time.
    /// Who is inside must not wait for it: that would never end.
    pub async fn close(&self) {
        if !self.shared.is_closing.replace(true) {
            self.shared.close_began.notify_all();
        }
        loop {
            let left = self.shared.all_left.wait();
            if self.shared.inside.get() == 0 {
                return;
            }
            left.await;
        }
    }
}

pin_project! {
    /// A future that holds the gate until it is dropped. An `async` block around it would have room for it twice: once as it is
    /// captured, and once as it is awaited.
    struct Inside<F> {
        #[pin]
        future: Option<F>,
        guard: Option<GateGuard>,
    }
}

impl<F: Future> Future for Inside<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let mut this = self.project();
        let future = this.future.as_mut().as_pin_mut().expect("a task is not polled after its end");
        let output = ready!(future.poll(context));
        // What the task held goes before its place in the gate.
        this.future.set(None);
        *this.guard = None;
        Poll::Ready(output)
    }
}

/// Somebody inside a [`Gate`]; leaves when dropped.
#[must_use = "dropping the guard leaves the gate"]
pub struct GateGuard {
    shared: Rc<GateShared>,
}

impl Drop for GateGuard {
    fn drop(&mut self) {
        let inside = self.shared.inside.get();
        assert!(inside > 0, "somebody left a gate that nobody was in");
        self.shared.inside.set(inside - 1);
        if inside == 1 {
            self.shared.all_left.notify_all();
        }
    }
}
