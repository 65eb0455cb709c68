"""The edge of every command: one sentence and an exit code instead of a traceback."""

import os
import sys
from collections.abc import Awaitable, Callable
from typing import NoReturn

import typer

OK = 0
REFUSED = 2
WAITING = 7
UNREACHABLE = 8
_BUG = 1
_INTERRUPTED = 130


class Stop(Exception):
    """End the command with an exit code and one sentence that holds a remedy."""

    def __init__(self, code: int, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


def finish(work: Callable[[], int | Awaitable[int]]) -> NoReturn:
    """Do a command's work and leave with its exit code. Failures become one sentence on stderr;
    SLIPWAY_DEBUG=1 shows the traceback as well."""
    try:
        code = _do(work)
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("Interrupted; whatever runs on the worker goes on.", file=sys.stderr)
        code = _INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = OK
    except Exception as error:
        code = _tell(error)
    raise typer.Exit(code)


def leave(end: SystemExit) -> NoReturn:
    """End the process with its exit code.

    Where the Temporal client was loaded, the interpreter is not taken down: threads of the client's
    core that still hold its state would abort the process, and its exit code with it.
    """
    if "temporalio" not in sys.modules:
        raise end
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(end.code if isinstance(end.code, int) else OK if end.code is None else _BUG)


def _do(work: Callable[[], int | Awaitable[int]]) -> int:
    done = work()
    if isinstance(done, int):
        return done
    import asyncio  # a twentieth of a second that `--help` and `check` need not pay

    return asyncio.run(_await(done))


async def _await(work: Awaitable[int]) -> int:
    return await work


def _tell(error: Exception) -> int:
    if os.environ.get("SLIPWAY_DEBUG"):
        import traceback

        traceback.print_exception(error)
    from starter.failures import explain_failure

    code, sentence = explain_failure(error) or (_BUG, _bug(error))
    print(f"slipway: {sentence}", file=sys.stderr)
    return code


def _bug(error: Exception) -> str:
    return (
        f"Unexpected {type(error).__name__}: {error}. This is a bug in slipway; "
        "run the command again with SLIPWAY_DEBUG=1 and report what it prints."
    )
