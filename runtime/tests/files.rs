//! Files of the real back end, on the disk of the temporary folder.
#![cfg(not(feature = "simulator"))]

use std::path::PathBuf;
use std::rc::Rc;

use runtime::buffer::Buffer;
use runtime::executor::{self, ExecutorOptions, ShardId};
use runtime::file::{self, Access, Create, File, OpenOptions};

/// An empty folder on a disk, for one test.
fn test_folder(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("files-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// Runs a test on one shard.
fn on_one_shard<Fut: Future<Output = ()>>(test: impl Fn(ShardId) -> Fut + Clone + Send + 'static)
where
    Fut: 'static,
{
    let core = executor::affinity_cores()[0];
    executor::run(ExecutorOptions::new("test", vec![core]), test).unwrap();
}

fn filled(byte: u8, length: usize) -> Rc<Buffer> {
    let mut buffer = Buffer::zeroed(length);
    buffer.fill(byte);
    Rc::new(buffer)
}

const WRITE_DURABLY: OpenOptions =
    OpenOptions { access: Access::Write, create: Create::IfMissing, durable_writes: true };

#[test]
fn what_was_written_is_read_again() {
    let folder = test_folder("read-again");
    on_one_shard(move |_| {
        let path = folder.join("a.log");
        async move {
            let file = File::open(&path, WRITE_DURABLY).await.unwrap();
            file.write_at(filled(7, 8192), 4096).await.unwrap();
            assert_eq!(file.size().await.unwrap(), 12288);
            let read = file.read_at(0, 16384).await.unwrap();
            assert_eq!(read.len(), 12288);
            assert!(read[..4096].iter().all(|byte| *byte == 0) && read[4096..].iter().all(|byte| *byte == 7));
            file.datasync().await.unwrap();
            file.close().await.unwrap();
            assert_eq!(file::read_whole(&path, 1 << 20).await.unwrap().len(), 12288);
        }
    });
}
