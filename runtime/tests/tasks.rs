//! Tasks, gates, timers, starting and stopping on real executors.
#![cfg(not(feature = "simulator"))]

mod on_shards;

use std::cell::{Cell, RefCell};
use std::process::Command;
use std::rc::Rc;
use std::time::{Duration, Instant};

use on_shards::{on_one_shard, on_two_shards};
use runtime::executor::{self, ExecutorOptions, ShardId, StartError};
use runtime::gate::{Gate, GateClosed};
use runtime::signal::{self, Signal};
use runtime::{clock, random, task};
use rustix::process::{Signal as SystemSignal, getpid, kill_process};
use rustix::time::{ClockId, clock_gettime};

#[test]
fn executors_return_their_outputs_in_the_order_of_the_shards() {
    let cores = executor::affinity_cores();
    let outputs = executor::run(ExecutorOptions::new("test", cores.clone()), |shard| async move {
        clock::sleep(Duration::from_millis(u64::from(5 / (shard.0 + 1)))).await;
        shard
    });
    let expected: Vec<ShardId> = (0..cores.len()).map(|index| ShardId(index as u16)).collect();
    assert_eq!(outputs.unwrap(), expected);
}

#[test]
fn a_core_that_is_not_there_is_an_error_and_nothing_runs() {
    let core = executor::affinity_cores()[0];
    let started = executor::run(ExecutorOptions::new("test", vec![core, 8000]), |_| async {
        panic!("a shard ran although another could not");
    });
    let error: StartError = started.map(|_: Vec<()>| ()).unwrap_err();
    assert!(error.to_string().contains("core 8000"), "{error}");
}

/// glommio as published forgets the tasks of a round in which its preempt timer has fired, or another shard has called,
/// before the first of them runs, and sleeps until the next timer. Here the time is always up.
#[test]
fn no_wake_up_is_lost_where_time_is_up_before_the_first_task_runs() {
    let mut options = ExecutorOptions::new("test", vec![executor::affinity_cores()[0]]);
    options.preempt_interval = Duration::from_nanos(1);
    let began = Instant::now();
    executor::run(options, |_| async {
        for _ in 0..SLEEPS {
            clock::sleep(Duration::from_micros(100)).await;
        }
    })
    .unwrap();
    assert!(began.elapsed() < SLEEPS_TAKE_MAX, "{:?}", began.elapsed());
}

#[test]
fn a_spawned_task_runs_after_the_one_that_spawned_it_yields() {
    on_one_shard(|| async {
        let shared = Rc::new(RefCell::new(Vec::new()));
        let borrowed = shared.borrow_mut();
        let of_task = shared.clone();
        // Run inside `spawn`, as glommio would, this would find the value borrowed.
        let spawned = task::spawn(async move { of_task.borrow_mut().push("task") });
        drop(borrowed);
        shared.borrow_mut().push("spawner");
        spawned.await;
        assert_eq!(*shared.borrow(), ["spawner", "task"]);
    });
}

#[test]
fn a_dropped_handle_lets_its_task_run_on() {
    on_one_shard(|| async {
        let done = Rc::new(Cell::new(0));
        for spawn_background in [false, true] {
            let done = done.clone();
            let body = async move {
                clock::sleep(Duration::from_millis(1)).await;
                done.set(done.get() + 1);
            };
            drop(if spawn_background { task::spawn_background(body) } else { task::spawn(body) });
        }
        while done.get() < 2 {
            clock::sleep(Duration::from_millis(1)).await;
        }
    });
}

#[test]
fn a_long_loop_that_yields_if_needed_lets_timers_and_others_run() {
    on_one_shard(|| async {
        let stop = Rc::new(Cell::new(false));
        let of_timer = stop.clone();
        let timer = task::spawn(async move {
            clock::sleep(Duration::from_millis(2)).await;
            of_timer.set(true);
        });
        while !stop.get() {
            task::yield_if_needed().await;
        }
        timer.await;
    });
}

