"""A real browser without a window: what a page shows once its scripts have run.

The browser is Chromium or one of its relatives, spoken with over a pipe by the Chrome DevTools
Protocol (https://chromedevtools.github.io/devtools-protocol/): no port is opened. It gets no
variable of the worker's environment but the proxies: no secret can reach a page's script.
"""

import asyncio
import json
import os
import shlex
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from activities.adapters import processes
from activities.scratch import scratch
from slipway.errors import SlipwayError, Unreachable

_KNOWN = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
_PROXIES = ("http_proxy", "https_proxy", "no_proxy")
_PASSED_ON = ("PATH", *_PROXIES, *map(str.upper, _PROXIES))
_START = 20.0
"""Seconds until a started browser must have opened a page. Never divided by time_scale."""
_PATIENCE = 10.0
"""Seconds that a page gets to show what is expected, as people would wait for it."""
_AGAIN = 0.2
_LONGEST = 4 * 1024 * 1024
"""Bytes of one message."""
_SHOWN = 200_000
"""Characters of a page's text that are looked at."""
# DevTools speaks over the descriptors 3 and 4; ours are the child's standard input and output.
_PIPED = ("/bin/sh", "-c", 'exec "$@" 3<&0 4>&1 0</dev/null 1>&2', "browser")
_OPTIONS = (
    "--headless",
    "--remote-debugging-pipe",
    "--disable-gpu",
    "--disable-dev-shm-usage",  # containers have 64 MB of it
    "--disable-background-networking",
    "--disable-breakpad",
    "--disable-component-update",
    "--disable-extensions",
    "--disable-sync",
    "--no-first-run",
    "--no-default-browser-check",
)
_TEXT = f"document.body ? document.body.innerText.slice(0, {_SHOWN}) : ''"
_REMEDY = (
    "Install Chromium where the worker runs and set SLIPWAY_BROWSER to its command, or leave "
    "`page.rendered` out of the plan."
)
_TRIAL = "data:text/html,<body><script>document.body.textContent = 'it' + 'runs'</script>"


@dataclass(frozen=True)
class Seen:
    """What a page shows, and the first uncaught error of its scripts. `stuck`: a script of it does
    not come to an end, so that nobody can say what it shows."""

    text: str
    complaint: str = ""
    stuck: bool = False


class Browser:
    """Starts a browser for each look, with a profile of its own that is gone afterwards."""

    def __init__(self, command: str | None = None) -> None:
        """`command`: the browser with its own options; else `SLIPWAY_BROWSER`, else what is found
        in `PATH`."""
        self._given = command

    async def look(self, url: str, enough: Callable[[str], bool]) -> Seen:
        """Open a page and look until its text is `enough`, for 10 s at most.

        Raises SlipwayError when there is no browser, Unreachable when it does not run or cannot
        open the page: neither says anything about what the page shows."""
        command = self._command()
        async with scratch("browser") as folder:
            command = [*_PIPED, *command, *_OPTIONS, f"--user-data-dir={folder}"]
            async with processes.talking(
                command, env=_environment(str(folder)), cwd=folder
            ) as child:
                return await _Page(child).look(url, enough)

    async def trouble(self) -> str:
        """Return why no page could be looked at; the empty text when one can."""
        try:
            seen = await self.look(_TRIAL, lambda text: "itruns" in text)
        except SlipwayError as error:
            return error.what
        return "" if "itruns" in seen.text else "The browser runs no scripts."

    def _command(self) -> list[str]:
        given = (self._given or os.environ.get("SLIPWAY_BROWSER", "")).strip()
        try:
            command = shlex.split(given)
        except ValueError:
            raise SlipwayError(f"SLIPWAY_BROWSER is no command: {given[:100]}.", _REMEDY) from None
        for name in command[:1] or _KNOWN:
            if path := shutil.which(name):
                return [path, *command[1:]]
        missing = f" ({command[0]} is none)" if command else ""
        raise SlipwayError(f"There is no browser where the worker runs{missing}.", _REMEDY)


class _Refused(Unreachable):
    """A command that the browser did not carry out."""


class _Page:
    """One page of a browser that is spoken with."""

    def __init__(self, child: processes.Talk) -> None:
        self._child = child
        self._heard = bytearray()
        self._number = 0
        self._session = ""
        self._complaint = ""

    async def look(self, url: str, enough: Callable[[str], bool]) -> Seen:
        try:
            async with asyncio.timeout(_START):
                await self._open(url)
        except TimeoutError:
            raise Unreachable(
                f"The browser did not open the page in {_START:g} s: {await self._child.words()}",
                _REMEDY,
            ) from None
        text, until = "", time.monotonic() + _PATIENCE
        while True:
            try:
                async with asyncio.timeout(max(_AGAIN, until - time.monotonic())):
                    found = await self._call("Runtime.evaluate", expression=_TEXT)
            except TimeoutError:
                return Seen(text, self._complaint, stuck=True)
            except _Refused:
                found = {}  # the page has just gone on to another one
            text = str((found.get("result") or {}).get("value") or "")
            if enough(text) or time.monotonic() > until:
                return Seen(text, self._complaint)
            await asyncio.sleep(_AGAIN)

    async def _open(self, url: str) -> None:
        target = await self._call("Target.createTarget", url="about:blank")
        attached = await self._call(
            "Target.attachToTarget", targetId=target.get("targetId"), flatten=True
        )
        self._session = str(attached.get("sessionId"))
        await self._call("Runtime.enable")
        opened = await self._call("Page.navigate", url=url)
        if error := opened.get("errorText"):
            raise Unreachable(f"The browser cannot open {url[:200]}: {error}.", _REMEDY)

    async def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        await self._child.send(json.dumps(message).encode() + b"\0")
        while (found := await self._next()).get("id") != self._number:
            if found.get("method") == "Runtime.exceptionThrown" and not self._complaint:
                self._complaint = _complaint(found)
        if error := found.get("error"):
            raise _Refused(f"The browser refuses {method}: {str(error)[:300]}.", _REMEDY)
        result = found.get("result")
        return result if isinstance(result, dict) else {}

    async def _next(self) -> dict[str, Any]:
        while (end := self._heard.find(0)) < 0:
            piece = await self._child.read()
            if not piece:
                raise Unreachable(f"The browser ended: {await self._child.words()}", _REMEDY)
            self._heard += piece
            if len(self._heard) > _LONGEST:
                raise Unreachable("The browser says more than 4 MiB at once.", _REMEDY)
        message = bytes(self._heard[:end])
        del self._heard[: end + 1]
        try:
            found = json.loads(message)
        except (ValueError, RecursionError):
            found = None
        return found if isinstance(found, dict) else {}


def _complaint(event: dict[str, Any]) -> str:
    """Return an uncaught error as the console would print its first line."""
    details = (event.get("params") or {}).get("exceptionDetails") or {}
    thrown = details.get("exception") or {}
    said = str(thrown.get("description") or thrown.get("value") or "").partition("\n")[0]
    return f"{details.get('text', 'Uncaught')} {said}".strip()[:300]


def _environment(folder: str) -> dict[str, str]:
    passed = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    return {**passed, "HOME": folder, "TMPDIR": folder}
