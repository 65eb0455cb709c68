"""Whether what windows will judge by is there, looked at before anything is changed."""

from slipway.base import say_length
from slipway.judgements.counters import CODE_REMEDY, Series, Unreadable, bound_of, same_bound
from slipway.messages.preflight import Finding
from slipway.plan import Service, ServiceKind

_UNSEEN = (
    "Correct the selector, or let the service be scraped and make its counters when it starts: "
    "without them no version of it can be judged, and a rollout of it would be taken back."
)


def judge_counters(service: Service, codes: list[Series] | Unreadable) -> list[Finding]:
    """Judge the request counters of a service. `codes`: one series for each value of the label
    `code`, an empty one where counters have none."""
    if isinstance(codes, Unreadable):
        what = f"Prometheus holds no series of {service.name} for `metrics.requests` of the plan"
        if service.kind is ServiceKind.LOG:
            more = "it is judged without traffic, by its heartbeat, logs and pods."
            return [_note(f"{what}: {more}")]
        return [_block(f"{what}.", _UNSEEN)]
    if all(one.labels.get("code") for one in codes):
        return []
    return [_block(f"A request counter of {service.name} has no label `code`.", CODE_REMEDY)]


def judge_buckets(
    service: Service, bounds: list[Series] | Unreadable, limit: float, requests: float
) -> list[Finding]:
    """Judge the latency histogram of a service that has request counters. `bounds`: one series for
    each value of the label `le`; `limit` in seconds; `requests` so far."""
    if isinstance(bounds, Unreadable):
        if not requests:  # some registries make a histogram with the first request
            return []
        what = f"Prometheus holds no series of {service.name} for `metrics.latency` of the plan."
        return [_block(what, _UNSEEN)]
    if any(same_bound(bound_of(one.labels.get("le", "")), limit) for one in bounds):
        return []
    what = f"The latency histogram of {service.name} has no bucket at {say_length(limit)}, the "
    remedy = "Give it a bucket exactly there, or set the limit to a bound that it has."
    return [_block(f"{what}plan's `limits.latency_p95`.", remedy)]


def judge_number(name: str, found: list[Series] | Unreadable) -> list[Finding]:
    """Judge a query that must give one number: `connections` or `external` of the plan."""
    if isinstance(found, Unreadable):
        what = f"`metrics.{name}` of the plan gives no number: {found.because}."
    elif len(found) != 1:
        what = f"`metrics.{name}` of the plan gives {len(found)} series instead of one number."
    else:
        return []
    remedy = "Correct the query: the last window must be able to read it. Where there is nothing "
    remedy += "to count yet it must give 0 (plans/teei-production.yaml shows how), and where there "
    return [_block(what, remedy + "never will be, `vector(0)`.")]


def _block(what: str, remedy: str) -> Finding:
    return Finding(severity="block", group="metrics", what=what, remedy=remedy)


def _note(what: str) -> Finding:
    remedy = "If it serves HTTP, let it be scraped or correct the selector."
    return Finding(severity="note", group="metrics", what=what, remedy=remedy)
