//! The world: who runs next, what time it is, what happens later.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use super::disk::crash::{UnderWay, Unflushed};
use super::disk::{Disk, DiskState};
use super::net::NetState;
use super::random::Rng;
use crate::executor::ShardId;

/// A simulated process; never given twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct ProcessId(pub u32);

pub(crate) type Happening = Box<dyn FnOnce(&mut State)>;
type TaskFuture = Pin<Box<dyn Future<Output = ()>>>;

/// All that is simulated, but for the tasks' futures, which are polled without a borrow of it.
pub(crate) struct State {
    pub(crate) now_ns: u64,
    pub(crate) rng: Rng,
    pub(crate) current: Option<(ProcessId, ShardId)>,
    pub(crate) disk: DiskState,
    pub(crate) net: NetState,
    later: BTreeMap<(u64, u64), Happening>,
    next_event: u64,
    tasks: BTreeMap<u64, Task>,
    next_task: u64,
    next_process: u32,
    ready: Arc<Mutex<Vec<u64>>>,
    steps: u64,
    trace: u64,
}

struct Task {
    place: (ProcessId, ShardId),
    /// Taken out while it is polled.
    future: Option<TaskFuture>,
}

struct TaskWaker {
    task: u64,
    ready: Arc<Mutex<Vec<u64>>>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        let mut ready = self.ready.lock().expect("one thread");
        if !ready.contains(&self.task) {
            ready.push(self.task);
        }
    }
}

thread_local! {
    static WORLD: RefCell<Option<State>> = const { RefCell::new(None) };
}

/// Runs `f` on the world of this thread.
///
/// # Panics
/// Outside a world, and inside another `with`.
pub(crate) fn with<R>(f: impl FnOnce(&mut State) -> R) -> R {
    WORLD.with_borrow_mut(|world| f(world.as_mut().expect("this thread has no simulated world")))
}

/// As [`with`], for destructors, which may run when the world is gone.
pub(crate) fn try_with(f: impl FnOnce(&mut State)) {
    WORLD.with(|world| {
        if let Ok(mut world) = world.try_borrow_mut() {
            world.as_mut().map(f);
        }
    });
}

impl State {
    /// Lets something happen in so many nanoseconds.
    pub(crate) fn after(&mut self, nanoseconds: u64, happening: Happening) {
        let key = (self.now_ns.saturating_add(nanoseconds), self.next_event);
        self.next_event += 1;
        self.later.insert(key, happening);
    }

    pub(crate) fn add_task(&mut self, place: (ProcessId, ShardId), future: TaskFuture) {
        let id = self.next_task;
        self.next_task += 1;
        self.tasks.insert(id, Task { place, future: Some(future) });
        self.ready.lock().expect("one thread").push(id);
    }

    pub(crate) fn process(&self) -> ProcessId {
        self.current.expect("only a task does this").0
    }

    fn take_ready(&mut self) -> Option<(u64, TaskFuture)> {
        let ready = self.ready.clone();
        loop {
            let mut ready = ready.lock().expect("one thread");
            if ready.is_empty() {
                return None;
            }
            let at = self.rng.below(ready.len() as u64) as usize;
            let id = ready.swap_remove(at);
            let Some(task) = self.tasks.get_mut(&id) else { continue };
            let Some(future) = task.future.take() else { continue };
            self.current = Some(task.place);
            self.steps += 1;
            self.trace = (self.trace ^ id ^ self.now_ns).wrapping_mul(0x0100_0000_01b3);
            return Some((id, future));
        }
    }

    fn take_next_event(&mut self) -> Option<Happening> {
        let ((at, _), happening) = self.later.pop_first()?;
        self.now_ns = self.now_ns.max(at);
        Some(happening)
    }
}

/// A simulated world on this thread. One at a time a thread; dropping it ends everything in it.
pub struct World {
    _not_send: std::marker::PhantomData<*const ()>,
}

impl World {
    /// A new world in which everything that is left to chance is decided by `seed`.
    pub fn new(seed: u64) -> World {
        let state = State {
            now_ns: 0,
            rng: Rng(seed),
            current: None,
            disk: DiskState::default(),
            net: NetState::default(),
            later: BTreeMap::new(),
            next_event: 0,
            tasks: BTreeMap::new(),
            next_task: 0,
            next_process: 0,
            ready: Arc::default(),
            steps: 0,
            trace: 0xcbf2_9ce4_8422_2325,
        };
        WORLD.with_borrow_mut(|world| {
            assert!(world.is_none(), "there is a world on this thread already");
            *world = Some(state);
        });
        World { _not_send: std::marker::PhantomData }
    }

    /// Starts a process: `main` runs on each of its shards.
    pub fn start_process<Fut>(&self, shards: u16, main: impl Fn(ShardId) -> Fut + 'static) -> ProcessId
    where
        Fut: Future<Output = ()> + 'static,
    {
        let main = Rc::new(main);
        with(|world| {
            let process = ProcessId(world.next_process);
            world.next_process += 1;
            for shard in (0..shards).map(ShardId) {
                let main = main.clone();
                // The future is made inside the task, where there is a shard.
                world.add_task((process, shard), Box::pin(async move { main(shard).await }));
            }
            process
        })
    }

    /// Runs a future as a process of its own with one shard, until it ends. `None` if it waits for something that never
    /// comes, or takes more than `steps_max` polls of all tasks.
    pub fn run<T: 'static>(&self, future: impl Future<Output = T> + 'static, steps_max: u64) -> Option<T> {
        let output = Rc::new(RefCell::new(None));
        let (slot, future) = (output.clone(), RefCell::new(Some(future)));
        let process = self.start_process(1, move |_| {
            let (slot, future) = (slot.clone(), future.borrow_mut().take().expect("one shard"));
            async move { *slot.borrow_mut() = Some(future.await) }
        });
        let last_step = self.steps() + steps_max;
        while output.borrow().is_none() && self.steps() < last_step && self.step() {}
        let ended = output.borrow_mut().take();
        self.end(process);
        ended
    }

