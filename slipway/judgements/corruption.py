"""Corruption probes: false, or the server's own alarm, is ROLLBACK; no answer is no answer."""

from dataclasses import dataclass

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
        because = f"Corruption probe {result.name!r} says that the data is not sound."
        return _verdict(Kind.ROLLBACK, Reason.DATA_CORRUPTION, because)
    return _verdict(Kind.PROCEED, Reason.OK, f"Corruption probe {result.name!r}: sound.")


def _verdict(kind: Kind, reason: Reason, because: str) -> Verdict:
    return Verdict(kind=kind, signal=Signal.CORRUPTION, reason=reason, because=because[:1500])
