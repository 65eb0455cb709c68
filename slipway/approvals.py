"""Who may say what, and when: refusals in one sentence each; the empty text accepts."""

from datetime import datetime

from slipway.messages.controls import Acknowledge, Approve, Reject, Resolve
from slipway.messages.migration import MigrationFinding
from slipway.run import Run, Wait
from slipway.states import Outcome, Phase

MUST_CONFIRM = ("stakeholders-notified", "incident-team-on-standby")
"""Lines of the playbook's approval list that only a person can confirm."""


def items_to_confirm(run: Run) -> list[str]:
    """Return the items that a person must confirm before the run may go on."""
    return sorted({*MUST_CONFIRM, *run.plan.approvals.confirm})


def refuse_approval(run: Run, request: Approve | Reject) -> str:
    """Return why an approval or rejection does not count, or the empty text."""
    roles = run.plan.approvals.roles
    if run.phase is not Phase.APPROVAL:
        return (
            f"The run is in phase {run.phase.value}; approvals are taken in phase approval. "
            f"Look with: slipway status {run.id}"
        )
    if request.role not in roles:
        return f"Role {request.role} may not approve; the plan names {', '.join(sorted(roles))}."
    if request.person not in roles[request.role]:
        return f"{request.person} does not have the role {request.role} in the plan."
    if request.person == run.requester:
        return f"{request.person} asked for this release and cannot approve it; ask another person."
    if request.digest != run.digest:
        return (
            f"The digest {request.digest[:12]} is not what is to be approved "
            f"({run.digest[:12]}); look again with: slipway status {run.id}"
        )
    missing = [] if isinstance(request, Reject) else words_missing(run, request.accept)
    if missing:
        return (
            f"Approving this needs an explicit word about {', '.join(missing)}: "
            f"{_about(run, missing[0])} Read it, then add "
            f"{' '.join(f'--accept {one}' for one in missing)}"
        )
    return ""


def words_wanted(run: Run) -> list[str]:
    """Return the rules that an approver must accept by name: the plan's that have a finding."""
    found = {one.rule for one in blocking_findings(run)}
    return sorted(found & set(run.plan.migrations.explicit_word))


def words_missing(run: Run, accepted: list[str]) -> list[str]:
    """Return the rules that must be accepted by name and are not."""
    return [one for one in words_wanted(run) if one not in accepted]


def _about(run: Run, rule: str) -> str:
    found = [one.what for one in blocking_findings(run) if one.rule == rule]
    return found[0][:200] if found else ""


def refuse_confirmation(run: Run, request: Acknowledge) -> str:
    """Return why a confirmation does not count, or the empty text."""
    if run.outcome is not Outcome.RUNNING:
        return f"The run has ended ({run.outcome.value})."
    items = items_to_confirm(run)
    if request.item not in items:
        return f"There is no item {request.item}; the run asks for {', '.join(items)}."
    allowed = run.plan.approvals.confirm.get(request.item, [])
    if request.person not in allowed:
        names = ", ".join(allowed) or "nobody (add them to approvals.confirm)"
        return f"{request.person} may not confirm {request.item}; the plan names {names}."
    return ""


def refuse_resolve(parked: Wait | None, step: str, request: Resolve) -> str:
    """Return why a decision about a parked step is refused, or the empty text."""
    if parked is None:
        return "Nothing is parked; there is nothing to resolve."
    if request.step != step:
        return f"The parked step is {step}, not {request.step}; look again before deciding."
    if request.choice not in parked.choices:
        offered = ", ".join(choice.value for choice in parked.choices)
        return f"{request.choice.value} is not possible here; choose {offered}."
    return ""


def approved(run: Run, now: datetime) -> bool:
    """Whether enough different people have approved this digest recently enough."""
    limit = run.plan.lengths.approval_deadline
    people = {
        one.person
        for one in run.approvals
        if one.decision == "approve"
        and one.digest == run.digest
        and (now - one.at).total_seconds() <= limit
    }
    return len(people) >= run.plan.approvals.required


def rejected(run: Run) -> bool:
    """Whether an approver has said no to this digest."""
    return any(one.decision == "reject" and one.digest == run.digest for one in run.approvals)


def unconfirmed(run: Run) -> list[str]:
    """Return the items that still wait for a person."""
    done = {one.item for one in run.confirmations}
    return [item for item in items_to_confirm(run) if item not in done]


def blocking_findings(run: Run) -> list[MigrationFinding]:
    """Return what approvers must know about the pending migrations, each once."""
    linted = run.preflight.migrations.findings if run.preflight else []
    found = [one for one in linted if one.severity == "block"]
    found += run.rehearsal.blocking if run.rehearsal else []
    return list({one.name: one for one in found}.values())


def unapproved_findings(run: Run) -> list[MigrationFinding]:
    """Return what approvers must know and have not been shown."""
    return [one for one in blocking_findings(run) if one.name not in run.findings_shown]


def approvers(run: Run) -> list[str]:
    """Return who may approve: `person (role)`, the requester left out."""
    return [
        f"{person} ({role})"
        for role, people in sorted(run.plan.approvals.roles.items())
        for person in people
        if person != run.requester
    ]
