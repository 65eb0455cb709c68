"""The follower's look at production's catalog, on a session that stays open: when production is
closed for a swap, no other could be opened."""

import time
from collections.abc import Sequence

import psycopg

from activities.adapters.fallback.catalog import COLUMNS, VERSIONS, group_columns
from activities.adapters.fallback.mapping import Epoch, Reading, listed, next_epoch
from activities.adapters.fallback.protocol import parse_lsn
from activities.adapters.fallback.wire import REMEDY, connect
from activities.adapters.postgres.url import Target
from slipway.errors import FallbackLost

_RUNNING = "SELECT 1 FROM pg_locks WHERE locktype = 'transactionid' AND transactionid = %s::xid"
_PUBLICATION = """
SELECT pubinsert AND pubupdate AND pubdelete AND pubtruncate AND pubviaroot
    AND coalesce(to_jsonb(p) ->> 'pubgencols', 's') = 's'
FROM pg_publication p WHERE pubname = %s"""
_LEFT_OUT = """
SELECT c.oid::regclass::text FROM pg_class c
WHERE c.oid = ANY (%s::int8[]::oid[]) AND NOT EXISTS (
    SELECT FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid
    WHERE r.prrelid = c.oid AND p.pubname = %s AND r.prqual IS NULL AND r.prattrs IS NULL)
ORDER BY 1"""
_VISIBLE_SECONDS = 60.0


class Production:
    """A session that reads. Raises psycopg.OperationalError when it is lost."""

    def __init__(self, source: Target, purpose: str) -> None:
        """Connect. `purpose`: by which a fence knows the follower's sessions."""
        self._connection = connect(source, purpose)

    def close(self) -> None:
        """Disconnect."""
        self._connection.close()

    def end(self) -> int:
        """Return how far production's log goes now."""
        return parse_lsn(str(self._one("SELECT pg_current_wal_lsn()::text")))

    def check_publication(self, name: str, tables: Sequence[int]) -> None:
        """Raise FallbackLost when the publication does not send every change of the tables that
        are still there: the server then leaves them out without a word."""
        found = self._connection.execute(_PUBLICATION, [name]).fetchone()
        if found is None or not found[0]:
            raise FallbackLost(
                f"The publication {name} is gone or no longer sends every kind of change.", REMEDY
            )
        left = self._connection.execute(_LEFT_OUT, [list(tables), name]).fetchall()
        if left:
            names = ", ".join(str(one) for (one,) in left)
            raise FallbackLost(f"The publication {name} no longer sends all of {names}.", REMEDY)

    def _one(self, query: str) -> object:
        found = self._connection.execute(query.encode()).fetchone()
        return found[0] if found else None

    def next_epoch(self, last: Epoch, seen: int, xid: int | None) -> Epoch:
        """Read the epoch after `last` that the transaction `seen` has met; `xid`: the migration
        that began it, None for other DDL."""
        self._await(seen)
        tables = list(last.tables)
        with self._connection.transaction():
            self._connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            columns = group_columns(self._connection.execute(COLUMNS.encode(), [tables]))
            found = self._connection.execute(VERSIONS.encode(), [tables]).fetchall()
        reading = {
            oid: Reading(listed(columns.get(oid, [])), seen, dropped)
            for oid, seen, dropped in found
        }
        return next_epoch(last, reading, xid)

    def _await(self, xid: int) -> None:
        """A commit is streamed a moment before others can see it."""
        deadline = time.monotonic() + _VISIBLE_SECONDS
        while self._connection.execute(_RUNNING, [str(xid)]).fetchone():
            if time.monotonic() > deadline:
                raise psycopg.OperationalError(f"transaction {xid} does not become visible")
            time.sleep(0.005)  # no statement waits for a transaction to be seen
