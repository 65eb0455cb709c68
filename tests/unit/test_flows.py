"""Flows: steps that may take their time, cookies, and secrets that are never shown."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from pydantic import ValidationError

from activities import flow_try
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
from tests.http_stub import Handler, serving


@contextmanager
def making_a_report(*answers: int) -> Iterator[tuple[str, list[str]]]:
    """A service that answers with these statuses, the last one for ever; yields its address and the
    methods it was asked with."""
    asked: list[str] = []

    class Served(Handler):
        def answer(self) -> None:
            status = answers[min(len(asked), len(answers) - 1)]
            asked.append(self.command)
            self.say(status)

    with serving(Served) as url:
        yield url, asked


class Login(Handler):
    """Opens a session, and lets in who has one."""

    def answer(self) -> None:
        if self.path == "/login":
            self.say(200, b"{}", Set_Cookie="session=1; Path=/; HttpOnly")
        else:
            self.say(200 if "session=1" in self.headers.get("Cookie", "") else 401)


class Echo(Handler):
    """Refuses with what it was sent, as validators of requests do; a token it gives as text."""

    def answer(self) -> None:
        if self.command == "GET":
            self.say(200, b"a-token-of-somebody")
            return
        said = self.rfile.read(int(self.headers["Content-Length"]))
        self.say(422, b'{"detail":[{"loc":["body"],"msg":"too long","input":' + said + b"}]}")


def flow(within: str | None) -> Flow:
    step = {"name": "read it", "service": "reporting", "path": "/reports/1", "within": within}
    return Flow.model_validate({"name": "a report", "steps": [step]})


def steps(*given: dict[str, Any], **more: Any) -> Flow:
    """A flow of these steps, each with a name of its own."""
    named = [{"name": f"step {n}", "service": "reporting", **one} for n, one in enumerate(given)]
    return Flow.model_validate({"name": "a flow", "steps": named, **more})


def run(one: Flow, url: str) -> Verdict:
    """Run a flow once."""
    return run_all([one], url)[0]


def run_all(flows: list[Flow], url: str) -> list[Verdict]:
    """Run flows one after the other, by one client."""
    service = {"name": "reporting", "title": "Reporting", "port": 1, "url": url, "health": {}}
    services = [Service.model_validate(service)]

    async def verdicts() -> list[Verdict]:
        http = Http()
        checks = Checks(http, Cluster(), Probes(Postgres()), Browser())
        found = [
            (await checks.flows(RunFlows(flows=[one], services=services, tries=1))).verdicts[0]
            for one in flows
        ]
        await http.aclose()
        return found

    return asyncio.run(verdicts())


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask again at once: what is counted here are requests."""
    monkeypatch.setattr(flow_try, "_AGAIN", 0.01)


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


def test_a_session_of_one_flow_is_none_of_the_next() -> None:
    person = steps({"path": "/login"}, {"path": "/me"})
    stranger = steps({"path": "/me", "expect": {"status": 401}})
    with serving(Login) as url:
        assert [one.kind for one in run_all([person, stranger], url)] == [Kind.PROCEED] * 2


def test_a_flow_may_ask_as_a_stranger() -> None:
    stranger = steps({"path": "/login"}, {"path": "/me", "expect": {"status": 401}}, cookies=False)
    with serving(Login) as url:
        assert run(stranger, url).kind is Kind.PROCEED


@pytest.mark.parametrize("secret", ["p" * 120 + "-end", 'quo"ted\\back', "short-one"])
def test_a_secret_that_is_sent_back_is_not_shown(
    secret: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PASSWORD_OF_A_TEST", secret)
    login = {"path": "/login", "method": "POST", "body": {"password": "{password}"}}
    one = steps(login, secrets={"password": "env:PASSWORD_OF_A_TEST"})
    with serving(Echo) as url:
        because = run(one, url).because
    assert "got 422" in because
    assert "***" in because
    assert secret[:8] not in because


def test_a_good_answer_that_cannot_be_read_is_not_shown() -> None:
    with serving(Echo) as url:
        because = run(steps({"path": "/token", "capture": {"token": "/token"}}), url).because
    assert "no sound JSON" in because
    assert "somebody" not in because


def test_a_header_that_cannot_be_sent_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN_OF_A_TEST", "s3cret-token ")
    headers = {"authorization": "Bearer {token}"}
    one = steps({"path": "/", "headers": headers}, secrets={"token": "env:TOKEN_OF_A_TEST"})
    with serving(Echo) as url:
        because = run(one, url).because
    assert "cannot be sent" in because
    assert "s3cret" not in because
