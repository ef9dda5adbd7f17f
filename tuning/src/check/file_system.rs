//! The data folder's file system: its kind, its options, direct I/O, space.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{AtFlags, OFlags, StatxFlags};

use super::Mount;
use crate::finding::{Finding, Severity};

/// What the broker aligns positions, lengths and memory to.
const ALIGNMENT_BYTES: u32 = 4096;

const KIND: &str = "The broker accepts a produce only into space that is allocated, so that what it acknowledges always has a \
     place. ext4 and XFS keep that promise. Copy-on-write file systems take new space for each rewrite, and a full disk can then fail \
     a write that was accepted; network and memory file systems do not tell when a byte is durable.";
const DISCARD: &str = "With `discard` the file system trims freed space at once. Deleting a large segment then holds up \
     the device for milliseconds; the broker deletes in small steps, which softens it.";
const DIRECT_IO: &str = "All data is written and read with direct I/O: the page cache would double the memory and hide when a \
     byte is on the disk. Positions, lengths and memory are multiples of 4 KiB.";
const SPACE: &str = "The journal and its tables are reserved at the first start; a disk without room for them is refused. Later a \
     full disk refuses new writes, and takes them again when there is room.";

pub(super) fn unknown(folder: &Path) -> Finding {
    Finding::new("file-system", KIND, format!("no mount found for {}", folder.display()))
        .hurts(Severity::Note, "mount /proc, so that the file system can be looked at")
}

pub(super) fn kind(mount: &Mount) -> Finding {
    let line = format!("{} on {} at {}", mount.kind, mount.source, mount.point.display());
    let found = Finding::new("file-system", KIND, line);
    match mount.kind.as_str() {
        "ext4" if mount.options.iter().any(|option| option == "data=journal") => {
            found.hurts(Severity::Warning, "mount without data=journal: it turns direct I/O off")
        }
        "ext4" | "xfs" => found,
        "tmpfs" | "ramfs" => found.hurts(
            Severity::Warning,
            "use --data on a disk with ext4 or XFS: what lies here is lost with the machine",
        ),
        "overlay" => found.hurts(
            Severity::Warning,
            "mount a volume with ext4 or XFS for --data: a container's own layer is for its program",
        ),
        "btrfs" | "zfs" | "bcachefs" => found.hurts(
            Severity::Warning,
            "use ext4 or XFS for --data: a full copy-on-write disk can lose accepted writes (refused with an error)",
        ),
        kind if kind.starts_with("nfs") || kind.starts_with("fuse") || kind == "cifs" || kind == "9p" => found
            .hurts(
                Severity::Warning,
                "use a local disk with ext4 or XFS: durability here is another machine's or program's word",
            ),
        _ => found.hurts(Severity::Note, "ext4 and XFS are what the broker is tested on"),
    }
}

pub(super) fn discard(mount: &Mount) -> Finding {
    let found = |line: &str| Finding::new("discard", DISCARD, line);
    if mount.has_option("discard") {
        found("the file system trims at once").hurts(
            Severity::Note,
            "mount with nodiscard and trim once a week instead (systemctl enable --now fstrim.timer)",
        )
    } else {
        found("the file system does not trim at once")
    }
}

pub(super) fn direct_io(folder: &Path) -> Finding {
    let found = |line: String| Finding::new("direct-io", DIRECT_IO, line);
    let remedy = "use --data on a file system with direct I/O, as ext4 or XFS on a disk";
    match nameless_file(folder, OFlags::DIRECT) {
        Ok(file) => match offset_alignment_bytes(&file) {
            Some(bytes) if bytes > ALIGNMENT_BYTES => found(format!(
                "the device wants pieces of {bytes} bytes, the broker writes {ALIGNMENT_BYTES}"
            ))
            .hurts(Severity::Fatal, "use a device with sectors of at most 4096 bytes"),
            Some(bytes) => found(format!("works, in pieces of {bytes} bytes")),
            None => found("works; the file system does not say in which pieces".to_owned()),
        },
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::INVAL.raw_os_error()) => {
            found("this file system has none".to_owned()).hurts(Severity::Fatal, remedy)
        }
        Err(error) => found(format!("cannot be tried in {}: {error}", folder.display()))
            .hurts(Severity::Warning, "make the folder, writable for this user"),
    }
}

/// A file that has no name and is gone when it is closed. Needs `O_TMPFILE`: ext4, XFS, btrfs, tmpfs have it.
pub(crate) fn nameless_file(folder: &Path, flags: OFlags) -> std::io::Result<File> {
    let flags = (OFlags::TMPFILE | flags).bits().cast_signed();
    OpenOptions::new().read(true).write(true).custom_flags(flags).open(folder)
}

/// `STATX_DIOALIGN`, since Linux 6.1; `None` where the kernel or the file system does not answer.
fn offset_alignment_bytes(file: &File) -> Option<u32> {
    let stat = rustix::fs::statx(file, "", AtFlags::EMPTY_PATH, StatxFlags::DIOALIGN).ok()?;
    let answered = stat.stx_mask & StatxFlags::DIOALIGN.bits() != 0;
    (answered && stat.stx_dio_offset_align > 0).then_some(stat.stx_dio_offset_align)
}

pub(super) fn space(folder: &Path, reserved_bytes: u64) -> Finding {
    let found = |line: String| Finding::new("space", SPACE, line);
    match free_bytes(folder) {
        Ok(free) if free < reserved_bytes => {
            found(format!("{} MiB free, the journals reserve {} MiB", free >> 20, reserved_bytes >> 20))
                .hurts(
                    Severity::Warning,
                    "make room, or start with fewer shards; an existing data folder has its journals",
                )
        }
        Ok(free) => {
            found(format!("{} MiB free, the journals reserve {} MiB", free >> 20, reserved_bytes >> 20))
        }
        Err(error) => found(format!("cannot be asked: {error}"))
            .hurts(Severity::Note, "look at the folder's permissions"),
    }
}

pub(crate) fn free_bytes(folder: &Path) -> std::io::Result<u64> {
    let status = rustix::fs::statvfs(folder)?;
    Ok(status.f_bavail.saturating_mul(status.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(kind: &str, options: &str) -> Mount {
        Mount {
            point: "/data".into(),
            device_number: "8:1".to_owned(),
            kind: kind.to_owned(),
            source: "/dev/sda1".to_owned(),
            options: options.split(',').map(str::to_owned).collect(),
        }
    }

    #[test]
    fn file_systems_that_break_the_promise_are_named() {
        assert_eq!(kind(&mount("ext4", "rw,noatime")).severity, Severity::Fine);
        assert_eq!(kind(&mount("xfs", "rw")).severity, Severity::Fine);
        for bad in ["btrfs", "zfs", "tmpfs", "overlay", "nfs4", "fuse.sshfs"] {
            assert_eq!(kind(&mount(bad, "rw")).severity, Severity::Warning, "{bad}");
        }
        assert_eq!(kind(&mount("ext4", "rw,data=journal")).severity, Severity::Warning);
    }

    #[test]
    fn discard_is_seen_among_the_options() {
        assert_eq!(discard(&mount("ext4", "rw,discard")).severity, Severity::Note);
        assert_eq!(discard(&mount("ext4", "rw,nodiscard")).severity, Severity::Fine);
    }

    #[test]
    fn a_missing_folder_is_no_proof_against_direct_io() {
        assert_eq!(direct_io(Path::new("/no/such/folder")).severity, Severity::Warning);
    }
}
