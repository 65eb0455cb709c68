"""The deployment window: openings in the plan's own time zone."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipway.plan import Window
from slipway.window import longest, openings, opens, until_open, zone

WORKDAYS = Window(
    days=["mon", "tue", "wed", "thu"], start="08:00", end="15:00", timezone="Europe/Oslo"
)
ALWAYS = Window(
    days=["mon", "tue", "wed", "thu", "fri", "sat", "sun"],
    start="00:00",
    end="24:00",
    timezone="Europe/Oslo",
)
NIGHT = Window(days=["sat"], start="22:00", end="04:00", timezone="Europe/Oslo")
MORNING_OF_CHANGE = Window(days=["sun"], start="02:30", end="06:00", timezone="Europe/Oslo")


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ("2026-11-23T06:59", "2026-11-23T07:00"),  # Monday, before it opens (08:00 is 07:00 UTC)
        ("2026-11-23T07:00", "2026-11-23T07:00"),
        ("2026-11-23T13:00", "2026-11-23T13:00"),
        ("2026-11-23T13:01", "2026-11-24T07:00"),  # less than an hour left: tomorrow
        ("2026-11-26T14:00", "2026-11-30T07:00"),  # Thursday at its end: Monday
        ("2026-07-01T05:59", "2026-07-01T06:00"),  # summer time: 08:00 is 06:00 UTC
    ],
)
def test_the_window_opens_by_the_clock_on_the_wall(at: str, expected: str) -> None:
    assert opens(WORKDAYS, utc(at), room=3600) == utc(expected)


def test_a_window_over_midnight_belongs_to_the_day_it_begins() -> None:
    sunday_morning = utc("2026-11-29T02:00")
    assert opens(NIGHT, sunday_morning) == sunday_morning
    assert opens(NIGHT, utc("2026-11-29T03:00")) == utc("2026-12-05T21:00")


def test_the_night_when_clocks_go_forward_is_an_hour_shorter() -> None:
    [(begin, end)] = [one for one in openings(NIGHT, utc("2026-03-28T12:00")) if one[0].day == 28]
    assert end - begin == timedelta(hours=5)


def test_the_night_when_clocks_go_back_is_an_hour_longer() -> None:
    [(begin, end)] = [one for one in openings(NIGHT, utc("2026-10-24T12:00")) if one[0].day == 24]
    assert end - begin == timedelta(hours=7)


def test_a_beginning_that_the_clock_leaves_out_moves_forward() -> None:
    assert opens(MORNING_OF_CHANGE, utc("2026-03-29T00:00")) == utc("2026-03-29T01:30")


def test_a_beginning_that_happens_twice_counts_the_first_time() -> None:
    assert opens(MORNING_OF_CHANGE, utc("2026-10-24T23:00")) == utc("2026-10-25T00:30")


def test_days_that_touch_are_one_opening() -> None:
    late = utc("2026-11-23T22:59")  # one minute before midnight in Oslo
    assert opens(ALWAYS, late, room=86400) == late
    assert longest(ALWAYS) == 7 * 86400


def test_an_opening_that_is_never_long_enough_is_none() -> None:
    assert opens(WORKDAYS, utc("2026-11-23T08:00"), room=8 * 3600) is None
    with pytest.raises(ValueError, match="never open"):
        until_open(WORKDAYS, utc("2026-11-23T08:00"), room=8 * 3600)


def test_until_open_is_zero_while_open() -> None:
    assert until_open(WORKDAYS, utc("2026-11-23T08:00")) == 0
    assert until_open(WORKDAYS, utc("2026-11-23T06:00")) == 3600


def test_longest_is_measured_in_an_ordinary_week() -> None:
    assert longest(WORKDAYS) == 7 * 3600
    assert longest(NIGHT) == 6 * 3600


def test_an_unknown_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="Europe/Olso"):
        zone("Europe/Olso")


@given(
    unix=st.integers(1_704_000_000, 1_893_000_000),
    room=st.integers(0, 7 * 3600),
    window=st.sampled_from([WORKDAYS, ALWAYS, NIGHT, MORNING_OF_CHANGE]),
)
@settings(deadline=None)
def test_what_opens_says_is_open_and_is_the_first(unix: int, room: int, window: Window) -> None:
    moment = datetime.fromtimestamp(unix, tz=UTC)
    found = opens(window, moment, room)
    if found is None:
        assert room > longest(window) - 3600
        return
    assert found >= moment
    assert any(
        begin <= found and found + timedelta(seconds=room) <= end
        for begin, end in openings(window, found)
    )
    assert opens(window, found, room) == found
