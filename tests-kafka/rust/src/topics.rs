//! Topics, and what is written to them and read back.

use std::time::Duration;

use rdkafka::Offset;
use rdkafka::admin::{NewTopic, TopicReplication};
use rdkafka::consumer::Consumer;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::FutureRecord;

use crate::kit::{COUNT, Outcome, PARTITIONS, PER_PARTITION, Record, code_of, refused, same, until};
use crate::{Program, REQUEST_TIME_MAX, options, places, read, read_for, reader_of_one};

pub(crate) async fn metadata(program: &Program) -> Outcome {
    let client = program.admin.inner();
    let metadata = client.fetch_metadata(None, REQUEST_TIME_MAX)?;
    same("no brokers", &metadata.brokers().is_empty(), &false)?;
    same("a cluster id", &client.fetch_cluster_id(REQUEST_TIME_MAX).is_some(), &true)
}

pub(crate) async fn created(program: &Program) -> Outcome {
    let topic = program.create("created", PARTITIONS).await?;
    let metadata = program.admin.inner().fetch_metadata(Some(&topic), REQUEST_TIME_MAX)?;
    let listed = &metadata.topics()[0];
    same("the error of the topic", &listed.error().is_none(), &true)?;
    let mut numbers: Vec<i32> = listed.partitions().iter().map(|partition| partition.id()).collect();
    numbers.sort_unstable();
    same("its partitions", &numbers, &(0..PARTITIONS).collect())?;
    for partition in listed.partitions() {
        let is_broker = metadata.brokers().iter().any(|broker| broker.id() == partition.leader());
        same(&format!("the leader of {} is a broker", partition.id()), &is_broker, &true)?;
    }
    let again = create_outcome(program, &topic).await?;
    refused("the same topic once more", again, RDKafkaErrorCode::TopicAlreadyExists)?;
    let bad = create_outcome(program, "no/such name").await?;
    refused("a bad name", bad, RDKafkaErrorCode::InvalidTopic)
}

async fn create_outcome(program: &Program, name: &str) -> Outcome<Result<String, RDKafkaErrorCode>> {
    let topic = NewTopic::new(name, 1, TopicReplication::Fixed(1));
    let outcomes = program.admin.create_topics([&topic], &options()).await?;
    let outcome = outcomes.into_iter().next().ok_or("no outcome")?;
    Ok(outcome.map_err(|(_, code)| code))
}

pub(crate) async fn round_trip(program: &Program, settings: &[(&str, &str)]) -> Outcome {
    let topic = program.create("trip", PARTITIONS).await?;
    program.send(&topic, &program.kit.records(), settings).await?;
    program.verify(&topic, Offset::Beginning, 0, &[]).await
}

pub(crate) async fn from_the_middle(program: &Program) -> Outcome {
    let topic = program.create_full("middle").await?;
    program.verify(&topic, Offset::Offset(123), 123, &[]).await
}

pub(crate) async fn small_fetches(program: &Program) -> Outcome {
    let topic = program.create_full("small").await?;
    let small =
        [("fetch.message.max.bytes", "1000"), ("fetch.max.bytes", "2000"), ("message.max.bytes", "2000")];
    program.verify(&topic, Offset::Beginning, 0, &small).await
}

pub(crate) async fn nulls(program: &Program) -> Outcome {
    let topic = program.create("nulls", 1).await?;
    let producer = program.producer(&[])?;
    let gone = FutureRecord::<[u8], [u8]>::to(&topic).key(b"gone");
    let empty = FutureRecord::<[u8], [u8]>::to(&topic).payload(b"");
    let headers = OwnedHeaders::new()
        .insert(Header { key: "null", value: None::<&[u8]> })
        .insert(Header { key: "same", value: Some("1") })
        .insert(Header { key: "same", value: Some("2") });
    let headed = FutureRecord::<[u8], [u8]>::to(&topic).key(b"").payload(b"v").headers(headers);
    for record in [gone, empty, headed] {
        producer.send(record, REQUEST_TIME_MAX).await.map_err(|(error, _)| error)?;
    }
    let reads = read(&reader_of_one(program, &topic, &[])?, 3).await?;
    let parts: Vec<_> = reads.iter().map(|read| (read.key.as_deref(), read.value.as_deref())).collect();
    let expected: [(Option<&[u8]>, Option<&[u8]>); 3] =
        [(Some(b"gone"), None), (None, Some(b"")), (Some(b""), Some(b"v"))];
    same("keys and values", parts.as_slice(), expected.as_slice())?;
    let header = |key: &str, value: Option<&[u8]>| (key.to_owned(), value.map(<[u8]>::to_vec));
    let expected = vec![header("null", None), header("same", Some(b"1")), header("same", Some(b"2"))];
    same("the headers", &reads[2].headers, &expected)
}

