"""Rows written again, each exactly as a file has it or not at all.

A row is read, compared, written and read back under a savepoint of its own; new rows that follow
each other are written together, as long as nothing is wrong with any of them.
"""

import psycopg
from psycopg import sql

from activities.adapters.postgres.reapply_spool import Kept
from activities.adapters.postgres.reapply_table import Table, printed
from activities.adapters.postgres.sessions import Connection
from slipway.judgements.rows_file import RowVerdict as Verdict
from slipway.judgements.rows_file import same
from slipway.messages.reapply import Outcome

_REFERS = "23503"
_MADE_ANEW = ("missing", "added-table")

_MARKS = """
CREATE SCHEMA IF NOT EXISTS slipway_fallback;
CREATE TABLE IF NOT EXISTS slipway_fallback.reapplied (line text PRIMARY KEY)"""
"""Lines whose row nothing tells apart from others, written in the row's own transaction. The schema
is in no dump and no fingerprint (`pg_commands.FALLBACK_SCHEMA`)."""

_MARK = "INSERT INTO slipway_fallback.reapplied VALUES (%s) ON CONFLICT DO NOTHING"


async def prepare(session: Connection, table: Table) -> None:
    """Make ready to write into a table, in the transaction that does."""
    await session.execute("SET CONSTRAINTS ALL IMMEDIATE")  # so that it is told row by row
    if not table.key:
        await session.execute(_MARKS)


async def write_one(session: Connection, table: Table, kept: Kept, *, over: bool) -> Verdict:
    """Write one row under a savepoint, or say why not. Raises psycopg.Error when the session is
    lost."""
    try:
        async with session.transaction():
            verdict = await _Writer(session, table, kept, over=over).write()
            if verdict.outcome not in ("applied", "there"):
                raise _Back(verdict)
    except _Back as back:
        return back.verdict
    except psycopg.Error as error:
        if session.closed:
            raise
        outcome: Outcome = "waits" if error.sqlstate == _REFERS else "refused"
        return Verdict(outcome, _words(error), error.sqlstate or "")
    except UnicodeEncodeError:
        return Verdict("refused", "a value holds characters that no text may hold", "22021")
    return verdict


async def write_together(session: Connection, table: Table, batch: list[Kept]) -> Verdict | None:
    """Write new rows with one statement, or find that all of them stand there; return what became
    of each. None, and nothing is written, where they must be looked at one by one."""
    names = table.known(batch[0].wish)
    if not all(_Writer(session, table, one, over=False).is_new(names) for one in batch):
        return None
    wanted = {tuple(one.key.values()): one.wish.values for one in batch}
    try:
        async with session.transaction():
            keys = [value for one in batch for value in one.key.values()]
            cursor = await session.execute(table.select_all(names, len(batch)), keys)
            if cursor.rowcount == 0:
                verdict = Verdict("applied")
                given = [one.wish.values[name] for one in batch for name in table.given(names)]
                cursor = await session.execute(table.insert(names, len(batch)), given)
            else:
                verdict = Verdict("there")
            _refuse_others(table, names, wanted, cursor)
    except (_Back, UnicodeEncodeError):
        return None
    except psycopg.Error:
        if session.closed:
            raise
        return None
    return verdict


def _refuse_others(
    table: Table,
    names: list[str],
    wanted: dict[tuple[str | None, ...], dict[str, str | None]],
    cursor: psycopg.AsyncCursor[tuple[object, ...]],
) -> None:
    """Raise _Back unless a result is exactly the rows that are wanted."""
    found = [dict(zip(names, printed(cursor, at), strict=True)) for at in range(cursor.rowcount)]
    for row in found:
        want = wanted.get(tuple(row[one] for one in table.key))
        if want is None or not all(same(row[one], want[one]) for one in names):
            raise _Back(Verdict("differs"))
    if len(found) != len(wanted):
        raise _Back(Verdict("differs"))


