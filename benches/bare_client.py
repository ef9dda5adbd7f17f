"""A Kafka client over a bare socket: what a client library costs is not in what it measures.

    bare_client.py HOST:PORT TOPIC PARTITIONS BATCHES    sends so many batches of 960 records of 1,000 B, made beforehand
"""

import socket
import struct
import sys
import time


LARGE_RECORDS, LARGE_RECORD_BYTES = 960, 1_000
# Requests of large batches that each connection has under way.
LARGE_IN_FLIGHT = 8


def crc32c_of_byte(crc):
    for _ in range(8):
        crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc


CRC32C = [crc32c_of_byte(byte) for byte in range(256)]


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ CRC32C[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def varint(number):
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def zigzag(number):
    return varint(number << 1 if number >= 0 else (-number << 1) - 1)


def batch_of(values):
    """A record batch of version 2, without keys, headers, compression or producer."""
    records = bytearray()
    for delta, value in enumerate(values):
        record = b"\0" + zigzag(0) + zigzag(delta) + zigzag(-1) + zigzag(len(value)) + value + zigzag(0)
        records += zigzag(len(record)) + record
    now, count = int(time.time() * 1000), len(values)
    checked = struct.pack(">hiqqqhii", 0, count - 1, now, now, -1, -1, -1, count) + records
    return struct.pack(">qiibI", 0, 9 + len(checked), -1, 2, crc32c(checked)) + checked


def produce_request(topic, values):
    """Produce, version 9, acks=all, one batch for partition 0, its length in front; the correlation id is at 8, the partition
    at `partition_at(topic)`."""
    batch, name = batch_of(values), topic.encode()
    header = struct.pack(">hhih", 0, 9, 0, 5) + b"bench" + b"\0"
    partition = struct.pack(">i", 0) + varint(len(batch) + 1) + batch + b"\0"
    body = b"\0" + struct.pack(">hi", -1, 30_000) + b"\2" + varint(len(name) + 1) + name + b"\2" + partition + b"\0\0"
    return bytearray(struct.pack(">i", len(header + body)) + header + body)


def partition_at(topic):
    # Length, header, tags; transactional id, acks, time-out; topics, the name, partitions.
    return 4 + 15 + 1 + 1 + 6 + 1 + 1 + len(topic.encode()) + 1


def receive(stream):
    """One answer, behind its length, where no other is under way."""
    held = b""
    while len(held) < 4 or len(held) < 4 + struct.unpack_from(">i", held)[0]:
        more = stream.recv(65536)
        if not more:
            sys.exit("the broker closed the connection: see its log")
        held += more
    return held[4:]


class Fields:
    """Reads an answer, field by field."""

    def __init__(self, answer, at):
        self.answer, self.at = answer, at

    def number(self, kind):
        number, = struct.unpack_from(f">{kind}", self.answer, self.at)
        self.at += struct.calcsize(f">{kind}")
        return number

    def text(self):
        size = max(0, self.number("h"))
        self.at += size
        return self.answer[self.at - size : self.at].decode()

    def skip(self, count):
        self.at += count


def address(listen):
    host, port = listen.rsplit(":", 1)
    return host, int(port)


def connect(to):
    stream = socket.create_connection(to)
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return stream


def fetch_request(topic, offset):
    """Fetch, version 4, of partition 0, that does not wait."""
    name = topic.encode()
    body = struct.pack(">hhih", 1, 4, 0, 5) + b"bench" + struct.pack(">iiiibi", -1, 0, 1, 8 << 20, 0, 1)
    body += struct.pack(">h", len(name)) + name + struct.pack(">iiqi", 1, 0, offset, 1 << 20)
    return struct.pack(">i", len(body)) + body


def check_produced(answer, topic, number):
    """The offset; ends the program unless this is the good answer to the request of that number."""
    # Behind the correlation id and the header's tags: topics, the name, partitions, the index.
    code_at = 4 + 1 + 1 + 1 + len(topic.encode()) + 1 + 4
    found, (code, offset) = struct.unpack_from(">i", answer)[0], struct.unpack_from(">hq", answer, code_at)
    if found != number or code != 0:
        sys.exit(f"request {number} answered as {found} with error code {code}")
    return offset


class LargeBatches:
    """A connection to the leader of some partitions, with requests under way that are answered in their order."""

    def __init__(self, to, topic):
        self.stream, self.topic, self.sent, self.answered = connect(to), topic, 0, 0
        self.answers = self.stream.makefile("rb")

    def send(self, request, partition):
        if self.sent - self.answered == LARGE_IN_FLIGHT:
            self.take_answer()
        self.sent += 1
        struct.pack_into(">i", request, 8, self.sent)
        struct.pack_into(">i", request, partition_at(self.topic), partition)
        self.stream.sendall(request)

    def take_answer(self):
        self.answered += 1
        size, = struct.unpack(">i", self.answers.read(4))
        check_produced(self.answers.read(size), self.topic, self.answered)


def send_large_batches(listen, topic, partitions, batches):
    """To each partition in its turn."""
    request = produce_request(topic, [b"x" * LARGE_RECORD_BYTES] * LARGE_RECORDS)
    leader_of = leaders(listen, topic)
    streams = {to: LargeBatches(to, topic) for to in set(leader_of.values())}
    for number in range(batches):
        partition = number % partitions
        streams[leader_of[partition]].send(request, partition)
    for stream in streams.values():
        while stream.answered < stream.sent:
            stream.take_answer()


def latencies(request, seconds, one):
    """Microseconds that `one(number)` says each took in seconds, one after the other, each with its number in the request; the
    first tenth of the time is not counted."""
    counted, number, began = [], 0, time.monotonic()
    while (passed := time.monotonic() - began) < seconds * 1.1:
        number += 1
        struct.pack_into(">i", request, 8, number)
        took = one(number)
        if passed > seconds * 0.1:
            counted.append(took * 1e6)
    return sorted(counted)


def single_latencies(listen, topic, size, seconds):
    """Microseconds until each record is acknowledged."""
    request = produce_request(topic, [b"x" * size])
    with connect(leaders(listen, topic)[0]) as stream:

        def one(number):
            sent = time.perf_counter()
            stream.sendall(request)
            answer = receive(stream)
            took = time.perf_counter() - sent
            check_produced(answer, topic, number)
            return took

        return latencies(request, seconds, one)


def end_to_end_latencies(listen, topic, size, seconds):
    """Microseconds from before a record is produced until it has been fetched over another connection."""
    request = produce_request(topic, [b"x" * size])
    to = leaders(listen, topic)[0]
    with connect(to) as producer, connect(to) as consumer:

        def one(number):
            sent = time.perf_counter()
            producer.sendall(request)
            offset = check_produced(receive(producer), topic, number)
            consumer.sendall(fetch_request(topic, offset))
            fetched = receive(consumer)
            took = time.perf_counter() - sent
            if len(fetched) < size:
                sys.exit(f"the record at {offset} was not fetched")
            return took

        return latencies(request, seconds, one)


def served_apis(listen):
    """The numbers of the APIs that the broker tells of, by ApiVersions 0."""
    with connect(address(listen)) as stream:
        stream.sendall(struct.pack(">ihhih", 10, 18, 0, 1, -1))
        answer = receive(stream)
    count = struct.unpack_from(">i", answer, 6)[0]
    return {struct.unpack_from(">h", answer, 10 + 6 * at)[0] for at in range(count)}


def leaders(listen, topic):
    """Where the leader of each partition listens, by Metadata 1."""
    name = topic.encode()
    with connect(address(listen)) as stream:
        body = struct.pack(">hhihih", 3, 1, 0, -1, 1, len(name)) + name
        stream.sendall(struct.pack(">i", len(body)) + body)
        fields = Fields(receive(stream), at=4)
    nodes, leader_of = {}, {}
    for _ in range(fields.number("i")):
        node, host, port = fields.number("i"), fields.text(), fields.number("i")
        fields.text()
        nodes[node] = host, port
    # The controller, one topic: its error code, name, internal or not, its partitions: error code, index.
    fields.skip(4 + 4 + 2)
    fields.text()
    fields.skip(1)
    for _ in range(fields.number("i")):
        code, index, node = fields.number("h"), fields.number("i"), fields.number("i")
        if code == 0:
            leader_of[index] = nodes[node]
        for _ in "replicas", "those in sync":
            fields.skip(4 * fields.number("i"))
    if 0 not in leader_of:
        sys.exit(f"{listen} knows no leader of {topic}")
    return leader_of


if __name__ == "__main__":
    send_large_batches(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
