//! Worlds leave nothing behind: a soak runs millions of them in one process, and a broker stops its shards the same way.
//!
//! Storage and broker once held themselves: a shard its logs and each log its shard, a service its connections and each
//! connection its service. Each world that crashed left all of its memory, and 25 s of seeds left 2.6 GB.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use sim::{broker_world, lives};

/// The system's allocator, which counts what a thread has and did not give back.
struct Counting;

thread_local! {
    static HELD_BYTES: Cell<isize> = const { Cell::new(0) };
}

fn count(bytes: isize) {
    // A thread that ends frees after its thread-locals are gone.
    let _ = HELD_BYTES.try_with(|held| held.set(held.get() + bytes));
}

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller keeps `alloc`'s contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: `place` came from `alloc` above with this layout: the caller keeps that.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Bytes that ten worlds leave behind, after two which may fill what is made once a thread.
fn left_behind(run: impl Fn(u64)) -> isize {
    (0..2).for_each(&run);
    let before = HELD_BYTES.get();
    (2..12).for_each(&run);
    HELD_BYTES.get() - before
}

#[test]
fn a_storage_that_crashed_leaves_no_memory_behind() {
    let bytes = left_behind(|seed| lives::Plan::default().run(seed));
    assert_eq!(bytes, 0, "left by ten worlds");
}

#[test]
fn a_broker_and_its_clients_that_crashed_leave_no_memory_behind() {
    let bytes = left_behind(|seed| {
        broker_world::run(seed, |_| {});
    });
    assert_eq!(bytes, 0, "left by ten worlds");
}
