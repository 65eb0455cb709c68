"""Requests to services: short timeouts, no redirects, small answers, explained failures."""

import asyncio
import ssl
from collections.abc import Mapping
from http.cookiejar import CookieJar, DefaultCookiePolicy

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
                headers={"user-agent": "slipway", **bounded.PLAIN},
                cookies=_no_cookies(),
            )
        return self._http

    async def aclose(self) -> None:
        """Let the connections go."""
        if self._http is not None:
            await self._http.aclose()

    def secret(self, reference: str) -> str:
        """Return a value that a flow refers to. Raises BadInput naming the reference only."""
        return resolve(reference)

    def cookies(self) -> httpx.Cookies:
        """Return an empty jar, for a flow that keeps cookies."""
        return httpx.Cookies()

    async def fetch(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        cookies: httpx.Cookies | None = None,
    ) -> Answer:
        """Send one request. `cookies`: those of a flow that keeps them; they are sent, and what the
        answer sets is kept there. Raises NoAnswer when nothing came, or more than 1 MiB."""
        try:
            async with asyncio.timeout(_OVERALL):
                request = self._client.build_request(method, url, headers=headers, content=body)
                return await self._send(request, cookies)
        except TimeoutError:
            raise NoAnswer(f"no whole answer in {_OVERALL:.0f} s") from None
        except httpx.TimeoutException:
            raise NoAnswer("no answer in 5 s") from None
        except httpx.LocalProtocolError:  # its text shows the header that it refuses
            raise NoAnswer("the request cannot be sent: a header's value is none") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise NoAnswer(_explained(error)) from None

    async def _send(self, request: httpx.Request, cookies: httpx.Cookies | None) -> Answer:
        if cookies is not None:
            cookies.set_cookie_header(request)
        answer = await self._client.send(request, stream=True)
        try:
            content = await bounded.read(answer, _LARGEST)
        finally:
            await answer.aclose()
        if content is None:
            raise NoAnswer("the answer is larger than 1 MiB")
        if cookies is not None:
            cookies.extract_cookies(answer)
        media_type = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
        location = answer.headers.get("location", "")
        return Answer(answer.status_code, media_type, content, location)


def _no_cookies() -> CookieJar:
    """Return a jar that keeps nothing: a session that one flow opened must not pass the next one's
    check that a stranger is refused, nor a balancer's cookie lead all probes to one pod."""
    return CookieJar(policy=DefaultCookiePolicy(allowed_domains=[]))


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
