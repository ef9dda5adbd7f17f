//! What a seed puts the world through. Small rings, small records and short lives: a seed is to cost milliseconds.

use runtime::sim::World;

/// Drawn from the seed before anything starts.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Shards of each life of the broker. Partitions move where the number changes.
    pub shards: Vec<u16>,
    pub ring_file_bytes: u64,
    /// Values are up to this long; most are short.
    pub value_bytes_max: u64,
    pub producers: u32,
    pub consumers: u32,
    /// Of one consumer group, where topics stay.
    pub members: u32,
    /// Records that one producer sends before it makes place for the next.
    pub records_per_producer: u64,
    pub crashes: Crashes,
    /// Disasters that end no life: connections cut, ports refused, the disk full.
    pub disasters: bool,
    /// Topics are made and deleted all the time; else there are two that stay.
    pub topics_change: bool,
    /// The disk says that it has flushed and has not. No broker can hold on such a disk: only for the test of the ledger.
    pub lying_disk: bool,
}

/// How lives end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Crashes {
    /// The process is killed; the disk's cache stays.
    Kill,
    /// The machine's power is cut.
    PowerCut,
    /// One of them, or an orderly stop.
    Any,
}

const LIVES_MAX: u64 = 5;

impl Plan {
    pub fn draw(world: &World) -> Plan {
        let draw = |bound| world.draw(bound);
        let lives = 2 + draw(LIVES_MAX - 1);
        let same = draw(3) == 0;
        let shards = (0..lives).map(|_| if same || draw(2) == 0 { 2 } else { 1 + draw(3) as u16 }).collect();
        let large = draw(4) == 0;
        let topics_change = draw(2) == 0;
        Plan {
            shards,
            ring_file_bytes: if large { 256 << 10 } else { 64 << 10 },
            value_bytes_max: if large { 40_000 } else { 4_000 },
            producers: 1 + draw(3) as u32,
            consumers: 1 + draw(2) as u32,
            members: if topics_change { 0 } else { draw(4) as u32 },
            records_per_producer: 10 + draw(60),
            crashes: match draw(4) {
                0 => Crashes::Kill,
                1 => Crashes::PowerCut,
                _ => Crashes::Any,
            },
            disasters: draw(3) > 0,
            topics_change,
            lying_disk: false,
        }
    }
}
