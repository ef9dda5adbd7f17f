//! Which cores this process may use. Read once at the start, before any shard runs.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// The kernel's own bound on core numbers (`CONFIG_NR_CPUS` of the large distributions).
const CORE_MAX: usize = 8191;

/// The cores in the affinity mask of this thread, which a container or `taskset` may have narrowed; in order.
pub fn affinity_cores() -> Vec<usize> {
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    cores.into_iter().map(|core| core.id).collect()
}

/// Pins the calling thread (an ordinary one, such as the load generator's: shards are pinned already). False if the
/// core is not there for this process.
pub fn pin_thread(core: usize) -> bool {
    core_affinity::set_for_current(core_affinity::CoreId { id: core })
}

/// How many cores' worth of time the control group of this process may use, if it is limited: the smallest quota on the
/// way to the root, of version 2 (`cpu.max`) or 1 (`cpu.cfs_quota_us`).
pub fn cpu_quota_cores() -> Option<f64> {
    let membership = fs::read_to_string("/proc/self/cgroup").ok()?;
    smallest_quota(Path::new("/sys/fs/cgroup"), &membership)
}

fn smallest_quota(root: &Path, membership: &str) -> Option<f64> {
    let mut quotas = Vec::new();
    for line in membership.lines() {
        // "0::/system.slice/corelog.service" (version 2) or "4:cpu,cpuacct:/docker/5a…" (version 1).
        let mut fields = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(group)) = (fields.next(), fields.next(), fields.next()) else {
            continue;
        };
        let hierarchy = match controllers {
            "" => root.to_path_buf(),
            list if list.split(',').any(|name| name == "cpu") => root.join("cpu"),
            _ => continue,
        };
        quotas.extend(folders_to_root(&hierarchy, group).iter().filter_map(|folder| quota_of(folder)));
    }
    quotas.into_iter().reduce(f64::min)
}

/// The group's folder and all above it. In a container the group's path is the host's and its folder may not be there,
/// but the root is.
fn folders_to_root(hierarchy: &Path, group: &str) -> Vec<PathBuf> {
    let folder = hierarchy.join(group.trim_start_matches('/'));
    folder.ancestors().take_while(|above| above.starts_with(hierarchy)).map(Path::to_path_buf).collect()
}

fn quota_of(folder: &Path) -> Option<f64> {
    if let Ok(text) = fs::read_to_string(folder.join("cpu.max")) {
        let (quota, period) = text.trim().split_once(' ')?;
        return quotient(quota, period);
    }
    let quota = fs::read_to_string(folder.join("cpu.cfs_quota_us")).ok()?;
    let period = fs::read_to_string(folder.join("cpu.cfs_period_us")).ok()?;
    quotient(quota.trim(), period.trim())
}

/// "max" and -1 mean unlimited: neither parses as a positive number.
fn quotient(quota: &str, period: &str) -> Option<f64> {
    let (quota, period): (f64, f64) = (quota.parse().ok()?, period.parse().ok()?);
    (quota > 0.0 && period > 0.0).then(|| quota / period)
}

/// A list of cores that makes no sense, with the part that does not.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CoreListError {
    part: String,
    reason: &'static str,
}

impl fmt::Display for CoreListError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "\"{}\" in a list of cores {}; write it like 0,2-3", self.part, self.reason)
    }
}

impl std::error::Error for CoreListError {}

/// Parses a list such as `0,2-3`: numbers and ranges, each core once. The order is kept: it is the order of the shards.
pub fn parse_core_list(list: &str) -> Result<Vec<usize>, CoreListError> {
    let mut cores = Vec::new();
    for part in list.split(',') {
        let part = part.trim();
        let error = |reason| CoreListError { part: part.to_string(), reason };
        let number = |text: &str| match text.trim().parse::<usize>() {
            Ok(core) if core > CORE_MAX => Err(error("is beyond the largest core number, 8191")),
            Ok(core) => Ok(core),
            Err(_) => Err(error("is not a number")),
        };
        let (first, last) = match part.split_once('-') {
            Some((first, last)) => (number(first)?, number(last)?),
            None => (number(part)?, number(part)?),
        };
        if first > last {
            return Err(error("is a range that goes down"));
        }
        for core in first..=last {
            if cores.contains(&core) {
                return Err(error("names a core a second time"));
            }
            cores.push(core);
        }
    }
    Ok(cores)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn core_lists_are_numbers_and_ranges_in_their_order() {
        assert_eq!(parse_core_list("0,2-3"), Ok(vec![0, 2, 3]));
        assert_eq!(parse_core_list(" 5 , 1 - 2 "), Ok(vec![5, 1, 2]));
        for wrong in ["", "a", "3-1", "1,1", "0-2,1", "-1", "1-", "9000", "0,,1"] {
            assert!(parse_core_list(wrong).is_err(), "{wrong:?}");
        }
        let message = parse_core_list("0,x").unwrap_err().to_string();
        assert_eq!(message, "\"x\" in a list of cores is not a number; write it like 0,2-3");
    }

    #[test]
    fn this_process_may_use_some_core() {
        assert!(!affinity_cores().is_empty());
    }

    #[test]
    fn the_smallest_quota_on_the_way_to_the_root_counts() {
        let root = std::env::temp_dir().join(format!("corelog-cgroup-{}", std::process::id()));
        let group = root.join("system.slice/corelog.service");
        fs::create_dir_all(&group).unwrap();
        fs::write(root.join("system.slice/cpu.max"), "150000 100000\n").unwrap();
        fs::write(group.join("cpu.max"), "max 100000\n").unwrap();
        assert_eq!(smallest_quota(&root, "0::/system.slice/corelog.service\n"), Some(1.5));
        assert_eq!(smallest_quota(&root, "0::/user.slice\n"), None);

        fs::create_dir_all(root.join("cpu/docker/abc")).unwrap();
        fs::write(root.join("cpu/docker/cpu.cfs_quota_us"), "50000\n").unwrap();
        fs::write(root.join("cpu/docker/cpu.cfs_period_us"), "100000\n").unwrap();
        fs::write(root.join("cpu/docker/abc/cpu.cfs_quota_us"), "-1\n").unwrap();
        fs::write(root.join("cpu/docker/abc/cpu.cfs_period_us"), "100000\n").unwrap();
        assert_eq!(smallest_quota(&root, "4:cpu,cpuacct:/docker/abc\n3:memory:/x\n"), Some(0.5));
        fs::remove_dir_all(&root).unwrap();
    }
}
