"""Pages in a real Chromium: what their scripts make of them, and what happens when they do not."""

import asyncio
import contextlib
import os
import socket
import tempfile
from pathlib import Path

import pytest

from activities.adapters import browser as adapter
from activities.adapters.browser import Browser
from activities.adapters.cluster import Cluster
from activities.adapters.http import Http
from activities.adapters.postgres.adapter import Postgres
from activities.adapters.probes import Probes
from activities.checks import Checks
from devstack import build
from devstack.products import CHROMIUM
from slipway.errors import SlipwayError, Unreachable
from slipway.messages.watch import CheckService
from slipway.plan import Service
from slipway.verdicts import Kind, Reason, Signal, Verdict
from tests.integration.cluster_world import until
from tests.integration.stub_server import answering, response
from tests.unit.test_devstack_build import script

FILLS = b"document.getElementById('app').textContent = 'Corp ' + 'Cockpit'"


@pytest.fixture(scope="module")
def command() -> str:
    """The browser; as root it runs without its sandbox only."""
    program = build.ensure([CHROMIUM])["chromium-headless-shell"]
    return f"{program} --no-sandbox" if os.geteuid() == 0 else str(program)


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that runs tests beside this one may take long."""
    monkeypatch.setattr(adapter, "_START", 120.0)
    monkeypatch.setattr(adapter, "_PATIENCE", 60.0)


async def verdict(command: str, content: bytes) -> Verdict:
    """What is said of a page that every request is answered with."""
    http = Http()
    checks = Checks(http, Cluster(), Probes(Postgres()), Browser(command))
    async with answering(content) as url:
        service = Service.model_validate(
            {
                "name": "corp-cockpit",
                "title": "Corp Cockpit",
                "port": 4327,
                "kind": "html",
                "url": url,
                "page": {"contains": ["Cockpit"], "rendered": ["Corp Cockpit"]},
            }
        )
        found = await checks.service(CheckService(service=service, tries=2, every=0.1))
    await http.aclose()
    (one,) = [one for one in found.verdicts if one.signal is Signal.CRITICAL]
    return one


def page(script: bytes, body: bytes = b"<div id=app></div>") -> bytes:
    """Corp Cockpit in its title alone, and what its script makes of it."""
    start = b"<!doctype html><title>Corp Cockpit</title><body>"
    return response(start + body + b"<script>" + script + b"</script>", kind="text/html")


@pytest.mark.parametrize(
    "content",
    [
        page(FILLS),
        page(b"setTimeout(() => { %s }, 3000)" % FILLS),
        page(b"setInterval(() => fetch('/again'), 100); %s" % FILLS),
        page(b"new EventSource('/events'); setTimeout(() => { %s }, 1000)" % FILLS),
        page(b"", b"<p>Corp <b>Cock</b>pit</p><a href='http://localhost:1/x'>x</a>y@z.example"),
        page(FILLS, b"<p hidden>" + b"c0ffee" * 50_000 + b"</p><div id=app></div>"),
    ],
    ids=["at once", "later", "asking again and again", "events", "inline", "a long word"],
)
async def test_a_page_that_shows_it_passes(command: str, content: bytes) -> None:
    found = await verdict(command, content)
    assert (found.kind, found.reason) == (Kind.PROCEED, Reason.OK), found


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (page(b"nothing.there('Corp Cockpit')"), "Uncaught ReferenceError: nothing is not defined"),
        (page(b"throw 'a text'"), "Uncaught a text"),
        (page(b"", b"<p hidden>Corp Cockpit</p>"), "it stays empty"),
        (page(b"", b"<p style='display: none'>Corp Cockpit</p>x"), "it shows 'x'"),
        (page(b"", b"<noscript>Corp Cockpit</noscript>"), "it stays empty"),
    ],
)
async def test_a_page_that_does_not_is_a_broken_function(
    command: str, monkeypatch: pytest.MonkeyPatch, content: bytes, said: str
) -> None:
    """Its health is as it should be: the page is HTML and holds the text that is asked for."""
    monkeypatch.setattr(adapter, "_PATIENCE", 5.0)  # each of these pages waits for it twice
    found = await verdict(command, content)
    assert (found.kind, found.reason) == (Kind.ROLLBACK, Reason.CRITICAL_FUNCTION_BROKEN)
    assert said in found.because
    assert "2 tries in a row" in found.because


async def test_a_script_that_never_ends_is_a_broken_function(
    command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter, "_PATIENCE", 2.0)
    found = await verdict(command, page(b"setTimeout(() => { while (true) {} }, 0)"))
    assert found.reason is Reason.CRITICAL_FUNCTION_BROKEN
    assert "does not come to an end" in found.because


async def test_a_page_that_cannot_be_opened_is_no_verdict(command: str) -> None:
    with socket.socket() as taken:  # bound, and nobody listens
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(Unreachable, match="ERR_CONNECTION_REFUSED"):
            await Browser(command).look(f"http://127.0.0.1:{taken.getsockname()[1]}", bool)


async def test_nothing_is_left_of_a_browser(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither when it has shown enough, nor when it is cancelled meanwhile."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    async def runs() -> bool:
        return await asyncio.to_thread(_runs, tmp_path)

    async def is_gone() -> bool:
        return not await runs()

    async with answering(page(FILLS)) as url:
        assert (await Browser(command).look(url, bool)).text == "Corp Cockpit"
    await until(is_gone, "the browser to be gone")

    async with answering(page(b"")) as url:
        task = asyncio.create_task(Browser(command).look(url, bool))
        await until(runs, "the browser")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    await until(is_gone, "the browser to be gone")
    assert os.listdir(tmp_path) == []


def _runs(folder: Path) -> bool:
    """Whether a browser or one of its helpers works in this folder."""
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            if str(folder).encode() in process.read_bytes():
                return True
    return False


async def test_a_browser_that_works_has_no_trouble(command: str) -> None:
    assert await Browser(command).trouble() == ""


async def test_the_workers_secrets_stay_out_of_the_browser(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROD_DATABASE_URL", "postgresql://a:word@b/c")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:3128")
    tells = Browser(str(script(tmp_path / "tells", f"env > {tmp_path}/told")))
    with pytest.raises(Unreachable):
        await tells.look("http://127.0.0.1:9", bool)
    told = (tmp_path / "told").read_text()
    assert "PROD_DATABASE_URL" not in told
    assert "HTTPS_PROXY=http://proxy:3128" in told


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("echo 'No usable sandbox!' >&2; exit 1", "No usable sandbox!"),
        ("exit 0", "it said nothing"),
        ("printf 'no JSON\\0' >&4; exit 1", "it said nothing"),
    ],
)
async def test_a_browser_that_does_not_run_is_no_verdict(
    tmp_path: Path, text: str, said: str
) -> None:
    broken = Browser(str(script(tmp_path / "broken", text)))
    with pytest.raises(Unreachable, match="The browser ended") as found:
        await broken.look("http://127.0.0.1:9", bool)
    assert said in found.value.what
    assert "SLIPWAY_BROWSER" in found.value.remedy
    assert said in await broken.trouble()


async def test_a_browser_that_says_nothing_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter, "_START", 1.0)
    silent = Browser(str(script(tmp_path / "silent", "exec sleep 300")))
    with pytest.raises(Unreachable, match="did not open the page in 1 s"):
        await silent.look("http://127.0.0.1:9", bool)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("", "There is no browser where the worker runs."),
        (" ", "There is no browser where the worker runs."),
        ("/nowhere/chromium --no-sandbox", "/nowhere/chromium is none"),
        ("chromium '--no-sandbox", "SLIPWAY_BROWSER is no command"),
    ],
)
async def test_no_browser_at_all_is_told(
    monkeypatch: pytest.MonkeyPatch, given: str, said: str
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("SLIPWAY_BROWSER", given)
    with pytest.raises(SlipwayError) as found:
        await Browser().look("http://127.0.0.1:9", bool)
    assert said in found.value.what
