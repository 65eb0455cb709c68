"""The end of a fallback: after a swap, or when nobody needs it any more."""

from activities.adapters.fallback import control as states
from activities.adapters.fallback.setup import remove
from activities.adapters.fallback.store import forget
from activities.adapters.postgres import control, side
from activities.adapters.postgres.sessions import Sessions, rows
from activities.adapters.postgres.source import Source
from activities.adapters.postgres.url import Target
from slipway.judgements.backup import home_name
from slipway.messages.record import BackupTaken
from slipway.states import FallbackState


async def retire(sessions: Sessions, target: Target, admin: Target, backup: BackupTaken) -> None:
    """After the swap: production, which was the side database, loses the follower's schema, and
    the slot goes with nobody to read it."""
    if backup.fallback is None:
        return
    async with sessions.session(target, "fallback") as session:
        await forget(session)
    await remove(sessions, target, admin, backup.fallback.slot)
    async with sessions.session(admin, "fallback") as connection:
        await states.move(
            connection, backup.fallback.slot, tuple(FallbackState), FallbackState.SWAPPED
        )


async def give_up(sessions: Sessions, admin: Target, backup: BackupTaken) -> None:
    """The database goes back to the backup itself: whoever follows stops, nobody begins."""
    if backup.fallback is None:
        return
    async with sessions.session(admin, "fallback") as connection:
        before = (FallbackState.READY, FallbackState.FOLLOWING, FallbackState.TAKEN)
        because = "the database goes back to the backup, without later writes"
        await states.move(connection, backup.fallback.slot, before, FallbackState.LOST, because)


async def end(sessions: Sessions, source: Source, backup: BackupTaken) -> list[str]:
    """Drop slot, publication and side database, also where it was fetched to; return what was
    there."""
    dropped, admin = [], source.admin
    if backup.fallback is not None:
        dropped = await _end_slot(sessions, source.target, admin, backup.fallback.slot)
    name = backup.side_database
    for place, copy in dict.fromkeys([(source.copies, name), (admin, home_name(name))]):
        async with control.exclusive(sessions, place, f"copy {copy}") as connection:
            if await side.drop(connection, copy):
                dropped.append("database")
    return dropped


async def end_slots(sessions: Sessions, target: Target, admin: Target, prefix: str) -> list[str]:
    """End every slot and publication whose name begins like this; return their names."""
    async with sessions.session(target, "fallback") as session:
        found = await rows(session, _NAMES, prefix, prefix)
    for (name,) in found:
        await _end_slot(sessions, target, admin, name)
    return [name for (name,) in found]


_NAMES = """
SELECT slot_name::text FROM pg_replication_slots WHERE starts_with(slot_name, %s)
UNION SELECT pubname::text FROM pg_publication WHERE starts_with(pubname, %s) ORDER BY 1"""


async def _end_slot(sessions: Sessions, target: Target, admin: Target, slot: str) -> list[str]:
    async with sessions.session(admin, "fallback") as connection:
        before = tuple(set(FallbackState) - {FallbackState.SWAPPED})
        await states.move(connection, slot, before, FallbackState.ENDED)
    return await remove(sessions, target, admin, slot)
