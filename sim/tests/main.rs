//! The tests on simulated machines, in one program.

mod broker_crashes;
mod bypass_order;
mod catalog_crashes;
mod deletion;
mod disk_errors;
mod documented;
mod every_moment;
mod journal_rot;
mod journal_tears;
mod late_writes;
mod limits;
mod lost_tables;
mod raised_starts;
mod read_while_removed;
mod repair;
mod restarts;
mod retention;
mod ring_laps;
mod starts_and_stops;
mod storage_crashes;
mod storage_damage;
mod storage_faults;
mod tail_pages;
