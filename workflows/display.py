"""What an SRE sees in the Temporal UI: memo, search attributes, current details."""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes

with workflow.unsafe.imports_passed_through():
    from slipway import names
    from slipway.base import say_length, utc_text
    from slipway.messages.requests import MemoStatus
    from slipway.run import Run, Wait

PHASE = SearchAttributeKey.for_keyword(names.SEARCH_PHASE)
OUTCOME = SearchAttributeKey.for_keyword(names.SEARCH_OUTCOME)
WAITING_FOR = SearchAttributeKey.for_keyword(names.SEARCH_WAITING_FOR)


DEPLOYMENT = SearchAttributeKey.for_keyword(names.SEARCH_DEPLOYMENT)
ENVIRONMENT = SearchAttributeKey.for_keyword(names.SEARCH_ENVIRONMENT)
RELEASE = SearchAttributeKey.for_keyword(names.SEARCH_RELEASE)


def identity_of(run: Run) -> TypedSearchAttributes:
    """Return the search attributes by which everything about a deployment is found."""
    return TypedSearchAttributes(
        [
            SearchAttributePair(DEPLOYMENT, run.id),
            SearchAttributePair(ENVIRONMENT, run.plan.environment),
            SearchAttributePair(RELEASE, run.release.version),
        ]
    )


class Display:
    """Writes what changed, and only that: each write is an event of the history."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._memo: MemoStatus | None = None
        self._searched: tuple[str, str, str] = ("", "", "")

    def show(self) -> None:
        """Bring memo, search attributes and current details up to date."""
        run = self._run
        memo = memo_of(run)
        if memo != self._memo:
            self._memo = memo
            workflow.upsert_memo({names.MEMO_KEY: memo.model_dump(mode="json")})
        waiting = run.waiting_for[0].kind if run.waiting_for else "nothing"
        searched = (run.phase.value, run.outcome.value, waiting)
        if searched != self._searched:
            self._searched = searched
            keys = zip((PHASE, OUTCOME, WAITING_FOR), searched, strict=True)
            workflow.upsert_search_attributes([key.value_set(value) for key, value in keys])
        workflow.set_current_details(details_of(run))


def memo_of(run: Run) -> MemoStatus:
    """Return the short status: at most 4 KB, whatever happened."""
    memo = _memo_of(run)
    while len(memo.model_dump_json().encode()) > _MOST_BYTES:
        shorter = _shorter(memo)
        if shorter == memo:
            break
        memo = shorter
    return memo


_MOST_BYTES = 4000


def _shorter(memo: MemoStatus) -> MemoStatus:
    """Leave out what `status` can refine by query or record: services, replies, then texts."""
    if memo.services:
        return memo.model_copy(update={"services": dict(list(memo.services.items())[1:])})
    if memo.replies:
        return memo.model_copy(update={"replies": memo.replies[1:]})
    return memo.model_copy(
        update={
            "reason": memo.reason[: len(memo.reason) // 2],
            "step": memo.step[: len(memo.step) // 2],
            "waiting_for": [one[: len(one) // 2] for one in memo.waiting_for],
        }
    )


def _memo_of(run: Run) -> MemoStatus:
    return MemoStatus(
        id=run.id,
        environment=run.plan.environment,
        release=run.release.version,
        phase=run.phase,
        outcome=run.outcome,
        step=run.step[:100],
        reason=run.reason[:300],
        until=run.until,
        waiting_for=[_short(wait) for wait in run.waiting_for[:3]],
        abort=run.abort,
        services={
            one.name: one.state.value for one in run.services[:30] if one.state.value != "waiting"
        },
        replies=[
            f"{one.request}: {'accepted' if one.accepted else 'refused'}. {one.because}"[:160]
            for one in run.replies[-3:]
        ],
        digest=run.digest,
    )


def _short(wait: Wait) -> str:
    """What is waited for and the whole command: a command that is cut off helps nobody."""
    return f"{wait.what[: max(0, 248 - len(wait.command))]} {wait.command}"


def details_of(run: Run) -> str:
    """Return the current details in Markdown."""
    lines = [
        f"**{run.release.version}** to **{run.plan.environment}** ({run.id})",
        f"Phase **{run.phase.value}**, step `{run.step or 'none'}`: {run.reason}",
    ]
    if run.until is not None:
        lines.append(f"Until {utc_text(run.until)}.")
    for wait in run.waiting_for:
        until = f" until {utc_text(wait.until)}, then {wait.default}" if wait.until else ""
        lines.append(f"- waits for {', '.join(wait.who)}: {wait.what}{until}. `{wait.command}`")
    if run.verdict is not None:
        lines.append(f"Verdict: {run.verdict.kind.value}, {run.verdict.because}")
    done = sum(one.state.value == "deployed" for one in run.services)
    lines.append(f"{done} of {len(run.services)} services deployed.")
    return "\n\n".join(lines)


def about(seconds: float) -> timedelta:
    """Return a length as Temporal wants it."""
    return timedelta(seconds=seconds)


def for_length(seconds: float) -> str:
    """Return `for 2m`, as summaries say it."""
    return f"for {say_length(seconds)}"
