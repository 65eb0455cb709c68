"""Observing a team that deploys with kubectl, on the real servers, with the shipped Role alone."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from activities.adapters.cluster import Cluster
from activities.log_source import LogSource
from activities.observing import Observing
from activities.rollouts import Rollouts
from activities.watch import Watch
from slipway.errors import Forbidden, SlipwayError
from slipway.judgements import workload as objects
from slipway.judgements.environment import OBSERVING_RIGHTS, Right
from slipway.messages.observe import Fate, Look, Looked, Observation
from slipway.messages.rollout import AwaitRollout, RolledOut
from slipway.messages.watch import SliceSeen
from slipway.verdicts import Kind, Signal
from tests.integration.cluster_world import ClusterWorld, activity, until
from tests.integration.observe_world import (
    Observer,
    Person,
    Team,
    audit_size,
    audited,
    observing_plan,
    observing_worker,
    terminate,
)
from tests.integration.test_watch import request as window

pytestmark = pytest.mark.stack

DEPLOYED: dict[str, tuple[str | None, Kind, Signal | None]] = {
    "api-gateway": (None, Kind.PROCEED, None),
    "unified-profile": (None, Kind.PROCEED, None),
    "q2q-ai": (None, Kind.PROCEED, None),
    "discord-bot": (None, Kind.PROCEED, None),
    "buddy": ("unhealthy", Kind.ROLLBACK, Signal.HEALTH),
    "analytics": ("errors3", Kind.ROLLBACK, Signal.TRAFFIC),
    "journey": ("errorlogs", Kind.ROLLBACK, Signal.LOGS),
    "reporting": ("crashloop", Kind.ROLLBACK, Signal.ROLLOUT),
    "corp-cockpit": ("nohtml", Kind.ROLLBACK, Signal.HEALTH),
    "safety-moderation": ("slow900", Kind.HOLD, Signal.LATENCY),
}
"""What the team deploys, and what slipway would have decided."""
BAD = [service for service, (fault, _, _) in DEPLOYED.items() if fault]
GOOD = [service for service in DEPLOYED if service not in BAD]


@pytest.fixture
def observer(place: ClusterWorld, tmp_path: Path) -> Observer:
    one = Observer(place, tmp_path)
    one.grant()
    one.log_in()
    return one


@pytest.fixture
def cluster(observer: Observer) -> Iterator[Cluster]:
    found = observer.cluster()
    yield found
    found.close()


def look(place: ClusterWorld, *services: str, **changes: object) -> Look:
    """A look at services that ends at once."""
    values: dict[str, object] = {
        "workloads": [place.workload(one) for one in services],
        "logs": place.plan.logs,
        "baseline": place.plan.lengths.baseline,
        "recent": 60.0,
        "every": 0.2,
        "length": 0.1,
        **changes,
    }
    return Look.model_validate(values)


async def test_a_rollout_is_noticed_with_its_author_and_what_ran_before(
    place: ClusterWorld, cluster: Cluster
) -> None:
    observing, team = Observing(cluster, LogSource(cluster, place.loki)), Team(place)
    first: Looked = await activity(observing.notice, look(place, "buddy", "analytics"))
    assert set(first.standing) == {"buddy", "analytics"}
    assert first.rollouts == []
    known = {"known": first.standing}
    quiet: Looked = await activity(observing.notice, look(place, "buddy", "analytics", **known))
    assert not quiet.tells(look(place, "buddy", "analytics", **known))

    waiting = asyncio.create_task(
        activity(observing.notice, look(place, "buddy", "analytics", **known, length=120.0))
    )
    before = time.time()
    await team.set_image("buddy", "1.1.0")
    seen: Looked = await waiting
    (one,) = seen.rollouts
    assert one.service == "buddy"
    assert one.by == "kubectl-set"
    assert one.pod_hash_before == first.standing["buddy"].pod_hash
    assert ":1.0.0@" in one.image_before
    assert ":1.1.0@" in one.image
    assert before - 2 <= one.began <= seen.at
    assert one.log_rates is not None
    assert not one.back

    await team.undo("buddy")
    again = look(place, "buddy", known={"buddy": seen.standing["buddy"]}, length=120.0)
    (back,) = (await activity(observing.notice, again)).rollouts
    assert back.back
    assert back.pod_hash == first.standing["buddy"].pod_hash
    assert back.by == "kubectl"
    await at_rest(place, ["buddy"])


async def test_a_deployment_that_is_not_there_is_named(
    place: ClusterWorld, cluster: Cluster
) -> None:
    seen: Looked = await activity(
        Observing(cluster, LogSource(cluster, place.loki)).notice, look(place, "buddy", "nowhere")
    )
    assert seen.absent == ["nowhere"]
    assert set(seen.standing) == {"buddy"}


@pytest.mark.parametrize("right", OBSERVING_RIGHTS, ids=lambda one: f"{one.verb}-{one.kind}")
async def test_every_right_of_the_role_is_needed(
    place: ClusterWorld, observer: Observer, cluster: Cluster, right: Right
) -> None:
    async def named() -> bool:
        return any(right.rule in one for one in await _said(place, cluster))

    async def silent() -> bool:
        return not any("may not" in one for one in await _said(place, cluster))

    await until(silent, "the whole Role suffices")
    observer.grant(without=right)
    try:
        await until(named, f"the missing right is named: {right.rule}")
    finally:
        observer.grant()


async def _said(place: ClusterWorld, cluster: Cluster) -> list[str]:
    """Everything that one round of observing says, of a service at rest."""
    said: list[str] = []
    try:
        await activity(
            Observing(cluster, LogSource(cluster, place.loki)).notice, look(place, "buddy")
        )
        standing = await place.cluster.get_deployment(place.namespace, "buddy")
        done: RolledOut = await activity(
            Rollouts(cluster, LogSource(cluster, place.loki)).wait,
            AwaitRollout(
                workload=place.workload("buddy"),
                template=objects.template_of(standing),
                image="",
                deadline=5,
                uid=objects.metadata(standing)["uid"],
            ),
        )
        said.append(done.verdict.because)
    except SlipwayError as error:
        said.append(str(error))
    watch = Watch(cluster, place.metrics, LogSource(cluster, place.loki), place.http, place.probes)
    watched = await place.watched("buddy")
    request = window(
        place, watched, length=0.5, window_length=0.5, corruption=[], probe_url="", last=True
    )
    try:
        seen: SliceSeen = await activity(watch.slice, request)
    except SlipwayError as error:  # a window does not begin without its pods
        return [*said, str(error)]
    return [*said, *(one.because for one in seen.verdicts)]


async def test_the_role_lets_nothing_be_written(
    place: ClusterWorld, observer: Observer, cluster: Cluster
) -> None:
    """And an attempt would be seen: the audit log that is asked below holds it."""
    since = audit_size(place.stack)
    standing = await place.cluster.get_deployment(place.namespace, "buddy")
    patch = [{"op": "replace", "path": "/spec/replicas", "value": 0}]
    with pytest.raises(Forbidden):
        await cluster.patch_deployment(standing, patch)

    async def logged() -> bool:
        return bool(observer.writes(since))

    await until(logged, "the refused write is in the audit log")
    assert {one["responseStatus"]["code"] for one in observer.writes(since)} == {403}


@pytest.fixture
async def person(place: ClusterWorld, observer: Observer, tmp_path: Path) -> AsyncIterator[Person]:
    """Somebody who observes; the horizon is short enough to see what becomes of a rollout."""
    queue = f"slipway-observed-{uuid.uuid4().hex[:8]}"
    plan = observing_plan(tmp_path, horizon="45m")  # three minutes at this time scale
    with observing_worker(observer, queue):
        yield Person(observer, queue, plan, place.environment.path / "overlay.yaml")
        await terminate(place)


async def test_ten_deployments_are_judged_rightly_and_nothing_is_written(
    place: ClusterWorld, observer: Observer, person: Person
) -> None:
    team, since = Team(place), audit_size(place.stack)
    assert "nothing is written" in await person.slipway("--detach")
    assert "is observed since" in await person.slipway("--detach")
    await _met(person)
    try:
        await asyncio.gather(
            *(team.set_image(name, "1.1.0", fault) for name, (fault, _, _) in DEPLOYED.items())
        )
        seen = await _once(person, lambda one: one.verdict is not None)
        for service, (_, kind, signal) in DEPLOYED.items():
            verdict = seen[service].verdict
            assert verdict is not None
            assert verdict.kind is kind, f"{service}: {verdict.because}"
            assert signal in (None, verdict.signal), f"{service}: {verdict.because}"
            assert seen[service].by == "kubectl-set"
            assert seen[service].noticed_after < 60
        assert any("corruption" in one for one in seen["buddy"].unchecked)

        await asyncio.gather(*map(team.undo, BAD))
        seen = await _once(person, lambda one: one.fate is not Fate.OPEN)
        assert {seen[name].fate for name in BAD} == {Fate.ROLLED_BACK}
        assert {seen[name].fate for name in GOOD} == {Fate.KEPT}

        done, _ = await person.summary()
        rolled_back, stopped = done.rollback, done.stop
        assert rolled_back.precision is not None
        assert rolled_back.recall is not None
        assert (rolled_back.precision.hits, rolled_back.precision.of) == (5, 5)
        assert (rolled_back.recall.hits, rolled_back.recall.of) == (5, 6)
        assert stopped.recall is not None
        assert (stopped.recall.hits, stopped.recall.of) == (6, 6)
        assert done.back == len(BAD)
        assert done.false_alarms == []
        assert done.missed == []
        text = await person.slipway("--summary")
        assert "precision 5 of 5 (100%; 95 %: 57% to 100%); recall 5 of 6" in text
        assert "safety-moderation" in text
    finally:
        await asyncio.gather(*(team.set_image(name, "1.0.0") for name in DEPLOYED))
        await at_rest(place, list(DEPLOYED))

    name = seen["q2q-ai"].id
    assert "was bad" in await person.slipway("--label", name, "bad", "--because", "wrong totals")
    done, _ = await person.summary()
    assert [one.id for one in done.missed] == [name]
    assert "Observing ends" in await person.slipway("--stop")
    again, _ = await person.summary()
    assert again.rollouts == done.rollouts, "what was seen can be asked for after the end"

    assert observer.writes(since) == []
    patched = [
        one["objectRef"]["name"]
        for one in audited(place.stack, since)
        if one.get("verb") == "patch" and one["objectRef"].get("namespace") == place.namespace
    ]
    assert set(patched) >= set(DEPLOYED), "the log that shows no write of the observer shows others"


async def _met(person: Person) -> None:
    """Wait until the observer knows how everything stands: what comes then is a rollout."""

    async def all_met() -> bool:
        return set((await person.state()).known) >= set(DEPLOYED)

    await until(all_met, "the observer has met all services")


async def _once(person: Person, holds: Callable[[Observation], bool]) -> dict[str, Observation]:
    """Return the ten observations, by service, once something holds of each."""
    found: dict[str, Observation] = {}

    async def all_hold() -> bool:
        seen = (await person.state()).observations
        found.update({one.service: one for one in seen if not one.back and ":1.1.0" in one.image})
        return set(found) == set(DEPLOYED) and all(map(holds, found.values()))

    await until(all_hold, "all ten deployments", 400)
    return found


async def at_rest(place: ClusterWorld, services: list[str]) -> None:
    async def rest() -> bool:
        found = [await place.cluster.get_deployment(place.namespace, one) for one in services]
        return not any(objects.unrest(one) for one in found)

    await until(rest, "the old versions run again", 180)
