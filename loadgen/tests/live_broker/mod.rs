//! A broker on real cores, files and sockets, in threads of the test's process.

use std::path::PathBuf;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use broker::{Config, ServeError, Server, StopHandle};

pub(crate) struct LiveBroker {
    /// "host:port" of the shared port.
    pub(crate) server: String,
    data: PathBuf,
    stop: StopHandle,
    shards: Option<JoinHandle<Vec<Result<(), ServeError>>>>,
}

impl LiveBroker {
    /// Two shards on free ports, in a folder under the target directory that is gone with the broker.
    pub(crate) fn start(name: &str) -> Self {
        let data = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&data);
        std::fs::create_dir_all(&data).unwrap();
        let plan = Server::plan(Config {
            data: data.clone(),
            listen: "127.0.0.1:0".to_owned(),
            shard_ports: 0,
            cores: runtime::executor::affinity_cores().into_iter().take(2).collect(),
            memory_bytes: Some(256 << 20),
            ring_files: 2,
            ring_file_bytes: 16 << 20,
            ..Config::default()
        })
        .unwrap();
        let (sender, ready) = mpsc::channel();
        plan.on_ready(move |ready| sender.send(ready.shared).unwrap());
        let stop = plan.stop_handle();
        let options = plan.config().executor_options();
        let shards = std::thread::spawn(move || {
            runtime::executor::run(options, move |shard| plan.clone().run_shard(shard)).unwrap()
        });
        let server = ready.recv_timeout(Duration::from_secs(30)).expect("the broker starts").to_string();
        Self { server, data, stop, shards: Some(shards) }
    }
}

impl Drop for LiveBroker {
    fn drop(&mut self) {
        self.stop.stop();
        if let Some(shards) = self.shards.take() {
            let _ = shards.join();
        }
        let _ = std::fs::remove_dir_all(&self.data);
    }
}
