"""Readings in words, for timeline and report."""

from slipway.base import say_length
from slipway.judgements.counters import Traffic
from slipway.judgements.detector import percent
from slipway.judgements.logs import lines_of
from slipway.judgements.rule import Frame
from slipway.messages.watch import Reading

_MOST_SCRAPES = 400


def say_failures(requests: int, failures: int) -> str:
    """Return `2,390 requests, 1 failed (0.04 %)`."""
    if requests == 0:
        return "no requests"
    return f"{requests:,} requests, {failures:,} failed ({100 * failures / requests:.2f} %)"


def say_before(frame: Frame) -> str:
    """Return what must be known of the time before to believe the numbers, in sentences: what was
    left out of it, and that it failed more than a release may."""
    before, setting = frame.before, frame.setting
    said = []
    if before is not None and before.left_out:
        counts = say_failures(round(before.left_requests), round(before.left_failures))
        length = say_length(round(before.left_out))
        said.append(f"Left out of the time before, as an incident: {length} with {counts}")
    if setting.reference > setting.line:
        said.append(
            f"The time before is itself above the {percent(setting.line)} that is rolled back: up "
            f"to {percent(setting.reference)} is no worse than that"
        )
    return ". ".join(said)


def say_scrapes(traffic: Traffic, began: float) -> str:
    """Return the scrapes of a window as `5:100:0 10:98:3`: second, requests, failures. Those
    without requests are left out; of very many the newest are kept."""
    with_some = [one for one in traffic.finished if one.requests or one.failures]
    return " ".join(
        f"{one.at - began:.1f}:{one.requests:.0f}:{one.failures:.0f}"
        for one in with_some[-_MOST_SCRAPES:]
    )


def say_reading(reading: Reading) -> str:
    """Return one sentence about a service's window."""
    parts = [say_failures(reading.requests, reading.failures)]
    if reading.p95 is not None:
        parts.append(f"p95 {reading.p95 * 1000:.0f} ms")
    counted = reading.error_lines.items()
    parts += [f"{count} {lines_of(name)}" for name, count in counted if count]
    if reading.health:
        parts.append(reading.health)
    return ". ".join([", ".join(parts), *([reading.judged] if reading.judged else [])]) + "."
