"""A table into which rows are written again: its columns as they are now, and its statements."""

from collections.abc import Iterable
from dataclasses import dataclass

import psycopg
from psycopg import sql

from activities.adapters.postgres import catalog
from activities.adapters.postgres.reapply_spool import Shape
from activities.adapters.postgres.sessions import Connection, rows
from slipway.judgements.rows_file import Wish

_COLUMNS = """
SELECT a.attname::text, a.attidentity::text, a.attgenerated::text,
    format_type(a.atttypid, a.atttypmod),
    CASE WHEN a.attgenerated = '' THEN pg_get_expr(d.adbin, d.adrelid) END
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE n.nspname = %s AND c.relname = %s AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum"""

_SEQUENCES = """
SELECT a.attname::text, sn.nspname, s.relname, q.seqincrement
FROM pg_depend d JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S'
JOIN pg_namespace sn ON sn.oid = s.relnamespace JOIN pg_sequence q ON q.seqrelid = s.oid
JOIN pg_class c ON c.oid = d.refobjid JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.refobjsubid
WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass
    AND d.deptype IN ('a', 'i') AND NOT q.seqcycle AND n.nspname = %s AND c.relname = %s"""


@dataclass(frozen=True)
class Column:
    """A column as it is now."""

    name: str
    always: bool
    """GENERATED ALWAYS AS IDENTITY: given all the same when a row is made, never changed."""
    computed: bool
    type: str
    default: str | None


class Table:
    """One table, and the statements for its rows."""

    def __init__(
        self, name: str, schema: str, table: str, key: list[str], columns: list[str] | None
    ) -> None:
        self.name = name
        self.key = key
        self.shape = Shape(key, columns or [])
        self.columns: dict[str, Column] = {}
        self.defaults: dict[str, str | None] = {}
        self._table = sql.Identifier(schema, table)
        self._names = (schema, table)

    async def look(self, session: Connection) -> None:
        """Read its columns, and the defaults that are the same for every row."""
        found = await rows(session, _COLUMNS, *self._names)
        self.columns = {
            name: Column(name, identity == "a", bool(generated), kind, default)
            for name, identity, generated, kind, default in found
        }
        self.defaults = {
            one.name: await _computed(session, one) for one in self.columns.values() if one.default
        }

    async def advance_sequences(self, session: Connection) -> None:
        """Move the sequences of its columns beyond the rows that are there: what was written with
        its number is not given out again."""
        for column, schema, name, step in await rows(session, _SEQUENCES, *self._names):
            extreme = sql.SQL("max({})" if step > 0 else "min({})").format(sql.Identifier(column))
            query = sql.SQL("SELECT {} FROM {}").format(extreme, self._table)
            (last,) = await (await session.execute(query)).fetchone() or (None,)
            if last is not None:
                await catalog.advance_sequences(
                    session, [catalog.Sequence(schema, name, int(last), step)]
                )

    def unknown(self, wish: Wish) -> list[str]:
        """Columns that hold a value in the file and are not there now."""
        return [
            one
            for one, value in wish.values.items()
            if value is not None and one not in self.columns
        ]

    def known(self, wish: Wish) -> list[str]:
        """Columns of the file that are there."""
        return [one for one in wish.values if one in self.columns]

    def select(self, names: list[str], *, lock: bool) -> sql.Composed:
        """Query of a row by its key."""
        return sql.SQL("SELECT {} FROM {} WHERE {} {}").format(
            _listed(names), self._table, self._where(), sql.SQL("FOR NO KEY UPDATE" if lock else "")
        )

    def given(self, names: list[str]) -> list[str]:
        """Those of these columns that a new row is given; the others are computed."""
        return [one for one in names if not self.columns[one].computed]

    def select_all(self, names: list[str], count: int) -> sql.Composed:
        """Query of so many rows by their keys."""
        one = sql.SQL("({})").format(sql.SQL(", ").join(sql.Placeholder() * len(self.key)))
        return sql.SQL("SELECT {} FROM {} WHERE ({}) IN ({})").format(
            _listed(names), self._table, _listed(self.key), sql.SQL(", ").join([one] * count)
        )

    def insert(self, names: list[str], count: int = 1) -> sql.Composed:
        """Statement that makes so many rows and returns them."""
        given = self.given(names)
        row = sql.SQL("({})").format(sql.SQL(", ").join(sql.Placeholder() * len(given)))
        always = any(self.columns[one].always for one in given)
        return sql.SQL("INSERT INTO {} ({}) {} VALUES {} RETURNING {}").format(
            self._table,
            _listed(given),
            sql.SQL("OVERRIDING SYSTEM VALUE" if always else ""),
            sql.SQL(", ").join([row] * count),
            _listed(names),
        )

    def update(self, changed: list[str], names: list[str]) -> sql.Composed:
        """Statement that changes columns of a row and returns it."""
        return sql.SQL("UPDATE {} SET {} WHERE {} RETURNING {}").format(
            self._table,
            sql.SQL(", ").join(sql.SQL("{} = %s").format(sql.Identifier(one)) for one in changed),
            self._where(),
            _listed(names),
        )

    def delete(self) -> sql.Composed:
        """Statement that deletes a row."""
        return sql.SQL("DELETE FROM {} WHERE {}").format(self._table, self._where())

    def _where(self) -> sql.Composable:
        return sql.SQL(" AND ").join(
            sql.SQL("{} = %s").format(sql.Identifier(one)) for one in self.key
        )


async def _computed(session: Connection, column: Column) -> str | None:
    """A default as it is printed, where computing it uses nothing up."""
    if column.default is None or "(" in column.default:
        return None  # a function: a sequence's would use up numbers, a clock's differs each time
    cursor = await session.execute(
        sql.SQL("SELECT ({})::{}").format(sql.SQL(column.default), sql.SQL(column.type))
    )
    return printed(cursor, 0)[0]


def _listed(names: Iterable[str]) -> sql.Composable:
    return sql.SQL(", ").join(map(sql.Identifier, names))


def printed(cursor: psycopg.AsyncCursor[tuple[object, ...]], number: int) -> list[str | None]:
    """A row of a result as the server printed it."""
    result = cursor.pgresult
    assert result is not None
    found = [result.get_value(number, at) for at in range(result.nfields)]
    return [None if one is None else one.decode(errors="replace") for one in found]
