//! One shard's logs: the redo journal, segments, indexes, cache, recovery.
