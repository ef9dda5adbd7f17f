//! The simulated disk: what programs see, and what a power cut would leave.
//!
//! Each file has its content as the kernel shows it and its content on the device. A durable write, or a flush, copies
//! sectors from the first to the second; a power cut keeps of the others what the seed decides. Folders likewise: the
//! entries programs see, and those that a sync of the folder has put on the device.
//!
//! Also here: what a test can do to a disk: fill it, let it fail, damage it, look at it. What a crash leaves is `crash`.

pub(crate) mod crash;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use super::world::{self, ProcessId, Signal, State};
use crate::file::Space;

/// What a device writes whole.
pub(crate) const SECTOR_BYTES: usize = 512;

pub(crate) type Inode = u64;
const ROOT: Inode = 0;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    File { seen: Vec<u8>, kept: Vec<u8>, unflushed: BTreeSet<usize> },
    Folder { seen: BTreeMap<String, Inode>, kept: BTreeMap<String, Inode> },
}

/// What goes wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FaultKind {
    Read,
    Write,
    Flush,
}

/// A fault a test asks for: operations of this kind on paths that contain `path` fail, after so many that do not.
#[derive(Clone, Debug)]
pub struct Fault {
    pub path: String,
    pub kind: FaultKind,
    pub after: u32,
    /// How many fail.
    pub times: u32,
}

/// A write that has begun and not ended.
struct WriteUnderWay {
    process: ProcessId,
    inode: Inode,
    position: usize,
    bytes: Vec<u8>,
    durable: bool,
}

#[derive(Clone)]
pub(crate) struct DiskImage {
    nodes: BTreeMap<Inode, Node>,
    next_inode: Inode,
}

pub(crate) struct DiskState {
    pub(crate) image: DiskImage,
    under_way: BTreeMap<u64, WriteUnderWay>,
    /// Who waits for the writes on a file to end.
    waiting: Vec<(Inode, Signal<()>)>,
    next_write: u64,
    capacity: u64,
    /// A flush is answered and does nothing.
    lies: bool,
    faults: Vec<Fault>,
    locks: BTreeMap<PathBuf, ProcessId>,
    /// How often each path was opened, and how many of its handles have not been dropped.
    opens: BTreeMap<PathBuf, (u64, u64)>,
}

impl Default for DiskState {
    fn default() -> Self {
        let root = Node::Folder { seen: BTreeMap::new(), kept: BTreeMap::new() };
        let image = DiskImage { nodes: BTreeMap::from([(ROOT, root)]), next_inode: ROOT + 1 };
        DiskState {
            image,
            under_way: BTreeMap::new(),
            waiting: Vec::new(),
            next_write: 0,
            capacity: u64::MAX,
            lies: false,
            faults: Vec::new(),
            locks: BTreeMap::new(),
            opens: BTreeMap::new(),
        }
    }
}

