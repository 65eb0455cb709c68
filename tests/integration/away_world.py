"""A production database whose copies live on another server: two real PostgreSQL servers."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from devstack.stack import Stack
from devstack.world.database import access, templates
from slipway.plan import Database
from tests.integration.data_world import DataWorld, data_world


@dataclass
class AwayWorld(DataWorld):
    """Production on the shared server, and the server of its plan's `restore_server`."""

    other: Stack

    @property
    def database(self) -> Database:
        folder = self.folder / "other"
        folder.mkdir(exist_ok=True)
        url = access.url_file(self.other, folder, access.ADMIN, access.CONTROL)
        return super().database.model_copy(update={"restore_server": f"file:{url}"})

    def there(self, query: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Look at the other server."""
        with access.superuser(self.other, database) as connection:
            cursor = connection.execute(query.encode())
            return cursor.fetchall() if cursor.description else []

    def copies(self) -> list[str]:
        """This world's databases on the other server."""
        query = "SELECT datname FROM pg_database ORDER BY 1"
        return [name for (name,) in self.there(query) if name.startswith(self.name)]

    def roles_there(self) -> list[str]:
        """Roles that slipway made on the other server and left there."""
        query = "SELECT rolname FROM pg_roles WHERE rolname ~ '^slipway_(mig|reh)_'"
        return [name for (name,) in self.there(query)]


@contextmanager
def away_world(stack: Stack, other: Stack, folder: Path) -> Iterator[AwayWorld]:
    """Make production on one server; drop what is made of it on both."""
    with data_world(stack, folder) as near:
        given = {one.name: getattr(near, one.name) for one in fields(near)}
        world = AwayWorld(**given, other=other)
        try:
            yield world
        finally:
            with access.superuser(other) as connection:
                for name in world.copies():
                    templates.drop(connection, name)
