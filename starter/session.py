"""The connection to Temporal and the queue that the worker listens on."""

import asyncio
import os
from typing import TYPE_CHECKING

from slipway import names
from starter import patience
from starter.failures import server_unreachable

if TYPE_CHECKING:
    from temporalio.client import Client

MEMO_PLACE = "slipway-place"
"""Memo field that says where a deployment's record is kept."""


async def connect() -> "Client":
    """Connect as the Temporal environment configuration says (temporal.toml, TEMPORAL_*).

    Raises Stop when no server answers within ten seconds.
    """
    from temporalio.client import Client
    from temporalio.contrib.pydantic import pydantic_data_converter
    from temporalio.envconfig import ClientConfig

    try:
        config = ClientConfig.load_client_connect_config()
    except (RuntimeError, ValueError, OSError) as error:
        raise server_unreachable(f"its configuration cannot be read: {error}.") from None
    config.setdefault("target_host", "localhost:7233")
    try:
        async with asyncio.timeout(patience.CONNECT):
            return await Client.connect(**config, data_converter=pydantic_data_converter)
    except TimeoutError:
        said = f"no answer from {config['target_host']} within {patience.CONNECT:.0f} s."
        raise server_unreachable(said) from None
    except RuntimeError as error:
        raise server_unreachable(f"{config['target_host']}: {_short(error)}.") from None


def task_queue() -> str:
    """Return the queue of the workflow worker."""
    return os.environ.get("SLIPWAY_TASK_QUEUE") or names.DEFAULT_TASK_QUEUE


def _short(error: Exception) -> str:
    """The library's message repeats itself with internals; its first words suffice."""
    text = str(error)
    if "onnection refused" in text:
        return "connection refused"
    return text.splitlines()[0][:200].rstrip(".") if text else type(error).__name__
