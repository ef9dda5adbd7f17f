//! Each kind of damage, and what it may cost.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::site::{Site, batches, cut, flip, put};
use super::states::Kind::{self, Killed, Quiet, Stopped};
use super::writes::{PAGE, writes};
use crate::seed::Seed;

/// What may come of a damage beside that all is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Allowed {
    /// Nothing: what was damaged is a hint, is held twice, or was never acknowledged.
    Served,
    /// A refused start, or readers that are told.
    Refused,
    /// The very last journal write before a crash is cut as if it were torn.
    LastWriteLost,
}

pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) states: &'static [Kind],
    pub(super) allowed: Allowed,
    pub(super) damage: fn(&Site, &mut Seed) -> Result<()>,
}

const fn case(
    name: &'static str,
    states: &'static [Kind],
    allowed: Allowed,
    damage: fn(&Site, &mut Seed) -> Result<()>,
) -> Case {
    Case { name, states, allowed, damage }
}

const ALL: &[Kind] = &[Stopped, Quiet, Killed];
const ENDED: &[Kind] = &[Stopped, Killed];

pub(super) const CASES: &[Case] = &[
    // Segments.
    case("a closed segment cut inside a batch", &[Killed], Allowed::Refused, |site, _| {
        let segment = site.closed_segment()?;
        let (position, length) = batches(&segment)?[1];
        cut(&segment, (position + length / 2) as u64)
    }),
    case("a closed segment cut between batches", ENDED, Allowed::Refused, |site, _| {
        let segment = site.closed_segment()?;
        cut(&segment, batches(&segment)?[2].0 as u64)
    }),
    case("a closed segment emptied", &[Stopped], Allowed::Refused, |site, _| cut(&site.closed_segment()?, 0)),
    case("a closed segment deleted", &[Killed], Allowed::Refused, |site, _| {
        Ok(fs::remove_file(site.closed_segment()?)?)
    }),
    case("the first segment deleted", &[Stopped], Allowed::Refused, |site, _| {
        Ok(fs::remove_file(&site.segments()?[0])?)
    }),
    case("a bit of a batch's body", &[Stopped], Allowed::Refused, |site, seed| {
        let segment = site.closed_segment()?;
        let (position, length) = batches(&segment)?[1];
        flip(&segment, (position + 61) as u64 + seed.below((length - 61) as u64), 1 << seed.below(8))
    }),
    case("a bit of a batch's base offset", ENDED, Allowed::Refused, |site, seed| {
        let segment = site.closed_segment()?;
        flip(&segment, (batches(&segment)?[1].0 + 7) as u64, 1 << seed.below(8))
    }),
    case("a bit of a batch's length", &[Killed], Allowed::Refused, |site, seed| {
        let segment = site.closed_segment()?;
        flip(&segment, (batches(&segment)?[1].0 + 8) as u64 + seed.below(4), 1 << seed.below(8))
    }),
    case("the newest segment cut below its end", &[Stopped, Quiet], Allowed::Refused, |site, _| {
        let segment = site.newest_segment()?;
        let found = batches(&segment)?;
        cut(&segment, found[found.len() / 2].0 as u64)
    }),
    case("the newest segment cut to an odd length", &[Stopped, Quiet], Allowed::Refused, |site, _| {
        let segment = site.newest_segment()?;
        let found = batches(&segment)?;
        cut(&segment, found[found.len() / 2].0 as u64 + 1)
    }),
    case("the newest segment emptied, but for an odd rest", ALL, Allowed::Refused, |site, _| {
        cut(&site.newest_segment()?, 4_097)
    }),
    case("the newest segment deleted", ALL, Allowed::Refused, |site, _| {
        Ok(fs::remove_file(site.newest_segment()?)?)
    }),
    case("a torn page at the newest segment's end", &[Stopped, Quiet], Allowed::Refused, |site, _| {
        let segment = site.newest_segment()?;
        let (position, length) = *batches(&segment)?.last().context("a batch")?;
        put(&segment, (position + length) as u64 / PAGE as u64 * PAGE as u64, &[0; PAGE])
    }),
    case("a bit at the newest segment's end", &[Stopped, Quiet], Allowed::Refused, |site, seed| {
        let segment = site.newest_segment()?;
        let (position, length) = *batches(&segment)?.last().context("a batch")?;
        flip(&segment, (position + 61) as u64 + seed.below((length - 61) as u64), 1 << seed.below(8))
    }),
    case("noise behind the newest segment's end", &[Stopped, Quiet], Allowed::Served, |site, seed| {
        let segment = site.newest_segment()?;
        let (position, length) = *batches(&segment)?.last().context("a batch")?;
        let mut noise = [0; 3 * PAGE];
        seed.fill(&mut noise);
        put(&segment, (position + length) as u64, &noise)
    }),
    case("an odd length behind the newest segment's end", &[Stopped, Quiet], Allowed::Served, |site, _| {
        let segment = site.newest_segment()?;
        let (position, length) = *batches(&segment)?.last().context("a batch")?;
        cut(&segment, (position + length + 5_001) as u64)
    }),
    // Hints.
    case("indexes deleted", ENDED, Allowed::Served, |site, _| {
        site.indexes()?.iter().try_for_each(|path| Ok(fs::remove_file(path)?))
    }),
    case("indexes cut", ENDED, Allowed::Served, |site, _| {
        site.indexes()?.iter().try_for_each(|path| cut(path, fs::metadata(path)?.len() / 2))
    }),
    case("a bit in each index", ENDED, Allowed::Served, |site, seed| {
        let mut flip_one =
            |path: &PathBuf| flip(path, seed.below(fs::metadata(path)?.len()), 1 << seed.below(8));
        site.indexes()?.iter().try_for_each(&mut flip_one)
    }),
    case("indexes of other segments", &[Stopped], Allowed::Served, |site, _| {
        let indexes = site.indexes()?;
        let first = fs::read(indexes.first().context("an index")?)?;
        indexes[1..].iter().try_for_each(|path| Ok(fs::write(path, &first)?))
    }),
    case("snapshots of the producers deleted", ENDED, Allowed::Served, |site, _| {
        site.snapshots()?.iter().try_for_each(|path| Ok(fs::remove_file(path)?))
    }),
    case("a bit in the snapshots of the producers", ENDED, Allowed::Served, |site, seed| {
        let mut flip_one =
            |path: &PathBuf| flip(path, seed.below(fs::metadata(path)?.len()), 1 << seed.below(8));
        site.snapshots()?.iter().try_for_each(&mut flip_one)
    }),
    // The journal.
    case("a bit in the last journal write", &[Killed], Allowed::LastWriteLost, |site, seed| {
        let last = writes(site)?.pop().context("a write")?;
        let bytes = 128 + u64::from(last.header.entries_length);
        flip(&last.path, last.position + seed.below(bytes), 1 << seed.below(8))
    }),
    case("a torn last journal write", &[Killed], Allowed::LastWriteLost, |site, _| {
        let last = writes(site)?.pop().context("a write")?;
        let page = last.position + u64::from(last.header.length) - PAGE as u64;
        put(&last.path, page, &[0; PAGE])
    }),
    case("a bit in the middle of the journal", &[Killed], Allowed::Refused, |site, seed| {
        let writes = writes(site)?;
        let middle = &writes[writes.len() / 2];
        let bytes = 128 + u64::from(middle.header.entries_length);
        flip(&middle.path, middle.position + seed.below(bytes), 1 << seed.below(8))
    }),
    case("the journal's file in use cut", &[Killed], Allowed::Refused, |site, _| {
        let writes = writes(site)?;
        let middle = &writes[writes.len() / 2];
        cut(&middle.path, middle.position + 1_000)
    }),
    case(
        "a file of the journal that is not in use cut to an odd length",
        ENDED,
        Allowed::Refused,
        |site, _| {
            let used = writes(site)?.pop().context("a write")?.path;
            let files = site.ring_files()?;
            cut(files.iter().find(|path| **path != used).context("a second file")?, 5_001)
        },
    ),
    case("the journal's file in use deleted", ENDED, Allowed::Refused, |site, _| {
        Ok(fs::remove_file(writes(site)?.pop().context("a write")?.path)?)
    }),
    case("the folder of the ring deleted", ALL, Allowed::Refused, |site, _| {
        Ok(fs::remove_dir_all(site.ring())?)
    }),
    case("the journal deleted", ENDED, Allowed::Refused, |site, _| {
        Ok(fs::remove_dir_all(site.data().join("journal"))?)
    }),
    // Tables.
    case("a bit in the newest table", ALL, Allowed::Served, |site, seed| {
        flip(&site.tables()?[1], seed.below(128), 1 << seed.below(8))
    }),
    case("a bit in the older table", ALL, Allowed::Served, |site, seed| {
        flip(&site.tables()?[0], seed.below(128), 1 << seed.below(8))
    }),
    case("a bit in both tables", ALL, Allowed::Refused, |site, seed| {
        site.tables()?.iter().try_for_each(|table| flip(table, seed.below(128), 1 << seed.below(8)))
    }),
    case("the newest table deleted", ALL, Allowed::Served, |site, _| {
        Ok(fs::remove_file(&site.tables()?[1])?)
    }),
    case("the newest table cut to an odd length", &[Killed], Allowed::Served, |site, _| {
        cut(&site.tables()?[1], 101)
    }),
    case("both tables deleted", ALL, Allowed::Refused, |site, _| {
        site.tables()?.iter().try_for_each(|table| Ok(fs::remove_file(table)?))
    }),
    case("both tables and a file of the journal deleted", ENDED, Allowed::Refused, |site, seed| {
        site.tables()?.iter().try_for_each(fs::remove_file)?;
        let files = site.ring_files()?;
        Ok(fs::remove_file(&files[seed.below(files.len() as u64) as usize])?)
    }),
    // What a folder is, and what is in it.
    case("a bit in the catalog's middle", &[Stopped], Allowed::Refused, |site, seed| {
        flip(&site.catalog()?, seed.below(60), 1 << seed.below(8))
    }),
    case("the catalog deleted", ENDED, Allowed::Refused, |site, _| Ok(fs::remove_file(site.catalog()?)?)),
    case("a bit in corelog.meta", &[Stopped], Allowed::Refused, |site, seed| {
        flip(&site.data().join("corelog.meta"), seed.below(64), 1 << seed.below(8))
    }),
    case("corelog.meta deleted", &[Stopped], Allowed::Refused, |site, _| {
        Ok(fs::remove_file(site.data().join("corelog.meta"))?)
    }),
];
