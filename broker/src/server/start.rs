//! The start: shard 0 locks the data folder, reads what is in it and recovers it; then every shard opens its part and
//! listens; then, at once, all serve.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use runtime::clock;
use runtime::executor::ShardId;
use runtime::file;
use runtime::mesh::Mesh;
use runtime::net;
use storage::{PartitionUid, Store};

use super::ServeError;
use crate::catalog::{Catalog, CatalogLog, Record, plan_start};
use crate::catalog_writer::{CatalogWriter, command_queue};
use crate::config::Config;
use crate::meta::Meta;
use crate::net::Doors;
use crate::shard::{Addresses, Lanes, LifeMessage, Shard, ShardMessage, ShardParts, ShardStart};

/// A shard that is about to serve.
pub(super) struct Begun {
    pub(super) shard: Rc<Shard>,
    pub(super) doors: Doors,
    /// Messages of shards that served before this one.
    pub(super) early: Vec<(ShardId, ShardMessage)>,
    /// Shard 0 alone.
    pub(super) writer: Option<CatalogWriter>,
    pub(super) leftovers: Vec<PathBuf>,
    pub(super) was_clean: bool,
    /// Held to the end.
    pub(super) _lock: Option<file::FolderLock>,
}

/// Brings one shard to where it can serve.
pub(super) async fn begin(config: &Config, mesh: Mesh<ShardMessage>) -> Result<Begun, ServeError> {
    let is_first = mesh.shard() == ShardId(0);
    let begun = if is_first { begin_first(config, &mesh).await } else { begin_other(config, &mesh).await };
    if let Err(error) = &begun {
        let told: Vec<ShardId> = if is_first { others(&mesh) } else { vec![ShardId(0)] };
        for other in told {
            let failed = LifeMessage::Failed { reason: error.to_string() };
            // A shard that left knows already.
            let _ = mesh.send(other, ShardMessage::Life(Box::new(failed))).await;
        }
    }
    begun
}

fn others(mesh: &Mesh<ShardMessage>) -> Vec<ShardId> {
    (0..mesh.shards()).map(|index| ShardId(index as u16)).filter(|shard| *shard != mesh.shard()).collect()
}

async fn tell(mesh: &Mesh<ShardMessage>, to: ShardId, message: LifeMessage) -> Result<(), ServeError> {
    let sent = mesh.send(to, ShardMessage::Life(Box::new(message))).await;
    sent.map_err(|_| ServeError::OtherShard { reason: format!("shard {to} is gone") })
}

/// The next step of the start; other messages are kept for later.
async fn next_step(
    mesh: &Mesh<ShardMessage>,
    early: &mut Vec<(ShardId, ShardMessage)>,
) -> Result<(ShardId, LifeMessage), ServeError> {
    loop {
        match mesh.receive().await {
            Some((from, ShardMessage::Life(step))) => match *step {
                LifeMessage::Failed { reason } => return Err(ServeError::OtherShard { reason }),
                step => return Ok((from, step)),
            },
            Some(other) => early.push(other),
            None => return Err(ServeError::OtherShard { reason: "all other shards are gone".to_owned() }),
        }
    }
}

async fn begin_first(config: &Config, mesh: &Mesh<ShardMessage>) -> Result<Begun, ServeError> {
    let own = mesh.shard();
    let shared = resolve(&config.listen).await?;
    for address in
        std::iter::once(shared).chain((0..config.shards()).map(|shard| own_address(config, shared, shard)))
    {
        if address.port() != 0 {
            net::check_port_is_free(address).map_err(|source| listen_error(address, source))?;
        }
    }
    file::create_folder_all(&config.data).await?;
    let lock = file::lock_folder(&config.data).await?;
    let meta = Meta::open(&config.data, config.node_id).await?;
    let FirstState { catalog, log, mut recovery, leftovers } = open_data(config).await?;
    let mut recoveries = std::mem::take(&mut recovery.shards).into_iter();
    let first = recoveries.next().expect("one recovery for each shard");
    let store = Store::open(config.storage_options(), own, first).await?;
    let doors = bind(shared, own_address(config, shared, 0))?;
    let (shared, first_own) = doors.addresses().map_err(|source| listen_error(shared, source))?;
    for (other, recovery) in others(mesh).into_iter().zip(recoveries) {
        let start = ShardStart { meta, recovery, catalog: catalog.clone(), shared };
        tell(mesh, other, LifeMessage::Begin(Box::new(start))).await?;
    }
    let mut early = Vec::new();
    let mut shards = vec![first_own; mesh.shards()];
    for _ in 1..mesh.shards() {
        match next_step(mesh, &mut early).await? {
            (from, LifeMessage::Listening { own }) => shards[from.index()] = own,
            (from, _) => panic!("shard {from} is at another step of the start"),
        }
    }
    let addresses = Addresses { shared, shards };
    for other in others(mesh) {
        tell(mesh, other, LifeMessage::Serve(addresses.clone())).await?;
    }
    let (sender, commands) = command_queue();
    let writer = CatalogWriter { log, catalog: catalog.clone(), commands };
    let shard = Shard::new(ShardParts {
        id: own,
        config: config.clone(),
        meta,
        addresses,
        store,
        catalog,
        lanes: Lanes::new(mesh.clone(), config.forwarded_bytes_max()),
        commands: Some(sender),
    });
    let was_clean = recovery.clean;
    Ok(Begun { shard, doors, early, writer: Some(writer), leftovers, was_clean, _lock: Some(lock) })
}

