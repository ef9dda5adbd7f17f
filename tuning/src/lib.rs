//! Checks a Linux host for what a broker needs, and measures its disks.
