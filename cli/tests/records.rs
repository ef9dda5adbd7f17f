//! Lines in, records out: where from, how many, in which form.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "not every test file uses all of the broker's helper")]

mod broker;

use std::io::{BufRead, BufReader, Write};
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
fn a_key_separator_splits_the_lines_of_files_and_of_stdin_among_them() {
    let folder = Folder::new("key-separator");
    let broker = Broker::start(&folder);
    broker.succeed(&["topic", "create", "t"]);
    let [first, second] = ["first", "second"].map(|name| folder.0.join(name).display().to_string());
    std::fs::write(&first, "a=>1\nplain\n").unwrap();
    std::fs::write(&second, "b=>2=>3").unwrap();
    let sent = broker.produce(&["t", &first, "-", &second, "--key-separator", "=>"], "=>empty\nc=>\n");
    assert!(sent.status.success(), "{}", text(&sent.stderr));
    let printed = broker.succeed(&["consume", "t", "--format", "{key}|{value}\\n"]);
    assert_eq!(printed, "a|1\n|plain\n|empty\nc|\nb|2=>3\n");
    let all = broker.succeed(&["consume", "t", "--json"]);
    let keys: Vec<serde_json::Value> = all
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["key"].clone())
        .collect();
    let null = serde_json::Value::Null;
    assert_eq!(keys, ["a".into(), null, "".into(), "c".into(), "b".into()], "no key is not an empty one");
}

#[test]
fn records_go_to_the_partition_that_was_named_and_only_those_named_are_read() {
    let folder = Folder::new("partitions");
    let broker = Broker::start(&folder);
    broker.succeed(&["topic", "create", "t", "--partitions", "3"]);
    for partition in ["0", "1", "2"] {
        let sent = broker.produce(&["t", "--partition", partition], &format!("to {partition}\n"));
        assert!(sent.status.success(), "{}", text(&sent.stderr));
    }
    let format = ["consume", "t", "--format", "{topic}/{partition} {value}\\n"];
    let of = |partitions: &[&str]| {
        let printed = broker.succeed(&[&format[..], partitions].concat());
        let mut lines: Vec<String> = printed.lines().map(str::to_owned).collect();
        lines.sort_unstable();
        lines
    };
    assert_eq!(of(&["--partition", "1"]), ["t/1 to 1"]);
    assert_eq!(of(&["--partition", "0", "--partition", "2"]), ["t/0 to 0", "t/2 to 2"]);
    assert_eq!(of(&[]), ["t/0 to 0", "t/1 to 1", "t/2 to 2"]);
    let sent = broker.produce(&["t", "--partition", "3"], "x\n");
    assert_eq!(sent.status.code(), Some(4), "{}", text(&sent.stderr));
    let read = broker.run(&["consume", "t", "--partition", "3"]);
    assert_eq!(read.status.code(), Some(4), "{}", text(&read.stderr));
}

#[test]
fn a_batch_is_stored_with_the_codec_that_was_asked_for() {
    let folder = Folder::new("codecs");
    let mut broker = Broker::start(&folder);
    broker.succeed(&["topic", "create", "t"]);
    let codecs = ["none", "gzip", "snappy", "lz4", "zstd"];
    let lines: String = (0..50).map(|n| format!("line {n}\n")).collect();
    for codec in codecs {
        // Gathered into one batch each.
        let sent = broker.produce(&["t", "--compression", codec, "--linger", "10m"], &lines);
        assert!(sent.status.success(), "{codec}: {}", text(&sent.stderr));
    }
    assert_eq!(broker.succeed(&["consume", "t"]), lines.repeat(codecs.len()));
    broker.signal(rustix::process::Signal::TERM);
    assert!(broker.wait().success());
    let topic = std::fs::read_dir(folder.0.join("data/topics/t")).unwrap().next().unwrap().unwrap().path();
    let segment = topic.join("00000000000000000000.log");
    let shown = corelog().args(["log", "inspect", "--json"]).arg(segment).output().unwrap();
    let batches: Vec<(String, u64)> = text(&shown.stdout)
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .filter(|line| line["batch"].is_u64())
        .map(|line| (line["codec"].as_str().unwrap().to_owned(), line["records"].as_u64().unwrap()))
        .collect();
    assert_eq!(batches, codecs.map(|codec| (codec.to_owned(), 50)));
    let wrong = corelog().args(["produce", "t", "--compression", "rar"]).output().unwrap();
    assert_eq!(wrong.status.code(), Some(2));
}

#[test]
fn a_line_that_lingers_is_sent_when_the_input_ends_and_others_go_before_it() {
    let folder = Folder::new("linger");
    let broker = Broker::start(&folder);
    broker.succeed(&["topic", "create", "t"]);
    // Two producers whose input stays open.
    let mut producers = ["10m", "0"].map(|linger| {
        corelog()
            .args(["produce", "t", "--linger", linger])
            .env("CORELOG_SERVER", &broker.server)
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    });
    for (producer, line) in producers.iter_mut().zip(["lingers\n", "goes\n"]) {
        producer.stdin.as_mut().unwrap().write_all(line.as_bytes()).unwrap();
    }
    assert_eq!(broker.succeed(&["consume", "t", "--follow", "--count", "1"]), "goes\n");
    for mut producer in producers {
        drop(producer.stdin.take());
        assert!(producer.wait().unwrap().success());
    }
    assert_eq!(broker.succeed(&["consume", "t"]), "goes\nlingers\n");
}

/// A port that takes connections and says nothing, as a hung broker's does.
#[test]
fn a_server_that_does_not_answer_within_the_timeout_is_not_reached() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let server = silent.local_addr().unwrap().to_string();
    let asking = |command: &str, timeout: &str| {
        let mut asking = corelog();
        asking.args([command, "t", "--timeout", timeout, "--server", &server]);
        asking
    };
    let mut patient = asking("consume", "1h").stderr(Stdio::null()).spawn().unwrap();
    for command in ["produce", "consume"] {
        let output = asking(command, "200ms").output().unwrap();
        assert_eq!(output.status.code(), Some(3), "{command}: {}", text(&output.stderr));
    }
    let still_waits = patient.try_wait().unwrap().is_none();
    patient.kill().unwrap();
    patient.wait().unwrap();
    assert!(still_waits, "it had an hour");
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
