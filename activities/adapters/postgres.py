"""PostgreSQL as the activities see it. The work itself is in the `postgres_*` modules."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from activities.adapters import postgres_catalog as catalog
from activities.adapters import postgres_control as control
from activities.adapters import postgres_lost as losses
from activities.adapters import postgres_ready as ready
from activities.adapters import postgres_side as side
from activities.adapters.postgres_backup import Copying, copying, differing
from activities.adapters.postgres_lost import Baseline, Lost
from activities.adapters.postgres_migrate import (
    Migrating,
    Order,
    fence_off,
    migrating,
    state_of,
)
from activities.adapters.postgres_sessions import Sessions
from activities.adapters.postgres_swap import Swapping, swapping
from slipway.errors import BadInput
from slipway.judgements.backup import is_ours
from slipway.judgements.database_ready import Room, Standing
from slipway.judgements.database_rights import Login
from slipway.messages.migration import AppliedMigration, DatabaseState
from slipway.messages.record import TableFingerprint
from slipway.plan import CorruptionProbe, Database, Plan


class Postgres(Sessions):
    """Everything done to the databases of a plan. Holds no connection between calls."""

    def copying(self, database: Database, name: str) -> AbstractAsyncContextManager[Copying]:
        """Make a dump and a side database `name`; cleans up when it fails or is cancelled."""
        return copying(self, self.target(database.url), self.target(database.admin_url), name)

    def migrating(
        self, database: Database, deployment: str, fence: int, op_id: str
    ) -> AbstractAsyncContextManager[Migrating]:
        """Take the right to migrate, or raise Fenced."""
        order = Order(database.name, database.owner, deployment, fence, op_id)
        return migrating(self, self.target(database.url), self.target(database.admin_url), order)

    def swapping(
        self, database: Database, deployment: str, fence: int, op_id: str
    ) -> AbstractAsyncContextManager[Swapping]:
        """Take the right to swap; ends every attempt at migrating. Raises Fenced."""
        order = Order(database.name, database.owner, deployment, fence, op_id)
        return swapping(self, self.target(database.url), self.target(database.admin_url), order)

    async def fence(self, database: Database, fence: int, op_id: str) -> tuple[int, int]:
        """Write an undo's fence; return how many sessions ended and roles closed."""
        admin = self.target(database.admin_url)
        return await fence_off(self, admin, database.name, fence, op_id)

    async def state(self, database: Database, ledger: str) -> DatabaseState:
        """Return ledger and schema fingerprint of production."""
        return await state_of(self, self.target(database.url), ledger)

    async def ledger(self, reference: str, table: str) -> list[AppliedMigration]:
        """Return the ledger of any database, reading only."""
        async with self.session(self.target(reference), "ledger", read_only=True) as session:
            return await catalog.ledger(session, table)

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
        self, database: Database, name: str, ledger: str, against: str | None = None
    ) -> AsyncIterator[Baseline]:
        """Note the rows of the side database `name`, to count afterwards what a swap lost.

        `against`: the database that will be compared with it; production when left out.
        """
        target = self.target(database.url)
        folder = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="slipway-rows-"))
        try:
            async with (
                self.session(target.on(name), "rows", read_only=True) as before,
                self.session(target.on(against or database.name), "rows", read_only=True) as after,
            ):
                noted = await losses.baseline(before, after, folder, ledger)
            yield noted
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    async def lost(self, database: Database, kept: str, noted: Baseline) -> Lost:
        """Count what the database `kept` holds that the noted one did not."""
        target = self.target(database.url).on(kept)
        async with self.session(target, "count") as session:
            return await noted.lost_in(session)

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
        """Return free and needed room for a backup."""
        target = self.target(database.url)
        async with ready.session(self, target) as session:
            return await ready.rooms(session, target, Path(tempfile.gettempdir()))

    def hosts(self, plan: Plan) -> dict[str, str]:
        """Return the host of every database reference, by its name in the plan."""
        return {one.value: self.target(reference_of(plan, one)).host for one in Login}

    async def drop_side(self, database: Database, name: str) -> bool:
        """Drop a database that slipway made; return whether it was there. Raises BadInput for
        any other name."""
        if not is_ours(name, database.name):
            raise BadInput(
                f"{name} is no database that slipway made beside {database.name}.",
                "Nothing was dropped; drop it by hand if it should go.",
            )
        async with control.exclusive(
            self, self.target(database.admin_url), f"copy {name}"
        ) as admin:
            return await side.drop(admin, name)


def reference_of(plan: Plan, login: Login) -> str:
    """Return a plan's reference for a login."""
    return {
        Login.PRODUCTION: plan.database.url,
        Login.CONTROL: plan.database.admin_url,
        Login.PROBE: plan.database.probe_url,
        Login.STAGING: plan.staging.database,
    }[login]
