"""The README's commands are run as they stand.

`make` lines are not run here (they start the stack, a demo, or these very tests): their targets
and faults must exist. Blocks in another language than `sh` need a real cluster or a running demo.
"""

import re
import subprocess
from pathlib import Path

import pytest

from devstack.demo.interruptions import schedule
from devstack.world.expectations import ends

ROOT = Path(__file__).resolve().parents[2]
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", (ROOT / "README.md").read_text(), re.M | re.S)
TARGETS = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
SECONDS = 600


def is_make(line: str) -> bool:
    return line.startswith("make ")


MAKE_LINES = [line for block in BLOCKS for line in block.splitlines() if is_make(line)]
RUN = [block for block in BLOCKS if not any(is_make(line) for line in block.splitlines())]


def test_the_readme_names_its_two_commands() -> None:
    lines = [line.partition("#")[0].strip() for line in MAKE_LINES]

    assert {"make demo", "make test"} <= set(lines)


@pytest.mark.parametrize("line", MAKE_LINES)
def test_targets_and_faults_of_make_lines_exist(line: str) -> None:
    _, target, *settings = line.partition("#")[0].split()

    assert target in TARGETS
    for setting in settings:
        name, _, value = setting.partition("=")
        if name == "KILL":
            assert schedule(int(value))
            continue
        assert name == "FAULT"
        service, _, fault = value.partition(":")
        assert ends(service, fault)


def test_there_are_blocks_to_run() -> None:
    assert RUN


@pytest.mark.parametrize("block", RUN, ids=lambda block: block.split("\n", 1)[0][:60])
def test_block_runs(block: str) -> None:
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
