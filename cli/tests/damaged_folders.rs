//! A start, `log verify` and `log repair` judge a folder alike, and none of them changes what it refuses.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "not every test file uses all of the broker's helper")]

mod broker;
#[path = "broker/stopped.rs"]
mod stopped;

use std::fs;
use std::path::{Path, PathBuf};

use broker::{Broker, Folder, text};
use rustix::process::Signal;
use stopped::{killed, log, refused_start};

/// Every file with its content, and every folder. Not the lock, which names the last process that looked.
fn contents(folder: &Path) -> Vec<(PathBuf, Option<Vec<u8>>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(contents(&path));
            found.push((path, None));
        } else if path.file_name().is_some_and(|name| name != ".lock") {
            let content = fs::read(&path).unwrap();
            found.push((path, Some(content)));
        }
    }
    found.sort();
    found
}

fn assert_unchanged(before: &[(PathBuf, Option<Vec<u8>>)], data: &Path, what: &str) {
    let after = contents(data);
    let changed = after.iter().chain(before).filter(|file| !after.contains(file) || !before.contains(file));
    let changed: Vec<&Path> = changed.map(|(path, _)| path.as_path()).collect();
    assert!(changed.is_empty(), "{what} changed {changed:?}");
}

/// A start and a verification both refuse the folder, say so in these words, and change nothing.
fn assert_refused(data: &Path, said: &str) {
    let before = contents(data);
    let start = refused_start(data);
    assert_ne!(start.status.code(), Some(0));
    assert!(text(&start.stderr).contains(said), "the start: {}", text(&start.stderr));
    let verified = log(&["verify"], data);
    assert_eq!(verified.status.code(), Some(1), "{}", text(&verified.stdout));
    let output = text(&verified.stdout) + &text(&verified.stderr);
    assert!(output.contains(said), "the verification: {output}");
    assert_unchanged(&before, data, said);
}

/// A verification finds the folder sound, and a broker starts on it and serves these records.
fn assert_sound(folder: &Folder, records: &str) {
    let data = folder.0.join("data");
    let before = contents(&data);
    let verified = log(&["verify"], &data);
    assert_eq!(verified.status.code(), Some(0), "{}", text(&verified.stdout) + &text(&verified.stderr));
    assert_unchanged(&before, &data, "the verification");
    let broker = Broker::start(folder);
    if !records.is_empty() {
        assert_eq!(broker.succeed(&["consume", "t"]), records);
    }
}

/// A name in the data folder, what stands there instead of what stood there, and what is said of it.
type Damage = (&'static str, fn(&Path, &Path), &'static str);

const DAMAGES: [Damage; 8] = [
    ("corelog.meta", |was, now| changed(was, now, |content| content[20] ^= 1), "its checksum is"),
    ("corelog.meta", empty, "it has 0 bytes"),
    ("corelog.meta", |was, now| changed(was, now, make_newer), "Use a newer corelog"),
    ("catalog", gone, "holds no catalog"),
    ("catalog/00000000000000000000.catalog", empty, "is damaged"),
    (
        "catalog/00000000000000000000.catalog",
        |was, now| changed(was, now, |content| content[20] ^= 1),
        "is damaged",
    ),
    ("journal/0/ring.0", empty, "was cut"),
    ("journal/0/ring.1", gone, "is gone"),
];

fn gone(_: &Path, _: &Path) {}

fn empty(_: &Path, now: &Path) {
    fs::write(now, []).unwrap();
}

fn changed(was: &Path, now: &Path, change: fn(&mut [u8])) {
    let mut content = fs::read(was).unwrap();
    change(&mut content);
    fs::write(now, content).unwrap();
}

/// Of a format that this version does not know, and no damage.
fn make_newer(meta: &mut [u8]) {
    meta[8..16].copy_from_slice(&[9, 0, 0, 0, 9, 0, 0, 0]);
    let checksum = crc32fast::hash(&meta[..60]);
    meta[60..64].copy_from_slice(&checksum.to_le_bytes());
}