#[test]
fn a_timeout_drops_what_is_late_and_passes_on_what_is_not() {
    on_one_shard(|| async {
        let late = clock::timeout(Duration::from_millis(1), clock::sleep(Duration::from_secs(3600))).await;
        assert_eq!(late, Err(clock::Elapsed));
        assert_eq!(clock::timeout(Duration::ZERO, async { 5 }).await, Ok(5));
        let began = clock::now();
        clock::sleep_until(began + Duration::from_millis(3)).await;
        assert!(began.elapsed() >= Duration::from_millis(3));
    });
}

#[test]
fn closing_a_gate_refuses_newcomers_and_waits_for_those_inside() {
    on_one_shard(|| async {
        let gate = Gate::new();
        let left = Rc::new(Cell::new(false));
        let (inside, leaving) = (gate.clone(), left.clone());
        let resident = gate.spawn(async move {
            inside.closing().await;
            assert!(matches!(inside.enter(), Err(GateClosed)));
            clock::sleep(Duration::from_millis(1)).await;
            leaving.set(true);
            "left"
        });
        let guard = gate.enter().unwrap();
        assert_eq!((gate.inside(), gate.is_closing()), (2, false));
        let second_close = gate.clone();
        let closing_too = task::spawn(async move { second_close.close().await });
        drop(guard);
        gate.close().await;
        assert!(left.get() && gate.is_closing() && gate.inside() == 0);
        closing_too.await;
        gate.closing().await;
        assert_eq!(resident.unwrap().await, "left");
        assert!(gate.spawn(async {}).is_err());
    });
}

#[test]
fn random_numbers_differ_and_keep_their_bound() {
    on_one_shard(|| async {
        assert_ne!(random::u64(), random::u64());
        assert!((0..1000).all(|_| random::below(7) < 7));
        let mut bytes = [0; 1000];
        random::fill(&mut bytes);
        assert!(bytes.iter().collect::<std::collections::HashSet<_>>().len() > 100);
        assert_eq!(random::uuid().get_version_num(), 4);
    });
}

/// The time on a core that an idle executor takes in a while: parked, it takes none. Half a core would be a poll.
#[test]
fn an_idle_executor_uses_no_cpu() {
    on_two_shards(|_| async {
        clock::sleep(Duration::from_millis(50)).await;
        let cpu_time = || Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap();
        let before = cpu_time();
        clock::sleep(Duration::from_millis(300)).await;
        let used = cpu_time() - before;
        assert!(used < Duration::from_millis(100), "{used:?} of 300 ms");
    });
}

#[test]
fn signals_resolve_one_after_the_other() {
    on_one_shard(|| async {
        let first = task::spawn(signal::terminate());
        // The handler is there once the task has run.
        clock::sleep(Duration::from_millis(1)).await;
        kill_process(getpid(), SystemSignal::TERM).unwrap();
        assert_eq!(first.await, Signal::Terminate);
        kill_process(getpid(), SystemSignal::INT).unwrap();
        assert_eq!(signal::terminate().await, Signal::Interrupt);
    });
}

/// One in eight would be lost, and each would wait for a heartbeat: 50 s in all.
const SLEEPS: u32 = 2000;
const SLEEPS_TAKE_MAX: Duration = Duration::from_secs(20);

const PANIC_IN: &str = "CORELOG_TEST_PANIC_IN";

/// glommio lets a panic end one executor; the others would go on. The test runs itself again as the process to stop.
#[test]
fn a_panic_in_a_task_stops_the_process() {
    match std::env::var(PANIC_IN) {
        Ok(_) => on_two_shards(|shard| async move {
            if shard == ShardId(1) {
                drop(task::spawn(async { panic!("on purpose") }));
            }
            clock::sleep(Duration::from_secs(60)).await;
            std::process::exit(0);
        }),
        Err(_) if executor::affinity_cores().len() < 2 => {}
        Err(_) => {
            let mut again = Command::new(std::env::current_exe().unwrap());
            again.args(["a_panic_in_a_task_stops_the_process", "--exact"]).env(PANIC_IN, "task");
            let output = again.output().unwrap();
            assert!(!output.status.success());
            let text = String::from_utf8_lossy(&output.stderr);
            assert!(text.contains("on purpose") && text.contains("the process stops"), "{text}");
        }
    }
}
