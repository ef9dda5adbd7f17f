//! Files of the real back end, on the disk of the target folder.
#![cfg(not(feature = "simulator"))]

mod on_shards;

use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use on_shards::{on_one_shard, test_folder};
use runtime::buffer::Buffer;
use runtime::executor::{self, ExecutorOptions};
use runtime::file::{self, Access, Create, File, OpenOptions};
use runtime::{clock, task};

fn filled(byte: u8, length: usize) -> Rc<Buffer> {
    let mut buffer = Buffer::zeroed(length);
    buffer.fill(byte);
    Rc::new(buffer)
}

const WRITE: OpenOptions =
    OpenOptions { access: Access::Write, create: Create::IfMissing, durable_writes: false };
const WRITE_DURABLY: OpenOptions = OpenOptions { durable_writes: true, ..WRITE };

#[test]
fn what_was_written_is_read_again() {
    let folder = test_folder("read-again");
    on_one_shard(move || {
        let path = folder.join("a.log");
        async move {
            let file = File::open(&path, WRITE_DURABLY).await.unwrap();
            file.write_at(filled(7, 8192), 4096).await.unwrap();
            assert_eq!(file.size().await.unwrap(), 12288);
            let read = file.read_at(0, 16384).await.unwrap();
            assert_eq!(read.len(), 12288);
            assert!(read[..4096].iter().all(|byte| *byte == 0) && read[4096..].iter().all(|byte| *byte == 7));
            assert!(file.read_at(12288, 4096).await.unwrap().is_empty());
            file.datasync().await.unwrap();
            assert_eq!(file.path(), path);
            file.close().await.unwrap();
            assert_eq!(file::read_whole(&path, 1 << 20).await.unwrap().len(), 12288);
        }
    });
}

/// glommio decides on the first file of a device whether to poll it; with an empty file it decides wrongly, and then
/// every read fails with EOPNOTSUPP.
#[test]
fn an_empty_file_opened_first_does_not_turn_on_polled_io() {
    let folder = test_folder("empty-first");
    on_one_shard(move || {
        let path = folder.join("new-and-empty.log");
        async move {
            let file = File::open(&path, WRITE).await.unwrap();
            file.write_at(filled(1, 4096), 0).await.unwrap();
            assert_eq!(file.read_at(0, 4096).await.unwrap()[..], [1; 4096]);
            let names = file::list_folder(path.parent().unwrap()).await.unwrap();
            assert_eq!(names.len(), 1, "the probe file is gone: {names:?}");
        }
    });
}

/// A glommio write dropped before the ring was submitted never happens.
#[test]
fn a_write_whose_future_is_dropped_still_happens() {
    let folder = test_folder("dropped-write");
    on_one_shard(move || {
        let path = folder.join("a.log");
        async move {
            let file = File::open(&path, WRITE).await.unwrap();
            drop(file.write_at(filled(3, 4096), 0));
            let never_waits = clock::timeout(Duration::ZERO, file.write_at(filled(4, 4096), 4096)).await;
            drop(never_waits);
            // The size shows that both are done.
            while file.size().await.unwrap() < 8192 {
                task::yield_now().await;
                clock::sleep(Duration::from_millis(1)).await;
            }
            let read = file.read_at(0, 8192).await.unwrap();
            assert!(read[..4096] == [3; 4096] && read[4096..] == [4; 4096]);
        }
    });
}

/// When an executor ends, glommio frees the memory of writes under way while the kernel may still read it.
#[test]
fn an_executor_ends_only_when_its_writes_have_ended() {
    let folder = test_folder("last-write");
    let path = folder.join("a.log");
    let path_of_shard = path.clone();
    on_one_shard(move || {
        let path = path_of_shard.clone();
        async move {
            let file = File::open(&path, WRITE).await.unwrap();
            for chunk in 0..64 {
                drop(file.write_at(filled(9, 1 << 16), chunk << 16));
            }
        }
    });
    let bytes = std::fs::read(&path).unwrap();
    assert!(bytes.len() == 64 << 16 && bytes.iter().all(|byte| *byte == 9));
}

#[test]
fn a_buffer_that_was_read_can_be_changed_and_written_again() {
    let folder = test_folder("rewrite");
    on_one_shard(move || {
        let path = folder.join("a.log");
        async move {
            let file = File::open(&path, WRITE).await.unwrap();
            file.write_at(filled(1, 4096), 0).await.unwrap();
            let mut page = file.read_at(0, 4096).await.unwrap();
            file.write_at(Rc::new(file.read_at(0, 4096).await.unwrap()), 4096).await.unwrap();
            page[0] = 2;
            file.write_at(Rc::new(page), 8192).await.unwrap();
            let read = file.read_at(4096, 8192).await.unwrap();
            assert_eq!((read[0], read[1], read[4096], read[4097]), (1, 1, 2, 1));
        }
    });
}

