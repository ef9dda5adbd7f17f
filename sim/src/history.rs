//! What was sent, acknowledged and seen, kept outside the simulated machine: what its crashes are judged by.

use std::collections::BTreeMap;

/// Marks a batch: which life of the machine sent it, and as which of its sends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mark {
    pub life: u32,
    pub send: u32,
}

/// The truth about each partition's offsets.
#[derive(Clone, Default)]
pub struct History {
    /// Offset by offset what has to be there: it was acknowledged, or served to a reader.
    certain: BTreeMap<u64, BTreeMap<i64, Mark>>,
    /// Everything ever sent, by mark, with its length: what is served must be one of these.
    sent: BTreeMap<(u64, u32, u32), usize>,
    next_send: u32,
    /// How far each partition's start was raised, acknowledged or served; and how far it may have been.
    starts: BTreeMap<u64, i64>,
    starts_wanted: BTreeMap<u64, i64>,
}

impl History {
    /// A new mark for a batch that is about to be sent.
    pub fn send(&mut self, uid: u64, life: u32, length: usize) -> Mark {
        self.next_send += 1;
        let mark = Mark { life, send: self.next_send };
        self.sent.insert((uid, life, self.next_send), length);
        mark
    }

    /// The machine said that this is stored.
    pub fn acknowledged(&mut self, uid: u64, offset: i64, mark: Mark) {
        let before = self.certain.entry(uid).or_default().insert(offset, mark);
        assert!(
            before.is_none_or(|before| before == mark),
            "partition {uid}: offset {offset} was {before:?}, now {mark:?}"
        );
    }

    /// What was at this offset and behind it was given up: other batches may come to stand there.
    pub fn given_up(&mut self, uid: u64, from: i64) {
        self.certain.entry(uid).or_default().split_off(&from);
    }

    /// The start is about to be raised to this offset.
    pub fn wants_start(&mut self, uid: u64, start: i64) {
        let wanted = self.starts_wanted.entry(uid).or_default();
        *wanted = start.max(*wanted);
    }

    /// The machine said that the log begins here.
    pub fn start_acknowledged(&mut self, uid: u64, start: i64) {
        let known = self.starts.entry(uid).or_default();
        assert!(start >= *known, "partition {uid}: the start was {known}, now {start}");
        *known = start;
        let certain = self.certain.entry(uid).or_default();
        *certain = certain.split_off(&start);
    }

    /// Both tables of the ring are lost, and with them where the partition starts within a segment.
    pub fn start_forgotten(&mut self, uid: u64) {
        self.starts.remove(&uid);
    }

    /// Judges everything a reader was served, from the start to the high watermark.
    pub fn judge(&mut self, uid: u64, start: i64, served: &[(i64, Mark, usize)]) {
        self.start_acknowledged(uid, start);
        let wanted = self.starts_wanted.get(&uid).copied().unwrap_or(0);
        assert!(start <= wanted, "partition {uid}: starts at {start}, was never raised above {wanted}");
        let certain = self.certain.entry(uid).or_default();
        for (expected, (offset, mark, length)) in (start..).zip(served) {
            assert_eq!(*offset, expected, "partition {uid}: the offsets have a gap or a double");
            let sent = self.sent.get(&(uid, mark.life, mark.send));
            assert_eq!(
                sent,
                Some(length),
                "partition {uid}: offset {offset} holds {mark:?} of {length} bytes"
            );
        }
        for (offset, mark) in certain.iter() {
            let found = served.get((*offset - start) as usize).map(|(_, mark, _)| *mark);
            assert_eq!(
                found,
                Some(*mark),
                "partition {uid}: offset {offset} was acknowledged or served before"
            );
        }
        let mut marks: Vec<_> = served.iter().map(|(_, mark, _)| (mark.life, mark.send)).collect();
        marks.sort_unstable();
        marks.dedup();
        assert_eq!(marks.len(), served.len(), "partition {uid}: a batch was stored twice");
        certain.extend(served.iter().map(|(offset, mark, _)| (*offset, *mark)));
    }
}
