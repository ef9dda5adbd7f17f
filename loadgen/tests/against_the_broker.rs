//! The generator against a real broker: what is produced is read back, record by record.

mod live_broker;

use std::time::Duration;

use live_broker::LiveBroker;
use loadgen::{LoadOptions, Mode, run};

#[test]
fn what_was_produced_is_read_back_verified() {
    let broker = LiveBroker::start("load-verify");
    let produce = LoadOptions {
        count: Some(20_000),
        duration: None,
        warm_up: Duration::ZERO,
        batch_records: Some(50),
        producers: 2,
        verify: true,
        ..LoadOptions::new(Mode::Produce, broker.server.clone(), "checked")
    };
    let report = run(&produce).unwrap();
    assert_eq!((report.records, report.errors), (20_000, 0), "{report}");
    let consume = LoadOptions { mode: Mode::Consume, count: None, consumers: 3, ..produce };
    let report = run(&consume).unwrap();
    assert_eq!((report.verified_records, report.errors), (Some(20_000), 0), "{report}");
}

#[test]
fn both_ways_at_once_everything_acknowledged_arrives() {
    let broker = LiveBroker::start("load-both");
    for (topic, rate) in [("closed", None), ("open", Some(3_000.0))] {
        let options = LoadOptions {
            rate,
            duration: Some(Duration::from_secs(1)),
            warm_up: Duration::from_millis(200),
            batch_records: Some(20),
            consumers: 2,
            verify: true,
            ..LoadOptions::new(Mode::EndToEnd, broker.server.clone(), topic)
        };
        let report = run(&options).unwrap();
        assert_eq!(report.errors, 0, "{report}");
        assert!(report.records > 0 && report.latency_us.p50 > 0.0);
    }
}