async fn begin_other(config: &Config, mesh: &Mesh<ShardMessage>) -> Result<Begun, ServeError> {
    let own = mesh.shard();
    let mut early = Vec::new();
    let (_, LifeMessage::Begin(start)) = next_step(mesh, &mut early).await? else {
        panic!("shard 0 begins with another step of the start");
    };
    let ShardStart { meta, recovery, catalog, shared } = *start;
    let store = Store::open(config.storage_options(), own, recovery).await?;
    let doors = bind(shared, own_address(config, shared, own.0))?;
    let (_, own_address) = doors.addresses().map_err(|source| listen_error(shared, source))?;
    tell(mesh, ShardId(0), LifeMessage::Listening { own: own_address }).await?;
    let (_, LifeMessage::Serve(addresses)) = next_step(mesh, &mut early).await? else {
        panic!("shard 0 goes on with another step of the start");
    };
    let lanes = Lanes::new(mesh.clone(), config.forwarded_bytes_max());
    let parts = ShardParts {
        id: own,
        config: config.clone(),
        meta,
        addresses,
        store,
        catalog,
        lanes,
        commands: None,
    };
    let shard = Shard::new(parts);
    Ok(Begun { shard, doors, early, writer: None, leftovers: Vec::new(), was_clean: true, _lock: None })
}

/// What shard 0 reads.
struct FirstState {
    catalog: Catalog,
    log: CatalogLog,
    recovery: storage::Recovery,
    leftovers: Vec<PathBuf>,
}

/// Catalog, then recovery with the placement of this start, then the record of the start: a start that is cut off leaves
/// the catalog as it was, and the next one comes to the same.
async fn open_data(config: &Config) -> Result<FirstState, ServeError> {
    let loaded = CatalogLog::open(&config.data, clock::wall_ms()).await?;
    let (mut catalog, mut log) = (loaded.catalog, loaded.log);
    let mut options = config.storage_options();
    options.rings_before = catalog.rings_before();
    let change = plan_start(&catalog, config.shards());
    let record = Record { index: catalog.revision() + 1, term: 0, time_ms: clock::wall_ms(), change };
    let applied = catalog.apply(&record);
    applied.unwrap_or_else(|error| panic!("the start was planned wrongly: {error}"));
    let specs = catalog.partition_specs();
    let uid_limit = PartitionUid(catalog.next_uid());
    let recovery = storage::recover(&options, config.shards(), &specs, uid_limit).await?;
    log.append(std::slice::from_ref(&record)).await?;
    storage::remove_spare_rings(&options, config.shards()).await?;
    log.rewrite_if_large(&catalog, clock::wall_ms()).await?;
    let leftovers = find_leftovers(&config.data, &catalog).await?;
    Ok(FirstState { catalog, log, recovery, leftovers })
}

/// Folders of partitions that the catalog no longer has: their deletion was cut off.
async fn find_leftovers(data: &Path, catalog: &Catalog) -> Result<Vec<PathBuf>, ServeError> {
    let topics = data.join("topics");
    let mut leftovers = Vec::new();
    if !file::exists(&topics).await? {
        return Ok(leftovers);
    }
    let known: HashSet<u64> =
        catalog.topics().flat_map(|topic| &topic.partitions).map(|partition| partition.uid.0).collect();
    for topic in file::list_folder(&topics).await?.into_iter().filter(|entry| entry.is_folder) {
        let folder = topics.join(&topic.name);
        for partition in file::list_folder(&folder).await? {
            let name = partition.name.trim_end_matches(".deleted");
            let uid = name.rsplit_once('-').and_then(|(_, uid)| uid.parse::<u64>().ok());
            if uid.is_some_and(|uid| uid < catalog.next_uid() && !known.contains(&uid)) {
                leftovers.push(folder.join(&partition.name));
            }
        }
    }
    Ok(leftovers)
}

/// Removes them beside the first requests.
pub(super) fn remove_leftovers(shard: &Rc<Shard>, leftovers: Vec<PathBuf>) {
    if leftovers.is_empty() {
        return;
    }
    // A gate that closes already leaves them to the next start.
    drop(shard.services.spawn(async move {
        for folder in leftovers {
            if let Err(error) = file::remove_folder_all(&folder).await {
                tracing::error!(%error, "cannot remove what is left of a deleted partition");
            }
        }
    }));
}

async fn resolve(listen: &str) -> Result<SocketAddr, ServeError> {
    if let Ok(address) = listen.parse() {
        return Ok(address);
    }
    let resolved = net::resolve(listen).await;
    let addresses = resolved.map_err(|source| ServeError::Listen { address: listen.to_owned(), source })?;
    Ok(*addresses.first().expect("a resolved name has an address"))
}

fn own_address(config: &Config, shared: SocketAddr, shard: u16) -> SocketAddr {
    let port = if config.shard_ports == 0 { 0 } else { config.shard_ports + shard };
    SocketAddr::new(shared.ip(), port)
}

fn bind(shared: SocketAddr, own: SocketAddr) -> Result<Doors, ServeError> {
    Doors::bind(shared, own).map_err(|source| listen_error(own, source))
}

fn listen_error(address: SocketAddr, source: std::io::Error) -> ServeError {
    ServeError::Listen { address: address.to_string(), source }
}
