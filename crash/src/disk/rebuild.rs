//! The disk as a power cut could have left it.
//!
//! A disk with a volatile cache promises one thing: a write answered before a flush was asked for is on the medium
//! once that flush is answered. Of every other write begun before the cut, each sector may be there or not,
//! whatever was written before or after it. FUA and O_DSYNC writes need no rule of their own: a loop device
//! advertises a cache without FUA, so they arrive here as a write and a flush.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::{FallocateFlags, SeekFrom, fallocate, seek};

use super::recorder::{Content, Event, Recorder};
use crate::seed::Seed;

/// The piece of an unflushed write that is kept or lost as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Granularity {
    Sector,
    Page,
    WholeWrite,
}

/// One power cut: the moment, and how much of the unflushed survived it.
#[derive(Clone, Debug)]
pub(crate) struct Cut {
    pub(crate) moment_ns: u64,
    pub(crate) granularity: Granularity,
    /// Of 100 unflushed pieces, about so many survive.
    pub(crate) kept_percent: u64,
    pub(crate) seed: Seed,
}

/// What a rebuild met, for the report.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rebuilt {
    pub(crate) writes_safe: u64,
    pub(crate) writes_at_stake: u64,
    pub(crate) pieces_lost: u64,
}

/// A cut in `from_ns..to_ns`: half of them at any time, half right at an event, where the interesting states are.
pub(crate) fn choose_cut(recorder: &Recorder, from_ns: u64, to_ns: u64, seed: &mut Seed) -> Cut {
    assert!(from_ns < to_ns, "an empty span to cut in: {from_ns}..{to_ns}");
    let mut moment_ns = from_ns + seed.below(to_ns - from_ns);
    if seed.chance(50) {
        let events = recorder.events();
        let after = events.partition_point(|event| event.started_ns() < moment_ns);
        if let Some(event) = events.get(after).filter(|event| event.ended_ns() < to_ns) {
            moment_ns = if seed.chance(50) { event.started_ns() } else { event.ended_ns() };
        }
    }
    let granularity = match seed.below(3) {
        0 => Granularity::Sector,
        1 => Granularity::Page,
        _ => Granularity::WholeWrite,
    };
    let kept_percent = [0, 10, 50, 50, 90, 100][seed.below(6) as usize];
    Cut { moment_ns, granularity, kept_percent, seed: seed.fork(moment_ns) }
}

/// Writes the disk after `cut` to `path`.
pub(crate) fn rebuild(recorder: &Recorder, cut: &Cut, path: &Path) -> io::Result<Rebuilt> {
    let image = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)?;
    if let Some(base) = recorder.base() {
        copy_sparse(&File::open(base)?, &image)?;
    }
    image.set_len(recorder.bytes())?;
    let events = recorder.events();
    let safe_before_ns = safe_before_ns(&events, cut.moment_ns);
    let mut seed = cut.seed.clone();
    let mut rebuilt = Rebuilt::default();
    for event in &events {
        let Event::Write { position, length, content, started_ns, ended_ns } = *event else { continue };
        if started_ns > cut.moment_ns {
            continue;
        }
        if ended_ns < safe_before_ns {
            rebuilt.writes_safe += 1;
            put(recorder, &image, content, position, 0, length)?;
            continue;
        }
        rebuilt.writes_at_stake += 1;
        let piece_bytes = match cut.granularity {
            Granularity::Sector => 512,
            Granularity::Page => 4096,
            Granularity::WholeWrite => length,
        };
        let mut start = 0;
        while start < length {
            let piece = piece_bytes.min(length - start);
            if seed.chance(cut.kept_percent) {
                put(recorder, &image, content, position, start, piece)?;
            } else {
                rebuilt.pieces_lost += 1;
            }
            start += piece;
        }
    }
    Ok(rebuilt)
}

/// Writes answered before this are on the medium: the latest start of a flush that was answered by the cut.
fn safe_before_ns(events: &[Event], moment_ns: u64) -> u64 {
    let flushes = events.iter().filter_map(|event| match *event {
        Event::Flush { started_ns, ended_ns } if ended_ns <= moment_ns => Some(started_ns),
        _ => None,
    });
    flushes.max().unwrap_or(0)
}

/// Puts `length` bytes from `start` of one write where they belong.
fn put(
    recorder: &Recorder,
    image: &File,
    content: Content,
    position: u64,
    start: u64,
    length: u64,
) -> io::Result<()> {
    match content {
        Content::Zeros => {
            let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            Ok(fallocate(image, flags, position + start, length)?)
        }
        Content::Spooled(at) => {
            let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
            recorder.spool().read_exact_at(&mut bytes, at + start)?;
            image.write_all_at(&bytes, position + start)
        }
    }
}

/// Copies the parts of `from` that hold data, and its length.
pub(crate) fn copy_sparse(from: &File, to: &File) -> io::Result<()> {
    const COPY_BYTES: u64 = 1 << 20;
    let length = from.metadata()?.len();
    to.set_len(length)?;
    let mut buffer = vec![0; COPY_BYTES as usize];
    let mut position = 0;
    while position < length {
        let data = match seek(from, SeekFrom::Data(position)) {
            Ok(data) => data,
            // No data beyond here.
            Err(rustix::io::Errno::NXIO) => break,
            Err(error) => return Err(error.into()),
        };
        let hole = seek(from, SeekFrom::Hole(data))?;
        position = data;
        while position < hole {
            let part = COPY_BYTES.min(hole - position) as usize;
            from.read_exact_at(&mut buffer[..part], position)?;
            to.write_all_at(&buffer[..part], position)?;
            position += part as u64;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::WorkFolder;

    fn cut(moment_ns: u64, kept_percent: u64) -> Cut {
        Cut { moment_ns, granularity: Granularity::Sector, kept_percent, seed: Seed::new(7) }
    }

    #[test]
    fn a_cut_keeps_what_was_flushed_and_may_lose_the_rest() {
        let folder = WorkFolder::create(None, "rebuild-test").unwrap();
        let recorder = Recorder::new(folder.path(), 1 << 20, None).unwrap();
        recorder.write(0, &[1; 4096]).unwrap();
        recorder.flush();
        recorder.write(0, &[2; 4096]).unwrap();
        recorder.write(8192, &[3; 4096]).unwrap();
        let moment_ns = crate::clock::now_ns();
        recorder.write(16384, &[4; 4096]).unwrap();
        recorder.flush();
        let path = folder.path().join("image");
        for (kept_percent, expected) in [(0, [1, 0, 0]), (100, [2, 3, 0])] {
            let rebuilt = rebuild(&recorder, &cut(moment_ns, kept_percent), &path).unwrap();
            assert_eq!((rebuilt.writes_safe, rebuilt.writes_at_stake), (1, 2));
            let bytes = std::fs::read(&path).unwrap();
            assert_eq!([bytes[0], bytes[8192], bytes[16384]], expected);
        }
        rebuild(&recorder, &cut(moment_ns, 50), &path).unwrap();
        let sectors: Vec<u8> =
            std::fs::read(&path).unwrap()[..4096].chunks(512).map(|sector| sector[0]).collect();
        assert!(sectors.contains(&1) && sectors.contains(&2), "a torn page: {sectors:?}");
        rebuild(&recorder, &cut(crate::clock::now_ns(), 0), &path).unwrap();
        assert_eq!(std::fs::read(&path).unwrap()[16384], 4);
    }
}
