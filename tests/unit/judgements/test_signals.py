"""What windows will judge by, looked at before anything is changed."""

import pytest

from slipway.checks import Health, LogHeartbeat
from slipway.judgements.counters import Series, Unreadable
from slipway.judgements.signals import judge_buckets, judge_counters, judge_number
from slipway.plan import Service, ServiceKind

NOTHING = Unreadable("the query gives nothing", empty=True)
BUDDY = Service(name="buddy", title="Buddy", port=1, url="http://127.0.0.1:1", health=Health())
BOT = Service(
    name="bot", title="Bot", port=1, kind=ServiceKind.LOG, heartbeat=LogHeartbeat(pattern="up")
)


def by(label: str, *values: str) -> list[Series]:
    return [Series({label: value} if value else {}, ((1.0, 1.0),)) for value in values]


def test_a_service_without_counters_is_told_before_it_is_changed() -> None:
    (found,) = judge_counters(BUDDY, NOTHING)
    assert found.severity == "block"
    assert "buddy" in found.what
    assert found.remedy
    assert judge_counters(BUDDY, by("code", "200", "500")) == []


def test_a_service_of_logs_needs_no_counters() -> None:
    (found,) = judge_counters(BOT, NOTHING)
    assert found.severity == "note"
    assert "judged without traffic" in found.what


@pytest.mark.parametrize("service", [BUDDY, BOT])
def test_counters_without_codes_are_told_with_the_remedy(service: Service) -> None:
    for codes in (by("code", ""), by("code", "200", "")):
        (found,) = judge_counters(service, codes)
        assert found.severity == "block"
        assert "`code`" in found.what
        assert "metric_relabel_configs" in found.remedy


def test_a_histogram_needs_a_bucket_at_the_limit() -> None:
    assert judge_buckets(BUDDY, by("le", "0.1", "0.50", "+Inf"), 0.5, 9.0) == []
    for bounds in (NOTHING, by("le", "0.1", "+Inf"), by("le", "")):
        (found,) = judge_buckets(BUDDY, bounds, 0.5, 9.0)
        assert found.severity == "block"


def test_without_requests_there_may_be_no_histogram_yet() -> None:
    assert judge_buckets(BUDDY, NOTHING, 0.5, 0.0) == []


def test_a_number_must_be_one() -> None:
    assert judge_number("external", by("", "")) == []
    for wrong in (NOTHING, by("pod", "a", "b")):
        (found,) = judge_number("external", wrong)
        assert found.severity == "block"
        assert "metrics.external" in found.what
