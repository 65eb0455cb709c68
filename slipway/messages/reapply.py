"""Rows that a rollback of the database set aside, written again: what became of each."""

import json
from typing import Literal

from pydantic import Field

from slipway.base import Message, Person, Sentence, Sha256
from slipway.messages.record import Place
from slipway.plan import Database

Outcome = Literal["fits", "applied", "there", "differs", "refused", "waits"]
"""`fits`: it would be written. `applied`: it was. `there`: nothing to do, it stands as it should.
`differs`: another content stands there, which is overwritten only when that is asked for.
`refused`: the database or the schema does not take it. `waits`: it refers to a row that is not
there yet and may come with the same file."""

UNWRITTEN: tuple[Outcome, ...] = ("differs", "refused", "waits")
"""Outcomes after which a person must look at a row."""


MOST_CHOICES = 1000


class RowChoice(Message):
    """Rows that a person means: those of a table, or the one with a key."""

    table: str
    """`schema.table`, as it is called now."""
    key: list[str] | None = None
    """The values of its primary key, as the server prints them; None: every row."""

    def __str__(self) -> str:
        return self.table if self.key is None else f"{self.table} {json.dumps(self.key)}"


class Chosen(Message):
    """Which rows of the files are written again."""

    only: list[RowChoice] = Field([], max_length=MOST_CHOICES)
    """Nothing but these; empty: all."""
    without: list[RowChoice] = Field([], max_length=MOST_CHOICES)
    """Never these, also where they are among the others."""

    def __str__(self) -> str:
        said = [
            f"{word} {', '.join(map(str, some[:10]))}{' …' if len(some) > 10 else ''}"
            for word, some in (("only", self.only), ("without", self.without))
            if some
        ]
        return ", ".join(said)


EVERYTHING = Chosen()


class RowFile(Message):
    """A file of rows in the bucket, as the record names it."""

    key: str
    sha256: Sha256


class ReapplyRequest(Message):
    """Start of `ReapplyRows`: the rest is in the record."""

    place: Place
    apply: bool = False
    """False: everything is tried and taken back; nothing is written."""
    overwrite: bool = False
    """Write also where another content stands, and delete what production had deleted."""
    chosen: Chosen = EVERYTHING
    person: Person
    reason: Sentence


class ReapplyFiles(Message):
    """Write the rows of files into production, or try to."""

    place: Place
    database: Database
    ledger: str
    """`schema.table`; never written."""
    files: list[RowFile]
    apply: bool = False
    overwrite: bool = False
    chosen: Chosen = EVERYTHING
    fence: int | None = None
    """The fence that must stand while rows are written: that of when they were tried. None: any."""


class RowOutcome(Message):
    """What became of one row."""

    file: str
    line: int
    """In the file, from 1; of several that speak of one row the last."""
    kind: str
    """As the file says: refused, altered, invented, missing, changed, added-table …"""
    table: str
    key: str
    """The row's key as JSON; empty where there is none."""
    outcome: Outcome
    sqlstate: str = ""
    because: str = ""


class TableOutcome(Message):
    """What became of the rows of one table."""

    table: str
    written: int = 0
    """Rows that fit, or were written."""
    there: int = 0
    differs: int = 0
    refused: int = 0
    waits: int = 0


class Reapplied(Message):
    """What became of the rows of a run's files."""

    applied: bool
    """False: it was only tried."""
    files: list[str] = []
    tables: list[TableOutcome] = []
    unwritten: list[RowOutcome] = []
    """The first of the rows that a person must look at."""
    fence: int = 0
    """The fence of the database while it was done."""
    outcomes_key: str = ""
    """The object that holds the outcome of every row, one JSON document a line, zstandard outside;
    empty when it was only tried."""
    seconds: float = 0.0

    @property
    def whole(self) -> bool:
        """Whether every row stands in the database, or would."""
        return not any(one.differs or one.refused or one.waits for one in self.tables)
