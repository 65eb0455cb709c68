"""Loki by its HTTP API: lines of a time range, newest first. An answer in part is none."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from activities.adapters.json_server import JsonServer
from activities.adapters.references import header
from slipway.errors import Unreachable
from slipway.judgements.log_levels import MAY_BE_ERROR
from slipway.judgements.logs import LONGEST, MOST_LINES, LogLine, unwrapped
from slipway.plan import Loki as Store

_OVERALL = 20.0
"""Seconds for all pages of one query."""
_ONE = 10.0
"""Seconds for one line."""
_LATEST = 2**63
_PAGE = 1000
_REMEDY = "Check Loki and the plan's `loki` (url, selector, tenant), then retry."
_Entry = tuple[int, str, str]
"""Nanoseconds, stream and text."""


class Loki(JsonServer):
    """A client of any number of Loki servers."""

    async def error_lines(
        self, store: Store, selector: str, since: float, until: float
    ) -> list[LogLine]:
        """Return the lines that may be errors, in order of time, the newest `MOST_LINES` of them.
        `since`, `until`: unix seconds. Raises Unreachable when Loki does not answer in whole."""
        query = f"{selector} |~ `{MAY_BE_ERROR}`"
        found: dict[_Entry, None] = {}
        end, size = _nanoseconds(until), _PAGE
        async with _in_time(store, _OVERALL):
            while len(found) < MOST_LINES:
                page = await self._range(store, query, (_nanoseconds(since), end), size)
                if page is None:  # long lines, such as stack traces: fewer of them at once
                    if size == 1:
                        raise Unreachable("Loki gave a line of more than 16 MiB.", _REMEDY)
                    size = max(1, size // 8)
                    continue
                known = len(found)
                found |= dict.fromkeys(page)
                if len(page) < size:
                    break
                # The end is exclusive: lines of the oldest moment may be on the next page, too. Of
                # more than a page of one moment the others are left out: so many are bad enough.
                oldest = min(at for at, _, _ in page)
                end = oldest + 1 if len(found) > known else oldest
        return [LogLine(at / 1e9, unwrapped(text)[:LONGEST]) for at, _, text in sorted(found)]

    async def newest(self, store: Store, selector: str, since: float, until: float) -> float | None:
        """Return when the newest line was written (unix seconds), or None when there is none.

        Raises Unreachable when Loki does not answer."""
        return await self._outermost(store, selector, (since, until), "backward")

    async def oldest(self, store: Store, selector: str, since: float, until: float) -> float | None:
        """Return when the oldest line was written (unix seconds), or None when there is none.

        Raises Unreachable when Loki does not answer."""
        return await self._outermost(store, selector, (since, until), "forward")

    async def _outermost(
        self, store: Store, selector: str, span: tuple[float, float], direction: str
    ) -> float | None:
        start, end = map(_nanoseconds, span)
        async with _in_time(store, _ONE):
            page = await self._range(store, selector, (start, end), 1, direction)
        if page is None:
            raise Unreachable("Loki gave a line of more than 16 MiB.", _REMEDY)
        return page[0][0] / 1e9 if page else None

    async def _range(
        self,
        store: Store,
        query: str,
        span: tuple[int, int],
        limit: int,
        direction: str = "backward",
    ) -> list[_Entry] | None:
        """Return the lines of a span of nanoseconds; None when the answer would be too long."""
        parameters: dict[str, str | int] = {"query": query, "start": span[0], "end": span[1]}
        parameters |= {"limit": limit, "direction": direction}
        headers = {"X-Scope-OrgID": store.tenant} if store.tenant else {}
        if store.authorization:
            headers["Authorization"] = header(store.authorization)
        address = f"{store.url.rstrip('/')}/loki/api/v1/query_range"
        try:
            status, body = await self._ask("GET", address, params=parameters, headers=headers)
        except httpx.LocalProtocolError:  # its text shows the header that it refuses
            raise _silent(store, "the request is refused before it is sent") from None
        except httpx.HTTPError as error:
            raise _silent(store, str(error) or type(error).__name__) from None
        return None if body is None else _entries(status, body)


@asynccontextmanager
async def _in_time(store: Store, seconds: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise _silent(store, f"no whole answer in {seconds:.0f} s") from None


def _silent(store: Store, why: str) -> Unreachable:
    return Unreachable(f"Loki at {store.url} did not answer: {why}.", _REMEDY)


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1e9)


def _entries(status: int, body: bytes) -> list[_Entry]:
    if status != 200:
        said = body[:300].decode(errors="replace").strip()
        raise Unreachable(f"Loki answered {status}: {said}.", _REMEDY)
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict) or document.get("status") != "success":
        raise Unreachable("Loki answered with something that is no result.", _REMEDY)
    if warnings := document.get("warnings"):
        raise Unreachable(f"Loki answered only in part: {str(warnings)[:300]}.", _REMEDY)
    data = document.get("data")
    if not isinstance(data, dict) or data.get("resultType") != "streams":
        raise Unreachable("Loki gave no log lines.", "`loki.selector` is a stream selector only.")
    try:
        return [entry for one in data.get("result") or () for entry in _of_stream(one)]
    except (TypeError, ValueError, KeyError, IndexError, OverflowError):
        raise Unreachable("Loki gave log lines that cannot be read.", _REMEDY) from None


def _of_stream(stream: dict[str, Any]) -> list[_Entry]:
    labels = json.dumps(stream["stream"], sort_keys=True)
    found = [(int(one[0]), labels, str(one[1])) for one in stream["values"]]
    if any(not 0 < at < _LATEST for at, _, _ in found):
        raise ValueError("no time")
    return found
