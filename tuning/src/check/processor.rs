//! Cores, their frequency, and the memory pages behind them.

use crate::finding::{Finding, Severity};
use crate::system_file;

const QUOTA: &str = "A shard owns its core. Where the control group grants less time than there are shards, the kernel stops \
     all of them for the rest of each period (100 ms by default), and so long does an acknowledgement wait.";
const GOVERNOR: &str = "With a saving governor a core that was idle takes its time to come back to full speed, \
     and a quiet broker is slower than a busy one.";
const HUGE_PAGES: &str = "With `always` the kernel backs sparse buffers with 2 MiB pages and pauses to compact memory for \
     them; the broker's memory then is larger than what --memory bounds.";

pub(super) fn quota(shards: usize, quota_cores: Option<f64>) -> Finding {
    let found = |line: String| Finding::new("cpu-quota", QUOTA, line);
    match quota_cores {
        None => found(format!("no quota, {shards} shards")),
        Some(cores) if cores < shards as f64 => found(format!("{cores:.1} cores for {shards} shards")).hurts(
            Severity::Warning,
            "use --shards with no more than the quota, or raise the control group's cpu.max",
        ),
        Some(cores) => found(format!("{cores:.1} cores for {shards} shards")),
    }
}

/// Nothing on machines that do not scale, as most virtual ones.
pub(super) fn governor() -> Option<Finding> {
    let governor = system_file::text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")?;
    let finding = Finding::new("governor", GOVERNOR, governor.clone());
    Some(match governor.as_str() {
        "powersave" | "conservative" => {
            finding.hurts(Severity::Note, "cpupower frequency-set -g performance")
        }
        _ => finding,
    })
}

pub(super) fn huge_pages() -> Option<Finding> {
    let text = system_file::text("/sys/kernel/mm/transparent_hugepage/enabled")?;
    let chosen = system_file::chosen(&text)?;
    let finding = Finding::new("huge-pages", HUGE_PAGES, format!("transparent huge pages: {chosen}"));
    Some(match chosen {
        "always" => {
            finding.hurts(Severity::Note, "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled")
        }
        _ => finding,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_shards_than_the_quota_are_a_warning() {
        assert_eq!(quota(2, Some(1.5)).severity, Severity::Warning);
        assert_eq!(quota(2, Some(2.0)).severity, Severity::Fine);
        assert_eq!(quota(64, None).severity, Severity::Fine);
    }
}
