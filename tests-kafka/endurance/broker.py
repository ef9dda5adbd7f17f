"""A corelog that is started, killed and started again on the same data folder and the same ports."""

import json
import os
import random
import signal
import socket
import subprocess
import tempfile
import time

PROJECT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
START_SECONDS_MAX = 60
SHARDS = 2


class Broker:
    """Listens at `address`. Its data lies below target/, whose file system has direct I/O, and goes when it is left."""

    def __init__(self, corelog: str, *arguments: str):
        os.makedirs(os.path.join(PROJECT, "target"), exist_ok=True)
        self._folder = tempfile.TemporaryDirectory(prefix="endurance-", dir=os.path.join(PROJECT, "target"))
        self._ready = os.path.join(self._folder.name, "ready")
        shared, *shards = free_ports(1 + SHARDS)
        self.address = f"127.0.0.1:{shared}"
        self._command = [
            *(corelog, "serve", "--data", os.path.join(self._folder.name, "data"), "--ready-file", self._ready),
            *("--shards", str(SHARDS), "--listen", self.address, "--shard-ports", str(shards[0]), *arguments),
        ]
        self._log = open(os.path.join(self._folder.name, "log"), "w+")
        self._process = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_error):
        if self._process.poll() is None:
            self._process.terminate()
            self._process.wait()
        self._log.close()
        self._folder.cleanup()

    def start(self) -> float:
        """Returns how many seconds it took."""
        began = time.monotonic()
        if os.path.exists(self._ready):
            os.remove(self._ready)
        self._process = subprocess.Popen(self._command, stdout=self._log, stderr=self._log)
        while not self._is_ready():
            self.must_live()
            if time.monotonic() > began + START_SECONDS_MAX:
                raise TimeoutError(f"the broker was not ready within {START_SECONDS_MAX} s")
            time.sleep(0.02)
        return time.monotonic() - began

    def kill(self):
        """As a crash does: nothing is written, nobody is told."""
        self.must_live()
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def must_live(self):
        if self._process.poll() is not None:
            self._log.seek(0)
            raise RuntimeError(f"the broker ended by itself: {self._log.read()[-2000:]}")

    def _is_ready(self) -> bool:
        try:
            with open(self._ready) as file:
                return bool(json.load(file))
        except (FileNotFoundError, json.JSONDecodeError):
            return False


def free_ports(count: int) -> list[int]:
    """In a row, as the shards take them, and below those that connections take: one would sit there after a kill."""
    while True:
        first = random.randrange(22_000, 32_000)
        row = list(range(first, first + count))
        if all(map(is_free, row)):
            return row


def is_free(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
        return True
    except OSError:
        return False
