"""`python -m worker [--role workflow|privileged|all]`: run a worker until SIGTERM."""

import argparse
import asyncio
import logging
import os

from slipway.errors import SlipwayError
from worker.logs import log_to_stderr
from worker.settings import Role, read_settings

_BAD_INPUT = 2
_FAILED = 1


def main() -> int:
    """Run a worker and return the process's exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m worker",
        description="Serve slipway's workflows and activities.",
        epilog="Settings come from the environment: SLIPWAY_TASK_QUEUE, SLIPWAY_ARTIFACTS, "
        "SLIPWAY_PG_BIN, SLIPWAY_ROLE, SLIPWAY_METRICS, SLIPWAY_BUILD_ID, SLIPWAY_GRACE, "
        "SLIPWAY_LOG, TEMPORAL_*, KUBECONFIG, AWS_*, and the references of the plan.",
    )
    parser.add_argument("--role", choices=[role.value for role in Role], help="default: all")
    arguments = parser.parse_args()
    log_to_stderr(_level())
    try:
        settings = read_settings(os.environ, arguments.role)
        from worker.serve import serve  # importing Temporal takes a second: settings come first

        asyncio.run(serve(settings))
    except SlipwayError as error:
        logging.getLogger("worker").error("%s", error)
        return _BAD_INPUT
    except Exception:
        logging.getLogger("worker").exception("The worker failed.")
        return _FAILED
    return 0


def _level() -> str:
    level = os.environ.get("SLIPWAY_LOG", "INFO").upper()
    return level if level in logging.getLevelNamesMapping() else "INFO"


if __name__ == "__main__":
    code = main()
    logging.shutdown()
    # The interpreter is not taken down: threads of the Temporal core that still hold its state
    # would abort the process, and its exit code with it.
    os._exit(code)
