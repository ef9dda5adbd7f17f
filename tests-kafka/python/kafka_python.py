"""kafka-python."""

import time

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, OffsetSpec
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from kafka.structs import OffsetAndMetadata

from kit import CODECS, COUNT, LARGE_VALUE, PARTITIONS, Kit, Read, refused, same, until

kit = Kit("kafka-python")
server = {"bootstrap_servers": kit.bootstrap}
admin = KafkaAdminClient(**server)


def create(purpose: str, partitions: int = PARTITIONS, **more) -> str:
    topic = kit.name(purpose)
    admin.create_topics({topic: {"num_partitions": partitions} | more}, wait_for_metadata=True)
    until_led(topic, partitions)
    return topic


def until_led(topic: str, partitions: int):
    """A broker may know of a partition before it leads it; what is sent then may be overtaken by what is sent next."""
    admin.list_partition_offsets(dict.fromkeys(partitions_of(topic)[:partitions], OffsetSpec.LATEST))


def partitions_of(topic: str) -> list[TopicPartition]:
    return [TopicPartition(topic, partition) for partition in range(PARTITIONS)]


def send(topic: str, records, **config):
    with KafkaProducer(**server, linger_ms=5, **config) as producer:
        sent = [
            producer.send(
                topic,
                key=record.key,
                value=record.value,
                headers=record.headers,
                partition=record.partition,
                timestamp_ms=record.timestamp_ms,
            )
            for record in records
        ]
        producer.flush(30)
        for future in sent:
            future.get(timeout=30)


def send_one(topic: str, **parts):
    with KafkaProducer(**server) as producer:
        return producer.send(topic, **parts).get(timeout=30)


def reader(**config) -> KafkaConsumer:
    return KafkaConsumer(**server, enable_auto_commit=False, **config)


def poll(consumer: KafkaConsumer, count: int, seconds: float = 30) -> list[Read]:
    reads = []
    end = time.monotonic() + seconds
    while len(reads) < count and time.monotonic() < end:
        for messages in consumer.poll(timeout_ms=300).values():
            for message in messages:
                headers = [(name, value) for name, value in message.headers]
                reads.append(
                    Read(message.partition, message.offset, message.key, message.value, headers, message.timestamp)
                )
    return reads


def read_all(topic: str, first_offset: int = 0, count: int = COUNT, **config) -> list[Read]:
    consumer = reader(**config)
    consumer.assign(partitions_of(topic))
    if first_offset == 0:
        consumer.seek_to_beginning()
    else:
        for partition in partitions_of(topic):
            consumer.seek(partition, first_offset)
    reads = poll(consumer, count)
    # What comes after the last one would be one too many.
    reads += poll(consumer, 1, 0.3)
    consumer.close()
    return reads


def read_one_partition(topic: str, count: int) -> list[Read]:
    consumer = reader()
    consumer.assign([TopicPartition(topic, 0)])
    consumer.seek_to_beginning()
    reads = poll(consumer, count)
    consumer.close()
    return reads


def metadata():
    described = admin.describe_cluster()
    if not described["brokers"] or not described["cluster_id"]:
        raise AssertionError(f"{described}")


def topic_created():
    topic = create("created")
    if topic not in admin.list_topics():
        raise AssertionError("it is not listed")
    (described,) = admin.describe_topics([topic])
    same("its partitions", sorted(one["partition_index"] for one in described["partitions"]), list(range(PARTITIONS)))
    consumer = reader()
    same("what a consumer sees", consumer.partitions_for_topic(topic), set(range(PARTITIONS)))
    consumer.close()
    refused("the same topic once more", "TopicAlreadyExistsError", admin.create_topics, {topic: {"num_partitions": 1}})
    refused("a bad name", "InvalidTopicError", admin.create_topics, {"no/such name": {"num_partitions": 1}})


def round_trip(config):
    topic = create("trip")
    send(topic, kit.records(), **config)
    kit.verify(read_all(topic))


def from_the_middle():
    topic = create("middle")
    send(topic, kit.records())
    kit.verify(read_all(topic, 123, COUNT - 123 * PARTITIONS), first_offset=123)


def small_fetches():
    topic = create("small")
    send(topic, kit.records())
    kit.verify(read_all(topic, fetch_max_bytes=2000, max_partition_fetch_bytes=1000))


def nulls():
    topic = create("nulls", 1)
    send_one(topic, key=b"gone", value=None)
    send_one(topic, key=None, value=b"")
    send_one(topic, key=b"", value=b"v", headers=[("empty", b""), ("same", b"1"), ("same", b"2")])
    found = [(read.key, read.value, read.headers) for read in read_one_partition(topic, 3)]
    expected = [(b"gone", None, []), (None, b"", []), (b"", b"v", [("empty", b""), ("same", b"1"), ("same", b"2")])]
    same("the records", found, expected)


def large():
    topic = create("large", 1)
    send_one(topic, value=LARGE_VALUE)
    same("the value came back", [read.value == LARGE_VALUE for read in read_one_partition(topic, 1)], [True])


