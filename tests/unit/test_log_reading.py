"""Reading logs: the newest lines are there, what is missing is known, no error shows a secret."""

import asyncio
import time
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from activities.adapters import pod_logs
from activities.adapters.loki import Loki
from activities.adapters.prometheus import Prometheus
from activities.log_history import LogsBefore, Past, logs_before
from activities.log_source import LogSource, Read
from activities.sources import Sources
from slipway.errors import BadInput, Unreachable
from slipway.judgements.counters import Traffic
from slipway.judgements.logs import ALL
from slipway.judgements.window import ServiceRead, judge_service
from slipway.judgements.workload import Raw
from slipway.messages.watch import LogsRead, Mark
from slipway.plan import LogClass
from slipway.plan import Loki as Store
from slipway.verdicts import Kind, Reason, Signal, Verdict
from tests.loki_stub import listening
from tests.unit.kubelet_stub import Kubelet, kubelet, log_of
from tests.unit.watch_slice import watch_slice

STORE = Store(url="http://loki", authorization="env:LOKI_HEADER")
NAME = "api-gateway-5f8dbd7c9-x2v7k"
HOUR = 3600.0


def _ask(loki: Loki) -> None:
    asyncio.run(loki.error_lines(STORE, '{a="b"}', 0, 1))


def test_spaces_around_a_header_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOKI_HEADER", " Bearer abc-s3cret ")
    loki, asked = listening()
    _ask(loki)
    assert asked[0].headers["authorization"] == "Bearer abc-s3cret"


@pytest.mark.parametrize(
    "value", ["Bearer\nabc-s3cret", "Bearer abc-s3cr\u00e9t", "\x7fs3cret", "  "]
)
def test_a_secret_that_no_header_can_hold_is_refused_unseen(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("LOKI_HEADER", value)
    with pytest.raises(BadInput, match="env:LOKI_HEADER holds a character") as refused:
        _ask(Loki())
    assert "s3cr" not in str(refused.value)


def test_a_refused_header_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOKI_HEADER", "Bearer abc-s3cret")

    def refuse(_: httpx.Request) -> httpx.Response:
        raise httpx.LocalProtocolError("Illegal header value b'Bearer abc-s3cret'")

    loki = Loki()
    loki._http = httpx.AsyncClient(transport=httpx.MockTransport(refuse))
    with pytest.raises(Unreachable, match="refused before it is sent") as silent:
        _ask(loki)
    assert "s3cret" not in str(silent.value)


def _pod(age: float = 10 * HOUR) -> Raw:
    born = datetime.fromtimestamp(time.time() - age, UTC).isoformat()
    labels = {"pod-template-hash": "5f8dbd7c9"}
    metadata = {"name": NAME, "namespace": "production", "labels": labels}
    return {"metadata": metadata | {"creationTimestamp": born}}


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> int:
    """Bytes that are read at once, few enough for a test."""
    monkeypatch.setattr(pod_logs, "MOST_BYTES", 20_000)
    return 20_000


def _read(server: Kubelet, seconds: float, *, age: float = 10 * HOUR) -> Read:
    source = LogSource(server.cluster(), Loki())
    work = watch_slice().watched[0].workload
    return asyncio.run(source.of_pod(work, _pod(age), time.time() - seconds))


def test_a_log_says_since_when_it_tells() -> None:
    now = time.time()
    with kubelet({NAME: log_of(2 * HOUR, 1000)}) as server:
        assert _read(server, HOUR).since == pytest.approx(now - HOUR, abs=60)
    with kubelet({NAME: log_of(600, 1000)}) as rotated:  # its first line is of ten minutes ago
        assert _read(rotated, HOUR).since == pytest.approx(now - 600, abs=60)
        assert _read(rotated, 300).since == pytest.approx(now - 300, abs=60)
        assert _read(rotated, HOUR, age=620).since == pytest.approx(now - HOUR, abs=60)
    with kubelet({NAME: log_of(10, 20)}) as quiet:
        assert _read(quiet, HOUR).since == pytest.approx(now - HOUR, abs=60)
    banner = [(now - 5 * HOUR, "INFO listening"), *log_of(600, 1000)]
    with kubelet({NAME: banner}) as calm:
        assert _read(calm, HOUR).since == pytest.approx(now - HOUR, abs=60)


def test_a_log_of_too_many_lines_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pod_logs, "MOST_LINES", 500)
    with kubelet({NAME: log_of(1000, 5000)}) as server:
        assert _read(server, HOUR).since == pytest.approx(time.time() - 100, abs=60)


