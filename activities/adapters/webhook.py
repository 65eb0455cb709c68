"""The webhook that announcements go to: one JSON document per notice, by POST."""

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import httpx

from activities.adapters import bounded
from activities.adapters.references import resolve
from slipway.errors import BadInput, SlipwayError, Unreachable
from slipway.messages.notice import Sent
from slipway.verdicts import Reason

TIMEOUT = httpx.Timeout(10.0, connect=5.0)
_RECEIPT = 200
_OVERLOADED = {408, 425, 429}


class NotAccepted(SlipwayError):
    """The receiver answered, and will not take the notice."""

    reason = Reason.STEP_OUT_OF_ATTEMPTS


class Webhook:
    """Posts documents. The address may be a reference: chat systems make it a secret."""

    def __init__(self, look_up: Callable[[str], str] = resolve) -> None:
        self._look_up = look_up

    async def post(self, to: str, key: str, document: dict[str, Any]) -> Sent:
        """POST a document; `key` lets the receiver drop a repetition (header Idempotency-Key).

        Raises Unreachable when another attempt may help, NotAccepted or BadInput when not. No
        message holds the address.
        """
        address = self._address(to)
        content = json.dumps(document, ensure_ascii=False).encode()
        headers = {"content-type": "application/json", "idempotency-key": key, **bounded.PLAIN}
        try:
            async with httpx.AsyncClient(timeout=TIMEOUT, follow_redirects=False) as client:
                request = client.build_request("POST", address, content=content, headers=headers)
                answer = await client.send(request, stream=True)
                beginning = await _beginning(answer)
        except httpx.TransportError as error:
            what = type(error).__name__
            raise Unreachable(
                f"The receiver of notices ({_name(to)}) cannot be reached: {what}.",
                "Check notices.webhook and the network; the notice is sent again.",
            ) from None
        return _receipt(answer, beginning, _name(to))

    def _address(self, to: str) -> str:
        address = to if to.startswith(("http://", "https://")) else self._look_up(to)
        try:
            parts = urlsplit(address)
            usable = parts.scheme in ("http", "https") and bool(parts.hostname)
            httpx.URL(address)
        except (ValueError, httpx.InvalidURL):
            usable = False
        if not usable:
            raise BadInput(
                f"{_name(to)} does not lead to an http or https address.",
                "Put the receiver's whole address there.",
                reason=Reason.ENVIRONMENT_NOT_READY,
            )
        return address


async def _beginning(answer: httpx.Response) -> str:
    """Return the beginning of the answer; an endless one is not read on."""
    try:
        content = await bounded.beginning(answer, 4 * _RECEIPT)
    finally:
        await answer.aclose()
    return content.decode(errors="replace")[:_RECEIPT]


def _receipt(answer: httpx.Response, beginning: str, name: str) -> Sent:
    status = answer.status_code
    if answer.is_success:
        return Sent(status=status, receipt=beginning)
    if status in _OVERLOADED or status >= 500:
        raise Unreachable(
            f"The receiver of notices ({name}) answered {status}.",
            "It is asked again; look at the receiver if this goes on.",
        )
    redirected = " Redirects are not followed." if answer.is_redirect else ""
    raise NotAccepted(
        f"The receiver of notices ({name}) refused with {status}.{redirected}",
        "Correct notices.webhook in the plan, or what it refers to.",
    )


def _name(to: str) -> str:
    """Return the reference, or of a plain address scheme and host only."""
    if not to.startswith(("http://", "https://")):
        return to
    try:
        return f"{urlsplit(to).scheme}://{urlsplit(to).hostname}"
    except ValueError:
        return "notices.webhook"
