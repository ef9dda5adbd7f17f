//! Reads the files of a ring, whatever stands in them. Changes nothing.

use std::path::{Path, PathBuf};

use runtime::buffer::Buffer;
use runtime::file::{self, Access, Create, File, FileError, OpenOptions};
use uuid::Uuid;

use crate::journal::format::{WRITE_HEADER_BYTES, WriteHeader};
use crate::journal::ring::{RING_FILE_PREFIX, ring_file_name};
use crate::limits::{PAGE, page_ceil};

/// Rings are read in pieces of this size.
const WINDOW_BYTES: u64 = 4 << 20;

/// A whole write.
#[derive(Clone, Debug)]
pub struct ChainLink {
    pub file: u32,
    pub offset: u64,
    pub header: WriteHeader,
}

/// How many files a ring has, and their size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) files: u32,
    pub(crate) file_bytes: u64,
}

/// What the files themselves say of a ring without a table.
pub(crate) enum Files {
    Whole(Shape),
    /// Others are there, this one is not.
    Lacking(PathBuf),
    /// None, or of different sizes: what an interrupted first start leaves.
    Unmade,
}

impl Files {
    /// A ring has at least `files_min` files: a last one that is gone leaves no hole, and those that are left would pass for a
    /// smaller ring.
    pub(crate) async fn of(folder: &Path, files_min: u32) -> Result<Self, FileError> {
        let entries = file::list_folder(folder).await?;
        let size_of = |number: u32| {
            let name = ring_file_name(number);
            entries.iter().find(|entry| entry.name == name).map(|entry| entry.bytes)
        };
        let is_ours = |name: &str| {
            name.strip_prefix(RING_FILE_PREFIX).is_some_and(|number| number.parse::<u32>().is_ok())
        };
        let named = entries.iter().filter(|entry| is_ours(&entry.name)).count();
        let named = u32::try_from(named).expect("a folder has fewer than 2^32 files");
        if named == 0 {
            return Ok(Self::Unmade);
        }
        let files = named.max(files_min);
        let mut sizes = Vec::new();
        for number in 0..files {
            match size_of(number) {
                Some(size) => sizes.push(size),
                None => return Ok(Self::Lacking(folder.join(ring_file_name(number)))),
            }
        }
        let file_bytes = sizes[0];
        let is_even =
            file_bytes > 0 && file_bytes.is_multiple_of(PAGE) && sizes.iter().all(|size| *size == file_bytes);
        Ok(if is_even { Self::Whole(Shape { files, file_bytes }) } else { Self::Unmade })
    }
}

/// Reads ring files through a window, so that a chain of small writes costs few reads.
pub(crate) struct Reader {
    files: Vec<File>,
    pub(crate) shape: Shape,
    window: Option<(u32, u64, Buffer)>,
}

impl Reader {
    pub(crate) async fn open(folder: &Path, shape: Shape) -> Result<Self, FileError> {
        let mut files = Vec::new();
        for number in 0..shape.files {
            let path = folder.join(ring_file_name(number));
            let file = open_at_rest(&path).await?;
            // What is read may stand in the device's cache only. It is served from this start on, so the ring has to hold it also
            // after a power cut, for a start that finds the newest table rotten.
            file.datasync().await?;
            files.push(file);
        }
        Ok(Self { files, shape, window: None })
    }

    /// A file that is shorter than it was made, and its length. A ring has no table before all its files are whole.
    pub(crate) async fn cut_file(&self) -> Result<Option<(&Path, u64)>, FileError> {
        for file in &self.files {
            let length = file.size().await?;
            if length < self.shape.file_bytes {
                return Ok(Some((file.path(), length)));
            }
        }
        Ok(None)
    }

    pub(crate) async fn make_whole(&self) -> Result<(), FileError> {
        for file in &self.files {
            file.allocate(0, self.shape.file_bytes).await?;
            file.datasync().await?;
        }
        Ok(())
    }

    /// One ring file by itself, for reading only; it counts as file 0.
    pub(crate) async fn of_file(path: &Path, shape: Shape) -> Result<Self, FileError> {
        let file = File::open(path, OpenOptions::read()).await?;
        Ok(Self { files: vec![file], shape, window: None })
    }

    /// Bytes of a ring file; what lies beyond its end reads as zeros.
    pub(crate) async fn bytes(&mut self, file: u32, offset: u64, length: usize) -> Result<&[u8], FileError> {
        let end = offset + length as u64;
        let held = self.window.as_ref().is_some_and(|(held, start, window)| {
            *held == file && *start <= offset && end <= *start + window.len() as u64
        });
        if !held {
            let wanted = WINDOW_BYTES
                .max(page_ceil(length as u64))
                .min(self.shape.file_bytes.saturating_sub(offset).max(length as u64));
            let read = self.files[file as usize].read_at(offset, page_ceil(wanted) as usize).await?;
            let read = if (read.len() as u64) < end - offset { padded(&read, length) } else { read };
            self.window = Some((file, offset, read));
        }
        let (_, start, window) = self.window.as_ref().expect("the window was just filled");
        let from = (offset - start) as usize;
        Ok(&window[from..from + length])
    }

    /// All headers that stand where they say, in the order of the files. Their entries may be damaged.
    pub(crate) async fn headers(&mut self) -> Result<Vec<ChainLink>, FileError> {
        let mut found = Vec::new();
        for file in 0..self.shape.files {
            let mut offset = 0;
            while offset < self.shape.file_bytes {
                let page = self.bytes(file, offset, PAGE as usize).await?;
                if let Ok(header) = WriteHeader::decode(page)
                    && header.file == file
                    && header.file_offset == offset
                    && offset + u64::from(header.length) <= self.shape.file_bytes
                {
                    found.push(ChainLink { file, offset, header });
                }
                offset += PAGE;
            }
        }
        Ok(found)
    }

    /// Whether the entries of a write are what its header says.
    pub(crate) async fn is_whole(&mut self, link: &ChainLink) -> Result<bool, FileError> {
        let write = self.bytes(link.file, link.offset, link.header.length as usize).await?;
        let entries = &write[WRITE_HEADER_BYTES..WRITE_HEADER_BYTES + link.header.entries_length as usize];
        Ok(link.header.check_entries(entries).is_ok())
    }

    /// The last whole write of a ring: of the one with this uuid, or of the one that wrote last.
    pub(crate) async fn newest_write(&mut self, ring: Option<Uuid>) -> Result<Option<ChainLink>, FileError> {
        let mut headers = self.headers().await?;
        headers.sort_by_key(|link| std::cmp::Reverse((link.header.start_epoch, link.header.sequence)));
        let ring = ring.or(headers.first().map(|link| link.header.ring));
        for link in headers.into_iter().filter(|link| Some(link.header.ring) == ring) {
            if self.is_whole(&link).await? {
                return Ok(Some(link));
            }
        }
        Ok(None)
    }
}

/// Opens a file once the writes that a killed process left in flight have landed.
pub(crate) async fn open_at_rest(path: &Path) -> Result<File, FileError> {
    let options = OpenOptions { access: Access::Write, create: Create::Never, durable_writes: false };
    let file = File::open(path, options).await?;
    file::wait_for_late_writes(&file).await?;
    Ok(file)
}

fn padded(bytes: &[u8], length: usize) -> Buffer {
    let mut buffer = Buffer::zeroed(page_ceil(length as u64) as usize);
    buffer[..bytes.len()].copy_from_slice(bytes);
    buffer
}