def _before(server: Kubelet) -> LogsBefore:
    past = Past(
        work=watch_slice().watched[0].workload,
        pods=[_pod()],
        pattern=".+",
        logs=[LogClass(name="refused", pattern="ECONNREFUSED")],
        baseline=HOUR,
        born=0.0,
    )
    return asyncio.run(logs_before(LogSource(server.cluster(), Loki()), past, None))


def test_a_cut_hour_is_counted_over_what_is_left_of_it(small: int) -> None:
    """One line in ten is an error, all the time: the bytes that are read hold a minute or so."""
    lines = [
        (at, "ERROR ECONNREFUSED" if n % 10 == 0 else "INFO all is well")
        for n, (at, _) in enumerate(log_of(HOUR, 36_000))
    ]
    with kubelet({NAME: lines}) as server:
        told = _before(server)
    assert 1.0 <= told.per_second["refused"] < 2.0
    assert told.per_second["refused"] == told.per_second[ALL]


def test_what_was_not_seen_in_a_cut_hour_is_no_proof_of_none(small: int) -> None:
    with kubelet({NAME: log_of(HOUR, 36_000)}) as server:
        assert _before(server).per_second["refused"] > 2 / 60
    with kubelet({NAME: log_of(HOUR, 100)}) as whole:
        assert _before(whole).per_second["refused"] == 0.0


def _verdicts(
    server: Kubelet, length: float, mark: Mark | None = None, **more: Any
) -> list[Verdict]:
    """What the logs say at the end of a window; `mark`: what the slices before have left."""
    request = watch_slice().model_copy(update={"mark": mark, **more})
    cluster, began = server.cluster(), time.time() - length
    sources = Sources(cluster, Prometheus(), LogSource(cluster, Loki()), request)
    sources.pods = [_pod()]
    asyncio.run(sources.read_logs(began))
    (watched,) = request.watched
    read = ServiceRead(
        watched=watched,
        pods=sources.pods,
        traffic=Traffic((), {}),
        lines=sources.lines[watched.service.name],
        rates=sources.rates[watched.service.name],
    )
    found = judge_service(read, request, Mark(began=began))
    return [one for one in found if one.signal is Signal.LOGS]


def test_a_window_whose_beginning_cannot_be_read_is_inconclusive(small: int) -> None:
    with kubelet({NAME: log_of(120, 5000)}) as server:
        (verdict,) = _verdicts(server, 120)
    assert (verdict.kind, verdict.reason) == (Kind.INCONCLUSIVE, Reason.NOTHING_TO_READ)
    assert "`loki`" in verdict.because
    with kubelet({NAME: log_of(120, 100)}) as whole:
        assert _verdicts(whole, 120) == []


def test_what_is_left_of_a_window_may_still_roll_back(small: int) -> None:
    with kubelet({NAME: log_of(120, 5000, "ERROR down")}) as server:
        (verdict,) = _verdicts(server, 120)
    assert (verdict.kind, verdict.reason) == (Kind.ROLLBACK, Reason.ERRORS_IN_LOGS)


def test_a_file_that_began_between_two_slices_is_read_on(small: int) -> None:
    now = time.time()
    read = {"api-gateway": LogsRead(until=now - 30)}
    with kubelet({NAME: log_of(10, 300)}) as server:  # twenty seconds of the old file are gone
        assert _verdicts(server, 120, Mark(began=now - 120, logs=read)) == []
        missed = {"api-gateway": LogsRead(until=now - 30, missed=25.0)}
        (verdict,) = _verdicts(server, 120, Mark(began=now - 120, logs=missed))
    assert verdict.reason is Reason.NOTHING_TO_READ
    assert "45s of the window" in verdict.because


def test_a_look_back_is_judged_by_what_the_log_tells(small: int) -> None:
    """Nobody read it meanwhile: that the kubelet began a new file is no trouble of a service."""
    with kubelet({NAME: log_of(600, 5000)}) as server:
        assert _verdicts(server, HOUR, looks_back=True) == []


def test_where_nothing_is_known_of_the_time_before_nothing_is_compared_with_it(small: int) -> None:
    (watched,) = watch_slice().watched
    old = watched.model_copy(update={"replaced": False, "log_rates": None})
    lines = [(at, "ERROR ECONNREFUSED") for at, _ in log_of(600, 5000)]
    with kubelet({NAME: lines}) as server:
        assert _verdicts(server, 300, watched=[old], looks_back=True) == []
