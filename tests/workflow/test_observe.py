"""Observing with planned looks: verdicts beside what really happened, on the real server."""

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

import pytest
import pytest_asyncio
from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner

from slipway.errors import ForeignChange, SlipwayError
from slipway.messages.observe import Fate, LabelRequest, Truth
from slipway.observed import summarise
from slipway.verdicts import Kind, Reason, Signal
from tests.fakes.observing import looked, rollout, standing
from tests.fakes.plans import small_plan
from tests.fakes.world import fails, says
from tests.workflow.observed import QUICK, Observed
from workflows import observe


@pytest_asyncio.fixture(loop_scope="session")
async def case(client: Client) -> AsyncIterator[Observed]:
    """An observer that has seen two services at rest."""
    async with Observed(client, small_plan(timings=QUICK)).working() as one:
        await one.start()
        yield one
        if (await one.handle.describe()).close_time is None:
            await one.handle.terminate("the test is over")


async def test_a_good_release_would_have_gone_on_and_was_kept(case: Observed) -> None:
    await case.sees(looked(2, rollout("analytics", "1.1.0", "1.0.0")))
    one = await case.judged()
    assert one.id == "analytics-1"
    assert one.verdict is not None
    assert one.verdict.kind is Kind.PROCEED
    assert one.noticed_after == 2
    assert one.verdict_after is not None
    assert one.verdict_after > 2
    assert one.fate is Fate.OPEN

    seen = standing("analytics", "1.1.0")
    await case.sees(looked(10, seen), looked(86_401))
    one = await case.over()
    assert (one.fate, one.ran) == (Fate.KEPT, True)
    summary = summarise(await case.state())
    assert summary.table[Kind.PROCEED][Truth.GOOD] == 1


async def test_a_bad_release_would_have_been_rolled_back_and_was(case: Observed) -> None:
    case.world.trouble["observe:analytics"] = [
        says(Kind.ROLLBACK, Reason.ERROR_RATE_TOO_HIGH, "analytics", "41 of 1180 requests failed")
    ]
    await case.sees(looked(1, rollout("analytics", "1.1.0", "1.0.0")))
    one = await case.judged()
    assert one.verdict is not None
    assert (one.verdict.kind, one.verdict.signal) == (Kind.ROLLBACK, Signal.TRAFFIC)
    assert "41 of 1180" in one.verdict.because

    undo = rollout("analytics", "1.0.0", "1.1.0", born=0.0, began=1_800_000_100.0, back=True)
    await case.sees(looked(101, undo))
    one = await case.over()
    assert (one.fate, one.fate_after) == (Fate.ROLLED_BACK, 100)
    back = await case.judged(2)
    assert back.back
    summary = summarise(await case.state())
    assert summary.rollback.precision is not None
    assert (summary.rollback.precision.hits, summary.rollback.precision.of) == (1, 1)
    assert summary.back == 1


@pytest.mark.parametrize(
    ("step", "kind", "reason"),
    [
        ("rollout.wait:analytics", Kind.ROLLBACK, Reason.ROLLOUT_DOOMED),
        ("check.service:analytics", Kind.ROLLBACK, Reason.UNHEALTHY),
        ("observe:analytics", Kind.ROLLBACK, Reason.POD_RESTARTING),
    ],
)
async def test_the_first_step_that_says_so_decides(
    case: Observed, step: str, kind: Kind, reason: Reason
) -> None:
    case.world.trouble[step] = [says(kind, reason, "analytics")]
    await case.sees(looked(1, rollout("analytics", "1.1.0", "1.0.0")))
    verdict = (await case.judged()).verdict
    assert verdict is not None
    assert (verdict.kind, verdict.reason) == (kind, reason)


async def test_a_hold_counts_at_the_end_of_the_window(case: Observed) -> None:
    case.world.always["observe:analytics"] = says(Kind.HOLD, Reason.LATENCY_TOO_HIGH, "analytics")
    await case.sees(looked(1, rollout("analytics", "1.1.0", "1.0.0")))
    verdict = (await case.judged()).verdict
    assert verdict is not None
    assert (verdict.kind, verdict.reason) == (Kind.HOLD, Reason.LATENCY_TOO_HIGH)
    assert [one.last for one in case.world.slices] == [False, True]


