"""What the preflight says of the real PgBouncer in front of the database."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from devstack.stack import Stack
from devstack.world import layout
from devstack.world.database import access
from slipway.judgements.database_rights import Login
from slipway.messages.preflight import Finding
from slipway.plan import Plan
from tests.integration.data_world import until
from tests.integration.own_pgbouncer import LOOKER, OwnPgBouncer, own_pgbouncer, serving
from tests.integration.own_postgres import own_postgres
from tests.integration.rights_world import RightsWorld, rights_world

pytestmark = pytest.mark.stack


@pytest.fixture
def rights(stack: Stack, tmp_path: Path) -> Iterator[RightsWorld]:
    """Production, control and staging with exactly slipway's rights."""
    with rights_world(stack, tmp_path) as made:
        yield made


def plan(rights: RightsWorld, *references: str) -> Plan:
    database = rights.database.model_copy(update={"poolers": list(references)})
    return rights.plan.model_copy(update={"database": database})


async def said(rights: RightsWorld, *references: str) -> list[Finding]:
    return await rights.findings(plan(rights, *references))


async def connected(pooler: OwnPgBouncer, name: str) -> psycopg.Connection:
    """A client whose connection the pooler has led to the server."""
    client = psycopg.connect(pooler.url(access.APP, name), prepare_threshold=None)
    client.execute("SELECT 1")
    await until(lambda: any(one["database"] == name for one in pooler.run("SHOW SERVERS")))
    return client


async def test_a_pooler_that_serves_the_database_is_proved(rights: RightsWorld) -> None:
    with own_pgbouncer(rights.stack, {rights.name: rights.name}) as pooler:
        await serving(pooler)
        (finding,) = await said(rights, pooler.reference(rights.folder))
        assert (finding.severity, "no connection to" in finding.what) == ("note", True)
        with await connected(pooler, rights.name):
            assert await said(rights, pooler.reference(rights.folder)) == []


async def test_a_login_that_may_only_look_is_named(rights: RightsWorld) -> None:
    with own_pgbouncer(rights.stack, {rights.name: rights.name}) as pooler:
        await serving(pooler)
        (finding,) = await said(rights, pooler.reference(rights.folder, LOOKER))
    assert (finding.severity, finding.group) == ("block", "database")
    assert "may not pause" in finding.what
    assert "admin_users" in finding.remedy


async def test_a_pooler_of_another_database_or_server_is_named(rights: RightsWorld) -> None:
    elsewhere = {rights.name: rights.database_of(Login.CONTROL), "more": "postgres"}
    with own_pgbouncer(rights.stack, elsewhere) as pooler:
        await serving(pooler)
        (finding,) = await said(rights, pooler.reference(rights.folder))
    assert finding.severity == "block"
    assert f"serves no database {rights.name}; it serves" in finding.what


async def test_a_database_of_the_same_name_on_another_server_is_told_apart(
    rights: RightsWorld,
) -> None:
    with own_postgres() as other:
        with access.superuser(other.stack) as session:
            session.execute(f"CREATE DATABASE {rights.name}".encode())
        with own_pgbouncer(other.stack, {rights.name: rights.name}) as pooler:
            await serving(pooler)
            with await connected(pooler, rights.name):
                (finding,) = await said(rights, pooler.reference(rights.folder))
    assert finding.severity == "block"
    assert f"leads to a {rights.name} on another server" in finding.what


async def test_what_does_not_answer_or_is_no_pooler_is_named(rights: RightsWorld) -> None:
    with own_pgbouncer(rights.stack, {rights.name: rights.name}) as pooler:
        await serving(pooler)
        gone = pooler.reference(rights.folder)
    server, nowhere = await said(rights, rights.reference(Login.CONTROL), gone)
    assert "is no console of PgBouncer" in server.what
    assert "does not answer at its console" in nowhere.what
    assert "of-a-test-only" not in f"{server}{nowhere}"
    assert {server.severity, nowhere.severity} == {"block"}


async def test_who_is_paused_already_and_who_would_see_errors_is_named(rights: RightsWorld) -> None:
    settings = {"pool_mode": "session", "query_wait_timeout": "3"}
    with own_pgbouncer(rights.stack, {rights.name: rights.name}, **settings) as pooler:
        await serving(pooler)
        pooler.run(f"PAUSE {rights.name}")
        found = await said(rights, pooler.reference(rights.folder))
    assert [one.severity for one in found] == ["note", "block", "note", "note"]
    _, paused, session, patience = [one.what for one in found]
    assert f"holds the clients of {rights.name}" in paused
    assert "by the session" in session
    assert "longer than 3 s" in patience


async def test_slipways_own_connections_through_pgbouncer_are_seen(rights: RightsWorld) -> None:
    """Also where the plan names no pooler: the server's process numbers tell."""
    with own_pgbouncer(rights.stack, {rights.name: rights.name}) as pooler:
        await serving(pooler)
        through = rights.folder / "through.url"
        url = pooler.url(access.ADMIN, rights.name) + "?sslmode=disable"
        layout.write_text(through, url, mode=0o600)
        database = rights.database.model_copy(update={"url": f"file:{through}"})
        found = await rights.findings(rights.plan.model_copy(update={"database": database}))
    assert any(
        one.group == "addresses" and "database.url leads through a connection pooler" in one.what
        for one in found
    )
