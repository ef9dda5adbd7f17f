"""What the checks of confluent-kafka have in common: topics, a producer that knows what came of each record, reading."""

import time

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from kit import COUNT, PARTITIONS, Kit, Read, same, until

kit = Kit("confluent")
server = {"bootstrap.servers": kit.bootstrap}
admin = AdminClient(server)


def create(purpose: str, partitions: int = PARTITIONS, **more) -> str:
    topic = kit.name(purpose)
    create_named(topic, partitions, **more)
    return topic


def create_named(topic: str, partitions: int, **more):
    for future in admin.create_topics([NewTopic(topic, num_partitions=partitions, **more)]).values():
        future.result(20)
    until_led(topic, partitions)


def until_led(topic: str, partitions: int):
    """A broker may know of a partition before it leads it; what is sent then may be overtaken by what is sent next."""
    consumer = reader()

    def led(partition: int) -> bool:
        try:
            return consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=5) is not None
        except KafkaException:
            return False

    for partition in range(partitions):
        until(f"partition {partition} is led", lambda: led(partition))
    consumer.close()


class Sender:
    """A producer that knows what came of each record."""

    def __init__(self, **config):
        self._producer = Producer(server | {"linger.ms": 5} | config)
        self._errors = []
        self.offsets = []

    def send(self, topic: str, records):
        for record in records:
            self._producer.produce(
                topic,
                key=record.key,
                value=record.value,
                headers=record.headers,
                partition=record.partition,
                timestamp=record.timestamp_ms,
                on_delivery=self._delivered,
            )
            self._producer.poll(0)
        self.flush()

    def send_value(self, topic: str, **parts):
        self.produce_value(topic, **parts)
        self.flush()

    def produce_value(self, topic: str, **parts):
        self._producer.produce(topic, on_delivery=self._delivered, **parts)

    def flush(self):
        same("what is left after a flush", self._producer.flush(30), 0)
        same("the errors of deliveries", self._errors, [])

    def _delivered(self, error, message):
        if error:
            self._errors.append(str(error))
        else:
            self.offsets.append(message.offset())


def poll(consumer: Consumer, count: int, seconds: float = 30) -> list[Read]:
    reads = []
    end = time.monotonic() + seconds
    while len(reads) < count and time.monotonic() < end:
        for message in consumer.consume(min(500, count - len(reads)), timeout=0.5):
            if message.error():
                raise KafkaException(message.error())
            headers = [(name, value) for name, value in message.headers() or []]
            reads.append(
                Read(
                    message.partition(), message.offset(), message.key(), message.value(), headers, message.timestamp()[1]
                )
            )
    return reads


def reader(**config) -> Consumer:
    # librdkafka asks for a group's name even where no group is used.
    return Consumer(server | {"group.id": kit.name("unused"), "enable.auto.commit": False} | config)


def read_all(topic: str, first_offset: int = OFFSET_BEGINNING, count: int = COUNT) -> list[Read]:
    consumer = reader()
    consumer.assign([TopicPartition(topic, partition, first_offset) for partition in range(PARTITIONS)])
    reads = poll(consumer, count)
    # What comes after the last one would be one too many.
    reads += poll(consumer, 1, 0.3)
    consumer.close()
    return reads