async def test_services_that_are_deployed_at_once_are_judged_at_once(case: Observed) -> None:
    judged = {name: asyncio.Event() for name in ("api-gateway", "analytics")}

    async def meet(service: str) -> None:
        judged[service].set()
        for one in judged.values():  # none ends before both are being judged
            await one.wait()

    for service in judged:
        case.world.always[f"check.service:{service}"] = partial(meet, service)
    await case.sees(
        looked(1, rollout("analytics", "1.1.0", "1.0.0"), rollout("api-gateway", "1.1.0", "1.0.0"))
    )
    for number in (1, 2):
        verdict = (await case.judged(number)).verdict
        assert verdict is not None
        assert verdict.kind is Kind.PROCEED


async def _none(act: Callable[[], Any]) -> None:
    await act()


async def test_a_team_that_is_quicker_leaves_no_verdict(case: Observed) -> None:
    hold = asyncio.Event()
    case.world.trouble["check.service:analytics"] = [lambda: _none(hold.wait)]
    await case.sees(looked(1, rollout("analytics", "1.1.0", "1.0.0")))
    await case.reaches(lambda _: case.world.calls["check.service:analytics"] == 1)
    await case.sees(looked(21, rollout("analytics", "1.2.0", "1.1.0", began=1_800_000_020.0)))
    one = await case.judged()
    assert one.cut_short
    assert one.fate is Fate.REPLACED
    second = (await case.judged(2)).verdict
    assert second is not None
    assert second.kind is Kind.PROCEED
    hold.set()
    assert summarise(await case.state()).cut_short == 1


async def test_what_is_overtaken_while_it_rolls_out_is_not_judged(case: Observed) -> None:
    case.world.trouble["rollout.wait:analytics"] = [fails(ForeignChange("Another one.", "Look."))]
    await case.sees(looked(1, rollout("analytics", "1.1.0", "1.0.0")))
    assert (await case.judged()).cut_short


async def test_a_deployment_that_goes_away_is_told(case: Observed) -> None:
    await case.sees(looked(1, rollout("analytics", "1.1.0", "1.0.0")))
    await case.judged()
    await case.sees(looked(50, absent=["analytics"]))
    assert (await case.over()).fate is Fate.DELETED


async def test_a_version_that_is_scaled_to_zero_says_nothing(case: Observed) -> None:
    await case.sees(looked(1, rollout("analytics", "1.1.0", "1.0.0")))
    await case.judged()
    await case.sees(looked(60, standing("analytics", "1.1.0", replicas=0, ran=False)))
    one = await case.over()
    assert one.fate is Fate.SCALED_TO_ZERO
    assert summarise(await case.state()).unclear == 1


async def test_a_look_that_fails_is_told_once_and_looking_goes_on(case: Observed) -> None:
    missing = SlipwayError("slipway may not list deployments.", "Add it to the Role.")
    await case.sees(missing)
    state = await case.reaches(lambda one: bool(one.trouble))
    assert "may not list deployments" in state.trouble
    assert [one.kind for one in state.news].count("trouble") == 1


async def test_a_label_stands_above_what_became_of_it(case: Observed) -> None:
    await case.sees(looked(1, rollout("analytics", "1.1.0", "1.0.0")))
    await case.judged()
    await case.sees(looked(10, standing("analytics", "1.1.0")), looked(86_401))
    await case.over()
    word = LabelRequest(
        request="l-1",
        observation="analytics-1",
        truth=Truth.BAD,
        person="sre@teei.example",
        because="wrong totals",
    )
    assert (await case.asks("label", word)).accepted
    unknown = word.model_copy(update={"observation": "analytics-9", "request": "l-2"})
    assert not (await case.asks("label", unknown)).accepted
    summary = summarise(await case.state())
    assert [one.id for one in summary.missed] == ["analytics-1"]


async def test_what_was_seen_outlives_a_stop(case: Observed) -> None:
    hold = asyncio.Event()
    case.world.trouble["check.service:api-gateway"] = [lambda: _none(hold.wait)]
    await case.sees(
        looked(1, rollout("analytics", "1.1.0", "1.0.0"), rollout("api-gateway", "1.1.0", "1.0.0"))
    )
    await case.judged()
    left = await case.stop()
    hold.set()
    first, second = left.observations
    assert not first.cut_short
    assert second.cut_short, "it was being judged when observing was stopped"

    await case.start(left)
    undo = rollout("analytics", "1.0.0", "1.1.0", born=0.0, began=1_800_000_100.0, back=True)
    await case.sees(looked(101, undo))
    assert (await case.over()).fate is Fate.ROLLED_BACK
    known = next(one for one in reversed(case.looks.asked) if one.known).known
    assert set(known) == {"api-gateway", "analytics"}


