"""Where a follower stands, as the side database keeps it, and the statements that move it on."""

from dataclasses import dataclass

import psycopg

from activities.adapters.fallback.catalog import Carried
from activities.adapters.fallback.conflicts import MOST_OPEN, Register
from activities.adapters.fallback.mapping import Epoch
from activities.adapters.fallback.protocol import parse_lsn, say_lsn
from activities.adapters.fallback.side import Statement
from activities.adapters.fallback.store import YOUNGER
from activities.adapters.fallback.wire import connect
from activities.adapters.postgres.url import Target
from slipway.errors import FallbackLost

_POSITION = """
SELECT p.lsn::text, p.ledger, p.transactions, p.changes, e.tables::text,
    (SELECT count(*) FROM slipway_fallback.conflict)
FROM slipway_fallback.position p JOIN slipway_fallback.epoch e ON e.number = p.epoch"""
_OPEN = """
SELECT oid, key, bool_and(kind = 'invented') FROM slipway_fallback.conflict
WHERE settled_lsn IS NULL AND key IS NOT NULL GROUP BY oid, key LIMIT %s"""
_MOVE = b"""
UPDATE slipway_fallback.position
SET lsn = CASE WHEN lsn = $5 AND epoch = $6 THEN $1::pg_catalog.pg_lsn END,
    epoch = $2, transactions = $3, changes = $4, at = now()"""
"""Where the position is another than this follower knows, the column takes no NULL: the whole
transaction fails, whatever another follower has committed or is about to."""
_EPOCH = b"INSERT INTO slipway_fallback.epoch (number, lsn, tables) VALUES ($1, $2, $3)"


@dataclass
class State:
    """What the side database has committed."""

    position: int
    epoch: Epoch
    carried: list[Carried]
    ledger: int
    """OID of the migration ledger."""
    register: Register
    transactions: int = 0
    changes: int = 0
    conflicts: int = 0

    @classmethod
    def load(cls, side: Target) -> "State":
        """Read it. Raises FallbackLost when the database was not prepared."""
        with connect(side, "fallback state") as connection:
            try:
                found = connection.execute(_POSITION).fetchone()
                connection.execute(YOUNGER.encode())
                told = connection.execute(
                    "SELECT description::text FROM slipway_fallback.carried ORDER BY oid"
                ).fetchall()
                still = connection.execute(_OPEN, [MOST_OPEN]).fetchall()
            except psycopg.errors.UndefinedTable:
                found, told, still = None, [], []
        if found is None:
            raise FallbackLost(
                f"The database {side.database} does not know its position in production's log.",
                "Roll back by the backup instead.",
            )
        lsn, ledger, transactions, changes, epoch, conflicts = found
        carried = [Carried.model_validate_json(one) for (one,) in told]
        oid = next(one.oid for one in carried if one.name == ledger)
        known = Epoch.model_validate_json(epoch)
        return cls(
            position=parse_lsn(lsn),
            epoch=known,
            carried=carried,
            ledger=oid,
            register=Register((one, key, invented) for one, key, invented in still),
            transactions=transactions,
            changes=changes,
            conflicts=conflicts,
        )

    def moved(
        self, position: int, epoch: Epoch, transactions: int, changes: int
    ) -> list[Statement]:
        """Return the statements that store the next state. They are refused when another follower
        has moved it meanwhile, and with them all that their transaction wrote."""
        statements = []
        if epoch.number != self.epoch.number:
            text = epoch.model_dump_json()
            statements.append(Statement(_EPOCH, _encoded(epoch.number, say_lsn(position), text)))
        values = _encoded(
            say_lsn(position),
            epoch.number,
            self.transactions + transactions,
            self.changes + changes,
            say_lsn(self.position),
            self.epoch.number,
        )
        return [*statements, Statement(_MOVE, values)]


def _encoded(*values: object) -> list[bytes | None]:
    return [str(one).encode() for one in values]
