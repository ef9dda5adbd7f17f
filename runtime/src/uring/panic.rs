//! A panic on a shard stops the process, in every build.
//!
//! glommio lets a panic end the executor it happened on; the other shards would go on without it, with partitions that
//! answer nothing. Release builds abort on any panic anyway. In the others the hook below does, for threads that
//! belong to a shard: its executor's and those that make its blocking calls (where a panic would leave the shard
//! waiting for ever).

use std::cell::Cell;
use std::io::Write;
use std::panic::PanicHookInfo;
use std::sync::Once;

thread_local! {
    static STOPS_THE_PROCESS: Cell<bool> = const { Cell::new(false) };
}

static HOOK: Once = Once::new();

/// From here on a panic on this thread stops the process.
pub(crate) fn stop_process_on_panic() {
    HOOK.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if STOPS_THE_PROCESS.get() {
                report_and_abort(info);
            }
            previous(info);
        }));
    });
    STOPS_THE_PROCESS.set(true);
}

fn report_and_abort(info: &PanicHookInfo<'_>) -> ! {
    let thread = std::thread::current();
    let backtrace = std::backtrace::Backtrace::capture();
    // Straight to standard error: a test harness that captures the usual output would lose it at the abort. Nothing
    // is left to do if that fails.
    let mut error_output = std::io::stderr().lock();
    let _ = writeln!(error_output, "shard thread '{}': {info}", thread.name().unwrap_or("unnamed"));
    let _ = writeln!(error_output, "{backtrace}\nA shard cannot go on without its task: the process stops.");
    let _ = error_output.flush();
    std::process::abort();
}