async def test_a_rollout_that_nobody_looked_at_is_not_judged_afterwards(case: Observed) -> None:
    await case.sees(looked(7200, rollout("analytics", "1.1.0", "1.0.0")))
    one = await case.judged()
    assert one.cut_short
    assert case.world.calls["rollout.wait:analytics"] == 0


async def test_a_version_with_no_pod_is_not_judged(case: Observed) -> None:
    seen = looked(1, rollout("analytics", "1.1.0", "1.0.0"))
    none = seen.standing["analytics"].model_copy(update={"replicas": 0})
    await case.sees(seen.model_copy(update={"standing": {"analytics": none}}))
    one = await case.judged()
    assert one.cut_short
    assert one.fate is Fate.SCALED_TO_ZERO
    assert case.world.calls["rollout.wait:analytics"] == 0


async def test_only_functions_that_read_are_run(client: Client) -> None:
    plan = small_plan(timings=QUICK)
    flows = [
        {"name": "log in", "steps": [{"name": "s", "method": "POST", "path": "/login"}]},
        {"name": "read", "steps": [{"name": "s", "path": "/one"}]},
        {"name": "try", "steps": [{"name": "s", "method": "POST", "path": "/dry-run"}]},
    ]
    services = [one.model_dump(mode="json") for one in plan.services]
    for service in services:
        service["page"] = {"contains": ["Cockpit"], "rendered": ["Sign in"]}
        service["critical"] = [{**flow, "service": service["name"]} for flow in flows]
    plan = small_plan(timings=QUICK, services=services, observe={"also_run": ["try"]})
    async with Observed(client, plan).working() as case:
        await case.start()
        await case.sees(looked(1, rollout("analytics", "1.1.0", "1.0.0", log_rates=None)))
        one = await case.judged()
        assert case.looks.functions["analytics"] == ["read", "try"]
        assert [part.partition(":")[0] for part in one.unchecked] == [
            "critical function 'log in'",
            "page in a browser",
            "error lines",
        ]
        assert case.world.slices[-1].logs == [], "there is nothing to compare the lines with"
        await case.stop()


async def test_a_full_history_is_followed_by_a_new_one_that_knows_everything(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(observe, "_ENOUGH", 60)
    one = Observed(client, small_plan(timings=QUICK))
    # the sandbox imports the workflow's code anew, so that it would not see the lower limit
    async with one.working(workflow_runner=UnsandboxedWorkflowRunner()):
        await one.start()
        first = (await one.handle.describe()).run_id
        await one.sees(looked(1, rollout("analytics", "1.1.0", "1.0.0")))
        await one.judged()
        while (await one.handle.describe()).run_id == first:
            if one.looks.planned.empty():
                await one.sees(looked(20))
            await asyncio.sleep(0.05)
        assert len((await one.state()).observations) == 1
        undo = rollout("analytics", "1.0.0", "1.1.0", born=0.0, began=1_800_000_100.0, back=True)
        await one.sees(looked(101, undo))
        assert (await one.over()).fate is Fate.ROLLED_BACK
        numbers = [line.number for line in (await one.state()).news]
        assert numbers == list(range(1, len(numbers) + 1))
        await one.stop()


async def test_a_window_with_a_gap_never_lets_a_release_go_on(case: Observed) -> None:
    case.world.trouble["observe:analytics"] = [
        fails(SlipwayError("The worker cannot read.", "Look.")),
        says(Kind.PROCEED, Reason.TOO_LITTLE_TRAFFIC, "analytics"),
    ]
    await case.sees(looked(1, rollout("analytics", "1.1.0", "1.0.0")))
    verdict = (await case.judged()).verdict
    assert verdict is not None
    assert (verdict.kind, verdict.reason) == (Kind.INCONCLUSIVE, Reason.NOTHING_TO_READ)
    assert "The worker cannot read." in verdict.because
