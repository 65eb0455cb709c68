"""Stable names: workflow types, IDs, task queues, search attributes, memo fields."""

from datetime import UTC, datetime

DEPLOYMENT_TYPE = "ProductionDeployment"
ROLLBACK_TYPE = "Rollback"
AFTERCARE_TYPE = "Aftercare"
FALLBACK_TYPE = "Fallback"
REPORT_TYPE = "Report"
DOCTOR_TYPE = "Doctor"
FIND_TYPE = "FindDeployments"
LIST_BACKUPS_TYPE = "ListBackups"
VERIFY_BACKUP_TYPE = "VerifyBackup"
RESTORE_BACKUP_TYPE = "RestoreBackup"
TIDY_TYPE = "TidyBackups"
OBSERVE_TYPE = "Observe"
REAPPLY_TYPE = "ReapplyRows"

DEFAULT_TASK_QUEUE = "slipway"
MEMO_KEY = "slipway"
"""Memo field with the short status, readable while no worker runs."""

OBSERVE_MEMO = "slipway-observe"
"""Memo field with the short status of an observer."""

SEARCH_DEPLOYMENT = "SlipwayDeployment"
SEARCH_ENVIRONMENT = "SlipwayEnvironment"
SEARCH_RELEASE = "SlipwayRelease"
SEARCH_PHASE = "SlipwayPhase"
SEARCH_OUTCOME = "SlipwayOutcome"
SEARCH_WAITING_FOR = "SlipwayWaitingFor"


def privileged(task_queue: str) -> str:
    """Return the queue of the activities that hold production credentials."""
    return f"{task_queue}-privileged"


def observing(task_queue: str) -> str:
    """Return the queue of the worker that observes: it holds no right to write anything."""
    return f"{task_queue}-observe"


def worker_deployment(task_queue: str) -> str:
    """Return what Temporal calls all builds of the worker of a queue. It allows no dot there."""
    return task_queue.replace(".", "-")


def deployment_workflow_id(environment: str) -> str:
    """Return the workflow ID that lets one deployment or rollback an environment run at a time."""
    return f"deploy-{environment}"


def aftercare_workflow_id(deployment: str) -> str:
    """Return the workflow ID of a deployment's aftercare."""
    return f"aftercare-{deployment}"


def fallback_workflow_id(deployment: str) -> str:
    """Return the workflow ID of what a deployment keeps for taking its data back."""
    return f"fallback-{deployment}"


def observe_workflow_id(environment: str) -> str:
    """Return the workflow ID that lets an environment be observed once at a time."""
    return f"observe-{environment}"


def environment_of_workflow(workflow_id: str) -> str:
    """Return the environment that a workflow is about (a deployment, rollback, aftercare, fallback
    or observing); "" for others."""
    kind, _, rest = workflow_id.partition("-")
    if kind in ("deploy", "observe"):
        return rest
    try:
        return environment_of(rest) if kind in ("aftercare", "fallback") else ""
    except ValueError:
        return ""


def deployment_id(environment: str, at: datetime, token: str) -> str:
    """Return `<environment>-<UTC>-<6 hex>`, unique for ever. `token` gives the hex digits."""
    return f"{environment}-{at.astimezone(UTC).strftime('%Y%m%dT%H%M%SZ')}-{token[:6].lower()}"


def environment_of(deployment: str) -> str:
    """Return the environment part of a deployment's ID. Raises ValueError for anything else."""
    head, _, tail = deployment.rpartition("-")
    environment, _, stamp = head.rpartition("-")
    if len(tail) != 6 or not stamp.endswith("Z") or not environment:
        raise ValueError(f"{deployment!r} is not a deployment's ID")
    return environment
