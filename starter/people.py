"""What people say to a running deployment: updates that answer, signals whose replies are read."""

import asyncio
import getpass
import json
import secrets
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol

from slipway import names
from slipway.base import utc_text
from slipway.markdown import short
from slipway.messages.controls import Acknowledge, Approve, Control, Reject, Reply, Resolve
from slipway.states import Choice, Outcome
from slipway.subject import Subject
from starter import patience
from starter.guard import OK, REFUSED, UNREACHABLE, Stop
from starter.lookup import Found, find
from starter.query import query
from starter.render import clean
from starter.session import connect
from starter.stand import asked, stand_of

_EVERY = 0.3

Update = Approve | Reject | Acknowledge | Resolve


class WithId(Protocol):
    """A request that is asked once, however often it is sent."""

    @property
    def request(self) -> str:
        """What it is known by."""


@dataclass(frozen=True)
class Speaker:
    """Who asks for something, why, and how the answer is printed."""

    person: str | None
    reason: str | None = None
    as_json: bool = False

    @property
    def name(self) -> str:
        """The person given, or the user of the operating system."""
        return self.person or getpass.getuser()


def new_request(kind: str) -> str:
    """Return a request ID: the answer to exactly this request is found by it."""
    return f"{kind}-{secrets.token_hex(6)}"


async def approve(
    name: str,
    speaker: Speaker,
    *,
    role: str,
    digest: str | None,
    accept: Sequence[str],
    yes: bool,
) -> int:
    """Show what is to be approved, ask, and approve exactly that digest."""
    found = await _running(name)
    subject = await _subject(found)
    shown = digest or subject.digest
    if not speaker.as_json:
        print("\n".join(clean(line) for line in subject_lines(subject)), flush=True)
    _ask(f"Approve digest {short(shown)} as {speaker.name} ({role})?", yes)
    request = Approve(
        request=new_request("approve"),
        person=speaker.name,
        role=role,
        digest=shown or "0" * 64,  # nothing to approve yet: the workflow says in which phase it is
        reason=speaker.reason or "approved",
        accept=list(accept),
    )
    return tell(await update(found, "approve", request), speaker.as_json)


async def reject(name: str, speaker: Speaker, *, role: str) -> int:
    """Reject what stands for approval; the deployment ends."""
    found = await _running(name)
    subject = await _subject(found)
    request = Reject(
        request=new_request("reject"),
        person=speaker.name,
        role=role,
        digest=subject.digest or "0" * 64,
        reason=speaker.reason or "rejected",
    )
    return tell(await update(found, "reject", request), speaker.as_json)


async def acknowledge(name: str, speaker: Speaker, *, item: str) -> int:
    """Confirm an item that no program can know; after the end, one of aftercare's."""
    client = await connect()
    found = await find(client, name)
    request = Acknowledge(
        request=new_request("acknowledge"),
        person=speaker.name,
        item=item,
        note=speaker.reason or "confirmed",
    )
    if found.ended and found.memo.outcome is Outcome.DEPLOYED:
        aftercare = client.get_workflow_handle(names.aftercare_workflow_id(found.id))
        return tell(await _update(aftercare, "acknowledge", request), speaker.as_json)
    return tell(await update(_alive(found), "acknowledge", request), speaker.as_json)


async def resolve(name: str, speaker: Speaker, *, choice: Choice, step: str | None) -> int:
    """Decide about the parked step."""
    found = await _running(name)
    request = Resolve(
        request=new_request("resolve"),
        person=speaker.name,
        choice=choice,
        step=step or await _parked_step(found),
        reason=speaker.reason or "no reason given",
    )
    return tell(await update(found, "resolve", request), speaker.as_json)


async def control(name: str, speaker: Speaker, *, kind: str) -> int:
    """Signal pause, resume, abort or rollback, and print the deployment's reply."""
    found = await _running(name)
    return tell(await signal(found, kind, speaker), speaker.as_json)


async def signal(found: Found, kind: str, speaker: Speaker) -> Reply:
    """Send a signal and wait for its reply. Raises Stop when no worker answers in time."""
    request = Control(
        request=new_request(kind), person=speaker.name, reason=speaker.reason or "no reason given"
    )
    await found.handle.signal(kind, request)
    try:
        async with asyncio.timeout(patience.REPLY):
            return await _reply(found, request.request)
    except TimeoutError:
        raise Stop(
            UNREACHABLE,
            f"{kind} was sent and is kept ({request.request}), but no worker has answered within "
            f"{patience.REPLY:.0f} s. Start a worker; then look with: slipway status {found.id}",
        ) from None


async def update(found: Found, kind: str, request: Update) -> Reply:
    """Send an update. Raises Stop when no worker takes it in time; refusals raise as they come."""
    return await _update(found.handle, kind, request)


async def _update(handle: Any, kind: str, request: Update) -> Reply:
    unanswered = (
        f"No worker took the {kind} within {patience.REPLY:.0f} s; nothing is known to have been "
        "recorded. Start a worker, look with slipway status, then ask again."
    )
    return await answered(handle, kind, request, unanswered)


