#!/usr/bin/env python3
"""A group whose members join, leave and crash while records come in without a pause.

    churn.py --corelog FILE [--seconds 60] [--protocol classic|consumer] [--seed N]

The members are librdkafka's (confluent-kafka), each a process of its own (member.py), so that a crash is a real one.
Afterwards every record must have been read, and none twice but for what a killed member had read and not committed.
Prints how long it took after each kind of act until every partition was at a member again; for a crash that has the
session's time-out in it, 6 s, for KIP-848 the broker's 45 s, so that there crashes are rare.
"""

import argparse
import collections
import os
import random
import signal
import statistics
import subprocess
import sys
import threading
import time

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from broker import Broker

TOPIC = "churned"
GROUP = "churn"
PARTITIONS = 12
RECORDS_A_SECOND = 1_000
MEMBERS_MAX = 6
SECONDS_BETWEEN_ACTS = (1.0, 4.0)
SETTLE_SECONDS_MAX = 90
CRASH_IN_ACTS = {"classic": 1, "consumer": 5}


class Writer:
    """Writes at a steady rate, to the partitions in turn; `ends` is what each partition must have been read to."""

    def __init__(self, address: str):
        self.ends = [0] * PARTITIONS
        self.failures = []
        self._stop = False
        self._producer = Producer({"bootstrap.servers": address, "linger.ms": 5, "log_level": 0})
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        began, sent = time.monotonic(), 0
        while not self._stop:
            while sent < (time.monotonic() - began) * RECORDS_A_SECOND:
                try:
                    self._producer.produce(TOPIC, partition=sent % PARTITIONS, value=b"x" * 100, on_delivery=self._delivered)
                except BufferError as error:
                    self.failures.append(f"the broker takes less than {RECORDS_A_SECOND} records a second: {error}")
                    return
                sent += 1
            self._producer.poll(0.01)

    def _delivered(self, error, message):
        if error is not None:
            self.failures.append(f"a record could not be written: {error}")
        else:
            self.ends[message.partition()] = max(self.ends[message.partition()], message.offset() + 1)

    def finish(self):
        self._stop = True
        self._thread.join()
        if left := self._producer.flush(30):
            self.failures.append(f"{left} records were not written within 30 s")


class Member:
    """What one member did, from what it said."""

    def __init__(self, address: str, protocol: str):
        self.owned = set()
        self.events = []
        self.killed = False
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "member.py")
        self._process = subprocess.Popen(
            [sys.executable, script, address, TOPIC, GROUP, protocol], stdout=subprocess.PIPE, text=True
        )
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self):
        for line in self._process.stdout:
            word, *rest = line.split()
            if not line.endswith("\n"):
                break
            self.events.append((word, rest))
            if word == "assigned":
                self.owned |= set(map(int, rest[1:]))
            elif word == "revoked":
                self.owned -= set(map(int, rest[1:]))

    def lives(self) -> bool:
        return self._process.poll() is None

    def end(self, by: signal.Signals):
        self.killed = by == signal.SIGKILL
        self._process.send_signal(by)
        self._process.wait(60)
        self._thread.join()
        self.owned = set()

    def ended_badly(self) -> str | None:
        """In what way it did not end as it was told to, if so."""
        expected = -signal.SIGKILL if self.killed else 0
        return None if self._process.returncode == expected else f"it ended with {self._process.returncode}"


