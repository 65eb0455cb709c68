"""`python -m worker [--role ROLE]` runs a worker until SIGTERM; its commands manage builds."""

import argparse
import asyncio
import logging
import os
import sys
from collections.abc import Coroutine
from typing import Any

from slipway.errors import SlipwayError, Unreachable
from worker.logs import log_to_stderr
from worker.settings import Role, read_build_id, read_settings, read_task_queue

_FAILED = 1
_BAD_INPUT = 2
_UNREACHABLE = 8


def main() -> int:
    """Run a worker or a command, and return the process's exit code."""
    arguments = _parser().parse_args()
    log_to_stderr(_level())
    try:
        asyncio.run(_work(arguments))
    except SlipwayError as error:
        _say(arguments.command, error)
        return _UNREACHABLE if isinstance(error, Unreachable) else _BAD_INPUT
    except Exception:
        logging.getLogger("worker").exception("The worker failed.")
        return _FAILED
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m worker",
        description="Serve slipway's workflows and activities; without a command: until SIGTERM.",
        epilog="Settings come from the environment: SLIPWAY_TASK_QUEUE, SLIPWAY_ARTIFACTS, "
        "SLIPWAY_PG_BIN, SLIPWAY_ROLE, SLIPWAY_METRICS, SLIPWAY_HEALTH, SLIPWAY_BUILD_ID, "
        "SLIPWAY_GRACE, SLIPWAY_LOG, TEMPORAL_*, KUBECONFIG, AWS_*, and what the plan refers to.",
    )
    parser.add_argument("--role", choices=[role.value for role in Role], help="default: all")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    listing = commands.add_parser("versions", help="which builds exist, and how many runs each has")
    listing.add_argument("--json", action="store_true", help="print JSON")
    making = commands.add_parser("current", help="let new runs begin on a build")
    moving = commands.add_parser("move", help="move one running deployment to another build")
    moving.add_argument("name", help="a deployment's ID, an environment, or a workflow ID")
    for one in (making, moving):
        one.add_argument("--build-id", required=True, help="as a worker's SLIPWAY_BUILD_ID")
    return parser


def _work(arguments: argparse.Namespace) -> Coroutine[Any, Any, None]:
    """Return what was asked for. Importing Temporal takes a second: settings come first."""
    if arguments.command is None:
        settings = read_settings(os.environ, arguments.role)
        from worker.serve import serve

        return serve(settings)
    queue = read_task_queue(os.environ)
    build_id = "" if arguments.command == "versions" else read_build_id(arguments.build_id)
    from worker import commands

    if arguments.command == "versions":
        return commands.versions(queue, as_json=arguments.json)
    if arguments.command == "current":
        return commands.current(queue, build_id)
    return commands.move(queue, arguments.name, build_id)


def _say(command: str | None, error: SlipwayError) -> None:
    """A worker's log has its form; a person who gave a command gets a sentence."""
    if command is None:
        logging.getLogger("worker").error("%s", error)
    else:
        sys.stderr.write(f"error: {error}\n")


def _level() -> str:
    level = os.environ.get("SLIPWAY_LOG", "INFO").upper()
    return level if level in logging.getLevelNamesMapping() else "INFO"


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    logging.shutdown()
    # The interpreter is not taken down: threads of the Temporal core that still hold its state
    # would abort the process, and its exit code with it.
    os._exit(code)
