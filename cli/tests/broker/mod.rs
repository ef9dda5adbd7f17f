//! The real binary, started and asked. Every broker and folder is gone when its test ends, also when it fails.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

/// For what is observed, not for what is measured: a loaded machine gets its time.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    /// Under the target folder: it lies on a disk, where /tmp may be memory.
    pub(crate) fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn corelog() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_corelog"));
    command.stdin(Stdio::null());
    command
}

pub(crate) struct Broker {
    process: Child,
    pub(crate) server: String,
    pub(crate) ready: serde_json::Value,
}

impl Broker {
    pub(crate) fn start(folder: &Folder) -> Self {
        Self::start_with(folder, &[])
    }

    pub(crate) fn start_with(folder: &Folder, arguments: &[&str]) -> Self {
        Self::start_saying_to(folder, arguments, Stdio::piped())
    }

    pub(crate) fn start_saying_to(folder: &Folder, arguments: &[&str], stderr: Stdio) -> Self {
        let ready_file = folder.0.join("ready.json");
        let mut process = corelog()
            .args(["serve", "--listen", "127.0.0.1:0", "--shard-ports", "0", "--shards", "1"])
            .args(["--memory", "256MiB", "--data"])
            .arg(folder.0.join("data"))
            .arg("--ready-file")
            .arg(&ready_file)
            .args(arguments)
            .stderr(stderr)
            .spawn()
            .unwrap();
        let begin = Instant::now();
        while !ready_file.exists() {
            if process.try_wait().unwrap().is_some() {
                panic!("the broker ended: {}", text(&process.wait_with_output().unwrap().stderr));
            }
            assert!(begin.elapsed() < PATIENCE, "the broker is not ready");
            std::thread::sleep(Duration::from_millis(10));
        }
        let ready: serde_json::Value =
            serde_json::from_str(&std::fs::read_to_string(&ready_file).unwrap()).unwrap();
        let server = ready["listen"].as_str().unwrap().to_owned();
        Self { process, server, ready }
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        corelog().args(arguments).env("CORELOG_SERVER", &self.server).output().unwrap()
    }

    /// The output of a command that must succeed.
    pub(crate) fn succeed(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    pub(crate) fn produce(&self, arguments: &[&str], lines: &str) -> Output {
        let mut process = corelog()
            .arg("produce")
            .args(arguments)
            .env("CORELOG_SERVER", &self.server)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        process.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
        process.wait_with_output().unwrap()
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.process), signal).unwrap();
    }

    /// What it said on stderr until its end.
    pub(crate) fn said(&mut self) -> String {
        let mut said = String::new();
        self.process.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        said
    }

    /// Waits for the end; what the broker said is on its way out.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.process.wait().unwrap()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
