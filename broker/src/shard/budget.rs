//! Bytes that may be held at once, counted. Hot path.
//!
//! A reservation is made before the bytes come and shrunk to what came. One that asks for more than the whole budget
//! is let through when nobody else holds any: a batch larger than the budget must still pass.

use std::cell::Cell;
use std::rc::Rc;

use runtime::sync::Event;

/// A number of bytes shared by many. Clones are the same budget.
#[derive(Clone)]
pub(crate) struct ByteBudget {
    shared: Rc<Shared>,
}

struct Shared {
    used: Cell<usize>,
    bytes_max: usize,
    freed: Event,
}

impl ByteBudget {
    /// So many bytes.
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { shared: Rc::new(Shared { used: Cell::new(0), bytes_max, freed: Event::new() }) }
    }

    /// Bytes that are reserved.
    pub(crate) fn used(&self) -> usize {
        self.shared.used.get()
    }

    /// The limit.
    pub(crate) fn bytes_max(&self) -> usize {
        self.shared.bytes_max
    }

    /// Reserves now or not at all.
    pub(crate) fn try_reserve(&self, bytes: usize) -> Option<Reservation> {
        self.try_reserve_beside(0, bytes)
    }

    /// The same for who holds `own` bytes already: these do not count as somebody else's.
    pub(crate) fn try_reserve_beside(&self, own: usize, bytes: usize) -> Option<Reservation> {
        let used = self.used();
        if used > own && used + bytes > self.shared.bytes_max {
            return None;
        }
        self.shared.used.set(used + bytes);
        Some(Reservation { shared: self.shared.clone(), bytes })
    }

    /// Reserves whatever the limit says; for who bounds it otherwise.
    pub(crate) fn overdraw(&self, bytes: usize) -> Reservation {
        self.shared.used.set(self.used() + bytes);
        Reservation { shared: self.shared.clone(), bytes }
    }

    /// Reserves, waiting for others to give back.
    pub(crate) async fn reserve(&self, bytes: usize) -> Reservation {
        self.reserve_beside(0, bytes).await
    }

    /// The same for who holds `own` bytes already.
    pub(crate) async fn reserve_beside(&self, own: usize, bytes: usize) -> Reservation {
        loop {
            let freed = self.shared.freed.wait();
            if let Some(reservation) = self.try_reserve_beside(own, bytes) {
                return reservation;
            }
            freed.await;
        }
    }
}

/// How many wait for a budget.
#[derive(Default)]
pub(crate) struct Waiting(Cell<usize>);

/// One who waits, until dropped.
pub(crate) struct Waits<'a>(&'a Waiting);

impl Waiting {
    /// One more waits.
    pub(crate) fn enter(&self) -> Waits<'_> {
        self.0.set(self.0.get() + 1);
        Waits(self)
    }

    /// Whether anybody does.
    pub(crate) fn any(&self) -> bool {
        self.0.get() > 0
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.0.set(self.0.0.get() - 1);
    }
}

/// Bytes held of a budget; dropping gives them back.
#[must_use = "dropping a reservation gives it back"]
pub(crate) struct Reservation {
    shared: Rc<Shared>,
    bytes: usize,
}

impl Reservation {
    /// How many.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Gives back all but `bytes`, or counts what is more: what was read may be one batch larger than was asked for.
    pub(crate) fn settle(&mut self, bytes: usize) {
        let used = self.shared.used.get() - self.bytes + bytes;
        self.shared.used.set(used);
        let shrunk = bytes < self.bytes;
        self.bytes = bytes;
        if shrunk {
            self.shared.freed.notify_all();
        }
    }
}

impl Reservation {
    /// One reservation of both, which are of the same budget.
    pub(crate) fn absorb(&mut self, mut other: Self) {
        assert!(Rc::ptr_eq(&self.shared, &other.shared), "reservations of two budgets");
        self.bytes += std::mem::take(&mut other.bytes);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.shared.used.set(self.shared.used.get() - self.bytes);
        if self.bytes > 0 {
            self.shared.freed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_holds_already_is_not_in_its_own_way() {
        let budget = ByteBudget::new(10);
        let mut large = budget.try_reserve(8).expect("there is room");
        assert!(budget.try_reserve(8).is_none());
        large.absorb(budget.try_reserve_beside(8, 8).expect("alone"));
        assert!(budget.try_reserve_beside(0, 1).is_none());
        assert_eq!((large.bytes(), budget.used()), (16, 16));
    }

    #[test]
    fn what_is_held_never_passes_the_limit_but_for_one_alone() {
        let budget = ByteBudget::new(10);
        let large = budget.try_reserve(100).expect("alone");
        assert!(budget.try_reserve(1).is_none());
        drop(large);
        let mut held = budget.try_reserve(8).expect("there is room");
        assert!(budget.try_reserve(3).is_none());
        held.settle(4);
        let other = budget.try_reserve(6).expect("what was not needed is free again");
        assert_eq!(budget.used(), 10);
        drop((held, other));
        assert_eq!(budget.used(), 0);
    }
}
