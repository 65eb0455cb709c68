"""k6 summaries: thresholds are computed again from the metrics.

The flags in a report are not read: `--summary-export` writes true for a threshold that *failed*,
`handleSummary` writes ok, and the machine-readable summary writes none.
"""

import operator
import re
from collections.abc import Callable
from typing import Any

from slipway.evidence.reading import NotProved, items, mapping

_EXPRESSION = re.compile(
    r"^\s*(count|rate|value|avg|min|max|med|p\(\s*\d{1,3}(?:\.\d+)?\s*\))\s*"
    r"(<=|>=|===|==|!=|<|>)\s*(-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)\s*$"
)
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "===": operator.eq,
    "!=": operator.ne,
}
Metrics = dict[str, tuple[dict[str, Any], list[str]]]
"""Name to values and threshold expressions."""


def judge(report: Any, *, latency_p95: float, error_rate: float) -> str:
    """Return a sentence about a report whose thresholds all hold. Raises NotProved.

    A report without thresholds of its own is judged by the plan's limits: `latency_p95` in
    seconds, `error_rate` as a share.
    """
    metrics = _metrics(mapping(report, "the report"))
    wanted = [(name, one) for name, (_, thresholds) in metrics.items() for one in thresholds]
    if not wanted:
        wanted = [
            ("http_req_duration", f"p(95)<{latency_p95 * 1000:g}"),
            ("http_req_failed", f"rate<{error_rate:g}"),
        ]
    crossed = [said for name, one in wanted if (said := _crossed(metrics, name, one))]
    if crossed:
        raise NotProved(f"{len(crossed)} of {len(wanted)} thresholds crossed: {crossed[0]}")
    if _number_of(metrics, "http_reqs", "count") == 0:
        raise NotProved("it made no request at all")
    return f"{len(wanted)} thresholds hold"


def _metrics(report: dict[str, Any]) -> Metrics:
    """Read any of k6's three shapes."""
    if "results" in report:
        listed = items(mapping(report["results"], "results").get("metrics"), "results.metrics")
        named = {str(mapping(one, "a metric").get("name")): one for one in listed}
    else:
        named = mapping(report.get("metrics"), "metrics")
    if not named:
        raise NotProved("it holds no metric")
    result: Metrics = {}
    for name, one in named.items():
        metric = mapping(one, f"metric {name[:60]}")
        values = metric.get("values", metric)
        result[name] = (mapping(values, f"the values of {name[:60]}"), _thresholds(name, metric))
    return result


def _thresholds(name: str, metric: dict[str, Any]) -> list[str]:
    given = metric.get("thresholds")
    if given is None:
        return []
    if isinstance(given, dict):
        return list(given)
    if isinstance(given, list) and all(isinstance(one, str) for one in given):
        return given
    raise NotProved(f"the thresholds of {name[:60]} cannot be read")


def _crossed(metrics: Metrics, name: str, expression: str) -> str:
    """Return a sentence when a threshold is crossed, or the empty text."""
    match = _EXPRESSION.match(expression)
    if match is None:
        raise NotProved(f"the threshold {expression[:60]!r} of {name[:60]} cannot be read")
    aggregate, sign, limit = match.groups()
    value = _number_of(metrics, name, aggregate.replace(" ", ""))
    if value is None:
        raise NotProved(f"{name[:60]} has no {aggregate}, so {expression[:60]!r} cannot be judged")
    if _COMPARE[sign](value, float(limit)):
        return ""
    return f"{name[:60]} {expression.strip()[:60]} is not so, it was {value:g}"


def _number_of(metrics: Metrics, name: str, aggregate: str) -> float | None:
    values, _ = metrics.get(name, ({}, []))
    found = values.get(aggregate)
    if found is None and aggregate == "rate" and "passes" in values:
        found = values.get("value")  # summary-export calls a rate so
    if isinstance(found, bool) or not isinstance(found, int | float):
        return None
    return float(found)
