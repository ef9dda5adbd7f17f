//! The program of rust-rdkafka: a future producer, a stream consumer and the admin client.

mod admin;
mod groups;
mod kit;
mod topics;

use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{Offset, TopicPartitionList};
use tokio::time::{Instant, timeout_at};

use kit::{COUNT, Kit, Outcome, PARTITIONS, Record, until};

/// For an answer to one request.
pub(crate) const REQUEST_TIME_MAX: Duration = Duration::from_secs(20);
/// For all that a read is to find.
const READ_TIME_MAX: Duration = Duration::from_secs(30);

pub(crate) struct Program {
    kit: Kit,
    admin: AdminClient<DefaultClientContext>,
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(run());
}

async fn run() {
    let kit = Kit::new("rust-rdkafka");
    let admin =
        ClientConfig::new().set("bootstrap.servers", &kit.bootstrap).create().expect("an admin client");
    let program = Program { kit, admin };
    let (kit, program) = (&program.kit, &program);
    kit.check("core", "metadata", topics::metadata(program)).await;
    kit.check("core", "topic created", topics::created(program)).await;
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let name = format!("round trip, {codec}");
        kit.check("core", &name, topics::round_trip(program, &[("compression.type", codec)])).await;
    }
    let idempotent = &[("enable.idempotence", "true"), ("compression.type", "lz4")];
    kit.check("core", "round trip, idempotent", topics::round_trip(program, idempotent)).await;
    kit.check("core", "round trip, acks=1", topics::round_trip(program, &[("acks", "1")])).await;
    kit.check("core", "round trip, acks=0", topics::round_trip(program, &[("acks", "0")])).await;
    kit.check("core", "read from the middle", topics::from_the_middle(program)).await;
    kit.check("core", "read with small fetches", topics::small_fetches(program)).await;
    kit.check("core", "null keys, values and headers", topics::nulls(program)).await;
    kit.check("core", "a record of 900 kB", topics::large(program)).await;
    kit.check("core", "a record that is too large", topics::too_large(program)).await;
    kit.check("core", "offsets, earliest and latest", topics::offsets_listed(program)).await;
    kit.check("core", "offsets by time", topics::offsets_by_time(program)).await;
    kit.check("core", "a read that waits", topics::waiting_read(program)).await;
    kit.check("core", "topic created by producing", topics::created_by_producing(program)).await;
    kit.check("core", "topic deleted", topics::deleted(program)).await;
    for strategy in ["range", "cooperative-sticky"] {
        let name = format!("group, {strategy}");
        let classic = [
            ("partition.assignment.strategy", strategy),
            ("session.timeout.ms", "10000"),
            ("heartbeat.interval.ms", "500"),
        ];
        kit.check("group", &name, groups::shares(program, &classic)).await;
    }
    let consumer = &[("group.protocol", "consumer")];
    kit.check("group848", "group, consumer protocol", groups::shares(program, consumer)).await;
    kit.check("group", "group listed, committed for, deleted", groups::listed(program)).await;
    kit.check("configs", "configs", admin::configs(program)).await;
    kit.check("admin", "partitions added", admin::partitions_added(program)).await;
    kit.check("delete-records", "records deleted", admin::records_deleted(program)).await;
    kit.end()
}

impl Program {
    fn config(&self, settings: &[(&str, &str)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.kit.bootstrap);
        for (name, value) in settings {
            config.set(*name, *value);
        }
        config
    }

    pub(crate) fn producer(&self, settings: &[(&str, &str)]) -> Outcome<FutureProducer> {
        Ok(self.config(settings).create()?)
    }

    /// Settings given override what is set here.
    pub(crate) fn consumer(&self, settings: &[(&str, &str)]) -> Outcome<StreamConsumer> {
        // librdkafka asks for a group's name even where no group is used.
        let unused = self.kit.name("unused");
        let mut all = vec![("group.id", unused.as_str()), ("enable.auto.commit", "false")];
        all.extend(settings);
        Ok(self.config(&all).create()?)
    }

    /// Makes a topic, and waits until every partition is led: a broker may know of one before, and what is sent then may
    /// be overtaken by what is sent next.
    pub(crate) async fn create(&self, purpose: &str, partitions: i32) -> Outcome<String> {
        let name = self.kit.name(purpose);
        let topic = NewTopic::new(&name, partitions, TopicReplication::Fixed(1));
        for created in self.admin.create_topics([&topic], &options()).await? {
            created.map_err(|(name, code)| format!("{name} is not created: {code}"))?;
        }
        self.until_led(&name, partitions).await?;
        Ok(name)
    }

