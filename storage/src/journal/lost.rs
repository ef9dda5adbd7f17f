//! What a ring still knows without its newest table. Reads only.
//!
//! Each write carries the place from which a recovery needs the ring, as the newest table said when the write began. So
//! the last whole write says where the chain begins, but for one case: a newer table freed more, and the write that was
//! torn by the crash stands where the chain begins. Then what is missing lies right behind the last write.

use std::collections::BTreeMap;

use runtime::file::FileError;
use uuid::Uuid;

use crate::journal::reader::{ChainLink, Reader, Shape};
use crate::journal::scan::{first_table, follow};
use crate::journal::table::Table;

pub(super) fn unknown_table(ring: Uuid, shape: Shape) -> Table {
    first_table(ring, 0, shape.files, shape.file_bytes)
}

/// The chain from an older table to the last write, if the ring still holds all of it. One start may lie between: its
/// writes go on with the sequence, at the beginning of the next file.
pub(super) async fn follow_over_a_start(
    reader: &mut Reader,
    table: &Table,
    last: &ChainLink,
) -> Result<Option<Vec<ChainLink>>, FileError> {
    let (mut chain, end) = follow(reader, table).await?;
    if last.header.start_epoch > table.start_epoch {
        let begun = chain.last().map_or(table.redo_from_sequence, |link| link.header.sequence + 1);
        let next = Table {
            start_epoch: last.header.start_epoch,
            redo_from_sequence: begun,
            redo_from_place: u64::from((end.file + 1) % table.ring_files) * table.ring_file_bytes,
            ..table.clone()
        };
        chain.extend(follow(reader, &next).await?.0);
    }
    Ok(reaches(&chain, last).then_some(chain))
}

/// A table as far as the last write tells what the newest one said; the ends stay those of an older table.
pub(super) async fn as_the_ring_says(
    reader: &mut Reader,
    last: &ChainLink,
    older: Table,
    write_bytes_max: u64,
) -> Result<Table, FileError> {
    let table = Table {
        flags: last.header.flags,
        start_epoch: last.header.start_epoch,
        last_sequence: last.header.durable_sequence,
        redo_from_sequence: last.header.redo_from_sequence,
        redo_from_place: last.header.redo_from_place,
        ..older
    };
    if reaches(&follow(reader, &table).await?.0, last) {
        return Ok(table);
    }
    Ok(behind_a_torn_write(reader, last, &table, write_bytes_max).await?.unwrap_or(table))
}

fn reaches(chain: &[ChainLink], last: &ChainLink) -> bool {
    chain.last().is_some_and(|link| link.header.sequence >= last.header.sequence)
}

/// The same table with a chain that begins behind what one torn write, the one after the last, can have overwritten.
async fn behind_a_torn_write(
    reader: &mut Reader,
    last: &ChainLink,
    table: &Table,
    write_bytes_max: u64,
) -> Result<Option<Table>, FileError> {
    let of_this_start =
        |link: &ChainLink| link.header.ring == table.ring && link.header.start_epoch == table.start_epoch;
    let writes: BTreeMap<u64, ChainLink> = reader
        .headers()
        .await?
        .into_iter()
        .filter(of_this_start)
        .map(|link| (link.header.sequence, link))
        .collect();
    let mut first = last;
    while let Some(before) = writes.get(&(first.header.sequence - 1))
        && reader.is_whole(before).await?
    {
        first = before;
    }
    let ring_bytes = u64::from(table.ring_files) * table.ring_file_bytes;
    let place = |link: &ChainLink| u64::from(link.file) * table.ring_file_bytes + link.offset;
    let next = (place(last) + u64::from(last.header.length)) % ring_bytes;
    let missing = (place(first) + ring_bytes - next) % ring_bytes;
    // What does not fit into the rest of a file begins the next one.
    let torn_bytes_max = table.ring_file_bytes - next % table.ring_file_bytes + write_bytes_max;
    let explained = first.header.sequence > table.redo_from_sequence && missing <= torn_bytes_max;
    Ok(explained.then(|| Table {
        redo_from_sequence: first.header.sequence,
        redo_from_place: place(first),
        ..table.clone()
    }))
}
