"""What the programs of all Python clients share: the records, what is expected of them, and the line of each check.

A program lists its checks with `Kit.add` and calls `Kit.run`. A check is a function that raises when something is not
as it should be. Each takes topics of its own, so that the order does not matter and any one may be left out by its tag:
`core` (connect, produce, fetch, create and delete topics), `group`, `configs`, `admin` (the other requests of an admin).
"""

import argparse
import asyncio
import inspect
import os
import signal
import time
from dataclasses import dataclass

PARTITIONS = 4
COUNT = 2000
CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
CHECK_SECONDS_MAX = 60
LARGE_VALUE = os.urandom(450_000).hex().encode()


@dataclass(frozen=True)
class Record:
    """What is produced: the number i goes to partition i modulo PARTITIONS, one record a second of event time."""

    partition: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]
    timestamp_ms: int


@dataclass(frozen=True)
class Read:
    """What came back."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]
    timestamp_ms: int


class Kit:
    def __init__(self, client: str):
        self.client = client
        parser = argparse.ArgumentParser()
        parser.add_argument("--bootstrap", required=True, metavar="HOST:PORT")
        parser.add_argument("--without", default="", metavar="TAGS", help="comma-separated: group, configs, admin")
        parser.add_argument("--check", default="", metavar="TEXT", help="only the checks whose name has this in it")
        self.arguments = parser.parse_args()
        self.bootstrap = self.arguments.bootstrap
        self._left_out = set(filter(None, self.arguments.without.split(",")))
        self._checks = []
        self._nonce = f"{int(time.time() * 1000) % 10**9:09d}"
        self._names = 0
        # An hour ago: event times that are neither in the future nor old enough for retention.
        self._first_timestamp_ms = (int(time.time()) - 3600) * 1000

    def name(self, purpose: str) -> str:
        """Of a topic or a group that nobody has."""
        self._names += 1
        return f"kit-{self.client}-{purpose}-{self._nonce}-{self._names}"

    def record(self, number: int) -> Record:
        return Record(
            partition=number % PARTITIONS,
            key=f"key-{number}".encode(),
            value=f"value-{number}-".encode() + b"x" * (number * 7 % 300),
            headers=[("number", str(number).encode()), ("empty", b"")],
            timestamp_ms=self._first_timestamp_ms + number * 1000,
        )

    def records(self) -> list[Record]:
        return [self.record(number) for number in range(COUNT)]

    def verify(self, reads: list[Read], first_offset: int = 0):
        """Every record once, its offset, key, value, headers and time; each partition in order, from `first_offset`."""
        for partition in range(PARTITIONS):
            found = [read for read in reads if read.partition == partition]
            offsets = [read.offset for read in found]
            expected = list(range(first_offset, COUNT // PARTITIONS))
            same(f"the offsets of partition {partition}", summary(offsets), summary(expected))
            for read in found:
                record = self.record(read.offset * PARTITIONS + partition)
                where = f"of {partition}@{read.offset}"
                same(f"the key {where}", read.key, record.key)
                same(f"the value {where}", read.value, record.value)
                same(f"the headers {where}", list(read.headers), record.headers)
                same(f"the time {where}", read.timestamp_ms, record.timestamp_ms)
        same("the number of records", len(reads), COUNT - PARTITIONS * first_offset)

    def time_of_offset(self, partition: int, offset: int) -> int:
        return self.record(offset * PARTITIONS + partition).timestamp_ms

    def add(self, name: str, function, *arguments, tag: str = "core"):
        if tag not in self._left_out and self.arguments.check in name:
            self._checks.append((name, function, arguments))

    def run(self):
        failed = 0
        signal.signal(signal.SIGALRM, self._overdue)
        for name, function, arguments in self._checks:
            signal.alarm(CHECK_SECONDS_MAX)
            started = time.monotonic()
            try:
                if inspect.iscoroutinefunction(function):
                    asyncio.run(function(*arguments))
                else:
                    function(*arguments)
                print(f"ok     {self.client}: {name} ({time.monotonic() - started:.1f} s)", flush=True)
            except Exception as error:
                failed += 1
                # Python's word for a callback that was called while an error of the client was on its way.
                if isinstance(error, SystemError) and error.__cause__:
                    error = error.__cause__
                text = " ".join(f"{type(error).__name__}: {error}".split())[:300]
                print(f"FAILED {self.client}: {name}: {text}", flush=True)
                if os.environ.get("KIT_TRACE"):
                    import traceback

                    traceback.print_exc()
            finally:
                signal.alarm(0)
        # Some clients leave threads behind that wait for a broker.
        os._exit(1 if failed else 0)

    @staticmethod
    def _overdue(_signal, _frame):
        raise TimeoutError(f"not done within {CHECK_SECONDS_MAX} s")


def same(what: str, found, expected):
    if found != expected:
        raise AssertionError(f"{what}: {found!r:.120} instead of {expected!r:.120}")


def refused(what: str, error: str, function, *arguments):
    """That `function` fails, with `error` in what it says."""
    try:
        function(*arguments)
    except Exception as raised:
        said = f"{type(raised).__name__} {raised}"
        if error not in said:
            raise AssertionError(f"{what} was refused with {said:.200} instead of {error}") from raised
        return
    raise AssertionError(f"{what} was accepted")


def summary(offsets: list[int]) -> str:
    """Ranges instead of thousands of numbers: 0..500, or 0..200 202..500 where one is missing."""
    ranges = []
    for offset in offsets:
        if ranges and ranges[-1][1] == offset:
            ranges[-1][1] = offset + 1
        else:
            ranges.append([offset, offset + 1])
    return " ".join(f"{first}..{end}" for first, end in ranges[:10])


def until(what: str, condition, seconds: float = 30):
    """Waits for what the broker does in its own time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"not within {seconds} s: {what}")
        time.sleep(0.05)
