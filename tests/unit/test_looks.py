"""A look is bounded, and what it could not see is told: at once, or by trying again."""

import asyncio

import pytest

from activities import looks
from activities.looks import Looker, all_of
from slipway.errors import BadInput, SlipwayError, Unreachable
from slipway.messages.preflight import Finding

FOUND = Finding(severity="note", group="cluster", what="something")


def failing(error: SlipwayError) -> looks.Look:
    async def look() -> list[Finding]:
        raise error

    return look


async def endless() -> list[Finding]:
    await asyncio.Event().wait()
    return []


async def good() -> list[Finding]:
    return [FOUND]


async def test_findings_are_passed_on() -> None:
    assert await Looker(at_once=True).make("cluster", "it", good) == [FOUND]


async def test_a_look_that_does_not_end_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looks, "LONGEST", 0.01)
    (finding,) = await Looker(at_once=True).make("bucket", "the bucket", endless)
    assert (finding.severity, finding.group) == ("block", "bucket")
    assert "Not looked at: the bucket." in finding.what
    with pytest.raises(Unreachable, match="the bucket"):
        await Looker(at_once=False).make("bucket", "the bucket", endless)


async def test_who_does_not_answer_is_told_at_once_or_tried_again() -> None:
    look = failing(Unreachable("It is down.", "Start it."))
    (finding,) = await Looker(at_once=True).make("metrics", "Prometheus", look)
    assert finding.what == "Not looked at: Prometheus. It is down."
    assert finding.remedy == "Start it."
    with pytest.raises(Unreachable):
        await Looker(at_once=False).make("metrics", "Prometheus", look)


@pytest.mark.parametrize("at_once", [True, False])
async def test_what_no_attempt_can_mend_is_a_finding(at_once: bool) -> None:
    looker = Looker(at_once=at_once)
    (refused,) = await looker.make("bucket", "it", failing(SlipwayError("No.", "Ask.")))
    assert (refused.severity, refused.group) == ("block", "bucket")
    (unset,) = await looker.make(
        "database", "it", failing(BadInput("env:X is not set.", "Set it."))
    )
    assert (unset.group, unset.what) == ("database", "env:X is not set.")


async def test_an_error_is_raised_when_every_look_has_ended() -> None:
    ended: list[str] = []

    async def slow() -> list[Finding]:
        await asyncio.sleep(0)
        ended.append("slow")
        return [FOUND]

    async def broken() -> list[Finding]:
        raise Unreachable("It is down.")

    with pytest.raises(Unreachable):
        await all_of((broken(), slow()))
    assert ended == ["slow"]
    assert await all_of((good(), slow())) == [FOUND, FOUND]
