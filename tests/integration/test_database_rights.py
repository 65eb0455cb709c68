"""Each right of slipway's database roles taken away once, on the real server; and put back by the
very statement that the preflight names."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from temporalio.testing import ActivityEnvironment

from activities.backups import Backups
from activities.database import DatabaseRollback
from devstack.stack import Stack
from slipway.judgements.database_rights import RIGHTS, DatabaseRight, Login
from slipway.messages.preflight import Finding
from tests.integration.data_world import FIRST_WHEN
from tests.integration.migration_case import HARMLESS, Case
from tests.integration.rights_world import RightsWorld, rights_world, taken

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def module_world(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RightsWorld]:
    with rights_world(stack, tmp_path_factory.mktemp("rights")) as made:
        yield made


@pytest.fixture
def rights(module_world: RightsWorld) -> RightsWorld:
    return module_world


def statement_of(finding: Finding) -> str:
    """The statement of a remedy: `Run as administrator in database …: GRANT …;`."""
    return finding.remedy.partition(": ")[2]


def said(findings: list[Finding]) -> list[str]:
    return [f"{one.severity}: {one.what} {one.remedy}" for one in findings]


async def test_the_listed_rights_are_enough_to_be_ready(rights: RightsWorld) -> None:
    assert said(await rights.findings()) == []


@pytest.mark.parametrize("right", RIGHTS, ids=lambda right: f"{right.login}: {right.what}")
async def test_each_right_taken_away_is_named_and_its_line_gives_it_back(
    rights: RightsWorld, right: DatabaseRight
) -> None:
    grant = rights.statement(right)
    rights.administer(taken(grant), right.login)
    try:
        (finding,) = await rights.findings()
        assert statement_of(finding) == grant, finding
        assert (finding.severity == "block") is right.blocks
        rights.administer(statement_of(finding), right.login)
        assert said(await rights.findings()) == []
    finally:
        rights.administer(grant, right.login)


async def test_a_probe_that_may_not_read_is_named_and_its_line_helps(rights: RightsWorld) -> None:
    grant = f"GRANT pg_read_all_data TO {rights.role(Login.PROBE)};"
    rights.administer(taken(grant))
    try:
        (finding,) = await rights.findings()
        assert statement_of(finding) == grant
    finally:
        rights.administer(grant)
    assert said(await rights.findings()) == []


async def test_a_role_with_these_rights_and_no_more_backs_up_migrates_and_rolls_back(
    stack: Stack, tmp_path: Path
) -> None:
    with rights_world(stack, tmp_path) as world:
        before = world.run("SELECT count(*), sum(hashtext(u::text)) FROM users u")
        backups = Backups(world.postgres, world.store)
        backup = await ActivityEnvironment().run(backups.take, world.take())
        assert backup.restored_ok
        case = Case(world, tmp_path, [HARMLESS])
        applied = await case.apply()
        assert [one.created_at for one in applied.state.ledger][-1] == FIRST_WHEN
        assert len(applied.state.ledger) == 2
        rollback = DatabaseRollback(world.postgres, world.store)
        done = await ActivityEnvironment().run(rollback.roll_back, world.roll_back(backup))
        assert (done.changed, done.schema_equal, done.rows_equal) == (True, True, True)
        assert world.run("SELECT count(*), sum(hashtext(u::text)) FROM users u") == before
        # and what it left behind stands in nobody's way
        assert said(await world.findings()) == []
