"""One try of a flow: its steps in order, the first failure ends it."""

import asyncio
import time
import uuid
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from slipway.checks import Flow, Step
from slipway.judgements import answers

if TYPE_CHECKING:
    from activities.adapters.http import Http

_SECONDS = 20.0
"""One try, so that three of them fit into the activity's own timeout."""
_AGAIN = 1.0
"""Seconds until a step that may take its time is asked again."""


class FlowTry:
    """What one try knows: variables, cookies, and what must not be shown."""

    def __init__(
        self, http: "Http", flow: Flow, addresses: Mapping[str, str], secrets: Mapping[str, str]
    ) -> None:
        """`addresses`: where services are, by name. `secrets`: values of the flow's secrets."""
        self._http = http
        self._flow = flow
        self._addresses = addresses
        self._variables: dict[str, Any] = {**secrets, "unique": uuid.uuid4().hex[:16]}
        self._hidden = set(secrets.values())
        self._cookies = http.cookies() if flow.cookies else None

    async def run(self) -> str:
        """Return what went wrong, without a full stop; the empty text when every step passed."""
        at = ""
        try:
            async with asyncio.timeout(_SECONDS):
                for step in self._flow.steps:
                    at = f"step {step.name!r}"
                    self._variables |= await self._passes(step)
        except TimeoutError:
            return f"{at}: the flow did not end in {_SECONDS:.0f} s"
        except answers.Wrong as error:
            return answers.hide(f"{at}: {error}", self._hidden)
        return ""

    async def _passes(self, step: Step) -> dict[str, Any]:
        """Ask a step until it passes, as long as it may take."""
        until = time.monotonic() + (step.within or 0.0)
        while True:
            try:
                return await self._ask(step)
            except answers.Wrong as error:
                if time.monotonic() + _AGAIN > until:
                    after = f", {step.within:g} s long" if step.within else ""
                    raise answers.Wrong(f"{error}{after}") from None
            await asyncio.sleep(_AGAIN)

    async def _ask(self, step: Step) -> dict[str, Any]:
        base = self._addresses.get(step.service or self._flow.service or "")
        if not base:
            raise answers.Wrong("the plan gives no address for its service")
        sending = answers.fill_step(step, self._variables)
        self._hidden |= answers.in_headers(step, self._variables)
        answer = await self._http.fetch(
            sending.method,
            base.rstrip("/") + sending.path,
            headers=sending.headers,
            body=sending.body,
            cookies=self._cookies,
        )
        return answers.check_step(step, replace(answer, hidden=frozenset(self._hidden)))