async def answered(handle: Any, name: str, request: WithId, unanswered: str) -> Reply:
    """Send an update and return its reply. Raises Stop with `unanswered` when no worker takes it
    within `patience.REPLY` seconds; refusals raise as they come."""
    from temporalio.client import WorkflowUpdateRPCTimeoutOrCancelledError

    try:
        async with asyncio.timeout(patience.REPLY):
            reply: Reply = await handle.execute_update(
                name,
                request,
                id=request.request,
                result_type=Reply,
                rpc_timeout=timedelta(seconds=patience.REPLY),
            )
    except (TimeoutError, WorkflowUpdateRPCTimeoutOrCancelledError):
        raise Stop(UNREACHABLE, unanswered) from None
    return reply


def tell(reply: Reply, as_json: bool) -> int:
    """Print a reply and return its exit code."""
    if as_json:
        print(json.dumps(reply.model_dump(mode="json")))
    else:
        done = "Accepted" if reply.accepted else "Refused"
        because = reply.because.removeprefix("Accepted ")
        parts = [because, reply.world, reply.next]  # a command comes last, nothing runs into it
        print(clean(f"{done}: {' '.join(part for part in parts if part)}"))
    return OK if reply.accepted else REFUSED


def subject_lines(subject: Subject) -> list[str]:
    """Return what is to be approved as lines."""
    lines = [
        f"{subject.release} for deployment {subject.deployment}, asked by {subject.requester}",
        f"  {subject.summary}",
        f"  Digest: {subject.digest or 'none yet'}",
    ]
    lines += [f"  Image {name}: {image}" for name, image in subject.images.items()]
    lines += [
        f"  Gate {one.gate}: {'passed' if one.passed else 'FAILED'}, {one.because}"
        for one in subject.gates
    ]
    if subject.staging:
        lines.append(f"  Staging: {subject.staging}")
    if subject.backup_taken_at is not None:
        lines.append(
            f"  Backup: {subject.backup_key}, {subject.backup_rows} rows, sha256 "
            f"{short(subject.backup_sha256)}, taken {utc_text(subject.backup_taken_at)}"
        )
    lines += _sql(subject)
    lines += [f"  Rehearsal: {one}" for one in subject.rehearsal]
    lines += [f"    {line}" for line in subject.schema_diff.splitlines()]
    for one in subject.findings:
        word = f"Needs --accept {one.rule}" if one.rule in subject.accept else "Know"
        lines.append(f"  {word}: {one.what} {one.remedy}".rstrip())
    lines += [f"  Not checked: {one}" for one in subject.unchecked]
    return [*lines, *[f"  Mark: {one}" for one in subject.marks]]


def _sql(subject: Subject) -> list[str]:
    if not subject.pending:
        return ["  Migrations: none pending"]
    lines = []
    for one in subject.pending:
        staged = "in staging's ledger" if one.in_staging else "NOT in staging's ledger"
        lines.append(f"  Migration {one.tag} (sha256 {short(one.hash)}, {staged}):")
        lines += [f"    {line}" for line in one.sql.splitlines() if line.strip()]
    return lines


async def _subject(found: Found) -> Subject:
    """What is to be approved. A workflow without this query still has a digest."""
    from temporalio.client import WorkflowQueryFailedError
    from temporalio.service import RPCError

    try:
        return Subject.model_validate(await query(found.handle, "subject"))
    except (TimeoutError, RPCError, WorkflowQueryFailedError):
        status = (await stand_of(found)).status
    return Subject(
        deployment=status.id,
        release=status.release,
        summary="(what is to be approved could not be read in full)",
        requester=status.requester,
        digest=status.digest,
        images={one.name: one.image_after for one in status.services},
    )


def _ask(question: str, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise Stop(REFUSED, "Nobody is there to be asked; read the above and add --yes.")
    if input(f"{question} [y/N] ").strip().lower() not in ("y", "yes"):
        raise Stop(REFUSED, "Nothing was approved.")


async def _running(name: str) -> Found:
    return _alive(await find(await connect(), name))


def _alive(found: Found) -> Found:
    if not found.ended:
        return found
    raise Stop(
        REFUSED,
        f"{found.id} has ended ({found.memo.outcome.value}); nothing can be asked of it. "
        f"See how with: slipway report {found.id}",
    )


async def _parked_step(found: Found) -> str:
    status = (await stand_of(found)).status
    if any(wait.kind == "operator" for wait in status.waiting_for):
        return status.current.step
    raise Stop(
        REFUSED,
        f"{found.id} has no parked step; there is nothing to resolve. "
        f"See what it does with: slipway why {found.id}",
    )


async def _reply(found: Found, request: str) -> Reply:
    while True:
        status = await asked(found)
        for reply in status.replies if status else []:
            if reply.request == request:
                return reply
        await asyncio.sleep(_EVERY)
