//! `corelog demo`: a broker in a temporary folder, ten seconds of load, everything read back and checked, a report, and
//! nothing left behind.
//!
//! The broker is this binary again, as `serve`, in a process group of its own so that Ctrl-C in the terminal reaches only
//! the demo, which then ends it. `--end-with-parent` ends it even when the demo is killed.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Args;
use loadgen::{LoadOptions, Mode, Report};
use runtime::executor;
use serde_json::json;

use crate::exit::{self, Coded};
use crate::output::{Output, say_json, tell};
use crate::progress::Progress;

const TOPIC: &str = "demo";
const RECORD_BYTES: usize = 1024;
const DISK_BYTES_MAX: u64 = 8 << 30;
/// Of the free space, one part in so many.
const FREE_SPACE_PART: u64 = 10;
/// What the broker writes beside the records: its journals.
const JOURNAL_BYTES_A_SHARD: u64 = 300 << 20;
/// Little, so that the seconds are not spent on touching fresh memory for a cache: see docs/performance.md.
const MEMORY_MIB_A_SHARD: usize = 256;
/// The least that is worth a measurement.
const LOAD_BYTES_MIN: u64 = 64 << 20;
const START_TIME_MAX: Duration = Duration::from_secs(60);
const STOP_TIME_MAX: Duration = Duration::from_secs(20);
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// How long to produce
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// One object
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM, signal_hook::consts::SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&interrupted))?;
    }
    let stage = Stage { interrupted };
    let here = std::env::current_dir()?;
    let load_bytes = load_bytes_max(&here)?;
    let folder = TemporaryFolder::new(&here)?;
    tell(format_args!(
        "A broker in {}, at most {:.1} GB of disk; it is removed at the end.",
        folder.path.display(),
        (load_bytes + journal_bytes()) as f64 / 1e9
    ));
    // Dropped before the folder is: declared after it.
    let mut broker = Broker::start(&folder.path)?;
    let server = broker.wait_until_ready(&stage)?;
    let produced = stage.load(
        produce_options(&server, arguments.seconds, load_bytes),
        "producing, each batch on the disk before its answer",
    )?;
    let consumed = stage.load(consume_options(&server), "reading all back and checking it")?;
    broker.stop()?;
    if arguments.json {
        say_json(&json!({ "produce": produced, "consume": consumed }))?;
    } else {
        write_report(&mut Output::new(), &produced, &consumed)?;
    }
    let errors = produced.errors + consumed.errors;
    if errors > 0 {
        return Err(Coded::error(exit::DAMAGED, format!("{errors} records failed")));
    }
    Ok(())
}

fn journal_bytes() -> u64 {
    let cores = runtime::executor::affinity_cores().len() as u64;
    cores * JOURNAL_BYTES_A_SHARD
}

fn load_bytes_max(folder: &Path) -> anyhow::Result<u64> {
    let status = rustix::fs::statvfs(folder)?;
    let free = status.f_bavail.saturating_mul(status.f_frsize);
    let share = (free / FREE_SPACE_PART).min(DISK_BYTES_MAX);
    match share.checked_sub(journal_bytes()) {
        Some(bytes) if bytes >= LOAD_BYTES_MIN => Ok(bytes),
        _ => bail!(
            "{} has {:.1} GB free; a demo takes a tenth of that at most, and needs {:.1} GB",
            folder.display(),
            free as f64 / 1e9,
            (journal_bytes() + LOAD_BYTES_MIN) as f64 / 1e9
        ),
    }
}

fn produce_options(server: &str, seconds: u64, load_bytes: u64) -> LoadOptions {
    LoadOptions {
        record_size: RECORD_BYTES,
        producers: 2,
        duration: Some(Duration::from_secs(seconds)),
        warm_up: Duration::ZERO,
        // A record takes up to 20 bytes beside its value; the segments take disk space ahead, in steps.
        count: Some(load_bytes * 9 / 10 / (RECORD_BYTES as u64 + 20)),
        verify: true,
        ..LoadOptions::new(Mode::Produce, server, TOPIC)
    }
}

fn consume_options(server: &str) -> LoadOptions {
    LoadOptions {
        record_size: RECORD_BYTES,
        duration: None,
        warm_up: Duration::ZERO,
        verify: true,
        ..LoadOptions::new(Mode::Consume, server, TOPIC)
    }
}

/// What runs until Ctrl-C.
struct Stage {
    interrupted: Arc<AtomicBool>,
}

impl Stage {
    fn check(&self) -> anyhow::Result<()> {
        if self.interrupted.load(Ordering::Relaxed) {
            return Err(Coded::error(exit::INTERRUPTED, "interrupted"));
        }
        Ok(())
    }

    /// The load runs on a thread that is left behind when the user has seen enough: the process ends soon after.
    fn load(&self, options: LoadOptions, title: &str) -> anyhow::Result<Report> {
        let _progress = Progress::start(title);
        let (done, outcome) = mpsc::channel();
        thread::spawn(move || {
            // Nobody receives after an interruption.
            let _ = done.send(loadgen::run(&options));
        });
        loop {
            match outcome.recv_timeout(LOOK_INTERVAL) {
                Ok(report) => return Ok(report?),
                Err(RecvTimeoutError::Timeout) => self.check()?,
                Err(RecvTimeoutError::Disconnected) => bail!("the load ended without a word"),
            }
        }
    }
}

