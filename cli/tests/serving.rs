//! What a broker tells its clients of itself, and what commands show while they work.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "not every test file uses all of the broker's helper")]

mod broker;

use std::fs::File;
use std::io::Read;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::process::Stdio;

use broker::{Broker, Folder, corelog, text};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};

#[test]
fn where_a_shard_s_own_port_does_not_answer_that_is_said_once_and_the_shared_port_serves() {
    let folder = Folder::new("advertise");
    // Told to look for the shards at an address on which nobody listens.
    let broker = Broker::start_with(&folder, &["--advertise", "127.0.0.77"]);
    broker.succeed(&["topic", "create", "t", "--partitions", "4"]);
    let lines: String = (0..1_000).map(|n| format!("{n}\n")).collect();
    let sent = broker.produce(&["t"], &lines);
    assert!(sent.status.success(), "{}", text(&sent.stderr));
    let port = broker.ready["shards"][0].as_str().unwrap().rsplit(':').next().unwrap().to_owned();
    let read = broker.run(&["consume", "t"]);
    assert_eq!(text(&read.stdout).lines().count(), 1_000);
    for output in [sent, read] {
        let said = text(&output.stderr);
        let notices: Vec<&str> = said.lines().filter(|line| line.contains("does not answer")).collect();
        assert_eq!(notices.len(), 1, "{said}");
        assert!(notices[0].contains(&format!("127.0.0.77:{port}")), "{said}");
    }
}

/// Both ends of a terminal.
fn terminal() -> (File, OwnedFd) {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY;
    let ours = openpt(flags).unwrap();
    unlockpt(&ours).unwrap();
    let theirs = ioctl_tiocgptpeer(&ours, flags).unwrap();
    (File::from(ours), theirs)
}

/// What is shown on a terminal up to this text.
///
/// # Panics
/// If the terminal closes before.
fn shown_up_to(terminal: &mut File, text: &str) -> String {
    let mut shown = String::new();
    let mut byte = [0];
    while !shown.ends_with(text) {
        let read = terminal.read(&mut byte).unwrap_or_else(|error| panic!("{error} after {shown:?}"));
        assert_eq!(read, 1, "{shown:?}");
        shown.push(char::from(byte[0]));
    }
    shown
}

#[test]
fn work_that_takes_longer_than_a_second_shows_a_line_on_a_terminal_and_takes_it_away() {
    let folder = Folder::new("progress");
    let broker = Broker::start(&folder);
    broker.succeed(&["topic", "create", "t"]);
    let (mut ours, theirs) = terminal();
    // They wait for their input for as long as that takes.
    let [mut unseen, mut seen] = [Stdio::piped(), Stdio::from(theirs)].map(|stderr| {
        let mut producing = corelog();
        producing.args(["produce", "t"]).env("CORELOG_SERVER", &broker.server);
        producing.stdin(Stdio::piped()).stderr(stderr).spawn().unwrap()
    });
    shown_up_to(&mut ours, "\r\x1b[Kproducing  1 s");
    drop((unseen.stdin.take(), seen.stdin.take()));
    let end = shown_up_to(&mut ours, "records acknowledged in ");
    assert!(end.ends_with("\r\x1b[K0 records acknowledged in "), "{end:?}");
    assert!(seen.wait().unwrap().success());
    let said = text(&unseen.wait_with_output().unwrap().stderr);
    assert!(
        said.starts_with("0 records acknowledged in "),
        "without a terminal there is no such line: {said:?}"
    );
}

/// A port that takes connections and says nothing, as a hung broker's does.
#[test]
fn waiting_for_a_broker_is_shown_too() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = silent.local_addr().unwrap().to_string();
    let commands: [(&[&str], &str); 4] = [
        (&["consume", "t"], "consuming"),
        (&["topic", "list"], "waiting for the broker"),
        (&["node", "describe"], "waiting for the broker"),
        (&["bench", "consume"], "consuming"),
    ];
    for (command, line) in commands {
        let (mut ours, theirs) = terminal();
        let mut waiting = corelog()
            .args(command)
            .args(["--timeout", "1h", "--server", &server])
            .stdout(Stdio::null())
            .stderr(Stdio::from(theirs))
            .spawn()
            .unwrap();
        shown_up_to(&mut ours, &format!("\r\x1b[K{line}  1 s"));
        waiting.kill().unwrap();
        waiting.wait().unwrap();
    }
}

#[test]
fn a_start_shows_what_it_does_on_a_terminal_only() {
    // So large a journal takes its time to be made, however fast the disk.
    let folder = Folder::new("progress-start");
    let (mut ours, theirs) = terminal();
    let mut serving = corelog()
        .args(["serve", "--listen", "127.0.0.1:0", "--shard-ports", "0", "--shards", "1", "--data"])
        .arg(folder.0.join("data"))
        .stderr(Stdio::from(theirs))
        .spawn()
        .unwrap();
    let shown = shown_up_to(&mut ours, "ready ");
    serving.kill().unwrap();
    serving.wait().unwrap();
    let line = shown.rsplit("\r\n").next().unwrap();
    assert!(line == "ready " || line.ends_with("\r\x1b[Kready "), "{shown:?}");
}
