//! What a user measures and asks with: `bench`, `node`, `tune`, `completions`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "not every test file uses all of the broker's helper")]

mod broker;

use broker::{Broker, Folder, corelog, text};
use serde_json::Value;

fn json(printed: &str) -> Value {
    serde_json::from_str(printed).unwrap_or_else(|error| panic!("{error}: {printed}"))
}

/// The keys that scripts rely on, with numbers that go together.
fn check_report(report: &Value, records: u64) {
    for key in ["seconds", "records_per_second", "bytes_per_second"] {
        assert!(report[key].as_f64().unwrap() > 0.0, "{key}: {report}");
    }
    assert_eq!((&report["records"], &report["errors"]), (&records.into(), &0.into()), "{report}");
    assert!(report["bytes"].as_u64().unwrap() >= records * 100, "{report}");
    let latency = |key: &str| report["latency_us"][key].as_f64().unwrap();
    let inorder = ["p50", "p90", "p99", "p999", "max"].map(latency);
    assert!(inorder.is_sorted() && inorder[0] > 0.0, "{report}");
}

#[test]
fn every_bench_prints_one_object_with_all_its_keys() {
    let folder = Folder::new("bench");
    let broker = Broker::start(&folder);
    let load = ["--json", "--verify", "--count", "2000", "--record-size", "100"];
    let produce = ["bench", "produce", "--producers", "2", "--batch-records", "50", "--in-flight", "4"];
    check_report(&json(&broker.succeed(&[&produce[..], &load].concat())), 2000);
    let consumed = json(&broker.succeed(&[&["bench", "consume", "--consumers", "2"][..], &load].concat()));
    check_report(&consumed, 2000);
    assert_eq!(consumed["verified_records"], 2000);
    let rate = ["bench", "end-to-end", "--topic", "other", "--rate", "20000", "--linger", "1ms"];
    check_report(&json(&broker.succeed(&[&rate[..], &load].concat())), 2000);
    let shown = broker.succeed(&["bench", "produce", "--count", "100", "--batch-bytes", "4KiB"]);
    assert!(shown.contains("p99.9"), "{shown}");
    assert_eq!(broker.run(&["bench", "produce", "--record-size", "lots"]).status.code(), Some(2));
}

#[test]
fn the_node_says_what_each_shard_did_and_holds() {
    let folder = Folder::new("node");
    let broker = Broker::start(&folder);
    broker.succeed(&["topic", "create", "t"]);
    assert!(broker.produce(&["t"], "one\ntwo\n").status.success());
    let node = json(&broker.succeed(&["node", "describe", "--json"]));
    assert_eq!(node["pid"], broker.ready["pid"]);
    let shard = &node["shards"][0];
    assert!(shard["counters"]["produce_requests"].as_u64().unwrap() >= 1, "{node}");
    for queue in
        ["receive_bytes", "outgoing_bytes", "answer_bytes", "pending_bytes", "dirty_bytes", "cache_bytes"]
    {
        assert!(shard["queues"][queue]["limit"].as_u64().unwrap() > 0, "{queue}: {node}");
    }
    for stage in ["received_to_appended", "received_to_durable", "durable_to_answered"] {
        assert!(shard["stages"][stage].is_object(), "{stage}: {node}");
    }
    assert!(!broker.succeed(&["node", "describe"]).is_empty());
}

#[test]
fn the_machine_is_checked_with_reasons_and_the_disk_measured_without_a_trace() {
    let folder = Folder::new("tune");
    let checked = corelog().args(["tune", "check", "--json", "--data"]).arg(&folder.0).output().unwrap();
    assert!(json(&text(&checked.stdout)).as_array().is_some_and(|findings| !findings.is_empty()));
    let measured = corelog().args(["tune", "disk", "--json"]).arg(&folder.0).output().unwrap();
    assert!(measured.status.success(), "{}", text(&measured.stderr));
    assert!(!json(&text(&measured.stdout)).is_null());
    assert_eq!(std::fs::read_dir(&folder.0).unwrap().count(), 0);
    let missing = corelog().args(["tune", "disk", "/no/such/folder"]).output().unwrap();
    assert!(!missing.status.success() && text(&missing.stderr).contains("/no/such/folder"));
}

#[test]
fn completions_are_there_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = corelog().args(["completions", shell]).output().unwrap();
        assert!(text(&output.stdout).contains("end-to-end"), "{shell}");
    }
    assert_eq!(corelog().args(["completions", "tcsh"]).output().unwrap().status.code(), Some(2));
}