#[test]
fn the_memory_of_a_dropped_buffer_is_not_used_again_before_its_write_has_ended() {
    let folder = test_folder("used-again");
    on_one_shard(move || {
        let path = folder.join("a.log");
        async move {
            let file = File::open(&path, WRITE).await.unwrap();
            let mut under_way = Vec::new();
            for round in 0..20 {
                let mut buffer = Buffer::new(8192);
                buffer.fill(round);
                // From here on only the write holds it.
                under_way.push(file.write_at(Rc::new(buffer), u64::from(round) * 8192));
            }
            for write in under_way {
                write.await.unwrap();
            }
            for round in 0..20 {
                let read = file.read_at(u64::from(round) * 8192, 8192).await.unwrap();
                assert!(read.iter().all(|byte| *byte == round));
            }
        }
    });
}

#[test]
fn space_is_allocated_zeroed_and_cut() {
    let folder = test_folder("space");
    on_one_shard(move || {
        let path = folder.join("a.log");
        async move {
            let file = File::open(&path, WRITE).await.unwrap();
            file.allocate(0, 1 << 20).await.unwrap();
            assert_eq!(file.size().await.unwrap(), 1 << 20);
            file.write_at(filled(5, 16384), 0).await.unwrap();
            file.zero_range(4096, 2 << 20).await.unwrap();
            assert_eq!(file.size().await.unwrap(), (2 << 20) + 4096);
            let read = file.read_at(0, 16384).await.unwrap();
            assert!(read[..4096] == [5; 4096] && read[4096..].iter().all(|byte| *byte == 0));
            file.truncate(4096).await.unwrap();
            assert_eq!(file.size().await.unwrap(), 4096);
        }
    });
}

#[test]
fn opening_says_whether_the_file_should_be_there() {
    let folder = test_folder("opening");
    on_one_shard(move || {
        let path = folder.join("a.log");
        async move {
            let missing = File::open(&path, OpenOptions::read()).await.unwrap_err();
            assert!(missing.is_not_found(), "{missing}");
            let new = OpenOptions { create: Create::New, ..WRITE };
            File::open(&path, new).await.unwrap().close().await.unwrap();
            let present = File::open(&path, new).await.unwrap_err();
            assert_eq!(present.source.kind(), std::io::ErrorKind::AlreadyExists, "{present}");
            let nowhere = File::open(&path.join("not-a-folder/b"), WRITE).await.unwrap_err();
            assert!(nowhere.to_string().starts_with("cannot create "), "{nowhere}");
        }
    });
}

#[test]
fn a_file_system_without_direct_io_is_refused_with_the_reason() {
    on_one_shard(|| async {
        let refused = File::open(Path::new("/proc/self/status"), OpenOptions::read()).await.unwrap_err();
        assert!(refused.to_string().contains("refuses direct I/O (O_DIRECT)"), "{refused}");
        let in_memory = file::prepare_device(Path::new("/dev/shm")).await.unwrap_err();
        assert!(in_memory.to_string().contains("lives in memory only"), "{in_memory}");
    });
}

#[test]
fn a_read_of_a_file_opened_for_reading_cannot_write() {
    let folder = test_folder("read-only");
    on_one_shard(move || {
        let path = folder.join("a.log");
        async move {
            file::write_whole_durably(&path, &[1; 4096]).await.unwrap();
            let file = File::open(&path, OpenOptions::read()).await.unwrap();
            let error = file.write_at(filled(1, 4096), 8192).await.unwrap_err();
            assert_eq!((error.operation, error.position), ("write", Some(8192)));
            assert_eq!(error.source.raw_os_error(), Some(rustix::io::Errno::BADF.raw_os_error()), "{error}");
            assert!(!error.is_out_of_space());
        }
    });
}

