"""`why` in every way a run can wait or end, on the real Temporal server: the right culprit, at most
24 lines, and a command that works when it is pasted."""

import asyncio
import traceback
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from temporalio.client import Client

from slipway.explain import MOST_LINES
from tests.workflow.case import Case
from tests.workflow.hall import Done, Hall
from tests.workflow.pasting import paste
from tests.workflow.people_situations import PEOPLE
from tests.workflow.reason_situations import REASONS
from tests.workflow.server_situations import SERVER
from tests.workflow.situations import Situation
from tests.workflow.waiting import PATIENCE

SITUATIONS = [*REASONS, *PEOPLE, *SERVER]
_AT_ONCE = 6


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def told(
    client: Client, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[dict[str, str]]:
    """What went wrong in each situation asked for: they share two workers and run side by side."""
    wanted = {item.name.partition("[")[2].removesuffix("]") for item in request.session.items}
    folder, slots = tmp_path_factory.mktemp("why"), asyncio.Semaphore(_AT_ONCE)
    async with Hall(client).open() as hall:

        async def one(situation: Situation) -> str:
            async with slots:
                return await _wrong(situation, hall, folder)

        chosen = [each for each in SITUATIONS if each.name in wanted]
        found = await asyncio.gather(*(one(each) for each in chosen))
        yield {each.name: wrong for each, wrong in zip(chosen, found, strict=True)}


async def _wrong(situation: Situation, hall: Hall, folder: Path) -> str:
    """Return what is wrong with a situation, with what was printed; nothing: all is well."""
    case = Case(hall, folder, apart=situation.apart, **situation.plan)
    asked = Done(0, "", "")
    try:
        async with asyncio.timeout(3 * PATIENCE):  # six share a machine that may be busy
            await situation.drive(case)
            asked = await case.why(process=situation.process)
            _judge(situation, asked)
            await situation.effect(case, await paste(case, situation, asked))
    except Exception:
        return f"{traceback.format_exc()}\nwhy printed:\n{asked.out}{asked.err}"
    finally:
        _keep(folder, situation, asked)
        await case.close()
    return ""


def _judge(situation: Situation, asked: Done) -> None:
    said = asked.out or asked.err
    assert "Traceback" not in asked.err
    assert len(said.splitlines()) <= MOST_LINES
    assert [one for one in situation.says if one not in said] == []


def _keep(folder: Path, situation: Situation, asked: Done) -> None:
    """For reading as the person woken at three in the morning: pytest keeps the last three runs."""
    name = situation.name.replace(" ", "-")
    (folder / f"{name}.txt").write_text(asked.out + asked.err)


@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda one: one.name)
async def test_it_names_the_culprit_and_a_command_that_works(
    situation: Situation, told: dict[str, str]
) -> None:
    assert told[situation.name] == "", told[situation.name]


async def test_every_situation_is_told_apart(
    told: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    well = sum(not wrong for wrong in told.values())
    with capsys.disabled():
        print(f"\n{well} of {len(told)} situations: right culprit and a command that works")
    assert well == len(told)
    assert len({one.name for one in SITUATIONS}) == len(SITUATIONS) >= 40
