"""What stands in the way although every right is given: made once on the real server, each named
with what removes it, and gone when that was done."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from devstack.stack import Stack
from devstack.world.database import access
from slipway.judgements.database_obstacles import OBSTACLES
from slipway.judgements.database_rights import Login
from slipway.messages.preflight import Finding
from slipway.plan import CorruptionProbe
from tests.integration.rights_world import RightsWorld, rights_world

pytestmark = pytest.mark.stack

MAKE: dict[str, str] = {
    "begin read-only": "ALTER ROLE {admin} IN DATABASE {name} SET default_transaction_read_only=on",
    "Too few connections": "ALTER ROLE {admin} CONNECTION LIMIT 5",
    "Prepared transactions": "BEGIN; CREATE TABLE half (); PREPARE TRANSACTION '{name}'",
    "cannot read {names} in": "GRANT {stranger} TO {admin} WITH INHERIT FALSE, SET TRUE;"
    "CREATE TABLE theirs (id int PRIMARY KEY); ALTER TABLE theirs OWNER TO {stranger}",
    "cannot read the large objects": "GRANT {stranger} TO {admin} WITH INHERIT FALSE, SET TRUE;"
    "SELECT lo_create(4711); ALTER LARGE OBJECT 4711 OWNER TO {stranger}",
    "Row security": "GRANT {stranger} TO {admin} WITH INHERIT FALSE, SET TRUE;"
    "CREATE TABLE theirs (id int PRIMARY KEY); ALTER TABLE theirs ENABLE ROW LEVEL SECURITY;"
    "GRANT SELECT ON theirs TO {admin}; ALTER TABLE theirs OWNER TO {stranger};"
    "GRANT SELECT ON theirs TO {admin}",
    "cannot give to others": "CREATE FUNCTION theirs() RETURNS int LANGUAGE sql AS 'SELECT 1';"
    "ALTER FUNCTION theirs OWNER TO {stranger}",
    "a copy of {database} the settings {names}": "ALTER DATABASE {name} SET teei.flag = 'x'",
    "the settings of roles": "ALTER ROLE {stranger} IN DATABASE {name} SET work_mem = '8MB'",
    "Replication slots": "SELECT pg_create_physical_replication_slot('{name}', true)",
    "cannot follow into": "CREATE TABLE no_key (what text); ALTER TABLE no_key OWNER TO {owner}",
    "Others read changes": "SELECT pg_create_logical_replication_slot('{name}', 'pgoutput')",
    "slipway's schema": "CREATE SCHEMA slipway; CREATE TABLE slipway.fence ()",
}
"""By a part of the obstacle's sentence: the SQL that makes it."""
ELSEWHERE = {
    "is a standby": "needs a second server: the judgement has a unit test",
    "Workers of the server": "below, with a subscription",
    "Superusers are connected": "below, with a session",
    "install again the extensions": "the stack's server has no untrusted extension",
    "WAL takes": "would need gigabytes of it",
    "wal_level is": "needs a restart of the shared server",
    "slots are taken": "would take every slot of the shared server",
    "Nothing limits": "a setting of the whole shared server",
    "WAL is not archived": "needs a restart of the shared server",
}


@pytest.fixture
def rights(stack: Stack, tmp_path: Path) -> Iterator[RightsWorld]:
    with rights_world(stack, tmp_path) as made:
        yield made


def test_every_obstacle_is_made_here_or_said_why_not() -> None:
    for one in OBSTACLES:
        assert sum(part in one.what for part in [*MAKE, *ELSEWHERE]) == 1, one.what
    assert len(OBSTACLES) == len(MAKE) + len(ELSEWHERE)


async def settled(
    rights: RightsWorld, good: Callable[[list[Finding]], bool], seconds: float = 120
) -> list[Finding]:
    """Look until the findings are as they should be; sessions and workers come and go."""
    async with asyncio.timeout(seconds):
        while not good(found := await rights.findings()):  # noqa: ASYNC110 - a server's state
            await asyncio.sleep(0.1)
    return found


