"""Health: three failed probes in a row are a broken service, fewer are not."""

from collections.abc import Mapping

from slipway.verdicts import Kind, Reason, Signal, Verdict

FAILED_PROBES = 3


def count_probe(failing: Mapping[str, int], service: str, problem: str) -> dict[str, int]:
    """Return the runs of failed probes after one more probe; an empty `problem` ends the run."""
    return {**failing, service: failing.get(service, 0) + 1 if problem else 0}


def judge_health(service: str, failed: int, problem: str) -> Verdict | None:
    """Return ROLLBACK when the service failed its last three probes."""
    if failed < FAILED_PROBES:
        return None
    return Verdict(
        kind=Kind.ROLLBACK,
        signal=Signal.HEALTH,
        reason=Reason.UNHEALTHY,
        service=service,
        because=f"{service} is not healthy, {failed} probes in a row: {problem}.",
        numbers={"failed_probes": float(failed)},
    )
