"""The numbers that need no server: replay of the longest history, and the command line's start."""

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from temporalio.client import WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Replayer

from benchmarks.figures import Figure, spread
from workflows.registry import WORKFLOWS

ROOT = Path(__file__).resolve().parent.parent
HISTORIES = ROOT / "tests" / "replay" / "histories"
ROUNDS = 7


def measure() -> tuple[list[Figure], list[dict[str, Any]]]:
    """Measure both, seven times each."""
    name, events, replays = asyncio.run(_replays())
    starts = _starts()
    return [
        Figure(
            f"replay of the longest committed history ({events} events)",
            spread(replays),
            "s",
            0.5,
            note="Replayed in this process, sandboxed, pydantic payloads; the command line in "
            "processes of its own.",
        ),
        Figure("`slipway --help`", spread(starts), "s", 0.2),
    ], [{"history": name, "events": events, "replay": replays, "help": starts}]


async def _replays() -> tuple[str, int, list[float]]:
    """Return name and events of the longest history, and the seconds of its replays."""
    sizes = {path: len(json.loads(path.read_text())["events"]) for path in HISTORIES.glob("*.json")}
    path = max(sizes, key=lambda one: sizes[one])
    history = WorkflowHistory.from_json(path.stem, path.read_text())
    times = []
    for _ in range(ROUNDS):
        replayer = Replayer(workflows=WORKFLOWS, data_converter=pydantic_data_converter)
        began = time.perf_counter()
        await replayer.replay_workflow(history)
        times.append(time.perf_counter() - began)
    return path.stem, sizes[path], times


def _starts() -> list[float]:
    """Return wall times in seconds of `slipway --help`."""
    program = Path(sys.executable).with_name("slipway")
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        subprocess.run([program, "--help"], check=True, capture_output=True)
        times.append(time.perf_counter() - began)
    return times
