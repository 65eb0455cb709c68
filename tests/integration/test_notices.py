"""Notices against a real HTTP receiver on this machine."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from temporalio.testing import ActivityEnvironment

from activities.adapters.webhook import NotAccepted, Webhook
from activities.notices import Announcements
from slipway.announcement import TEXT, WHOLE, document_of
from slipway.errors import BadInput, Unreachable
from slipway.messages.notice import Notice, SendNotice, Sent
from slipway.plan import Contact, Contacts, Notices

CONTACTS = Contacts(
    on_call=Contact(name="Anna", reach="+47 1"),
    vp_engineering=Contact(name="Bo", reach="+47 2"),
    cto=Contact(name="Cato", reach="+47 3"),
    database_admin=Contact(name="Dag", reach="+47 4"),
)


@dataclass
class Receiver:
    """Answers every request with the next of `answers`; the last one stays."""

    answers: list[bytes]
    url: str = ""
    got: list[tuple[dict[str, str], Any]] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take one request and answer it."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {
            key.lower(): value.strip()
            for key, _, value in (line.partition(":") for line in head[1:] if line)
        }
        body = await reader.readexactly(int(headers["content-length"]))
        self.got.append(({"request": head[0], **headers}, json.loads(body)))
        writer.write(self.answers[min(len(self.got), len(self.answers)) - 1])
        await writer.drain()
        writer.close()
        await writer.wait_closed()


def answer(status: str, body: bytes = b"", *more: bytes) -> bytes:
    """Return a response."""
    lines = [b"HTTP/1.1 " + status.encode(), b"content-length: %d" % len(body), *more]
    return b"\r\n".join([*lines, b"connection: close", b"", body])


@asynccontextmanager
async def receiver(*answers: bytes) -> AsyncIterator[Receiver]:
    """Run a receiver."""
    made = Receiver(list(answers))
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    async with server:
        made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hooks/t0ken"
        yield made


def notice(**changes: Any) -> Notice:
    """Return a notice about a parked step."""
    return Notice.model_validate(
        {
            "key": "demo-1/parked/1",
            "kind": "parked",
            "deployment": "demo-20261123T200000Z-abcdef",
            "environment": "demo",
            "release": "2.4.0",
            "title": "Parked: watching analytics",
            "text": "Error rate 0.4 % over 1,200 requests.",
            "next": "slipway resolve demo retry",
            "contacts": CONTACTS,
            "data": {"ratio": 0.004},
        }
        | changes
    )


async def send(to: str, one: Notice | None = None, webhook: Webhook | None = None) -> Sent:
    """Send a notice by the activity."""
    request = SendNotice(to=Notices(webhook=to), notice=one or notice())
    announcements = Announcements(webhook or Webhook())
    return await ActivityEnvironment().run(announcements.send, request)


async def test_a_notice_arrives_as_one_json_document_with_its_key() -> None:
    async with receiver(answer("200 OK", b"ok")) as there:
        sent = await send(there.url)
    assert sent == Sent(status=200, receipt="ok")
    [(headers, document)] = there.got
    assert headers["request"].startswith("POST /hooks/t0ken ")
    assert headers["content-type"] == "application/json"
    assert headers["idempotency-key"] == "demo-1/parked/1"
    assert document["kind"] == "parked"
    assert document["data"] == {"ratio": 0.004}
    assert document["shortened"] is False
    for said in ("Parked: watching analytics", "0.4 %", "slipway resolve demo retry", "+47 4"):
        assert said in document["text"]


async def test_a_repeated_notice_carries_the_same_key() -> None:
    async with receiver(answer("503 Busy"), answer("204 No Content")) as there:
        with pytest.raises(Unreachable, match="answered 503"):
            await send(there.url)
        assert (await send(there.url)).status == 204
    first, second = there.got
    assert first[0]["idempotency-key"] == second[0]["idempotency-key"]
    assert first[1] == second[1]


@pytest.mark.parametrize("status", ["429 Slow Down", "500 Oops", "502 Bad", "408 Late"])
async def test_an_overloaded_receiver_is_worth_another_attempt(status: str) -> None:
    async with receiver(answer(status)) as there:
        with pytest.raises(Unreachable) as caught:
            await send(there.url)
    assert not caught.value.final


@pytest.mark.parametrize("status", ["400 Bad", "403 No", "404 Gone", "302 Found"])
async def test_a_refusal_is_final_and_does_not_tell_the_address(status: str) -> None:
    async with receiver(answer(status, b"", b"location: http://127.0.0.1:9/x")) as there:
        with pytest.raises(NotAccepted) as caught:
            await send(there.url)
    assert caught.value.final
    assert "t0ken" not in str(caught.value)
    assert len(there.got) == 1


async def test_nobody_listening_is_unreachable() -> None:
    async with receiver(answer("200 OK")) as there:
        address = there.url
    with pytest.raises(Unreachable) as caught:
        await send(address)
    assert "t0ken" not in str(caught.value)


async def test_an_answer_that_is_no_http_is_unreachable() -> None:
    async with receiver(b"SSH-2.0-OpenSSH\r\n\r\n") as there:
        with pytest.raises(Unreachable):
            await send(there.url)


async def test_only_the_beginning_of_a_long_answer_is_kept() -> None:
    async with receiver(answer("200 OK", b"x" * 5_000_000)) as there:
        sent = await send(there.url)
    assert sent.receipt == "x" * 200


async def test_the_address_may_be_a_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    async with receiver(answer("200 OK")) as there:
        monkeypatch.setenv("TEAM_WEBHOOK", there.url)
        assert (await send("env:TEAM_WEBHOOK")).status == 200
    monkeypatch.setenv("TEAM_WEBHOOK", "t0ken-without-address")
    with pytest.raises(BadInput) as caught:
        await send("env:TEAM_WEBHOOK")
    assert "env:TEAM_WEBHOOK" in str(caught.value)
    assert "t0ken" not in str(caught.value)
    monkeypatch.delenv("TEAM_WEBHOOK")
    with pytest.raises(BadInput, match="Set TEAM_WEBHOOK"):
        await send("env:TEAM_WEBHOOK")


def test_a_notice_too_large_is_shortened_and_says_so() -> None:
    document = document_of(notice(text="x" * 9000, data={"rows": ["y" * 100] * 500}))
    assert len(document["text"]) == TEXT
    assert document["text"].endswith("…")
    assert document["data"] == {}
    assert document["shortened"] is True
    assert len(json.dumps(document, ensure_ascii=False).encode()) <= WHOLE