fn not_found() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl DiskState {
    pub(crate) fn find(&self, path: &Path) -> io::Result<Inode> {
        let mut at = ROOT;
        for name in names(path) {
            let Some(Node::Folder { seen, .. }) = self.image.nodes.get(&at) else { return Err(not_found()) };
            at = *seen.get(&name).ok_or_else(not_found)?;
        }
        Ok(at)
    }

    pub(crate) fn parent(&self, path: &Path) -> io::Result<(Inode, String)> {
        let name = names(path).pop().ok_or_else(not_found)?;
        Ok((self.find(path.parent().ok_or_else(not_found)?)?, name))
    }

    pub(crate) fn entries(&mut self, folder: Inode) -> io::Result<&mut BTreeMap<String, Inode>> {
        match self.image.nodes.get_mut(&folder) {
            Some(Node::Folder { seen, .. }) => Ok(seen),
            _ => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    pub(crate) fn node(&self, inode: Inode) -> &Node {
        &self.image.nodes[&inode]
    }

    pub(crate) fn create(&mut self, path: &Path, node: Node) -> io::Result<Inode> {
        let (parent, name) = self.parent(path)?;
        let inode = self.image.next_inode;
        self.entries(parent)?.insert(name, inode);
        self.image.next_inode += 1;
        self.image.nodes.insert(inode, node);
        Ok(inode)
    }

    pub(crate) fn new_folder() -> Node {
        Node::Folder { seen: BTreeMap::new(), kept: BTreeMap::new() }
    }

    pub(crate) fn new_file() -> Node {
        Node::File { seen: Vec::new(), kept: Vec::new(), unflushed: BTreeSet::new() }
    }

    pub(crate) fn size(&self, inode: Inode) -> usize {
        match self.node(inode) {
            Node::File { seen, .. } => seen.len(),
            Node::Folder { .. } => 0,
        }
    }

    /// Changes what programs see of a file from `from` on; the sectors are not on the device yet.
    pub(crate) fn change(&mut self, inode: Inode, from: usize, change: impl FnOnce(&mut Vec<u8>)) {
        if let Some(Node::File { seen, unflushed, .. }) = self.image.nodes.get_mut(&inode) {
            let before = seen.len();
            change(seen);
            let to = seen.len().max(before);
            unflushed.extend(from / SECTOR_BYTES..to.div_ceil(SECTOR_BYTES));
        }
    }

    fn put(&mut self, inode: Inode, position: usize, bytes: &[u8]) {
        if let Some(Node::File { seen, unflushed, .. }) = self.image.nodes.get_mut(&inode) {
            let end = position + bytes.len();
            if seen.len() < end {
                seen.resize(end, 0);
            }
            seen[position..end].copy_from_slice(bytes);
            unflushed.extend(position / SECTOR_BYTES..end.div_ceil(SECTOR_BYTES));
        }
    }

    /// Puts sectors of a file on the device, and the size that goes with them.
    fn flush_sectors(&mut self, inode: Inode, sectors: &[usize]) {
        if self.lies {
            return;
        }
        let Some(Node::File { seen, kept, unflushed }) = self.image.nodes.get_mut(&inode) else { return };
        for sector in sectors {
            unflushed.remove(sector);
            let start = (sector * SECTOR_BYTES).min(seen.len());
            let end = (start + SECTOR_BYTES).min(seen.len());
            if kept.len() < end {
                kept.resize(end, 0);
            }
            kept[start..end].copy_from_slice(&seen[start..end]);
        }
    }

    pub(crate) fn flush(&mut self, inode: Inode) {
        if self.lies {
            return;
        }
        if let Some(Node::File { seen, kept, unflushed }) = self.image.nodes.get_mut(&inode) {
            kept.clone_from(seen);
            unflushed.clear();
        }
    }

    pub(crate) fn flush_folder(&mut self, inode: Inode) {
        if self.lies {
            return;
        }
        if let Some(Node::Folder { seen, kept }) = self.image.nodes.get_mut(&inode) {
            kept.clone_from(seen);
        }
    }

    /// Whether so many more bytes have room.
    pub(crate) fn refuse_full(&self, more: usize) -> io::Result<()> {
        // The sum over all files is left out where nothing can come of it.
        let is_full = self.capacity < u64::MAX && (more as u64) > self.free_bytes();
        if is_full { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    pub(crate) fn space(&self) -> Space {
        Space { total_bytes: self.capacity, free_bytes: self.free_bytes() }
    }

    pub(crate) fn free_bytes(&self) -> u64 {
        let used: usize = self.image.nodes.keys().map(|inode| self.size(*inode)).sum();
        self.capacity.saturating_sub(used as u64)
    }

    pub(crate) fn fault(&mut self, path: &Path, kind: FaultKind) -> io::Result<()> {
        let path = path.to_string_lossy();
        for fault in self.faults.iter_mut().filter(|fault| fault.kind == kind && path.contains(&fault.path)) {
            if fault.after > 0 {
                fault.after -= 1;
            } else if fault.times > 0 {
                fault.times -= 1;
                return Err(io::Error::from_raw_os_error(5));
            }
        }
        Ok(())
    }

    pub(crate) fn count_open(&mut self, path: &Path) {
        let (opened, held) = self.opens.entry(path.to_owned()).or_default();
        (*opened, *held) = (*opened + 1, *held + 1);
    }

    pub(crate) fn count_close(&mut self, path: &Path) {
        if let Some((_, held)) = self.opens.get_mut(path) {
            *held -= 1;
        }
    }

    pub(crate) fn lock(&mut self, path: &Path, process: ProcessId) -> Result<(), ProcessId> {
        match self.locks.get(path) {
            Some(owner) => Err(*owner),
            None => {
                self.locks.insert(path.to_owned(), process);
                Ok(())
            }
        }
    }

    pub(crate) fn unlock(&mut self, path: &Path) {
        self.locks.remove(path);
    }

    pub(crate) fn unlock_all(&mut self, process: ProcessId) {
        self.locks.retain(|_, owner| *owner != process);
    }

    fn writes_on(&self, inode: Inode) -> bool {
        self.under_way.values().any(|write| write.inode == inode)
    }

    fn wake_waiting(&mut self) {
        let waiting = std::mem::take(&mut self.waiting);
        for (inode, signal) in waiting {
            if self.writes_on(inode) {
                self.waiting.push((inode, signal));
            } else {
                signal.set(());
            }
        }
    }
}

fn names(path: &Path) -> Vec<String> {
    let normal = path.components().filter(|part| matches!(part, std::path::Component::Normal(_)));
    normal.map(|part| part.as_os_str().to_string_lossy().into_owned()).collect()
}

impl State {
    /// Begins a write and says when it ended. It ends also when nobody waits for it.
    pub(crate) fn begin_write(
        &mut self,
        inode: Inode,
        position: usize,
        bytes: &[u8],
        durable: bool,
    ) -> Signal<io::Result<()>> {
        let signal = Signal::new();
        let done = signal.clone();
        let write =
            WriteUnderWay { process: self.process(), inode, position, bytes: bytes.to_vec(), durable };
        let id = self.disk.next_write;
        self.disk.next_write += 1;
        self.disk.under_way.insert(id, write);
        let delay = 20_000 + self.rng.below(400_000);
        self.after(
            delay,
            Box::new(move |world| {
                let Some(write) = world.disk.under_way.remove(&id) else { return };
                world.disk.land(&write);
                world.disk.wake_waiting();
                done.set(Ok(()));
            }),
        );
        signal
    }

    /// Resolves when no write is under way on the file, not even one of a process that is gone.
    pub(crate) fn writes_ended(&mut self, inode: Inode) -> Signal<()> {
        let signal = Signal::new();
        if self.disk.writes_on(inode) {
            self.disk.waiting.push((inode, signal.clone()));
        } else {
            signal.set(());
        }
        signal
    }
}

impl DiskState {
    fn land(&mut self, write: &WriteUnderWay) {
        self.put(write.inode, write.position, &write.bytes);
        if write.durable {
            let end = (write.position + write.bytes.len()).div_ceil(SECTOR_BYTES);
            let sectors: Vec<usize> = (write.position / SECTOR_BYTES..end).collect();
            self.flush_sectors(write.inode, &sectors);
        }
    }
}

/// What a test does to the disk.
pub struct Disk {
    _not_send: std::marker::PhantomData<*const ()>,
}

/// A disk's whole state at a moment.
pub struct Snapshot(DiskImage);

impl Disk {
    pub(crate) fn new() -> Disk {
        Disk { _not_send: std::marker::PhantomData }
    }

    /// The disk of this thread's world, for code that runs inside it.
    pub fn current() -> Disk {
        Disk::new()
    }

    /// The disk holds at most so many bytes from now on.
    pub fn set_capacity(&self, bytes: u64) {
        world::with(|world| world.disk.capacity = bytes);
    }

    /// From now on the disk answers flushes and durable writes without flushing anything: what a checker has to find out.
    pub fn lie_about_flushes(&self) {
        world::with(|world| world.disk.lies = true);
    }

    pub fn used_bytes(&self) -> u64 {
        world::with(|world| world.disk.capacity.saturating_sub(world.disk.free_bytes()))
    }

    /// How often files were opened whose path contains `part`, and how many handles of them are held now.
    pub fn opens(&self, part: &str) -> (u64, u64) {
        world::with(|world| {
            let opens = world.disk.opens.iter().filter(|(path, _)| path.to_string_lossy().contains(part));
            opens.fold((0, 0), |sum, (_, (opened, held))| (sum.0 + opened, sum.1 + held))
        })
    }

    /// The pieces of a file that are being written now: position and length, in the order they were begun.
    pub fn writes_under_way(&self, path: &Path) -> Vec<(u64, u64)> {
        world::with(|world| {
            let Ok(inode) = world.disk.find(path) else { return Vec::new() };
            let writes = world.disk.under_way.values().filter(|write| write.inode == inode);
            writes.map(|write| (write.position as u64, write.bytes.len() as u64)).collect()
        })
    }

    pub fn add_fault(&self, fault: Fault) {
        world::with(|world| world.disk.faults.push(fault));
    }

    pub fn clear_faults(&self) {
        world::with(|world| world.disk.faults.clear());
    }

    /// The content of a file as programs see it.
    pub fn read(&self, path: &Path) -> Option<Vec<u8>> {
        world::with(|world| match world.disk.node(world.disk.find(path).ok()?) {
            Node::File { seen, .. } => Some(seen.clone()),
            Node::Folder { .. } => None,
        })
    }

    /// Replaces a file's content, on the device too: rot, or a hand.
    ///
    /// # Panics
    /// If there is no such file.
    pub fn overwrite(&self, path: &Path, content: Vec<u8>) {
        world::with(|world| {
            let inode = world.disk.find(path).expect("the file is there");
            world.disk.change(inode, 0, |seen| *seen = content);
            world.disk.flush(inode);
        });
    }

    /// Every file, in order.
    pub fn files(&self) -> Vec<PathBuf> {
        world::with(|world| {
            let mut found = Vec::new();
            list(&world.disk, ROOT, Path::new("/"), &mut found);
            found
        })
    }

    pub fn snapshot(&self) -> Snapshot {
        world::with(|world| Snapshot(world.disk.image.clone()))
    }

    /// Puts the disk back to what it was. No process may be running.
    pub fn restore(&self, snapshot: &Snapshot) {
        world::with(|world| {
            world.disk.image = snapshot.0.clone();
            world.disk.under_way.clear();
        });
    }
}

fn list(disk: &DiskState, inode: Inode, path: &Path, found: &mut Vec<PathBuf>) {
    match disk.node(inode) {
        Node::File { .. } => found.push(path.to_owned()),
        Node::Folder { seen, .. } => {
            seen.iter().for_each(|(name, inode)| list(disk, *inode, &path.join(name), found))
        }
    }
}
