"""What others do about a service's failed requests, each from its public documentation.

Every rule takes many windows and returns for each one when it decides to roll back, in seconds
since the window began; infinity: never. Rules that run at each scrape decide `LAG` seconds after
it; rules with a timer of their own decide when it strikes, on the scrapes that are in by then.
What a rule leaves open is read in its favour, and its description says how.
"""

from collections.abc import Callable

import numpy as np

from benchmarks.judgement.scrapes import (
    EPSILON,
    LAG,
    Counts,
    Flags,
    Floats,
    Scrapes,
    first_time,
    running,
    since,
)

LIMIT = 0.01
"""The playbook's: an error rate above 1 % rolls back."""
MINUTE = 60.0

Rule = Callable[[Scrapes], Floats]


def playbook_at_the_end(scrapes: Scrapes) -> Floats:
    """The playbook's "roll back immediately if: error rate > 1 %", looked at once: the ratio of the
    whole window, when it ends."""
    over = above(running(scrapes.failures)[:, -1], running(scrapes.requests)[:, -1])
    return np.where(over, scrapes.window, np.inf)


def playbook_every_scrape(scrapes: Scrapes) -> Floats:
    """The playbook's "roll back immediately if: error rate > 1 %", read literally: the ratio since
    the window began, at every scrape."""
    over = above(running(scrapes.failures), running(scrapes.requests))
    return first_time(over, scrapes.at) + LAG


def rate_1m(scrapes: Scrapes) -> Floats:
    """`sum(rate(errors[1m])) / sum(rate(requests[1m])) > 0.01` at every scrape, as dashboards and
    alerts have it (prometheus.io/docs/prometheus/latest/querying/functions/#rate).

    `rate` compares the first and the last sample in the range, which is open on the left: at 5 s
    scrapes it sees 55 s of it, at 15 s 45 s. In the rule's favour: the failures' series exists from
    the start (else `rate` misses the failures it is born with), and 0/0, which is NaN, is no alarm.
    """
    return first_time(above(*last_minute(scrapes)), scrapes.at) + LAG


def flagger(scrapes: Scrapes) -> Floats:
    """Flagger with the values of its documentation (docs.flagger.app/usage/how-it-works and
    /usage/metrics): `interval: 1m`, `threshold: 5` ("max number of failed metric checks before
    rollback"), `request-success-rate` at least 99 over `interval: 1m`.

    Checks that failed are added up over the whole analysis; a good one does not reset them. No
    value (no traffic) is a failed check. In its favour: it rolls back as soon as the fifth check
    has failed (the controller does so at the next interval, pkg/controller/scheduler.go).
    """
    failures, requests = last_minute(scrapes)
    failed = above(failures, requests) | (requests == 0)
    return _counted(scrapes, failed, interval=MINUTE, more_than=4)


def argo_0(scrapes: Scrapes) -> Floats:
    """Argo Rollouts with its default `failureLimit` of 0: the first failed measurement aborts."""
    return _argo(scrapes, failure_limit=0)


def argo_3(scrapes: Scrapes) -> Floats:
    """Argo Rollouts with the `failureLimit: 3` of its documentation's example."""
    return _argo(scrapes, failure_limit=3)


def b6s(scrapes: Scrapes) -> Floats:
    """At least 6 failures, in at least 3 scrapes, and more than 1 % of the requests: of the whole
    window or of its last minute. Plain arithmetic, the baseline that statistics must beat."""
    return _six_in_three(scrapes, recent=MINUTE)


def b6s_2m(scrapes: Scrapes) -> Floats:
    """The same over the whole window or its last two minutes: slower, and wrong less often."""
    return _six_in_three(scrapes, recent=2 * MINUTE)


RULES: dict[str, Rule] = {
    "playbook, window end": playbook_at_the_end,
    "playbook, every scrape": playbook_every_scrape,
    "rate[1m]": rate_1m,
    "Flagger": flagger,
    "Argo limit 0": argo_0,
    "Argo limit 3": argo_3,
    "b6s": b6s,
    "b6s, 2 min": b6s_2m,
}


def above(failures: Counts, requests: Counts) -> Flags:
    """Whether the ratio is above the limit. Nothing of nothing is not."""
    over: Flags = failures > LIMIT * requests
    return over


def last_minute(scrapes: Scrapes) -> tuple[Counts, Counts]:
    """Return the increases of failures and requests that a range of one minute sees."""
    edges, began = scrapes.before, scrapes.at - MINUTE
    return since(edges, began, scrapes.failures), since(edges, began, scrapes.requests)


def _argo(scrapes: Scrapes, failure_limit: int) -> Floats:
    """Argo Rollouts 1.10, background analysis (argo-rollouts.readthedocs.io/en/stable/features/
    analysis): `interval: 30s`, `successCondition` of at most 1 %, measured by `rate[1m]`; the
    metric fails when failed measurements, in all, are more than `failureLimit` (analysis.go:
    `result.Failed > metric.FailureLimit`).

    In its favour: the first measurement is after one interval (without `initialDelay` it is at
    once, of nothing), and a measurement without traffic (NaN) does not count as failed.
    """
    failed = above(*last_minute(scrapes))
    return _counted(scrapes, failed, interval=30.0, more_than=failure_limit)


def _six_in_three(scrapes: Scrapes, recent: float) -> Floats:
    at = scrapes.at
    three = scrapes.failures, scrapes.requests, (scrapes.failures > 0).astype(np.int64)
    fires = np.zeros(at.shape, dtype=bool)
    for failures, requests, failing in (
        tuple(running(one) for one in three),
        tuple(since(at, at - recent, one) for one in three),
    ):
        fires |= (failures >= 6) & (failing >= 3) & above(failures, requests)
    return first_time(fires, at) + LAG


def _counted(scrapes: Scrapes, failed: Flags, interval: float, more_than: int) -> Floats:
    """Return at which stroke of a timer more than so many checks have failed, each check being
    of the last scrape that is in."""
    times = np.full(scrapes.runs, np.inf)
    count = np.zeros(scrapes.runs, dtype=np.int64)
    rows = np.arange(scrapes.runs)
    for stroke in np.arange(interval, scrapes.window + EPSILON, interval):
        column = (scrapes.at + LAG <= stroke + EPSILON).sum(axis=1) - 1
        count += failed[rows, column] & (column >= 0)
        times = np.where((count > more_than) & ~np.isfinite(times), stroke, times)
    return times
