//! Which file system and device a folder lies on, by `/proc/self/mountinfo`.

use std::path::{Path, PathBuf};

use crate::system_file;

/// One line of mountinfo (proc_pid_mountinfo(5)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mount {
    pub(crate) point: PathBuf,
    /// `254:0`; major 0 for file systems without one device of their own (btrfs, overlay, tmpfs, network).
    pub(crate) device_number: String,
    /// `ext4`.
    pub(crate) kind: String,
    /// `/dev/vda1`.
    pub(crate) source: String,
    /// The mount's options and the file system's own.
    pub(crate) options: Vec<String>,
}

impl Mount {
    /// The mount that holds this folder. The path must be absolute, without symbolic links.
    pub(crate) fn of(folder: &Path) -> Option<Self> {
        Self::find(&system_file::text("/proc/self/mountinfo")?, folder)
    }

    fn find(mountinfo: &str, folder: &Path) -> Option<Self> {
        // Of mounts on the same point the later one hides the earlier; `max_by_key` takes the last of equals.
        mountinfo
            .lines()
            .filter_map(Self::parse)
            .filter(|mount| folder.starts_with(&mount.point))
            .max_by_key(|mount| mount.point.components().count())
    }

    /// `36 35 98:0 /root /point rw,noatime [optional fields] - ext4 /dev/root rw,errors=continue`
    fn parse(line: &str) -> Option<Self> {
        let (before, after) = line.split_once(" - ")?;
        let before: Vec<&str> = before.split(' ').collect();
        let after: Vec<&str> = after.split(' ').collect();
        let options = before.get(5)?.split(',').chain(after.get(2)?.split(','));
        Some(Self {
            point: PathBuf::from(unescape(before.get(4)?)),
            device_number: (*before.get(2)?).to_owned(),
            kind: (*after.first()?).to_owned(),
            source: unescape(after.get(1)?),
            options: options.map(str::to_owned).collect(),
        })
    }

    pub(crate) fn has_option(&self, name: &str) -> bool {
        self.options.iter().any(|option| option == name || option.starts_with(&format!("{name}=")))
    }
}

/// The kernel writes space, tab, newline and backslash as three octal digits.
fn unescape(field: &str) -> String {
    field.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTINFO: &str = "\
22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard
31 27 254:16 / /data rw,noatime shared:3 - xfs /dev/vdb rw,logbufs=8
32 31 0:44 / /data/my\\040disk rw - btrfs /dev/vdc rw,subvol=/
33 31 0:45 / /data/my\\040disk rw - tmpfs none rw";

    #[test]
    fn the_deepest_mount_on_the_path_wins_and_the_latest_of_two_on_one_point() {
        let kind = |folder: &str| Mount::find(MOUNTINFO, Path::new(folder)).unwrap().kind;
        assert_eq!(kind("/home/me"), "ext4");
        assert_eq!(kind("/data/corelog"), "xfs");
        assert_eq!(kind("/database"), "ext4");
        assert_eq!(kind("/data/my disk/here"), "tmpfs");
    }

    #[test]
    fn options_of_the_mount_and_of_the_file_system_are_both_found() {
        let mount = Mount::find(MOUNTINFO, Path::new("/data")).unwrap();
        assert!(mount.has_option("noatime") && mount.has_option("logbufs"));
        assert!(!mount.has_option("discard"));
        assert_eq!((mount.device_number.as_str(), mount.source.as_str()), ("254:16", "/dev/vdb"));
    }
}
