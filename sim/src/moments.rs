//! Crashes at each moment: a moment is one poll of one task, or one thing that happens between polls, as a write that lands.
//!
//! The same seed runs the same way, so each moment is reached by running from the beginning. After the crash the machine starts
//! again and is judged, appends to each partition, loses its power, and is judged once more: a ghost of the first life would
//! stand where the second has written. `CORELOG_SIM_MOMENT=17` replays one moment.

use crate::lives::Plan;
use crate::machine::{Crash, Machine, Running};
use runtime::sim::Unflushed;

/// A moment is given up for a loop after so many.
const MOMENTS_MAX: u64 = 100_000;

/// Crashes `work` at each of its moments, in each of these ways. `before` is what happened on the machine until then, and ends
/// as `Machine::run` does. Returns the number of moments.
pub fn crash_at_each(
    plan: &Plan,
    crashes: &[Crash],
    before: impl Fn(&Machine),
    work: impl AsyncFn(Running) + Clone + 'static,
) -> u64 {
    let number = std::env::var("CORELOG_SIM_MOMENT").ok().and_then(|text| text.parse::<u64>().ok());
    let count = count(plan, &before, &work);
    for moment in number.map_or(0..count, |moment| moment..moment + 1) {
        for crash in crashes {
            let once = || crash_at(moment, *crash, plan, &before, &work);
            let failed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(once)).is_err();
            assert!(
                !failed,
                "moment {moment} of {count}, {crash:?}, failed; replay it with CORELOG_SIM_MOMENT={moment}"
            );
        }
    }
    count
}

fn count(plan: &Plan, before: &impl Fn(&Machine), work: &(impl AsyncFn(Running) + Clone + 'static)) -> u64 {
    let machine = Machine::new(0, plan);
    before(&machine);
    let ended = std::rc::Rc::new(std::cell::Cell::new(false));
    let (signal, work) = (ended.clone(), work.clone());
    machine.start(async move |running| {
        work(running).await;
        signal.set(true);
    });
    let mut moments = 0;
    while !ended.get() {
        assert!(machine.world.step(), "the work waits for something that never comes");
        moments += 1;
        assert!(moments < MOMENTS_MAX, "the work does not end");
    }
    moments
}

fn crash_at(
    moment: u64,
    crash: Crash,
    plan: &Plan,
    before: &impl Fn(&Machine),
    work: &(impl AsyncFn(Running) + Clone + 'static),
) {
    let machine = Machine::new(0, plan);
    before(&machine);
    let process = machine.start(work.clone());
    for _ in 0..moment {
        machine.world.step();
    }
    machine.crash(process, crash);
    live_on(&machine);
}

/// The life after a crash: what is there is judged, one more batch goes to each partition, and all of it survives a power cut.
pub fn live_on(machine: &Machine) {
    let batches: Vec<_> = machine.partitions().into_iter().map(|uid| (uid, 300)).collect();
    machine.run(async move |running| {
        running.append_all(&batches).await;
    });
    machine.world.power_cut_leaving(Unflushed::Lost);
    machine.judge();
}
