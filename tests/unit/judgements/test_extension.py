"""A window that could not be judged: how long it goes on, and when slipway asks itself."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.checks import Health
from slipway.judgements.counters import Scrape, Traffic
from slipway.judgements.extension import LONGEST, extension
from slipway.judgements.rule import Frame
from slipway.judgements.traffic import Seen, judge_traffic
from slipway.messages.watch import Extension, Mark, WatchSlice
from slipway.plan import Limits, Metrics, Service
from slipway.verdicts import Kind, Reason, Signal, Verdict

LIMITS = Limits()


def request(length: float = 120.0, scale: float = 1.0, **more: Any) -> WatchSlice:
    values: dict[str, Any] = {
        "window": "monitor:buddy",
        "watched": [],
        "metrics": Metrics(url="http://127.0.0.1:1"),
        "limits": LIMITS,
        "logs": [],
        "baseline": 3600,
        "probe_every": 5,
        "length": length / scale,
        "window_length": length / scale,
        "last": True,
        "time_scale": scale,
        **more,
    }
    return WatchSlice(**values)


def seen(
    requests: float, failures: float = 0, length: float = 120.0, scale: float = 1.0, **more: Any
) -> Seen:
    service = Service(
        name="buddy", title="Buddy", port=1, url="http://127.0.0.1:1", health=Health(), **more
    )
    interval = 5.0 if scale == 1.0 else 1.0
    frame = Frame(0.0, length / scale, interval, LIMITS, scale)
    traffic = Traffic((Scrape(length / scale, requests, failures),), {"p": length / scale})
    return Seen(service, traffic, True, True, frame)


def extended(one: Seen, asked: WatchSlice, *others: Verdict) -> Extension | None:
    verdict = judge_traffic(one)
    return extension([one], [*([verdict] if verdict else []), *others], asked)


def test_two_requests_a_second_go_on_until_they_are_enough() -> None:
    found = extended(seen(240), request())
    assert found is not None
    assert 160 < found.length < 240
    assert found.synthetic == []
    assert found.because.startswith("buddy had 240 requests, 0 failed: too few to be judged.")


@pytest.mark.parametrize("scale", [1.0, 15.0, 100.0])
def test_the_same_traffic_goes_on_as_long_whatever_the_scale(scale: float) -> None:
    found = extended(seen(240, scale=scale), request(scale=scale))
    assert found is not None
    assert found.length * scale == pytest.approx(212, abs=5)


def test_what_was_expected_is_enough() -> None:
    for failures in (0, 1):
        found = extended(seen(240, failures), request())
        assert found is not None
        assert judge_traffic(seen(2 * found.length, failures, found.length)) is None


def test_it_ends_after_eight_minutes() -> None:
    assert extended(seen(960, 5, LONGEST), request(LONGEST)) is None
    found = extended(seen(470, 3, 470), request(470))
    assert found is not None
    assert found.length == LONGEST


def test_the_last_window_is_long_enough() -> None:
    assert extended(seen(1000, 7, 900), request(900)) is None


def test_below_one_request_a_second_slipway_asks_read_paths_once() -> None:
    quiet = seen(24, read_paths=["/items"])
    found = extended(quiet, request())
    assert found is not None
    assert (found.length, found.synthetic) == (180, ["buddy"])
    again = seen(36, length=180, read_paths=["/items"])
    assert extended(again, request(180, synthetic=["buddy"])) is None


def test_without_read_paths_a_person_decides() -> None:
    assert extended(seen(24), request()) is None


def test_what_is_shown_or_against_it_is_not_extended() -> None:
    assert extended(seen(400), request()) is None
    hold = Verdict(
        kind=Kind.HOLD, signal=Signal.LATENCY, reason=Reason.LATENCY_TOO_HIGH, because="slow"
    )
    assert extended(seen(240), request(), hold) is None
    assert extended(seen(240), request(last=False)) is None


def silence(reason: Reason = Reason.NOTHING_TO_READ) -> Verdict:
    because = "buddy: traffic cannot be judged: no sample of buddy-aa in the last 15s."
    return Verdict(kind=Kind.INCONCLUSIVE, signal=Signal.TRAFFIC, reason=reason, because=because)


@pytest.mark.parametrize(("scale", "longer"), [(1.0, 60.0), (15.0, 50.0)])
def test_what_could_not_be_read_is_read_again_once(scale: float, longer: float) -> None:
    found = extended(seen(400, scale=scale), request(scale=scale), silence())
    assert found is not None
    assert found.length == pytest.approx(120 / scale + longer)
    assert found.reread
    assert found.because.startswith("buddy: traffic cannot be judged")
    assert "read again" in found.because
    again = request(found.length, mark=Mark(began=0.0, reread=True))
    assert extended(seen(400), again, silence()) is None


def test_after_a_reread_too_little_traffic_still_goes_on() -> None:
    both = extended(seen(240), request(), silence())
    assert both is not None
    assert both.reread
    later = request(180, mark=Mark(began=0.0, reread=True))
    found = extended(seen(360, 2, 180), later)
    assert found is not None
    assert not found.reread


def test_beside_what_a_person_must_decide_silence_is_read_again() -> None:
    hold = silence(Reason.LATENCY_TOO_HIGH)
    found = extended(seen(400), request(), silence(), hold)
    assert found is not None
    assert found.reread
    assert extended(seen(400), request(), hold) is None


def test_a_rollback_waits_for_nothing() -> None:
    down = silence(Reason.UNHEALTHY).model_copy(update={"kind": Kind.ROLLBACK})
    assert extended(seen(400), request(), silence(), down) is None


@given(st.integers(0, 3000), st.integers(0, 40), st.sampled_from([120.0, 300.0, 480.0, 900.0]))
def test_windows_only_grow_and_end(requests: int, failures: int, length: float) -> None:
    found = extended(seen(requests, min(requests, failures), length), request(length))
    if found is not None:
        assert length < found.length <= LONGEST
