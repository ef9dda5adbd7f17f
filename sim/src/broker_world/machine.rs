//! The broker's machine: the real server on the simulated disk and network, life after life on the same addresses.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use broker::{Config, Ready, Server, StopHandle};
use runtime::sim::{ProcessId, Unflushed, World};

use super::plan::Plan;

/// The shared port of every life.
pub(super) const SHARED: &str = "127.0.0.1:9092";
/// The port of shard 0; the others follow.
pub(super) const FIRST_SHARD_PORT: u16 = 7401;
/// The simulator takes memory when it is used, so this is only the smallest the configuration allows for so many shards.
const MEMORY_BYTES: usize = 256 << 20;

/// One life of the broker.
pub(super) struct Life {
    pub(super) process: ProcessId,
    stop: StopHandle,
    ready: Arc<Mutex<Option<Ready>>>,
    ended: Rc<RefCell<Vec<Result<(), String>>>>,
    shards: u16,
}

impl Life {
    pub(super) fn start(world: &World, plan: &Plan, shards: u16) -> Life {
        let server = Server::plan(config(plan, shards)).expect("a sound configuration");
        let ready = Arc::new(Mutex::new(None));
        let slot = ready.clone();
        server.on_ready(move |told| *slot.lock().expect("one thread") = Some(told));
        let stop = server.stop_handle();
        let ended: Rc<RefCell<Vec<Result<(), String>>>> = Rc::default();
        let ends = ended.clone();
        let process = world.start_process(shards, move |shard| {
            let (server, ends) = (server.clone(), ends.clone());
            async move {
                let end = server.run_shard(shard).await;
                ends.borrow_mut().push(end.map_err(|error| format!("shard {shard}: {error}")));
            }
        });
        Life { process, stop, ready, ended, shards }
    }

    /// The broker's own words, once it serves.
    pub(super) fn ready(&self) -> Option<Ready> {
        self.ready.lock().expect("one thread").clone()
    }

    /// Why a shard ended, if one did and was not asked to.
    pub(super) fn failure(&self) -> Option<String> {
        self.ended.borrow().iter().find_map(|end| end.as_ref().err().cloned())
    }

    pub(super) fn ask_to_stop(&self) {
        self.stop.stop();
    }

    /// Every shard has ended in good order.
    pub(super) fn has_stopped(&self) -> bool {
        let ended = self.ended.borrow();
        ended.len() == usize::from(self.shards) && ended.iter().all(Result::is_ok)
    }

    pub(super) fn kill(self, world: &World) {
        world.kill(self.process);
    }

    pub(super) fn cut_power(self, world: &World, unflushed: Unflushed) {
        world.power_cut_of(&[self.process], unflushed);
    }
}

fn config(plan: &Plan, shards: u16) -> Config {
    Config {
        data: "/data".into(),
        listen: SHARED.to_owned(),
        shard_ports: FIRST_SHARD_PORT,
        cores: (0..usize::from(shards)).collect(),
        memory_bytes: Some(MEMORY_BYTES),
        ring_files: 2,
        ring_file_bytes: plan.ring_file_bytes,
        journal_write_bytes_max: 32 << 10,
        chunk_bytes_max: 16 << 10,
        bypass_bytes_min: 12 << 10,
        ..Config::default()
    }
}
