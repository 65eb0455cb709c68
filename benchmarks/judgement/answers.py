"""Prometheus answers with something missing, and a server on this machine that gives them."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from benchmarks.judgement.parts import SHORT as WINDOW
from benchmarks.judgement.traffic import Random
from slipway.judgements.workload import HASH_LABEL, Raw

Series = dict[str, Any]
Pods = list[Raw]
Change = Callable[[list[Series], "Case", Random], list[Series]]
_PODS = 3


@dataclass(frozen=True)
class Case:
    """A service of three pods, in a window that ends now."""

    prefix: str
    """What its pods' names begin with."""
    namespace: str
    rate: float
    failing: float
    at: float
    """Now, in unix seconds."""
    interval: float


def _as_it_is(series: list[Series], _: Case, __: Random) -> list[Series]:
    return series


def _in_full(series: list[Series]) -> bytes:
    return _http(_document(series))


@dataclass(frozen=True)
class Gap:
    """Something missing: in the series, in how they are answered, in what is known of the pods."""

    change: Change = _as_it_is
    answer: Callable[[list[Series]], bytes] = _in_full
    pods: Callable[[Pods], Pods] = list
    unlisted: bool = False
    """The Kubernetes API does not say which pods there are."""
    hashless: bool = False
    """The pod-template-hash of the release is not known."""
    replaced: bool = True


def made(case: Case, random: Random) -> list[Series]:
    """Return the counters of the service's pods since the window began."""
    found = []
    for number in range(_PODS):
        first = case.at - WINDOW + random.uniform(0, case.interval)
        times = first + case.interval * np.arange(round(WINDOW / case.interval))
        new = random.poisson(case.rate / _PODS * case.interval, len(times))
        failed = random.binomial(new, case.failing)
        for code, counts in (("200", new - failed), ("500", failed)):
            labels = {"pod": f"{case.prefix}pod{number}", "code": code}
            values = zip(times.tolist(), counts.cumsum().tolist(), strict=True)
            found.append({"metric": labels, "values": [[at, str(value)] for at, value in values]})
    return found


def pods_of(case: Case, pod_hash: str) -> Pods:
    """Return the service's pods as the Kubernetes API lists them: ready, and born in time."""
    born = datetime.fromtimestamp(case.at - WINDOW - 60, UTC).isoformat()
    return [
        {
            "metadata": {
                "name": f"{case.prefix}pod{number}",
                "namespace": case.namespace,
                "labels": {HASH_LABEL: pod_hash},
                "creationTimestamp": born,
            },
            "status": {"conditions": [{"type": "Ready", "status": "True"}]},
        }
        for number in range(_PODS)
    ]


@asynccontextmanager
async def answering() -> AsyncIterator[tuple[str, dict[str, bytes]]]:
    """Serve on a free port whatever stands under `now`; yield the base address and that. Empty
    bytes: the connection is closed without an answer."""
    say = {"now": b""}

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
            writer.write(say["now"])
            await writer.drain()
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", say


def _document(series: list[Series], **more: Any) -> bytes:
    data = {"resultType": "matrix", "result": series}
    return json.dumps({"status": "success", "data": data, **more}).encode()


def _http(body: bytes, status: str = "200 OK") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return head.encode() + body


def _valued(value: str) -> Change:
    def change(series: list[Series], _: Case, __: Random) -> list[Series]:
        return [one | {"values": [[at, value] for at, _ in one["values"]]} for one in series]

    return change


def _ended(pods: int) -> Change:
    """Some pods were not scraped any more for at least four intervals."""

    def change(series: list[Series], case: Case, random: Random) -> list[Series]:
        end = case.at - random.uniform(min(4 * case.interval, 0.9 * WINDOW), WINDOW)
        return [
            one | {"values": [pair for pair in one["values"] if pair[0] < end]}
            if _number(one) < pods
            else one
            for one in series
        ]

    return change


def _missing(series: list[Series], _: Case, random: Random) -> list[Series]:
    gone = random.integers(_PODS)
    return [one for one in series if _number(one) != gone]


def _of_others(series: list[Series], _: Case, __: Random) -> list[Series]:
    return [one | {"metric": one["metric"] | {"pod": f"other-{_number(one)}"}} for one in series]


def _unlabelled(series: list[Series], _: Case, __: Random) -> list[Series]:
    return [one | {"metric": {"code": one["metric"]["code"]}} for one in series]


def _last_only(series: list[Series], _: Case, __: Random) -> list[Series]:
    return [one | {"values": one["values"][-1:]} for one in series]


def _number(one: Series) -> int:
    return int(one["metric"]["pod"][-1])


def _not_ready(pods: Pods) -> Pods:
    return [one | {"status": {"conditions": []}} for one in pods]


GAPS: dict[str, Gap] = {
    "no series": Gap(change=lambda *_: []),
    "NaN": Gap(change=_valued("NaN")),
    "no numbers": Gap(change=_valued("many")),
    "counters stand at 0": Gap(change=_valued("0")),
    "all pods stale": Gap(change=_ended(_PODS)),
    "one pod of three stale": Gap(change=_ended(1)),
    "one pod of three missing": Gap(change=_missing),
    "pods of another version": Gap(change=_of_others),
    "no label of the pod": Gap(change=_unlabelled),
    "one sample only, of pods that ran before": Gap(change=_last_only, replaced=False),
    "answered in part, with a warning": Gap(
        answer=lambda series: _http(_document(series, warnings=["a store did not answer"]))
    ),
    "503": Gap(answer=lambda series: _http(_document(series), "503 Service Unavailable")),
    "200 that says error": Gap(
        answer=lambda _: _http(b'{"status":"error","errorType":"timeout","error":"timed out"}')
    ),
    "a page instead": Gap(answer=lambda _: _http(b"<html>Sign in</html>")),
    "cut off": Gap(answer=lambda series: _http(_document(series)[:-20])),
    "closed without an answer": Gap(answer=lambda _: b""),
    "no pod is ready": Gap(pods=_not_ready),
    "the Kubernetes API is away": Gap(unlisted=True),
    "the version's hash is not known": Gap(hashless=True),
}
