"""`check` and `start`: nothing is started that the plan itself forbids."""

import json
import secrets
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from slipway import names
from slipway.base import say_length
from slipway.check import CheckReport, review
from slipway.messages.record import Place
from slipway.messages.requests import DeploymentRequest, DeploymentResult, MemoStatus
from slipway.plan import Plan
from slipway.release import Release
from slipway.states import Outcome, Phase
from starter.documents import Documents
from starter.guard import OK, REFUSED, Stop
from starter.lookup import Found, find, find_or_none
from starter.render import clean
from starter.session import MEMO_PLACE, connect, task_queue

if TYPE_CHECKING:
    from temporalio.client import Client
    from temporalio.common import TypedSearchAttributes


def check(documents: Documents, *, as_json: bool) -> int:
    """Print what is known of a plan and a release before any server is asked."""
    plan, release = documents.load()
    report = review(plan, release)
    if as_json:
        print(json.dumps(report.model_dump(mode="json"), indent=2))
    else:
        print("\n".join(clean(line) for line in check_lines(report)))
    return REFUSED if report.blocking else OK


def check_lines(report: CheckReport) -> list[str]:
    """Return the report of `check` as lines."""
    lines = [f"{number:>3}. {step}" for number, step in enumerate(report.sequence, 1)]
    lines += ["", f"Floor: {say_length(report.floor)} of waiting from the first change to the end."]
    lines.append(f"Approve: {report.required} of {', '.join(report.approvers) or 'nobody'}")
    for item, people in report.confirmations.items():
        lines.append(f"Confirm {item}: {', '.join(people) or 'nobody'}")
    lines += ["", "A rollback would:", *[f"  - {one}" for one in report.rollback]]
    if report.findings:
        lines += ["", *[_finding(one.severity, one.place, one) for one in report.findings]]
    blocking = len(report.blocking)
    lines += ["", f"{blocking} finding(s) forbid a start." if blocking else "Nothing forbids it."]
    return lines


def _finding(severity: str, place: str, found: Any) -> str:
    mark = "✘" if severity == "block" else "·"
    return f"{mark} {place}: {found.what} {found.remedy}".rstrip()


async def start(documents: Documents, *, wait: bool, yes: bool, as_json: bool) -> int:
    """Start a deployment and, with `wait`, follow it to its end."""
    plan, release = documents.load()
    report = review(plan, release)
    if report.blocking:
        said = " ".join(f"{one.place}: {one.what} {one.remedy}" for one in report.blocking)
        raise Stop(REFUSED, f"The check forbids a start. {said}")
    _ask(plan, release, report, yes)
    client = await connect()
    deployment = names.deployment_id(plan.environment, datetime.now(UTC), secrets.token_hex(3))
    await _start(client, DeploymentRequest(deployment=deployment, plan=plan, release=release))
    _say_started(deployment, plan, release, as_json)
    if not wait:
        return OK
    from starter.live import follow

    return await follow(await find(client, deployment))


def _ask(plan: Plan, release: Release, report: CheckReport, yes: bool) -> None:
    """In a terminal, have the start confirmed. Nothing is changed before approval anyway."""
    if yes or not sys.stdin.isatty():
        return
    print("\n".join(clean(line) for line in check_lines(report)))
    answer = input(f"Start {release.version} to {plan.environment}? [y/N] ")
    if answer.strip().lower() not in ("y", "yes"):
        raise Stop(REFUSED, "Not started.")


def _say_started(deployment: str, plan: Plan, release: Release, as_json: bool) -> None:
    if as_json:
        started = {
            "id": deployment,
            "workflow_id": names.deployment_workflow_id(plan.environment),
            "environment": plan.environment,
            "release": release.version,
        }
        print(json.dumps(started), flush=True)
        return
    print(f"Started {deployment}: {release.version} to {plan.environment}.")
    print(f"  follow:  slipway watch {deployment}", flush=True)


async def _start(client: "Client", request: DeploymentRequest) -> None:
    from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
    from temporalio.exceptions import WorkflowAlreadyStartedError

    plan, release = request.plan, request.release
    place = Place(
        bucket=plan.backup.bucket,
        prefix=plan.backup.prefix,
        environment=plan.environment,
        deployment=request.deployment,
    )
    try:
        await client.start_workflow(
            names.DEPLOYMENT_TYPE,
            request,
            id=names.deployment_workflow_id(plan.environment),
            task_queue=task_queue(),
            result_type=DeploymentResult,
            id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            memo=first_memo(place, release.version, Phase.PREFLIGHT),
            search_attributes=search_attributes(place, release.version, Phase.PREFLIGHT),
            static_summary=f"{release.version} to {plan.environment}",
            static_details=f"{release.summary}\n\nAsked by {release.requester}. "
            f"Deployment `{request.deployment}`.",
        )
    except WorkflowAlreadyStartedError:
        raise held(plan.environment, await find_or_none(client, plan.environment)) from None


def held(environment: str, holder: Found | None) -> Stop:
    """Return the refusal of a second start: who holds the environment, and where to look."""
    if holder is None:
        return Stop(REFUSED, f"{environment} is held by another workflow; look at it in the UI.")
    memo = holder.memo
    return Stop(
        REFUSED,
        f"{environment} is held by {memo.id} ({memo.release}, phase {memo.phase.value}). "
        f"Nothing was started. Look at it with: slipway status {memo.id}",
    )


def first_memo(place: Place, release: str, phase: Phase) -> dict[str, Any]:
    """Return the memo a workflow is started with: it must be readable before a worker has run."""
    status = MemoStatus(
        id=place.deployment,
        environment=place.environment,
        release=release,
        phase=phase,
        outcome=Outcome.RUNNING,
        step="",
        reason="Waiting for a worker to begin.",
    )
    return {
        names.MEMO_KEY: status.model_dump(mode="json"),
        MEMO_PLACE: place.model_dump(mode="json"),
    }


def search_attributes(place: Place, release: str, phase: Phase) -> "TypedSearchAttributes":
    """Return the search attributes that a workflow is started with."""
    from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes

    values = {
        names.SEARCH_DEPLOYMENT: place.deployment,
        names.SEARCH_ENVIRONMENT: place.environment,
        names.SEARCH_RELEASE: release,
        names.SEARCH_PHASE: phase.value,
        names.SEARCH_OUTCOME: Outcome.RUNNING.value,
    }
    return TypedSearchAttributes(
        [
            SearchAttributePair(SearchAttributeKey.for_keyword(name), value)
            for name, value in values.items()
        ]
    )
