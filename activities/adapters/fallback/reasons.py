"""Why a row of the side database may rightly differ from production's."""

import json
from dataclasses import dataclass
from typing import Any

from activities.adapters.fallback.conflicts import key_text
from activities.adapters.fallback.pairs import Pair
from activities.adapters.postgres.sessions import Connection, rows

_SKIPPED = "SELECT xid::text, gone ? %s, gone -> %s FROM slipway_fallback.skipped"
_RECORDS = """
SELECT key, old_row, new_row FROM slipway_fallback.conflict
WHERE oid = %s AND settled_lsn IS NULL"""


@dataclass
class Reasons:
    """What is known about the rows of one table."""

    own: list[str]
    """The transactions that were migrations: a row that one of them wrote last, as production's row
    tells, the copy leaves as it was."""
    gone: set[str] | None
    """Keys of rows that a migration removed, or moved; None: it may be any."""
    keys: set[str]
    """Keys that stand in the conflict file."""
    keyless: int
    """How many of its records are of a table without a key."""

    def skipped(self, key: str) -> bool:
        """Whether a migration itself has done it."""
        return self.gone is None or key in self.gone

    def recorded(self, key: str) -> bool:
        """Whether the conflict file tells of it. Of rows without a key only the number can be
        compared: an UPDATE that was refused makes two differ."""
        if key in self.keys:
            return True
        self.keyless -= 1
        return self.keyless >= 0


async def reasons(side: Connection, pair: Pair) -> Reasons:
    """Read what the side database has noted of one table."""
    oid = str(pair.oid)
    own: list[str] = []
    gone: set[str] | None = set()
    for xid, named, keys in await rows(side, _SKIPPED, oid, oid):
        own.append(xid)
        if named and keys is None:
            gone = None
        elif named and gone is not None:
            gone.update(keys)
    known: set[str] = set()
    count = 0
    for key, old, new in await rows(side, _RECORDS, pair.oid):
        found = {key, *(_key(pair, one) for one in (old, new))} - {None}
        known.update(one for one in found if one)
        count += 0 if pair.key else 2
    return Reasons(own, gone, known, count)


def _key(pair: Pair, row: dict[str, Any] | None) -> str | None:
    if not pair.key or row is None or any(row.get(one) is None for one in pair.key):
        return None
    return key_text([row[one] for one in pair.key])


def key_values(key: str) -> list[str]:
    """Return the values of a key as records have it."""
    found = json.loads(key)
    assert isinstance(found, list)
    return found
