"""The world as docker-compose.yml runs it: servers by address, seeded and served by commands."""

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import httpx
import pytest
import yaml

from devstack import ports
from devstack.layout import CHECKOUT
from devstack.stack import Stack
from devstack.world import environment as environments
from devstack.world.catalog import NAMES
from starter.loading import load_plan

pytestmark = pytest.mark.stack
PATIENCE = 120.0


@pytest.fixture
def elsewhere(stack: Stack, tmp_path: Path) -> Stack:
    """The same servers, with a folder and ports of its own for the world."""
    for shared in ("secrets", "drizzle", "node"):  # passwords of the roles; what is costly to make
        if (Path(stack.run_dir) / shared).exists():
            (tmp_path / shared).symlink_to(Path(stack.run_dir) / shared)
    free = ports.choose(["world", "webhook"], {})
    return replace(
        stack,
        run_dir=str(tmp_path),
        world_url=f"http://127.0.0.1:{free['world']}",
        webhook_url=f"http://127.0.0.1:{free['webhook']}",
    )


def variables(stack: Stack) -> dict[str, str]:
    fields = {f"DEVSTACK_{name.upper()}": str(value) for name, value in asdict(stack).items()}
    return {**os.environ, **fields}


def command(stack: Stack, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "devstack.world.compose", *arguments],
        env=variables(stack),
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextmanager
def served(stack: Stack) -> Iterator[None]:
    """Run the world's process until the block ends."""
    argv = [sys.executable, "-m", "devstack.world.services"]
    with subprocess.Popen(argv, env=variables(stack), cwd=CHECKOUT) as process:
        try:
            yield
        finally:
            process.terminate()


def answers(url: str) -> httpx.Response | None:
    try:
        answer = httpx.get(url, trust_env=False)
    except httpx.TransportError:
        return None
    return answer if answer.is_success else None


def test_the_world_runs_on_servers_that_it_knows_by_address(
    elsewhere: Stack, tmp_path: Path
) -> None:
    name = f"c{uuid.uuid4().hex[:6]}"
    assert f"environment {name}: teei_{name}, teei_{name}_staging" in command(
        elsewhere, "--name", name, "seed"
    )
    made = environments.load(elsewhere, name)
    try:
        with served(elsewhere):
            wanted = [
                f"{elsewhere.world_url}/environments",
                f"{elsewhere.webhook_url}/notices/{name}",
                f"{made.url('analytics')}/health",
                f"{made.url('analytics', environments.STAGING)}/health",
            ]
            deadline = time.monotonic() + PATIENCE
            while missing := [url for url in wanted if answers(url) is None]:
                assert time.monotonic() < deadline, missing
                time.sleep(0.2)
            metrics = answers(f"{elsewhere.world_url}/metrics/{made.namespace}/pods")
            assert metrics is not None
            assert all(f'service="{service}"' in metrics.text for service in NAMES)

            release, overlay = map(Path, command(elsewhere, "--name", name, "release").split())
        assert len(yaml.safe_load(release.read_text())["images"]) == len(NAMES)
        plan = load_plan(CHECKOUT / "plans" / "teei-production.yaml", overlay)
        assert (plan.environment, plan.metrics.url) == (name, elsewhere.prometheus_url)
        assert plan.notices.webhook == f"{elsewhere.webhook_url}/notices/{name}"
    finally:
        environments.destroy(elsewhere, name)


def test_the_past_is_written_without_any_server(tmp_path: Path) -> None:
    file = tmp_path / "history.openmetrics"
    subprocess.run(
        [sys.executable, "-m", "devstack.world.compose", "history", str(file)],
        env={"PATH": os.environ["PATH"]},
        cwd=CHECKOUT,
        check=True,
    )
    with file.open() as lines:
        assert next(lines) == "# TYPE http_requests counter\n"


def test_without_addresses_the_world_says_what_it_needs() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "devstack.world.compose", "seed"],
        env={"PATH": os.environ["PATH"]},
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: Set DEVSTACK_TEMPORAL_ADDRESS, ")
