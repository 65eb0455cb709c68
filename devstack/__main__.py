"""`python -m devstack`: the local stack's command line."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from devstack import build, compose, testing, up
from devstack.errors import StackError
from devstack.products import OF_TESTS, PRODUCTS
from devstack.world import expectations


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0 when it did what it says, 1 with one clear text otherwise."""
    options = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        return command(options)
    except StackError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; `python -m devstack up` goes on from here", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="devstack", description="Real servers on this machine.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, command, text in (
        ("up", _up, "start what does not run yet"),
        ("down", _down, "stop all servers"),
        ("status", _status, "list the servers"),
        ("build", _build, "find or build all programs"),
        ("check", _check, "ask each server whether it serves; starts nothing"),
        ("check-compose", _check_compose, "validate docker-compose.yml without an engine"),
        ("faults", _faults, "list the faults of `make demo FAULT=…` and how each run may end"),
        (
            "sweep",
            _sweep,
            "run the demo for every fault and class of traffic, or N times well",
        ),
    ):
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(command=command)
        if name == "down":
            sub.add_argument("--all", action="store_true", help="delete the data as well")
        if name == "build":
            sub.add_argument("--quiet", action="store_true", help="do not list the programs")
            sub.add_argument("--for-tests", action="store_true", help="and what only tests need")
        if name == "faults":
            sub.add_argument("--json", action="store_true", help="print JSON")
        if name == "sweep":
            _sweep_options(sub)
    return parser


def _sweep_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="PATTERN",
        help="run what fits, such as '*:errors3' or 'gate:*'; may be given several times",
    )
    parser.add_argument(
        "--healthy", type=int, default=0, metavar="N", help="run a good release N times instead"
    )
    parser.add_argument(
        "--resume", action="store_true", help="leave out what agreed in the file of --json"
    )
    parser.add_argument(
        "--jobs", type=int, default=2, choices=range(1, 11), metavar="N", help="runs side by side"
    )
    parser.add_argument(
        "--json", metavar="FILE", type=Path, help="keep the results here, earlier ones as well"
    )


def _up(_: argparse.Namespace) -> int:
    testing.adopt()
    stack = up.up()
    print(f"Temporal UI  {stack.temporal_ui_url}\nPrometheus   {stack.prometheus_url}")
    print(f"source {stack.run_dir}/env    # addresses and credentials for your shell")
    return 0


def _down(options: argparse.Namespace) -> int:
    up.down(everything=options.all)
    return 0


def _status(_: argparse.Namespace) -> int:
    states = up.status()
    for name, pid in states.items():
        print(f"{name:28} {pid if pid is not None else 'dead'}")
    if not states:
        print("no local stack: `make stack` starts one")
    return 0 if states and all(states.values()) else 1


def _build(options: argparse.Namespace) -> int:
    wanted = (*PRODUCTS, *OF_TESTS) if options.for_tests else PRODUCTS
    programs = build.ensure(wanted)
    if options.quiet:
        print(f"all {len(programs)} programs are there")
        return 0
    for name, path in programs.items():
        print(f"{name:28} {path}")
    return 0


def _check(_: argparse.Namespace) -> int:
    troubles = up.check()
    for trouble in troubles:
        print(trouble)
    print("all servers serve" if not troubles else f"{len(troubles)} do not serve")
    return 1 if troubles else 0


def _check_compose(_: argparse.Namespace) -> int:
    print(f"docker-compose.yml is valid: {', '.join(compose.services())}")
    return 0


def _faults(options: argparse.Namespace) -> int:
    found = expectations.everything()
    if options.json:
        print(json.dumps([asdict(one) for one in found], indent=2))
        return 0
    for one in found:
        print(f"{one.fault}  ({one.title})")
        for end in one.ends:
            reasons = " or ".join(end.reasons)
            print(f"    {end.outcome}, exit {end.exit_code}, {reasons}, in {end.within:.0f} s")
    print("Seconds count from the change, before they are divided by the environment's time scale.")
    return 0


def _sweep(options: argparse.Namespace) -> int:
    from devstack.demo import sweep  # the demo's clients take a second to import

    faults = sweep.healthy(options.healthy) or sweep.chosen(options.only)
    if not faults:
        raise StackError("No fault fits: `python -m devstack faults` lists them.")
    if options.resume:
        faults = sweep.left(faults, options.json)
    results = sweep.sweep(faults, jobs=options.jobs, file=options.json, tell=up.say)
    print(f"\n{sweep.table(results)}")
    return 1 if any(one.wrong for one in results) else 0


if __name__ == "__main__":
    sys.exit(main())
