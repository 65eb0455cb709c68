"""Where a production database is, and where its copies are: on the same server or on another."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from activities.adapters.postgres.sessions import Connection, Sessions
from activities.adapters.postgres.url import Target
from slipway.judgements.database_rights import Login


@dataclass(frozen=True)
class Source:
    """A database and the server of its copies."""

    target: Target
    """The database itself, production."""
    admin: Target
    """Another database of its server: the control database."""
    place: Target | None = None
    """The same of the server that holds the copies; None: the same server."""

    @property
    def copies(self) -> Target:
        """The control database of the server that holds the copies; `on` leads to one of them."""
        return self.place or self.admin

    @property
    def called(self) -> str:
        """What messages call the server of the copies."""
        return f"the server of {Login.RESTORE.value}" if self.place else "the database server"

    @property
    def servers(self) -> list[Target]:
        """The control database of each server on which there may be copies."""
        return [self.admin] if self.place is None else [self.place, self.admin]

    @asynccontextmanager
    async def beside(self, sessions: Sessions, copies: Connection) -> AsyncIterator[Connection]:
        """A session in the control database of the source's server: `copies` itself, a session
        beside the copies, where that is the same server."""
        if self.place is None:
            yield copies
            return
        async with sessions.session(self.admin, "beside") as session:
            yield session
