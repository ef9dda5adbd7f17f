"""aiokafka."""

import asyncio
import time
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from aiokafka.errors import for_code

from kit import CODECS, COUNT, LARGE_VALUE, PARTITIONS, Kit, Read, same

kit = Kit("aiokafka")
server = {"bootstrap_servers": kit.bootstrap}


@asynccontextmanager
async def started(client):
    await client.start()
    try:
        yield client
    finally:
        await (client.close() if isinstance(client, AIOKafkaAdminClient) else client.stop())


def admin_client():
    return started(AIOKafkaAdminClient(**server))


def reader(**config):
    return started(AIOKafkaConsumer(**server, enable_auto_commit=False, **config))


def partitions_of(topic: str) -> list[TopicPartition]:
    return [TopicPartition(topic, partition) for partition in range(PARTITIONS)]


def raise_error(code: int):
    if code:
        raise for_code(code)


async def until(what: str, condition, seconds: float = 30):
    """Waits for what the broker does in its own time."""
    end = time.monotonic() + seconds
    while not await condition():
        if time.monotonic() > end:
            raise TimeoutError(f"not within {seconds} s: {what}")
        await asyncio.sleep(0.05)


async def refused(what: str, error: str, awaited):
    """That `awaited` fails, with `error` in what it says."""
    try:
        await awaited
    except Exception as raised:
        same(f"the error of {what}", type(raised).__name__, error)
    else:
        raise AssertionError(f"{what} was accepted")


async def create_named(admin, topic: str, partitions: int, **more):
    response = await admin.create_topics([NewTopic(topic, partitions, 1, **more)])
    # Name, error code, message.
    raise_error(response.topic_errors[0][1])


async def create(purpose: str, partitions: int = PARTITIONS, **more) -> str:
    topic = kit.name(purpose)
    async with admin_client() as admin:
        await create_named(admin, topic, partitions, **more)
    return topic


async def send(topic: str, records, **config):
    async with started(AIOKafkaProducer(**server, linger_ms=5, **config)) as producer:
        sent = [
            await producer.send(
                topic,
                key=record.key,
                value=record.value,
                headers=record.headers,
                partition=record.partition,
                timestamp_ms=record.timestamp_ms,
            )
            for record in records
        ]
        await producer.flush()
        await asyncio.gather(*sent)


async def send_one(topic: str, **parts):
    async with started(AIOKafkaProducer(**server)) as producer:
        return await producer.send_and_wait(topic, **parts)


async def poll(consumer: AIOKafkaConsumer, count: int, seconds: float = 30) -> list[Read]:
    reads = []
    end = time.monotonic() + seconds
    while len(reads) < count and time.monotonic() < end:
        for messages in (await consumer.getmany(timeout_ms=300)).values():
            for message in messages:
                reads.append(
                    Read(
                        message.partition,
                        message.offset,
                        message.key,
                        message.value,
                        list(message.headers),
                        message.timestamp,
                    )
                )
    return reads


async def read_all(topic: str, first_offset: int = 0, count: int = COUNT, **config) -> list[Read]:
    async with reader(**config) as consumer:
        consumer.assign(partitions_of(topic))
        if first_offset == 0:
            await consumer.seek_to_beginning()
        for partition in partitions_of(topic) if first_offset else []:
            consumer.seek(partition, first_offset)
        reads = await poll(consumer, count)
        # What comes after the last one would be one too many.
        return reads + await poll(consumer, 1, 0.3)


async def read_one_partition(topic: str, count: int) -> list[Read]:
    async with reader() as consumer:
        consumer.assign([TopicPartition(topic, 0)])
        await consumer.seek_to_beginning()
        return await poll(consumer, count)


async def metadata():
    async with admin_client() as admin:
        described = await admin.describe_cluster()
    if not described["brokers"] or not described["cluster_id"]:
        raise AssertionError(f"{described}")


async def topic_created():
    topic = await create("created")
    async with admin_client() as admin:
        same("the topic is listed", topic in await admin.list_topics(), True)
        (described,) = await admin.describe_topics([topic])
        same("its partitions", sorted(one["partition"] for one in described["partitions"]), list(range(PARTITIONS)))
        await refused("the same topic once more", "TopicAlreadyExistsError", create_named(admin, topic, 1))
        await refused("a bad name", "InvalidTopicError", create_named(admin, "no/such name", 1))


async def round_trip(config):
    topic = await create("trip")
    await send(topic, kit.records(), **config)
    kit.verify(await read_all(topic))


async def from_the_middle():
    topic = await create("middle")
    await send(topic, kit.records())
    kit.verify(await read_all(topic, 123, COUNT - 123 * PARTITIONS), first_offset=123)


async def small_fetches():
    topic = await create("small")
    await send(topic, kit.records())
    kit.verify(await read_all(topic, fetch_max_bytes=2000, max_partition_fetch_bytes=1000))


