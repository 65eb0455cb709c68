"""What the preflight says of another server that is to hold the copies: with its rights and nothing
more it is ready, and each thing that it lacks is named."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from devstack.stack import Stack
from devstack.world import layout
from devstack.world.database import access
from slipway.judgements.database_rights import RESTORE_RIGHTS, DatabaseRight, Login
from slipway.messages.preflight import Finding
from slipway.plan import Plan
from tests.integration.own_postgres import own_postgres
from tests.integration.rights_world import PASSWORD, RightsWorld, rights_world, taken

pytestmark = pytest.mark.stack


@dataclass
class Copies:
    """The other server, with the roles that production has."""

    rights: RightsWorld
    other: Stack
    folder: Path

    @property
    def name(self) -> str:
        return f"{self.rights.name}_copies"

    def administer(self, statement: str, database: str | None = None) -> None:
        with access.superuser(self.other, database or self.name) as connection:
            connection.execute(statement.encode())

    def reference(self, role: str | None = None) -> str:
        role = role or self.rights.role(Login.PRODUCTION)
        path = self.folder / f"copies.{role}.url"
        where = f"{self.other.pg_host}:{self.other.pg_port}/{self.name}"
        layout.write_text(path, f"postgresql://{role}:{PASSWORD}@{where}", mode=0o600)
        return f"file:{path}"

    def statement(self, right: DatabaseRight) -> str:
        given = {"role": self.rights.role(Login.PRODUCTION), "database": self.name}
        return right.statement(18).format(**self.rights.names, **given)

    def plan(self, reference: str = "") -> Plan:
        place = {"restore_server": reference or self.reference()}
        database = self.rights.database.model_copy(update=place)
        return self.rights.plan.model_copy(update={"database": database})

    async def findings(self, reference: str = "") -> list[Finding]:
        return await self.rights.findings(self.plan(reference))

    def make(self) -> None:
        admin = self.rights.role(Login.PRODUCTION)
        self.administer(f"CREATE ROLE {admin} LOGIN PASSWORD '{PASSWORD}'", "postgres")
        for role in (self.rights.owner, self.rights.role(Login.PROBE), self.rights.stranger):
            self.administer(f"CREATE ROLE {role}", "postgres")
        self.administer(f"CREATE DATABASE {self.name}", "postgres")
        for right in RESTORE_RIGHTS:
            self.administer(self.statement(right))


@pytest.fixture(scope="module")
def copies(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Copies]:
    folder = tmp_path_factory.mktemp("copies")
    with own_postgres() as server, rights_world(stack, folder) as rights:
        made = Copies(rights, server.stack, folder)
        made.make()
        yield made


async def test_the_listed_rights_are_enough(copies: Copies) -> None:
    assert await copies.findings() == []


@pytest.mark.parametrize("right", RESTORE_RIGHTS, ids=lambda right: right.what)
async def test_each_right_taken_away_is_named_and_its_line_gives_it_back(
    copies: Copies, right: DatabaseRight
) -> None:
    grant = copies.statement(right)
    copies.administer(taken(grant))
    try:
        (finding,) = await copies.findings()
        where, _, statement = finding.remedy.partition(": ")
        assert statement == grant
        assert where.endswith("of database.restore_server")
        assert (finding.severity == "block") is right.blocks
    finally:
        copies.administer(grant)
    assert await copies.findings() == []


async def test_roles_and_extensions_that_are_missing_there_are_named(copies: Copies) -> None:
    rights = copies.rights
    role = f"{rights.name}_guest"
    rights.administer(f"CREATE ROLE {role}")
    try:
        rights.administer(f"GRANT SELECT ON users TO {role}")
        (finding,) = await copies.findings()
        assert (finding.severity, role in finding.what) == ("block", True)
        assert finding.remedy.endswith(f"CREATE ROLE {role} NOLOGIN;")
        copies.administer(f"CREATE ROLE {role} NOLOGIN")
        assert await copies.findings() == []
        copies.administer(f"DROP ROLE {role}")
    finally:
        rights.administer(f"DROP OWNED BY {role}; DROP ROLE {role}")


async def test_productions_own_server_is_no_other_one(copies: Copies) -> None:
    own = copies.rights.reference(Login.CONTROL)
    (finding,) = await copies.findings(own)
    assert finding.what == "database.restore_server opens production's own server."


async def test_another_role_there_is_named(copies: Copies) -> None:
    role = f"{copies.rights.name}_other"
    copies.administer(f"CREATE ROLE {role} LOGIN SUPERUSER PASSWORD '{PASSWORD}'")
    (finding,) = await copies.findings(copies.reference(role))
    assert f"logs in as {role}, database.url as" in finding.what


async def test_a_server_that_is_away_is_named(copies: Copies, tmp_path: Path) -> None:
    with own_postgres() as gone:
        away = Copies(copies.rights, gone.stack, tmp_path).reference()
    (finding,) = [one for one in await copies.findings(away) if one.severity == "block"][:1]
    assert finding.what.startswith("Not looked at: database.restore_server")
