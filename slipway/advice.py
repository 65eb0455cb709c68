"""What a person does next, one imperative sentence for each reason."""

from slipway.verdicts import Reason

ADVICE: dict[Reason, str] = {
    Reason.GATE_FAILED: "Repair the evidence named above, then start again.",
    Reason.STAGING_NOT_STABLE: "Bring staging to rest, let it run its full soak, then start again.",
    Reason.ENVIRONMENT_NOT_READY: "Do what each sentence asks, look with doctor, start again.",
    Reason.MIGRATION_REFUSED: "Correct the migration or its place in staging, then start again.",
    Reason.BACKUP_FAILED: "Look at database, disk and bucket; without a backup nothing is changed.",
    Reason.BACKUP_NOT_RESTORABLE: "Do not deploy: find out why the restored copy differs first.",
    Reason.REHEARSAL_FAILED: "Correct the migration for production's data, then start again.",
    Reason.APPROVAL_REJECTED: "Settle it with the approver named above, then start again.",
    Reason.APPROVAL_EXPIRED: "Ask the approvers, then start again: approvals are not carried over.",
    Reason.WINDOW_CLOSED: "Start again so that the whole run fits into the window.",
    Reason.ENVIRONMENT_HELD: "Wait for the deployment that holds the environment, or look at it.",
    Reason.MIGRATION_FAILED: "Correct the migration and let it succeed in staging first.",
    Reason.ROLLOUT_DOOMED: "Look at the new pods' last words: image, configuration, resources.",
    Reason.ROLLOUT_TOO_SLOW: "Look for room on the nodes and for slow readiness of the new pods.",
    Reason.FOREIGN_CHANGE: "Find out who changed it meanwhile; slipway never overwrites others.",
    Reason.FENCED: "A later decision came first; look at it before doing anything by hand.",
    Reason.POD_RESTARTING: "Read the container's log from before its restart.",
    Reason.OUT_OF_MEMORY: "Raise the memory limit or find the leak before trying again.",
    Reason.UNHEALTHY: "Read the service's log; its health body says what it misses.",
    Reason.CRITICAL_FUNCTION_BROKEN: "Repeat the failed request by hand against the new version.",
    Reason.SMOKE_FLOW_BROKEN: "Repeat the failed step of the flow by hand.",
    Reason.ERROR_RATE_TOO_HIGH: "Group the failed requests by route and read their log lines.",
    Reason.ERROR_RATE_RAISED: "Decide: retry watches again, rollback takes the release back.",
    Reason.LATENCY_TOO_HIGH: "Decide: retry watches again, rollback takes the release back.",
    Reason.TOO_MANY_CONNECTIONS: "Look for leaking pools before deciding.",
    Reason.EXTERNAL_CALLS_FAILING: "Ask the provider's status page before blaming the release.",
    Reason.ERRORS_IN_LOGS: "Read the error lines of the named class.",
    Reason.DATA_CORRUPTION: "Stop writers if you can; compare before anything is overwritten.",
    Reason.TOO_LITTLE_TRAFFIC: "Retry when there is more traffic, or decide by hand.",
    Reason.NOTHING_TO_READ: "Bring back what could not be read (metrics, logs), then retry.",
    Reason.ABORTED: "Resume it, or take back what it changed.",
    Reason.ROLLBACK_REQUESTED: "Ask who asked for it before trying again.",
    Reason.CANCELLED: "Ask who cancelled the workflow before trying again.",
    Reason.STEP_OUT_OF_ATTEMPTS: "Repair what the sentence names, then retry the step.",
    Reason.DEADLINE_PASSED: "Nobody answered in time: see that notices reach the people on call.",
    Reason.FALLBACK_LOST: "Decide: back to the backup without the later writes, or leave it.",
    Reason.FALLBACK_DIFFERS: "Look at the rows, then decide: swap the copy in, or leave it.",
    Reason.ROLLBACK_FAILED: "Put back by hand what is named above; nothing else will.",
    Reason.OK: "",
}
"""One imperative sentence for each reason: what a person does next."""

_AFTERWARDS: dict[Reason, str] = {
    Reason.ABORTED: "Ask who stopped it before trying again.",
    Reason.BACKUP_FAILED: "Repair what the sentence names, then start again.",
    Reason.ERROR_RATE_RAISED: "Group the failed requests by route before trying again.",
    Reason.LATENCY_TOO_HIGH: "Compare slow requests of both versions before trying again.",
    Reason.TOO_MANY_CONNECTIONS: "Look for leaking pools before trying again.",
    Reason.TOO_LITTLE_TRAFFIC: "Try again at an hour with more traffic.",
    Reason.NOTHING_TO_READ: "Bring back what could not be read before trying again.",
    Reason.STEP_OUT_OF_ATTEMPTS: "Repair what the sentence names, then start again.",
}


def afterwards(reason: Reason) -> str:
    """Return the advice for a run that has ended: nothing of it can be retried or decided."""
    return _AFTERWARDS.get(reason, ADVICE[reason])
