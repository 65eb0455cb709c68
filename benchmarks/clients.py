"""Clients of the database in a process of their own, each with its own log of what was
acknowledged: `python -m benchmarks.clients` reads its order from standard input and ends when that
is closed. The benchmark judges by these logs, not by what slipway says of itself.

Instants are seconds of the system-wide monotonic clock, so that two processes share them.
"""

import itertools
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import psycopg

from benchmarks.seeding import ACCOUNTS, FIRST_WRITTEN
from devstack.layout import CHECKOUT

CLIENTS = 4
_RETRY = 0.01
_OID = "SELECT oid::bigint FROM pg_database WHERE datname = current_database()"
_WRITE = """
WITH posted AS (INSERT INTO postings (id, account, amount, note)
    VALUES (%s, %s, %s, %s) RETURNING account, amount)
UPDATE accounts SET touched = touched + 1, balance = balance + posted.amount
FROM posted WHERE accounts.id = posted.account"""
_READ = "SELECT owner, balance FROM accounts WHERE id = %s"


@dataclass(frozen=True)
class Order:
    """What the clients do."""

    url: str
    log: str
    rate: float
    """Operations a second of all clients together; 0: as fast as they can."""
    reads: bool = False
    """Read by key instead of writing."""
    first: int = FIRST_WRITTEN
    """Number of the first posting."""


@dataclass(frozen=True)
class Done:
    """One acknowledged operation."""

    due: float
    """When it was to begin. With a rate that is the timetable's instant, so that what waited behind
    a slow one counts as slow too."""
    end: float
    database: int
    """OID of the database that acknowledged: it tells an old one from the one swapped in."""
    key: int

    @property
    def took(self) -> float:
        """Seconds."""
        return self.end - self.due


class Clients:
    """A running process of clients, seen from the benchmark."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._read = 0
        self._rest = ""
        self._done: list[Done] = []

    def done(self) -> list[Done]:
        """Everything acknowledged so far, in the order of the log."""
        with self._log.open() as file:
            file.seek(self._read)
            text = self._rest + file.read()
            self._read = file.tell()
        *lines, self._rest = text.split("\n")
        self._done += [_parsed(line) for line in lines]
        return self._done

    def count(self) -> int:
        """How many operations were acknowledged so far."""
        return len(self.done())


def _parsed(line: str) -> Done:
    due, end, database, key = line.split(" ")
    return Done(float(due), float(end), int(database), int(key))


@contextmanager
def running(order: Order) -> Iterator[Clients]:
    """Run the clients while the block lasts. Raises RuntimeError when they end by themselves."""
    log = Path(order.log)
    log.touch(mode=0o600)
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.clients"],
        stdin=subprocess.PIPE,
        cwd=CHECKOUT,
        text=True,
    )
    assert process.stdin is not None
    try:
        process.stdin.write(json.dumps(asdict(order)) + "\n")
        process.stdin.flush()
        yield Clients(log)
        if process.poll() is not None:
            raise RuntimeError("The clients ended before their time.")
    finally:
        process.stdin.close()
        process.wait(60)
    if process.returncode:
        raise RuntimeError(f"The clients ended with {process.returncode}.")


def _main() -> None:
    order = Order(**json.loads(sys.stdin.readline()))
    stop = threading.Event()
    log = os.open(order.log, os.O_WRONLY | os.O_APPEND)
    begin = time.monotonic()
    threads = [
        threading.Thread(target=_Client(number, order, log, begin, stop).run)
        for number in range(CLIENTS)
    ]
    for one in threads:
        one.start()
    sys.stdin.read()
    stop.set()
    for one in threads:
        one.join()


class _Client:
    def __init__(
        self, number: int, order: Order, log: int, begin: float, stop: threading.Event
    ) -> None:
        self._order = order
        self._log = log
        self._stop = stop
        self._keys = itertools.count(order.first + number, CLIENTS)
        self._every = CLIENTS / order.rate if order.rate else 0.0
        self._due = begin + self._every * number / CLIENTS

    def run(self) -> None:
        """Operate until the end, over every loss of the connection."""
        operate = self._read if self._order.reads else self._write
        while not self._stop.is_set():
            try:
                with psycopg.connect(
                    self._order.url, autocommit=True, connect_timeout=5
                ) as connection:
                    found = connection.execute(_OID).fetchone()
                    self._serve(connection, int(found[0]) if found else 0, operate)
            except psycopg.Error:
                self._stop.wait(_RETRY)
                if not self._order.reads:
                    self._due = max(self._due, time.monotonic())  # what was not asked is not owed

    def _serve(
        self,
        connection: psycopg.Connection,
        database: int,
        operate: Callable[[psycopg.Connection, int], bool],
    ) -> None:
        for key in self._keys:
            due = self._next()
            if self._stop.is_set():
                return
            if not operate(connection, key):
                raise psycopg.OperationalError("The row to change is not there.")
            line = f"{due:.6f} {time.monotonic():.6f} {database} {key}\n"
            os.write(self._log, line.encode())

    def _next(self) -> float:
        """Wait until the next operation is due and return when that is."""
        if not self._every:
            return time.monotonic()
        due, self._due = self._due, self._due + self._every
        if (early := due - time.monotonic()) > 0:
            self._stop.wait(early)
        return due

    def _write(self, connection: psycopg.Connection, key: int) -> bool:
        account = 1 + key * 7919 % ACCOUNTS
        values = [key, account, key % 1000, f"posting {key}"]
        return connection.execute(_WRITE, values).rowcount == 1

    def _read(self, connection: psycopg.Connection, key: int) -> bool:
        return connection.execute(_READ, [1 + key % ACCOUNTS]).fetchone() is not None


if __name__ == "__main__":
    _main()
