"""Trouble that only the Temporal server knows of: nobody works, an activity is tried again and
again or was paused, the workflow's own code fails, the run was ended from outside."""

import re
from datetime import datetime

from slipway import names
from slipway.base import Message, say_length, utc_text
from slipway.server_view import Ending, FailingTask, PendingActivity, Queue, ServerView
from slipway.states import TroubleKind

SLOW = 10.0
"""Seconds that an activity may wait for a worker without a word."""
_COMMAND = re.compile(r"slipway [a-z]+ [a-z0-9-]+-[0-9]{8}T[0-9]{6}Z-[0-9a-f]{6}")


class Trouble(Message):
    """One trouble: what is wrong with its numbers, why in its own words, what to do."""

    kind: TroubleKind
    what: str
    because: str = ""
    next: str
    command: str = ""


def troubles(view: ServerView, now: datetime, *, answered: bool, began: bool) -> list[Trouble]:
    """Return what is wrong, the gravest first. `answered`: a worker has answered a query;
    `began`: the run has done anything at all."""
    if view.ending is not None:
        return [_ended(view, view.ending, began)]
    found = [_failing(view, view.task)] if view.task else []
    found += [one for queue in view.queues for one in _queue(view, queue, now, answered)]
    ranked = sorted(view.activities, key=lambda one: one.type == _NOTICE)
    for one in ranked:
        found += _activity(view, one, now)
    return found + _reset(view)


def copy_troubles(activities: list[PendingActivity], now: datetime) -> list[Trouble]:
    """Return what keeps the restored copy from following production: a rollback still loses nothing
    as long as the server keeps its log for it."""
    return [
        _retrying(one, now).model_copy(update={"next": _COPY_NEXT})
        for one in activities
        if one.attempt > 1 and one.type.startswith("fallback.")
    ]


_COPY_NEXT = (
    "Make room on the copy's server, or open the way to it; it goes on by itself. Production's "
    "server keeps its log for it meanwhile: look at pg_replication_slots."
)
_NOTICE = "notice.send"


_ENDED = {
    TroubleKind.TERMINATED: "was terminated in Temporal",
    TroubleKind.CANCELED: "was cancelled in Temporal before it could act on it",
    TroubleKind.TIMED_OUT: "was ended in Temporal by a timeout",
    TroubleKind.FAILED: "could not be carried out",
}


def _ended(view: ServerView, ending: Ending, began: bool) -> Trouble:
    what = "rollback" if view.rollback else "run"
    by = f" by {ending.by}" if ending.by else ""
    at = f" at {utc_text(ending.at)}" if ending.at else ""
    command = f"slipway rollback {view.deployment} --reason WHY"
    first = _COMMAND.search(ending.because)
    if not (began or view.rollback):
        command = "slipway start PLAN RELEASE"
        then = "It had not begun: start it again."
    elif view.rollback and first:
        then = f"Do that first, then again: {command.removesuffix(' --reason WHY')}"
        command = f"{first[0]} --reason WHY"
    else:
        then = "Take it back from its record; that also gives the environment back."
    return Trouble(
        kind=ending.kind,
        what=f"The {what} {_ENDED[ending.kind]}{by}{at}; slipway put nothing back.",
        because=ending.because,
        next=then,
        command=command,
    )


def _failing(view: ServerView, task: FailingTask) -> Trouble:
    since = f", since {utc_text(task.at)}" if task.at else ""
    if task.misfit:
        what = f"The worker's code does not fit this run: attempt {task.attempt}{since}."
        then = "Run the code it was started with, or code that fits; it then goes on by itself."
    else:
        what = f"The workflow's own code fails: attempt {task.attempt}{since}."
        then = "Deploy corrected code; the run goes on by itself and nothing is lost."
    command = _worker(view, view.queues[0]) if view.queues else ""
    if view.pinned:
        then = (
            f"The run is bound to build {view.pinned}: deploy corrected code, then move it there."
        )
        command = f"python -m worker move {view.deployment} --build-id BUILD"
    return Trouble(
        kind=TroubleKind.TASK_FAILING,
        what=what,
        because=task.message,
        next=then,
        command=command,
    )


def _queue(view: ServerView, queue: Queue, now: datetime, answered: bool) -> list[Trouble]:
    waiting = [
        one for one in view.activities if one.queue == queue.name and _waited(one, now) is not None
    ]
    quiet = bool(waiting) if queue.privileged else not answered and view.task is None
    if not queue.alive and (queue.privileged or quiet):
        return [_no_worker(view, queue, waiting, now)]
    slow = [one for one in waiting if (_waited(one, now) or 0.0) > SLOW]
    if queue.alive and ((quiet and not queue.privileged) or slow):
        return [_silent(view, queue, slow, now)]
    return []


def _waited(one: PendingActivity, now: datetime) -> float | None:
    """Seconds an activity has waited for a worker; None when it does not wait for one."""
    if one.started or one.paused or one.due is None or one.due > now:
        return None
    return (now - one.due).total_seconds()


