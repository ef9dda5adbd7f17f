//! Which shard serves which partition: dealt round the shards so that each topic, and the whole, is even.
//!
//! Invariants:
//! - The partitions of a topic on any two shards differ in number by at most one.
//! - When the number of shards changes, a partition stays where it is unless evenness needs it to move: each move costs
//!   a leader epoch and the caches of its shard.

use runtime::executor::ShardId;

/// How many partitions each shard serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardLoads {
    loads: Vec<usize>,
}

impl ShardLoads {
    /// No partition on any of so many shards.
    pub fn new(shards: u16) -> Self {
        assert!(shards > 0, "a broker has a shard");
        Self { loads: vec![0; usize::from(shards)] }
    }

    /// Counts one partition more on the shard.
    pub fn add(&mut self, shard: ShardId) {
        self.loads[shard.index()] += 1;
    }

    /// Deals `count` more partitions of a topic that has `placed` already, and counts them. The answer is in the order
    /// of the partitions.
    pub fn deal(&mut self, placed: &[ShardId], count: usize) -> Vec<ShardId> {
        let mut of_topic = vec![0_usize; self.loads.len()];
        for shard in placed {
            of_topic[shard.index()] += 1;
        }
        (0..count)
            .map(|_| {
                let least = (0..self.loads.len())
                    .min_by_key(|&shard| (of_topic[shard], self.loads[shard], shard))
                    .expect("a broker has a shard");
                of_topic[least] += 1;
                self.loads[least] += 1;
                ShardId(u16::try_from(least).expect("shards are numbered with 16 bits"))
            })
            .collect()
    }

    /// Deals a topic again whose partitions were placed on another number of shards, and counts it. Those that can stay
    /// do; the answer is in the order of the partitions. `total` is the number of partitions of all topics: a topic that
    /// does not divide evenly leaves its odd ones on shards that have less than their part of it.
    pub fn deal_again(&mut self, placed: &[ShardId], total: usize) -> Vec<ShardId> {
        let shards = self.loads.len();
        let part = total.div_ceil(shards);
        let (share, mut larger) = (placed.len() / shards, placed.len() % shards);
        let mut kept = vec![0_usize; shards];
        let mut stays = Vec::with_capacity(placed.len());
        for shard in placed {
            let index = shard.index();
            let room = index < shards
                && (kept[index] < share || (kept[index] == share && larger > 0 && self.loads[index] < part));
            if room {
                larger -= usize::from(kept[index] == share);
                kept[index] += 1;
                self.loads[index] += 1;
            }
            stays.push(room.then_some(*shard));
        }
        let staying: Vec<ShardId> = stays.iter().flatten().copied().collect();
        let mut dealt = self.deal(&staying, placed.len() - staying.len()).into_iter();
        stays
            .into_iter()
            .map(|stays| stays.unwrap_or_else(|| dealt.next().expect("one dealt for each that moves")))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spread(placed: &[ShardId], shards: u16) -> usize {
        let count = |shard| placed.iter().filter(|placed| placed.0 == shard).count();
        let counts: Vec<usize> = (0..shards).map(count).collect();
        assert_eq!(counts.iter().sum::<usize>(), placed.len(), "placed on a shard that is not there");
        counts.iter().max().unwrap() - counts.iter().min().unwrap()
    }

    #[test]
    fn a_topic_is_dealt_round_the_shards() {
        let mut loads = ShardLoads::new(3);
        assert_eq!(loads.deal(&[], 5), [0, 1, 2, 0, 1].map(ShardId));
        assert_eq!(
            loads.deal(&[], 1),
            [ShardId(2)],
            "a topic of one partition goes to the least loaded shard"
        );
    }

    #[test]
    fn every_topic_stays_even_through_any_changes_of_the_number_of_shards() {
        for partitions in 0..20 {
            let mut placed = ShardLoads::new(1).deal(&[], partitions);
            for shards in [2, 4, 3, 7, 1, 5, 2] {
                placed = ShardLoads::new(shards).deal_again(&placed, partitions);
                assert!(spread(&placed, shards) <= 1, "{placed:?} on {shards}");
            }
        }
    }

    #[test]
    fn the_same_number_of_shards_moves_nothing() {
        let placed = ShardLoads::new(4).deal(&[], 11);
        assert_eq!(ShardLoads::new(4).deal_again(&placed, 11), placed);
    }

    #[test]
    fn topics_of_one_partition_spread_over_the_shards() {
        let mut loads = ShardLoads::new(4);
        let all: Vec<ShardId> = (0..40).flat_map(|_| loads.deal(&[], 1)).collect();
        assert_eq!(spread(&all, 4), 0);
        let mut loads = ShardLoads::new(8);
        let again: Vec<ShardId> = all.iter().flat_map(|shard| loads.deal_again(&[*shard], 40)).collect();
        assert_eq!(spread(&again, 8), 0, "also when shards are added");
    }
}