#[test]
fn what_a_start_refuses_a_verification_does_too_and_neither_changes_anything() {
    let folder = killed("damaged-refused");
    let data = folder.0.join("data");
    let was = folder.0.join("was");
    for (name, damage, said) in DAMAGES {
        let now = data.join(name);
        fs::rename(&now, &was).unwrap();
        damage(&was, &now);
        assert_refused(&data, said);
        if now.exists() {
            fs::remove_file(&now).unwrap();
        }
        fs::rename(&was, &now).unwrap();
    }
    assert_sound(&folder, "one\ntwo\nthree\n");
}

#[test]
fn what_a_start_makes_up_for_a_verification_calls_sound() {
    let folder = killed("damaged-topics");
    fs::remove_dir_all(folder.0.join("data/topics")).unwrap();
    assert_sound(&folder, "one\ntwo\nthree\n");
    // A first start that was cut off after its first file.
    let folder = killed("damaged-first-start");
    for name in ["catalog", "topics", "journal"] {
        fs::remove_dir_all(folder.0.join("data").join(name)).unwrap();
    }
    assert_sound(&folder, "");
}

/// Each life of a broker begins with the next file of the ring. The files that were left once passed for a smaller ring, and a
/// start served what they held as if it were all.
#[test]
fn without_tables_no_file_of_the_ring_may_be_missing() {
    let folder = Folder::new("damaged-ring-file");
    for value in ["one", "two", "three", "four"] {
        let mut broker = Broker::start(&folder);
        if value == "one" {
            broker.succeed(&["topic", "create", "t"]);
        }
        assert!(broker.produce(&["t"], value).status.success());
        broker.signal(Signal::KILL);
        broker.wait();
        fs::remove_file(folder.0.join("ready.json")).unwrap();
    }
    let data = folder.0.join("data");
    let ring = data.join("journal/0");
    for table in ["table.0", "table.1"] {
        fs::remove_file(ring.join(table)).unwrap();
    }
    let aside = folder.0.join("aside");
    for number in 0..4 {
        let file = ring.join(format!("ring.{number}"));
        fs::rename(&file, &aside).unwrap();
        assert_refused(&data, &format!("{} is gone", file.display()));
        let planned = log(&["repair"], &data);
        assert_eq!(planned.status.code(), Some(1), "{}", text(&planned.stdout));
        assert!(text(&planned.stdout).contains("not all of its files"), "{}", text(&planned.stdout));
        fs::rename(&aside, &file).unwrap();
    }
    assert_sound(&folder, "one\ntwo\nthree\nfour\n");
}

/// A verification that asked only for the rings that are there called a folder sound that no broker starts on.
#[test]
fn a_ring_that_is_gone_is_damage_as_it_is_to_a_start() {
    for gone in ["journal", "journal/0"] {
        let folder = killed("log-lost-ring");
        let data = folder.0.join("data");
        std::fs::remove_dir_all(data.join(gone)).unwrap();
        let refused = refused_start(&data);
        assert_ne!(refused.status.code(), Some(0));
        assert!(text(&refused.stderr).contains("missing or empty"), "{}", text(&refused.stderr));
        let verified = log(&["verify"], &data);
        assert_eq!(verified.status.code(), Some(1), "{}", text(&verified.stdout));
        assert!(text(&verified.stdout).contains("missing or empty"), "{}", text(&verified.stdout));
        let planned = log(&["repair"], &data);
        assert!(text(&planned.stderr).contains("1 thing would"), "{}", text(&planned.stderr));
        let export = folder.0.join("rescued");
        let repaired = log(&["repair", "--apply", &format!("--export={}", export.display())], &data);
        assert_eq!(repaired.status.code(), Some(0), "{}", text(&repaired.stderr));
        assert_eq!(text(&repaired.stdout).contains("nothing left to copy"), !export.exists());
        assert_eq!(log(&["verify"], &data).status.code(), Some(0));
        let broker = Broker::start(&folder);
        assert_eq!(broker.succeed(&["topic", "list"]).lines().count(), 1);
    }
}