pub(crate) async fn large(program: &Program) -> Outcome {
    let topic = program.create("large", 1).await?;
    // Numbers that compress badly.
    let noise: Vec<u8> =
        (0..225_000_u32).flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let sent = Record { value: Some(noise), time_ms: program.kit.time_ms_of(0, 0), ..Record::default() };
    program.send(&topic, std::slice::from_ref(&sent), &[]).await?;
    let reads = read(&reader_of_one(program, &topic, &[])?, 1).await?;
    same("the value came back", &(reads[0].value == sent.value), &true)
}

pub(crate) async fn too_large(program: &Program) -> Outcome {
    let topic = program.create("toolarge", 1).await?;
    let producer = program.producer(&[("message.max.bytes", "10000000")])?;
    let value = vec![b'x'; 9_000_000];
    let record = FutureRecord::<[u8], [u8]>::to(&topic).payload(&value);
    let outcome = producer.send(record, REQUEST_TIME_MAX).await.map_err(|(error, _)| code_of(error));
    refused("a record of 9 MB", outcome, RDKafkaErrorCode::MessageSizeTooLarge)
}

pub(crate) async fn offsets_listed(program: &Program) -> Outcome {
    let topic = program.create_full("offsets").await?;
    let consumer = program.consumer(&[])?;
    for partition in 0..PARTITIONS {
        let found = consumer.fetch_watermarks(&topic, partition, REQUEST_TIME_MAX)?;
        same(&format!("earliest and latest of {partition}"), &found, &(0, PER_PARTITION))?;
    }
    Ok(())
}

pub(crate) async fn offsets_by_time(program: &Program) -> Outcome {
    let topic = program.create_full("times").await?;
    let consumer = program.consumer(&[])?;
    for (after_ms, offset) in [(0, 250), (-500, 250), (1, 251)] {
        let mut asked = places(&topic, PARTITIONS, Offset::Beginning)?;
        for partition in 0..PARTITIONS {
            let time_ms = program.kit.time_ms_of(partition, 250) + after_ms;
            asked.set_partition_offset(&topic, partition, Offset::Offset(time_ms))?;
        }
        let found = consumer.offsets_for_times(asked, REQUEST_TIME_MAX)?;
        let offsets: Vec<Offset> = found.elements().iter().map(|place| place.offset()).collect();
        let expected = vec![Offset::Offset(offset); PARTITIONS as usize];
        same(&format!("the offsets {after_ms} ms after record 250"), &offsets, &expected)?;
    }
    let late = places(&topic, 1, Offset::Offset(program.kit.record(COUNT).time_ms))?;
    let found = consumer.offsets_for_times(late, REQUEST_TIME_MAX)?;
    same("the offset after the last", &found.elements()[0].offset(), &Offset::End)
}

pub(crate) async fn waiting_read(program: &Program) -> Outcome {
    let topic = program.create("waiting", 1).await?;
    let consumer = reader_of_one(program, &topic, &[("fetch.wait.max.ms", "10000")])?;
    let before = read_for(&consumer, 1, Duration::from_secs(1)).await?;
    same("what is there before", &before, &Vec::new())?;
    let sent = Record { value: Some(b"at last".to_vec()), ..program.kit.record(0) };
    program.send(&topic, std::slice::from_ref(&sent), &[]).await?;
    let reads = read_for(&consumer, 1, Duration::from_secs(5)).await?;
    same("what a read that waits was woken by", &reads, &vec![sent])
}

pub(crate) async fn created_by_producing(program: &Program) -> Outcome {
    let topic = program.kit.name("auto");
    program.send(&topic, &[program.kit.record(0)], &[]).await?;
    let metadata = program.admin.inner().fetch_metadata(Some(&topic), REQUEST_TIME_MAX)?;
    let listed = &metadata.topics()[0];
    same(
        "its error and its partitions",
        &(listed.error().is_none(), listed.partitions().is_empty()),
        &(true, false),
    )
}

pub(crate) async fn deleted(program: &Program) -> Outcome {
    let topic = program.create_full("deleted").await?;
    delete_outcome(program, &topic).await?.map_err(|code| format!("the topic is not deleted: {code}"))?;
    until("the topic is gone", async || {
        let metadata = program.admin.inner().fetch_metadata(None, REQUEST_TIME_MAX)?;
        Ok(metadata.topics().iter().all(|listed| listed.name() != topic))
    })
    .await?;
    let again = delete_outcome(program, &topic).await?;
    refused("deleting it once more", again, RDKafkaErrorCode::UnknownTopicOrPartition)
}

async fn delete_outcome(program: &Program, topic: &str) -> Outcome<Result<String, RDKafkaErrorCode>> {
    let outcomes = program.admin.delete_topics(&[topic], &options()).await?;
    let outcome = outcomes.into_iter().next().ok_or("no outcome")?;
    Ok(outcome.map_err(|(_, code)| code))
}
