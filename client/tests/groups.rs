//! Members of consumer groups, against a real broker.

mod live_broker;

use std::collections::BTreeMap;
use std::time::Duration;

use corelog_client::{
    Client, ClientError, ClientOptions, ConsumerOptions, ErrorCode, GroupConsumer, GroupOptions,
    ProducerOptions, Record,
};
use live_broker::LiveBroker;

const PARTITIONS: u32 = 4;

async fn filled(broker: &LiveBroker, records: u32) -> Client {
    let client = Client::connect(ClientOptions::new(broker.server.clone())).unwrap();
    client.admin().create_topic("orders", PARTITIONS, &[], false).await.unwrap();
    let producer = client.producer("orders", ProducerOptions::default()).await.unwrap();
    for number in 0..records {
        let record = Record::new(number.to_string()).partition(number % PARTITIONS);
        producer.send(record).await.unwrap().await.unwrap();
    }
    producer.close().await;
    client
}

/// Until its end: the member reads what is there.
fn to_the_end() -> GroupOptions {
    let options = GroupOptions::new(["orders"]);
    GroupOptions { consumer: ConsumerOptions { stop_at_end: true, ..options.consumer }, ..options }
}

async fn read_all(member: &mut GroupConsumer) -> BTreeMap<u32, Vec<i64>> {
    let mut read: BTreeMap<u32, Vec<i64>> = BTreeMap::new();
    while let Some(batch) = member.next_batch().await {
        let batch = batch.unwrap().batch;
        for record in batch.records().unwrap() {
            read.entry(batch.partition).or_default().push(record.offset);
        }
    }
    read
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_goes_on_where_its_group_has_come_to() {
    let broker = LiveBroker::start("group-goes-on");
    let client = filled(&broker, 40).await;
    let mut member = client.group_consumer("billing", to_the_end()).await.unwrap();
    let read = read_all(&mut member).await;
    assert_eq!(read, (0..PARTITIONS).map(|partition| (partition, (0..10).collect())).collect());
    member.leave().await.unwrap();
    let producer = client.producer("orders", ProducerOptions::default()).await.unwrap();
    producer.send(Record::new("more").partition(2)).await.unwrap().await.unwrap();
    let mut member = client.group_consumer("billing", to_the_end()).await.unwrap();
    assert_eq!(read_all(&mut member).await, BTreeMap::from([(2, vec![10])]));
    member.leave().await.unwrap();
    let admin = client.admin();
    let listed = admin.list_groups().await.unwrap();
    assert_eq!((listed[0].group.as_str(), listed[0].state.as_str()), ("billing", "Empty"));
    admin.delete_group("billing").await.unwrap();
    let gone = admin.describe_group("billing").await.unwrap_err();
    assert!(matches!(gone, ClientError::Refused { code: ErrorCode::UnknownGroup, .. }), "{gone}");
}

#[tokio::test(flavor = "multi_thread")]
async fn members_share_the_partitions_and_take_over_from_each_other() {
    let broker = LiveBroker::start("group-shares");
    let client = filled(&broker, 400).await;
    let mut first = client.group_consumer("billing", GroupOptions::new(["orders"])).await.unwrap();
    let mut read = Vec::new();
    let batch = first.next_batch().await.unwrap().unwrap().batch;
    read.extend(batch.records().unwrap().iter().map(|record| (batch.partition, record.offset)));
    assert_eq!(first.assigned()["orders"].len(), 4);
    let mut second = client.group_consumer("billing", GroupOptions::new(["orders"])).await.unwrap();
    // Until each has its half, and everything is read.
    let both = async {
        while read.len() < 400 || second.assigned().get("orders").is_none_or(|parts| parts.len() != 2) {
            let (batch, _) = tokio::select! {
                batch = first.next_batch() => (batch, 0),
                batch = second.next_batch() => (batch, 1),
                // So that what they have is looked at, too.
                () = tokio::time::sleep(Duration::from_millis(100)) => continue,
            };
            let batch = batch.unwrap().unwrap().batch;
            read.extend(batch.records().unwrap().iter().map(|record| (batch.partition, record.offset)));
        }
    };
    tokio::time::timeout(Duration::from_secs(60), both).await.expect("shared out, and read");
    assert_eq!(first.assigned()["orders"].len(), 2);
    read.sort_unstable();
    read.dedup();
    assert_eq!(read.len(), 400, "each record was read");
    let described = client.admin().describe_group("billing").await.unwrap();
    assert_eq!((described.members.len(), described.kind.as_str()), (2, "consumer"));
    let refused = client.admin().delete_group("billing").await.unwrap_err();
    assert!(matches!(refused, ClientError::Refused { code: ErrorCode::GroupNotEmpty, .. }), "{refused}");
    first.leave().await.unwrap();
    let all = async {
        while second.assigned()["orders"].len() < 4 {
            let waited = tokio::time::timeout(Duration::from_millis(100), second.next_batch()).await;
            assert!(waited.is_err(), "everything was committed: nothing comes again");
        }
    };
    tokio::time::timeout(Duration::from_secs(60), all).await.expect("the one that stays takes over");
    second.leave().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn offsets_are_set_from_outside_while_nobody_reads() {
    let broker = LiveBroker::start("group-reset");
    let client = filled(&broker, 40).await;
    let admin = client.admin();
    let offset = |offset| wire::native::GroupOffset {
        topic: "orders".to_owned(),
        partition: 1,
        offset,
        leader_epoch: -1,
        metadata: String::new(),
    };
    admin.commit_offsets("billing", vec![offset(7)]).await.unwrap();
    let mut member = client.group_consumer("billing", to_the_end()).await.unwrap();
    let read = read_all(&mut member).await;
    assert_eq!((read[&0].len(), &read[&1]), (10, &vec![7, 8, 9]));
    let refused = admin.commit_offsets("billing", vec![offset(0)]).await.unwrap_err();
    assert!(matches!(refused, ClientError::Refused { code: ErrorCode::MemberFenced, .. }), "{refused}");
    member.leave().await.unwrap();
    admin.commit_offsets("billing", vec![offset(0)]).await.unwrap();
    let committed = admin.committed_offsets("billing").await.unwrap();
    assert_eq!(committed.iter().map(|offset| offset.offset).collect::<Vec<_>>(), [10, 0, 10, 10]);
}