    pub(crate) async fn until_led(&self, topic: &str, partitions: i32) -> Outcome {
        let consumer = self.consumer(&[])?;
        let led = |partition| consumer.fetch_watermarks(topic, partition, REQUEST_TIME_MAX).is_ok();
        until("every partition is led", async || Ok((0..partitions).all(led))).await
    }

    /// Makes a topic with all the records.
    pub(crate) async fn create_full(&self, purpose: &str) -> Outcome<String> {
        let topic = self.create(purpose, PARTITIONS).await?;
        self.send(&topic, &self.kit.records(), &[]).await?;
        Ok(topic)
    }

    /// Sends all, then waits for what came of each.
    pub(crate) async fn send(&self, topic: &str, records: &[Record], settings: &[(&str, &str)]) -> Outcome {
        let producer = self.producer(settings)?;
        let mut deliveries = Vec::new();
        for record in records {
            let mut headers = OwnedHeaders::new();
            for (key, value) in &record.headers {
                headers = headers.insert(Header { key, value: value.as_deref() });
            }
            let mut sent = FutureRecord::<[u8], [u8]>::to(topic).partition(record.partition).headers(headers);
            sent.key = record.key.as_deref();
            sent.payload = record.value.as_deref();
            sent.timestamp = Some(record.time_ms);
            deliveries.push(producer.send_result(sent).map_err(|(error, _)| error)?);
        }
        for delivery in deliveries {
            delivery.await?.map_err(|(error, _)| error)?;
        }
        Ok(())
    }

    /// Wants all partitions, read at `from`, to have every record from offset `first` on, and no more.
    pub(crate) async fn verify(
        &self,
        topic: &str,
        from: Offset,
        first: i64,
        settings: &[(&str, &str)],
    ) -> Outcome {
        let consumer = self.consumer(settings)?;
        consumer.assign(&places(topic, PARTITIONS, from)?)?;
        let mut reads = read(&consumer, COUNT - first as usize * PARTITIONS as usize).await?;
        reads.extend(read_for(&consumer, 1, Duration::from_millis(300)).await?);
        self.kit.verify(&reads, first)
    }
}

pub(crate) fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(REQUEST_TIME_MAX)).operation_timeout(Some(REQUEST_TIME_MAX))
}

/// The same offset in each partition.
pub(crate) fn places(topic: &str, partitions: i32, offset: Offset) -> Outcome<TopicPartitionList> {
    let mut places = TopicPartitionList::new();
    for partition in 0..partitions {
        places.add_partition_offset(topic, partition, offset)?;
    }
    Ok(places)
}

/// A consumer of the only partition of a topic, from its start.
pub(crate) fn reader_of_one(
    program: &Program,
    topic: &str,
    settings: &[(&str, &str)],
) -> Outcome<StreamConsumer> {
    let consumer = program.consumer(settings)?;
    consumer.assign(&places(topic, 1, Offset::Beginning)?)?;
    Ok(consumer)
}

async fn next(consumer: &StreamConsumer) -> Outcome<Record> {
    let message = consumer.recv().await?;
    let headers = message.headers().map(|headers| {
        headers.iter().map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec))).collect()
    });
    Ok(Record {
        partition: message.partition(),
        offset: message.offset(),
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().map(<[u8]>::to_vec),
        headers: headers.unwrap_or_default(),
        time_ms: message.timestamp().to_millis().ok_or("a record without a time")?,
    })
}

/// Reads until there are `count` records.
pub(crate) async fn read(consumer: &StreamConsumer, count: usize) -> Outcome<Vec<Record>> {
    let reads = read_for(consumer, count, READ_TIME_MAX).await?;
    if reads.len() < count {
        return Err(format!("{} of {count} records read", reads.len()).into());
    }
    Ok(reads)
}

/// Reads for a time and does not mind if fewer come.
pub(crate) async fn read_for(
    consumer: &StreamConsumer,
    count: usize,
    time: Duration,
) -> Outcome<Vec<Record>> {
    let end = Instant::now() + time;
    let mut reads = Vec::new();
    while reads.len() < count {
        match timeout_at(end, next(consumer)).await {
            Ok(record) => reads.push(record?),
            Err(_) => break,
        }
    }
    Ok(reads)
}
