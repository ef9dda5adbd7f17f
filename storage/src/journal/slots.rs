//! The two table slots of a ring as a crash, or rot, left them.

use std::path::Path;

use runtime::file;

use crate::error::{FormatError, RecoveryError};
use crate::journal::reader::open_at_rest;
use crate::journal::ring::table_file_name;
use crate::journal::table::Table;

/// A table of a million partitions; what is larger was not written by us.
const TABLE_BYTES_MAX: u64 = 64 << 20;

/// What a slot holds.
#[derive(Clone, Debug)]
pub(crate) enum Slot {
    /// No file, or only zeros: never written, or lost.
    Blank,
    Table(Table),
    Damaged(FormatError),
}

pub(crate) struct Slots(pub(crate) [Slot; 2]);

impl Slots {
    pub(crate) async fn read(folder: &Path) -> Result<Self, RecoveryError> {
        Ok(Self([read_slot(folder, 0).await?, read_slot(folder, 1).await?]))
    }

    fn tables(&self) -> impl Iterator<Item = &Table> {
        self.0.iter().filter_map(|slot| match slot {
            Slot::Table(table) => Some(table),
            _ => None,
        })
    }

    pub(crate) fn newest(&self) -> Option<&Table> {
        self.tables().max_by_key(|table| table.generation)
    }

    /// Neither is missing, so the newer of them is the newest there was.
    pub(crate) fn are_sound(&self) -> bool {
        self.0.iter().all(|slot| matches!(slot, Slot::Table(_)))
    }

    /// Both were written: the second only after the first was durable.
    pub(crate) fn are_both_used(&self) -> bool {
        self.0.iter().all(|slot| !matches!(slot, Slot::Blank))
    }
}

async fn read_slot(folder: &Path, slot: u64) -> Result<Slot, RecoveryError> {
    let path = folder.join(table_file_name(slot));
    if !file::exists(&path).await? {
        return Ok(Slot::Blank);
    }
    open_at_rest(&path).await?;
    let bytes = file::read_whole(&path, TABLE_BYTES_MAX as usize).await?;
    Ok(match Table::decode(&bytes) {
        Ok(table) => Slot::Table(table),
        Err(_) if bytes.iter().all(|byte| *byte == 0) => Slot::Blank,
        Err(error) => Slot::Damaged(error),
    })
}
