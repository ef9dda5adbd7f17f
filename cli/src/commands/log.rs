//! `corelog log inspect`, `verify` and `repair`: what stands in a broker's files, and what to do where a start refuses it.

use std::fmt::Write as _;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use broker::stopped::StoppedData;
use clap::{Args, Subcommand};
use runtime::executor::{self, ExecutorOptions};
use serde_json::{Value, json};
use storage::inspect::{self, Damage, Line, Report};
use storage::repair::{self, Loss};

use crate::exit::{self, Coded};
use crate::output::{Output, say, say_json};
use crate::progress::Progress;

#[derive(Debug, Subcommand)]
pub(crate) enum Commands {
    /// Show and check one file: a segment (.log), its index, a ring file, a table, a producer snapshot
    Inspect(InspectArguments),
    /// Check everything in the data folder of a stopped broker
    Verify(VerifyArguments),
    /// Say what a start refuses in a data folder and what giving it up would lose; with --apply, do it
    Repair(RepairArguments),
}

#[derive(Debug, Args)]
pub(crate) struct InspectArguments {
    file: PathBuf,
    /// An object a line, the summary last
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyArguments {
    /// The data folder
    #[arg(value_name = "DATA")]
    data: PathBuf,
    /// One object
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RepairArguments {
    /// The data folder
    #[arg(value_name = "DATA")]
    data: PathBuf,
    /// Copy what is given up to a folder beside, and bring the data folder to where a broker starts
    #[arg(long)]
    apply: bool,
    /// Where the copies go; else DATA.rescued-<seconds since 1970>. Must not exist yet
    #[arg(long, value_name = "DIR")]
    export: Option<PathBuf>,
    /// One object
    #[arg(long)]
    json: bool,
}

/// Ends with code 1 where something is damaged.
pub(crate) fn run(command: &Commands) -> anyhow::Result<()> {
    match command {
        Commands::Inspect(arguments) => inspect(arguments),
        Commands::Verify(arguments) => verify(arguments),
        Commands::Repair(arguments) => repair(arguments),
    }
}

/// Runs on one shard, as everything that reads these files does.
pub(super) fn on_a_shard<T: Send + 'static, Fut: Future<Output = T> + 'static>(
    work: impl Fn() -> Fut + Clone + Send + 'static,
) -> anyhow::Result<T> {
    let core = *executor::affinity_cores().first().context("no core to run on")?;
    let options = ExecutorOptions::new("log", vec![core]);
    let mut outcomes = executor::run(options, move |_| work())?;
    outcomes.pop().context("the shard gave no outcome")
}

fn inspect(arguments: &InspectArguments) -> anyhow::Result<()> {
    let (path, as_json) = (arguments.file.clone(), arguments.json);
    let report = on_a_shard(move || {
        let path = path.clone();
        async move {
            let mut out = Output::buffered();
            let mut failed = None;
            let report = inspect::inspect_file(&path, &mut |line| {
                if failed.is_none() {
                    let shown = if as_json { json_of(line).to_string() } else { text_of(line) };
                    failed = writeln!(out, "{shown}").err();
                }
            })
            .await?;
            failed.map_or(out.flush(), Err)?;
            anyhow::Ok(report)
        }
    })??;
    if arguments.json {
        say(json!({ "summary": summary_json(&report) }))?;
    } else {
        say(summary_text(&report))?;
    }
    outcome(&report)
}

fn verify(arguments: &VerifyArguments) -> anyhow::Result<()> {
    let data = arguments.data.clone();
    let report = on_a_shard(move || {
        let data = data.clone();
        async move { verify_folder(&data).await }
    })??;
    if arguments.json {
        say_json(&summary_json(&report))?;
    } else {
        for damage in &report.damage {
            say(damage)?;
        }
        say(summary_text(&report))?;
    }
    outcome(&report)
}

async fn verify_folder(data: &Path) -> anyhow::Result<Report> {
    let stopped = StoppedData::open(data).await?;
    let progress = Progress::start("reading the journal");
    let (partitions, uid_limit) = (&stopped.partitions, stopped.uid_limit);
    let report = inspect::verify(&stopped.options, partitions, uid_limit, &mut |now| {
        let (done, all, mib) = (now.partitions, now.of_partitions, now.bytes >> 20);
        progress.say(format!("verifying: {done} of {all} partitions, {mib} MiB"));
    })
    .await?;
    Ok(report)
}

/// Ends with code 1 where something is to be given up and was not.
fn repair(arguments: &RepairArguments) -> anyhow::Result<()> {
    let (data, apply) = (arguments.data.clone(), arguments.apply);
    let export = arguments.export.clone().unwrap_or_else(|| export_beside(&data));
    if apply && export.exists() {
        return Err(Coded::error(exit::MISUSED, format!("{} exists already", export.display())));
    }
    let to = export.clone();
    let losses = on_a_shard(move || {
        let (data, export) = (data.clone(), to.clone());
        async move {
            let stopped = StoppedData::open(&data).await?;
            let StoppedData { options, partitions, uid_limit, shards, .. } = &stopped;
            let _progress = Progress::start(if apply { "repairing" } else { "reading the journal" });
            let losses = if apply {
                repair::apply(options, *shards, partitions, *uid_limit, &export).await?
            } else {
                repair::plan(options, *shards, partitions, *uid_limit).await?
            };
            anyhow::Ok(losses)
        }
    })??;
    let done = apply && !losses.is_empty();
    if arguments.json {
        let of = |loss: &Loss| json!({ "path": loss.path.display().to_string(), "what": loss.what });
        let losses: Vec<_> = losses.iter().map(of).collect();
        // What was missing as a whole leaves nothing to copy.
        let export = (done && export.exists()).then(|| export.display().to_string());
        say_json(&json!({ "losses": losses, "applied": done, "export": export }))?;
    } else {
        for loss in &losses {
            say(format_args!("{}: {}", loss.path.display(), loss.what))?;
        }
        match (losses.is_empty(), done) {
            (true, _) => say("nothing here makes a start refuse; `corelog log verify` checks the rest")?,
            (false, true) if !export.exists() => say("repaired; there was nothing left to copy")?,
            (false, true) => {
                say(format_args!("repaired; copies of what was given up are in {}", export.display()))?
            }
            (false, false) => say("nothing was changed; with --apply this is given up, after it was copied")?,
        }
    }
    if losses.is_empty() || done {
        return Ok(());
    }
    let things = if losses.len() == 1 { "thing" } else { "things" };
    Err(Coded::error(exit::FAILED, format!("{} {things} would be given up", losses.len())))
}

fn export_beside(data: &Path) -> PathBuf {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let mut name = data.components().as_path().as_os_str().to_owned();
    name.push(format!(".rescued-{}", now.as_secs()));
    PathBuf::from(name)
}

fn outcome(report: &Report) -> anyhow::Result<()> {
    if report.is_sound() {
        return Ok(());
    }
    let count = report.damage.iter().filter(|damage| !damage.is_hint).count();
    Err(Coded::error(exit::FAILED, format!("damage found in {count} places")))
}

fn text_of(line: &Line) -> String {
    match line {
        Line::Batch { position, header } => format!(
            "{position:>10}  offsets {} to {}  {} records  {} bytes  times {} to {}  {}  producer {} epoch {} sequence {}  leader epoch {}  crc ok",
            header.base_offset,
            header.last_offset(),
            header.record_count,
            header.length,
            header.base_timestamp_ms,
            header.max_timestamp_ms,
            codec(header),
            header.producer_id,
            header.producer_epoch,
            header.base_sequence,
            header.leader_epoch,
        ),
        Line::Write { offset, header } => format!(
            "{offset:>10}  write {} of start {}  {} bytes  {} entries  complete up to {}  needed from {}",
            header.sequence,
            header.start_epoch,
            header.length,
            header.entry_count,
            header.durable_sequence,
            header.redo_from_sequence
        ),
        Line::Entry(entry) => format!(
            "            {:?} of partition {}  segment {} from {} to {}  next offset {}",
            entry.kind,
            entry.uid,
            entry.segment_base,
            entry.position,
            entry.end(),
            entry.next_offset
        ),
        Line::Table(table) => format!(
            "table {} of start {}  complete up to {}  ring needed from {}  {} files of {} bytes",
            table.generation,
            table.start_epoch,
            table.last_sequence,
            table.redo_from_sequence,
            table.ring_files,
            table.ring_file_bytes
        ),
        Line::Record(record) => format!(
            "            partition {}  segment {} written to {}  offsets {} to {}  leader epoch {}",
            record.uid,
            record.segment_base,
            record.end_position,
            record.log_start,
            record.next_offset,
            record.leader_epoch
        ),
        Line::Index { offset, position, max_timestamp_ms } => {
            format!("offset {offset}  at {position}  times up to {max_timestamp_ms}")
        }
        Line::Producers { count, next_offset } => format!("{count} producers, at offset {next_offset}"),
        Line::Damage(damage) => format!("DAMAGED: {damage}"),
    }
}

fn codec(header: &wire::batch::BatchHeader) -> String {
    header.attributes.compression().map_or_else(|error| error.to_string(), |codec| codec.to_string())
}

fn json_of(line: &Line) -> Value {
    match line {
        Line::Batch { position, header } => json!({
            "batch": position, "base_offset": header.base_offset, "last_offset": header.last_offset(),
            "records": header.record_count, "bytes": header.length, "base_timestamp_ms": header.base_timestamp_ms,
            "max_timestamp_ms": header.max_timestamp_ms, "codec": codec(header), "producer_id": header.producer_id,
            "producer_epoch": header.producer_epoch, "base_sequence": header.base_sequence,
            "leader_epoch": header.leader_epoch, "crc_ok": true,
        }),
        Line::Write { offset, header } => json!({
            "write": offset, "sequence": header.sequence, "start_epoch": header.start_epoch, "bytes": header.length,
            "entries": header.entry_count, "durable_sequence": header.durable_sequence,
            "redo_from_sequence": header.redo_from_sequence,
        }),
        Line::Entry(entry) => json!({
            "entry": format!("{:?}", entry.kind).to_lowercase(), "uid": entry.uid, "segment": entry.segment_base,
            "position": entry.position, "end": entry.end(), "next_offset": entry.next_offset,
            "log_start": entry.log_start, "leader_epoch": entry.leader_epoch,
        }),
        Line::Table(table) => json!({
            "table": table.generation, "start_epoch": table.start_epoch, "last_sequence": table.last_sequence,
            "redo_from_sequence": table.redo_from_sequence, "ring_files": table.ring_files,
            "ring_file_bytes": table.ring_file_bytes,
        }),
        Line::Record(record) => json!({
            "record": record.uid, "segment": record.segment_base, "end": record.end_position,
            "next_offset": record.next_offset, "log_start": record.log_start, "leader_epoch": record.leader_epoch,
        }),
        Line::Index { offset, position, max_timestamp_ms } => {
            json!({ "offset": offset, "position": position, "max_timestamp_ms": max_timestamp_ms })
        }
        Line::Producers { count, next_offset } => json!({ "producers": count, "next_offset": next_offset }),
        Line::Damage(damage) => json!({ "damage": damage_json(damage) }),
    }
}

pub(super) fn damage_json(damage: &Damage) -> Value {
    json!({
        "path": damage.path.display().to_string(), "position": damage.position, "reason": damage.reason,
        "is_hint": damage.is_hint,
    })
}

fn summary_json(report: &Report) -> Value {
    json!({
        "sound": report.is_sound(), "files": report.files, "bytes": report.bytes, "partitions": report.partitions,
        "batches": report.batches, "records": report.records, "journal_writes": report.journal_writes,
        "dirty_bytes": report.dirty_bytes, "damage": report.damage.iter().map(damage_json).collect::<Vec<_>>(),
    })
}

fn summary_text(report: &Report) -> String {
    let mut text = format!("{} files, {} bytes", report.files, report.bytes);
    for (count, what) in [
        (report.partitions, "partitions"),
        (report.batches, "batches"),
        (report.records, "records"),
        (report.journal_writes, "journal writes"),
        (report.dirty_bytes, "bytes only in the journal yet"),
    ] {
        if count > 0 {
            // Writing to a string does not fail.
            let _ = write!(text, ", {count} {what}");
        }
    }
    text.push_str(if report.is_sound() { ": sound" } else { ": DAMAGED" });
    text
}