async def nulls():
    topic = await create("nulls", 1)
    await send_one(topic, key=b"gone", value=None)
    await send_one(topic, key=None, value=b"")
    await send_one(topic, key=b"", value=b"v", headers=[("null", None), ("same", b"1"), ("same", b"2")])
    found = [(read.key, read.value, read.headers) for read in await read_one_partition(topic, 3)]
    expected = [(b"gone", None, []), (None, b"", []), (b"", b"v", [("null", None), ("same", b"1"), ("same", b"2")])]
    same("the records", found, expected)


async def large():
    topic = await create("large", 1)
    await send_one(topic, value=LARGE_VALUE)
    same("the value came back", [read.value == LARGE_VALUE for read in await read_one_partition(topic, 1)], [True])


async def too_large():
    topic = await create("toolarge", 1)
    async with started(AIOKafkaProducer(**server, max_request_size=10_000_000)) as producer:
        sent = producer.send_and_wait(topic, value=b"x" * 9_000_000)
        await refused("a record of 9 MB", "MessageSizeTooLargeError", sent)


async def offsets_listed():
    topic = await create("offsets")
    await send(topic, kit.records())
    partitions = partitions_of(topic)
    async with reader() as consumer:
        same("earliest", await consumer.beginning_offsets(partitions), dict.fromkeys(partitions, 0))
        same("latest", await consumer.end_offsets(partitions), dict.fromkeys(partitions, COUNT // PARTITIONS))
    async with reader(isolation_level="read_committed") as consumer:
        same("committed", await consumer.end_offsets(partitions), dict.fromkeys(partitions, COUNT // PARTITIONS))


async def offsets_by_time():
    topic = await create("times")
    await send(topic, kit.records())
    async with reader() as consumer:
        for after_ms, offset in [(0, 250), (-500, 250), (1, 251)]:
            wanted = {
                partition: kit.time_of_offset(partition.partition, 250) + after_ms for partition in partitions_of(topic)
            }
            found = [one.offset for one in (await consumer.offsets_for_times(wanted)).values()]
            same(f"the offsets {after_ms} ms after record 250", found, [offset] * PARTITIONS)
        late = TopicPartition(topic, 0)
        found = await consumer.offsets_for_times({late: kit.time_of_offset(0, COUNT)})
        same("the offset after the last", found, {late: None})


async def waiting_read():
    topic = await create("waiting", 1)
    async with reader(fetch_max_wait_ms=10_000) as consumer:
        consumer.assign([TopicPartition(topic, 0)])
        await consumer.seek_to_beginning()
        waiting = asyncio.create_task(consumer.getone())
        done, _ = await asyncio.wait([waiting], timeout=1)
        same("what is there before", done, set())
        await send_one(topic, value=b"at last")
        came = await asyncio.wait_for(waiting, 5)
        same("what came", came.value, b"at last")


async def created_by_producing():
    topic = kit.name("auto")
    same("the offset of the first record", (await send_one(topic, value=b"first")).offset, 0)
    async with admin_client() as admin:
        (described,) = await admin.describe_topics([topic])
    if described["error_code"] or not described["partitions"]:
        raise AssertionError(f"{described}")


async def topic_deleted():
    topic = await create("deleted")
    await send(topic, kit.records())
    async with admin_client() as admin:

        async def gone():
            return topic not in await admin.list_topics()

        async def delete():
            response = await admin.delete_topics([topic])
            raise_error(response.topic_error_codes[0][1])

        await delete()
        await until("the topic is gone", gone)
        await refused("deleting it once more", "UnknownTopicOrPartitionError", delete())


async def group_shares(assignor):
    topic = await create("group")
    config = {
        "group_id": kit.name("group"),
        "auto_offset_reset": "earliest",
        "heartbeat_interval_ms": 500,
        "partition_assignment_strategy": [assignor],
    }
    async with reader(**config) as stays:
        stays.subscribe([topic])
        async with reader(**config) as leaves:
            leaves.subscribe([topic])
            members = [stays, leaves]

            async def all_assigned():
                return [len(member.assignment()) for member in members] == [2, 2]

            await until("two partitions for each of two members", all_assigned)
            await send(topic, kit.records())
            reads = await asyncio.gather(*(poll(member, COUNT // 2) for member in members))
            kit.verify(reads[0] + reads[1])
            for member in members:
                await member.commit()

        # The one that stays takes over, from what was committed.
        async def has_all():
            return len(stays.assignment()) == PARTITIONS

        await until("four partitions for the last member", has_all)
        same("what it reads again", await poll(stays, 1, 0.5), [])
        found = [await stays.committed(partition) for partition in partitions_of(topic)]
        same("committed", found, [COUNT // PARTITIONS] * PARTITIONS)
    async with reader(**config) as late:
        late.subscribe([topic])
        same("what a new member reads", await poll(late, 1, 2), [])
        same("its partitions", len(late.assignment()), PARTITIONS)


async def group_listed():
    topic = await create("listed")
    group = kit.name("listed")
    await send(topic, kit.records())
    async with admin_client() as admin:
        async with reader(group_id=group, auto_offset_reset="earliest", client_id="kit-member") as member:
            member.subscribe([topic])
            same("read", len(await poll(member, COUNT)), COUNT)
            await member.commit()
            listed = [one[0] for one in await admin.list_consumer_groups()]
            same("the group is listed", group in listed, True)
            # Error code, group, state, protocol type, protocol, members of id, client id, ...
            described = (await admin.describe_consumer_groups([group]))[0].groups[0]
            same("its state", described[2], "Stable")
            same("its members", len(described[5]), 1)
            same("their client", "kit-member" in described[5][0], True)
        found = await admin.list_consumer_group_offsets(group)
        same("the offsets", [found[one].offset for one in partitions_of(topic)], [COUNT // PARTITIONS] * PARTITIONS)


async def configs():
    topic = await create("configs", topic_configs={"retention.ms": "3600000"})
    async with admin_client() as admin:

        async def described(name: str) -> str:
            (response,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
            # Error code, message, type, name, entries of name, value, ...
            return {entry[0]: entry[1] for entry in response.resources[0][4]}[name]

        async def altered():
            return await described("retention.ms") == "7200000"

        same("retention.ms", await described("retention.ms"), "3600000")
        for name in ["cleanup.policy", "max.message.bytes", "segment.bytes", "message.timestamp.type"]:
            await described(name)
        # AlterConfigs, not the incremental one.
        change = ConfigResource(ConfigResourceType.TOPIC, topic, configs={"retention.ms": "7200000"})
        (response,) = await admin.alter_configs([change])
        raise_error(response.resources[0][0])
        await until("the altered retention.ms is described", altered, 10)


async def partitions_added():
    topic = await create("more", 1)
    async with admin_client() as admin:

        async def added():
            (described,) = await admin.describe_topics([topic])
            return len(described["partitions"]) == PARTITIONS

        response = await admin.create_partitions({topic: NewPartitions(PARTITIONS)})
        raise_error(response.topic_errors[0][1])
        await until("four partitions", added)
    await send(topic, kit.records())
    kit.verify(await read_all(topic))


async def records_deleted():
    topic = await create("cut")
    await send(topic, kit.records())
    async with admin_client() as admin:
        cut = await admin.delete_records({one: RecordsToDelete(before_offset=100) for one in partitions_of(topic)})
    same("the low watermarks", list(cut.values()), [100] * PARTITIONS)
    kit.verify(await read_all(topic, 100, COUNT - 100 * PARTITIONS), first_offset=100)


async def start_told():
    topic = await create("start", 1)
    same("the start of a new partition", (await send_one(topic, value=b"0")).log_start_offset, 0)
    for number in range(1, 10):
        await send_one(topic, value=str(number).encode())
    async with admin_client() as admin:
        await admin.delete_records({TopicPartition(topic, 0): RecordsToDelete(before_offset=7)})
    sent = await send_one(topic, value=b"10")
    same("the start after records were deleted", (sent.offset, sent.log_start_offset), (10, 7))


kit.add("metadata", metadata)
kit.add("topic created", topic_created)
for codec in CODECS:
    kit.add(f"round trip, {codec}", round_trip, {"compression_type": None if codec == "none" else codec})
kit.add("round trip, idempotent", round_trip, {"enable_idempotence": True, "compression_type": "lz4"})
kit.add("round trip, acks=all", round_trip, {"acks": "all"})
kit.add("read from the middle", from_the_middle)
kit.add("read with small fetches", small_fetches)
kit.add("null keys, values and headers", nulls)
kit.add("a record of 900 kB", large)
kit.add("a record that is too large", too_large)
kit.add("offsets, earliest and latest", offsets_listed)
kit.add("offsets by time", offsets_by_time)
kit.add("a read that waits", waiting_read)
kit.add("topic created by producing", created_by_producing)
kit.add("topic deleted", topic_deleted)
kit.add("group, range", group_shares, RangePartitionAssignor, tag="group")
kit.add("group, round robin", group_shares, RoundRobinPartitionAssignor, tag="group")
kit.add("group, sticky", group_shares, StickyPartitionAssignor, tag="group")
kit.add("group listed, described", group_listed, tag="group")
kit.add("configs", configs, tag="configs")
kit.add("partitions added", partitions_added, tag="admin")
kit.add("records deleted", records_deleted, tag="delete-records")
kit.add("the start of a log, told to who produces", start_told, tag="delete-records")
kit.run()
