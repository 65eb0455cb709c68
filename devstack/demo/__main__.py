"""`python -m devstack.demo`: stack up, workers up, a release, people, a look from outside."""

import argparse
import sys
import time

from devstack import up
from devstack.demo import fresh, show, workers
from devstack.demo.run import Ending, Wish, carry_out
from devstack.errors import StackError
from devstack.world.expectations import End, ends

QUEUE = "slipway"
ENVIRONMENT = "demo"
EXIT_DISAGREES = 1
SICK_IN_STAGING = "analytics"
"""The service that has the fault of `staging:<fault>`."""


def main() -> int:
    """Run the demo; 0 only if it ended as it should and the world agrees."""
    arguments = _parser().parse_args()
    began = time.monotonic()
    try:
        wish, allowed = wished(arguments.fault)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    try:
        stack = up.up()
        made = fresh.environment(stack, ENVIRONMENT)
        workers.start(stack, QUEUE)
        show.opening(stack, wish)
        ending = carry_out(stack, made, wish, QUEUE)
    except StackError as error:
        print(f"error: {error}", file=sys.stderr)
        return 8
    wrong = [*ending.wrong, *_unexpected(ending, allowed)]
    show.closing(stack, made, ending, wrong, time.monotonic() - began)
    return EXIT_DISAGREES if wrong else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m devstack.demo", description=main.__doc__)
    parser.add_argument(
        "--fault",
        metavar="SERVICE:FAULT",
        help="such as analytics:errors3, migration:fails, gate:trivy or staging:unhealthy; "
        "`python -m devstack faults` lists them",
    )
    return parser


def wished(fault: str | None) -> tuple[Wish, list[End]]:
    """Return what to deploy for a fault as the command line names it, and how that may end.

    Raises ValueError for one that does not exist.
    """
    if fault is None:
        return Wish(), [End("deployed", 0, ("Ok",), 7200.0)]
    service, colon, name = fault.partition(":")
    if not colon:
        raise ValueError(f"{fault!r} is no fault: write SERVICE:FAULT, such as analytics:errors3")
    allowed = ends(service, name)
    match service:
        case "migration":
            return Wish(pending=name), allowed
        case "gate":
            return Wish(gate=name), allowed
        case "staging":
            return Wish(staging_fault=(SICK_IN_STAGING, name)), allowed
    return Wish(faults={service: name}), allowed


def _unexpected(ending: Ending, allowed: list[End]) -> list[str]:
    """Return a sentence when outcome, reason and exit code are not among what is expected."""
    seen = (ending.outcome, ending.reason, ending.code)
    parked = {str((one["verdict"] or {}).get("reason")) for one in ending.parked}
    for end in allowed:
        if end.outcome == "running" and parked & set(end.reasons):
            return []  # it parked as expected; the demo's operator then had it rolled back
        if end.outcome == seen[0] and seen[1] in end.reasons and end.exit_code == seen[2]:
            return []
    wanted = "; ".join(
        f"{end.outcome}, {'/'.join(end.reasons)}, {end.exit_code}" for end in allowed
    )
    return [f"it ended {seen[0]}, {seen[1]}, exit {seen[2]}; expected {wanted}"]


if __name__ == "__main__":
    sys.exit(main())
