//! Where things lie in a data folder.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use uuid::Uuid;
use wire::batch::Batches;

use crate::broker::Ledger;

pub(super) struct Site<'a> {
    data: PathBuf,
    ledger: &'a Ledger,
    /// The partition whose files are damaged: that with most segments.
    folder: PathBuf,
}

impl<'a> Site<'a> {
    pub(super) fn new(data: &Path, ledger: &'a Ledger) -> Result<Self> {
        let mut site = Self { data: data.to_owned(), ledger, folder: PathBuf::new() };
        let folders = site.partition_folders()?;
        let most =
            folders.into_iter().max_by_key(|folder| files_of(folder, "log").map_or(0, |files| files.len()));
        site.folder = most.context("a data folder without partitions")?;
        ensure!(site.segments()?.len() >= 3, "too few segments in {}", site.folder.display());
        Ok(site)
    }

    fn partition_folders(&self) -> Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        for topic in list(&self.data.join("topics"))? {
            found.extend(list(&topic)?);
        }
        Ok(found)
    }

    pub(super) fn data(&self) -> &Path {
        &self.data
    }

    pub(super) fn ring(&self) -> PathBuf {
        self.data.join("journal/0")
    }

    pub(super) fn ring_files(&self) -> Result<Vec<PathBuf>> {
        let files = list(&self.ring())?;
        Ok(files.into_iter().filter(|path| path.extension().is_some() && !is_table(path)).collect())
    }

    /// The tables, the older one first.
    pub(super) fn tables(&self) -> Result<Vec<PathBuf>> {
        let files = list(&self.ring())?.into_iter().filter(|path| is_table(path));
        let mut tables = Vec::new();
        for path in files {
            let generation = u64::from_le_bytes(fs::read(&path)?[32..40].try_into()?);
            tables.push((generation, path));
        }
        tables.sort();
        Ok(tables.into_iter().map(|(_, path)| path).collect())
    }

    /// The damaged partition's segments, oldest first.
    pub(super) fn segments(&self) -> Result<Vec<PathBuf>> {
        files_of(&self.folder, "log")
    }

    pub(super) fn closed_segment(&self) -> Result<PathBuf> {
        let segments = self.segments()?;
        Ok(segments[segments.len() / 2 - 1].clone())
    }

    pub(super) fn newest_segment(&self) -> Result<PathBuf> {
        self.segments()?.pop().context("a segment")
    }

    pub(super) fn indexes(&self) -> Result<Vec<PathBuf>> {
        files_of(&self.folder, "index")
    }

    /// Those of all partitions.
    pub(super) fn snapshots(&self) -> Result<Vec<PathBuf>> {
        let folders = self.partition_folders()?.into_iter();
        Ok(folders.map(|folder| folder.join("producers.snapshot")).filter(|path| path.exists()).collect())
    }

    pub(super) fn catalog(&self) -> Result<PathBuf> {
        list(&self.data.join("catalog"))?.pop().context("a catalog")
    }

    /// Topic and number of the partition with this uid.
    pub(super) fn partition(&self, uid: u64) -> Option<(Uuid, u32)> {
        let folders = self.partition_folders().ok()?;
        folders.iter().find_map(|folder| {
            let (number, found) = folder.file_name()?.to_str()?.split_once('-')?;
            let topic = folder.parent()?.file_name()?.to_str()?;
            (found.parse() == Ok(uid)).then_some((self.ledger.topic_named(topic)?, number.parse().ok()?))
        })
    }
}

fn is_table(path: &Path) -> bool {
    path.file_stem().is_some_and(|stem| stem == "table")
}

fn list(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let mut paths: Vec<PathBuf> = entries.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    paths.sort();
    Ok(paths)
}

fn files_of(folder: &Path, what: &str) -> Result<Vec<PathBuf>> {
    Ok(list(folder)?.into_iter().filter(|path| path.extension().is_some_and(|found| found == what)).collect())
}

/// Position and length of the batches at the beginning of a segment.
pub(super) fn batches(segment: &Path) -> Result<Vec<(usize, usize)>> {
    let bytes = fs::read(segment)?;
    let mut found = Vec::new();
    for batch in Batches::new(&bytes) {
        let Ok((range, _)) = batch else { break };
        found.push((range.start, range.len()));
    }
    ensure!(!found.is_empty(), "no batch in {}", segment.display());
    Ok(found)
}

pub(super) fn flip(path: &Path, position: u64, mask: u8) -> Result<()> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    let mut byte = [0];
    file.read_exact_at(&mut byte, position)?;
    byte[0] ^= mask;
    Ok(file.write_all_at(&byte, position)?)
}

pub(super) fn put(path: &Path, position: u64, bytes: &[u8]) -> Result<()> {
    Ok(OpenOptions::new().write(true).open(path)?.write_all_at(bytes, position)?)
}

pub(super) fn cut(path: &Path, length: u64) -> Result<()> {
    Ok(OpenOptions::new().write(true).open(path)?.set_len(length)?)
}
