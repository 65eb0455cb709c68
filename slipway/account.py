"""What there is to account for: the rollback, step by step, and the people."""

import re
from datetime import datetime

from slipway.base import Message, say_length, utc_text
from slipway.course import Moments, course_of, documents_of, found_after, moments_of
from slipway.run import Event
from slipway.states import Choice, Outcome, ServiceState
from slipway.status import StatusDocument, UndoStatus
from slipway.verdicts import Reason

_DECISION = re.compile(rf"^(\S+): ({'|'.join(Choice)}), (.*)", re.DOTALL)
_AT_ONCE = 0.05
"""Seconds that are not worth a number."""


class RollbackAccount(Message):
    """A rollback, accounted for."""

    moments: Moments
    seconds: float
    """From the decision until the end."""
    undone: list[UndoStatus]
    """In the order in which they were put back: newest change first."""
    not_undone: list[UndoStatus]
    lost_rows: int
    write_outage: float | None
    """Seconds without writes; None: writes were never refused."""
    verified: str
    """One sentence: how it was checked that everything is as before, or what was found."""
    documents: list[str]
    """Keys of the incident record and of the post-mortem's draft."""


class PersonsPart(Message):
    """What one person did and said."""

    at: datetime
    person: str
    did: str
    said: str


def account_of(status: StatusDocument) -> RollbackAccount | None:
    """Return the account of a rollback, or None where none began."""
    moments = moments_of(status)
    if moments is None:
        return None
    undo = list(reversed(status.undo))
    return RollbackAccount(
        moments=moments,
        seconds=max(0.0, (moments.ended_at - moments.decided_at).total_seconds()),
        undone=[one for one in undo if one.is_back],
        not_undone=[one for one in undo if not one.is_back],
        lost_rows=sum((status.lost_writes or {}).values()),
        write_outage=status.write_outage,
        verified=_verified(status),
        documents=documents_of(status),
    )


def people_of(status: StatusDocument) -> list[PersonsPart]:
    """Return who started, approved, confirmed, decided, stopped: in order of time."""
    parts = [
        PersonsPart(
            at=status.started_at, person=status.requester, did="asked for the release", said=""
        )
    ]
    parts += [
        PersonsPart(
            at=one.at,
            person=f"{one.person} ({one.role})",
            did="approved" if one.decision == "approve" else "rejected",
            said=one.reason,
        )
        for one in status.approvals
    ]
    parts += [
        PersonsPart(at=one.at, person=one.person, did=f"confirmed {one.item}", said=one.note)
        for one in status.confirmations
    ]
    parts += [_decided(one) for one in status.timeline if one.by]
    parts += _asked(status)
    return sorted(parts, key=lambda one: one.at)


def _decided(event: Event) -> PersonsPart:
    """A line of the timeline with a name: `monitor:analytics: skip, because …`, a decision; or
    `paused: because …`."""
    decision = _DECISION.match(event.text)
    did, said = (
        (f"decided {decision[2]} for {decision[1]}", decision[3])
        if decision
        else event.text.partition(": ")[::2]
    )
    return PersonsPart(at=event.at, person=event.by, did=did, said=said)


def _asked(status: StatusDocument) -> list[PersonsPart]:
    """Whose request the deciding verdict was: its sentence is `person: reason`."""
    verdict, moments = status.verdict, moments_of(status)
    did = {Reason.ABORTED: "aborted it", Reason.ROLLBACK_REQUESTED: "asked for the rollback"}
    if verdict is None or verdict.reason not in did:
        return []
    person, _, said = verdict.because.partition(": ")
    if any(one.by == person and said in one.text for one in status.timeline):
        return []  # it stands in the timeline itself
    last = status.timeline[-1].at if status.timeline else status.started_at
    at = (moments.noticed_at or moments.decided_at) if moments else last
    return [PersonsPart(at=at, person=person, did=did[verdict.reason], said=said)]


def _verified(status: StatusDocument) -> str:
    if status.outcome is Outcome.ROLLED_BACK:
        return f"{_verified_services(status)} The smoke flows passed.{_verified_data(status)}"
    if status.outcome is Outcome.ROLLBACK_INCOMPLETE:
        found = found_after(status)
        return f"Checked, and not as before: {found}." if found else "Not verified."
    return "Not yet."


def _verified_services(status: StatusDocument) -> str:
    if not any(one.state is ServiceState.REVERTED for one in status.services):
        return "No service had to be checked."
    return (
        "Every service that was put back rolled out in full and passed its health check and its "
        "critical functions again."
    )


def _verified_data(status: StatusDocument) -> str:
    if not any(one.of_database and one.is_back for one in status.undo):
        return ""
    if status.lossless:
        return " The schema of the database equals the backup's; every later write is in it."
    what = "migration ledger" if status.lost_writes is None else "rows"
    return f" Schema and {what} of the database equal the backup's."


def say_spent(seconds: float) -> str:
    """Return how long something took: `2m30.6s`, `120ms`, `at once`."""
    return (
        say_length(round(seconds, 1 if seconds >= 1 else 2)) if seconds >= _AT_ONCE else "at once"
    )


def say_moments(status: StatusDocument, account: RollbackAccount) -> list[str]:
    """Return how long everything took, a sentence each."""
    moments, outage = account.moments, account.write_outage
    return [
        f"From the decision ({utc_text(moments.decided_at)}) until the end "
        f"({utc_text(moments.ended_at)}): {say_spent(account.seconds)}.",
        _affected(status, moments),
        f"Writes were refused for {say_spent(outage)} while the database was put back."
        if outage is not None
        else "The rollback did not refuse writes.",
    ]


def _affected(status: StatusDocument, moments: Moments) -> str:
    if moments.culprit_at is not None:
        return (
            f"Users may have been affected for {say_spent(moments.affected)}: since "
            f"{utc_text(moments.culprit_at)}, when what was at fault began to be rolled out."
        )
    rollouts = course_of(status).of("rollout")
    if not rollouts:
        return "Since when users were affected is not recorded."
    served = (moments.ended_at - rollouts[0].began).total_seconds()
    return (
        "Since when users were affected is not recorded; the release was served, in part or "
        f"whole, for {say_spent(served)}, since {utc_text(rollouts[0].began)}."
    )