@pytest.mark.parametrize("part", MAKE)
async def test_each_obstacle_is_named_and_its_statement_removes_it(
    rights: RightsWorld, part: str
) -> None:
    (obstacle,) = [one for one in OBSTACLES if part in one.what]
    names = {
        "name": rights.name,
        "admin": rights.role(Login.PRODUCTION),
        "stranger": rights.stranger,
        "owner": rights.owner,
    }
    rights.administer(MAKE[part].format(**names), obstacle.login)
    if "slots" in part:
        _write_wal(rights)
    (finding,) = await rights.findings()
    assert (finding.severity == "block") is obstacle.blocks
    assert obstacle.why in finding.what
    remedy = finding.remedy.partition("; or ")[0]
    if "slots" in part:  # other tests' slots are named as well: they are not ours to drop
        (remedy,) = [one for one in remedy.split(";") if rights.name in one]
    rights.administer(remedy, obstacle.login)
    found = [
        one for one in await rights.findings() if "slots" not in part or rights.name in str(one)
    ]
    assert found == []


def _write_wal(rights: RightsWorld) -> None:
    with rights.superuser() as connection:
        for _ in range(6):
            connection.execute("SELECT pg_logical_emit_message(false, 'slipway', 'x')")
            connection.execute("SELECT pg_switch_wal()")


async def test_a_superusers_session_is_noted(rights: RightsWorld) -> None:
    with access.superuser(rights.stack, rights.name):
        (finding,) = await rights.findings()
    assert finding.severity == "note"
    assert "postgres" in finding.what


async def test_a_subscriptions_worker_blocks_and_its_statement_ends_it(
    rights: RightsWorld,
) -> None:
    stack, slot = rights.stack, rights.name
    address = (
        f"host={stack.pg_host} port={stack.pg_port} user={stack.pg_superuser} "
        f"password={stack.pg_superuser_password} dbname={rights.database_of(Login.CONTROL)}"
    )
    rights.administer("CREATE PUBLICATION made", Login.CONTROL)
    rights.administer(
        f"SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')", Login.CONTROL
    )
    rights.administer(
        f"CREATE SUBSCRIPTION {slot} CONNECTION '{address}' PUBLICATION made"
        f" WITH (create_slot = false, slot_name = '{slot}', copy_data = false)"
    )
    try:
        found = await settled(rights, lambda found: any("Workers" in one.what for one in found))
        (finding,) = [one for one in found if "Workers" in one.what]
        assert finding.severity == "block"
        assert finding.remedy == f"ALTER SUBSCRIPTION {slot} DISABLE;"
        rights.administer(finding.remedy)
        await settled(rights, lambda found: not any("Workers" in one.what for one in found))
    finally:
        rights.administer(f"ALTER SUBSCRIPTION {slot} DISABLE")
        rights.administer(f"ALTER SUBSCRIPTION {slot} SET (slot_name = NONE)")
        rights.administer(f"DROP SUBSCRIPTION {slot}")
        await _drop_slot(rights, slot)


async def _drop_slot(rights: RightsWorld, slot: str) -> None:
    async with asyncio.timeout(120):
        while True:
            with contextlib.suppress(psycopg.errors.ObjectInUse):
                rights.administer(f"SELECT pg_drop_replication_slot('{slot}')", Login.CONTROL)
                return
            await asyncio.sleep(0.1)


async def test_a_probe_for_what_is_not_there_yet_is_noted(rights: RightsWorld) -> None:
    probes = [
        CorruptionProbe(name="later", sql="SELECT true FROM not_yet"),
        CorruptionProbe(name="two", sql="SELECT true; DROP TABLE users"),
    ]
    plan = rights.plan.model_copy(update={"corruption": probes})
    later, two = await rights.findings(plan)
    assert (later.severity, two.severity) == ("note", "block")
    assert rights.run("SELECT count(*) FROM users") == [(2000,)]
