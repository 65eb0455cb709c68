"""`python -m devstack.demo`: stack up, workers up, a release, people, a look from outside."""

import argparse
import sys
import time

from devstack import up
from devstack.demo import fresh, show, troubles, workers
from devstack.demo.expected import unexpected
from devstack.demo.run import UNREACHABLE, Wish, carry_out
from devstack.demo.wishes import interrupted, wished
from devstack.errors import StackError
from devstack.stack import Stack

QUEUE = "slipway"
ENVIRONMENT = "demo"
EXIT_DISAGREES = 1
EXIT_INTERRUPTED = 130


def main() -> int:
    """Run the demo; 0 only if it ended as it should and the world agrees."""
    arguments = _parser().parse_args()
    began = time.monotonic()
    try:
        wish, allowed = (
            wished(arguments.fault) if arguments.kill is None else interrupted(arguments.kill)
        )
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    try:
        stack = up.up()
        made = fresh.environment(stack, ENVIRONMENT)
        workers.start(stack, QUEUE, programs=troubles.programs(wish.trouble, stack))
        show.opening(stack, made, wish)
        try:
            ending = carry_out(stack, made, wish, QUEUE)
        finally:
            _put_right(stack, wish)
    except StackError as error:
        print(f"error: {error}", file=sys.stderr)
        return UNREACHABLE
    except KeyboardInterrupt:
        print("interrupted; the deployment goes on: `make demo` begins anew", file=sys.stderr)
        return EXIT_INTERRUPTED
    wrong = [*ending.wrong, *unexpected(ending, allowed)]
    show.closing(stack, made, ending, wrong, time.monotonic() - began)
    return EXIT_DISAGREES if wrong else 0


def _put_right(stack: Stack, wish: Wish) -> None:
    """What the demo broke in the shared stack serves again, however the demo ended."""
    if wish.trouble.outage is not None:
        up.up()
    if wish.trouble.damaged_dump:
        workers.start(stack, QUEUE)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m devstack.demo", description=main.__doc__)
    either = parser.add_mutually_exclusive_group()
    either.add_argument(
        "--fault",
        metavar="SERVICE:FAULT",
        help="such as analytics:errors3, migration:fails, gate:trivy or staging:unhealthy; "
        "`python -m devstack faults` lists them",
    )
    either.add_argument(
        "--kill",
        metavar="SEED",
        type=int,
        help="a good release, and ten interruptions of workers and servers that SEED chooses",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
