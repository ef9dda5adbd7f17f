//! `corelog tune check` and `corelog tune disk`.

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use tuning::{Finding, Severity};

use super::serve;
use crate::exit::{self, Coded};
use crate::output::{Output, say_json};
use crate::progress::Progress;

#[derive(Debug, Subcommand)]
pub(crate) enum Commands {
    /// Look at what a broker needs here, and explain each thing; takes the flags of serve
    Check(Box<CheckArguments>),
    /// Measure a disk with the broker's own writes, in under a minute
    Disk(DiskArguments),
}

#[derive(Debug, Args)]
pub(crate) struct CheckArguments {
    #[command(flatten)]
    serve: serve::Arguments,
    /// One array of findings
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DiskArguments {
    /// A folder on the disk; nothing stays in it
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// One object
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(command: &Commands) -> anyhow::Result<()> {
    match command {
        Commands::Check(arguments) => check(arguments),
        Commands::Disk(arguments) => disk(arguments),
    }
}

/// Fails when a broker could not run.
fn check(arguments: &CheckArguments) -> anyhow::Result<()> {
    let findings = tuning::check(&serve::needs(&arguments.serve.to_config()?));
    if arguments.json {
        say_json(&findings)?;
    } else {
        let mut out = Output::new();
        for finding in &findings {
            explain(&mut out, finding)?;
        }
    }
    let fatal: Vec<&str> = findings
        .iter()
        .filter(|finding| finding.severity == Severity::Fatal)
        .map(|finding| finding.name)
        .collect();
    if fatal.is_empty() {
        return Ok(());
    }
    Err(Coded::error(exit::FAILED, format!("a broker cannot run here: {}", fatal.join(", "))))
}

fn explain(out: &mut impl Write, finding: &Finding) -> std::io::Result<()> {
    writeln!(out, "{:<8} {:<12} {}", finding.severity, finding.name, finding.line)?;
    for line in wrapped(finding.explanation, 100) {
        writeln!(out, "           {line}")?;
    }
    if let Some(remedy) = finding.remedy {
        writeln!(out, "         → {remedy}")?;
    }
    writeln!(out)
}

fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("never empty");
        if line.is_empty() {
            line.push_str(word);
        } else if line.len() + 1 + word.len() <= width {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

fn disk(arguments: &DiskArguments) -> anyhow::Result<()> {
    let progress = Progress::start("measuring");
    let report =
        tuning::disk::measure(&arguments.folder, tuning::disk::Limits::default(), &mut |what, part| {
            progress.say(format!("{:3.0} %  {what}", part * 100.0));
        })?;
    drop(progress);
    if arguments.json {
        return say_json(&report);
    }
    write!(Output::new(), "{report}")?;
    Ok(())
}