def too_large():
    topic = create("toolarge", 1)
    with KafkaProducer(**server, max_request_size=10_000_000) as producer:
        sent = producer.send(topic, value=b"x" * 9_000_000)
        refused("a record of 9 MB", "MessageSizeTooLargeError", lambda: sent.get(timeout=30))


def larger_than_the_topic_takes():
    topic = create("limited", 1, configs={"max.message.bytes": "100000"})
    refused("a record of 200 kB", "MessageSizeTooLargeError", lambda: send_one(topic, value=b"x" * 200_000))
    same("the offset of one of 90 kB", send_one(topic, value=b"x" * 90_000).offset, 0)


def compacted(codec: str | None):
    topic = create("compacted", 1, configs={"cleanup.policy": "compact"})
    with KafkaProducer(**server, compression_type=codec) as producer:
        sent = lambda **parts: producer.send(topic, **parts).get(timeout=30)  # noqa: E731
        same("the offset of one with a key", sent(key=b"key", value=b"x" * 1000).offset, 0)
        refused("a record without a key", "InvalidRecordError", lambda: sent(value=b"x" * 1000))


def offsets_listed():
    topic = create("offsets")
    send(topic, kit.records())
    partitions = partitions_of(topic)
    last = COUNT // PARTITIONS
    consumer = reader()
    same("earliest", consumer.beginning_offsets(partitions), dict.fromkeys(partitions, 0))
    same("latest", consumer.end_offsets(partitions), dict.fromkeys(partitions, last))
    consumer.close()
    for spec, expected in [
        (OffsetSpec.EARLIEST, 0),
        (OffsetSpec.LATEST, last),
        (OffsetSpec.MAX_TIMESTAMP, last - 1),
    ]:
        found = admin.list_partition_offsets(dict.fromkeys(partitions, spec))
        same(f"the offsets of {spec}", [found[partition].offset for partition in partitions], [expected] * PARTITIONS)


def offsets_by_time():
    topic = create("times")
    send(topic, kit.records())
    consumer = reader()
    for after_ms, offset in [(0, 250), (-500, 250), (1, 251)]:
        wanted = {
            partition: kit.time_of_offset(partition.partition, 250) + after_ms for partition in partitions_of(topic)
        }
        found = [one.offset for one in consumer.offsets_for_times(wanted).values()]
        same(f"the offsets {after_ms} ms after record 250", found, [offset] * PARTITIONS)
    late = TopicPartition(topic, 0)
    same("the offset after the last", consumer.offsets_for_times({late: kit.time_of_offset(0, COUNT)}), {late: None})
    consumer.close()


def waiting_read():
    topic = create("waiting", 1)
    consumer = reader(fetch_max_wait_ms=10_000)
    consumer.assign([TopicPartition(topic, 0)])
    consumer.seek_to_beginning()
    same("what is there before", poll(consumer, 1, 1), [])
    send_one(topic, value=b"at last")
    started = time.monotonic()
    same("what came", [read.value for read in poll(consumer, 1)], [b"at last"])
    if time.monotonic() - started > 5:
        raise AssertionError("a read that waits was not woken by the record")
    consumer.close()


def created_by_producing():
    topic = kit.name("auto")
    same("the offset of the first record", send_one(topic, value=b"first").offset, 0)
    (described,) = admin.describe_topics([topic])
    if described["error_code"] or not described["partitions"]:
        raise AssertionError(f"{described}")


def topic_deleted():
    topic = create("deleted")
    send(topic, kit.records())
    admin.delete_topics([topic])
    until("the topic is gone", lambda: topic not in admin.list_topics())
    refused("deleting it once more", "UnknownTopicOrPartitionError", admin.delete_topics, [topic])


def topic_made_again():
    topic = create("again", 1)
    with KafkaProducer(**server, enable_idempotence=True, delivery_timeout_ms=15_000, request_timeout_ms=10_000) as producer:
        sent = lambda value: producer.send(topic, partition=0, value=value).get(timeout=20).offset  # noqa: E731
        same("the offsets before", [sent(f"before-{number}".encode()) for number in range(3)], [0, 1, 2])
        admin.delete_topics([topic])
        until("the topic is gone", lambda: topic not in admin.list_topics())
        admin.create_topics({topic: {"num_partitions": 1}}, wait_for_metadata=True)
        until_led(topic, 1)
        same("the offsets after", [sent(f"after-{number}".encode()) for number in range(3)], [0, 1, 2])
    found = [read.value for read in read_one_partition(topic, 3)]
    same("the records", found, [b"after-0", b"after-1", b"after-2"])


