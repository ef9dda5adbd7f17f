//! `data/corelog.meta`: what a data folder is, written before anything else in it.
//!
//! ```text
//!  0        8         12         16             32       36             60      64
//!  +--------+---------+----------+--------------+--------+--------------+-------+
//!  | magic  | format  | oldest   | cluster id   | node id| reserved     | crc32 |
//!  | CORELOG| version | reader 4 | 16           | 4      | 24 (zero)    | 4     |
//!  +--------+---------+----------+--------------+--------+--------------+-------+
//! ```
//! Little-endian; the crc32 (crc32fast) covers bytes 0..60. `oldest reader` is the oldest format version whose broker can
//! still read the folder: an older one refuses it and says which it needs.

use std::path::Path;

use runtime::file::{self, FileError};
use thiserror::Error;
use uuid::Uuid;

/// The file's name in the data folder.
pub const META_FILE: &str = "corelog.meta";
/// The format this broker writes.
pub const FORMAT_VERSION: u32 = 1;
/// The oldest format whose broker can read what this one writes.
const OLDEST_READER: u32 = 1;

const MAGIC: [u8; 8] = *b"CORELOG\0";
const CHECKED_BYTES: usize = 60;
const META_BYTES: usize = 64;

/// What the file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    pub format_version: u32,
    pub oldest_reader: u32,
    pub cluster_id: Uuid,
    pub node_id: u32,
}

/// Why a data folder is not taken.
#[derive(Debug, Error)]
pub enum MetaError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{path} is damaged or no data folder of corelog: {reason}")]
    Damaged { path: String, reason: String },
    #[error(
        "{path}: this data folder needs a broker that knows format {needed}; this one knows up to {known}. Use a newer corelog"
    )]
    Newer { path: String, needed: u32, known: u32 },
    #[error(
        "{folder} holds {found} but no {META_FILE}: it is no data folder of corelog, or its first file was lost"
    )]
    Missing { folder: String, found: &'static str },
}

impl Meta {
    /// Reads the folder's file, or writes one with a new cluster id into a folder that holds nothing of a broker yet.
    pub async fn open(data: &Path, node_id: u32) -> Result<Self, MetaError> {
        if let Some(meta) = Self::read(data).await? {
            make_names_durable(data).await?;
            return Ok(meta);
        }
        for found in ["catalog", "topics", "journal"] {
            if file::exists(&data.join(found)).await? {
                return Err(MetaError::Missing { folder: data.display().to_string(), found });
            }
        }
        let cluster_id = runtime::random::uuid();
        let meta = Self { format_version: FORMAT_VERSION, oldest_reader: OLDEST_READER, cluster_id, node_id };
        file::write_whole_durably(&data.join(META_FILE), &meta.encode()).await?;
        make_names_durable(data).await?;
        Ok(meta)
    }

    /// Reads the folder's file, if there is one. Changes nothing.
    pub async fn read(data: &Path) -> Result<Option<Self>, MetaError> {
        let path = data.join(META_FILE);
        if !file::exists(&path).await? {
            return Ok(None);
        }
        let bytes = file::read_whole(&path, META_BYTES + 1).await?;
        Self::decode(&path, &bytes).map(Some)
    }

    fn encode(&self) -> [u8; META_BYTES] {
        let mut bytes = [0; META_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&self.format_version.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.oldest_reader.to_le_bytes());
        bytes[16..32].copy_from_slice(self.cluster_id.as_bytes());
        bytes[32..36].copy_from_slice(&self.node_id.to_le_bytes());
        let crc = crc32fast::hash(&bytes[..CHECKED_BYTES]);
        bytes[CHECKED_BYTES..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    fn decode(path: &Path, bytes: &[u8]) -> Result<Self, MetaError> {
        let path = path.display().to_string();
        let Ok(bytes) = <&[u8; META_BYTES]>::try_from(bytes) else {
            let reason = format!("it has {} bytes, not {META_BYTES}", bytes.len());
            return Err(MetaError::Damaged { path, reason });
        };
        if bytes[..8] != MAGIC {
            let reason = format!("it begins with {:02x?}", &bytes[..8]);
            return Err(MetaError::Damaged { path, reason });
        }
        let number = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let (found, computed) = (number(CHECKED_BYTES), crc32fast::hash(&bytes[..CHECKED_BYTES]));
        if found != computed {
            let reason = format!("its checksum is {found:#010x}, its bytes give {computed:#010x}");
            return Err(MetaError::Damaged { path, reason });
        }
        let (format_version, oldest_reader) = (number(8), number(12));
        if oldest_reader > FORMAT_VERSION {
            return Err(MetaError::Newer { path, needed: oldest_reader, known: FORMAT_VERSION });
        }
        let mut cluster_id = [0; 16];
        cluster_id.copy_from_slice(&bytes[16..32]);
        Ok(Self {
            format_version,
            oldest_reader,
            cluster_id: Uuid::from_bytes(cluster_id),
            node_id: number(32),
        })
    }
}

/// The file's name and the folder's own may be new, made by a process that was killed before it flushed them: what this
/// life acknowledges must not hang on a name that a power cut takes away.
async fn make_names_durable(data: &Path) -> Result<(), FileError> {
    file::sync_folder(data).await?;
    let parent = data.parent().filter(|parent| !parent.as_os_str().is_empty());
    file::sync_folder(parent.unwrap_or(Path::new("."))).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta() -> Meta {
        Meta { format_version: 1, oldest_reader: 1, cluster_id: Uuid::from_u128(7), node_id: 3 }
    }

    #[test]
    fn what_is_written_is_read() {
        assert_eq!(Meta::decode(Path::new("m"), &meta().encode()).unwrap(), meta());
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let bytes = meta().encode();
        for bit in 0..META_BYTES * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Meta::decode(Path::new("m"), &flipped).is_err(), "bit {bit}");
        }
        assert!(Meta::decode(Path::new("m"), &bytes[..63]).is_err());
    }

    #[test]
    fn a_folder_of_a_newer_broker_is_refused_with_the_version_it_needs() {
        let newer = Meta { format_version: 9, oldest_reader: 8, ..meta() };
        let error = Meta::decode(Path::new("m"), &newer.encode()).unwrap_err();
        assert!(matches!(error, MetaError::Newer { needed: 8, known: 1, .. }), "{error}");
        let readable = Meta { format_version: 9, oldest_reader: 1, ..meta() };
        assert_eq!(Meta::decode(Path::new("m"), &readable.encode()).unwrap(), readable);
    }
}
