//! The checks, each in the file of what it looks at.

mod device;
mod file_system;
mod io_uring;
mod limits;
mod mount;
mod processor;

use std::path::{Path, PathBuf};

use crate::finding::Finding;

pub(crate) use file_system::{free_bytes, nameless_file};
pub(crate) use mount::Mount;

/// What the broker that is about to start needs.
#[derive(Clone, Debug)]
pub struct Needs {
    /// The data folder; it need not exist yet.
    pub data: PathBuf,
    /// How many shards it will run.
    pub shards: usize,
    /// The control group's limit, in cores.
    pub cpu_quota_cores: Option<f64>,
    /// Locked memory for every registered read buffer.
    pub memory_lock_bytes: u64,
    /// Open files and sockets.
    pub descriptors: u64,
    /// Disk space that is reserved at the first start.
    pub reserved_bytes: u64,
}

/// Looks at everything, in the order in which a start would stumble over it. Takes a few milliseconds.
pub fn check(needs: &Needs) -> Vec<Finding> {
    let mut findings = vec![
        io_uring::check(),
        limits::memory_lock(needs.memory_lock_bytes),
        limits::descriptors(needs.descriptors),
        processor::quota(needs.shards, needs.cpu_quota_cores),
    ];
    findings.extend(processor::governor());
    findings.extend(processor::huge_pages());
    let folder = existing_ancestor(&needs.data);
    match Mount::of(&folder) {
        Some(mount) => {
            findings.push(file_system::kind(&mount));
            findings.push(file_system::discard(&mount));
            findings.push(file_system::direct_io(&folder));
            findings.push(file_system::space(&folder, needs.reserved_bytes));
            findings.extend(device::checks(&mount));
        }
        None => findings.push(file_system::unknown(&folder)),
    }
    findings
}

/// The folder itself, or the nearest one above it that exists: the data folder will lie on the same file system.
fn existing_ancestor(data: &Path) -> PathBuf {
    let absolute = std::path::absolute(data).unwrap_or_else(|_| data.to_owned());
    let existing = absolute.ancestors().find(|folder| folder.is_dir()).unwrap_or(Path::new("/"));
    existing.canonicalize().unwrap_or_else(|_| existing.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_finds_each_name_once_and_leaves_nothing_in_the_folder() {
        let data = std::env::temp_dir().join(format!("corelog-check-{}", std::process::id()));
        let needs = Needs {
            data: data.join("not/there/yet"),
            shards: 1,
            cpu_quota_cores: None,
            memory_lock_bytes: 0,
            descriptors: 1,
            reserved_bytes: 0,
        };
        let findings = check(&needs);
        for (index, finding) in findings.iter().enumerate() {
            assert!(!finding.line.is_empty() && !finding.explanation.is_empty(), "{finding:?}");
            assert!(findings[..index].iter().all(|other| other.name != finding.name), "{finding:?}");
        }
        assert!(!data.exists());
    }
}