def _no_worker(
    view: ServerView, queue: Queue, waiting: list[PendingActivity], now: datetime
) -> Trouble:
    build = f" of build {view.pinned}" if view.pinned and not queue.privileged else ""
    if waiting:
        longest = max(_waited(one, now) or 0.0 for one in waiting)
        stands = f"{waiting[0].named} has waited {_rounded(longest)} for one."
    elif queue.privileged:
        stands = "The run stands still at its next step."
    else:
        stands = "The run stands still; what is asked of it is kept, not answered."
    return Trouble(
        kind=TroubleKind.NO_WORKER,
        what=f"No worker{build} listens on task queue {queue.name}. {stands}",
        because=f"The last one was seen {_ago(queue.seen, now)}." if queue.seen else "",
        next="Start one; the run goes on by itself.",
        command=_worker(view, queue),
    )


def _silent(view: ServerView, queue: Queue, slow: list[PendingActivity], now: datetime) -> Trouble:
    seen = f" (seen {_ago(queue.seen, now)})" if queue.seen else ""
    what = f"The worker on task queue {queue.name}{seen} does not answer."
    if slow:
        longest = _rounded(max(_waited(one, now) or 0.0 for one in slow))
        what = (
            f"{slow[0].named} has waited {longest} for a worker on task queue {queue.name}{seen}."
        )
    return Trouble(
        kind=TroubleKind.WORKER_SILENT,
        what=what,
        next="Read the worker's log; start it again when it hangs or is gone.",
        command=_worker(view, queue),
    )


def _activity(view: ServerView, one: PendingActivity, now: datetime) -> list[Trouble]:
    found = []
    if one.paused:
        found.append(_paused(view, one, now))
    elif one.attempt > 1:
        found.append(_retrying(one, now))
    if one.changes:
        found.append(_changed(view, one))
    return found


def _paused(view: ServerView, one: PendingActivity, now: datetime) -> Trouble:
    by = f" by {one.paused_by}" if one.paused_by else ""
    since = f" {_ago(one.paused_at, now)}" if one.paused_at else ""
    clock = f" Its deadline is {utc_text(one.expires)}, paused or not." if one.expires else ""
    why = one.paused_why or "no reason given"
    failed = f" It had failed: {one.failure}" if one.failure else ""
    return Trouble(
        kind=TroubleKind.ACTIVITY_PAUSED,
        what=f"{one.named} was paused in Temporal{by}{since}; it is not tried again.{clock}",
        because=f"{why}.{failed}".replace("..", "."),
        next="Let it go on when the reason is gone.",
        command=f"temporal activity unpause {_target(view, one)}",
    )


def _retrying(one: PendingActivity, now: datetime) -> Trouble:
    of = f" of {one.most}" if one.most else ""
    if one.started or one.due is None or one.due <= now:
        when = "runs now"
    else:
        when = f"begins in {_rounded((one.due - now).total_seconds())}"
    until = f", until {utc_text(one.expires)}" if one.expires else ""
    then = "Repair what the sentence names; it goes on by itself."
    if one.type == _NOTICE:
        then = "Repair the receiver of notices; the run does not wait for it."
    elif one.most:
        then += " After the last attempt a person is asked."
    return Trouble(
        kind=TroubleKind.RETRYING,
        what=f"{one.named} fails and is tried again: attempt {one.attempt}{of} {when}{until}.",
        because=one.failure or "The attempt before ended without a word (its worker died?).",
        next=then,
    )


def _changed(view: ServerView, one: PendingActivity) -> Trouble:
    changed = ", ".join(f"{each.name} {each.was} → {each.now}" for each in one.changes)
    options = " ".join(f"--{each.name} {each.was}" for each in one.changes)
    return Trouble(
        kind=TroubleKind.OPTIONS_CHANGED,
        what=f"Somebody changed in Temporal how {one.named} is run: {changed}.",
        next="Leave it if it was meant; this sets it back as it was.",
        command=f"temporal activity update-options {_target(view, one)} {options}",
    )


def _reset(view: ServerView) -> list[Trouble]:
    if view.reset_at is None:
        return []
    return [
        Trouble(
            kind=TroubleKind.RESET,
            what=f"The run was reset in Temporal at {utc_text(view.reset_at)}: "
            f"it goes on from an earlier step as run {view.run_id}.",
            next="Expect steps to be done again; what was changed before stands in the record, "
            "and a rollback puts that back too.",
        )
    ]


def _target(view: ServerView, one: PendingActivity) -> str:
    return f"--workflow-id {view.workflow_id} --activity-id {one.id}"


def _worker(view: ServerView, queue: Queue) -> str:
    """The command that starts a worker for a queue."""
    base = queue.name.removesuffix(names.privileged("")) if queue.privileged else queue.name
    setting = "" if base == names.DEFAULT_TASK_QUEUE else f"SLIPWAY_TASK_QUEUE={base} "
    if view.pinned and not queue.privileged:
        setting += f"SLIPWAY_BUILD_ID={view.pinned} "
    return f"{setting}python -m worker --role {'privileged' if queue.privileged else 'workflow'}"


def _ago(at: datetime | None, now: datetime) -> str:
    return f"{_rounded((now - at).total_seconds())} ago" if at else ""


def _rounded(seconds: float) -> str:
    return say_length(float(max(1, round(seconds))))
