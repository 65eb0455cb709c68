"""`rollback`: a signal to a running deployment, or `Rollback` from the record of an ended one."""

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from slipway import names
from slipway.messages.record import Place
from slipway.messages.requests import DeploymentResult, RollbackRequest
from slipway.states import Outcome, Phase
from starter.begin import first_memo, held, search_attributes
from starter.documents import Lost
from starter.guard import OK, REFUSED, Stop
from starter.inquire import place_of
from starter.live import follow
from starter.lookup import Found, find, find_or_none
from starter.people import Speaker, signal, tell
from starter.session import connect, task_queue

if TYPE_CHECKING:
    from temporalio.client import Client

_UNCHANGED = (Outcome.STOPPED, Outcome.REJECTED, Outcome.EXPIRED)


@dataclass(frozen=True)
class TakeBack:
    """How a deployment is to be taken back."""

    lost: Lost
    without_database: bool = False
    wait: bool = False
    """Whether to wait on where a person must decide."""
    yes: bool = False


async def rollback(name: str, speaker: Speaker, how: TakeBack) -> int:
    """Take a deployment back; a rollback that was asked for and is complete exits 0."""
    client = await connect()
    found = await find_or_none(client, name)
    if found is not None and not found.ended:
        return await _running(found, speaker, how)
    if found is not None:
        await _refuse_pointless(client, found)
    place = await place_of(client, name, how.lost)
    _ask(place, how)
    await _start(client, place, found.memo.release if found else "unknown", speaker, how)
    if not speaker.as_json:
        print(f"Rolling back {place.deployment} from its record.", flush=True)
    code = await follow(await find(client, place.deployment), stop_at_people=not how.wait)
    return OK if code == _ROLLED_BACK else code


_ROLLED_BACK = 3


async def _running(found: Found, speaker: Speaker, how: TakeBack) -> int:
    if found.kind == names.ROLLBACK_TYPE or found.memo.phase is Phase.ROLL_BACK:
        print(f"{found.id} is being rolled back already. Follow: slipway watch {found.id}")
        return OK
    code = tell(await signal(found, "rollback", speaker), speaker.as_json)
    if code != OK or not how.wait:
        return code
    ended = await follow(found)
    return OK if ended == _ROLLED_BACK else ended


async def _refuse_pointless(client: "Client", found: Found) -> None:
    """Refuse what has nothing to undo, and what a newer deployment was built on."""
    outcome = found.memo.outcome
    if found.ended == "COMPLETED" and outcome in _UNCHANGED:
        raise Stop(
            REFUSED,
            f"{found.id} ended as {outcome.value} before it changed anything in production.",
        )
    if found.ended == "COMPLETED" and outcome is Outcome.ROLLED_BACK:
        raise Stop(REFUSED, f"{found.id} has been rolled back already: slipway report {found.id}")
    newest = await find_or_none(client, found.memo.environment)
    if newest is None or newest.id == found.id:
        return
    if newest.ended and newest.id < found.id:
        return  # the rollback of an earlier deployment, which was refused because of this one
    if not newest.ended:
        raise held(found.memo.environment, newest)
    if newest.memo.outcome not in (*_UNCHANGED, Outcome.ROLLED_BACK):
        raise Stop(
            REFUSED,
            f"{newest.id} ({newest.memo.outcome.value}) changed {found.memo.environment} after "
            f"{found.id}. Take that back first: slipway rollback {newest.id}",
        )


def _ask(place: Place, how: TakeBack) -> None:
    if how.yes or not sys.stdin.isatty():
        return
    data = "services only" if how.without_database else "services, then data as the plan says"
    if input(f"Roll back {place.deployment} ({data})? [y/N] ").strip().lower() not in ("y", "yes"):
        raise Stop(REFUSED, "Nothing was rolled back.")


async def _start(
    client: "Client", place: Place, release: str, speaker: Speaker, how: TakeBack
) -> None:
    from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
    from temporalio.exceptions import WorkflowAlreadyStartedError

    reason = speaker.reason or "no reason given"
    request = RollbackRequest(
        place=place,
        person=speaker.name,
        reason=reason,
        without_database=how.without_database,
    )
    try:
        await client.start_workflow(
            names.ROLLBACK_TYPE,
            request,
            id=names.deployment_workflow_id(place.environment),
            task_queue=task_queue(),
            result_type=DeploymentResult,
            id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            memo=first_memo(place, release, Phase.ROLL_BACK),
            search_attributes=search_attributes(place, release, Phase.ROLL_BACK),
            static_summary=f"Roll back {place.deployment}",
            static_details=f"Asked by {request.person}: {reason}",
        )
    except WorkflowAlreadyStartedError:
        raise held(place.environment, await find_or_none(client, place.environment)) from None
