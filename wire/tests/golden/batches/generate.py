#!/usr/bin/env python3
"""Writes kafka-python-*.bin: the same 20 records in each codec, made by another implementation of the format.

Made with kafka-python 3.0.12, python-snappy 0.7.3, lz4 4.4.5, zstandard 0.25.0. The files are frozen: run this only to add
one. Usage: generate.py FOLDER
"""

import sys

from kafka.record.default_records import DefaultRecordBatchBuilder

CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}

for name, codec in CODECS.items():
    batch = DefaultRecordBatchBuilder(2, codec, False, 4000, 1, 7, 1 << 20)
    for i in range(20):
        key = None if i % 2 else b"key-%d" % i
        value = None if i % 5 == 4 else b"value of record %d, of the batch that another client wrote" % i
        headers = [("trace", b"id-%d" % i), ("empty", None)] if i % 3 == 0 else []
        assert batch.append(i, 1700000000000 + (i * 7) % 5, key, value, headers)
    with open(f"{sys.argv[1]}/kafka-python-{name}.bin", "wb") as file:
        file.write(bytes(batch.build()))

one = DefaultRecordBatchBuilder(2, 0, False, -1, -1, -1, 1 << 20)
assert one.append(0, 1700000000000, b"k", b"hi", [])
with open(f"{sys.argv[1]}/kafka-python-one-record.bin", "wb") as file:
    file.write(bytes(one.build()))
