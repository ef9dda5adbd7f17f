"""One member of a group, for churn.py, which starts it, ends it and kills it. Says on stdout what it does, a line each:

    assigned SECONDS PARTITION...     revoked SECONDS PARTITION...
    read PARTITION OFFSET...          before it commits, so that a kill in between is seen
    committed PARTITION NEXT          after the broker has answered
    failed TEXT

SECONDS are those of CLOCK_MONOTONIC, which all processes share. SIGTERM makes it leave as a well-behaved member does.
"""

import signal
import sys
import time

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

# What a member gets back for a commit or a read in the midst of a rebalance: it goes on with what it is given next.
REBALANCES = {
    KafkaError.REBALANCE_IN_PROGRESS,
    KafkaError.ILLEGAL_GENERATION,
    KafkaError.UNKNOWN_MEMBER_ID,
    KafkaError.STALE_MEMBER_EPOCH,
    KafkaError._ASSIGNMENT_LOST,
}

# How long a member that must give partitions up tries to commit what it has read of them.
COMMIT_SECONDS_MAX = 3


def say(*words):
    print(*words, flush=True)


class Member:
    def __init__(self, address: str, topic: str, group: str, protocol: str):
        classic = {
            "session.timeout.ms": 6_000,
            "heartbeat.interval.ms": 500,
            "partition.assignment.strategy": "cooperative-sticky",
        }
        self._consumer = Consumer({
            "bootstrap.servers": address,
            "group.id": group,
            "group.protocol": protocol,
            "enable.auto.commit": False,
            "log_level": 0,
            "auto.offset.reset": "earliest",
            **(classic if protocol == "classic" else {}),
        })
        self._consumer.subscribe(
            [topic], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost
        )
        self._topic = topic
        # Of each partition, what is to be committed.
        self._nexts = {}
        self._goes_on = True
        signal.signal(signal.SIGTERM, self._leave)

    def run(self):
        while self._goes_on:
            self._read()
            self._commit()
        self._consumer.close()

    def _read(self):
        offsets = {}
        for message in self._consumer.consume(500, timeout=0.2):
            if message.error() is None:
                offsets.setdefault(message.partition(), []).append(message.offset())
        for partition, read in offsets.items():
            say("read", partition, *read)
            self._nexts[partition] = read[-1] + 1

    def _commit(self):
        """What a rebalance refuses stays in `_nexts`, for the next time."""
        if not self._nexts:
            return
        places = [TopicPartition(self._topic, partition, offset) for partition, offset in self._nexts.items()]
        try:
            answers = self._consumer.commit(offsets=places, asynchronous=False)
        except KafkaException as refused:
            if refused.args[0].code() not in REBALANCES:
                say("failed", refused)
            return
        for place in answers:
            if place.error is None:
                say("committed", place.partition, place.offset)
                del self._nexts[place.partition]
            elif place.error.code() not in REBALANCES:
                say("failed", place.error)

    def _assigned(self, _consumer, partitions):
        say("assigned", time.monotonic(), *(partition.partition for partition in partitions))

    def _revoked(self, _consumer, partitions):
        end = time.monotonic() + COMMIT_SECONDS_MAX
        while self._nexts and time.monotonic() < end:
            self._commit()
        self._given_up(partitions)

    def _lost(self, _consumer, partitions):
        self._given_up(partitions)

    def _given_up(self, partitions):
        say("revoked", time.monotonic(), *(partition.partition for partition in partitions))
        for partition in partitions:
            self._nexts.pop(partition.partition, None)

    def _leave(self, _signal, _frame):
        self._goes_on = False


Member(*sys.argv[1:]).run()
