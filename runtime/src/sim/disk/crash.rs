//! What a crash leaves on the simulated disk: of writes under way, and of what was written and not flushed.
//!
//! The seed decides, so that a million runs meet every mixture; or the test does, where it wants the worst case at once.

use super::{DiskState, Inode, Node, SECTOR_BYTES, WriteUnderWay};
use crate::sim::random::Rng;
use crate::sim::world::{ProcessId, State};

/// Writes of a killed process land at most so much later.
const LATE_WRITE_NS_MAX: u64 = 50_000_000;

/// What becomes of the writes that a killed process had under way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UnderWay {
    /// Each lands now, later, in part or never, as the seed has it.
    Drawn,
    /// All land at once, on the device.
    Landed,
    /// All land at once, in the device's cache: a power cut may still take them.
    Cached,
    /// All land later, up to 50 ms after the process is gone.
    Late,
    /// None lands.
    Lost,
}

/// What a power cut leaves of what was not flushed, writes under way included.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unflushed {
    /// Each sector, size and folder's entries stay or go, as the seed has it.
    Drawn,
    /// All of it stays.
    Kept,
    /// All of it goes.
    Lost,
    /// As [`Unflushed::Drawn`], but sectors of writes under way may hold neither what was there nor what was written:
    /// a device whose own sectors are larger than ours.
    Garbled,
}

/// The device does not wait for the process.
pub(crate) fn kill(world: &mut State, process: ProcessId, under_way: UnderWay) {
    let writes = world.disk.under_way.iter().filter(|(_, write)| write.process == process);
    let ids: Vec<u64> = writes.map(|(id, _)| *id).collect();
    for id in ids {
        let write = world.disk.under_way.remove(&id).expect("just listed");
        let fate = match under_way {
            UnderWay::Drawn => world.rng.below(4),
            UnderWay::Landed => 0,
            UnderWay::Late => 3,
            UnderWay::Lost => 2,
            UnderWay::Cached => 4,
        };
        match fate {
            0 => world.disk.land(&write),
            1 => world.disk.tear(&write, &mut world.rng),
            2 => drop(write),
            4 => world.disk.put(write.inode, write.position, &write.bytes),
            _ => land_late(world, write),
        }
    }
    world.disk.wake_waiting();
}

/// Still under way: it lands when its time comes, which may be long after the process is gone.
fn land_late(world: &mut State, write: WriteUnderWay) {
    let delay = world.rng.below(LATE_WRITE_NS_MAX);
    let late = world.disk.next_write;
    world.disk.next_write += 1;
    world.disk.under_way.insert(late, write);
    world.after(
        delay,
        Box::new(move |world| {
            if let Some(write) = world.disk.under_way.remove(&late) {
                world.disk.land(&write);
                world.disk.wake_waiting();
            }
        }),
    );
}

pub(crate) fn power_cut(world: &mut State, unflushed: Unflushed) {
    for (_, write) in std::mem::take(&mut world.disk.under_way) {
        match unflushed {
            Unflushed::Drawn => world.disk.tear(&write, &mut world.rng),
            Unflushed::Garbled => world.disk.garble(&write, &mut world.rng),
            Unflushed::Kept => world.disk.land(&write),
            Unflushed::Lost => {}
        }
    }
    world.disk.waiting.clear();
    world.disk.locks.clear();
    let inodes: Vec<Inode> = world.disk.image.nodes.keys().copied().collect();
    for inode in inodes {
        // Sectors kept of four, and whether the size and the names are.
        let (sectors_kept, rest_kept) = match unflushed {
            Unflushed::Drawn | Unflushed::Garbled => (world.rng.below(5), world.rng.coin()),
            Unflushed::Kept => (4, true),
            Unflushed::Lost => (0, false),
        };
        if let Some(node) = world.disk.image.nodes.get_mut(&inode) {
            node.lose(sectors_kept, rest_kept, &mut world.rng);
        }
    }
}

impl Node {
    /// Goes back to what the device has, and of the rest what is kept.
    fn lose(&mut self, sectors_kept: u64, rest_kept: bool, rng: &mut Rng) {
        match self {
            Node::File { seen, kept, unflushed } => {
                if rest_kept {
                    kept.resize(seen.len(), 0);
                }
                for sector in std::mem::take(unflushed) {
                    let start = sector * SECTOR_BYTES;
                    let end = (start + SECTOR_BYTES).min(seen.len()).min(kept.len());
                    if start < end && rng.below(4) < sectors_kept {
                        kept[start..end].copy_from_slice(&seen[start..end]);
                    }
                }
                seen.clone_from(kept);
            }
            Node::Folder { seen, kept } if rest_kept => kept.clone_from(seen),
            Node::Folder { seen, kept } => seen.clone_from(kept),
        }
    }
}

impl DiskState {
    /// Some sectors of a write, as the seed has it.
    fn tear(&mut self, write: &WriteUnderWay, rng: &mut Rng) {
        for (number, sector) in write.bytes.chunks(SECTOR_BYTES).enumerate() {
            if rng.coin() {
                self.put(write.inode, write.position + number * SECTOR_BYTES, sector);
            }
        }
    }

    /// Some sectors of a write, and noise in others, on the device as it is seen.
    fn garble(&mut self, write: &WriteUnderWay, rng: &mut Rng) {
        for (number, sector) in write.bytes.chunks(SECTOR_BYTES).enumerate() {
            let position = write.position + number * SECTOR_BYTES;
            match rng.below(3) {
                0 => {}
                1 => self.put(write.inode, position, sector),
                _ => self.put(write.inode, position, &[0xa5; SECTOR_BYTES][..sector.len()]),
            }
            self.flush_sectors(write.inode, &[position / SECTOR_BYTES]);
        }
    }
}
