"""Corruption probes: SQL of the plan, run by the read-only role in a read-only transaction."""

from typing import TYPE_CHECKING, Any

import psycopg

from slipway.errors import SlipwayError
from slipway.judgements.corruption import ProbeResult
from slipway.plan import CorruptionProbe

if TYPE_CHECKING:
    from activities.adapters.postgres import Postgres

_STATEMENT_TIMEOUT = 10.0


class Probes:
    """Runs probes on PostgreSQL."""

    def __init__(self, postgres: "Postgres") -> None:
        """`postgres` opens the sessions."""
        self._postgres = postgres

    async def run(self, reference: str, probes: list[CorruptionProbe]) -> list[ProbeResult]:
        """Run every probe; one that fails does not keep the others from running."""
        return [await self._one(reference, probe) for probe in probes]

    async def _one(self, reference: str, probe: CorruptionProbe) -> ProbeResult:
        try:
            target = self._postgres.target(reference)
            async with self._postgres.session(
                target, "probe", read_only=True, statement_timeout=_STATEMENT_TIMEOUT
            ) as connection:
                return await _ask(connection, probe)
        except SlipwayError as error:
            cause = error.__cause__
            state = (cause.sqlstate or "") if isinstance(cause, psycopg.Error) else ""
            return ProbeResult(probe.name, None, error.what.rstrip("."), state)


async def _ask(connection: psycopg.AsyncConnection[Any], probe: CorruptionProbe) -> ProbeResult:
    await connection.execute("RESET search_path")  # as the services see the tables
    async with connection.transaction():
        await connection.execute("SET TRANSACTION READ ONLY")
        # `prepare` takes exactly one statement, so the SQL cannot end the read-only transaction
        cursor = await connection.execute(probe.sql.encode(), prepare=True)
        rows = await cursor.fetchmany(2) if cursor.description else []
    if len(rows) != 1 or len(rows[0]) != 1 or not isinstance(rows[0][0], bool):
        return ProbeResult(probe.name, None, "it does not return one row with one boolean")
    return ProbeResult(probe.name, rows[0][0])
