//! One life of `corelog serve`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

const START_TIMEOUT: Duration = Duration::from_secs(60);
const STOP_TIMEOUT: Duration = Duration::from_secs(30);
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// Killed when dropped.
pub(crate) struct BrokerProcess {
    child: Child,
    ready_file: PathBuf,
    log: PathBuf,
    /// The shared port; empty until ready.
    address: String,
}

impl BrokerProcess {
    /// Starts it on free ports and does not wait.
    pub(crate) fn spawn(program: &Path, data: &Path, scratch: &Path) -> Result<Self> {
        Self::spawn_with(program, data, scratch, &[])
    }

    /// The same with more arguments.
    pub(crate) fn spawn_with(
        program: &Path,
        data: &Path,
        scratch: &Path,
        arguments: &[&str],
    ) -> Result<Self> {
        let ready_file = scratch.join("ready.json");
        let _absent = fs::remove_file(&ready_file);
        let log = scratch.join("broker.log");
        // Dies with the rig, whatever ends the rig.
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL"])
            .arg(program)
            .args(["serve", "--listen", "127.0.0.1:0", "--shard-ports", "0"])
            .args(["--group-initial-rebalance-delay", "0", "--data"])
            .arg(data)
            .arg("--ready-file")
            .arg(&ready_file)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log)?)
            .spawn()
            .with_context(|| format!("cannot run {}", program.display()))?;
        Ok(Self { child, ready_file, log, address: String::new() })
    }

    /// Starts it and waits until it serves.
    pub(crate) fn start(program: &Path, data: &Path, scratch: &Path) -> Result<Self> {
        let mut this = Self::spawn(program, data, scratch)?;
        this.wait_until_ready()?;
        Ok(this)
    }

    /// The same with more arguments.
    pub(crate) fn start_with(
        program: &Path,
        data: &Path,
        scratch: &Path,
        arguments: &[&str],
    ) -> Result<Self> {
        let mut this = Self::spawn_with(program, data, scratch, arguments)?;
        this.wait_until_ready()?;
        Ok(this)
    }

    pub(crate) fn wait_until_ready(&mut self) -> Result<()> {
        match self.ready_or_refused()? {
            None => Ok(()),
            Some(words) => bail!("the broker ended instead of serving:\n{words}"),
        }
    }

    /// Waits until it serves, or until it ends with an error: then its words.
    pub(crate) fn ready_or_refused(&mut self) -> Result<Option<String>> {
        let started = Instant::now();
        loop {
            if let Some(address) = self.read_ready_file() {
                self.address = address;
                return Ok(None);
            }
            if let Some(status) = self.child.try_wait()? {
                if status.code().is_none_or(|code| code == 0) {
                    bail!("the start ended with {status}, which is no refusal:\n{}", self.words());
                }
                return Ok(Some(self.words()));
            }
            if started.elapsed() > START_TIMEOUT {
                bail!("the broker was not ready after {START_TIMEOUT:?}:\n{}", self.words());
            }
            sleep(LOOK_INTERVAL);
        }
    }

    /// `None` while the file is missing or half written.
    fn read_ready_file(&self) -> Option<String> {
        let text = fs::read_to_string(&self.ready_file).ok()?;
        let ready: serde_json::Value = serde_json::from_str(&text).ok()?;
        Some(ready.get("listen")?.as_str()?.to_owned())
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// The most memory that was ever resident.
    pub(crate) fn memory_bytes_peak(&self) -> Result<u64> {
        let text = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
        let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(kilobytes << 10)
    }

    pub(crate) fn kill_9(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// SIGTERM, and the end within its time.
    pub(crate) fn stop(mut self) -> Result<()> {
        let status = self.terminate()?;
        if !status.success() {
            bail!("after SIGTERM the broker ended with {status}:\n{}", self.words());
        }
        Ok(())
    }

    fn terminate(&mut self) -> Result<ExitStatus> {
        let pid = Pid::from_raw(self.child.id().cast_signed()).context("a child has a pid")?;
        kill_process(pid, Signal::TERM)?;
        self.wait_for_end(STOP_TIMEOUT)
    }

    pub(crate) fn wait_for_end(&mut self, limit: Duration) -> Result<ExitStatus> {
        let started = Instant::now();
        while started.elapsed() < limit {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            sleep(LOOK_INTERVAL);
        }
        bail!("the broker did not end within {limit:?}:\n{}", self.words())
    }

    /// The end of what it said on stderr.
    pub(crate) fn words(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

impl Drop for BrokerProcess {
    fn drop(&mut self) {
        // Already gone is fine.
        let _ended = self.child.kill();
        let _ended = self.child.wait();
    }
}
