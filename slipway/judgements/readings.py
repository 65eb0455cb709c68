"""Readings in words, for timeline and report."""

from slipway.messages.watch import Reading


def say_failures(requests: int, failures: int) -> str:
    """Return `2,390 requests, 1 failed (0.04 %)`."""
    if requests == 0:
        return "no requests"
    return f"{requests:,} requests, {failures:,} failed ({100 * failures / requests:.2f} %)"


def say_reading(reading: Reading) -> str:
    """Return one sentence about a service's window."""
    parts = [say_failures(reading.requests, reading.failures)]
    if reading.p95 is not None:
        parts.append(f"p95 {reading.p95 * 1000:.0f} ms")
    parts += [f"{count} {name} error lines" for name, count in reading.error_lines.items() if count]
    if reading.health:
        parts.append(reading.health)
    return ", ".join(parts) + "."
