"""`make bench`: the numbers that need no load, measured here and printed with their targets."""

import asyncio
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

from temporalio.client import WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Replayer

from workflows.registry import WORKFLOWS

ROOT = Path(__file__).resolve().parent.parent
HISTORIES = ROOT / "tests" / "replay" / "histories"
ROUNDS = 7


def main() -> None:
    """Print each number, its target and what it was measured by."""
    name, events, seconds = asyncio.run(replay_of_the_longest())
    print(f"replay of the longest committed history ({name}, {events} events): {seconds:.2f} s")
    print("  target: 0.5 s; median of 7 in this process, sandboxed, pydantic payloads")
    print(f"slipway --help: {command_line():.2f} s")
    print("  target: 0.2 s; median of 7 processes")


async def replay_of_the_longest() -> tuple[str, int, float]:
    """Return name, events and the median time in seconds of replaying the longest history."""
    sizes = {path: len(json.loads(path.read_text())["events"]) for path in HISTORIES.glob("*.json")}
    path = max(sizes, key=lambda one: sizes[one])
    history = WorkflowHistory.from_json(path.stem, path.read_text())
    times = []
    for _ in range(ROUNDS):
        replayer = Replayer(workflows=WORKFLOWS, data_converter=pydantic_data_converter)
        began = time.perf_counter()
        await replayer.replay_workflow(history)
        times.append(time.perf_counter() - began)
    return path.stem, sizes[path], statistics.median(times)


def command_line() -> float:
    """Return the median wall time in seconds of `slipway --help`."""
    program = Path(sys.executable).with_name("slipway")
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        subprocess.run([program, "--help"], check=True, capture_output=True)
        times.append(time.perf_counter() - began)
    return statistics.median(times)


if __name__ == "__main__":
    main()