#[test]
fn small_files_are_replaced_whole_and_read_within_a_bound() {
    let folder = test_folder("small");
    on_one_shard(move || {
        let folder = folder.clone();
        async move {
            let path = folder.join("deep/er/meta");
            file::create_folder_all(path.parent().unwrap()).await.unwrap();
            file::create_folder_all(path.parent().unwrap()).await.unwrap();
            file::write_whole_durably(&path, b"old").await.unwrap();
            file::write_whole_durably(&path, b"new!").await.unwrap();
            assert_eq!(file::read_whole(&path, 4).await.unwrap(), b"new!");
            let too_large = file::read_whole(&path, 3).await.unwrap_err();
            assert!(too_large.to_string().contains("larger than the 3 bytes"), "{too_large}");
            assert!(file::exists(&path).await.unwrap());

            let renamed = folder.join("deep/er/renamed");
            let open = File::open(&path, OpenOptions::read()).await.unwrap();
            file::rename(&path, &renamed).await.unwrap();
            // glommio would look for the old name here.
            assert_eq!(open.size().await.unwrap(), 4);
            file::sync_folder(renamed.parent().unwrap()).await.unwrap();
            let names = file::list_folder(&folder.join("deep/er")).await.unwrap();
            assert_eq!(names.len(), 1);
            assert_eq!((names[0].name.as_str(), names[0].is_folder, names[0].bytes), ("renamed", false, 4));
            file::remove_file(&renamed).await.unwrap();
            assert!(!file::exists(&renamed).await.unwrap());
            file::remove_empty_folder(&folder.join("deep")).await.unwrap();
            file::remove_empty_folder(&folder.join("deep/er")).await.unwrap();
            file::remove_empty_folder(&folder.join("deep/er")).await.unwrap();
            assert!(file::list_folder(&folder.join("deep")).await.unwrap().is_empty());
            file::remove_folder_all(&folder.join("deep")).await.unwrap();
            assert!(file::list_folder(&folder.join("deep")).await.unwrap_err().is_not_found());
            assert!(file::free_bytes(&folder).await.unwrap() > 0);
            let space = file::space_of(&folder).await.unwrap();
            assert!(space.free_bytes <= space.total_bytes, "{space:?}");
        }
    });
}

#[test]
fn a_folder_is_locked_once_and_says_by_whom() {
    let folder = test_folder("lock");
    on_one_shard(move || {
        let folder = folder.clone();
        async move {
            let lock = file::lock_folder(&folder).await.unwrap();
            let held = file::lock_folder(&folder).await.unwrap_err();
            assert!(held.is_locked());
            assert!(
                held.to_string().ends_with(&format!("process {} holds it", std::process::id())),
                "{held}"
            );
            drop(lock);
            file::lock_folder(&folder).await.unwrap();
            assert!(!file::lock_folder(&folder.join("missing")).await.unwrap_err().is_locked());
        }
    });
}

#[test]
fn the_flush_delay_is_added_to_durable_writes_and_flushes_only() {
    const DELAY: Duration = Duration::from_millis(200);
    let folder = test_folder("flush-delay");
    let core = executor::affinity_cores()[0];
    let options = ExecutorOptions { flush_delay: DELAY, ..ExecutorOptions::new("test", vec![core]) };
    let elapsed = executor::run(options, move |_| {
        let folder = folder.clone();
        async move {
            let plain = File::open(&folder.join("plain"), WRITE).await.unwrap();
            let durable = File::open(&folder.join("durable"), WRITE_DURABLY).await.unwrap();
            let began = clock::now();
            plain.write_at(filled(1, 4096), 0).await.unwrap();
            let after_plain = clock::now();
            durable.write_at(filled(1, 4096), 0).await.unwrap();
            let after_durable = clock::now();
            plain.datasync().await.unwrap();
            (after_plain - began, after_durable - after_plain, after_durable.elapsed())
        }
    });
    let (_plain, durable, flush) = elapsed.unwrap()[0];
    assert!(durable >= DELAY && flush >= DELAY);
}

/// Shards remove and make the folders of topics of one name at the same time: the one that is left empty goes, also
/// between another's look at it and what it puts into it.
#[test]
fn a_folder_is_made_though_its_parent_is_removed_whenever_it_is_empty() {
    let folder = test_folder("parent-removed");
    let stop = Arc::new(AtomicBool::new(false));
    let remover = std::thread::spawn({
        let (parent, stop) = (folder.join("topic"), stop.clone());
        move || {
            while !stop.load(Ordering::Relaxed) {
                // Each shard removes its part once: whoever makes the folder again has time to go on.
                if std::fs::remove_dir(&parent).is_ok() {
                    std::thread::sleep(Duration::from_millis(20));
                }
            }
        }
    });
    on_one_shard(move || {
        let child = folder.join("topic/partition");
        async move {
            for _ in 0..30 {
                file::create_folder_all(&child).await.unwrap();
                file::remove_empty_folder(&child).await.unwrap();
            }
        }
    });
    stop.store(true, Ordering::Relaxed);
    remover.join().unwrap();
}
