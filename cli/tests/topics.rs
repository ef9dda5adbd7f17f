//! Topics, flag by flag, and what the commands print for scripts.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "not every test file uses all of the broker's helper")]

mod broker;

use broker::{Broker, Folder, text};
use serde_json::Value;

fn json(printed: &str) -> Value {
    serde_json::from_str(printed).unwrap_or_else(|error| panic!("{error}: {printed}"))
}

/// A setting of a topic: its value, and whether it is the default.
fn setting(broker: &Broker, name: &str) -> (String, bool) {
    let topic = json(&broker.succeed(&["topic", "describe", "t", "--json"]));
    let settings = topic["settings"].as_array().unwrap();
    let found = settings.iter().find(|setting| setting["name"] == name).unwrap();
    (found["value"].as_str().unwrap().to_owned(), found["is_default"].as_bool().unwrap())
}

#[test]
fn every_change_of_a_topic_prints_one_object_with_json() {
    let folder = Folder::new("topics-json");
    let broker = Broker::start(&folder);
    let possible = json(&broker.succeed(&["topic", "create", "t", "--validate-only", "--json"]));
    assert_eq!((&possible["topic"], &possible["created"]), (&"t".into(), &false.into()));
    assert_eq!(json(&broker.succeed(&["topic", "list", "--json"])), Value::Array(Vec::new()));
    let made = json(&broker.succeed(&["topic", "create", "t", "--json"]));
    assert_eq!((&made["topic"], &made["created"]), (&"t".into(), &true.into()));
    let there = json(&broker.succeed(&["topic", "create", "t", "--if-missing", "--json"]));
    assert_eq!((&there["id"], &there["created"]), (&Value::Null, &false.into()));
    let listed = json(&broker.succeed(&["topic", "list", "--json"]));
    assert_eq!(listed[0]["id"], made["id"]);
    let altered = json(&broker.succeed(&["topic", "alter", "t", "--partitions", "2", "--json"]));
    assert_eq!((&altered["topic"], &altered["altered"]), (&"t".into(), &true.into()));
    let described = json(&broker.succeed(&["topic", "describe", "t", "--json"]));
    let partitions: Vec<_> = described["partitions"].as_array().unwrap().iter().collect();
    assert_eq!(partitions.len(), 2);
    for (number, partition) in partitions.iter().enumerate() {
        assert_eq!(partition["partition"], number);
        for counter in ["log_start_offset", "high_watermark", "log_end_offset", "bytes"] {
            assert_eq!(partition[counter], 0, "{counter}: {described}");
        }
    }
    let deleted = json(&broker.succeed(&["topic", "delete", "t", "--json"]));
    assert_eq!((&deleted["topic"], &deleted["deleted"]), (&"t".into(), &true.into()));
}

#[test]
fn settings_are_set_changed_and_taken_back_and_wrong_ones_refused() {
    let folder = Folder::new("topics-settings");
    let broker = Broker::start(&folder);
    let default = |name| {
        broker.succeed(&["topic", "create", "t"]);
        let found = setting(&broker, name);
        broker.succeed(&["topic", "delete", "t"]);
        found
    };
    let segment_bytes = default("segment.bytes");
    assert!(segment_bytes.1, "{segment_bytes:?}");
    let both = ["--set", "segment.bytes=10485760", "--set", "max.message.bytes=100000"];
    broker.succeed(&[&["topic", "create", "t"][..], &both].concat());
    assert_eq!(setting(&broker, "segment.bytes"), ("10485760".to_owned(), false));
    assert_eq!(setting(&broker, "max.message.bytes"), ("100000".to_owned(), false));
    broker.succeed(&["topic", "alter", "t", "--unset", "segment.bytes", "--set", "max.message.bytes=200000"]);
    assert_eq!(setting(&broker, "segment.bytes"), segment_bytes);
    assert_eq!(setting(&broker, "max.message.bytes"), ("200000".to_owned(), false));
    let too_large = broker.produce(&["t"], &"x".repeat(250_000));
    assert!(!too_large.status.success(), "the setting acts: {}", text(&too_large.stderr));
    for wrong in ["segment.bytes=lots", "no.such.setting=1"] {
        let refused = broker.run(&["topic", "alter", "t", "--set", wrong]);
        assert_eq!(refused.status.code(), Some(4), "{wrong}: {}", text(&refused.stderr));
    }
    assert_eq!(broker.run(&["topic", "alter", "t", "--set", "no-value"]).status.code(), Some(2));
    assert_eq!(broker.run(&["topic", "create", "no/name"]).status.code(), Some(4));
    assert_eq!(broker.run(&["topic", "alter", "t", "--partitions", "0"]).status.code(), Some(2));
    assert_eq!(broker.run(&["topic", "alter", "t"]).status.code(), Some(2), "nothing is to be changed");
}
