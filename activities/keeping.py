"""Starts the workflow that keeps what a rollback of the database needs.

Not as a child of the deployment: it outlives that one however it ends, and nothing of the
deployment waits for it.
"""

from temporalio import activity
from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes

from slipway import names
from slipway.messages.fallback import FallbackRequest


class Keeping:
    """Starts `Fallback`, one a deployment."""

    @activity.defn(name="fallback.keep")
    async def keep(self, request: FallbackRequest) -> None:
        """Start it, or hand the newer backup to the one that runs. Doing it again changes
        nothing."""
        known = {
            names.SEARCH_DEPLOYMENT: request.deployment,
            names.SEARCH_ENVIRONMENT: request.plan.environment,
            names.SEARCH_RELEASE: request.release,
        }
        await activity.client().start_workflow(
            names.FALLBACK_TYPE,
            request,
            id=names.fallback_workflow_id(request.deployment),
            task_queue=activity.info().task_queue,
            start_signal="replace",
            start_signal_args=[request.backup],
            search_attributes=TypedSearchAttributes(
                [
                    SearchAttributePair(SearchAttributeKey.for_keyword(name), value)
                    for name, value in known.items()
                ]
            ),
            static_summary=f"What a rollback of {request.release} needs",
        )
