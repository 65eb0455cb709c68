"""`python -m benchmarks.judgement`: the shipped detector on simulated deployments.

    python -m benchmarks.judgement                       all rows; resumes where it was stopped
    python -m benchmarks.judgement --quick               fewer runs; the table says how many
    python -m benchmarks.judgement --rows 1 --rows 6     some rows
    python -m benchmarks.judgement --so-far              what was measured, without new runs

Beside it, on the same traffic: the playbook's rule read literally, rate[1m], Flagger, Argo Rollouts
and the plain rule b6s. Ends with 1 when a target is missed; a simulation or a baseline that does
not do what it claims ends it with an error.
"""

import argparse
import os
import platform
import shlex
import sys
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.judgement import claims, gaps, versus
from benchmarks.judgement.measures import SHORT
from benchmarks.judgement.results import SEED, Found, found, measure, version
from benchmarks.judgement.rows import STRESS, rows
from benchmarks.judgement.table import Line, document, line, rendered

WORK = Path(".bench/judgement")
QUICK = 400
NUMBERS = ("1", "6", "2", "3", "4", "5", "8", "7", "9", "10", STRESS)


def main(arguments: list[str] | None = None) -> int:
    """Simulate, judge, print the table and keep it; 1 when a target is missed."""
    options = _parser().parse_args(arguments)
    wanted = options.rows or list(NUMBERS)
    needed = {*wanted, *(versus.NEEDS if "10" in wanted else ())}
    chosen = [row for row in rows() if row.number in needed]
    results = _measured(options, list(dict.fromkeys(name for row in chosen for name in row.cells)))
    checked = claims.check(results)
    complete = [row for row in chosen if results.keys() >= set(row.cells)]
    lines = [line(row, results) for row in complete if row.number in wanted]
    if "10" in wanted and all(row in complete for row in chosen if row.number in versus.NEEDS):
        lines += versus.lines(results)
    if "9" in wanted:
        lines += gaps.lines(options.seed, QUICK if options.quick else None)
    lines.sort(key=_order)
    print(rendered(lines))
    print(f"{checked} checks of traffic and baselines held.")
    if len(complete) < len(chosen):
        print(f"{len(chosen) - len(complete)} rows are not measured yet.")
    if options.json:
        options.json.write_text(document(lines, _about(options)))
        options.json.with_suffix(".md").write_text(rendered(lines))
    return int(any(one.h3.verdict == SHORT for one in lines))


def _measured(options: argparse.Namespace, names: list[str]) -> dict[str, Found]:
    most = QUICK if options.quick else None
    folder = options.work / version(options.seed)
    if not options.so_far:
        say = partial(print, file=sys.stderr, flush=True)
        measure(names, folder, options.seed, most, options.processes, say)
    each = {name: found(name, folder, most, complete=not options.so_far) for name in names}
    return {name: one for name, one in each.items() if one is not None}


def _order(one: Line) -> tuple[int, float]:
    return (int(one.number) if one.number.isdigit() else 99, one.interval)


def _about(options: argparse.Namespace) -> dict[str, object]:
    return {
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "seed": options.seed,
        "measured_by": version(options.seed),
        "quick": options.quick,
        "command": shlex.join(["python", "-m", "benchmarks.judgement", *sys.argv[1:]]),
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.judgement", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--rows", action="append", choices=NUMBERS, help="may be repeated")
    parser.add_argument("--quick", action="store_true", help=f"at most {QUICK} runs of each cell")
    parser.add_argument(
        "--so-far", action="store_true", help="no new runs: the table of those there are"
    )
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--work", type=Path, default=WORK, help="where shards are kept")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the figures here")
    return parser


if __name__ == "__main__":
    sys.exit(main())
