#!/usr/bin/env python3
"""Idempotent producers of other people's make, while the broker is killed again and again.

    kill9.py --corelog FILE [--rounds 20] [--seed N] [--without java]

librdkafka's producer (confluent-kafka) and the Java client's (Kafka's own VerifiableProducer), both with the defaults
that make them idempotent, write numbers without a pause while the broker gets SIGKILL at random moments and starts
again. Afterwards each partition must hold each acknowledged number once, at the offset that was acknowledged, and all
numbers in the order in which they were sent.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from broker import PROJECT, Broker

PARTITIONS = 6
# Longer than a broker may be away, shorter than anybody wants to wait.
DELIVERY_SECONDS_MAX = 120
SECONDS_BETWEEN_KILLS = (0.3, 2.5)
JAVA_RECORDS_A_SECOND = 5_000


class Librdkafka:
    """Sends number after number, to the partitions in turn."""

    name = "librdkafka"

    def __init__(self, address: str, topic: str):
        self.acknowledged = {}
        self.failures = []
        self._sent = 0
        self._topic = topic
        self._stop = False
        self._producer = Producer({
            "bootstrap.servers": address,
            "enable.idempotence": True,
            "linger.ms": 2,
            "delivery.timeout.ms": DELIVERY_SECONDS_MAX * 1_000,
            "reconnect.backoff.max.ms": 500,
            "queue.buffering.max.messages": 20_000,
            "log_level": 0,
        })
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        while not self._stop:
            try:
                self._producer.produce(
                    self._topic, partition=self._sent % PARTITIONS, value=str(self._sent), on_delivery=self._delivered
                )
                self._sent += 1
            except BufferError:
                self._producer.poll(0.05)
            except KafkaException as error:
                self.failures.append(f"{self._sent}: {error}")
                return
            self._producer.poll(0)

    def _delivered(self, error, message):
        if error is not None:
            self.failures.append(f"{message.value().decode()}: {error}")
        else:
            self.acknowledged[int(message.value())] = (message.partition(), message.offset())

    def finish(self):
        self._stop = True
        self._thread.join()
        if left := self._producer.flush(DELIVERY_SECONDS_MAX):
            self.failures.append(f"{left} records had no answer within {DELIVERY_SECONDS_MAX} s")


class Java:
    """Kafka's VerifiableProducer, which says of each record where it went."""

    name = "Java client"

    def __init__(self, address: str, topic: str):
        self.acknowledged = {}
        self.failures = []
        # The tool turns retries off, and with them what is the client's default.
        self._config = tempfile.NamedTemporaryFile("w", suffix=".properties")
        self._config.write(f"retries={2**31 - 1}\nenable.idempotence=true\n")
        self._config.flush()
        self._process = subprocess.Popen(
            [
                *(os.path.join(PROJECT, "scripts/apache-kafka"), "tool", "kafka-verifiable-producer"),
                *("--bootstrap-server", address, "--topic", topic, "--throughput", str(JAVA_RECORDS_A_SECOND)),
                *("--producer.config", self._config.name),
            ],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        for line in self._process.stdout:
            told = json.loads(line)
            if told["name"] == "producer_send_success":
                self.acknowledged[int(told["value"])] = (told["partition"], told["offset"])
            elif told["name"] == "producer_send_error":
                self.failures.append(f"{told['value']}: {told['message']}")

    def finish(self):
        if self._process.poll() is not None:
            self.failures.append(f"it ended by itself, with {self._process.returncode}")
        self._process.terminate()
        self._process.wait(DELIVERY_SECONDS_MAX)
        self._thread.join()


def read_all(address: str, topic: str) -> dict[int, list[tuple[int, int]]]:
    """Of each partition, the offsets and the numbers, in the order in which they are read."""
    consumer = Consumer({"bootstrap.servers": address, "group.id": "kill9-reader", "enable.partition.eof": True})
    consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in range(PARTITIONS)])
    read = {partition: [] for partition in range(PARTITIONS)}
    at_end = set()
    while len(at_end) < PARTITIONS:
        message = consumer.poll(30)
        if message is None:
            raise TimeoutError(f"nothing read for 30 s; at their ends are {sorted(at_end)}")
        if message.error() is not None:
            at_end.add(message.partition())
        else:
            read[message.partition()].append((message.offset(), int(message.value())))
    consumer.close()
    return read


def until(what: str, condition):
    end = time.monotonic() + DELIVERY_SECONDS_MAX
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"not within {DELIVERY_SECONDS_MAX} s: {what}")
        time.sleep(0.05)


def faults(producer, read: dict[int, list[tuple[int, int]]]):
    """What is not as it must be, in words."""
    yield from (f"given up by the client: {failure}" for failure in producer.failures)
    where = {}
    for partition, records in read.items():
        for place, (offset, number) in enumerate(records):
            if offset != place:
                yield f"partition {partition} has offset {offset} where {place} was next"
            if number in where:
                yield f"{number} is stored twice: {where[number]} and {(partition, offset)}"
            where[number] = (partition, offset)
        numbers = [number for _, number in records]
        yield from (
            f"partition {partition} has {after} after {before}" for before, after in zip(numbers, numbers[1:])
            if after <= before
        )
    yield from (
        f"{number} was acknowledged at {place} and is at {where.get(number)}"
        for number, place in producer.acknowledged.items() if where.get(number) != place
    )
    # Each client ends by waiting for what is on its way: nothing may be stored that it does not know of.
    yield from (f"{number} is stored and was never acknowledged" for number in where.keys() - producer.acknowledged.keys())
    if not producer.acknowledged:
        yield "nothing was acknowledged"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corelog", required=True, metavar="FILE")
    parser.add_argument("--rounds", type=int, default=20, help="how often the broker is killed")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--without", default="", help="java: librdkafka alone")
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    chance = random.Random(options.seed)
    makes = [Librdkafka] if options.without == "java" else [Librdkafka, Java]
    failed = False
    with Broker(options.corelog) as broker:
        admin = AdminClient({"bootstrap.servers": broker.address, "log_level": 0})
        producers = []
        for number, make in enumerate(makes):
            topic = f"numbers-{number}"
            admin.create_topics([NewTopic(topic, num_partitions=PARTITIONS)])[topic].result(20)
            producers.append(make(broker.address, topic))
        until("every producer has begun", lambda: all(producer.acknowledged for producer in producers))
        starts = []
        for _ in range(options.rounds):
            time.sleep(chance.uniform(*SECONDS_BETWEEN_KILLS))
            broker.kill()
            starts.append(broker.start())
        for producer in producers:
            producer.finish()
        for number, producer in enumerate(producers):
            found = list(faults(producer, read_all(broker.address, f"numbers-{number}")))
            failed = failed or bool(found)
            print(
                f"{'FAILED' if found else 'ok    '} idempotent {producer.name}: {options.rounds} kills, "
                f"{len(producer.acknowledged)} records acknowledged" + "".join(f"\n       {fault}" for fault in found[:10]),
                flush=True,
            )
        print(f"       a start took {sorted(starts)[len(starts) // 2]:.2f} s, at most {max(starts):.2f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
