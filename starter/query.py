"""Questions to a workflow, asked again where its worker stood still over one."""

import asyncio
from typing import TYPE_CHECKING, Any

from starter import patience

if TYPE_CHECKING:
    from temporalio.client import WorkflowHandle

_STOOD_STILL = "TMPRL1101"
"""The SDK's name for workflow code that does not yield within two seconds, so also for any code on
a machine that stood still for so long. The next answer may be a good one."""
_PAUSE = 0.2


async def query(
    handle: "WorkflowHandle[Any, Any]", name: str, *arguments: Any, result_type: type | None = None
) -> Any:
    """Return the answer to a query.

    Raises TimeoutError when nobody gives one within `patience.ANSWER` seconds;
    WorkflowQueryFailedError when the workflow cannot, RPCError and WorkflowQueryRejectedError as
    they come.
    """
    from temporalio.client import WorkflowQueryFailedError

    stood_still: WorkflowQueryFailedError | None = None
    try:
        async with asyncio.timeout(patience.ANSWER):
            while True:
                try:
                    return await handle.query(name, args=arguments, result_type=result_type)
                except WorkflowQueryFailedError as error:
                    if _STOOD_STILL not in str(error):
                        raise
                    stood_still = error
                await asyncio.sleep(_PAUSE)
    except TimeoutError:
        if stood_still is not None:
            raise stood_still from None
        raise