def group_shares(assignor):
    topic = create("group")
    config = {
        "group_id": kit.name("group"),
        "auto_offset_reset": "earliest",
        "session_timeout_ms": 10_000,
        "heartbeat_interval_ms": 500,
        "partition_assignment_strategy": [assignor],
    }
    members = [reader(**config) for _ in range(2)]
    for member in members:
        member.subscribe([topic])

    def all_assigned():
        for member in members:
            same("records before any are produced", poll(member, 1, 0.2), [])
        return [len(member.assignment()) for member in members] == [2, 2]

    until("two partitions for each of two members", all_assigned)
    send(topic, kit.records())
    reads = []
    end = time.monotonic() + 30
    while len(reads) < COUNT and time.monotonic() < end:
        for member in members:
            reads += poll(member, 500, 0.2)
    kit.verify(reads)
    for member in members:
        member.commit()
    members[0].close()
    # The one that stays takes over, from what was committed.
    until("four partitions for the last member", lambda: not poll(members[1], 1, 0.2) and len(members[1].assignment()) == 4)
    found = [members[1].committed(partition) for partition in partitions_of(topic)]
    same("committed", found, [COUNT // PARTITIONS] * PARTITIONS)
    members[1].close()
    late = reader(**config)
    late.subscribe([topic])
    until("four partitions for a new member", lambda: not poll(late, 1, 0.2) and len(late.assignment()) == 4)
    same("what a new member reads", poll(late, 1, 0.5), [])
    late.close()


def group_listed():
    topic = create("listed")
    group = kit.name("listed")
    send(topic, kit.records())
    member = reader(group_id=group, auto_offset_reset="earliest", client_id="kit-member")
    member.subscribe([topic])
    same("read", len(poll(member, COUNT)), COUNT)
    member.commit()
    listed = [one["group_id"] for one in admin.list_groups()]
    same("the group is listed", group in listed, True)
    described = admin.describe_groups([group])[group]
    same("its state", described["group_state"].upper(), "STABLE")
    same("its members", [one["client_id"] for one in described["members"]], ["kit-member"])
    member.close()
    found = admin.list_group_offsets(group)[group]
    same("the offsets", [found[one].offset for one in partitions_of(topic)], [COUNT // PARTITIONS] * PARTITIONS)
    first = TopicPartition(topic, 0)
    admin.alter_group_offsets(group, {first: OffsetAndMetadata(7, "", -1)})
    same("the altered offset", admin.list_group_offsets({group: [first]})[group][first].offset, 7)
    admin.delete_group_offsets(group, [first])
    same("the deleted offset", first in admin.list_group_offsets(group)[group], False)
    admin.delete_groups([group])
    same("the group is listed after it was deleted", group in [one["group_id"] for one in admin.list_groups()], False)


def configs():
    topic = create("configs", configs={"retention.ms": "3600000"})

    def described(name: str):
        resource = ConfigResource(ConfigResourceType.TOPIC, topic)
        return admin.describe_configs([resource], config_filter="all")["topic"][topic][name]["value"]

    same("retention.ms", str(described("retention.ms")), "3600000")
    for name in ["cleanup.policy", "max.message.bytes", "segment.bytes", "message.timestamp.type"]:
        described(name)
    admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, configs={"retention.ms": "7200000"})])
    until("the altered retention.ms is described", lambda: str(described("retention.ms")) == "7200000", 10)


def partitions_added():
    topic = create("more", 1)
    admin.create_partitions({topic: PARTITIONS})
    until("four partitions", lambda: len(admin.describe_topics([topic])[0]["partitions"]) == PARTITIONS)
    until_led(topic, PARTITIONS)
    send(topic, kit.records())
    kit.verify(read_all(topic))


def records_deleted():
    topic = create("cut")
    send(topic, kit.records())
    cut = admin.delete_records(dict.fromkeys(partitions_of(topic), 100))
    same("the low watermarks", [one["low_watermark"] for one in cut.values()], [100] * PARTITIONS)
    kit.verify(read_all(topic, count=COUNT - 100 * PARTITIONS), first_offset=100)


kit.add("metadata", metadata)
kit.add("topic created", topic_created)
for codec in CODECS:
    kit.add(f"round trip, {codec}", round_trip, {"compression_type": None if codec == "none" else codec})
kit.add("round trip, not idempotent", round_trip, {"enable_idempotence": False, "compression_type": "lz4"})
kit.add("round trip, acks=1", round_trip, {"enable_idempotence": False, "acks": 1})
kit.add("read from the middle", from_the_middle)
kit.add("read with small fetches", small_fetches)
kit.add("null keys, values and headers", nulls)
kit.add("a record of 900 kB", large)
kit.add("a record that is too large", too_large)
kit.add("a record larger than its topic takes", larger_than_the_topic_takes)
kit.add("records without a key in a compacted topic", compacted, None)
kit.add("records without a key in a compacted topic, gzip", compacted, "gzip")
kit.add("offsets, earliest and latest", offsets_listed)
kit.add("offsets by time", offsets_by_time)
kit.add("a read that waits", waiting_read)
kit.add("topic created by producing", created_by_producing)
kit.add("topic deleted", topic_deleted)
kit.add("topic deleted and made again under an idempotent producer", topic_made_again)
kit.add("group, range", group_shares, RangePartitionAssignor, tag="group")
# Not cooperative-sticky: 3.0.12 reads no more of a partition that it keeps over a rebalance, from Apache Kafka neither.
kit.add("group, sticky", group_shares, StickyPartitionAssignor, tag="group")
kit.add("group listed, described, altered, deleted", group_listed, tag="group")
kit.add("configs", configs, tag="configs")
kit.add("partitions added", partitions_added, tag="admin")
kit.add("records deleted", records_deleted, tag="delete-records")
kit.run()
