//! A broker as a whole: planned once, run on every shard, stopped in order.

mod start;
mod stop;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use futures_lite::future;
use runtime::executor::ShardId;
use runtime::mesh::{self, MeshPlan};
use runtime::sync::queue;
use runtime::thread::{self, ShardReceiver, ThreadSender};
use thiserror::Error;
use uuid::Uuid;

use crate::catalog::CatalogLogError;
use crate::config::{Config, ConfigError};
use crate::connection::run_sweeper;
use crate::handlers;
use crate::limits;
use crate::meta::MetaError;
use crate::net::Services;
use crate::shard::{LifeMessage, ShardMessage};

/// Makes plans; see [`Server::plan`].
pub struct Server;

/// A broker that can be run: the same plan is handed to every shard.
#[derive(Clone)]
pub struct ServerPlan {
    config: Config,
    mesh: MeshPlan<ShardMessage>,
    ready: Arc<Mutex<Option<OnReady>>>,
    stop_sender: ThreadSender<()>,
    stop: Arc<Mutex<Option<ShardReceiver<()>>>>,
}

type OnReady = Box<dyn FnOnce(Ready) + Send>;

/// The broker serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ready {
    pub cluster_id: Uuid,
    pub node_id: u32,
    /// Answered by every shard.
    pub shared: SocketAddr,
    /// By shard.
    pub shards: Vec<SocketAddr>,
    /// The last stop left nothing to redo.
    pub was_clean: bool,
    pub partitions: usize,
}

/// Asks a broker to stop, from any thread or shard.
#[derive(Clone)]
pub struct StopHandle(ThreadSender<()>);

impl StopHandle {
    /// Asks once; more often is the same.
    pub fn stop(&self) {
        // Full: it was asked already. Closed: it has stopped.
        let _ = self.0.try_send(());
    }
}

/// Why a shard ended otherwise than asked to.
#[derive(Debug, Error)]
pub enum ServeError {
    #[error(transparent)]
    File(#[from] runtime::file::FileError),
    #[error(transparent)]
    Meta(#[from] MetaError),
    #[error(transparent)]
    Catalog(#[from] CatalogLogError),
    #[error(transparent)]
    Recovery(#[from] storage::RecoveryError),
    #[error(transparent)]
    Store(#[from] storage::StoreError),
    #[error(
        "cannot listen on {address}: {source}. --listen and --shard-ports take other ports, 0 any free ones"
    )]
    Listen { address: String, source: std::io::Error },
    #[error("another shard failed: {reason}")]
    OtherShard { reason: String },
    #[error("stopped, but not in good order: {reason}. The next start recovers")]
    UncleanStop { reason: String },
}

impl Server {
    /// Checks the configuration and lays out a broker.
    pub fn plan(config: Config) -> Result<ServerPlan, ConfigError> {
        let config = config.resolved()?;
        let (stop_sender, stop) = thread::channel(1);
        Ok(ServerPlan {
            mesh: mesh::plan(config.cores.len(), limits::MESH_LANE_MESSAGES),
            config,
            ready: Arc::default(),
            stop_sender,
            stop: Arc::new(Mutex::new(Some(stop))),
        })
    }
}

impl ServerPlan {
    /// The configuration with everything filled in.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Called once, on shard 0, when every shard serves.
    pub fn on_ready(&self, callback: impl FnOnce(Ready) + Send + 'static) {
        *self.ready.lock().expect("nobody panics with it") = Some(Box::new(callback));
    }

    /// Asks this broker to stop.
    pub fn stop_handle(&self) -> StopHandle {
        StopHandle(self.stop_sender.clone())
    }

    /// Runs one shard, from its start to the end of an orderly stop.
    ///
    /// Boxed: a future without a type is compiled here, once. With one, each program that runs a broker compiles all of it.
    pub fn run_shard(self, shard_id: ShardId) -> future::BoxedLocal<Result<(), ServeError>> {
        Box::pin(self.run(shard_id))
    }

    async fn run(self, shard_id: ShardId) -> Result<(), ServeError> {
        let mesh = self.mesh.clone().join(shard_id).await;
        let mut begun = start::begin(&self.config, mesh).await?;
        let shard = begun.shard.clone();
        let (life, mut steps) = queue::channel::<(ShardId, LifeMessage)>(limits::MESH_LANE_MESSAGES);
        for other in shard.lanes.others() {
            let shard = shard.clone();
            drop(runtime::task::spawn(async move { shard.lanes.run_sender(other).await }));
        }
        let early = std::mem::take(&mut begun.early);
        // Ends with the process: it serves the other shards until they have left.
        drop(runtime::task::spawn(handlers::run_mesh(shard.clone(), early, life)));
        if let Some(writer) = begun.writer.take() {
            drop(runtime::task::spawn(writer.run(shard.clone())));
        }
        start::remove_leftovers(&shard, std::mem::take(&mut begun.leftovers));
        let services = Services::new(shard.clone());
        let connections = services.connections.clone();
        drop(shard.services.spawn(run_sweeper(connections.clone())));
        handlers::open_groups(&shard);
        drop(shard.services.spawn(crate::retention::run(shard.clone())));
        begun.doors.open(&services);
        if shard_id == ShardId(0) {
            self.tell_ready(&shard, begun.was_clean);
            self.stop_asked().await;
            stop::lead(&connections, &mut steps).await
        } else {
            stop::follow(&connections, &mut steps).await
        }
    }

    fn tell_ready(&self, shard: &crate::shard::Shard, was_clean: bool) {
        let callback = self.ready.lock().expect("nobody panics with it").take();
        let Some(callback) = callback else { return };
        callback(Ready {
            cluster_id: shard.meta.cluster_id,
            node_id: shard.meta.node_id,
            shared: shard.addresses.shared,
            shards: shard.addresses.shards.clone(),
            was_clean,
            partitions: shard.catalog().partition_count(),
        });
    }

    async fn stop_asked(&self) {
        let stop = self.stop.lock().expect("nobody panics with it").take();
        let Some(stop) = stop else { return future::pending().await };
        // Every sender gone: nobody is left who could ask; this plan holds one, so that is not reached.
        let _ = stop.receive().await;
    }
}
