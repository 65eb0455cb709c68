"""Prometheus by its HTTP API: raw samples and single numbers, or an explicit `Unreadable`.

An answer in part, a warning, an empty result and NaN are not data: none of them is zero.
"""

import asyncio
import json
import math
from collections.abc import Mapping
from typing import Any

import httpx

from activities.adapters.json_server import JsonServer
from slipway.judgements.counters import Series, Unreadable

_OVERALL = 15.0
_MOST_SERIES = 20_000
_MOST_SAMPLES = 2_000_000
_REMEDY = "Check Prometheus and the queries in the plan's `metrics`, then retry."


class Prometheus(JsonServer):
    """A client of any number of Prometheus servers."""

    async def samples(
        self, url: str, selector: str, window: float, at: float, step: float = 0.0
    ) -> list[Series] | Unreadable:
        """Return the raw samples of a selector in the `window` seconds before `at` (unix seconds);
        with a `step` the newest sample at every so many seconds instead.

        NaN samples are left out. Nothing at all is Unreadable.
        """
        thinned = f":{math.ceil(step * 1000)}ms" if step else ""
        query = f"{selector}[{max(1, math.ceil(window * 1000))}ms{thinned}]"
        result = await self._query(url, query, at, "matrix")
        if isinstance(result, Unreadable):
            return result
        found = [Series(_labels(one), _pairs(one.get("values"))) for one in result]
        found = [one for one in found if one.samples]
        return found or Unreadable("Prometheus holds no such series", _REMEDY, empty=True)

    async def vector(self, url: str, query: str, at: float) -> list[Series] | Unreadable:
        """Return an instant vector: one sample a series. Nothing, or NaN, is Unreadable."""
        result = await self._query(url, query, at, "vector")
        if isinstance(result, Unreadable):
            return result
        found = [Series(_labels(one), _pairs([one.get("value")])) for one in result]
        if not found:
            return Unreadable("the query gives nothing", _REMEDY, empty=True)
        if any(not one.samples for one in found):
            because = "the query gives NaN: there was nothing to count"
            return Unreadable(because, _REMEDY, empty=True)
        return found

    async def number(self, url: str, query: str, at: float) -> float | Unreadable:
        """Return the one number a query gives."""
        result = await self.vector(url, query, at)
        if isinstance(result, Unreadable):
            return result
        if len(result) != 1:
            return Unreadable(f"the query gives {len(result)} series instead of one", _REMEDY)
        return result[0].samples[0][1]

    async def _query(
        self, url: str, query: str, at: float, kind: str
    ) -> list[dict[str, Any]] | Unreadable:
        address, form = f"{url.rstrip('/')}/api/v1/query", {"query": query, "time": f"{at:.3f}"}
        try:
            async with asyncio.timeout(_OVERALL):
                status, body = await self._ask("POST", address, data=form)
        except TimeoutError:
            return Unreadable(f"Prometheus at {url} did not answer in {_OVERALL:.0f} s", _REMEDY)
        except httpx.HTTPError as error:
            said = str(error) or type(error).__name__
            return Unreadable(f"Prometheus at {url} did not answer: {said}", _REMEDY)
        if body is None:
            because = "Prometheus answered with more than 16 MiB"
            return Unreadable(because, _REMEDY, too_long=True)
        return _result(status, body, kind)


def _result(status: int, body: bytes, kind: str) -> list[dict[str, Any]] | Unreadable:
    document = _document(body)
    if document is None:
        return Unreadable(f"Prometheus answered {status} with something that is no JSON", _REMEDY)
    if status != 200 or document.get("status") != "success":
        said = str(document.get("error", ""))[:300]
        return Unreadable(f"Prometheus answered {status}: {said}", _REMEDY)
    if document.get("warnings"):
        said = str(document["warnings"])[:300]
        return Unreadable(f"Prometheus answered only in part: {said}", _REMEDY)
    data = document.get("data")
    result = data.get("result") if isinstance(data, dict) else None
    if not isinstance(data, dict) or data.get("resultType") != kind or not isinstance(result, list):
        return Unreadable(f"Prometheus gave no {kind}", _REMEDY)
    if len(result) > _MOST_SERIES:
        return Unreadable(f"the query gives {len(result)} series, too many", _REMEDY)
    if not all(isinstance(one, dict) for one in result) or _count(result) > _MOST_SAMPLES:
        return Unreadable("Prometheus gave samples that cannot be read", _REMEDY)
    return result


def _document(body: bytes) -> dict[str, Any] | None:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _count(result: list[dict[str, Any]]) -> int:
    return sum(len(one.get("values") or ()) for one in result)


def _labels(one: Mapping[str, Any]) -> dict[str, str]:
    metric = one.get("metric")
    return {str(k): str(v) for k, v in metric.items()} if isinstance(metric, dict) else {}


def _pairs(values: Any) -> tuple[tuple[float, float], ...]:
    """Samples as numbers, in order of time; NaN and what is no sample are left out."""
    pairs = []
    for one in values if isinstance(values, list) else []:
        try:
            at, value = float(one[0]), float(one[1])
        except (TypeError, ValueError, IndexError, KeyError):
            continue
        if math.isfinite(at) and not math.isnan(value):
            pairs.append((at, value))
    return tuple(sorted(pairs))
