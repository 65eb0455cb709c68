"""Reading logs: secrets stay out of errors."""

import asyncio

import httpx
import pytest

from activities.adapters.loki import Loki
from slipway.errors import BadInput, Unreachable
from slipway.plan import Loki as Store

STORE = Store(url="http://loki", authorization="env:LOKI_HEADER")


def _ask(loki: Loki) -> None:
    asyncio.run(loki.error_lines(STORE, '{a="b"}', 0, 1))


def test_spaces_around_a_header_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOKI_HEADER", " Bearer abc-s3cret ")
    asked: list[httpx.Request] = []

    def serve(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        data = {"resultType": "streams", "result": []}
        return httpx.Response(200, json={"status": "success", "data": data})

    loki = Loki()
    loki._http = httpx.AsyncClient(transport=httpx.MockTransport(serve))
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
