"""Corruption probes: SQL of the plan, run by the read-only role in a read-only transaction."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import psycopg

from slipway.errors import SlipwayError
from slipway.judgements.corruption import ProbeResult, compared
from slipway.plan import CorruptionProbe

if TYPE_CHECKING:
    from activities.adapters.postgres.adapter import Postgres

_STATEMENT_TIMEOUT = 10.0
_LONGEST = 200
"""Characters of a value that are compared: a checksum, not a document."""


class Probes:
    """Runs probes on PostgreSQL."""

    def __init__(self, postgres: "Postgres") -> None:
        """`postgres` opens the sessions."""
        self._postgres = postgres

    async def run(
        self, reference: str, probes: list[CorruptionProbe], before: Mapping[str, str]
    ) -> list[ProbeResult]:
        """Run every probe; one that fails does not keep the others from running. `before`: values
        before the first change, by probe."""
        return [await self._one(reference, probe, before) for probe in probes]

    async def _one(
        self, reference: str, probe: CorruptionProbe, before: Mapping[str, str]
    ) -> ProbeResult:
        try:
            target = self._postgres.target(reference)
            async with self._postgres.session(
                target, "probe", read_only=True, statement_timeout=_STATEMENT_TIMEOUT
            ) as connection:
                return await _ask(connection, probe, before)
        except SlipwayError as error:
            cause = error.__cause__
            state = (cause.sqlstate or "") if isinstance(cause, psycopg.Error) else ""
            return ProbeResult(probe.name, None, error.what.rstrip("."), state)


async def _ask(
    connection: psycopg.AsyncConnection[Any], probe: CorruptionProbe, before: Mapping[str, str]
) -> ProbeResult:
    await connection.execute("RESET search_path")  # as the services see the tables
    async with connection.transaction():
        await connection.execute("SET TRANSACTION READ ONLY")
        # `prepare` takes exactly one statement, so the SQL cannot end the read-only transaction
        cursor = await connection.execute(probe.sql.encode(), prepare=True)
        rows = await cursor.fetchmany(2) if cursor.description else []
    if len(rows) != 1 or len(rows[0]) != 1:
        return ProbeResult(probe.name, None, "it does not return one row with one value")
    if probe.compare is not None:
        return compared(probe, str(rows[0][0])[:_LONGEST], before)
    if not isinstance(rows[0][0], bool):
        return ProbeResult(probe.name, None, "it does not return one row with one boolean")
    return ProbeResult(probe.name, rows[0][0])
