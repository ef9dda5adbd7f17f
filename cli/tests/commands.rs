//! The binary as a user meets it: commands, exit codes, files, signals.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "not every test file uses all of the broker's helper")]

mod broker;

use std::io::{BufRead, BufReader};

use broker::{Broker, Folder, corelog, text};
use rustix::process::Signal;

#[test]
fn topics_are_made_listed_changed_and_deleted() {
    let folder = Folder::new("topics");
    let broker = Broker::start(&folder);
    broker.succeed(&["topic", "create", "t", "--partitions", "2", "--set", "segment.bytes=10485760"]);
    let exists = broker.run(&["topic", "create", "t"]);
    assert_eq!(exists.status.code(), Some(4), "{}", text(&exists.stderr));
    assert!(broker.succeed(&["topic", "create", "t", "--if-missing"]).contains("exists"));
    let list: serde_json::Value =
        serde_json::from_str(&broker.succeed(&["topic", "list", "--json"])).unwrap();
    assert_eq!((&list[0]["topic"], &list[0]["partitions"]), (&"t".into(), &2.into()));
    broker.succeed(&["topic", "alter", "t", "--partitions", "3"]);
    let topic: serde_json::Value =
        serde_json::from_str(&broker.succeed(&["topic", "describe", "t", "--json"])).unwrap();
    assert_eq!(topic["partitions"].as_array().unwrap().len(), 3);
    let set = |setting: &serde_json::Value| {
        setting["name"] == "segment.bytes" && setting["value"] == "10485760" && setting["is_default"] == false
    };
    assert!(topic["settings"].as_array().unwrap().iter().any(set), "{topic}");
    broker.succeed(&["topic", "delete", "t"]);
    assert_eq!(broker.run(&["topic", "describe", "t"]).status.code(), Some(4));
}

#[test]
fn lines_come_back_as_they_were_sent_also_after_kill_and_restart() {
    let folder = Folder::new("lines");
    let mut broker = Broker::start(&folder);
    broker.succeed(&["topic", "create", "t"]);
    let sent = broker.produce(&["t", "--key-separator", ":", "--json"], "a:1\n:2\nplain\n\nlast");
    assert!(sent.status.success(), "{}", text(&sent.stderr));
    let report: serde_json::Value = serde_json::from_slice(&sent.stdout).unwrap();
    assert_eq!((&report["records"], &report["errors"]), (&5.into(), &0.into()));
    let format = ["consume", "t", "--format", "{offset} {key}={value}\\n"];
    let expected = "0 a=1\n1 =2\n2 =plain\n3 =\n4 =last\n";
    assert_eq!(broker.succeed(&format), expected);
    assert_eq!(broker.succeed(&["consume", "t", "--from", "2", "--count", "1"]), "plain\n");
    assert_eq!(broker.succeed(&["consume", "t", "--from", "latest"]), "");
    assert_eq!(broker.run(&["consume", "other"]).status.code(), Some(4));
    broker.signal(Signal::KILL);
    broker.wait();
    drop(broker);
    std::fs::remove_file(folder.0.join("ready.json")).unwrap();
    assert_eq!(Broker::start(&folder).succeed(&format), expected);
}

#[test]
fn a_second_broker_on_a_folder_is_refused_and_names_the_first() {
    let folder = Folder::new("second");
    let broker = Broker::start(&folder);
    let second = corelog()
        .args(["serve", "--listen", "127.0.0.1:0", "--shard-ports", "0", "--shards", "1", "--data"])
        .arg(folder.0.join("data"))
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(1));
    let pid = broker.ready["pid"].to_string();
    assert!(text(&second.stderr).contains(&format!("process {pid} holds it")), "{}", text(&second.stderr));
}

#[test]
fn sigterm_stops_cleanly_and_takes_the_ready_file_away() {
    let folder = Folder::new("sigterm");
    let mut broker = Broker::start(&folder);
    assert_eq!(broker.ready["shards"].as_array().unwrap().len(), 1);
    assert_ne!(broker.ready["listen"], broker.ready["shards"][0]);
    broker.signal(Signal::TERM);
    assert_eq!(broker.wait().code(), Some(0));
    assert!(!folder.0.join("ready.json").exists());
}

#[test]
fn wrong_use_and_missing_brokers_have_exit_codes_of_their_own() {
    let code = |arguments: &[&str]| corelog().args(arguments).output().unwrap().status.code();
    assert_eq!(code(&["topic", "list", "--server", "127.0.0.1:1"]), Some(3));
    assert_eq!(code(&["topic", "list", "--server", "127.0.0.1"]), Some(2));
    assert_eq!(code(&["consume"]), Some(2));
    assert_eq!(code(&["serve", "--shards", "100000"]), Some(2));
    assert_eq!(code(&["--config", "/no/such/file", "topic", "list"]), Some(2));
}

