"""Error lines from a real Loki: all of them, and never none because nothing was collected."""

import time
import uuid
from collections.abc import Iterator

import pytest

from activities.adapters.browser import Browser
from activities.adapters.loki import Loki
from activities.log_source import LogSource
from activities.observing import Observing
from activities.signal_look import SignalLook
from slipway.errors import BadInput, Unreachable
from slipway.judgements import workload as objects
from slipway.judgements.counters import pods_of_any_version
from slipway.judgements.log_levels import is_error
from slipway.judgements.logs import LogLine
from slipway.messages.observe import Looked
from slipway.messages.rollout import Capture
from slipway.plan import Loki as Store
from slipway.verdicts import Kind, Reason, Signal
from tests.integration.cluster_world import ClusterWorld, activity, until
from tests.integration.observe_world import Team
from tests.integration.own_loki import OwnLoki, own_loki
from tests.integration.stub_server import answering, response
from tests.integration.test_observe import at_rest, look
from tests.integration.test_watch import LENGTH, seen
from tests.loki_stub import listening

pytestmark = pytest.mark.stack

ERRORS = [
    "ERROR the pool is exhausted",
    "2026-11-23T18:00:00Z [PANIC] no way on",
    '{"level":50,"msg":"pino"}',
    '{"level": 60.0, "msg": "pino, fatal"}',
    '{"severity" : "Critical"}',
    '{"level":"emergency"}',
    '{"level":1e3}',
]
OTHERS = ["INFO all is well", '{"level":30,"msg":"no errors"}', "an error in small letters", ""]


@pytest.fixture(scope="module")
def server() -> Iterator[OwnLoki]:
    with own_loki() as running:
        yield running


@pytest.fixture
def selector(server: OwnLoki) -> str:
    """Streams of this test alone."""
    return f'{{test="{uuid.uuid4().hex}"}}'


def labels(selector: str, **more: str) -> dict[str, str]:
    return {"test": selector.split('"')[1], **more}


async def held(loki: Loki, store: Store, selector: str, number: int) -> list[LogLine]:
    """The error lines of the last minutes, once there are so many."""
    now = time.time()

    async def enough() -> bool:
        return len(await loki.error_lines(store, selector, now - 600, now + 60)) >= number

    await until(enough, f"{number} lines in Loki")
    return await loki.error_lines(store, selector, now - 600, now + 60)


async def test_error_lines_and_no_others_come_in_order(server: OwnLoki, selector: str) -> None:
    loki, at = Loki(), time.time_ns()
    server.push(labels(selector, pod="a"), ((at + n, text) for n, text in enumerate(OTHERS)))
    server.push(labels(selector, pod="b"), ((at - n, text) for n, text in enumerate(ERRORS)))
    found = await held(loki, server.plan(), selector, len(ERRORS))
    assert [one.text for one in found] == list(reversed(ERRORS))
    assert all(is_error(one.text) for one in found)
    assert found[-1].at == pytest.approx(at / 1e9, abs=1e-6)
    older = await loki.error_lines(server.plan(), selector, at / 1e9 - 600, at / 1e9 - 1)
    assert older == []
    await loki.aclose()


async def test_what_collectors_leave_around_a_line_is_taken_off(
    server: OwnLoki, selector: str
) -> None:
    loki, at = Loki(), time.time_ns()
    wrapped = [
        (at, '2026-11-23T18:00:00.1Z stderr F {"level":50,"msg":"CRI"}'),
        (at + 1, '{"log":"{\\"level\\":50,\\"msg\\":\\"docker\\"}\\n","stream":"stdout"}'),
        (at + 2, '{"log":"{\\"level\\":30,\\"msg\\":\\"well\\"}\\n","stream":"stdout"}'),
    ]
    server.push(labels(selector), wrapped)
    found = [one.text for one in await held(loki, server.plan(), selector, 2)]
    assert found == ['{"level":50,"msg":"CRI"}', '{"level":50,"msg":"docker"}']
    assert all(map(is_error, found))
    await loki.aclose()


async def test_loki_is_told_who_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOKI_HEADER", "Bearer of-a-test-only")
    loki, asked = listening()
    store = Store(url="http://loki", tenant="teei", authorization="env:LOKI_HEADER")
    assert await loki.error_lines(store, '{a="b"}', 0, 1) == []
    assert asked[0].headers["authorization"] == "Bearer of-a-test-only"
    assert asked[0].headers["x-scope-orgid"] == "teei"
    monkeypatch.delenv("LOKI_HEADER")
    with pytest.raises(BadInput, match="LOKI_HEADER"):
        await loki.error_lines(store, '{a="b"}', 0, 1)
    await loki.aclose()


