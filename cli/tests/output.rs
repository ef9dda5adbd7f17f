//! Stdout and stderr that nobody reads, that are closed, or full.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "not every test file uses all of the broker's helper")]

mod broker;

use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Output, Stdio};

use broker::{Broker, Folder, corelog, text};

const READER_GONE: i32 = 141;

/// A pipe whose reader has gone.
fn closed_pipe() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

fn with_stdout(command: &mut Command, stdout: Stdio) -> Output {
    command.stdout(stdout).stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap()
}

#[test]
fn a_reader_that_has_enough_ends_a_command_quietly_and_not_as_a_success() {
    let folder = Folder::new("output-closed");
    let broker = Broker::start(&folder);
    broker.succeed(&["topic", "create", "t"]);
    assert!(broker.produce(&["t"], "one\ntwo").status.success());
    let ring = folder.0.join("data/journal/0/ring.0").display().to_string();
    let commands: [&[&str]; 8] = [
        &["completions", "bash"],
        &["topic", "list"],
        &["topic", "describe", "t", "--json"],
        &["consume", "t"],
        &["node", "describe"],
        &["tune", "check"],
        &["log", "inspect", &ring],
        &["bench", "produce", "--topic", "t", "--count", "10", "--batch-records", "1", "--producers", "1"],
    ];
    for arguments in commands {
        let mut command = corelog();
        command.args(arguments).env("CORELOG_SERVER", &broker.server);
        let ended = with_stdout(&mut command, closed_pipe());
        assert_eq!(ended.status.code(), Some(READER_GONE), "{arguments:?}: {}", text(&ended.stderr));
        assert_eq!(text(&ended.stderr), "", "{arguments:?}");
    }
}

#[test]
fn a_full_stdout_is_an_error_that_says_so() {
    let full = || Stdio::from(OpenOptions::new().write(true).open("/dev/full").unwrap());
    for arguments in [&["completions", "zsh"][..], &["tune", "check"]] {
        let ended = with_stdout(corelog().args(arguments), full());
        assert_eq!(ended.status.code(), Some(1), "{arguments:?}");
        let said = text(&ended.stderr);
        assert!(said.contains("cannot write to stdout: No space left"), "{arguments:?}: {said}");
    }
}

/// It is the connection's broken pipe, and nobody's success.
#[test]
fn a_broker_that_goes_away_is_an_error() {
    let folder = Folder::new("output-broker-gone");
    let mut broker = Broker::start(&folder);
    broker.succeed(&["topic", "create", "t"]);
    let mut producer = corelog()
        .args(["produce", "t", "--timeout", "2s"])
        .env("CORELOG_SERVER", &broker.server)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = producer.stdin.take().unwrap();
    lines.write_all(b"one\n").unwrap();
    broker.signal(rustix::process::Signal::KILL);
    broker.wait();
    lines.write_all(b"two\n").unwrap();
    drop(lines);
    let ended = producer.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(3), "{}", text(&ended.stderr));
}

/// Opens and drops connections, more than stderr has room for if each is told.
fn provoke(broker: &Broker, count: usize) {
    for _ in 0..count {
        let mut stream = TcpStream::connect(&broker.server).unwrap();
        // A first byte of the native protocol, then a frame of another version.
        let _ = stream.write_all(&[0xC0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let _ = stream.read_to_end(&mut Vec::new());
    }
}

#[test]
fn a_stderr_that_is_closed_or_that_nobody_reads_disturbs_no_broker() {
    for stderr in ["closed", "stalled"] {
        let folder = Folder::new(&format!("output-stderr-{stderr}"));
        let (reader, writer) = std::io::pipe().unwrap();
        let reader = if stderr == "closed" { None } else { Some(reader) };
        // Debug says a line for each connection that is refused.
        let mut broker = Broker::start_saying_to(&folder, &["--log-level", "debug"], writer.into());
        broker.succeed(&["topic", "create", "t"]);
        provoke(&broker, 3_000);
        assert!(broker.produce(&["t"], "one\ntwo").status.success());
        assert_eq!(broker.succeed(&["consume", "t"]), "one\ntwo\n");
        broker.signal(rustix::process::Signal::TERM);
        assert!(broker.wait().success(), "{stderr}");
        drop(reader);
    }
}

#[test]
fn a_broker_says_what_it_does_and_when_it_was_provoked_it_says_little() {
    let folder = Folder::new("output-said");
    let mut broker = Broker::start(&folder);
    broker.succeed(&["topic", "create", "t"]);
    provoke(&broker, 500);
    broker.signal(rustix::process::Signal::TERM);
    assert!(broker.wait().success());
    let said = broker.said();
    let starts = |start: &str| said.lines().any(|line| line.starts_with(start));
    assert!(starts("ready ") && starts("SIGTERM: stopping") && said.ends_with("stopped\n"), "{said}");
    assert!(said.lines().count() < 20, "{said}");
}
