"""Running activities: on the queue of their rights, several side by side, or to the end whatever
happens meanwhile."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.exceptions import ActivityError
from temporalio.workflow import ActivityCancellationType

with workflow.unsafe.imports_passed_through():
    from slipway import names

from workflows.options import Options

T = TypeVar("T")


@dataclass(frozen=True)
class Call:
    """One activity to run."""

    method: Callable[..., Awaitable[Any]]
    argument: Any
    options: Options
    summary: str
    privileged: bool = True


def start_activity(call: Call) -> workflow.ActivityHandle[Any]:
    """Start an activity on the queue of its rights."""
    queue = workflow.info().task_queue
    return workflow.start_activity_method(
        call.method,
        call.argument,
        task_queue=names.privileged(queue) if call.privileged else queue,
        start_to_close_timeout=call.options.start_to_close,
        schedule_to_close_timeout=call.options.schedule_to_close,
        schedule_to_start_timeout=call.options.schedule_to_start,
        heartbeat_timeout=call.options.heartbeat,
        retry_policy=call.options.retry,
        cancellation_type=ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        summary=call.summary,
    )


async def end_of(handle: workflow.ActivityHandle[Any]) -> None:
    """Cancel an activity and wait until it has ended, however it ends."""
    handle.cancel()
    try:
        await handle
    except (ActivityError, asyncio.CancelledError):
        return


async def all_of(parts: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Run parts side by side; the first failure ends the others before it is raised."""
    tasks = [asyncio.create_task(part) for part in parts]
    try:
        if tasks:
            await workflow.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        for task in tasks:  # a part that waits for a person must not hold up another's failure
            if task.done():
                task.result()
        return [await task for task in tasks]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def unstoppable(work: Coroutine[Any, Any, T]) -> T:
    """Carry work to its end although the workflow is cancelled meanwhile: a rollback or the
    handing over that is cut off in the middle leaves production half done."""
    task = asyncio.create_task(work)
    while True:
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():
                raise
