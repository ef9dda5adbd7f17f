//! The generator against a server that acknowledges at once: every figure is there, and nothing goes missing.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use loadgen::{LoadOptions, Mode, run, sink};
use runtime::executor::{self, ExecutorOptions};
use runtime::net::TcpListener;

/// A sink on the first core, for the rest of the process; its address.
fn start_sink(partitions: u32) -> String {
    let (found, address) = mpsc::channel();
    let cores = executor::affinity_cores()[..1].to_vec();
    thread::spawn(move || {
        executor::run(ExecutorOptions::new("sink", cores), move |_| {
            let found = found.clone();
            async move {
                let listener = TcpListener::bind(([127, 0, 0, 1], 0).into()).unwrap();
                found.send(listener.local_addr().unwrap()).unwrap();
                let _ = sink::serve(listener, partitions).await;
            }
        })
        .unwrap();
    });
    address.recv().unwrap().to_string()
}

#[test]
fn the_closed_loop_counts_every_record() {
    let options = LoadOptions {
        count: Some(20_000),
        duration: None,
        warm_up: Duration::ZERO,
        batch_records: Some(100),
        producers: 2,
        ..LoadOptions::new(Mode::Produce, start_sink(8), "t")
    };
    let report = run(&options).unwrap();
    assert_eq!((report.records, report.bytes, report.errors), (20_000, 20_000 * 1_024, 0));
    assert!(report.latency_us.p50 > 0.0 && report.latency_us.p50 <= report.latency_us.max);
    let json = serde_json::to_value(&report).unwrap();
    for field in ["records", "bytes", "seconds", "records_per_second", "bytes_per_second", "errors"] {
        assert!(json[field].is_number(), "{field}");
    }
}

#[test]
fn the_open_loop_sends_at_its_rate() {
    let options = LoadOptions {
        rate: Some(5_000.0),
        duration: Some(Duration::from_secs(1)),
        warm_up: Duration::from_millis(200),
        record_size: 100,
        verify: true,
        producers: 3,
        ..LoadOptions::new(Mode::Produce, start_sink(4), "t")
    };
    let report = run(&options).unwrap();
    assert_eq!(report.errors, 0);
    assert!((4_000..=6_000).contains(&report.records), "{} records in a second", report.records);
}

#[test]
fn options_that_contradict_each_other_are_refused() {
    let options = LoadOptions { record_size: 8, ..LoadOptions::new(Mode::EndToEnd, "127.0.0.1:1", "t") };
    assert!(run(&options).unwrap_err().to_string().contains("stamp"));
}
