"""What an operator asks about builds: `versions`, `current`, `move`."""

import asyncio
import json
import time
from dataclasses import asdict

from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.envconfig import ClientConfig
from temporalio.service import RPCError

from slipway.errors import BadInput, Unreachable
from worker.builds import Build, Builds, Run, refused

_PATIENCE = 10.0
_LOOK = 0.5


async def versions(task_queue: str, *, as_json: bool) -> None:
    """Print which builds exist, which is current or drained, and how many runs each has."""
    builds = Builds(await connect(), task_queue)
    found, without = await builds.listed(), await builds.without()
    if as_json:
        listed = [{**asdict(one), "since": one.since.isoformat()} for one in found]
        print(
            json.dumps({"task_queue": task_queue, "builds": listed, "without": without}, indent=2)
        )
        return
    rows = [_row(one) for one in found]
    if without:
        rows.append(("(no build)", "", "", str(without)))
    for line in _table([("BUILD", "STATE", "SINCE", "RUNNING"), *rows]):
        print(line)


async def current(task_queue: str, build_id: str) -> None:
    """Make a build the current one, and print what that means."""
    builds = Builds(await connect(), task_queue)
    before = await builds.make_current(build_id)
    if before == build_id:
        print(f"Build {build_id} was current already.")
        return
    print(f"Build {build_id} is current: new runs on {task_queue} begin on it.")
    if before:
        print(f"Runs that began on {before} stay there: keep its workers until it is drained.")
    print("Next: python -m worker versions")


async def move(task_queue: str, name: str, build_id: str) -> None:
    """Move one run to another build, and print where it was, where it is, and what is next."""
    builds = Builds(await connect(), task_queue)
    run = await builds.find(name)
    print(f"{run.workflow_id} (run {run.run_id}) was on {_place(run.build_id or run.on_its_way)}.")
    if run.build_id == build_id and not run.on_its_way:
        print("It stays there.")
        return
    await builds.move(run, build_id)
    arrived = await _arrived(builds, run, build_id)
    if arrived:
        print(f"It is on {_place(build_id)}, and has done its first step there.")
        print(f"Next: slipway status {name}")
        return
    print(f"Its next step goes to {_place(build_id)}; none was done there yet.")
    print(
        "That is usual where it waits for a person or a timer. Where it does not wait, a worker of"
    )
    print("the build must run: look at its log, at the run in the Temporal UI, and:")
    print(f"slipway why {name}")


async def connect() -> Client:
    """Connect as Temporal's environment configuration says. Raises Unreachable or BadInput."""
    try:
        config = ClientConfig.load_client_connect_config()
    except (RuntimeError, ValueError, OSError) as error:
        said = str(error)[:200]
        raise BadInput(
            f"Temporal's configuration cannot be read: {said}.",
            "Correct TEMPORAL_* or temporal.toml.",
        ) from None
    config.setdefault("target_host", "localhost:7233")
    try:
        async with asyncio.timeout(_PATIENCE):
            return await Client.connect(**config, data_converter=pydantic_data_converter)
    except RPCError as error:
        raise refused(error) from None
    except (TimeoutError, RuntimeError):
        raise Unreachable(
            f"Temporal at {config['target_host']} does not answer.",
            "Check TEMPORAL_ADDRESS and that the server runs.",
        ) from None


async def _arrived(builds: Builds, run: Run, build_id: str) -> bool:
    """Wait for a moment; whether a step was done on the build. A run may end by that step."""
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        now = await builds.again(run)
        if now is None or (now.build_id == build_id and not now.on_its_way):
            return True
        await asyncio.sleep(_LOOK)
    return False


def _place(build_id: str) -> str:
    return f"build {build_id}" if build_id else "no build"


def _row(one: Build) -> tuple[str, str, str, str]:
    return (one.build_id, one.state.value, f"{one.since:%Y-%m-%d %H:%M} UTC", str(one.running))


def _table(rows: list[tuple[str, str, str, str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
