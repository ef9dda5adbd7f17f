//! The count of operations an executor must see the end of.
//!
//! When an executor ends, glommio frees the memory of the writes it has under way; the kernel may still be reading it,
//! and what another thread puts there next would reach the disk. So an executor ends only when its writes have.

use std::cell::Cell;

use crate::sync::Event;

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
    static NONE_LEFT: Event = Event::new();
}

/// One operation under way, until dropped.
pub(crate) struct Pending(());

/// Counts an operation.
pub(crate) fn begin() -> Pending {
    COUNT.set(COUNT.get() + 1);
    Pending(())
}

impl Drop for Pending {
    fn drop(&mut self) {
        let count = COUNT.get() - 1;
        COUNT.set(count);
        if count == 0 {
            // At the thread's end the event may be gone; then nobody waits for it either.
            let _ = NONE_LEFT.try_with(Event::notify_all);
        }
    }
}

/// Waits until no operation is under way on this executor.
pub(crate) async fn all_ended() {
    loop {
        let none_left = NONE_LEFT.with(Event::wait);
        if COUNT.get() == 0 {
            return;
        }
        none_left.await;
    }
}
