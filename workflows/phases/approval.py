"""3. Approval: VP or CTO, and the items only people can confirm, on one digest."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from slipway.approvals import (
        approved,
        approvers,
        blocking_findings,
        rejected,
        unconfirmed,
        words_wanted,
    )
    from slipway.digest import sha256_of
    from slipway.run import Run, Wait
    from slipway.states import Outcome, Phase
    from slipway.status import status_of
    from slipway.verdicts import Kind, Reason, Signal, Verdict

from workflows.display import about
from workflows.endings import StopRun
from workflows.steps import Steps


async def approval(steps: Steps) -> None:
    """Wait until enough approvers approved this digest and every item is confirmed."""
    steps.enter(Phase.APPROVAL)
    run = steps.run
    run.digest = digest_to_approve(run)
    run.findings_shown = [one.name for one in blocking_findings(run)]
    run.approvals_asked += 1
    deadline = workflow.now() + about(steps.lengths.approval_deadline)
    steps.notices.send("approval", "Approval wanted", _wanted(run), next_=_command(run))
    while not (approved(run, workflow.now()) and not unconfirmed(run)):
        before = (len(run.approvals), len(run.confirmations))
        await steps.guard()  # may wait: answers that come meanwhile must not be slept over
        if rejected(run):
            _reject(run)
        left = (deadline - workflow.now()).total_seconds()
        if left <= 0:
            _expire(run)
        _show(steps, left)
        await steps.until(lambda b=before: _moved(steps, b), left, "approval deadline")  # type: ignore[misc] # mypy cannot infer a lambda with a default
    run.waiting_for = []
    if rejected(run):
        _reject(run)
    await _keep(steps)
    if rejected(run):  # said no while the approval was being written down
        _reject(run)


def digest_to_approve(run: Run) -> str:
    """Return the digest of plan, release, pending SQL, evidence and what the rehearsal found that
    approvers must know: rules and tables without their numbers, which differ from run to run."""
    review = run.preflight.migrations if run.preflight else None
    gates = run.preflight.gates.results if run.preflight else []
    rehearsal = {}
    if run.rehearsal is not None:
        rehearsal = {
            "rehearsal": {
                "schema": run.rehearsal.schema_after,
                "findings": sorted(one.name for one in blocking_findings(run)),
            }
        }
    return sha256_of(
        {
            **rehearsal,
            "plan": run.plan.model_dump(mode="json"),
            "release": run.release.model_dump(mode="json"),
            "pending": [[one.tag, one.hash, one.sql] for one in review.pending] if review else [],
            "evidence": [[one.gate, one.passed, one.sha256] for one in gates],
        }
    )


def _moved(steps: Steps, before: tuple[int, int]) -> bool:
    run, controls = steps.run, steps.controls
    return (
        (len(run.approvals), len(run.confirmations)) != before
        or controls.interrupts
        or controls.pause is not None
    )


def _show(steps: Steps, left: float) -> None:
    run = steps.run
    until = workflow.now() + about(left)
    waits = []
    if not approved(run, workflow.now()):
        waits.append(
            Wait(
                kind="approval",
                who=approvers(run),
                what=f"approval of digest {run.digest[:12]}{_words(run)}",
                until=until,
                default="expired",
                command=_command(run),
            )
        )
    waits += [
        Wait(
            kind="acknowledge",
            who=run.plan.approvals.confirm.get(item, []),
            what=f"confirmation of {item}",
            until=until,
            default="expired",
            command=f"slipway acknowledge {run.id} {item}",
        )
        for item in unconfirmed(run)
    ]
    run.waiting_for = waits
    steps.say("approval", f"Waiting for {len(waits)} answer(s) of people.", seconds=left)


def _command(run: Run) -> str:
    return f"slipway approve {run.id} --role {next(iter(sorted(run.plan.approvals.roles)))}"


def _words(run: Run) -> str:
    """What an approver must accept by name; the command to paste leaves it out on purpose."""
    wanted = words_wanted(run)
    return f" with --accept {' --accept '.join(wanted)}" if wanted else ""


def _wanted(run: Run) -> str:
    pending = ", ".join(one.tag for one in run.migrations) or "none"
    backup = run.backup.key if run.backup else "none"
    return (
        f"{run.release.version}: {run.release.summary} Asked by {run.requester}. "
        f"Migrations: {pending}. Backup: {backup}. Digest: {run.digest}"
        f"{_words(run)}"
    )


def _reject(run: Run) -> None:
    no = next(one for one in run.approvals if one.decision == "reject")
    _end(run, Outcome.REJECTED, Reason.APPROVAL_REJECTED, f"{no.person}: {no.reason}")


def _expire(run: Run) -> None:
    because = "Not every approval and confirmation came before the deadline."
    _end(run, Outcome.EXPIRED, Reason.APPROVAL_EXPIRED, because)


def _end(run: Run, outcome: Outcome, reason: Reason, because: str) -> None:
    run.waiting_for = []
    run.verdict = Verdict(kind=Kind.ROLLBACK, signal=Signal.ROLLOUT, reason=reason, because=because)
    raise StopRun(outcome, run.verdict)


async def _keep(steps: Steps) -> None:
    run = steps.run
    given = [one for one in run.approvals if one.digest == run.digest]
    people = ", ".join(f"{one.person} ({one.role})" for one in given)
    again = f"-{run.approvals_asked}" if run.approvals_asked > 1 else ""
    kept = await steps.keep(
        f"approval{again}.json",
        {
            "digest": run.digest,
            "approvals": [one.model_dump(mode="json") for one in given],
            "confirmations": [one.model_dump(mode="json") for one in run.confirmations],
        },
    )
    run.tick("approval", at=workflow.now(), by=people, artefacts=[kept])
    steps.event(f"Approved by {people}.")
    # so that a rollback knows them also after Terminate, when there is no end to read
    await steps.note("done", "approval", {"status": status_of(run).model_dump(mode="json")})
