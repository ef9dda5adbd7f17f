//! Who makes, widens and deletes topics. A name comes again, with another id.

use std::time::Duration;

use corelog_client::{Admin, ClientError, ErrorCode};
use runtime::{clock, random};

use super::clients::{Outside, is_explained, new_client};

/// Topics that stay where the plan does not want them to change.
const STEADY: [&str; 2] = ["steady-0", "steady-1"];
/// Names that come and go.
const NAMES: u64 = 3;
const PARTITIONS_MAX: u32 = 6;

pub(super) async fn live(outside: Outside) {
    let client = new_client();
    let admin = client.admin();
    for name in STEADY {
        while !outside.is_over() && !create(&outside, &admin, name).await {
            clock::sleep(Duration::from_millis(1 + random::below(20))).await;
        }
    }
    while outside.plan.topics_change && !outside.is_over() {
        let name = format!("changing-{}", random::below(NAMES));
        match random::below(5) {
            0 | 1 => drop(create(&outside, &admin, &name).await),
            2 => delete(&outside, &admin, &name).await,
            3 => widen(&outside, &admin, &name).await,
            _ => {}
        }
        clock::sleep(Duration::from_millis(random::below(60))).await;
    }
}

/// True when the topic is there.
async fn create(outside: &Outside, admin: &Admin, name: &str) -> bool {
    let partitions = 1 + random::below(4) as u32;
    match admin.create_topic(name, partitions, &[], false).await {
        Ok(id) => {
            let mut ledger = outside.ledger.borrow_mut();
            let now = ledger.now();
            ledger.topic_is_there(now, id, name, partitions);
            true
        }
        Err(ClientError::Refused { code: ErrorCode::TopicExists, .. }) => true,
        Err(error) => {
            assert!(is_explained(&error), "topic {name} was not made: {error}");
            false
        }
    }
}

async fn delete(outside: &Outside, admin: &Admin, name: &str) {
    let was_doubtful = outside.ledger.borrow().is_doubtful(name);
    outside.ledger.borrow_mut().deletion_asked(name);
    match admin.delete_topic(name).await {
        Ok(()) => outside.ledger.borrow_mut().deletion_answered(name, was_doubtful),
        Err(error) => assert!(is_explained(&error), "topic {name} was not deleted: {error}"),
    }
}

async fn widen(outside: &Outside, admin: &Admin, name: &str) {
    let partitions = 2 + random::below(u64::from(PARTITIONS_MAX - 1)) as u32;
    match admin.alter_topic(name, Some(partitions), &[]).await {
        Ok(()) => outside.ledger.borrow_mut().widened(name, partitions),
        Err(ClientError::Refused { code: ErrorCode::InvalidPartitionCount, .. }) => {}
        Err(error) => assert!(is_explained(&error), "topic {name} was not widened: {error}"),
    }
}
