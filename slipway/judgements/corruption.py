"""Corruption probes: false, a value that fell or changed, or the server's own alarm, is ROLLBACK;
no answer is no answer."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from slipway.plan import Comparison, CorruptionProbe
from slipway.verdicts import Kind, Reason, Signal, Verdict

CORRUPTED = {"XX001", "XX002"}
"""SQLSTATEs data_corrupted and index_corrupted."""


@dataclass(frozen=True)
class ProbeResult:
    """What one probe gave: sound or not; None when it could not be run, and why."""

    name: str
    sound: bool | None
    because: str = ""
    sqlstate: str = ""
    value: str = ""
    """What was read, of a probe that compares."""


def of_itself(probes: list[CorruptionProbe]) -> list[CorruptionProbe]:
    """Return the probes that need no value from before the first change."""
    return [one for one in probes if one.compare is None]


def compared(probe: CorruptionProbe, value: str, before: Mapping[str, str]) -> ProbeResult:
    """Compare a probe's value with the one before the first change."""
    then = before.get(probe.name)
    if then is None:
        return ProbeResult(
            probe.name, None, "its value before the first change is not known", value=value
        )
    said = f"it was {then[:100]} before the first change and is {value[:100]} now"
    if probe.compare is Comparison.UNCHANGED:
        return ProbeResult(probe.name, value == then, said, value=value)
    numbers = _number(then), _number(value)
    if numbers[0] is None or numbers[1] is None:
        return ProbeResult(probe.name, None, f"{said}: no numbers", value=value)
    return ProbeResult(probe.name, numbers[1] >= numbers[0], said, value=value)


def _number(text: str) -> Decimal | None:
    try:
        found = Decimal(text)
    except InvalidOperation:
        return None
    return found if found.is_finite() else None


def judge_probe(result: ProbeResult) -> Verdict:
    """Judge one probe."""
    if result.sqlstate in CORRUPTED:
        because = f"The database says that its data is corrupted: {result.because}."
        return _verdict(Kind.ROLLBACK, Reason.DATA_CORRUPTION, because)
    if result.sound is None:
        because = (
            f"Corruption probe {result.name!r} cannot be run: {result.because}. Check the probe "
            "and the read-only role, then retry."
        )
        return _verdict(Kind.INCONCLUSIVE, Reason.NOTHING_TO_READ, because)
    if not result.sound:
        said = f": {result.because}" if result.because else ""
        because = f"Corruption probe {result.name!r} says that the data is not sound{said}."
        return _verdict(Kind.ROLLBACK, Reason.DATA_CORRUPTION, because)
    return _verdict(Kind.PROCEED, Reason.OK, f"Corruption probe {result.name!r}: sound.")


def _verdict(kind: Kind, reason: Reason, because: str) -> Verdict:
    return Verdict(kind=kind, signal=Signal.CORRUPTION, reason=reason, because=because[:1500])
