//! Waiting between tasks of one shard: events, semaphores, one-shot values and queues.
//!
//! All are single-threaded and pure (wakers only), the same on both back ends. Waiters are served in the order in
//! which they came. A dropped waiter loses nothing: what it had been given passes on to the next.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

pub mod oneshot;
pub mod queue;

/// An edge: wakes those who wait now. It has no memory, so the order is: create the future, check the condition,
/// then await the future.
///
/// ```
/// # use runtime::sync::Event;
/// # use std::{cell::Cell, rc::Rc};
/// # async fn example(event: Event, full: Rc<Cell<bool>>) {
/// loop {
///     let changed = event.wait();
///     if !full.get() {
///         break;
///     }
///     changed.await;
/// }
/// # }
/// ```
#[derive(Clone, Default)]
pub struct Event {
    shared: Rc<EventShared>,
}

#[derive(Default)]
struct EventShared {
    /// How often the event was notified; a waiter is done once this differs from what it saw at its creation.
    notifications: Cell<u64>,
    /// One cell a waiter that has been polled; empty cells were dropped.
    waiters: RefCell<Vec<Rc<RefCell<Option<Waker>>>>>,
}

impl Event {
    /// An event nobody waits for.
    pub fn new() -> Event {
        Event::default()
    }

    /// Wakes all who wait now.
    pub fn notify_all(&self) {
        self.shared.notifications.set(self.shared.notifications.get().wrapping_add(1));
        // Taken out first: a waker may run code that waits on this very event.
        let waiters = std::mem::take(&mut *self.shared.waiters.borrow_mut());
        for waiter in waiters {
            if let Some(waker) = waiter.borrow_mut().take() {
                waker.wake();
            }
        }
    }

    /// Resolves at the first [`notify_all`](Event::notify_all) after this call (not after the first poll).
    pub fn wait(&self) -> EventWait {
        EventWait { shared: self.shared.clone(), seen: self.shared.notifications.get(), waiter: None }
    }
}

/// The future of [`Event::wait`].
#[must_use = "waiting happens when it is awaited"]
pub struct EventWait {
    shared: Rc<EventShared>,
    seen: u64,
    waiter: Option<Rc<RefCell<Option<Waker>>>>,
}

impl Future for EventWait {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.shared.notifications.get() != self.seen {
            return Poll::Ready(());
        }
        match &self.waiter {
            Some(waiter) => store_waker(&mut waiter.borrow_mut(), context.waker()),
            None => {
                let waiter = Rc::new(RefCell::new(Some(context.waker().clone())));
                self.shared.waiters.borrow_mut().push(waiter.clone());
                self.waiter = Some(waiter);
            }
        }
        Poll::Pending
    }
}

impl Drop for EventWait {
    fn drop(&mut self) {
        // Removed and not only emptied: a loop that selects between an event that never comes and one that often
        // does would otherwise grow the list for ever.
        if let Some(waiter) = &self.waiter
            && self.shared.notifications.get() == self.seen
        {
            self.shared.waiters.borrow_mut().retain(|other| !Rc::ptr_eq(other, waiter));
        }
    }
}

/// Replaces the stored waker unless it would wake the same task.
pub(crate) fn store_waker(slot: &mut Option<Waker>, waker: &Waker) {
    match slot {
        Some(stored) if stored.will_wake(waker) => {}
        _ => *slot = Some(waker.clone()),
    }
}

/// A count of permits, given out in the order of asking: a large request is not starved by small ones behind it.
#[derive(Clone)]
pub struct Semaphore {
    shared: Rc<SemaphoreShared>,
}

struct SemaphoreShared {
    available: Cell<usize>,
    waiters: RefCell<VecDeque<Rc<SemaphoreWaiter>>>,
}

struct SemaphoreWaiter {
    count: usize,
    granted: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl SemaphoreShared {
    /// Gives permits to those in front for whom there are enough.
    fn grant(&self) {
        loop {
            let front = match self.waiters.borrow().front() {
                Some(waiter) if waiter.count <= self.available.get() => waiter.clone(),
                _ => return,
            };
            self.waiters.borrow_mut().pop_front();
            self.available.set(self.available.get() - front.count);
            front.granted.set(true);
            let waker = front.waker.borrow_mut().take();
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }

    fn give_back(&self, count: usize) {
        let available = self.available.get().checked_add(count).expect("more permits than usize holds");
        self.available.set(available);
        self.grant();
    }
}

impl Semaphore {
    /// A semaphore with so many permits.
    pub fn new(permits: usize) -> Semaphore {
        let shared = SemaphoreShared { available: Cell::new(permits), waiters: RefCell::default() };
        Semaphore { shared: Rc::new(shared) }
    }

    /// How many permits nobody holds.
    pub fn available(&self) -> usize {
        self.shared.available.get()
    }

    /// How many tasks wait for permits.
    pub fn waiting(&self) -> usize {
        self.shared.waiters.borrow().len()
    }

    /// Adds permits for ever.
    pub fn add(&self, count: usize) {
        self.shared.give_back(count);
    }

    /// `count` permits, now or not at all; never past those who wait.
    pub fn try_acquire(&self, count: usize) -> Option<Permit> {
        if !self.shared.waiters.borrow().is_empty() || self.shared.available.get() < count {
            return None;
        }
        self.shared.available.set(self.shared.available.get() - count);
        Some(Permit { shared: self.shared.clone(), count })
    }

    /// `count` permits, in the order of asking. A request for more than will ever be there waits for ever.
    pub async fn acquire(&self, count: usize) -> Permit {
        if let Some(permit) = self.try_acquire(count) {
            return permit;
        }
        let waiter = Rc::new(SemaphoreWaiter { count, granted: Cell::new(false), waker: RefCell::new(None) });
        self.shared.waiters.borrow_mut().push_back(waiter.clone());
        Acquire { shared: self.shared.clone(), waiter: Some(waiter) }.await
    }
}

struct Acquire {
    shared: Rc<SemaphoreShared>,
    /// Taken once the permit has been handed over.
    waiter: Option<Rc<SemaphoreWaiter>>,
}

impl Future for Acquire {
    type Output = Permit;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Permit> {
        let waiter = self.waiter.as_ref().expect("polled after it was ready");
        if !waiter.granted.get() {
            store_waker(&mut waiter.waker.borrow_mut(), context.waker());
            return Poll::Pending;
        }
        let count = waiter.count;
        self.waiter = None;
        Poll::Ready(Permit { shared: self.shared.clone(), count })
    }
}

impl Drop for Acquire {
    fn drop(&mut self) {
        let Some(waiter) = self.waiter.take() else { return };
        if waiter.granted.get() {
            self.shared.give_back(waiter.count);
        } else {
            self.shared.waiters.borrow_mut().retain(|other| !Rc::ptr_eq(other, &waiter));
            // The one behind may need less than the one that gave up.
            self.shared.grant();
        }
    }
}

/// Permits held; dropping gives them back.
#[must_use = "dropping a permit gives it back"]
pub struct Permit {
    shared: Rc<SemaphoreShared>,
    count: usize,
}

impl Permit {
    /// How many permits this is.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Keeps the permits out for ever (until [`Semaphore::add`] brings some back).
    pub fn forget(mut self) {
        self.count = 0;
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if self.count > 0 {
            self.shared.give_back(self.count);
        }
    }
}

#[cfg(test)]
mod tests;
