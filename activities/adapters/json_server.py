"""What clients of servers that answer in JSON share: no redirects, answers of a bounded length."""

from typing import Any

import httpx

from activities.adapters import bounded

TIMEOUT = httpx.Timeout(10.0, connect=3.0)
LARGEST = 16 * 1024 * 1024


class JsonServer:
    """A client of any number of such servers, made when it is first needed."""

    def __init__(self) -> None:
        self._http: httpx.AsyncClient | None = None

    @property
    def _client(self) -> httpx.AsyncClient:
        if self._http is None:
            self._http = httpx.AsyncClient(
                timeout=TIMEOUT, follow_redirects=False, headers=bounded.PLAIN
            )
        return self._http

    async def aclose(self) -> None:
        """Let the connections go."""
        if self._http is not None:
            await self._http.aclose()

    async def _ask(self, method: str, address: str, **request: Any) -> tuple[int, bytes | None]:
        """Return status and body; no body when it is longer than 16 MiB."""
        async with self._client.stream(method, address, **request) as answer:
            return answer.status_code, await bounded.read(answer, LARGEST)