class Churn:
    def __init__(self, address: str, protocol: str, chance: random.Random):
        self.members = []
        self.settled = collections.defaultdict(list)
        self._address = address
        self._protocol = protocol
        self._chance = chance

    def living(self) -> list[Member]:
        return [member for member in self.members if not member.killed and member.lives()]

    def join(self):
        self.members.append(Member(self._address, self._protocol))

    def act(self):
        """Something happens to the group, and is over when each partition has one owner among all that live."""
        living = self.living()
        # A crash takes the session's time-out, in which nothing else happens.
        often = CRASH_IN_ACTS[self._protocol]
        acts = ["join"] * often * (len(living) < MEMBERS_MAX) + (["leave"] * often + ["crash"]) * (len(living) > 1)
        act = self._chance.choice(acts)
        began = time.monotonic()
        if act == "join":
            self.join()
        else:
            self._chance.choice(living).end(signal.SIGTERM if act == "leave" else signal.SIGKILL)
        self.settle()
        self.settled[act].append(time.monotonic() - began)

    def settle(self):
        end = time.monotonic() + SETTLE_SECONDS_MAX
        while True:
            living = self.living()
            owned = [partition for member in living for partition in member.owned]
            if sorted(owned) == list(range(PARTITIONS)) and all(member.owned for member in living):
                return
            if time.monotonic() > end:
                raise TimeoutError(f"not settled within {SETTLE_SECONDS_MAX} s: {[sorted(m.owned) for m in living]}")
            time.sleep(0.01)

    def finish(self):
        for member in self.living():
            member.end(signal.SIGTERM)


def read_to(members: list[Member]) -> list[int]:
    """Where the commits of all members together have come to."""
    nexts = [0] * PARTITIONS
    for member in members:
        for word, rest in list(member.events):
            if word == "committed":
                partition, next_offset = map(int, rest)
                nexts[partition] = max(nexts[partition], next_offset)
    return nexts


def faults(members: list[Member], ends: list[int]):
    """What is not as it must be, in words."""
    times = collections.Counter()
    allowed = collections.Counter()
    for number, member in enumerate(members):
        if badly := member.ended_badly():
            yield f"member {number}: {badly}"
        uncommitted = collections.defaultdict(set)
        for word, rest in member.events:
            if word == "failed":
                yield f"member {number}: {' '.join(rest)}"
            elif word == "read":
                partition, *offsets = map(int, rest)
                if any(after != before + 1 for before, after in zip(offsets, offsets[1:])):
                    yield f"member {number} read partition {partition} out of order: {offsets[:20]}"
                times.update((partition, offset) for offset in offsets)
                uncommitted[partition].update(offsets)
            elif word == "committed":
                partition, next_offset = map(int, rest)
                uncommitted[partition] = {offset for offset in uncommitted[partition] if offset >= next_offset}
        if member.killed:
            allowed.update((partition, offset) for partition in uncommitted for offset in uncommitted[partition])
    for partition, end in enumerate(ends):
        missed = [offset for offset in range(end) if not times[partition, offset]]
        if missed:
            yield f"partition {partition}: {len(missed)} records were never read, the first at {missed[0]}"
    again = [place for place, count in times.items() if count > 1 + allowed[place]]
    if again:
        yield f"{len(again)} records were read again though nobody who had them was killed, one at {min(again)}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corelog", required=True, metavar="FILE")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--protocol", choices=["classic", "consumer"], default="classic")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    chance = random.Random(options.seed)
    with Broker(options.corelog) as broker:
        admin = AdminClient({"bootstrap.servers": broker.address, "log_level": 0})
        admin.create_topics([NewTopic(TOPIC, num_partitions=PARTITIONS)])[TOPIC].result(20)
        churn = Churn(broker.address, options.protocol, chance)
        for _ in range(2):
            churn.join()
        churn.settle()
        writer = Writer(broker.address)
        end = time.monotonic() + options.seconds
        while time.monotonic() < end:
            time.sleep(chance.uniform(*SECONDS_BETWEEN_ACTS))
            churn.act()
            broker.must_live()
        writer.finish()
        caught_up = time.monotonic() + SETTLE_SECONDS_MAX
        while read_to(churn.members) != writer.ends and time.monotonic() < caught_up:
            time.sleep(0.1)
        churn.finish()
        found = writer.failures + list(faults(churn.members, writer.ends))
    print(
        f"{'FAILED' if found else 'ok    '} churn of a {options.protocol} group: {len(churn.members)} members, "
        f"{sum(writer.ends)} records" + "".join(f"\n       {fault}" for fault in found[:10])
    )
    for act, seconds in sorted(churn.settled.items()):
        print(f"       {len(seconds)} x {act}: settled after {statistics.median(seconds):.2f} s, at most {max(seconds):.2f} s")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
