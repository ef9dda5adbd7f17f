//! Running tests on real executors.

use std::path::PathBuf;

use runtime::executor::{self, ExecutorOptions, ShardId};

/// An empty folder on a disk, for one test.
#[allow(dead_code, reason = "not every test file has files")]
pub(crate) fn test_folder(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// Runs a test on one shard. A failed assertion stops the whole test process, as it would stop a broker.
#[allow(dead_code, reason = "not every test file needs one shard only")]
pub(crate) fn on_one_shard<Fut: Future<Output = ()> + 'static>(
    test: impl Fn() -> Fut + Clone + Send + 'static,
) {
    let core = executor::affinity_cores()[0];
    executor::run(ExecutorOptions::new("test", vec![core]), move |_| test()).unwrap();
}

/// Runs a test on two shards, if there are two cores; else there is nothing to test.
#[allow(dead_code, reason = "not every test file needs two shards")]
pub(crate) fn on_two_shards<Fut: Future<Output = ()> + 'static>(
    test: impl Fn(ShardId) -> Fut + Clone + Send + 'static,
) {
    let cores: Vec<usize> = executor::affinity_cores().into_iter().take(2).collect();
    if cores.len() == 2 {
        executor::run(ExecutorOptions::new("test", cores), test).unwrap();
    }
}
