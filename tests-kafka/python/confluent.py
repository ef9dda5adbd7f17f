"""confluent-kafka, and so librdkafka in a current version."""

import time

from confluent_kafka import (
    OFFSET_END,
    ConsumerGroupTopicPartitions,
    IsolationLevel,
    KafkaException,
    Producer,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import (
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

from confluent_client import Sender, admin, create, create_named, kit, poll, read_all, reader, server, until_led
from kit import CODECS, COUNT, LARGE_VALUE, PARTITIONS, refused, same, until


def metadata():
    listed = admin.list_topics(timeout=20)
    if not listed.brokers:
        raise AssertionError("no brokers")
    described = admin.describe_cluster().result(20)
    if not described.cluster_id or described.controller is None:
        raise AssertionError(f"cluster id {described.cluster_id}, controller {described.controller}")


def topic_created():
    topic = create("created")
    listed = admin.list_topics(topic, timeout=20).topics[topic]
    same("the error of the topic", listed.error, None)
    same("its partitions", sorted(listed.partitions), list(range(PARTITIONS)))
    for partition in listed.partitions.values():
        if partition.leader not in admin.list_topics(timeout=20).brokers:
            raise AssertionError(f"partition {partition.id} has the leader {partition.leader}, which is no broker")
    described = admin.describe_topics(TopicCollection([topic]))[topic].result(20)
    same("its described partitions", len(described.partitions), PARTITIONS)
    again = lambda: admin.create_topics([NewTopic(topic, PARTITIONS)])[topic].result(20)  # noqa: E731
    refused("the same topic once more", "TOPIC_ALREADY_EXISTS", again)
    bad = lambda: admin.create_topics([NewTopic("no/such name", 1)])["no/such name"].result(20)  # noqa: E731
    refused("a bad name", "TOPIC_EXCEPTION", bad)


def round_trip(**config):
    topic = create("trip")
    sender = Sender(**config)
    sender.send(topic, kit.records())
    same("the number of acknowledgements", len(sender.offsets), COUNT)
    kit.verify(read_all(topic))


def compressed(codec: str):
    round_trip(**{"compression.type": codec})


def idempotent():
    round_trip(**{"enable.idempotence": True, "compression.type": "lz4"})


def acks(number: int):
    round_trip(acks=number)


def from_the_middle():
    topic = create("middle")
    Sender().send(topic, kit.records())
    kit.verify(read_all(topic, 123, COUNT - 123 * PARTITIONS), first_offset=123)


def small_fetches():
    topic = create("small")
    Sender().send(topic, kit.records())
    consumer = reader(**{"fetch.message.max.bytes": 1000, "fetch.max.bytes": 2000, "message.max.bytes": 2000})
    consumer.assign([TopicPartition(topic, partition, 0) for partition in range(PARTITIONS)])
    reads = poll(consumer, COUNT)
    consumer.close()
    kit.verify(reads)


def nulls():
    topic = create("nulls", 1)
    sender = Sender()
    sender.send_value(topic, key=b"gone", value=None)
    sender.send_value(topic, key=None, value=b"")
    sender.send_value(topic, key=b"", value=b"v", headers=[("null", None), ("same", b"1"), ("same", b"2")])
    consumer = reader()
    consumer.assign([TopicPartition(topic, 0, 0)])
    found = [(read.key, read.value, read.headers) for read in poll(consumer, 3)]
    consumer.close()
    expected = [(b"gone", None, []), (None, b"", []), (b"", b"v", [("null", None), ("same", b"1"), ("same", b"2")])]
    same("the records", found, expected)


def large():
    topic = create("large", 1)
    Sender().send_value(topic, value=LARGE_VALUE)
    consumer = reader()
    consumer.assign([TopicPartition(topic, 0, 0)])
    reads = poll(consumer, 1)
    consumer.close()
    same("the value came back", [read.value == LARGE_VALUE for read in reads], [True])


def too_large():
    topic = create("toolarge", 1)
    sender = Sender(**{"message.max.bytes": 10_000_000})
    send = lambda: sender.send_value(topic, value=b"x" * 9_000_000)  # noqa: E731
    refused("a record of 9 MB", "too large", send)


def larger_than_the_topic_takes():
    topic = create("limited", 1, config={"max.message.bytes": "100000"})
    sender = Sender()
    sender.send_value(topic, value=b"x" * 90_000)
    refused("a record of 200 kB", "too large", lambda: sender.send_value(topic, value=b"x" * 200_000))
    same("the offsets that were given", sender.offsets, [0])


def as_large_as_the_topic_takes():
    topic = create("huge", 1, config={"max.message.bytes": "20971520"})
    value = LARGE_VALUE[:15_000] * 1000
    Sender(**{"message.max.bytes": 20_000_000}).send_value(topic, value=value)
    consumer = reader(
        **{"fetch.max.bytes": 30_000_000, "max.partition.fetch.bytes": 20_000_000, "receive.message.max.bytes": 40_000_000}
    )
    consumer.assign([TopicPartition(topic, 0, 0)])
    reads = poll(consumer, 1)
    consumer.close()
    same("the value came back", [read.value == value for read in reads], [True])


def compacted(codec: str):
    topic = create("compacted", 1, config={"cleanup.policy": "compact"})
    sender = Sender(**{"compression.type": codec})
    # Worth compressing: what does not become smaller goes as it is.
    sender.send_value(topic, key=b"key", value=b"x" * 1000)
    refused("a record without a key", "INVALID_RECORD", lambda: sender.send_value(topic, value=b"x" * 1000))
    same("the offsets that were given", sender.offsets, [0])


def offsets_listed():
    topic = create("offsets")
    Sender().send(topic, kit.records())
    consumer = reader()
    for partition in range(PARTITIONS):
        watermarks = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=20)
        same("earliest and latest", watermarks, (0, COUNT // PARTITIONS))
    consumer.close()
    for spec, expected in [
        (OffsetSpec.earliest(), 0),
        (OffsetSpec.latest(), COUNT // PARTITIONS),
        (OffsetSpec.max_timestamp(), COUNT // PARTITIONS - 1),
    ]:
        wanted = {TopicPartition(topic, partition): spec for partition in range(PARTITIONS)}
        futures = admin.list_offsets(wanted, isolation_level=IsolationLevel.READ_COMMITTED)
        found = [future.result(20).offset for future in futures.values()]
        same(f"the offsets of {spec}", found, [expected] * PARTITIONS)


def offsets_by_time():
    topic = create("times")
    Sender().send(topic, kit.records())
    consumer = reader()
    for after_ms, offset in [(0, 250), (-500, 250), (1, 251)]:
        wanted = [
            TopicPartition(topic, partition, kit.time_of_offset(partition, 250) + after_ms)
            for partition in range(PARTITIONS)
        ]
        found = [one.offset for one in consumer.offsets_for_times(wanted, timeout=20)]
        same(f"the offsets {after_ms} ms after record 250", found, [offset] * PARTITIONS)
    late = [TopicPartition(topic, 0, kit.time_of_offset(0, COUNT))]
    same("the offset after the last", consumer.offsets_for_times(late, timeout=20)[0].offset, OFFSET_END)
    consumer.close()


def waiting_read():
    topic = create("waiting", 1)
    consumer = reader(**{"fetch.wait.max.ms": 10_000})
    consumer.assign([TopicPartition(topic, 0, 0)])
    same("what is there before", poll(consumer, 1, 1), [])
    sender = Sender()
    sender.send_value(topic, value=b"at last")
    started = time.monotonic()
    same("what came", [read.value for read in poll(consumer, 1)], [b"at last"])
    if time.monotonic() - started > 5:
        raise AssertionError("a read that waits was not woken by the record")
    consumer.close()


def created_by_producing():
    topic = kit.name("auto")
    Sender().send_value(topic, value=b"first")
    listed = admin.list_topics(topic, timeout=20).topics[topic]
    if listed.error or not listed.partitions:
        raise AssertionError(f"{listed.error}, {len(listed.partitions)} partitions")


def topic_deleted():
    topic = create("deleted")
    Sender().send(topic, kit.records())
    admin.delete_topics([topic])[topic].result(20)
    until("the topic is gone", lambda: topic not in admin.list_topics(timeout=20).topics)
    gone = lambda: admin.delete_topics([topic])[topic].result(20)  # noqa: E731
    refused("deleting it once more", "UNKNOWN_TOPIC_OR_PART", gone)


def topic_made_again():
    sender = Sender(**{"enable.idempotence": True, "message.timeout.ms": 15_000})
    topic = create("again", 1)
    for number in range(3):
        sender.send_value(topic, value=f"before-{number}".encode())
    admin.delete_topics([topic])[topic].result(20)
    until("the topic is gone", lambda: topic not in admin.list_topics(timeout=20).topics)
    create_named(topic, 1)
    for number in range(3):
        sender.send_value(topic, value=f"after-{number}".encode())
    same("the offsets that were given", sender.offsets, [0, 1, 2] * 2)
    consumer = reader()
    consumer.assign([TopicPartition(topic, 0, 0)])
    same("the records", [read.value for read in poll(consumer, 3)], [b"after-0", b"after-1", b"after-2"])
    consumer.close()


def transactional():
    """Where there are no transactions it is said at once, and not by a time-out."""
    producer = Producer(server | {"transactional.id": kit.name("transactional")})
    started = time.monotonic()
    try:
        producer.init_transactions(10)
    except KafkaException as raised:
        error = raised.args[0]
        same("the error", error.name(), "TRANSACTIONAL_ID_AUTHORIZATION_FAILED")
        same("it is fatal", error.fatal(), True)
        if time.monotonic() - started > 5:
            raise AssertionError("it took longer than 5 s to say so") from raised


def many_partitions():
    count = 1000
    topic = kit.name("many")
    admin.create_topics([NewTopic(topic, count)])[topic].result(20)
    partitions = [TopicPartition(topic, partition) for partition in range(count)]

    def led() -> bool:
        try:
            return all(one.result(20) for one in admin.list_offsets(dict.fromkeys(partitions, OffsetSpec.latest())).values())
        except KafkaException:
            return False

    until("every partition is led", led)
    sender = Sender()
    for partition in range(count):
        sender.produce_value(topic, partition=partition, value=f"value-{partition}".encode())
    sender.flush()
    consumer = reader(**{"auto.offset.reset": "earliest"})
    consumer.assign(partitions)
    reads = poll(consumer, count)
    # What comes after the last one would be one too many.
    reads += poll(consumer, 1, 0.3)
    consumer.close()
    found = sorted((read.partition, read.offset, read.value) for read in reads)
    same("the number of records", len(found), count)
    same("the records", found, [(partition, 0, f"value-{partition}".encode()) for partition in range(count)])


def group_shares(protocol: str, strategy: str):
    topic = create("group")
    group = kit.name("group")
    config = {"auto.offset.reset": "earliest", "group.protocol": protocol, "group.id": group}
    if protocol == "classic":
        config |= {"partition.assignment.strategy": strategy, "session.timeout.ms": 10_000, "heartbeat.interval.ms": 500}
    members = [reader(**config) for _ in range(2)]
    for member in members:
        member.subscribe([topic])

    def all_assigned():
        for member in members:
            same("records before any are produced", poll(member, 1, 0.2), [])
        return [len(member.assignment()) for member in members] == [2, 2]

    until("two partitions for each of two members", all_assigned)
    Sender().send(topic, kit.records())
    reads = []
    end = time.monotonic() + 30
    while len(reads) < COUNT and time.monotonic() < end:
        for member in members:
            reads += poll(member, 500, 0.2)
    kit.verify(reads)
    for member in members:
        member.commit(asynchronous=False)
    partitions = [TopicPartition(topic, partition) for partition in range(PARTITIONS)]
    members[0].close()
    # The one that stays takes over, from what was committed.
    until("four partitions for the last member", lambda: not poll(members[1], 1, 0.2) and len(members[1].assignment()) == 4)
    same("committed", [one.offset for one in members[1].committed(partitions, timeout=20)], [COUNT // PARTITIONS] * 4)
    members[1].close()
    late = reader(**config)
    late.subscribe([topic])
    until("four partitions for a new member", lambda: not poll(late, 1, 0.2) and len(late.assignment()) == 4)
    same("what a new member reads", poll(late, 1, 0.5), [])
    late.close()


def group_listed():
    topic = create("listed")
    group = kit.name("listed")
    Sender().send(topic, kit.records())
    member = reader(**{"group.id": group, "auto.offset.reset": "earliest", "client.id": "kit-member"})
    member.subscribe([topic])
    same("read", len(poll(member, COUNT)), COUNT)
    member.commit(asynchronous=False)
    listed = {one.group_id: one for one in admin.list_consumer_groups().result(20).valid}
    same("the state of the group", listed[group].state.name, "STABLE")
    described = admin.describe_consumer_groups([group])[group].result(20)
    same("its members", [one.client_id for one in described.members], ["kit-member"])
    same("what they have", len(described.members[0].assignment.topic_partitions), PARTITIONS)
    member.close()
    found = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)])[group].result(20)
    same("the offsets", sorted(one.offset for one in found.topic_partitions), [COUNT // PARTITIONS] * PARTITIONS)
    back = ConsumerGroupTopicPartitions(group, [TopicPartition(topic, 0, 7)])
    admin.alter_consumer_group_offsets([back])[group].result(20)
    asked = ConsumerGroupTopicPartitions(group, [TopicPartition(topic, 0)])
    found = admin.list_consumer_group_offsets([asked])[group].result(20)
    same("the altered offset", found.topic_partitions[0].offset, 7)
    admin.delete_consumer_groups([group])[group].result(20)
    left = [one.group_id for one in admin.list_consumer_groups().result(20).valid]
    same("the group is listed after it was deleted", group in left, False)


def configs():
    topic = create("configs", config={"retention.ms": "3600000"})
    resource = ConfigResource(ResourceType.TOPIC, topic)
    described = lambda: admin.describe_configs([ConfigResource(ResourceType.TOPIC, topic)])[resource].result(20)  # noqa: E731
    same("retention.ms", described()["retention.ms"].value, "3600000")
    for name in ["cleanup.policy", "max.message.bytes", "segment.bytes", "message.timestamp.type"]:
        if name not in described():
            raise AssertionError(f"{name} is not described")
    change = ConfigEntry("retention.ms", "7200000", incremental_operation=AlterConfigOpType.SET)
    admin.incremental_alter_configs([ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[change])])[
        resource
    ].result(20)
    until("the altered retention.ms is described", lambda: described()["retention.ms"].value == "7200000", 10)
    broker = str(next(iter(admin.list_topics(timeout=20).brokers)))
    resource = ConfigResource(ResourceType.BROKER, broker)
    if not admin.describe_configs([resource])[resource].result(20):
        raise AssertionError("a broker has no configs")


def partitions_added():
    topic = create("more", 1)
    admin.create_partitions([NewPartitions(topic, PARTITIONS)])[topic].result(20)
    until("four partitions", lambda: len(admin.list_topics(topic, timeout=20).topics[topic].partitions) == PARTITIONS)
    until_led(topic, PARTITIONS)
    Sender().send(topic, kit.records())
    kit.verify(read_all(topic))


def records_deleted():
    topic = create("cut")
    Sender().send(topic, kit.records())
    cut = [TopicPartition(topic, partition, 100) for partition in range(PARTITIONS)]
    found = [future.result(20).low_watermark for future in admin.delete_records(cut).values()]
    same("the low watermarks", found, [100] * PARTITIONS)
    kit.verify(read_all(topic, count=COUNT - 100 * PARTITIONS), first_offset=100)


kit.add("metadata", metadata)
kit.add("topic created", topic_created)
for codec in CODECS:
    kit.add(f"round trip, {codec}", compressed, codec)
kit.add("round trip, idempotent", idempotent)
kit.add("round trip, acks=1", acks, 1)
kit.add("read from the middle", from_the_middle)
kit.add("read with small fetches", small_fetches)
kit.add("null keys, values and headers", nulls)
kit.add("a record of 900 kB", large)
kit.add("a record that is too large", too_large)
kit.add("a record larger than its topic takes", larger_than_the_topic_takes)
kit.add("a record of 15 MB where the topic takes it", as_large_as_the_topic_takes)
kit.add("records without a key in a compacted topic", compacted, "none")
kit.add("records without a key in a compacted topic, lz4", compacted, "lz4")
kit.add("offsets, earliest and latest", offsets_listed)
kit.add("offsets by time", offsets_by_time)
kit.add("a read that waits", waiting_read)
kit.add("topic created by producing", created_by_producing)
kit.add("topic deleted", topic_deleted)
kit.add("topic deleted and made again under an idempotent producer", topic_made_again)
kit.add("a topic of 1,000 partitions", many_partitions)
kit.add("a transactional producer", transactional)
kit.add("group, range", group_shares, "classic", "range", tag="group")
kit.add("group, cooperative-sticky", group_shares, "classic", "cooperative-sticky", tag="group")
kit.add("group, consumer protocol", group_shares, "consumer", "", tag="group848")
kit.add("group listed, described, altered, deleted", group_listed, tag="group")
kit.add("configs", configs, tag="configs")
kit.add("partitions added", partitions_added, tag="admin")
kit.add("records deleted", records_deleted, tag="delete-records")
kit.run()
