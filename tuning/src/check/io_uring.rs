//! Whether the kernel gives this process an io_uring. The one file of this crate with unsafe code.

use rustix::io::Errno;
use rustix::io_uring::{io_uring_params, io_uring_setup};

use crate::finding::{Finding, Severity};
use crate::system_file;

const NAME: &str = "io-uring";
const EXPLANATION: &str = "Every file and socket of a shard goes through io_uring: without it the broker does not start. \
     Linux 6.1 or newer has all that is used, without the locked-memory accounting of older rings.";
const KERNEL_MIN: (u32, u32) = (6, 1);

/// Makes a ring of one entry and drops it.
pub(super) fn check() -> Finding {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let mut parameters = io_uring_params::default();
    // SAFETY: `io_uring_setup` writes the parameters, which live through the call; the descriptor it returns owns the ring,
    // is mapped nowhere and closes here.
    let ring = unsafe { io_uring_setup(1, &mut parameters) };
    let disabled = system_file::text("/proc/sys/kernel/io_uring_disabled");
    describe(&release, ring.err(), disabled.as_deref())
}

fn describe(release: &str, error: Option<Errno>, disabled: Option<&str>) -> Finding {
    let found = |line: String| Finding::new(NAME, EXPLANATION, line);
    match error {
        None if kernel_version(release) < Some(KERNEL_MIN) => {
            found(format!("available, on the old kernel {release}")).hurts(
                Severity::Warning,
                "use Linux 6.1 or newer: older rings are slower and count against the locked-memory limit",
            )
        }
        None => found(format!("available, kernel {release}")),
        Some(Errno::NOSYS) => found(format!("kernel {release} has none, or a sandbox hides it"))
            .hurts(Severity::Fatal, "use Linux 6.1 or newer, outside of sandboxes such as gVisor"),
        Some(Errno::PERM) if matches!(disabled, Some("1" | "2")) => {
            found("switched off by the sysctl kernel.io_uring_disabled".to_owned())
                .hurts(Severity::Fatal, "sysctl -w kernel.io_uring_disabled=0")
        }
        Some(Errno::PERM | Errno::ACCESS) => {
            found("forbidden by a security profile, as docker's and podman's default".to_owned())
                .hurts(Severity::Fatal, "run the container with --security-opt seccomp=unconfined")
        }
        Some(Errno::NOMEM) => found("the limit of locked memory has no room for a ring".to_owned())
            .hurts(Severity::Fatal, "ulimit -l unlimited, or LimitMEMLOCK=infinity in the systemd unit"),
        Some(error) => found(format!("a ring could not be made: {error}")).hurts(
            Severity::Fatal,
            "see the kernel's log; the broker needs io_uring_setup, io_uring_enter and io_uring_register",
        ),
    }
}

/// `6.18.44-fc` is (6, 18).
fn kernel_version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(['.', '-']).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_for_a_missing_ring_has_its_own_remedy() {
        let remedy = |error, disabled| describe("6.18.0", Some(error), disabled).remedy.unwrap();
        assert!(remedy(Errno::PERM, Some("0")).contains("seccomp=unconfined"));
        assert!(remedy(Errno::PERM, Some("2")).contains("io_uring_disabled=0"));
        assert!(remedy(Errno::NOSYS, None).contains("6.1"));
        assert!(remedy(Errno::NOMEM, None).contains("ulimit -l"));
    }

    #[test]
    fn an_old_kernel_is_told_from_a_new_one_by_number() {
        assert_eq!(describe("6.18.44-fc", None, None).severity, Severity::Fine);
        assert_eq!(describe("5.15.0-91-generic", None, None).severity, Severity::Warning);
        assert_eq!(kernel_version("6.1-rc3"), Some((6, 1)));
    }
}