    /// Polls one task, or lets time pass to the next event. False when nothing will ever happen again.
    pub fn step(&self) -> bool {
        if let Some((id, mut future)) = with(State::take_ready) {
            let ready = with(|world| world.ready.clone());
            let waker = Waker::from(Arc::new(TaskWaker { task: id, ready }));
            let polled = future.as_mut().poll(&mut Context::from_waker(&waker));
            with(|world| {
                match polled {
                    Poll::Ready(()) => drop(world.tasks.remove(&id)),
                    Poll::Pending => {
                        if let Some(task) = world.tasks.get_mut(&id) {
                            task.future = Some(future);
                            return None;
                        }
                    }
                }
                Some(future)
            });
            with(|world| world.current = None);
            return true;
        }
        let Some(happening) = with(State::take_next_event) else { return false };
        with(|world| happening(world));
        true
    }

    /// Steps until `done`, at most so often. True if it came about.
    pub fn run_until(&self, mut done: impl FnMut() -> bool, steps_max: u64) -> bool {
        let last_step = self.steps() + steps_max;
        while !done() {
            if self.steps() >= last_step || !self.step() {
                return done();
            }
        }
        true
    }

    /// Ends a process as `kill -9` does: its tasks are gone, its connections cut, its locks free; what it had written stays
    /// in the kernel's cache; a write under way lands now, later, in part or never.
    pub fn kill(&self, process: ProcessId) {
        self.kill_leaving(process, UnderWay::Drawn);
    }

    /// As [`World::kill`], where the test says what becomes of the writes under way.
    pub fn kill_leaving(&self, process: ProcessId, under_way: UnderWay) {
        self.end(process);
        with(|world| super::disk::crash::kill(world, process, under_way));
    }

    /// Ends every process and keeps of what was not flushed what the seed decides.
    pub fn power_cut(&self) {
        self.power_cut_leaving(Unflushed::Drawn);
    }

    /// As [`World::power_cut`], where the test says what the disk keeps.
    pub fn power_cut_leaving(&self, unflushed: Unflushed) {
        let processes: Vec<ProcessId> = with(|world| world.tasks.values().map(|task| task.place.0).collect());
        processes.into_iter().for_each(|process| self.end(process));
        with(|world| {
            world.later.clear();
            super::disk::crash::power_cut(world, unflushed);
        });
    }

    /// Cuts the power of the machine that these processes run on. All others run on other machines, without a disk, and go on.
    pub fn power_cut_of(&self, processes: &[ProcessId], unflushed: Unflushed) {
        processes.iter().for_each(|process| self.end(*process));
        // Events of the processes that are gone find nobody; those of the others must come.
        with(|world| super::disk::crash::power_cut(world, unflushed));
    }

    /// Cuts one connection that the seed draws: both sides see a reset. False if there is none.
    pub fn cut_connection(&self) -> bool {
        with(State::cut_connection)
    }

    /// Refuses connections to these ports from now on, as a firewall does; replaces the ports refused before.
    pub fn refuse_ports(&self, ports: &[u16]) {
        with(|world| world.net.refuse_ports(ports));
    }

    fn end(&self, process: ProcessId) {
        let tasks: Vec<Task> = with(|world| {
            let gone: Vec<u64> =
                world.tasks.iter().filter(|(_, task)| task.place.0 == process).map(|(id, _)| *id).collect();
            gone.into_iter().filter_map(|id| world.tasks.remove(&id)).collect()
        });
        // Dropped without a borrow: destructors come back into the world.
        drop(tasks);
        with(|world| {
            world.net.end(process);
            world.disk.unlock_all(process);
        });
    }

    /// A number below `bound`, drawn from the seed.
    pub fn draw(&self, bound: u64) -> u64 {
        with(|world| world.rng.below(bound))
    }

    /// Polls so far.
    pub fn steps(&self) -> u64 {
        with(|world| world.steps)
    }

    /// Virtual time since the world began.
    pub fn now(&self) -> std::time::Duration {
        std::time::Duration::from_nanos(with(|world| world.now_ns))
    }

    /// A number that differs where two runs differ.
    pub fn trace_hash(&self) -> u64 {
        with(|world| world.trace)
    }

    pub fn disk(&self) -> Disk {
        Disk::new()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let tasks = with(|world| std::mem::take(&mut world.tasks));
        drop(tasks);
        let state = WORLD.with_borrow_mut(Option::take);
        drop(state);
    }
}

/// A value that comes later: the other side of an event.
pub(crate) struct Signal<T> {
    shared: Rc<RefCell<(Option<T>, Option<Waker>)>>,
}

impl<T> Signal<T> {
    pub(crate) fn new() -> Self {
        Signal { shared: Rc::new(RefCell::new((None, None))) }
    }

    pub(crate) fn set(&self, value: T) {
        let mut shared = self.shared.borrow_mut();
        shared.0 = Some(value);
        if let Some(waker) = shared.1.take() {
            waker.wake();
        }
    }
}

impl<T> Clone for Signal<T> {
    fn clone(&self) -> Self {
        Signal { shared: self.shared.clone() }
    }
}

impl<T> Future for Signal<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let mut shared = self.shared.borrow_mut();
        match shared.0.take() {
            Some(value) => Poll::Ready(value),
            None => {
                shared.1 = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}
