"""Whether staging is stable: the same digests at rest, healthy, few errors, quick answers."""

import math
import re
from collections.abc import Mapping

from slipway.base import say_length
from slipway.judgements.counters import Unreadable, quantile, share_above
from slipway.judgements.logs import lines_of
from slipway.judgements.workload import (
    Raw,
    container_of,
    replicas_wanted,
    template_of,
    unrest,
)
from slipway.messages.preflight import Finding
from slipway.plan import Limits
from slipway.release import digest_of


def judge_deployment(
    service: str, deployment: Raw | None, container: str, image: str
) -> list[Finding]:
    """Compare a service in staging with the release: the same digest, and at rest."""
    if deployment is None:
        return [_block(f"Staging has no Deployment for {service}.", "Deploy the release there.")]
    found = container_of(template_of(deployment), container)
    running, wanted = digest_of(str((found or {}).get("image", ""))), digest_of(image)
    findings = []
    if running != wanted:
        what = f"Staging runs {running[:19] or 'an image without digest'} of {service}, "
        remedy = "Deploy the release to staging and let it soak."
        findings.append(_block(f"{what}the release brings {wanted[:19]}.", remedy))
    if replicas_wanted(deployment) == 0:
        findings.append(_block(f"{service} has 0 replicas in staging.", "Scale it up."))
    restless = unrest(deployment)
    if restless:
        what = f"{service} is not at rest in staging: {'; '.join(restless)}."
        findings.append(_block(what, "Wait for it or repair it."))
    return findings


def judge_errors(
    by_code: Mapping[str, float] | Unreadable, error_code: str, window: float, limits: Limits
) -> list[Finding]:
    """Judge the share of failed requests in staging. `by_code`: requests by code in `window`."""
    if isinstance(by_code, Unreadable):
        return [_unreadable("error rate", by_code)]
    failed = re.compile(error_code)
    total = sum(by_code.values())
    failures = sum(count for code, count in by_code.items() if failed.fullmatch(code))
    over = say_length(window)
    if total < limits.min_requests:
        what = f"Staging had {total:.0f} requests in {over}; {limits.min_requests} are needed."
        return [_block(what, "Send traffic to staging, then retry.")]
    ratio = failures / total
    if ratio > limits.error_rate and failures >= limits.min_failures:
        what = f"{ratio:.2%} of {total:.0f} requests failed in staging in {over}"
        return [
            _block(f"{what} (limit {limits.error_rate:.2%}).", "Find out why before deploying.")
        ]
    return []


def judge_latency(
    buckets: Mapping[float, float] | Unreadable, window: float, limits: Limits
) -> list[Finding]:
    """Judge p95 in staging by the share of requests above the limit."""
    if isinstance(buckets, Unreadable):
        return [_unreadable("latency", buckets)]
    share = share_above(buckets, limits.latency_p95)
    if isinstance(share, Unreadable):
        return [_unreadable("latency", share)]
    if share <= 0.05 or buckets.get(math.inf, 0.0) < limits.min_requests:
        return []
    p95 = say_length(quantile(buckets, 0.95) or 0.0)
    what = (
        f"p95 in staging is about {p95} over {say_length(window)} "
        f"(limit {say_length(limits.latency_p95)})."
    )
    return [_block(what, "Make it quicker before deploying.")]


def judge_log_counts(counts: Mapping[str, Mapping[str, int]]) -> list[Finding]:
    """Note the error lines of staging, service by service; they do not block by themselves."""
    return [
        Finding(
            severity="note",
            what=f"Staging's {service} wrote {count} {lines_of(name)} lately.",
            remedy="Look at them before approving.",
        )
        for service, classes in counts.items()
        for name, count in classes.items()
        if count
    ]


def sentence(findings: list[Finding], services: int, window: float) -> str:
    """Return staging's state in one sentence."""
    blocking = [one.what for one in findings if one.severity == "block"]
    if blocking:
        return " ".join(blocking)[:1800]
    return (
        f"All {services} services run the release's digests in staging, healthy, with error rate "
        f"and p95 within limits over {say_length(window)}."
    )


def _unreadable(what: str, why: Unreadable) -> Finding:
    remedy = why.remedy or "Check that Prometheus runs and scrapes staging, then retry."
    return _block(f"Staging's {what} cannot be judged: {why.because}.", remedy)


def _block(what: str, remedy: str) -> Finding:
    return Finding(severity="block", what=what, remedy=remedy)