#[test]
fn a_flag_wins_over_the_environment_and_that_over_the_file() {
    let folder = Folder::new("configuration");
    let file = folder.0.join("corelog.toml");
    std::fs::write(&file, "server = \"127.0.0.1:1\"\n").unwrap();
    let said = |environment: Option<&str>, flag: Option<&str>| {
        let mut command = corelog();
        command.arg("--config").arg(&file).args(["topic", "list"]).env_remove("CORELOG_SERVER");
        command.envs(environment.map(|value| ("CORELOG_SERVER", value)));
        command.args(flag.map(|value| format!("--server={value}")));
        text(&command.output().unwrap().stderr)
    };
    assert!(said(None, None).contains("127.0.0.1:1:"));
    assert!(said(Some("127.0.0.1:2"), None).contains("127.0.0.1:2:"));
    assert!(said(Some("127.0.0.1:2"), Some("127.0.0.1:3")).contains("127.0.0.1:3:"));
}

#[test]
fn a_demo_reads_back_what_it_produced_and_leaves_nothing() {
    let folder = Folder::new("demo");
    let output =
        corelog().args(["demo", "--seconds", "1", "--json"]).current_dir(&folder.0).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["produce"]["errors"], 0);
    assert!(report["consume"]["verified_records"].as_u64().unwrap() > 0, "{report}");
    assert_eq!(std::fs::read_dir(&folder.0).unwrap().count(), 0);
}

#[test]
fn consuming_from_a_time_begins_exactly_there() {
    let folder = Folder::new("time");
    let broker = Broker::start(&folder);
    broker.succeed(&["topic", "create", "t"]);
    for value in ["a", "b", "c"] {
        assert!(broker.produce(&["t"], value).status.success());
    }
    let all = broker.succeed(&["consume", "t", "--json"]);
    let records: Vec<serde_json::Value> =
        all.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let time_ms = |at: usize| records[at]["timestamp_ms"].as_i64().unwrap();
    let (seconds, milliseconds) = (time_ms(1) / 1000, time_ms(1) % 1000);
    let date = std::process::Command::new("date")
        .args(["-u", "-d", &format!("@{seconds}"), "+%Y-%m-%dT%H:%M:%S"])
        .output()
        .unwrap();
    let from = format!("{}.{milliseconds:03}Z", text(&date.stdout).trim());
    let first = (0..3).find(|at| time_ms(*at) >= time_ms(1)).unwrap();
    let expected = &["a\n", "b\n", "c\n"][first..].concat();
    assert_eq!(&broker.succeed(&["consume", "t", "--from", &from]), expected);
}

/// Names a broker can be told by, each at another place: the file, the environment, the command line.
#[test]
fn serve_is_configured_by_file_environment_and_flags() {
    let folder = Folder::new("serve-configuration");
    let file = folder.0.join("corelog.toml");
    let ready_file = folder.0.join("ready.json");
    let settings =
        "listen = \"127.0.0.1:1\"\nshard-ports = 0\nshards = 1\nmemory = \"128MiB\"\nnode_id = 7\n";
    std::fs::write(&file, settings).unwrap();
    let mut process = corelog()
        .arg("--config")
        .arg(&file)
        .args(["serve", "--listen", "127.0.0.1:0", "--ready-file"])
        .arg(&ready_file)
        .env("CORELOG_DATA", folder.0.join("data"))
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(process.stderr.take().unwrap()).lines().map(Result::unwrap);
    let ready_line = lines.find(|line| line.starts_with("ready ")).expect("a ready line");
    let ready: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(&ready_file).unwrap()).unwrap();
    for address in [&ready["listen"], &ready["shards"][0]] {
        assert!(ready_line.contains(address.as_str().unwrap()), "{ready_line} {ready}");
    }
    assert_eq!(ready["node_id"], 7);
    assert!(folder.0.join("data").is_dir());
    let pid = rustix::process::Pid::from_child(&process);
    rustix::process::kill_process(pid, Signal::TERM).unwrap();
    assert_eq!(process.wait().unwrap().code(), Some(0));
    assert!(lines.any(|line| line == "stopped"));
}

#[test]
fn a_demo_that_is_interrupted_leaves_nothing_either() {
    let folder = Folder::new("interrupted-demo");
    let mut demo = corelog();
    demo.args(["demo", "--seconds", "60"]).current_dir(&folder.0).stderr(std::process::Stdio::piped());
    let mut process = demo.spawn().unwrap();
    let mut lines = BufReader::new(process.stderr.take().unwrap()).lines().map(Result::unwrap);
    let first = lines.next().unwrap();
    assert!(first.contains("at most") && first.contains("GB"), "it says first what it takes: {first}");
    // In the middle of its work: its broker is there.
    while !std::fs::read_dir(&folder.0)
        .unwrap()
        .any(|entry| entry.unwrap().path().join("ready.json").exists())
    {
        assert!(process.try_wait().unwrap().is_none(), "{:?}", lines.collect::<Vec<_>>());
        std::thread::yield_now();
    }
    let pid = rustix::process::Pid::from_child(&process);
    rustix::process::kill_process(pid, Signal::INT).unwrap();
    assert_eq!(process.wait().unwrap().code(), Some(130));
    assert_eq!(std::fs::read_dir(&folder.0).unwrap().count(), 0);
}
