"""Steps of a flow that may take their time: what is done after an answer is waited for."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from pydantic import ValidationError

from activities import checks
from activities.adapters.browser import Browser
from activities.adapters.cluster import Cluster
from activities.adapters.http import Http
from activities.adapters.postgres.adapter import Postgres
from activities.adapters.probes import Probes
from activities.checks import Checks
from slipway.checks import Flow
from slipway.messages.watch import RunFlows
from slipway.plan import Service
from slipway.verdicts import Kind, Verdict


@contextmanager
def making_a_report(*answers: int) -> Iterator[tuple[str, list[str]]]:
    """A service that answers with these statuses, the last one for ever; yields its address and the
    methods it was asked with."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status = answers[min(len(asked), len(answers) - 1)]
            asked.append(self.command)
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()


def flow(within: str | None) -> Flow:
    step = {"name": "read it", "service": "reporting", "path": "/reports/1", "within": within}
    return Flow.model_validate({"name": "a report", "steps": [step]})


def run(one: Flow, url: str) -> Verdict:
    service = {"name": "reporting", "title": "Reporting", "port": 1, "url": url, "health": {}}
    request = RunFlows(flows=[one], services=[Service.model_validate(service)], tries=1)

    async def verdict() -> Verdict:
        http = Http()
        found = await Checks(http, Cluster(), Probes(Postgres()), Browser()).flows(request)
        await http.aclose()
        return found.verdicts[0]

    return asyncio.run(verdict())


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask again at once: what is counted here are requests."""
    monkeypatch.setattr(checks, "_AGAIN", 0.01)


def test_a_report_that_is_made_afterwards_is_waited_for() -> None:
    with making_a_report(404, 202, 200) as (url, asked):
        assert run(flow("15s"), url).kind is Kind.PROCEED
    assert asked == ["GET"] * 3


def test_a_step_that_must_pass_at_once_is_asked_once() -> None:
    with making_a_report(404, 200) as (url, asked):
        assert run(flow(None), url).kind is Kind.ROLLBACK
    assert asked == ["GET"]


def test_a_report_that_never_comes_is_told_with_how_long_it_was_waited_for() -> None:
    with making_a_report(404) as (url, _):
        verdict = run(flow("100ms"), url)
    assert verdict.kind is Kind.ROLLBACK
    assert "got 404 instead of 200, 0.1 s long" in verdict.because


@pytest.mark.parametrize(
    "step", [{"method": "POST", "within": "5s"}, {"within": "16s"}, {"within": "0s"}]
)
def test_only_reading_waits_and_not_for_long(step: dict[str, str]) -> None:
    whole = {"name": "x", "service": "a", "path": "/", **step}
    with pytest.raises(ValidationError):
        Flow.model_validate({"name": "f", "steps": [whole]})
