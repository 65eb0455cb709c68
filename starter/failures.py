"""From an exception to an exit code and one sentence with a remedy."""

import sys

from starter.guard import REFUSED, UNREACHABLE, Stop

_SERVER = (
    "Check TEMPORAL_ADDRESS and TEMPORAL_NAMESPACE (or temporal.toml), and that the server runs; "
    "the local stack is started by `make stack` and its settings by `. .devstack/env`."
)


_CUT_OFF = (
    "transport error",
    "connection reset",
    "connection closed",
    "broken pipe",
    "versioned transitions, don't match",
)
"""What is left of a call whose server died under it, or began anew while the call waited for news;
its status says UNKNOWN, or that the request was wrong."""


def explain_failure(error: BaseException) -> tuple[int, str] | None:
    """Return exit code and sentence of a failure that is understood; None for a bug."""
    if isinstance(error, Stop):
        return error.code, str(error)
    return _of_slipway(error) or _of_pydantic(error) or _of_temporal(error)


def server_unreachable(because: str) -> Stop:
    """Return the end of a command that found no Temporal server."""
    return Stop(UNREACHABLE, f"The Temporal server cannot be reached: {because} {_SERVER}")


def _of_slipway(error: BaseException) -> tuple[int, str] | None:
    from slipway.errors import SlipwayError, Unreachable

    if isinstance(error, Unreachable):
        return UNREACHABLE, str(error)
    return (REFUSED, str(error)) if isinstance(error, SlipwayError) else None


def _of_pydantic(error: BaseException) -> tuple[int, str] | None:
    from pydantic import ValidationError

    if not isinstance(error, ValidationError):
        return None
    found = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in found["loc"]) or error.title
    return REFUSED, f"{place}: {found['msg']}. Correct the value given for {place}."


def _of_temporal(error: BaseException) -> tuple[int, str] | None:
    if "temporalio" not in sys.modules:
        return None
    from temporalio.client import (
        WorkflowFailureError,
        WorkflowQueryFailedError,
        WorkflowUpdateFailedError,
    )
    from temporalio.service import RPCError

    if isinstance(error, WorkflowUpdateFailedError):
        return REFUSED, f"Refused: {cause_of(error)}"
    if isinstance(error, WorkflowFailureError):
        return _failed(error)
    if isinstance(error, WorkflowQueryFailedError):
        return UNREACHABLE, f"The worker could not answer: {error}. Look at the worker's log."
    return _of_rpc(error) if isinstance(error, RPCError) else None


def _failed(error: BaseException) -> tuple[int, str]:
    """A workflow that failed: servers that did not answer are told apart from refusals."""
    from temporalio.exceptions import ApplicationError

    from slipway.errors import BadInput

    root = root_of(error)
    if isinstance(root, ApplicationError):
        refused = root.non_retryable or root.type == BadInput.__name__
        return (REFUSED if refused else UNREACHABLE), root.message
    return UNREACHABLE, f"The worker did not finish: {cause_of(error)}. Look at the worker's log."


def root_of(error: BaseException) -> BaseException:
    """Return the innermost cause of a Temporal failure."""
    while (cause := getattr(error, "cause", None)) is not None:
        error = cause
    return error


def cause_of(error: BaseException) -> str:
    """Return the innermost message of a Temporal failure."""
    root = root_of(error)
    return str(getattr(root, "message", "") or root)


def is_away(error: BaseException) -> bool:
    """Whether a call failed because the server did not answer, or died under it."""
    from temporalio.service import RPCError, RPCStatusCode

    if not isinstance(error, RPCError):
        return False
    silent = error.status in (RPCStatusCode.UNAVAILABLE, RPCStatusCode.DEADLINE_EXCEEDED)
    return silent or any(words in error.message.lower() for words in _CUT_OFF)


def _of_rpc(error: BaseException) -> tuple[int, str] | None:
    from temporalio.service import RPCError, RPCStatusCode

    if not isinstance(error, RPCError):
        return None
    text = error.message
    if is_away(error):
        return UNREACHABLE, str(server_unreachable(f"{text}."))
    if error.status in (RPCStatusCode.PERMISSION_DENIED, RPCStatusCode.UNAUTHENTICATED):
        return UNREACHABLE, f"The Temporal server refuses you: {text}. Check its API key or TLS."
    if error.status is RPCStatusCode.NOT_FOUND and "amespace" in text:
        return UNREACHABLE, f"{text} Check TEMPORAL_NAMESPACE, or create the namespace."
    if "search attribute" in text.lower():
        return UNREACHABLE, (
            f"{text}. Register slipway's search attributes (Keyword): see "
            "docs/howto/real-cluster.md."
        )
    return REFUSED, f"The Temporal server refused: {text}."
