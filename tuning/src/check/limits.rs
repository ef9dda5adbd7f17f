//! The process's limits (`ulimit`).

use rustix::process::{Resource, getrlimit};
use rustix::thread::{CapabilitySet, capabilities};

use crate::finding::{Finding, Severity};

/// What the executors refuse to start below.
const MEMORY_LOCK_BYTES_MIN: u64 = 512 << 10;

/// With fewer an ordinary load may meet the limit; with more only one of very many connections.
const DESCRIPTORS_FEW: u64 = 4096;

const MEMORY_LOCK: &str = "Read buffers are registered with the kernel, which locks them in memory, once for each ring. Below \
     512 KiB no shard starts; below what the configuration wants, cold reads use ordinary memory and cost up to a fifth more.";
const DESCRIPTORS: &str = "Each connection and each open segment takes a file descriptor. At the limit new connections are \
     refused; nothing that is acknowledged is at risk.";
const DESCRIPTORS_REMEDY: &str = "ulimit -n 65536, or LimitNOFILE=65536 in the systemd unit";

pub(super) fn memory_lock(wanted_bytes: u64) -> Finding {
    let is_exempt = capabilities(None).is_ok_and(|own| own.effective.contains(CapabilitySet::IPC_LOCK));
    describe_memory_lock(getrlimit(Resource::Memlock).current, is_exempt, wanted_bytes)
}

/// `None` is unlimited. Who is exempt has to have the minimum all the same, which the executors look at themselves.
fn describe_memory_lock(limit_bytes: Option<u64>, is_exempt: bool, wanted_bytes: u64) -> Finding {
    let found = |line: String| Finding::new("memory-lock", MEMORY_LOCK, line);
    let Some(limit_bytes) = limit_bytes else { return found("unlimited".to_owned()) };
    let line = format!("{} KiB may be locked, {} KiB are wanted", limit_bytes >> 10, wanted_bytes >> 10);
    let remedy =
        "ulimit -l unlimited, LimitMEMLOCK=infinity in the systemd unit, --ulimit memlock=-1 for docker";
    match limit_bytes {
        _ if limit_bytes < MEMORY_LOCK_BYTES_MIN => found(line).hurts(Severity::Fatal, remedy),
        _ if is_exempt => found(format!("{} KiB, from which CAP_IPC_LOCK exempts", limit_bytes >> 10)),
        _ if limit_bytes < wanted_bytes => found(line).hurts(Severity::Note, remedy),
        _ => found(line),
    }
}

pub(super) fn descriptors(needed: u64) -> Finding {
    describe_descriptors(getrlimit(Resource::Nofile).current, needed)
}

fn describe_descriptors(limit: Option<u64>, needed: u64) -> Finding {
    let found = |line: String| Finding::new("descriptors", DESCRIPTORS, line);
    match limit {
        Some(limit) if limit < needed => {
            let severity = if limit < DESCRIPTORS_FEW { Severity::Warning } else { Severity::Note };
            found(format!("{limit} may be open, {needed} can be needed")).hurts(severity, DESCRIPTORS_REMEDY)
        }
        Some(limit) => found(format!("{limit} may be open, {needed} can be needed")),
        None => found("unlimited".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locked_memory_is_fatal_below_the_minimum_and_a_note_below_the_wish() {
        let severity = |limit_kib: u64, is_exempt: bool| {
            describe_memory_lock(Some(limit_kib << 10), is_exempt, 6 << 20).severity
        };
        assert_eq!(severity(64, false), Severity::Fatal);
        assert_eq!(severity(64, true), Severity::Fatal);
        assert_eq!(severity(1024, false), Severity::Note);
        assert_eq!(severity(1024, true), Severity::Fine);
        assert_eq!(severity(8192, false), Severity::Fine);
        assert_eq!(describe_memory_lock(None, false, 6 << 20).severity, Severity::Fine);
    }

    #[test]
    fn too_few_descriptors_are_a_warning() {
        assert_eq!(describe_descriptors(Some(1024), 20_000).severity, Severity::Warning);
        assert_eq!(describe_descriptors(Some(16_384), 20_000).severity, Severity::Note);
        assert_eq!(describe_descriptors(Some(65_536), 20_000).severity, Severity::Fine);
        assert_eq!(describe_descriptors(None, 20_000).severity, Severity::Fine);
    }
}
