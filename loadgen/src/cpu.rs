//! The processor time of the broker, when it runs on this host. Read by an ordinary thread, beside the shards.

use std::fs;
use std::net::ToSocketAddrs;

/// Linux counts in ticks of 10 ms for user space, whatever the kernel's own clock.
const TICKS_PER_SECOND: f64 = 100.0;

/// User and system time of a process so far, in seconds; `None` when there is no such process here.
pub(crate) fn process_seconds(pid: u32) -> Option<f64> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The name may hold spaces and brackets, so the fields are counted behind the last bracket (see proc(5)).
fn parse_stat(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS_PER_SECOND)
}

/// Whether "host:port" is this machine for sure: a pid from elsewhere would name a stranger.
pub(crate) fn is_this_host(server: &str) -> bool {
    server
        .to_socket_addrs()
        .is_ok_and(|mut addresses| addresses.next().is_some_and(|address| address.ip().is_loopback()))
}

/// The broker's process, from its description.
pub(crate) fn pid_in(description: &str) -> Option<u32> {
    let description: serde_json::Value = serde_json::from_str(description).ok()?;
    u32::try_from(description.get("pid")?.as_u64()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_found_behind_a_name_with_brackets() {
        let stat = "12 (a) b) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20 0 1";
        assert_eq!(parse_stat(stat), Some(2.0));
        assert!(process_seconds(std::process::id()).is_some());
        assert_eq!(pid_in(r#"{"pid": 7}"#), Some(7));
        assert!(is_this_host("127.0.0.1:1"));
    }
}
