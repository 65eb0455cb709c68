"""Clients that keep their connection, as services do, and say what they saw."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import psycopg

from tests.integration.data_world import DataWorld


@dataclass
class Client:
    """Inserts and reads by one connection that it keeps as long as it can. `prepared`: by prepared
    statements, from the first execution on."""

    url: str
    name: str
    prepared: bool = False
    acknowledged: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    connected: int = 0
    columns: int = 0
    """Of the row that it read last: the schema that it sees."""
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        while not self.stop.is_set():
            try:
                self._work()
            except psycopg.Error as error:
                self.errors.append(str(error))
                self.stop.wait(0.01)

    def _work(self) -> None:
        threshold = 0 if self.prepared else None
        with psycopg.connect(self.url, autocommit=True, prepare_threshold=threshold) as connection:
            self.connected += 1
            while not self.stop.is_set():
                key = f"{self.name}{len(self.acknowledged)}@teei.example"
                connection.execute("INSERT INTO users (email) VALUES (%s)", [key])
                self.acknowledged.append(key)
                read = connection.execute("SELECT * FROM users WHERE email = %s", [key])
                self.columns = len(read.description or ())
                assert read.fetchone() is not None
                self.stop.wait(0.002)


@contextmanager
def clients(url: str, count: int, *, prepared: bool = False) -> Iterator[list[Client]]:
    """Let so many clients work while the block lasts."""
    made = [Client(url, f"c{number}n", prepared) for number in range(count)]
    threads = [threading.Thread(target=one.run) for one in made]
    for thread in threads:
        thread.start()
    try:
        yield made
    finally:
        for one in made:
            one.stop.set()
        for thread in threads:
            thread.join(120)
            assert not thread.is_alive(), "a client waits for ever"


def missing(world: DataWorld, working: list[Client]) -> int:
    """Acknowledged rows that production does not hold."""
    there = {one[0] for one in world.run("SELECT email FROM users")}
    return len([key for one in working for key in one.acknowledged if key not in there])
