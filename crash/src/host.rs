//! What the rig takes from the machine (folders, loop devices, mounts, processes) and always gives back.

mod folder;
mod loopback;
mod mount;

pub(crate) use folder::WorkFolder;
pub(crate) use loopback::LoopDevice;
pub(crate) use mount::{FileSystemKind, Mount};

use std::process::Command;

use anyhow::{Context, Result, bail};

/// Runs a program of the system to its end; its words are the error.
pub(crate) fn run(program: &str, arguments: &[&str]) -> Result<String> {
    let output =
        Command::new(program).args(arguments).output().with_context(|| format!("cannot run {program}"))?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        bail!("{program} {} failed ({}): {}", arguments.join(" "), output.status, words.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
