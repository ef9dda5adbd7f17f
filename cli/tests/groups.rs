//! Consumer groups: reading as a member, and what is asked and changed of a group.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "not every test file uses all of the broker's helper")]

mod broker;

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use broker::{Broker, Folder, corelog, text};
use serde_json::{Value, json};

fn parsed(printed: &str) -> Value {
    serde_json::from_str(printed).unwrap_or_else(|error| panic!("{error}: {printed}"))
}

/// A topic `t` of two partitions: a0, b0 and c0 in the first, a1, b1 and c1 in the second.
fn filled(folder: &Folder) -> Broker {
    let broker = Broker::start(folder);
    broker.succeed(&["topic", "create", "t", "--partitions", "2"]);
    for partition in ["0", "1"] {
        let lines = format!("a{partition}\nb{partition}\nc{partition}\n");
        let sent = broker.produce(&["t", "--partition", partition], &lines);
        assert!(sent.status.success(), "{}", text(&sent.stderr));
    }
    broker
}

/// What the group `g` reads to the end, sorted.
fn read(broker: &Broker) -> Vec<String> {
    let mut lines: Vec<String> =
        broker.succeed(&["consume", "t", "--group", "g"]).lines().map(str::to_owned).collect();
    lines.sort_unstable();
    lines
}

/// Of each partition what the group `g` has committed, and how far it is behind.
fn standing(broker: &Broker) -> Vec<(u64, u64)> {
    let described = parsed(&broker.succeed(&["group", "describe", "g", "--json"]));
    assert_eq!((&described["group"], &described["state"]), (&json!("g"), &json!("Empty")));
    assert_eq!(described["members"], json!([]));
    let offsets = described["offsets"].as_array().unwrap();
    for (partition, offset) in offsets.iter().enumerate() {
        assert_eq!((&offset["topic"], &offset["partition"]), (&json!("t"), &json!(partition)));
        assert_eq!((&offset["end"], &offset["member"]), (&json!(3), &Value::Null));
    }
    offsets
        .iter()
        .map(|offset| (offset["committed"].as_u64().unwrap(), offset["lag"].as_u64().unwrap()))
        .collect()
}

#[test]
fn a_group_goes_on_after_what_it_committed_or_where_it_is_sent() {
    let folder = Folder::new("groups");
    let broker = filled(&folder);
    assert_eq!(parsed(&broker.succeed(&["group", "list", "--json"])), json!([]));
    assert_eq!(read(&broker), ["a0", "a1", "b0", "b1", "c0", "c1"]);
    assert!(read(&broker).is_empty(), "what is committed is not read again");
    assert_eq!(standing(&broker), [(3, 0), (3, 0)]);
    let listed = parsed(&broker.succeed(&["group", "list", "--json"]));
    assert_eq!(listed, json!([{ "group": "g", "kind": "consumer", "state": "Empty" }]));
    let words: Vec<String> =
        broker.succeed(&["group", "list"]).split_whitespace().map(str::to_owned).collect();
    assert_eq!(words, ["Empty", "consumer", "g"]);

    let reset = ["group", "reset-offsets", "g", "--topic", "t", "--to"];
    let would = parsed(&broker.succeed(&[&reset[..], &["earliest", "--dry-run", "--json"]].concat()));
    let offsets = json!([{ "partition": 0, "offset": 0 }, { "partition": 1, "offset": 0 }]);
    assert_eq!(would, json!({ "group": "g", "topic": "t", "reset": false, "offsets": offsets }));
    assert_eq!(standing(&broker), [(3, 0), (3, 0)], "a dry run changes nothing");
    let said = broker.succeed(&[&reset[..], &["1", "--partition", "1"]].concat());
    assert_eq!(said, "partition 1 goes on at 1\n");
    assert_eq!(standing(&broker), [(3, 0), (1, 2)]);
    assert_eq!(broker.succeed(&["consume", "t", "--group", "g", "--count", "1"]), "b1\n");
    assert_eq!(standing(&broker), [(3, 0), (2, 1)], "only what was printed is committed");
    assert_eq!(read(&broker), ["c1"]);
    broker.succeed(&[&reset[..], &["earliest"]].concat());
    assert_eq!(read(&broker), ["a0", "a1", "b0", "b1", "c0", "c1"]);
    for wrong in [&["--topic", "nowhere"][..], &["--topic", "t", "--partition", "2"]] {
        let refused = broker.run(&[&["group", "reset-offsets", "g", "--to", "latest"][..], wrong].concat());
        assert!(!refused.status.success(), "{wrong:?}: {}", text(&refused.stdout));
    }

    let deleted = parsed(&broker.succeed(&["group", "delete", "g", "--json"]));
    assert_eq!(deleted, json!({ "group": "g", "deleted": true }));
    assert_eq!(parsed(&broker.succeed(&["group", "list", "--json"])), json!([]));
    for command in ["describe", "delete"] {
        let refused = broker.run(&["group", command, "g"]);
        assert_eq!(refused.status.code(), Some(4), "{command}: {}", text(&refused.stderr));
    }
}

#[test]
fn a_group_with_a_member_is_shown_with_it_and_not_changed() {
    let folder = Folder::new("groups-live");
    let broker = filled(&folder);
    let mut member = corelog()
        .args(["consume", "t", "--group", "g", "--follow", "--count", "7"])
        .env("CORELOG_SERVER", &broker.server)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // It has its partitions once it has read of them.
    let mut lines = BufReader::new(member.stdout.take().unwrap()).lines();
    for _ in 0..6 {
        lines.next().unwrap().unwrap();
    }
    let described = parsed(&broker.succeed(&["group", "describe", "g", "--json"]));
    assert_eq!(described["state"], "Stable");
    let members = described["members"].as_array().unwrap();
    assert_eq!(members.len(), 1);
    assert_eq!((&members[0]["client"], &members[0]["partitions"]), (&json!("corelog-cli"), &json!(2)));
    for change in [&["delete", "g"][..], &["reset-offsets", "g", "--topic", "t", "--to", "earliest"]] {
        let refused = broker.run(&[&["group"][..], change].concat());
        assert_eq!(refused.status.code(), Some(4), "{change:?}: {}", text(&refused.stderr));
    }
    assert!(broker.produce(&["t", "--partition", "0"], "d0\n").status.success());
    assert_eq!(lines.next().unwrap().unwrap(), "d0");
    assert!(member.wait().unwrap().success());
    let left = parsed(&broker.succeed(&["group", "describe", "g", "--json"]));
    assert_eq!((&left["state"], &left["members"]), (&json!("Empty"), &json!([])));
    let committed = left["offsets"].as_array().unwrap().iter().map(|offset| &offset["committed"]);
    assert_eq!(committed.collect::<Vec<_>>(), [&json!(4), &json!(3)]);
}