/// Removed with all it holds when it is dropped.
struct TemporaryFolder {
    path: PathBuf,
}

impl TemporaryFolder {
    fn new(parent: &Path) -> anyhow::Result<Self> {
        let path = parent.join(format!("corelog-demo-{}", std::process::id()));
        std::fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self { path })
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.path) {
            tell(format_args!("corelog: {} could not be removed: {error}", self.path.display()));
        }
    }
}

/// The broker of the demo; killed when it is dropped.
struct Broker {
    process: Child,
    ready_file: PathBuf,
    log: PathBuf,
}

impl Broker {
    fn start(folder: &Path) -> anyhow::Result<Self> {
        let (ready_file, log) = (folder.join("ready.json"), folder.join("broker.log"));
        let mut command = Command::new(std::env::current_exe()?);
        // What is configured here is for a broker that stays.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("CORELOG_") {
                command.env_remove(name);
            }
        }
        let process = command
            .args(["serve", "--listen", "127.0.0.1:0", "--shard-ports", "0", "--end-with-parent"])
            .arg(format!("--memory={}MiB", MEMORY_MIB_A_SHARD * executor::affinity_cores().len()))
            .arg("--data")
            .arg(folder.join("data"))
            .arg("--ready-file")
            .arg(&ready_file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log)?)
            .process_group(0)
            .spawn()
            .context("the broker does not start")?;
        Ok(Self { process, ready_file, log })
    }

    /// The shared address.
    fn wait_until_ready(&mut self, stage: &Stage) -> anyhow::Result<String> {
        let _progress = Progress::start("starting the broker: its journals are filled with zeros first");
        let begin = Instant::now();
        loop {
            stage.check()?;
            if let Ok(text) = std::fs::read_to_string(&self.ready_file) {
                let ready: serde_json::Value = serde_json::from_str(&text)?;
                return Ok(ready["listen"].as_str().context("the ready file has no address")?.to_owned());
            }
            if let Some(status) = self.process.try_wait()? {
                bail!("the broker ended ({status}): {}", self.last_words());
            }
            if begin.elapsed() > START_TIME_MAX {
                bail!("the broker is not ready after {START_TIME_MAX:?}: {}", self.last_words());
            }
            thread::sleep(LOOK_INTERVAL);
        }
    }

    fn last_words(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default().trim().to_owned()
    }

    /// As an operator would: SIGTERM, and a clean end.
    fn stop(&mut self) -> anyhow::Result<()> {
        let _progress = Progress::start("stopping the broker");
        let pid = rustix::process::Pid::from_child(&self.process);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        let begin = Instant::now();
        while begin.elapsed() < STOP_TIME_MAX {
            match self.process.try_wait()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => bail!("the broker ended with {status}: {}", self.last_words()),
                None => thread::sleep(LOOK_INTERVAL),
            }
        }
        bail!("the broker has not stopped after {STOP_TIME_MAX:?}: {}", self.last_words());
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // Ended already after a stop; then both do nothing.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn write_report(out: &mut impl Write, produced: &Report, consumed: &Report) -> io::Result<()> {
    let row = |out: &mut dyn Write, name: &str, report: &Report| {
        writeln!(
            out,
            "  {name:<8} {:>8.2} GB/s {:>12.0} records/s {:>9.2} GB in {:.1} s",
            report.bytes_per_second / 1e9,
            report.records_per_second,
            report.bytes as f64 / 1e9,
            report.seconds
        )
    };
    writeln!(out)?;
    writeln!(
        out,
        "corelog, records of {RECORD_BYTES} bytes, every one on the disk before it was acknowledged"
    )?;
    writeln!(out)?;
    row(out, "produced", produced)?;
    row(out, "consumed", consumed)?;
    writeln!(out)?;
    let latency = &produced.latency_us;
    writeln!(
        out,
        "  a batch of 1 MiB was acknowledged in   p50 {:.1} ms   p90 {:.1}   p99 {:.1}   p99.9 {:.1}   max {:.1}",
        latency.p50 / 1e3,
        latency.p90 / 1e3,
        latency.p99 / 1e3,
        latency.p999 / 1e3,
        latency.max / 1e3
    )?;
    if let Some(cpu) = produced.broker_cpu_seconds_per_gb {
        writeln!(out, "  the broker used {cpu:.2} s of processor time for each GB produced")?;
    }
    writeln!(
        out,
        "  {} records read back, each with the right content in the right order; {} errors",
        consumed.verified_records.unwrap_or(0),
        produced.errors + consumed.errors
    )?;
    writeln!(out)?;
    writeln!(out, "  For good:  corelog serve        Then:  corelog topic create greetings")?;
    writeln!(out, "             echo hello | corelog produce greetings;  corelog consume greetings")?;
    Ok(())
}
