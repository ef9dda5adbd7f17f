//! Who is to have which partition, reckoned for a whole group.
//!
//! `uniform` gives every member about as many partitions, and moves as few as it can. `range` cuts each topic into runs, so
//! that the same members get the same numbers of every topic.

use std::collections::{BTreeMap, HashMap};

use uuid::Uuid;

use super::Parts;

/// The names that members may ask for, the default first.
pub(crate) const ASSIGNORS: [&str; 2] = ["uniform", "range"];

/// A topic of the group: its id, and how many partitions it has.
pub(super) type SizedTopic = (Uuid, i32);

/// One member: its id, the topics it reads, and what it was to have before.
pub(super) struct Wish<'a> {
    pub(super) member_id: &'a str,
    pub(super) topics: Vec<SizedTopic>,
    pub(super) before: Option<&'a Parts>,
}

/// Assigns by the assignor of this name, or by the default.
pub(super) fn assign(assignor: &str, wishes: &[Wish<'_>]) -> BTreeMap<String, Parts> {
    match assignor {
        "range" => range(wishes),
        _ => uniform(wishes),
    }
}

fn range(wishes: &[Wish<'_>]) -> BTreeMap<String, Parts> {
    let mut readers: BTreeMap<SizedTopic, Vec<usize>> = BTreeMap::new();
    for (index, wish) in wishes.iter().enumerate() {
        for topic in &wish.topics {
            readers.entry(*topic).or_default().push(index);
        }
    }
    let mut parts: Vec<Parts> = wishes.iter().map(|_| Parts::new()).collect();
    for ((topic, partitions), readers) in readers {
        let count = i32::try_from(readers.len()).unwrap_or(i32::MAX);
        let (share, larger) = (partitions / count, partitions % count);
        let mut next = 0;
        for (place, index) in (0..).zip(readers) {
            let end = next + share + i32::from(place < larger);
            if end > next {
                parts[index].insert(topic, (next..end).collect());
            }
            next = end;
        }
    }
    named(wishes, parts)
}

fn uniform(wishes: &[Wish<'_>]) -> BTreeMap<String, Parts> {
    let mut readers: BTreeMap<SizedTopic, Vec<usize>> = BTreeMap::new();
    for (index, wish) in wishes.iter().enumerate() {
        for topic in &wish.topics {
            readers.entry(*topic).or_default().push(index);
        }
    }
    let mut dealt =
        Dealt { parts: wishes.iter().map(|_| Parts::new()).collect(), counts: vec![0; wishes.len()] };
    let mut free: Vec<((Uuid, i32), &[usize])> = Vec::new();
    // What a member had and may still have it keeps, in the first place.
    for ((topic, partitions), readers) in &readers {
        let mut holders: HashMap<i32, usize> = HashMap::new();
        for index in readers {
            let before = wishes[*index].before.and_then(|before| before.get(topic));
            for partition in before.into_iter().flatten() {
                holders.entry(*partition).or_insert(*index);
            }
        }
        for partition in 0..*partitions {
            match holders.get(&partition) {
                Some(holder) => dealt.give(*holder, *topic, partition),
                None => free.push(((*topic, partition), readers)),
            }
        }
    }
    for ((topic, partition), readers) in free {
        let least = dealt.least_of(readers).expect("a topic is here because somebody reads it");
        dealt.give(least, topic, partition);
    }
    dealt.even_out(&readers);
    named(wishes, dealt.parts)
}

/// What each member, by its place among the wishes, has so far.
struct Dealt {
    parts: Vec<Parts>,
    counts: Vec<usize>,
}

impl Dealt {
    fn give(&mut self, index: usize, topic: Uuid, partition: i32) {
        self.parts[index].entry(topic).or_default().insert(partition);
        self.counts[index] += 1;
    }

    fn take(&mut self, index: usize, topic: Uuid) -> i32 {
        let partitions = self.parts[index].get_mut(&topic).expect("it has some of the topic");
        let partition = partitions.pop_last().expect("an empty set is removed");
        if partitions.is_empty() {
            self.parts[index].remove(&topic);
        }
        self.counts[index] -= 1;
        partition
    }

    fn least_of(&self, readers: &[usize]) -> Option<usize> {
        readers.iter().copied().min_by_key(|index| (self.counts[*index], *index))
    }

    /// Moves partitions, one by one, from who has the most to who has two fewer or less, until no topic has such a pair.
    fn even_out(&mut self, readers: &BTreeMap<SizedTopic, Vec<usize>>) {
        loop {
            let mut moved = false;
            for ((topic, _), readers) in readers {
                while let Some((from, to)) = self.uneven_pair(*topic, readers) {
                    let partition = self.take(from, *topic);
                    self.give(to, *topic, partition);
                    moved = true;
                }
            }
            // Each move makes the sum of the squares of the counts smaller: it ends.
            if !moved {
                return;
            }
        }
    }

    fn uneven_pair(&self, topic: Uuid, readers: &[usize]) -> Option<(usize, usize)> {
        let holders = readers.iter().copied().filter(|index| self.parts[*index].contains_key(&topic));
        let most = holders.max_by_key(|index| (self.counts[*index], *index))?;
        let least = self.least_of(readers)?;
        (self.counts[most] > self.counts[least] + 1).then_some((most, least))
    }
}

fn named(wishes: &[Wish<'_>], parts: Vec<Parts>) -> BTreeMap<String, Parts> {
    wishes.iter().zip(parts).map(|(wish, parts)| (wish.member_id.to_owned(), parts)).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn topic(number: u128, partitions: i32) -> SizedTopic {
        (Uuid::from_u128(number), partitions)
    }

    fn sizes(assigned: &BTreeMap<String, Parts>) -> Vec<usize> {
        let mut sizes: Vec<usize> =
            assigned.values().map(|parts| parts.values().map(BTreeSet::len).sum()).collect();
        sizes.sort_unstable();
        sizes
    }

    fn check_whole(assigned: &BTreeMap<String, Parts>, topics: &[SizedTopic]) {
        for (id, partitions) in topics {
            let mut all: Vec<i32> =
                assigned.values().filter_map(|parts| parts.get(id)).flatten().copied().collect();
            all.sort_unstable();
            assert_eq!(all, (0..*partitions).collect::<Vec<i32>>(), "each partition once");
        }
    }

    fn wishes<'a>(
        names: &'a [&'a str],
        topics: &[SizedTopic],
        before: &'a BTreeMap<String, Parts>,
    ) -> Vec<Wish<'a>> {
        let wish =
            |name: &&'a str| Wish { member_id: name, topics: topics.to_vec(), before: before.get(*name) };
        names.iter().map(wish).collect()
    }

    #[test]
    fn range_gives_the_same_numbers_of_each_topic_to_the_same_member() {
        let topics = [topic(1, 5), topic(2, 5)];
        let none = BTreeMap::new();
        let assigned = assign("range", &wishes(&["a", "b"], &topics, &none));
        check_whole(&assigned, &topics);
        for (id, _) in topics {
            assert_eq!(assigned["a"][&id], BTreeSet::from([0, 1, 2]));
            assert_eq!(assigned["b"][&id], BTreeSet::from([3, 4]));
        }
    }

    #[test]
    fn uniform_is_even_and_moves_no_more_than_it_must() {
        let topics = [topic(1, 7), topic(2, 5)];
        let none = BTreeMap::new();
        let two = assign("uniform", &wishes(&["a", "b"], &topics, &none));
        check_whole(&two, &topics);
        assert_eq!(sizes(&two), [6, 6]);
        let three = assign("uniform", &wishes(&["a", "b", "c"], &topics, &two));
        check_whole(&three, &topics);
        assert_eq!(sizes(&three), [4, 4, 4]);
        for name in ["a", "b"] {
            for (id, partitions) in &three[name] {
                assert!(partitions.is_subset(&two[name][id]), "a member only gave up");
            }
        }
        let left = assign("uniform", &wishes(&["a", "c"], &topics, &three));
        check_whole(&left, &topics);
        assert_eq!(sizes(&left), [6, 6]);
        for name in ["a", "c"] {
            for (id, partitions) in &three[name] {
                assert!(partitions.is_subset(&left[name][id]), "a member only got more");
            }
        }
    }

    #[test]
    fn who_reads_other_topics_gets_those_alone() {
        let (first, second) = (topic(1, 6), topic(2, 2));
        let wishes = [
            Wish { member_id: "a", topics: vec![first], before: None },
            Wish { member_id: "b", topics: vec![first, second], before: None },
        ];
        for assignor in ASSIGNORS {
            let assigned = assign(assignor, &wishes);
            check_whole(&assigned, &[first, second]);
            assert!(!assigned["a"].contains_key(&second.0));
        }
        assert_eq!(sizes(&assign("uniform", &wishes)), [4, 4]);
        assert!(assign("uniform", &[]).is_empty());
    }

    #[test]
    fn a_partition_that_two_had_is_given_to_one() {
        let topics = [topic(1, 1)];
        let parts = Parts::from([(topics[0].0, BTreeSet::from([0]))]);
        let before = BTreeMap::from([("a".to_owned(), parts.clone()), ("b".to_owned(), parts)]);
        check_whole(&assign("uniform", &wishes(&["a", "b"], &topics, &before)), &topics);
    }
}
