//! The data folder's first files and the catalog's log through crashes: what was acknowledged is there, in its order, and
//! what is there beyond it is at most the one write that was under way.

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;

use broker::catalog::{Catalog, CatalogLog, CatalogLogError, Command, Record, plan, plan_start};
use broker::meta::Meta;
use runtime::sim::World;
use runtime::{clock, file, random};
use sim::for_seeds;
use uuid::Uuid;

const DATA: &str = "/data";

/// What the outside has been told.
#[derive(Default)]
struct Told {
    cluster_id: Option<Uuid>,
    /// The state after the last acknowledged write, and after the one under way.
    acknowledged: Catalog,
    under_way: Option<Catalog>,
}

type Shared = Rc<RefCell<Told>>;

async fn open(told: &Shared) -> (CatalogLog, Catalog) {
    file::create_folder_all(Path::new(DATA)).await.unwrap();
    let meta = Meta::open(Path::new(DATA), 0).await.unwrap();
    let before = told.borrow_mut().cluster_id.replace(meta.cluster_id);
    assert!(before.is_none_or(|before| before == meta.cluster_id), "the cluster has another id");
    let loaded = CatalogLog::open(Path::new(DATA), clock::wall_ms()).await.unwrap();
    let mut told = told.borrow_mut();
    let found = loaded.catalog;
    // A write gathers several records, and may be cut between them.
    let limit = told.under_way.as_ref().map_or(told.acknowledged.revision(), Catalog::revision);
    assert!(
        (told.acknowledged.revision()..=limit).contains(&found.revision()),
        "revision {} is not within {} to {limit}",
        found.revision(),
        told.acknowledged.revision()
    );
    if found.revision() == told.acknowledged.revision() {
        assert_eq!(found, told.acknowledged);
    }
    if told.under_way.as_ref().is_some_and(|state| state.revision() == found.revision()) {
        assert_eq!(Some(&found), told.under_way.as_ref());
    }
    told.acknowledged = found.clone();
    told.under_way = None;
    (loaded.log, found)
}

fn command() -> Command {
    let name = format!("t{}", random::below(5));
    match random::below(4) {
        0 | 1 => Command::CreateTopic {
            name,
            // Some records take more than a page.
            partitions: random::below(900) as u32,
            settings: Vec::new(),
            id: random::uuid(),
            validate_only: false,
        },
        2 => Command::DeleteTopic { name },
        _ => Command::ReserveProducerIds { count: 10 },
    }
}

async fn live(told: Shared) {
    let (mut log, mut catalog) = open(&told).await;
    let mut changes = vec![plan_start(&catalog, 1 + random::below(4) as u16)];
    loop {
        let mut records = Vec::new();
        for change in changes.drain(..) {
            let record = Record { index: catalog.revision() + 1, term: 0, time_ms: clock::wall_ms(), change };
            catalog.apply(&record).unwrap();
            records.push(record);
        }
        told.borrow_mut().under_way = Some(catalog.clone());
        log.append(&records).await.unwrap();
        {
            let mut told = told.borrow_mut();
            told.acknowledged = catalog.clone();
            told.under_way = None;
        }
        log.rewrite_if_large(&catalog, clock::wall_ms()).await.unwrap();
        if let Ok(planned) = plan(&command(), &catalog) {
            changes.extend(planned.change);
        }
        clock::sleep(std::time::Duration::from_millis(random::below(5))).await;
    }
}

#[test]
fn an_acknowledged_change_survives_every_crash_and_the_first_start_too() {
    for_seeds(300, |seed| {
        let world = World::new(seed);
        let told = Shared::default();
        for _ in 0..6 {
            let shared = told.clone();
            let process = world.start_process(1, move |_| live(shared.clone()));
            let end = world.steps() + world.draw(if seed % 2 == 0 { 60 } else { 6_000 });
            while world.steps() < end && world.step() {}
            if world.draw(2) == 0 {
                world.power_cut();
            } else {
                world.kill(process);
            }
        }
        let last = told.clone();
        assert!(world.run(async move { open(&last).await.1 }, 1_000_000).is_some(), "the start does not end");
    });
}

#[test]
fn rot_before_the_last_record_refuses_the_start_and_changes_nothing() {
    let world = World::new(1);
    let told = Shared::default();
    let shared = told.clone();
    let process = world.start_process(1, move |_| live(shared.clone()));
    assert!(world.run_until(|| told.borrow().acknowledged.revision() > 20, 1_000_000));
    world.kill(process);
    let path = Path::new("/data/catalog/00000000000000000000.catalog");
    for byte in [0, 70, 4096 + 20, 3 * 4096 + 64] {
        let mut content = world.disk().read(path).unwrap();
        content[byte] ^= 1;
        world.disk().overwrite(path, content.clone());
        let opened = async { CatalogLog::open(Path::new(DATA), 0).await.err() };
        let refused = world.run(opened, 1_000_000).expect("it ends");
        assert!(matches!(refused, Some(CatalogLogError::Rot { .. })), "byte {byte}: {refused:?}");
        assert_eq!(world.disk().read(path).unwrap(), content, "nothing was changed");
        content[byte] ^= 1;
        world.disk().overwrite(path, content);
    }
}