async def test_pages_lose_nothing_and_count_nothing_twice(server: OwnLoki, selector: str) -> None:
    """Of 2,400 lines 800 share each moment, so that pages end in the midst of one."""
    loki, at = Loki(), time.time_ns()
    server.push(labels(selector), ((at + n // 800, f"ERROR number {n}") for n in range(2400)))
    found = await held(loki, server.plan(), selector, 2400)
    assert sorted(one.text for one in found) == sorted(f"ERROR number {n}" for n in range(2400))
    await loki.aclose()


async def test_the_newest_line_of_any_level(server: OwnLoki, selector: str) -> None:
    loki, at = Loki(), time.time_ns()
    now = at / 1e9 + 60
    assert await loki.newest(server.plan(), selector, now - 600, now) is None
    server.push(labels(selector), [(at, "INFO listening")])

    async def there() -> bool:
        return await loki.newest(server.plan(), selector, now - 600, now) is not None

    await until(there, "the line in Loki")
    newest = await loki.newest(server.plan(), selector, now - 600, now)
    assert newest == pytest.approx(at / 1e9, abs=1e-6)
    await loki.aclose()


@pytest.mark.parametrize(
    ("changes", "selector", "says"),
    [
        ({"tenant": None}, '{a="b"}', "401"),
        ({}, '{a="b"', "400"),
        ({"url": "http://127.0.0.1:9"}, '{a="b"}', "did not answer"),
    ],
)
async def test_what_loki_refuses_is_an_error(
    server: OwnLoki, changes: dict[str, object], selector: str, says: str
) -> None:
    loki, now = Loki(), time.time()
    with pytest.raises(Unreachable) as refused:
        await loki.error_lines(server.plan(**changes), selector, now - 60, now)
    assert says in refused.value.what
    assert "`loki`" in refused.value.remedy
    await loki.aclose()


def answer(result: str, more: str = "") -> bytes:
    data = f'{{"resultType":"streams","result":{result}}}'
    return response(f'{{"status":"success",{more}"data":{data}}}'.encode())


@pytest.mark.parametrize(
    "content",
    [
        response(b"<html>login</html>"),
        response(b"[]"),
        response(b"[" * 100_000),
        response(b" " * (17 * 1024 * 1024)),
        response(b'{"status":"success","data":null}'),
        response(b'{"status":"success","data":{"resultType":"matrix","result":[]}}'),
        response(b"", status="302 Found", more="Location: http://127.0.0.1:1/\r\n"),
        answer("[3]"),
        answer('[{"stream":{},"values":[["x","ERROR"]]}]'),
        answer('[{"stream":{},"values":[["1"]]}]'),
        answer('[{"values":[["1","ERROR"]]}]'),
        answer(f'[{{"stream":{{}},"values":[["{"9" * 400}","ERROR"]]}}]'),
        answer('[{"stream":{},"values":[[Infinity,"ERROR"]]}]'),
        answer("[]", '"warnings":["one ingester did not answer"],'),
    ],
)
async def test_an_answer_in_part_or_none_is_an_error(content: bytes) -> None:
    loki, now = Loki(), time.time()
    async with answering(content) as url:
        with pytest.raises(Unreachable):
            await loki.error_lines(Store(url=url), '{a="b"}', now - 60, now)
    await loki.aclose()


async def test_the_stub_is_readable_when_it_is_sound() -> None:
    loki, now = Loki(), time.time()
    async with answering(answer('[{"stream":{},"values":[["1000000000","ERROR"]]}]')) as url:
        found = await loki.error_lines(Store(url=url), '{a="b"}', now - 60, now)
    assert found == [LogLine(1.0, "ERROR")]
    await loki.aclose()


async def test_what_was_never_collected_is_not_taken_for_silence(
    place: ClusterWorld, server: OwnLoki
) -> None:
    """A pod wrote, Loki holds nothing; then the collector catches up."""
    store = server.plan(delay=0.5)
    source, work = LogSource(place.cluster, place.loki), place.workload("q2q-ai")
    deployment = await place.cluster.get_deployment(work.namespace, work.deployment)
    pods = await place.cluster.list_pods_of(deployment)
    pattern = pods_of_any_version(work.deployment)
    since = time.time() - 3600
    with pytest.raises(
        Unreachable, match=r"does not hold what pod q2q-ai-.* of q2q-ai wrote"
    ) as deaf:
        await source.of_store(store, work, pods, pattern, since)
    assert "`loki.selector`" in deaf.value.remedy

    async def caught_up() -> bool:
        await server.collect(place, "q2q-ai")
        try:
            return await source.of_store(store, work, pods, pattern, since) == []
        except Unreachable:
            return False

    await until(caught_up, "Loki to hold the log")

    async def fell_behind() -> bool:
        try:
            await source.of_store(store, work, pods, pattern, since)
        except Unreachable:
            return True
        return False

    await until(fell_behind, "what the pods write since to be missing")


async def test_a_collector_that_is_deaf_to_one_pod_is_noticed(
    place: ClusterWorld, server: OwnLoki
) -> None:
    """Collectors run node by node: the others' lines say nothing of this one."""
    store, work = server.plan(delay=0.5), place.workload("api-gateway")
    deployment = await place.cluster.get_deployment(work.namespace, work.deployment)
    pods = await place.cluster.list_pods_of(deployment)
    missed = objects.name_of(pods[-1])
    assert len(pods) > 1

    async def only_that_one_is_missing() -> bool:
        await server.collect(place, "api-gateway", deaf_to=missed)
        try:
            await place.logs.of_store(store, work, pods, ".+", time.time() - 3600)
        except Unreachable as error:
            return missed in error.what
        return False

    await until(only_that_one_is_missing, "the pod that is missing to be named")


async def test_the_hour_before_knows_pods_that_are_gone(
    place: ClusterWorld, server: OwnLoki
) -> None:
    work = place.workload("safety-moderation")
    gone = f"{work.deployment}-7d4b9c6f5-x2v7k"
    other = f"{work.deployment}-of-another-7d4b9c6f5-x2v7k"
    await server.collect(place, "safety-moderation")
    at = time.time_ns()
    for pod in (gone, other):
        stream = {"namespace": work.namespace, "pod": pod, "container": "app"}
        lines = ((at - n * 100_000_000, f"ERROR cannot reach {n}") for n in range(60))
        server.push(stream, lines)
    request = Capture(
        workload=work, logs=place.plan.logs, baseline=120.0, loki=server.plan(delay=300)
    )

    async def read() -> bool:
        return bool((await place.rollouts.capture(request)).log_rates)

    await until(read, "the capture")
    captured = await place.rollouts.capture(request)
    assert captured.log_rates is not None
    assert captured.log_rates["any"] * 120.0 == pytest.approx(60, abs=1) or (
        captured.log_rates["any"] > 60 / 120.0  # the Deployment is younger than two minutes
    )
    assert captured.log_templates == ["ERROR cannot reach <*>"]


async def test_errors_that_only_loki_holds_roll_back(place: ClusterWorld, server: OwnLoki) -> None:
    """A pod that died has left its lines in Loki alone."""
    (watched,) = await place.watched("buddy")
    work = watched.workload
    await server.collect(place, "buddy")
    stream = {
        "namespace": work.namespace,
        "pod": f"{work.deployment}-{watched.pod_hash}-x2v7k",
        "container": work.container,
    }
    store = server.plan(delay=300)
    quiet = await seen(place, [watched], loki=store)
    assert not [one for one in quiet.verdicts if one.signal is Signal.LOGS], quiet.verdicts
    began, step = int(quiet.mark.began * 1e9), int(LENGTH / 500 * 1e9)
    server.push(stream, ((began + n * step, f"ERROR timeout {n}") for n in range(500)))
    found = await seen(place, [watched], loki=store, mark=quiet.mark)
    (verdict,) = [one for one in found.verdicts if one.signal is Signal.LOGS]
    assert (verdict.kind, verdict.reason) == (Kind.ROLLBACK, Reason.ERRORS_IN_LOGS)
    assert verdict.service == "buddy"


async def test_a_deaf_loki_makes_a_window_inconclusive(
    place: ClusterWorld, server: OwnLoki
) -> None:
    (watched,) = await place.watched("discord-bot")  # which writes all the time
    deaf = server.plan(delay=0.5, selector='{nobody="$pods"}')
    found = await seen(place, [watched], loki=deaf)
    (verdict,) = [one for one in found.verdicts if one.signal is Signal.LOGS]
    assert (verdict.kind, verdict.reason) == (Kind.INCONCLUSIVE, Reason.NOTHING_TO_READ)
    assert "Loki does not hold" in verdict.because


async def test_the_preflight_names_services_without_lines(
    place: ClusterWorld, server: OwnLoki
) -> None:
    names = [one.name for one in place.plan.services]
    await server.collect(place, *names)

    async def silent(store: Store) -> str:
        plan = place.plan.model_copy(update={"loki": store})
        look = SignalLook(place.metrics, place.logs, Browser(), plan)
        return " ".join(one.what for one in await look.loki())

    async def all_heard() -> bool:
        return await silent(server.plan()) == ""

    await until(all_heard, "a line of each service")
    found = await silent(server.plan(selector='{pod=~"buddy.*|$pods",container="nobody"}'))
    assert all(name in found for name in names)
    with pytest.raises(Unreachable):
        await silent(server.plan(url="http://127.0.0.1:9"))


async def test_a_rollout_of_others_is_compared_with_the_version_before_in_loki(
    place: ClusterWorld, server: OwnLoki
) -> None:
    observing, team = Observing(place.cluster, place.logs), Team(place)
    first: Looked = await activity(observing.notice, look(place, "buddy"))
    await server.collect(place, "buddy")
    stream = {
        "namespace": place.namespace,
        "pod": f"buddy-{first.standing['buddy'].pod_hash}-x2v7k",
        "container": "app",
    }
    at = time.time_ns()
    server.push(stream, ((at - n * 1_000_000, f"ERROR timeout {n}") for n in range(30)))
    await team.set_image("buddy", "1.1.0")
    store = server.plan(delay=300)
    noticed = look(place, "buddy", known=first.standing, length=30.0, loki=store)
    (one,) = (await activity(observing.notice, noticed)).rollouts
    assert one.log_rates is not None
    assert one.log_rates["any"] > 0
    await team.undo("buddy")
    await at_rest(place, ["buddy"])
