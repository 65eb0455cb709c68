"""`python -m worker` with other workflow code: `SLIPWAY_TEST_CODE=broken|fixed` chooses which.

The code goes by the name of the production type. Activities, settings, metrics and versioning are
the worker's own.
"""

import os
from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError

from slipway import names

with workflow.unsafe.imports_passed_through():
    import worker.registry
    from activities.notices import Announcements
    from slipway.messages.notice import SendNotice
    from worker.__main__ import main


async def _announced(request: SendNotice) -> str:
    """Send a notice as a run does, though with less patience."""
    try:
        await workflow.execute_activity_method(
            Announcements.send,
            request,
            start_to_close_timeout=timedelta(seconds=60),
            retry_policy=RetryPolicy(timedelta(milliseconds=100), maximum_attempts=3),
        )
    except ActivityError:
        return "nobody was told"
    return "told"


@workflow.defn(name=names.DEPLOYMENT_TYPE)
class Broken:
    """Fails after its first steps, as code does that was released too early."""

    @workflow.run
    async def run(self, request: SendNotice) -> str:
        """Announce, then stumble."""
        await _announced(request)
        raise RuntimeError("this code is broken")


@workflow.defn(name=names.DEPLOYMENT_TYPE)
class Fixed:
    """Does the same, and comes to an end."""

    @workflow.run
    async def run(self, request: SendNotice) -> str:
        """Announce, then end."""
        return await _announced(request)


if __name__ == "__main__":
    code: type = {"broken": Broken, "fixed": Fixed}[os.environ["SLIPWAY_TEST_CODE"]]
    worker.registry.workflows = lambda: [code]
    os._exit(main())  # as the worker's own entry does
