"""Requests to services: short timeouts, no redirects, small answers, explained failures."""

import asyncio
import ssl
from collections.abc import Mapping

import httpx

from activities.adapters import bounded
from activities.adapters.references import resolve
from slipway.judgements.answers import Answer, NoAnswer

_TIMEOUT = httpx.Timeout(5.0)
_OVERALL = 10.0
"""An answer that drips in byte by byte ends here. Never divided by time_scale."""
_LARGEST = 1024 * 1024


class Http:
    """A client for probes and flows."""

    def __init__(self, *, verify: ssl.SSLContext | bool = True) -> None:
        """`verify`: how certificates are checked; never switched off outside tests."""
        self._verify = verify
        self._http: httpx.AsyncClient | None = None

    @property
    def _client(self) -> httpx.AsyncClient:
        if self._http is None:
            self._http = httpx.AsyncClient(
                timeout=_TIMEOUT,
                follow_redirects=False,
                verify=self._verify,
                limits=httpx.Limits(max_connections=100, keepalive_expiry=10.0),
                headers={"user-agent": "slipway"},
            )
        return self._http

    async def aclose(self) -> None:
        """Let the connections go."""
        if self._http is not None:
            await self._http.aclose()

    def secret(self, reference: str) -> str:
        """Return a value that a flow refers to. Raises BadInput naming the reference only."""
        return resolve(reference)

    async def fetch(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> Answer:
        """Send one request. Raises NoAnswer when nothing came, or more than 1 MiB."""
        try:
            async with asyncio.timeout(_OVERALL):
                return await self._fetch(method, url, headers or {}, body)
        except TimeoutError:
            raise NoAnswer(f"no whole answer in {_OVERALL:.0f} s") from None
        except httpx.TimeoutException:
            raise NoAnswer("no answer in 5 s") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise NoAnswer(_explained(error)) from None

    async def _fetch(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None
    ) -> Answer:
        async with self._client.stream(method, url, headers=dict(headers), content=body) as answer:
            content = await bounded.read(answer, _LARGEST)
            if content is None:
                raise NoAnswer("the answer is larger than 1 MiB")
            media_type = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
            location = answer.headers.get("location", "")
            return Answer(answer.status_code, media_type, content, location)


def _explained(error: Exception) -> str:
    """Say in words what a connection failed of; certificates by their own reason."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its TLS certificate is not accepted ({cause.verify_message})"
        if isinstance(cause, ssl.SSLError):
            return f"TLS failed ({cause.reason or cause})"
        cause = cause.__cause__ or cause.__context__
    return str(error) or type(error).__name__
