"""A look at the databases by each of slipway's logins: rights, obstacles, versions, room."""

from functools import partial
from typing import TYPE_CHECKING

from activities.looks import Looker, all_of
from slipway.judgements import database_ready as ready
from slipway.judgements.database_rights import Login
from slipway.judgements.poolers import judge_pooler
from slipway.judgements.restore_server import judge_restore_server
from slipway.judgements.versions import judge_version
from slipway.messages.preflight import Finding
from slipway.plan import Plan

if TYPE_CHECKING:
    from activities.adapters.postgres.adapter import Postgres


class DatabaseLook:
    """Reads; it never writes to a database."""

    def __init__(self, postgres: "Postgres", looker: Looker, plan: Plan) -> None:
        self._postgres = postgres
        self._looker = looker
        self._plan = plan
        self.standings: dict[Login, ready.Standing] = {}
        """By login, as far as it could be looked at."""

    async def findings(self) -> list[Finding]:
        """Return everything found, and leave the standings."""
        make = self._looker.make
        found = await all_of(
            make(ready.group_of(one), one.value, partial(self._login, one))
            for one in ready.logins_of(self._plan)
        )
        found += ready.judge_logins(self.standings, self._plan)
        if Login.PRODUCTION in self.standings:
            found += await all_of(
                (
                    make("worker", "pg_dump and pg_restore", self._tools),
                    make("database", "free disk", self._room),
                    *(
                        make("database", f"the pooler {one}", partial(self._pooler, one))
                        for one in self._plan.database.poolers
                    ),
                )
            )
        if {Login.PRODUCTION, Login.RESTORE} <= self.standings.keys():
            what = "the server of the copies"
            found += await make("database", what, self._restore_server)
        if Login.PROBE in self.standings:
            found += await make("database", "the corruption probes", self._probes)
        return found

    async def _login(self, login: Login) -> list[Finding]:
        standing = await self._postgres.standing(self._plan, login)
        self.standings[login] = standing
        rights = ready.judge_rights(standing, self._plan)
        return rights + ready.judge_obstacles(standing, self._plan)

    async def _tools(self) -> list[Finding]:
        server = self.standings[Login.PRODUCTION]
        wrong = ready.judge_tools(server.server_major, await self._postgres.tool_majors())
        return wrong + judge_version("PostgreSQL", server.server_version)

    async def _room(self) -> list[Finding]:
        return ready.judge_room(await self._postgres.rooms(self._plan.database))

    async def _restore_server(self) -> list[Finding]:
        lacking = await self._postgres.lacking(self._plan.database)
        here, there = self.standings[Login.PRODUCTION], self.standings[Login.RESTORE]
        return judge_restore_server(here, there, lacking)

    async def _pooler(self, reference: str) -> list[Finding]:
        database = self._plan.database
        return judge_pooler(await self._postgres.pooler(database, reference), database.name)

    async def _probes(self) -> list[Finding]:
        refused = await self._postgres.refused_probes(self._plan.database, self._plan.corruption)
        return ready.judge_probes(refused, self.standings[Login.PROBE])
