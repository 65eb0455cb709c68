"""A worker as a process of its own, with code that a test chooses, scraped by the stack."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx

from devstack import ports
from devstack.layout import CHECKOUT
from devstack.servers import prometheus
from devstack.stack import Stack
from slipway.messages.notice import Notice, SendNotice
from slipway.plan import Notices

PATIENCE = 120.0
T = TypeVar("T")


@contextmanager
def worker(
    stack: Stack, folder: Path, queue: str, code: str, *, build_id: str = ""
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a worker of the role `workflow` with code of `other_code`, until the block ends."""
    name = f"{queue}-{code}"
    free = ports.choose(["metrics", "health"], {})
    metrics, health = (f"127.0.0.1:{free[one]}" for one in ("metrics", "health"))
    environment = {
        **stack.environment(),
        "SLIPWAY_ARTIFACTS": str(folder),
        "SLIPWAY_TASK_QUEUE": queue,
        "SLIPWAY_METRICS": metrics,
        "SLIPWAY_HEALTH": health,
        "SLIPWAY_BUILD_ID": build_id,
        "SLIPWAY_GRACE": "1",
        "SLIPWAY_TEST_CODE": code,
        "PYTHONPATH": str(CHECKOUT),
    }
    argv = [sys.executable, "-m", "tests.integration.other_code", "--role", "workflow"]
    prometheus.scrape_worker(Path(stack.run_dir), name, metrics)
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(argv, env=environment, stdout=log, stderr=log, cwd=CHECKOUT)
        try:
            wait_until_ready(process, f"http://{health}/readyz")
            yield process
        finally:
            prometheus.forget_worker(Path(stack.run_dir), name)
            process.terminate()
            process.wait(PATIENCE)


def wait_until_ready(process: "subprocess.Popen[bytes]", url: str) -> None:
    """Wait until a worker says that it serves. Fails when it ends instead."""
    deadline = time.monotonic() + PATIENCE
    while not _is_ready(url):
        assert process.poll() is None, "the worker has ended"
        assert time.monotonic() < deadline, f"{url} is not ready"
        time.sleep(0.1)


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False).is_success
    except httpx.TransportError:
        return False


async def becomes(what: str, read: Callable[[], Awaitable[T]]) -> T:
    """Return what `read` returns once it is not empty, or fail."""
    deadline = time.monotonic() + PATIENCE
    while not (found := await read()):
        assert time.monotonic() < deadline, f"not within {PATIENCE:.0f} s: {what}"
        await asyncio.sleep(0.2)
    return found


async def asked(stack: Stack, path: str, **parameters: str) -> Any:
    """Return the data of an answer of Prometheus's API."""
    async with httpx.AsyncClient(
        base_url=stack.prometheus_url, trust_env=False, timeout=60
    ) as client:
        answer = await client.get(f"/api/v1/{path}", params=parameters)
    assert answer.is_success, answer.text
    return answer.json()["data"]


async def firing(stack: Stack, alert: str, **labels: str) -> list[dict[str, Any]]:
    """Return the alerts of a name that fire and bear these labels."""
    wanted = {"alertname": alert, **labels}
    return [
        one
        for one in (await asked(stack, "alerts"))["alerts"]
        if one["state"] == "firing" and wanted.items() <= one["labels"].items()
    ]


def notice_to_nobody(environment: str) -> SendNotice:
    """Return a notice for a receiver that does not listen."""
    port = ports.choose(["nobody"], {})["nobody"]
    return SendNotice(
        to=Notices(webhook=f"http://127.0.0.1:{port}/notices"),
        notice=Notice(
            key=f"{environment}/1/started",
            kind="started",
            deployment=f"{environment}-20261123T180000Z-abc123",
            environment=environment,
            release="1.1.0",
            title="1.1.0 started",
            text="A deployment has started.",
        ),
    )
