//! The disk under the file system, by `/sys`.

use std::path::{Path, PathBuf};

use super::Mount;
use crate::finding::{Finding, Severity};
use crate::system_file;

const WRITE_CACHE: &str = "A durable write to a device with a volatile cache ends with a flush of that cache, unless the device takes \
     single writes through it (FUA). A device without a volatile cache, or with one that survives a power cut, needs neither.";
const ROTATIONAL: &str = "A turning disk needs 5 to 10 ms for each durable write. The journal gathers what arrives meanwhile, so \
     throughput stays, but each acknowledgement waits for a turn.";

/// Nothing where the file system has no single device of its own.
pub(super) fn checks(mount: &Mount) -> Vec<Finding> {
    queue_folder(mount).map_or_else(Vec::new, |queue| describe(&queue))
}

/// `/sys/dev/block/8:1` is a partition: its queue is the whole disk's, one folder up.
fn queue_folder(mount: &Mount) -> Option<PathBuf> {
    let device = PathBuf::from("/sys/dev/block").join(&mount.device_number).canonicalize().ok()?;
    [device.join("queue"), device.parent()?.join("queue")].into_iter().find(|folder| folder.is_dir())
}

fn describe(queue: &Path) -> Vec<Finding> {
    let mut findings = Vec::new();
    let name = queue.parent().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
    let name = name.unwrap_or_default();
    if let Some(cache) = system_file::text(queue.join("write_cache")) {
        let takes_fua = system_file::text(queue.join("fua")).as_deref() == Some("1");
        let line = match (cache.as_str(), takes_fua) {
            ("write back", true) => {
                format!("{name} has a volatile cache and takes durable writes through it (FUA)")
            }
            ("write back", false) => {
                format!("{name} has a volatile cache and no FUA: a flush follows each durable write")
            }
            _ => format!("{name} has no volatile cache"),
        };
        let finding = Finding::new("write-cache", WRITE_CACHE, line);
        findings.push(if cache == "write back" && !takes_fua {
            finding.hurts(Severity::Note, "measure what a flush costs here: corelog tune disk DIR")
        } else {
            finding
        });
    }
    if system_file::text(queue.join("rotational")).as_deref() == Some("1") {
        let finding = Finding::new("turning-disk", ROTATIONAL, format!("{name} says that it turns"));
        findings.push(finding.hurts(
            Severity::Note,
            "use a solid-state disk; virtual disks often say this wrongly: corelog tune disk DIR measures it",
        ));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn describe_files(files: &[(&str, &str)]) -> Vec<Finding> {
        let folder =
            std::env::temp_dir().join(format!("corelog-queue-{}-{}", std::process::id(), files.len()));
        std::fs::create_dir_all(&folder).unwrap();
        for (name, text) in files {
            std::fs::write(folder.join(name), text).unwrap();
        }
        let findings = describe(&folder);
        std::fs::remove_dir_all(&folder).unwrap();
        findings
    }

    #[test]
    fn a_volatile_cache_without_fua_is_a_note_with_a_command() {
        let findings =
            describe_files(&[("write_cache", "write back\n"), ("fua", "0\n"), ("rotational", "0\n")]);
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].severity, Severity::Note);
        assert!(findings[0].remedy.unwrap().contains("tune disk"));
    }

    #[test]
    fn a_device_without_a_cache_is_fine() {
        let findings = describe_files(&[("write_cache", "write through\n"), ("fua", "0\n")]);
        assert_eq!(findings[0].severity, Severity::Fine);
    }
}