class _Back(Exception):
    """Takes a row's savepoint back; not an error."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.outcome)
        self.verdict = verdict


def _words(error: psycopg.Error) -> str:
    """The server's sentence without its detail, which holds people's data."""
    said = error.diag.message_primary or type(error).__name__
    where = error.diag.constraint_name or error.diag.column_name
    return f"{' '.join(said.split())}{f' ({where})' if where else ''}"[:400]


class _Writer:
    """One row at work, inside its savepoint."""

    def __init__(self, session: Connection, table: Table, kept: Kept, *, over: bool) -> None:
        self._session = session
        self._table = table
        self._wish, self._key, self._mark = kept.wish, kept.key, kept.mark
        self._over = over
        self._names = table.known(kept.wish)

    def is_new(self, names: list[str]) -> bool:
        """Whether it is a row to be made, of just these columns, as far as the file tells."""
        wish = self._wish
        odd = wish.gone or wish.only_update or wish.partial or not self._key
        return not odd and self._names == names and not self._hopeless()

    async def write(self) -> Verdict:
        """Make the row stand as the file has it, or say why not."""
        refused = self._hopeless()
        if refused:
            return Verdict("refused", refused)
        if not self._table.key:
            return await self._once()
        stands = await self._read()
        if self._wish.gone:
            return await self._delete(stands)
        if stands is None:
            return await self._insert()
        changed = [one for one in self._names if not same(stands[one], self._wish.values[one])]
        if not changed:
            return Verdict("there")
        if not self._over and not self._free(stands, changed):
            return Verdict("differs", f"{_few(changed)} stand there with another content")
        return await self._update(changed)

    def _hopeless(self) -> str:
        wish, table = self._wish, self._table
        if wish.hopeless:
            return wish.hopeless
        if not self._key and (self._table.key or wish.kind not in _MADE_ANEW):
            return f"no primary key of {table.name} tells which row it is"
        unknown = [] if wish.gone else table.unknown(wish)
        if unknown:
            return f"{table.name} has no column {_few(unknown)}"
        moved = [one for one, was in wish.old_key.items() if self._key.get(one, was) != was]
        return f"production had changed its key ({_few(moved)})" if moved else ""

    async def _read(self) -> dict[str, str | None] | None:
        names = self._names or self._table.key
        query = self._table.select(names, lock=True)
        cursor = await self._session.execute(query, list(self._key.values()))
        if cursor.rowcount != 1:
            return None
        return dict(zip(names, printed(cursor, 0), strict=True))

    async def _once(self) -> Verdict:
        """Make a row that nothing tells apart from others, unless its line was written before."""
        cursor = await self._session.execute(_MARK, [self._mark])
        return await self._insert() if cursor.rowcount else Verdict("there")

    async def _delete(self, stands: dict[str, str | None] | None) -> Verdict:
        if stands is None:
            return Verdict("there", "it is gone as it should be")
        if not self._over:
            return Verdict("differs", "it stands there; production had deleted it")
        await self._session.execute(self._table.delete(), list(self._key.values()))
        return Verdict("applied")

    def _free(self, stands: dict[str, str | None], changed: list[str]) -> bool:
        """Whether nobody has written anything where the values of added columns belong."""
        defaults = self._table.defaults
        return self._wish.added and all(
            stands[one] is None or (one in defaults and same(stands[one], defaults[one]))
            for one in changed
        )

    async def _insert(self) -> Verdict:
        wish, columns = self._wish, self._table.columns
        if wish.only_update:
            return Verdict("refused", "the row is not there any more")
        lacking = [one for one in columns if one not in wish.values and not columns[one].computed]
        if wish.partial and lacking:
            return Verdict("refused", f"the row is not there, and {_few(lacking)} are not known")
        given = [wish.values[one] for one in self._table.given(self._names)]
        return await self._judged(self._table.insert(self._names), given)

    async def _update(self, changed: list[str]) -> Verdict:
        columns = self._table.columns
        fixed = [one for one in changed if columns[one].computed or columns[one].always]
        if fixed:
            return Verdict("refused", f"{_few(fixed)} cannot be written")
        given = [*(self._wish.values[one] for one in changed), *self._key.values()]
        return await self._judged(self._table.update(changed, self._names), given)

    async def _judged(self, statement: sql.Composed, given: list[str | None]) -> Verdict:
        """Write, and compare what stands there then: types round, triggers change."""
        cursor = await self._session.execute(statement, given)
        if cursor.rowcount != 1:
            return Verdict("refused", "a trigger or rule kept it from being written")
        stands = dict(zip(self._names, printed(cursor, 0), strict=True))
        odd = [one for one in self._names if not same(stands[one], self._wish.values[one])]
        if odd:
            return Verdict(
                "refused", f"{_few(odd)} would be stored otherwise than production had it"
            )
        return Verdict("applied")


def _few(names: list[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more
