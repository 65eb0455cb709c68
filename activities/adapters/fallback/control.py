"""Where each warm fallback stands: one row in the control database, which both the follower and a
rollback look at. Whoever moves it by compare-and-set has it."""

from collections.abc import Collection

from activities.adapters.postgres.sessions import Connection, row
from slipway.errors import FallbackLost
from slipway.states import FallbackState

_MADE = """
SELECT pg_advisory_xact_lock(20905, 0);
CREATE SCHEMA IF NOT EXISTS slipway;
CREATE TABLE IF NOT EXISTS slipway.fallback (
    slot name PRIMARY KEY, database name NOT NULL, deployment text NOT NULL, side name NOT NULL,
    state text NOT NULL, because text NOT NULL DEFAULT '', at timestamptz NOT NULL DEFAULT now());
"""


async def register(admin: Connection, slot: str, database: str, deployment: str, side: str) -> None:
    """Note a new fallback, in state `ready`; one of the same name from before is forgotten."""
    async with admin.transaction():
        for statement in _MADE.split(";\n"):
            if statement.strip():
                await admin.execute(statement.encode())
        await admin.execute("DELETE FROM slipway.fallback WHERE slot = %s", [slot])
        await admin.execute(
            "INSERT INTO slipway.fallback (slot, database, deployment, side, state)"
            " VALUES (%s, %s, %s, %s, %s)",
            [slot, database, deployment, side, FallbackState.READY.value],
        )


async def state_of(admin: Connection, slot: str) -> tuple[FallbackState, str]:
    """Return where a fallback stands and why; one that nobody noted has ended."""
    if not await _is_made(admin):
        return FallbackState.ENDED, "it was never made"
    found = await row(admin, "SELECT state, because FROM slipway.fallback WHERE slot = %s", slot)
    if found is None:
        return FallbackState.ENDED, "it was never made"
    return FallbackState(found[0]), str(found[1])


async def side_of(admin: Connection, slot: str) -> str:
    """Return the name of a fallback's database. Raises FallbackLost when nobody noted it."""
    found = None
    if await _is_made(admin):
        found = await row(admin, "SELECT side FROM slipway.fallback WHERE slot = %s", slot)
    if found is None:
        raise FallbackLost(f"Nobody knows a fallback of slot {slot}.", "Let a person decide.")
    return str(found[0])


async def rehome(admin: Connection, slot: str, side: str) -> None:
    """Note that a fallback is another database from now on."""
    await admin.execute("UPDATE slipway.fallback SET side = %s WHERE slot = %s", [side, slot])


async def move(
    admin: Connection,
    slot: str,
    before: Collection[FallbackState],
    after: FallbackState,
    because: str = "",
    held: str = "",
) -> bool:
    """Move a fallback on if it stands in one of `before`; return whether it was moved. `held`: and
    only if it stands there for this reason, such as an attempt's own mark."""
    if not await _is_made(admin):
        return False
    found = await row(
        admin,
        "UPDATE slipway.fallback SET state = %s, because = %s, at = now()"
        " WHERE slot = %s AND state = ANY(%s) AND (%s = '' OR because = %s) RETURNING slot",
        after.value,
        because[:1000],
        slot,
        [one.value for one in before],
        held,
        held,
    )
    return found is not None


async def _is_made(admin: Connection) -> bool:
    there = await row(admin, "SELECT to_regclass('slipway.fallback') IS NOT NULL")
    return bool(there and there[0])
