"""PostgreSQL as the activities see it. The work itself is in the `postgres_*` modules."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path

from activities.adapters.fallback.aside import Written, write_conflicts
from activities.adapters.fallback.aside import unfollowed as tables_left
from activities.adapters.fallback.check import Check, kept
from activities.adapters.fallback.compare import Comparison
from activities.adapters.fallback.ending import end, end_slots, give_up, retire
from activities.adapters.fallback.following import Following, following
from activities.adapters.fallback.home import fetch
from activities.adapters.fallback.tail import Tail, taking_over
from activities.adapters.pgbouncer import PgBouncer
from activities.adapters.postgres import catalog, control, ready, side
from activities.adapters.postgres import extent as extents
from activities.adapters.postgres import lost as losses
from activities.adapters.postgres.backup import (
    Copying,
    copying,
    differing,
    expand,
)
from activities.adapters.postgres.dump import size_of
from activities.adapters.postgres.lost import Baseline, Lost
from activities.adapters.postgres.migrate import (
    Migrating,
    Order,
    Wanted,
    fence_off,
    migrating,
    state_of,
)
from activities.adapters.postgres.progress import Say, silent
from activities.adapters.postgres.reapply import Reapplying, reapplying
from activities.adapters.postgres.rehearse import Rehearsing, Stage, rehearsing
from activities.adapters.postgres.sessions import Sessions
from activities.adapters.postgres.source import Source
from activities.adapters.postgres.swap import Swapping, swapping
from activities.adapters.postgres.url import Target
from activities.scratch import scratch
from slipway.errors import BadInput, Unreachable
from slipway.judgements.backup import is_ours, slots_of
from slipway.judgements.database_ready import Room, Standing, logins_of
from slipway.judgements.database_rights import Login
from slipway.judgements.poolers import PoolerStanding
from slipway.judgements.restore_server import Lacking
from slipway.messages.backup import DatabaseIdentity
from slipway.messages.migration import AppliedMigration, ApplyMigrations, DatabaseState
from slipway.messages.record import BackupTaken, TableFingerprint
from slipway.plan import CorruptionProbe, Database, Plan


class Postgres(Sessions):
    """Everything done to the databases of a plan. Holds no connection between calls."""

    def source(self, database: Database) -> Source:
        """Return where production is and where its copies are."""
        place = database.restore_server
        return Source(
            self.target(database.url),
            self.target(database.admin_url),
            self.target(place) if place else None,
        )

    def copying(self, database: Database, name: str) -> AbstractAsyncContextManager[Copying]:
        """Make a dump and a side database `name` on production's server; cleans up when it fails
        or is cancelled."""
        return copying(self, replace(self.source(database), place=None), name)

    def proving(self, database: Database, name: str) -> AbstractAsyncContextManager[Copying]:
        """The same where the plan keeps its copies."""
        return copying(self, self.source(database), name)

    def migrating(self, request: ApplyMigrations) -> AbstractAsyncContextManager[Migrating]:
        """Take the right to migrate, or raise Fenced."""
        database = request.database
        wanted = Wanted(
            request.migrations.ledger, tuple((one.hash, one.when) for one in request.pending)
        )
        order = Order(
            database.name, database.owner, request.deployment, request.fence, request.op_id
        )
        production, admin = self.target(database.url), self.target(database.admin_url)
        return migrating(self, production, admin, order, wanted)

    def rehearsing(
        self, database: Database, deployment: str, side: str, copy: str
    ) -> AbstractAsyncContextManager[Rehearsing]:
        """Make a place to rehearse migrations in, on copies of the restored backup `side`."""
        stage = Stage(database.name, side, copy, database.owner, deployment)
        return rehearsing(self, self.source(database), stage)

    def swapping(
        self, database: Database, deployment: str, fence: int, op_id: str
    ) -> AbstractAsyncContextManager[Swapping]:
        """Take the right to swap; ends every attempt at migrating. Raises Fenced."""
        order = Order(database.name, database.owner, deployment, fence, op_id)
        production, admin = self.target(database.url), self.target(database.admin_url)
        return swapping(self, production, admin, order, database.poolers)

    def reapplying(
        self, database: Database, fence: int | None
    ) -> AbstractAsyncContextManager[Reapplying]:
        """Take the right to write rows that a rollback set aside. Raises ForeignChange."""
        return reapplying(self, self.target(database.url), self.target(database.admin_url), fence)

    def following(
        self, database: Database, backup: BackupTaken
    ) -> AbstractAsyncContextManager[Following]:
        """Watch a backup's fallback."""
        return following(self, self.source(database), database, backup)

    @asynccontextmanager
    async def taking_over(
        self,
        database: Database,
        backup: BackupTaken,
        say: Say = silent,
        *,
        accepted: bool = False,
    ) -> AsyncIterator[Tail]:
        """Take a fallback to swap it in, fetched to production's server where it is not there.
        Raises FallbackLost; `accepted`: see `Check`."""
        source, check = self.source(database), Check(backup, accepted=accepted)
        async with (
            self.session(source.admin, "take over") as admin,
            taking_over(self, admin, source, database.owner, backup, check, say) as running,
        ):
            yield running

    async def nearby(self, database: Database, backup: BackupTaken, say: Say) -> str:
        """Return the name of a backup's copy on production's server: one that is on another server
        and still equals the backup is fetched. Whether it is there must be looked at."""
        source, name = self.source(database), backup.side_database
        if source.place is None:
            return name
        try:
            async with self.session(source.place, "look") as there:
                if not await side.exists(there, name):
                    return name
                await side.open_for_owner(there, name, database.owner)
            copy = source.place.on(name)
            if await differing(self, copy, backup.tables, backup.schema_sha256):
                return name
            return await fetch(self, source, database.owner, name, say)
        except Unreachable:  # the bucket has it too
            return name

    @asynccontextmanager
    async def differing_rows(self, database: Database, tail: Tail) -> AsyncIterator[Path]:
        """Write the rows in which a copy differs from production to a file of its own."""
        target = self.target(database.url)
        async with scratch("differing") as folder:
            async with (
                self.session(target, "rows", read_only=True) as production,
                self.session(target.on(tail.side), "rows", read_only=True) as copy,
            ):
                await tail.check.write(production, copy, folder / "differing.jsonl.zst")
            yield folder / "differing.jsonl.zst"

    @asynccontextmanager
    async def conflict_file(self, database: Database, kept: str) -> AsyncIterator[Written]:
        """Write what the old schema of production could not take to a file of its own."""
        target = self.target(database.url)
        async with scratch("conflicts") as folder:
            yield await write_conflicts(self, target, target.on(kept), folder)

    async def give_fallback_up(self, database: Database, backup: BackupTaken) -> None:
        """Let nobody follow any more: the database goes back to the backup itself."""
        await give_up(self, self.target(database.admin_url), backup)

    async def comparison(self, database: Database) -> Comparison:
        """Return what was compared before production, a copy that followed, was swapped in."""
        async with self.session(self.target(database.url), "comparison", read_only=True) as session:
            return await kept(session)

    async def retire_fallback(self, database: Database, backup: BackupTaken) -> None:
        """After the swap: end slot and publication, and drop slipway's schema from production."""
        await retire(self, self.target(database.url), self.target(database.admin_url), backup)

    async def end_fallback(self, database: Database, backup: BackupTaken) -> list[str]:
        """Drop what a backup keeps for a rollback; what was swapped in stays."""
        return await end(self, self.source(database), backup)

    async def end_slots(self, database: Database, deployment: str) -> list[str]:
        """End the slots and publications that a deployment has left."""
        prefix = slots_of(deployment)
        return await end_slots(
            self, self.target(database.url), self.target(database.admin_url), prefix
        )

    async def fence(self, database: Database, fence: int, op_id: str) -> tuple[int, int]:
        """Write an undo's fence; return how many sessions ended and roles closed."""
        admin = self.target(database.admin_url)
        return await fence_off(self, admin, database.name, fence, op_id)

    async def state(self, database: Database, ledger: str) -> DatabaseState:
        """Return ledger and schema fingerprint of production."""
        return await state_of(self, self.target(database.url), ledger)

    async def identity(self, database: Database) -> DatabaseIdentity | None:
        """Return which database production's name stands for; None where the role may not ask."""
        async with self.session(self.target(database.url), "identity", read_only=True) as session:
            return await extents.identity(session)

    async def ledger(self, reference: str, table: str) -> list[AppliedMigration]:
        """Return the ledger of any database, reading only."""
        async with self.session(self.target(reference), "ledger", read_only=True) as session:
            return await catalog.ledger(session, table)

    async def invalid_indexes(self, database: Database) -> list[str]:
        """Return production's indexes that were begun and never finished."""
        async with self.session(self.target(database.url), "indexes", read_only=True) as session:
            return await catalog.invalid_indexes(session)

    async def fingerprint(self, database: Database, table: str) -> TableFingerprint | None:
        """Return rows and content hash of one table of production, None when it is not there."""
        async with self.session(self.target(database.url), "ledger", read_only=True) as session:
            found = await catalog.fingerprints(session, only=table)
        return found[0] if found else None

    async def differing(
        self, database: Database, name: str, tables: list[TableFingerprint], schema_sha256: str
    ) -> list[str]:
        """Say how the database `name` on production's server differs from a backup."""
        target = self.target(database.url).on(name)
        return await differing(self, target, tables, schema_sha256)

    @asynccontextmanager
    async def baseline(
        self,
        database: Database,
        name: str,
        ledger: str,
        against: str | None = None,
        *,
        unfollowed: bool = False,
    ) -> AsyncIterator[Baseline]:
        """Note the rows of the side database `name`, to count afterwards what a swap lost.

        `against`: the database that will be compared with it; production when left out.
        `unfollowed`: only of the tables that do not follow production.
        """
        target = self.target(database.url)
        async with scratch("rows") as folder:
            async with (
                self.session(target.on(name), "rows", read_only=True) as before,
                self.session(target.on(against or database.name), "rows", read_only=True) as after,
            ):
                only = await tables_left(before) if unfollowed else None
                noted = await losses.baseline(before, after, folder, ledger, only)
            yield noted

    async def lost(self, database: Database, kept: str, noted: Baseline) -> Lost:
        """Count what the database `kept` holds that the noted one did not, and write it down: the
        file is there while `noted` is."""
        target = self.target(database.url).on(kept)
        async with self.session(target, "count") as session:
            return await noted.lost_in(session)

    async def difference(self, database: Database, name: str, noted: Baseline) -> Lost:
        """Compare production as it is with the noted database `name`: what is new, changed and
        removed since."""
        target = self.target(database.url)
        async with (
            self.session(target, "count") as production,
            self.session(target.on(name), "rows", read_only=True) as before,
        ):
            return await noted.lost_in(production, before)

    async def standing(self, plan: Plan, login: Login) -> Standing:
        """Return a database as one of the plan's logins sees it, for the preflight."""
        names = {"owner": plan.database.owner, "ledger": plan.migrations.ledger}
        return await ready.standing(self, reference_of(plan, login), login, names)

    async def refused_probes(
        self, database: Database, probes: list[CorruptionProbe]
    ) -> list[tuple[str, str]]:
        """Return name and error of every corruption probe that its role could not run."""
        return await ready.refused_probes(self, database.probe_url, probes)

    async def rooms(self, database: Database) -> list[Room]:
        """Return free and needed room for a backup, and for fetching its copy back."""
        source, folder = self.source(database), Path(tempfile.gettempdir())
        async with (
            ready.session(self, source.target) as here,
            ready.session(self, source.copies) as there,
        ):
            size = await size_of(here, source.target.database)
            found = await ready.rooms(there, source, folder, size)
            if source.place is not None:
                found += await ready.room_on_server(here, source.target, size)
        return found

    async def lacking(self, database: Database) -> Lacking:
        """Return what production has and the server of its copies has not, for the preflight."""
        source = self.source(database)
        async with (
            ready.session(self, source.target) as here,
            ready.session(self, source.copies) as there,
        ):
            return await ready.lacking(here, there)

    async def pooler(self, database: Database, reference: str) -> PoolerStanding:
        """Return how a pooler stands in front of production, for the preflight."""
        return await ready.pooler(self, self.target(database.url), reference)

    def hosts(self, plan: Plan) -> dict[str, str]:
        """Return the host of every database reference, by its name in the plan."""
        found = {one.value: self.target(reference_of(plan, one)).host for one in logins_of(plan)}
        for one in plan.database.poolers:
            found[f"database.poolers {one}"] = PgBouncer(one).host
        return found

    async def copies_of(self, database: Database) -> list[str]:
        """Return the names of all databases that slipway made of production, on any server."""
        found: set[str] = set()
        for place in self.source(database).servers:
            async with self.session(place, "look", read_only=True) as admin:
                found.update(await side.copies_of(admin, database.name))
        return sorted(found)

    async def files_room(self, needed: int) -> Room:
        """Return free and needed room for a backup's files on this machine, in bytes."""
        free = (await asyncio.to_thread(shutil.disk_usage, tempfile.gettempdir())).free
        return Room("worker", "where the worker keeps its files", free, needed)

    async def read_whole(self, packed: Path, plain: Path) -> tuple[str, int]:
        """Decompress a dump, let pg_restore read all of it; return SHA-256 and bytes of `plain`.
        Raises BackupNotRestorable."""
        return await expand(self, packed, plain)

    async def drop_side(self, database: Database, name: str) -> bool:
        """Drop a database that slipway made; return whether it was there. Raises BadInput for
        any other name."""
        if not is_ours(name, database.name):
            raise BadInput(
                f"{name} is no database that slipway made beside {database.name}.",
                "Nothing was dropped; drop it by hand if it should go.",
            )
        return any([await self._drop_at(one, name) for one in self.source(database).servers])

    async def _drop_at(self, place: Target, name: str) -> bool:
        async with control.exclusive(self, place, f"copy {name}") as admin:
            await control.prepare(admin)
            roles = await control.attempts(admin, name)  # a rehearsal's that nobody cleaned up
            await control.forbid_login(admin, roles)
            existed = await side.drop(admin, name)
            await control.retire(admin, roles)
            return existed


def reference_of(plan: Plan, login: Login) -> str:
    """Return a plan's reference for a login."""
    return {
        Login.PRODUCTION: plan.database.url,
        Login.CONTROL: plan.database.admin_url,
        Login.PROBE: plan.database.probe_url,
        Login.STAGING: plan.staging.database,
        Login.RESTORE: plan.database.restore_server or "",
    }[login]
