//! Data folders of brokers that do not run, and the commands that look at them.

use std::path::Path;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::broker::{Broker, Folder, PATIENCE, corelog, text};

/// A broker that took three records and was killed: they are in its ring only.
pub(crate) fn killed(name: &str) -> Folder {
    let folder = Folder::new(name);
    let mut broker = Broker::start(&folder);
    broker.succeed(&["topic", "create", "t"]);
    assert!(broker.produce(&["t"], "one\ntwo\nthree").status.success());
    broker.signal(Signal::KILL);
    broker.wait();
    std::fs::remove_file(folder.0.join("ready.json")).unwrap();
    folder
}

pub(crate) fn log(arguments: &[&str], path: &Path) -> Output {
    corelog().arg("log").args(arguments).arg(path).output().unwrap()
}

/// A start that ends by itself.
///
/// # Panics
/// If it does not.
pub(crate) fn refused_start(data: &Path) -> Output {
    let arguments = ["serve", "--listen", "127.0.0.1:0", "--shard-ports", "0", "--shards", "1", "--data"];
    let mut process = corelog().args(arguments).arg(data).stderr(Stdio::piped()).spawn().unwrap();
    let begin = Instant::now();
    while process.try_wait().unwrap().is_none() {
        if begin.elapsed() > PATIENCE {
            process.kill().unwrap();
            panic!(
                "a start that was to be refused goes on: {}",
                text(&process.wait_with_output().unwrap().stderr)
            );
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    process.wait_with_output().unwrap()
}
