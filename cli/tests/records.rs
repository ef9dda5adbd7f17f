//! Lines in, records out: where from, how many, in which form.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "not every test file uses all of the broker's helper")]

mod broker;

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use broker::{Broker, Folder, corelog, text};

#[test]
fn files_are_sent_in_their_order_and_a_missing_one_is_named() {
    let folder = Folder::new("files");
    let broker = Broker::start(&folder);
    broker.succeed(&["topic", "create", "t"]);
    let [first, second] = ["first", "second"].map(|name| folder.0.join(name).display().to_string());
    std::fs::write(&first, "1\n2\n").unwrap();
    std::fs::write(&second, "3").unwrap();
    let sent = broker.run(&["produce", "t", &first, &second]);
    assert!(sent.status.success() && (text(&sent.stdout) + &text(&sent.stderr)).contains('3'));
    assert_eq!(broker.succeed(&["consume", "t"]), "1\n2\n3\n");
    let missing = broker.run(&["produce", "t", "/no/such/file"]);
    assert!(!missing.status.success() && text(&missing.stderr).contains("/no/such/file"));
    let unknown = broker.produce(&["nowhere"], "x\n");
    assert_eq!(unknown.status.code(), Some(4), "{}", text(&unknown.stderr));
    assert!(text(&unknown.stderr).contains("nowhere"));
}

#[test]
fn reading_begins_at_an_offset_a_time_or_either_end() {
    let folder = Folder::new("positions");
    let broker = Broker::start(&folder);
    broker.succeed(&["topic", "create", "t"]);
    broker.produce(&["t"], "a\nb\nc\n");
    let from = |position: &str| broker.succeed(&["consume", "t", "--from", position]);
    assert_eq!(from("earliest"), "a\nb\nc\n");
    assert_eq!(from("1"), "b\nc\n");
    assert_eq!(from("latest"), "");
    assert_eq!(from("1h"), "a\nb\nc\n");
    assert_eq!(from("2001-01-01"), "a\nb\nc\n");
    assert_eq!(from("2100-01-01T00:00:00Z"), "");
    assert_eq!(broker.run(&["consume", "t", "--from", "yesterday-ish"]).status.code(), Some(2));
    assert_ne!(broker.run(&["consume", "t", "--from", "77"]).status.code(), Some(0), "beyond the end");
}

#[test]
fn a_consumer_that_follows_prints_what_comes() {
    let folder = Folder::new("follow");
    let broker = Broker::start(&folder);
    broker.succeed(&["topic", "create", "t"]);
    broker.produce(&["t"], "before\n");
    let mut following = corelog()
        .args(["consume", "t", "--follow", "--count", "2", "--json"])
        .env("CORELOG_SERVER", &broker.server)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(following.stdout.take().unwrap()).lines();
    let mut next = || -> serde_json::Value { serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap() };
    assert_eq!(next()["offset"], 0);
    broker.produce(&["t", "--key-separator", "="], "k=after\n");
    let record = next();
    assert_eq!(
        (&record["offset"], &record["key"], &record["value"]),
        (&1.into(), &"k".into(), &"after".into())
    );
    assert!(following.wait().unwrap().success());
}
