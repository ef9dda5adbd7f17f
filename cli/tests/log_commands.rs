//! `corelog log` on the files of a real broker.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "not every test file uses all of the broker's helper")]

mod broker;
#[path = "broker/stopped.rs"]
mod stopped;

use std::path::{Path, PathBuf};

use broker::{Broker, Folder, text};
use rustix::process::Signal;
use stopped::{killed, log, refused_start};

/// The same as [`killed`], stopped cleanly: they are in the segment.
fn stopped(name: &str) -> Folder {
    let folder = killed(name);
    let mut broker = Broker::start(&folder);
    broker.signal(Signal::TERM);
    assert!(broker.wait().success());
    folder
}

fn segment(folder: &Folder) -> PathBuf {
    let topic = folder.0.join("data/topics/t");
    let partition = std::fs::read_dir(&topic).unwrap().next().unwrap().unwrap().path();
    partition.join("00000000000000000000.log")
}

fn flip(path: &Path, byte: usize) {
    let mut content = std::fs::read(path).unwrap();
    content[byte] ^= 0x10;
    std::fs::write(path, content).unwrap();
}

#[test]
fn a_stopped_and_a_killed_broker_leave_a_sound_folder() {
    for folder in [stopped("log-stopped"), killed("log-killed")] {
        let verified = log(&["verify", "--json"], &folder.0.join("data"));
        assert_eq!(verified.status.code(), Some(0), "{}", text(&verified.stderr));
        let report: serde_json::Value = serde_json::from_slice(&verified.stdout).unwrap();
        assert_eq!((&report["sound"], &report["records"]), (&true.into(), &3.into()), "{report}");
        let ring = log(&["inspect"], &folder.0.join("data/journal/0/ring.0"));
        assert_eq!(ring.status.code(), Some(0));
        assert!(text(&ring.stdout).contains("write 1 of start 1"), "{}", text(&ring.stdout));
    }
}

#[test]
fn a_running_broker_s_folder_is_not_looked_at() {
    let folder = Folder::new("log-running");
    let broker = Broker::start(&folder);
    let refused = log(&["verify"], &folder.0.join("data"));
    assert_eq!(refused.status.code(), Some(1));
    let holder = format!("process {} holds it", broker.ready["pid"]);
    assert!(text(&refused.stderr).contains(&holder), "{}", text(&refused.stderr));
    assert!(text(&refused.stderr).contains("a broker runs on this folder"), "{}", text(&refused.stderr));
    let missing = log(&["verify"], &folder.0);
    assert!(text(&missing.stderr).contains("no data folder of corelog"), "{}", text(&missing.stderr));
}

#[test]
fn a_flipped_bit_is_found_and_its_place_said() {
    let folder = stopped("log-rot");
    let segment = segment(&folder);
    let shown = log(&["inspect", "--json"], &segment);
    assert_eq!(shown.status.code(), Some(0), "{}", text(&shown.stderr));
    let first: serde_json::Value = serde_json::from_str(text(&shown.stdout).lines().next().unwrap()).unwrap();
    assert_eq!((&first["batch"], &first["base_offset"]), (&0.into(), &0.into()));
    flip(&segment, 70);
    for (command, path) in [("inspect", segment.clone()), ("verify", folder.0.join("data"))] {
        let found = log(&[command], &path);
        assert_eq!(found.status.code(), Some(1));
        let said = text(&found.stdout);
        assert!(said.contains("byte 0") && said.contains("checksum"), "{said}");
    }
    let table = folder.0.join("data/journal/0/table.0");
    flip(&table, 60);
    assert_eq!(log(&["inspect"], &table).status.code(), Some(1));
}

#[test]
fn a_reader_that_meets_damage_says_so_after_what_comes_before_it() {
    let folder = stopped("log-rot-read");
    let mut broker = Broker::start(&folder);
    assert!(broker.produce(&["t"], "four").status.success());
    broker.signal(Signal::TERM);
    broker.wait();
    let segment = segment(&folder);
    let shown = log(&["inspect", "--json"], &segment);
    let second: serde_json::Value =
        serde_json::from_str(text(&shown.stdout).lines().nth(1).unwrap()).unwrap();
    flip(&segment, second["batch"].as_u64().unwrap() as usize + 70);
    let broker = Broker::start(&folder);
    let read = broker.run(&["consume", "t"]);
    assert_eq!(read.status.code(), Some(5), "{}", text(&read.stderr));
    assert_eq!(text(&read.stdout), "one\ntwo\nthree\n");
    assert!(text(&read.stderr).contains("corrupt"), "{}", text(&read.stderr));
}

#[test]
fn what_is_no_file_of_ours_is_refused() {
    let folder = Folder::new("log-foreign");
    let path = folder.0.join("notes.txt");
    std::fs::write(&path, vec![b'x'; 5_000]).unwrap();
    let refused = log(&["inspect"], &path);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("no file of a corelog storage"), "{}", text(&refused.stderr));
}

#[test]
fn a_refused_start_names_the_repair_and_the_repair_lets_it_start() {
    let folder = Folder::new("log-repair");
    let mut broker = Broker::start(&folder);
    broker.succeed(&["topic", "create", "t"]);
    for value in ["one", "two", "three", "four"] {
        assert!(broker.produce(&["t"], value).status.success());
    }
    broker.signal(Signal::KILL);
    broker.wait();
    std::fs::remove_file(folder.0.join("ready.json")).unwrap();
    let data = folder.0.join("data");
    // The third write of the ring: whatever else a broker journals, it comes before a later one.
    flip(&data.join("journal/0/ring.0"), 2 * 4096 + 140);
    let refused = refused_start(&data);
    assert!(text(&refused.stderr).contains("corelog log repair"), "{}", text(&refused.stderr));
    assert_eq!(log(&["verify"], &data).status.code(), Some(1));
    let planned = log(&["repair"], &data);
    assert_eq!(planned.status.code(), Some(1), "{}", text(&planned.stderr));
    assert!(text(&planned.stdout).contains("offsets from 2 to 3"), "{}", text(&planned.stdout));
    let export = folder.0.join("rescued");
    let export_flag = format!("--export={}", export.display());
    let repaired = log(&["repair", "--apply", &export_flag], &data);
    assert_eq!(repaired.status.code(), Some(0), "{}", text(&repaired.stderr));
    assert!(export.join("journal/0/ring.0").exists());
    assert_eq!(log(&["verify"], &data).status.code(), Some(0));
    let broker = Broker::start(&folder);
    assert_eq!(broker.succeed(&["consume", "t"]), "one\ntwo\n");
}
