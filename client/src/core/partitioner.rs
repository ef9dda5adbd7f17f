//! Which partition a record goes to.
//!
//! Hot path.
//!
//! With a key: Kafka's murmur2 of the key, so that Kafka's clients and this one put a key into the same partition.
//! Without: one partition until it has got a batch's worth of bytes, then another at random. Spreading single records
//! would send many small batches where one large one serves.

/// Kafka's murmur2 (seed 0x9747b28c) of `bytes`. Source: `org.apache.kafka.common.utils.Utils.murmur2`.
pub fn murmur2(bytes: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    // The length is folded in as Java's int: keys beyond 2 GiB do not exist.
    let mut hash = 0x9747_b28c ^ (bytes.len() as u32);
    let mut words = bytes.chunks_exact(4);
    for word in &mut words {
        let mut k = u32::from_le_bytes([word[0], word[1], word[2], word[3]]).wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        for (index, &byte) in rest.iter().enumerate() {
            hash ^= u32::from(byte) << (8 * index);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

/// The partition of a key among `partitions`, as Kafka's default partitioner gives it.
pub fn partition_of_key(key: &[u8], partitions: u32) -> u32 {
    (murmur2(key) & 0x7fff_ffff) % partitions
}

/// The choice for records without a key.
#[derive(Debug, Default)]
pub(crate) struct Sticky {
    current: u32,
    /// Bytes given to `current`; the next is drawn when they reach a batch.
    bytes: usize,
    drawn: bool,
}

impl Sticky {
    /// The partition for a record of `record_bytes`.
    pub(crate) fn choose(
        &mut self,
        record_bytes: usize,
        batch_bytes: usize,
        partitions: u32,
        random: impl FnOnce() -> u64,
    ) -> u32 {
        assert!(partitions > 0, "a topic has partitions");
        if !self.drawn || self.bytes >= batch_bytes || self.current >= partitions {
            // Never the same twice in a row: its batch is just under way.
            let step = if self.drawn && partitions > 1 {
                1 + random() % u64::from(partitions - 1)
            } else {
                random()
            };
            self.current =
                ((u64::from(self.current) + step % u64::from(partitions)) % u64::from(partitions)) as u32;
            self.bytes = 0;
            self.drawn = true;
        }
        self.bytes += record_bytes;
        self.current
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn murmur2_gives_the_hashes_of_kafkas_own_test() {
        // From Kafka's UtilsTest.testMurmur2.
        let cases: [(&[u8], i32); 7] = [
            (b"21", -973_932_308),
            (b"foobar", -790_332_482),
            (b"a-little-bit-long-string", -985_981_536),
            (b"a-little-bit-longer-string", -1_486_304_829),
            (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            (b"abc", 479_470_107),
            (b"", 275_646_681),
        ];
        for (key, hash) in cases {
            assert_eq!(murmur2(key) as i32, hash, "{key:?}");
        }
    }

    #[test]
    fn records_without_a_key_stay_until_a_batch_is_full_and_then_move() {
        let mut sticky = Sticky::default();
        let mut seed = 7_u64;
        let mut random = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            seed >> 33
        };
        let mut previous = sticky.choose(100, 1_000, 8, &mut random);
        for _ in 0..50 {
            for _ in 1..10 {
                assert_eq!(sticky.choose(100, 1_000, 8, &mut random), previous);
            }
            let next = sticky.choose(100, 1_000, 8, &mut random);
            assert!(next != previous && next < 8);
            previous = next;
        }
        assert_eq!(Sticky::default().choose(1, 1, 1, || 5), 0);
    }
}
